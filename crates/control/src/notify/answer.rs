//! What an answer means.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use hyper::{HeaderMap, StatusCode, header};
use mainstay_core::time::Time;
use serde_json::Value;

use super::Outcome;
use super::hush::Hush;

/// Longest wish that is heeded.
const AFTER_MAX: Duration = Duration::from_hours(24);

/// An answer: its body as far as it came.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    /// What became of the notice.
    pub(super) fn outcome(&self, hush: &Hush, now: Time) -> Outcome {
        if self.status.is_success() {
            let provider = self.json().and_then(|body| Some(body.get("dedup_key")?.as_str()?.to_owned()));
            let provider = provider.map(|id| hush.shown(&id)).filter(|id| !id.is_empty());
            return Outcome::Delivered { provider };
        }
        let why = self.why(hush);
        if self.is_temporary() { Outcome::Later { after: self.after(now), why } } else { Outcome::Refused { why } }
    }

    /// The status, and what the body says of it.
    pub(super) fn why(&self, hush: &Hush) -> String {
        let said = hush.shown(&String::from_utf8_lossy(&self.body));
        let status = self.status.as_u16();
        if said.is_empty() { format!("answered {status}") } else { format!("answered {status}: {said}") }
    }

    fn is_temporary(&self) -> bool {
        let status = self.status;
        status.is_server_error()
            || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY)
    }

    /// How long to wait: `Retry-After`, in seconds or as a date, or the seconds of `retry_after` in the body (Discord).
    fn after(&self, now: Time) -> Option<Duration> {
        let in_body = || seconds(self.json()?.get("retry_after")?.as_f64()?);
        self.headers.get(header::RETRY_AFTER).and_then(|value| after(value.to_str().ok()?.trim(), now)).max(in_body())
    }

    fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

fn after(text: &str, now: Time) -> Option<Duration> {
    if let Ok(number) = text.parse::<f64>() {
        return seconds(number);
    }
    let at = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(at.saturating_sub(Duration::from_nanos(now.as_nanos())).min(AFTER_MAX))
}

fn seconds(number: f64) -> Option<Duration> {
    // `min` would turn NaN into the bound.
    let number = if number > AFTER_MAX.as_secs_f64() { AFTER_MAX.as_secs_f64() } else { number };
    Duration::try_from_secs_f64(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_seconds_dates_and_bounded() {
        let now = Time::from_secs(1_700_000_000);
        assert_eq!(after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(after("0.5", now), Some(Duration::from_millis(500)));
        assert_eq!(after("Tue, 14 Nov 2023 22:14:20 GMT", now), Some(Duration::from_mins(1)));
        // A date that has passed: at once.
        assert_eq!(after("Tue, 14 Nov 2023 22:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(after("1e300", now), Some(AFTER_MAX));
        assert_eq!(after("Sat, 14 Nov 2093 22:00:00 GMT", now), Some(AFTER_MAX));
        for text in ["-1", "NaN", "soon", ""] {
            assert_eq!(after(text, now), None, "{text}");
        }
    }
}
