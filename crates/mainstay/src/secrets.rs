//! Gives the plan's secrets their values. Messages name the reference, never the value.

use mainstay_core::plan::{CheckBy, Plan, Secret, SecretSource};

/// Most bytes of a secret; a longer file is a mistake.
const SECRET_BYTES_MAX: usize = 64 << 10;

/// Resolves every secret; answers with one line for each that is missing.
pub(crate) fn resolve(plan: &mut Plan) -> Vec<String> {
    let tokens = plan.admin.tokens.iter_mut().map(|token| &mut token.secret);
    let clients = plan.clients.values_mut().map(|client| &mut client.key);
    let keys = plan.backends.iter_mut().flat_map(|backend| &mut backend.keys);
    let observability = &mut plan.observability;
    let headers = observability.otlp.iter_mut().flat_map(|otlp| otlp.headers.values_mut());
    let observed = observability.key.iter_mut().chain(headers);
    let checks = plan.checks.iter_mut().filter_map(|check| match &mut check.by {
        CheckBy::Moderation(server) => server.key.as_mut(),
        CheckBy::Rule(_) | CheckBy::Patterns(_) => None,
    });
    let told = plan.incidents.secrets_mut();
    let all = tokens.chain(clients).chain(keys).chain(observed).chain(checks).chain(told);
    let mut missing: Vec<String> = all.filter_map(|secret| resolve_one(secret).err()).collect();
    missing.sort();
    missing.dedup();
    missing
}

fn resolve_one(secret: &mut Secret) -> Result<(), String> {
    if secret.source == SecretSource::Written {
        return Ok(());
    }
    let value = read(&secret.source).map_err(|why| format!("the secret {} {why}", secret.source))?;
    secret.resolve(value);
    Ok(())
}

fn read(source: &SecretSource) -> Result<String, String> {
    let value = match source {
        SecretSource::Env(name) => std::env::var(name).map_err(|error| match error {
            std::env::VarError::NotPresent => "is not set".to_owned(),
            std::env::VarError::NotUnicode(_) => "is not UTF-8".to_owned(),
        })?,
        SecretSource::File(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        }
        SecretSource::Written => return Err("has no value".to_owned()),
    };
    match value.len() {
        0 => Err("is empty".to_owned()),
        1..=SECRET_BYTES_MAX => Ok(value),
        _ => Err(format!("is longer than {SECRET_BYTES_MAX} bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_secret_is_named_and_a_found_one_is_not_shown() {
        let missing = SecretSource::Env("MAINSTAY_TEST_SURELY_NOT_SET".to_owned());
        let error = resolve_one(&mut Secret::unresolved(missing)).unwrap_err();
        assert_eq!(error, "the secret env:MAINSTAY_TEST_SURELY_NOT_SET is not set");

        let path = std::env::temp_dir().join(format!("mainstay-secret-{}", std::process::id()));
        std::fs::write(&path, "hush\n").unwrap();
        let mut secret = Secret::unresolved(SecretSource::File(path.clone()));
        resolve_one(&mut secret).unwrap();
        assert_eq!(secret.expose(), Some("hush"));
        assert!(!format!("{secret:?}").contains("hush"));
        std::fs::write(&path, "\n").unwrap();
        assert!(resolve_one(&mut secret).unwrap_err().ends_with("is empty"));
        std::fs::remove_file(path).unwrap();
    }
}
