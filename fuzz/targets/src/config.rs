use mainstay_config::{Severity, load, render, to_json};

/// A config's text: a plan or errors, never neither; every finding points into the text and can be drawn.
pub fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (plan, findings) = load(&text);
    let refused = findings.iter().any(|finding| finding.code.severity() == Severity::Error);
    assert_eq!(plan.is_none(), refused, "a plan exactly when there are no errors");
    for finding in &findings {
        assert!(text.get(finding.span.range()).is_some(), "{finding:?} points outside of the text");
        assert!(!finding.message.is_empty());
    }
    if !findings.is_empty() {
        assert!(!render(&findings, "mainstay.yaml", &text, false).is_empty());
    }
    assert_eq!(to_json(&findings, "mainstay.yaml", &text).as_array().map(Vec::len), Some(findings.len()));
}
