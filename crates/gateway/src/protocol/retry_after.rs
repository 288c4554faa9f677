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
/// HTTP date), and otherwise the longest `x-ratelimit-reset*`, `anthropic-ratelimit-*-reset`, `ratelimit-reset` or `ratelimit` (IETF) whose budget
/// is not known to be left.
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
    openai.chain(anthropic).chain(ietf_reset(headers)).max()
}

/// The IETF's drafts: seconds, in `ratelimit-reset`, or in `ratelimit` as `limit=10, remaining=0, reset=50` or `"default";r=0;t=50`.
fn ietf_reset(headers: &HeaderMap) -> Option<Duration> {
    let number = |name| text(headers, name)?.parse::<f64>().ok();
    let apart = || number("ratelimit-reset").filter(|_| number("ratelimit-remaining").is_none_or(|left| left <= 0.0));
    let together = || {
        let policies = text(headers, "ratelimit")?;
        let of = |all: &str, names: [&str; 2]| -> Option<f64> {
            let members = all.split([',', ';']).filter_map(|member| member.trim().split_once('='));
            members.into_iter().find(|(name, _)| names.contains(name)).and_then(|(_, value)| value.parse().ok())
        };
        // The later form has a policy per member; of the earlier one all members are of one policy.
        let each = if policies.contains(';') { policies.split(',').collect() } else { vec![policies] };
        let spent = each.into_iter().filter(|one| of(one, ["remaining", "r"]).is_none_or(|left| left <= 0.0));
        spent.filter_map(|one| of(one, ["reset", "t"])).max_by(f64::total_cmp)
    };
    apart().or_else(together).and_then(bounded)
}

/// How much of a body is searched for a time.
const TOLD_BYTES: usize = 4096;

/// What a provider says in its error's text alone: Google's `retryDelay`, and words such as "retry after 20 seconds" (Azure) or "try again in
/// 1m30s" (OpenAI).
pub(super) fn told(body: &[u8]) -> Option<Duration> {
    let body = String::from_utf8_lossy(&body[..body.len().min(TOLD_BYTES)]).to_ascii_lowercase();
    let after = |words: &str| body.find(words).map(|at| body[at + words.len()..].trim_start());
    let google = || {
        after("\"retrydelay\"")?.strip_prefix(':')?.trim_start().strip_prefix('"')?.split('"').next().and_then(units)
    };
    let in_words = || {
        let rest = after("retry after ").or_else(|| after("try again in "))?;
        let number = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '.').next()?.trim_end_matches('.');
        match number.parse::<f64>() {
            Ok(n) => {
                let unit = rest[number.len()..].trim_start();
                let scale = if unit.starts_with("ms") || unit.starts_with("milli") {
                    1e-3
                } else if unit.starts_with("min") {
                    60.0
                } else if unit.starts_with('s') {
                    1.0
                } else {
                    return None;
                };
                bounded(n * scale)
            }
            Err(_) => units(number),
        }
    };
    google().or_else(in_words)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_found_in_the_words_of_an_error() {
        let google = r#"{"error":{"code":429,"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay": "34.5s"}]}}"#;
        let azure = r#"{"error":{"code":"429","message":"Requests have exceeded the rate limit. Please retry after 26 seconds."}}"#;
        let openai = r#"{"error":{"message":"Rate limit reached for m on requests per min. Please try again in 1m30.5s. Visit us."}}"#;
        let short = r#"{"error":{"message":"Please try again in 86ms."}}"#;
        let minutes = r#"{"error":{"message":"Try again in 2 minutes"}}"#;
        for (body, seconds) in [(google, 34.5), (azure, 26.0), (openai, 90.5), (short, 0.086), (minutes, 120.0)] {
            assert_eq!(told(body.as_bytes()).map(|wait| wait.as_secs_f64()), Some(seconds), "{body}");
        }
        for body in
            ["", "{}", "please retry after lunch", "try again in -5 s", "retry after 5 apples", "\"retrydelay\":7"]
        {
            assert_eq!(told(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn the_ietfs_headers_are_read_in_each_of_their_forms() {
        let read = |pairs: &[(&'static str, &'static str)]| {
            let headers = pairs
                .iter()
                .map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value)));
            retry_after(&headers.collect(), Time::from_secs(100)).map(|wait| wait.as_secs())
        };
        assert_eq!(read(&[("ratelimit-reset", "30")]), Some(30));
        assert_eq!(read(&[("ratelimit-reset", "30"), ("ratelimit-remaining", "0")]), Some(30));
        assert_eq!(read(&[("ratelimit-reset", "30"), ("ratelimit-remaining", "7")]), None);
        assert_eq!(read(&[("ratelimit", "limit=100, remaining=0, reset=50")]), Some(50));
        assert_eq!(read(&[("ratelimit", "limit=100, remaining=3, reset=50")]), None);
        assert_eq!(read(&[("ratelimit", "\"burst\";r=5;t=9, \"daily\";r=0;t=70")]), Some(70));
        assert_eq!(read(&[("ratelimit", "nonsense")]), None);
        assert_eq!(read(&[("retry-after", "2"), ("ratelimit-reset", "30")]), Some(2));
    }
}
