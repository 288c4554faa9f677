//! What a backend's answer says about the backend.

use std::time::Duration;

use http::HeaderMap;
use mainstay_core::llm::taxonomy::{self, Kind};
use mainstay_core::resilience::outcome::{FailureKind, Outcome};
use mainstay_core::route::Protocol;
use mainstay_core::time::Time;

use super::retry_after::{asked, retry_after, told};

/// How long a backend is left alone whose key has spent its quota: no wait within a request helps.
pub(crate) const QUOTA_PAUSE: Duration = Duration::from_hours(1);

/// How much of an answer's start is searched for the words below.
const START_BYTES: usize = 4096;

/// What MLServer says, with 400, while it loads a model.
const NOT_READY: &str = "is not ready yet";

/// Whether [`classify`] needs the start of the answer's body for this status.
pub const fn needs_body(protocol: Protocol, status: u16) -> bool {
    match protocol {
        Protocol::OpenInference => status == 400,
        Protocol::Openai | Protocol::Anthropic => status >= 400,
        Protocol::OpenInferenceGrpc | Protocol::Http => false,
    }
}

/// Classifies a backend's answer by its status, its headers and, where [`needs_body`] says so, its start. Without the
/// start the status alone decides.
///
/// - A 400 of Open Inference that says "is not ready yet" is the backend's failure, not the caller's.
/// - Answers of language models mean what [`taxonomy`] says of them. A quota that is spent is a failure with a wish for an hour of rest, so
///   that no retry follows and the breaker learns of it: the next level answers.
/// - A 429 reads the state of rate-limit budgets too, a 5xx only what the backend asks for outright.
pub fn classify(protocol: Protocol, status: u16, headers: &HeaderMap, body_start: Option<&[u8]>, now: Time) -> Outcome {
    let failure = |retry_after| Outcome::Failure { kind: FailureKind::Server, retry_after };
    match (protocol, status) {
        (_, 0..=399) => Outcome::Success,
        (Protocol::OpenInference, 400) if says_not_ready(body_start) => failure(asked(headers, now)),
        (Protocol::Openai | Protocol::Anthropic, _) => of_model(status, headers, body_start.unwrap_or_default(), now),
        (_, 429) => Outcome::from_status(status, retry_after(headers, now)),
        (_, _) => Outcome::from_status(status, asked(headers, now)),
    }
}

fn says_not_ready(body_start: Option<&[u8]>) -> bool {
    let start = body_start.map(|start| &start[..start.len().min(START_BYTES)]);
    start.is_some_and(|start| memchr::memmem::find(start, NOT_READY.as_bytes()).is_some())
}

/// What an error of a language model says about the model.
fn of_model(status: u16, headers: &HeaderMap, body: &[u8], now: Time) -> Outcome {
    let failure = |retry_after| Outcome::Failure { kind: FailureKind::Server, retry_after };
    match taxonomy::of_answer(status, body) {
        None => Outcome::Success,
        Some(Kind::Spend) => failure(Some(QUOTA_PAUSE)),
        Some(Kind::Rate) => Outcome::Throttled { retry_after: retry_after(headers, now).or_else(|| told(body)) },
        Some(Kind::Capacity) => failure(asked(headers, now).or_else(|| told(body))),
        Some(Kind::Server | Kind::Silent | Kind::Cut | Kind::Malformed) => failure(asked(headers, now)),
        Some(Kind::Auth | Kind::Context | Kind::Content | Kind::Caller) => Outcome::Caller { status },
    }
}
