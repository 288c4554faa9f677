//! Expressions: how many events were bad, and how many there were, in a stretch of time.

use std::time::Duration;

use mainstay_core::slo::window::written;

use super::Sli;

/// A label's value, escaped.
pub(crate) fn quoted(value: &str) -> String {
    let mut out = String::from("\"");
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// Bad events within a window; zero where none was ever counted.
pub(super) fn bad(sli: &Sli, slo: &str, window: Duration) -> String {
    let at = written(window);
    match sli {
        Sli::Counters => grown("mainstay_slo_bad_total", slo, &at),
        Sli::Good { good, total } => format!("(({}) - ({}))", within(total, &at), or_zero(&within(good, &at))),
        Sli::Bad { bad, .. } => or_zero(&within(bad, &at)),
        // mainstay's own gauges have no events: see `error_ratio`.
        Sli::Gauges => String::new(),
    }
}

/// All events within a window; no sample where there was none, so that no ratio of nothing is recorded.
pub(super) fn total(sli: &Sli, slo: &str, window: Duration) -> String {
    let at = written(window);
    match sli {
        Sli::Counters => format!("({} + {}) > 0", grown("mainstay_slo_good_total", slo, &at), bad(sli, slo, window)),
        Sli::Good { total, .. } | Sli::Bad { total, .. } => format!("({}) > 0", within(total, &at)),
        Sli::Gauges => String::new(),
    }
}

/// The share of bad events within a window.
pub(super) fn error_ratio(sli: &Sli, slo: &str, window: Duration, budget: f64) -> String {
    match sli {
        Sli::Counters | Sli::Good { .. } | Sli::Bad { .. } => {
            format!("{}\n/\n({})", bad(sli, slo, window), total(sli, slo, window))
        }
        Sli::Gauges => {
            let window = written(window);
            format!("max(mainstay_slo_burn_rate{{slo={},window={}}}) * {budget}", quoted(slo), quoted(&window))
        }
    }
}

fn grown(metric: &str, slo: &str, window: &str) -> String {
    or_zero(&format!("sum(increase({metric}{{slo={}}}[{window}]))", quoted(slo)))
}

fn or_zero(expression: &str) -> String {
    format!("({expression} or vector(0))")
}

/// How much an expression of a source counted: by its mark of the window, or as a counter.
fn within(expression: &str, window: &str) -> String {
    if crate::lower::has_window(expression) {
        let filled = ["$window", "{{.window}}", "{{ .window }}"]
            .iter()
            .fold(expression.to_owned(), |text, mark| text.replace(mark, window));
        return format!("sum({filled})");
    }
    format!("sum(increase(({expression})[{window}:]))")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_written_as_prometheus_reads_them() {
        assert_eq!(quoted("a\"b\\c\nd"), r#""a\"b\\c\nd""#);
    }
}
