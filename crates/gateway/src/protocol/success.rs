//! Whether an answer whose status says that all is well means it.

use std::sync::LazyLock;

use http::HeaderMap;
use mainstay_core::route::Protocol;
use memchr::memmem::Finder;

use super::json_part;
use crate::json;

/// How much of an answer's start is searched for the name of an error: errors are short, and say so first.
const START_BYTES: usize = 96;

/// Whether the body of a success is the protocol's own error instead of an answer.
///
/// ```
/// use mainstay_core::route::Protocol;
/// use mainstay_gateway::protocol::is_error;
///
/// assert!(is_error(Protocol::OpenInference, br#"{"error": "out of memory"}"#));
/// assert!(!is_error(Protocol::OpenInference, br#"{"outputs": [{"name": "error", "data": [0.1]}]}"#));
/// ```
pub fn is_error(protocol: Protocol, body: &[u8]) -> bool {
    let answer = match protocol {
        Protocol::OpenInference => "outputs",
        Protocol::Openai => "choices",
        Protocol::Anthropic => "content",
        Protocol::OpenInferenceGrpc | Protocol::Http => return false,
    };
    let start = &body[..body.len().min(START_BYTES)];
    if ERROR.find(start).is_none() {
        return false;
    }
    let Ok([error, answer]) = json::fields(body, ["error", answer]) else { return false };
    error.is_some_and(|error| error.get() != "null") && answer.is_none()
}

/// Whether an answer of Open Inference says that another version of the model gave it. One that names none is believed.
///
/// ```
/// use http::HeaderMap;
/// use mainstay_core::route::Protocol;
/// use mainstay_gateway::protocol::is_other_version;
///
/// let says = |body: &[u8]| is_other_version(Protocol::OpenInference, &HeaderMap::new(), body, "3");
/// assert!(says(br#"{"model_name": "fraud", "model_version": "2", "outputs": []}"#));
/// assert!(!says(br#"{"model_name": "fraud", "model_version": "3", "outputs": []}"#));
/// assert!(!says(br#"{"model_name": "fraud", "outputs": []}"#));
/// ```
pub fn is_other_version(protocol: Protocol, headers: &HeaderMap, body: &[u8], version: &str) -> bool {
    if protocol != Protocol::OpenInference {
        return false;
    }
    let Ok(body) = json_part(headers, body) else { return false };
    let Some(at) = VERSION.find(body) else { return false };
    // Where it stands first and is right, which is the rule, nothing is parsed.
    if is_followed_by(&body[at + VERSION.needle().len()..], version) {
        return false;
    }
    let Ok([Some(said)]) = json::fields(body, ["model_version"]) else { return false };
    match json::string(said) {
        Some(said) => said != version,
        None => said.get() != "null" && said.get() != version,
    }
}

static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(br#""error""#));
static VERSION: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(br#""model_version""#));

/// Whether a colon and this text in quotes come next.
fn is_followed_by(rest: &[u8], text: &str) -> bool {
    let Some(rest) = rest.trim_ascii_start().strip_prefix(b":") else { return false };
    let rest = rest.trim_ascii_start();
    let quoted = rest.strip_prefix(b"\"").and_then(|rest| rest.strip_prefix(text.as_bytes()));
    quoted.is_some_and(|rest| rest.starts_with(b"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says_other(body: &str) -> bool {
        is_other_version(Protocol::OpenInference, &HeaderMap::new(), body.as_bytes(), "3")
    }

    #[test]
    fn only_another_version_is_one() {
        for same in [
            r#"{"model_version":"3"}"#,
            r#"{ "model_version" : "3" }"#,
            r#"{"model_version":3}"#,
            r#"{"model_version":null}"#,
            r#"{"outputs":[{"name":"model_version","data":["2"]}],"model_version":"3"}"#,
            r#"{"outputs":[{"parameters":{"model_version":"2"}}]}"#,
            r#"{"model_version":"2""#,
        ] {
            assert!(!says_other(same), "{same}");
        }
        for other in [r#"{"model_version":"2"}"#, r#"{"model_version":"33"}"#, r#"{"model_version": 2}"#] {
            assert!(says_other(other), "{other}");
        }
        let body = br#"{"model_version":"2"}"#;
        assert!(!is_other_version(Protocol::Http, &HeaderMap::new(), body, "3"));
    }

    #[test]
    fn errors_are_what_protocols_write_and_answers_are_not() {
        let error = br#"{"error":{"message":"m","type":"server_error"}}"#;
        assert!(is_error(Protocol::Openai, error) && !is_error(Protocol::Http, error));
        assert!(is_error(Protocol::Anthropic, br#"{"type":"error","error":{"type":"api_error","message":"m"}}"#));
        assert!(!is_error(Protocol::Openai, br#"{"error":null,"choices":[]}"#));
        assert!(!is_error(Protocol::Openai, br#"{"choices":[],"error":{"message":"m"}}"#));
        assert!(!is_error(Protocol::Anthropic, br#"{"content":[{"type":"text","text":"\"error\""}]}"#));
        assert!(!is_error(Protocol::OpenInference, br#"{"error":"m"#));
    }
}
