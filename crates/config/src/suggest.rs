//! Did you mean.

pub(crate) use mainstay_core::suggest::nearest;

/// Help that names the nearest known name, or all of them.
pub(crate) fn did_you_mean(written: &str, known: &[&str]) -> Option<String> {
    match nearest(written, known.iter().copied()) {
        Some(name) => Some(format!("did you mean `{name}`?")),
        None if known.is_empty() => None,
        None => Some(format!("known here: {}", listed(known))),
    }
}

/// `a`, `b` and `c` in one line; a long list is cut.
pub(crate) fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 24;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let more = if names.len() > SHOWN { ", ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}
