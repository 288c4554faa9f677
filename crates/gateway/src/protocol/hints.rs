//! What a caller wishes for in headers: a class, a deadline, a time to the first token.

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderMap;
use mainstay_core::route::Class;

use super::grpc;

/// Attempts are counted up to this number.
const ATTEMPT_MAX: u32 = 1000;

/// A caller's wishes. They only ever lower a class or shorten a deadline; who applies them sees to that.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Hints {
    /// The least important of the classes that `x-mainstay-priority` and `x-gateway-inference-objective` ask for.
    pub class: Option<Class>,
    /// The shorter of `x-mainstay-deadline-ms` and `grpc-timeout`.
    pub deadline: Option<Duration>,
    /// The shorter of `x-stainless-read-timeout` and `x-stainless-timeout` (seconds): how long the caller waits while it hears nothing. Who has
    /// a whole answer to wait for hears nothing before it.
    pub patience: Option<Duration>,
    /// `x-slo-ttft-ms`: when the first token is wanted.
    pub ttft: Option<Duration>,
    /// `x-stainless-retry-count`, `x-mainstay-attempt`: whether the caller, or another mainstay before this one, asks again.
    pub is_retry: bool,
    /// How often another mainstay before this one has asked already.
    pub earlier: u32,
}

/// Reads the hints; one that makes no sense counts as absent. `objectives` are the config's names of classes.
///
/// One pass over the headers: most requests have none of these, and five look-ups cost more than one look.
pub fn hints(headers: &HeaderMap, objectives: &BTreeMap<String, Class>) -> Hints {
    let mut hints = Hints::default();
    for (name, value) in headers {
        let text = || value.to_str().ok().map(str::trim);
        let Some(name) = name.as_str().strip_prefix("x-") else {
            if name == grpc::TIMEOUT {
                hints.shorten(text().and_then(grpc::timeout));
            }
            continue;
        };
        match name {
            "mainstay-priority" => {
                let class = text().and_then(|text| text.parse().ok()).and_then(Class::new);
                hints.class = hints.class.max(class);
            }
            "gateway-inference-objective" => {
                let class = text().and_then(|name| objectives.get(name)).copied();
                hints.class = hints.class.max(class);
            }
            "mainstay-deadline-ms" => hints.shorten(text().and_then(|text| duration(text, 1e-3))),
            "stainless-read-timeout" | "stainless-timeout" => {
                let told = text().and_then(|text| duration(text, 1.0));
                hints.patience = hints.patience.into_iter().chain(told).min();
            }
            "stainless-retry-count" => hints.is_retry |= text().is_some_and(|count| count != "0"),
            "mainstay-attempt" => {
                let attempt: u32 = text().and_then(|text| text.parse().ok()).unwrap_or(1);
                hints.earlier = attempt.clamp(1, ATTEMPT_MAX) - 1;
                hints.is_retry |= hints.earlier > 0;
            }
            "slo-ttft-ms" => hints.ttft = text().and_then(|text| duration(text, 1e-3)),
            _ => {}
        }
    }
    hints
}

impl Hints {
    fn shorten(&mut self, deadline: Option<Duration>) {
        self.deadline = self.deadline.into_iter().chain(deadline).min();
    }
}

/// A positive number in a unit of `unit_seconds`.
fn duration(text: &str, unit_seconds: f64) -> Option<Duration> {
    let number: f64 = text.parse().ok()?;
    Duration::try_from_secs_f64(number * unit_seconds).ok().filter(|duration| !duration.is_zero())
}
