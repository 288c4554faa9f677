//! What the admin API says, in words for people.

use serde_json::Value;

/// A value as a word; what is absent is a dash.
pub(crate) fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The items of a list; what is none has none.
pub(crate) fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A share as a percentage, with a digit more where it is small.
pub(crate) fn percent(share: &Value) -> String {
    match share.as_f64() {
        None => "-".to_owned(),
        Some(share) if share != 0.0 && share.abs() < 0.01 => format!("{:.3} %", share * 100.0),
        Some(share) => format!("{:.1} %", share * 100.0),
    }
}

/// Seconds in the two largest units that fit.
pub(crate) fn span(seconds: Option<f64>) -> String {
    let Some(seconds) = seconds else { return "-".to_owned() };
    let whole = seconds as u64;
    let parts = [(whole / 86_400, "d"), (whole / 3_600 % 24, "h"), (whole / 60 % 60, "m"), (whole % 60, "s")];
    let parts = parts.iter().skip_while(|(count, _)| *count == 0).take(2).filter(|(count, _)| *count > 0);
    let text: Vec<String> = parts.map(|(count, unit)| format!("{count}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text.join(" ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn spans_and_shares_are_short() {
        let spans = [0.4, 59.0, 3_600.0, 3_661.0, 90_000.0, 2_592_000.0].map(|seconds| span(Some(seconds)));
        assert_eq!(spans, ["0s", "59s", "1h", "1h 1m", "1d 1h", "30d"]);
        assert_eq!(
            [json!(0.001), json!(0.5), json!(-2.0), json!(null)].map(|share| percent(&share)),
            ["0.100 %", "50.0 %", "-200.0 %", "-"]
        );
    }
}
