//! What a caller wishes for in headers: a class, a deadline, a time to the first token.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use mainstay_core::route::Class;

const PRIORITY: HeaderName = HeaderName::from_static("x-mainstay-priority");
const OBJECTIVE: HeaderName = HeaderName::from_static("x-gateway-inference-objective");
const DEADLINE: HeaderName = HeaderName::from_static("x-mainstay-deadline-ms");
const READ_TIMEOUT: HeaderName = HeaderName::from_static("x-stainless-read-timeout");
const TTFT: HeaderName = HeaderName::from_static("x-slo-ttft-ms");

/// A caller's wishes. They only ever lower a class or shorten a deadline; who applies them sees to that.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Hints {
    /// The least important of the classes that `x-mainstay-priority` and `x-gateway-inference-objective` ask for.
    pub class: Option<Class>,
    /// The shorter of `x-mainstay-deadline-ms` and `x-stainless-read-timeout` (seconds).
    pub deadline: Option<Duration>,
    /// `x-slo-ttft-ms`: when the first token is wanted.
    pub ttft: Option<Duration>,
}

/// Reads the hints; one that makes no sense counts as absent. `objectives` are the config's names of classes.
pub fn hints(headers: &HeaderMap, objectives: &BTreeMap<String, Class>) -> Hints {
    let priority = text(headers, &PRIORITY).and_then(|text| text.parse().ok()).and_then(Class::new);
    let objective = text(headers, &OBJECTIVE).and_then(|name| objectives.get(name)).copied();
    let deadline = duration(headers, &DEADLINE, 1e-3);
    let read_timeout = duration(headers, &READ_TIMEOUT, 1.0);
    Hints {
        class: priority.max(objective),
        deadline: deadline.into_iter().chain(read_timeout).min(),
        ttft: duration(headers, &TTFT, 1e-3),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

/// A positive number in a unit of `unit_seconds`.
fn duration(headers: &HeaderMap, name: &HeaderName, unit_seconds: f64) -> Option<Duration> {
    let number: f64 = text(headers, name)?.parse().ok()?;
    Duration::try_from_secs_f64(number * unit_seconds).ok().filter(|duration| !duration.is_zero())
}
