//! How long a backend asks to be left alone.

use std::time::Duration;

use http::HeaderMap;
use mainstay_core::event::parse_time;
use mainstay_core::time::Time;

/// Longer wishes are cut to this.
pub const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);

/// From this number on, a reset is a point in time (seconds since the Unix epoch) and not a duration.
const EPOCH_FROM: f64 = 1e9;

/// How long the backend asks to be left alone: `retry-after-ms`, `x-ms-retry-after-ms`, `retry-after` (seconds or an
/// HTTP date), and otherwise the longest `x-ratelimit-reset*` or `anthropic-ratelimit-*-reset` whose budget is not known to be left.
///
/// ```
/// use http::{HeaderMap, HeaderName, HeaderValue};
/// use mainstay_core::time::Time;
/// use mainstay_gateway::protocol::retry_after;
/// use std::time::Duration;
///
/// let mut headers = HeaderMap::new();
/// let name = HeaderName::from_static("anthropic-ratelimit-tokens-reset");
/// headers.insert(name, HeaderValue::from_static("1970-01-01T00:01:40Z"));
/// assert_eq!(retry_after(&headers, Time::from_secs(70)), Some(Duration::from_secs(30)));
/// let left = HeaderName::from_static("anthropic-ratelimit-tokens-remaining");
/// headers.insert(left, HeaderValue::from_static("500"));
/// assert_eq!(retry_after(&headers, Time::from_secs(70)), None);
/// ```
pub fn retry_after(headers: &HeaderMap, now: Time) -> Option<Duration> {
    asked(headers, now).or_else(|| reset(headers, now))
}

/// What the backend asked for outright, without the state of its budgets.
pub(super) fn asked(headers: &HeaderMap, now: Time) -> Option<Duration> {
    let millis = |name| text(headers, name)?.parse().ok().and_then(|ms: f64| bounded(ms / 1e3));
    let after = || {
        let text = text(headers, "retry-after")?;
        match text.parse::<f64>() {
            Ok(seconds) => bounded(seconds),
            Err(_) => date(text, now),
        }
    };
    millis("retry-after-ms").or_else(|| millis("x-ms-retry-after-ms")).or_else(after)
}

fn reset(headers: &HeaderMap, now: Time) -> Option<Duration> {
    let openai = ["", "-requests", "-tokens"].into_iter().filter_map(|what| budget_reset(headers, what, now));
    let anthropic = ["requests", "tokens", "input-tokens", "output-tokens"];
    let anthropic = anthropic.into_iter().filter_map(|what| anthropic_reset(headers, what, now));
    openai.chain(anthropic).max()
}

/// Anthropic tells the point in time (RFC 3339).
fn anthropic_reset(headers: &HeaderMap, what: &str, now: Time) -> Option<Duration> {
    let remaining = text(headers, &format!("anthropic-ratelimit-{what}-remaining"));
    if remaining.and_then(|text| text.parse::<f64>().ok()).is_some_and(|left| left > 0.0) {
        return None;
    }
    let at = parse_time(text(headers, &format!("anthropic-ratelimit-{what}-reset"))?)?;
    Some(at.since(now).min(MAX_RETRY_AFTER))
}

fn budget_reset(headers: &HeaderMap, what: &str, now: Time) -> Option<Duration> {
    let remaining = text(headers, &format!("x-ratelimit-remaining{what}")).and_then(|text| text.parse::<f64>().ok());
    if remaining.is_some_and(|left| left > 0.0) {
        return None;
    }
    let text = text(headers, &format!("x-ratelimit-reset{what}"))?;
    match text.parse::<f64>() {
        Ok(at) if at >= EPOCH_FROM => bounded((at - now.as_secs_f64()).max(0.0)),
        Ok(seconds) => bounded(seconds),
        Err(_) => units(text),
    }
}

/// A duration such as `6m0s`, `1.5s` or `20ms`.
fn units(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        seconds += number * unit_seconds(&rest[..letters])?;
        rest = &rest[letters..];
    }
    if text.is_empty() { None } else { bounded(seconds) }
}

fn unit_seconds(unit: &str) -> Option<f64> {
    match unit {
        "d" => Some(86_400.0),
        "h" => Some(3600.0),
        "m" => Some(60.0),
        "s" => Some(1.0),
        "ms" => Some(1e-3),
        "us" | "µs" => Some(1e-6),
        "ns" => Some(1e-9),
        _ => None,
    }
}

fn date(text: &str, now: Time) -> Option<Duration> {
    let at = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(at.saturating_sub(Duration::from_nanos(now.as_nanos())).min(MAX_RETRY_AFTER))
}

fn bounded(seconds: f64) -> Option<Duration> {
    // `min` would turn NaN into the bound.
    let seconds = if seconds > MAX_RETRY_AFTER.as_secs_f64() { MAX_RETRY_AFTER.as_secs_f64() } else { seconds };
    Duration::try_from_secs_f64(seconds).ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}
