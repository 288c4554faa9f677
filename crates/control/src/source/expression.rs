//! The expressions of an SLI, and what their values mean.

use std::time::Duration;

use super::Reading;

/// What stands for the stretch of time in an expression: ours, and Sloth's.
pub const WINDOW_MARKS: [&str; 3] = ["$window", "{{.window}}", "{{ .window }}"];

/// Two expressions: all events, and those that are good or those that are bad.
///
/// An expression that holds one of [`WINDOW_MARKS`] is asked for a stretch of time:
/// `sum(increase(requests_total[$window]))`. One without is a counter that only grows, such as `requests_total`; its
/// values at both ends are subtracted, and a smaller value at the end is taken for a counter that began again at zero.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counters {
    part: String,
    part_is_good: bool,
    total: String,
}

impl Counters {
    /// Good events and all events.
    pub fn good(good: impl Into<String>, total: impl Into<String>) -> Counters {
        Counters { part: good.into(), part_is_good: true, total: total.into() }
    }

    /// Bad events and all events.
    pub fn bad(bad: impl Into<String>, total: impl Into<String>) -> Counters {
        Counters { part: bad.into(), part_is_good: false, total: total.into() }
    }

    pub(super) fn part_expression(&self) -> &str {
        &self.part
    }

    pub(super) fn total_expression(&self) -> &str {
        &self.total
    }

    /// What the sums say. A part without series beside a total that counts is zero: a service that never failed has no
    /// series of failures, and one that never succeeded has none of successes.
    pub(super) fn reading(&self, part: Option<f64>, total: f64) -> Reading {
        if total <= 0.0 {
            return Reading::NoTraffic;
        }
        // Extrapolation and scrapes between two queries can put a part slightly above its whole.
        let part = part.unwrap_or(0.0).clamp(0.0, total);
        Reading::Events { good: if self.part_is_good { part } else { total - part }, total }
    }
}

/// The expression for a stretch of time; `None` for a bare counter.
pub(super) fn windowed(expression: &str, window: Duration) -> Option<String> {
    let marks: Vec<&str> = WINDOW_MARKS.into_iter().filter(|mark| expression.contains(mark)).collect();
    let written = format!("{}s", window.as_secs().max(1));
    (!marks.is_empty()).then(|| marks.iter().fold(expression.to_owned(), |text, mark| text.replace(mark, &written)))
}

/// By how much a counter grew between two values. One that was not there before may have counted for years before it
/// was scraped: it counts from its first value on, as `increase()` has it.
pub(super) fn growth(before: Option<f64>, after: f64) -> f64 {
    match before {
        Some(before) if after < before => after,
        Some(before) => after - before,
        None => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_the_window_are_filled_in() {
        let minute = Duration::from_mins(1);
        assert_eq!(windowed("sum(increase(x[$window]))", minute).as_deref(), Some("sum(increase(x[60s]))"));
        assert_eq!(windowed("rate(x[{{.window}}])", minute).as_deref(), Some("rate(x[60s])"));
        assert_eq!(windowed("rate(x[{{ .window }}])", minute).as_deref(), Some("rate(x[60s])"));
        assert_eq!(windowed("sum(x)", minute), None);
    }

    #[test]
    fn counters_begin_again_at_zero() {
        assert_eq!(growth(Some(5.0), 8.0), 3.0);
        assert_eq!(growth(Some(5.0), 2.0), 2.0);
        assert_eq!(growth(None, 2.0), 0.0);
    }

    #[test]
    fn traffic_and_its_absence_are_told_apart() {
        let (good, bad) = (Counters::good("g", "t"), Counters::bad("b", "t"));
        assert!(matches!(good.reading(Some(0.0), 0.0), Reading::NoTraffic));
        assert!(matches!(good.reading(None, 4.0), Reading::Events { good: 0.0, total: 4.0 }));
        assert!(matches!(bad.reading(None, 4.0), Reading::Events { good: 4.0, total: 4.0 }));
        assert!(matches!(bad.reading(Some(1.0), 4.0), Reading::Events { good: 3.0, total: 4.0 }));
        assert!(matches!(good.reading(Some(4.1), 4.0), Reading::Events { good: 4.0, total: 4.0 }));
    }
}
