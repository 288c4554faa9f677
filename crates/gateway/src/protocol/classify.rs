//! What a backend's answer says about the backend.

use std::time::Duration;

use http::HeaderMap;
use mainstay_core::resilience::outcome::{FailureKind, Outcome};
use mainstay_core::route::Protocol;
use mainstay_core::time::Time;

use super::retry_after::{asked, retry_after};

/// How long a backend is left alone whose key has spent its quota: no wait within a request helps.
const QUOTA_PAUSE: Duration = Duration::from_hours(1);

/// How much of an answer's start is searched for the words below.
const START_BYTES: usize = 4096;

/// What MLServer says, with 400, while it loads a model.
const NOT_READY: &str = "is not ready yet";

/// What providers write where a chat has more tokens than the model takes.
const CONTEXT_TOO_LONG: [&str; 3] = ["context_length_exceeded", "prompt is too long", "maximum context length"];

/// Codes of a 429 that says "pay", not "wait".
const QUOTA_SPENT: [&str; 3] = ["insufficient_quota", "enforced_spend_limit_reached", "billing_hard_limit_reached"];

/// Whether [`classify`] needs the start of the answer's body for this status.
pub const fn needs_body(protocol: Protocol, status: u16) -> bool {
    match protocol {
        Protocol::OpenInference => status == 400,
        Protocol::Openai | Protocol::Anthropic => status == 429,
        Protocol::Http => false,
    }
}

/// Whether an answer with status 400 or 413 says that a chat is too long for the model.
pub fn says_context_too_long(body: &[u8]) -> bool {
    let start = &body[..body.len().min(START_BYTES)];
    CONTEXT_TOO_LONG.iter().any(|words| memchr::memmem::find(start, words.as_bytes()).is_some())
}

/// Classifies a backend's answer by its status, its headers and, where [`needs_body`] says so, its start. Without the
/// start the status alone decides.
///
/// - A 400 of Open Inference that says "is not ready yet" is the backend's failure, not the caller's.
/// - A 429 that says the quota is spent is a failure with a wish for an hour of rest, so that no retry follows and the
///   breaker learns of it: the next level answers.
/// - A 429 reads the state of rate-limit budgets too, a 5xx only what the backend asks for outright.
pub fn classify(protocol: Protocol, status: u16, headers: &HeaderMap, body_start: Option<&[u8]>, now: Time) -> Outcome {
    let says = |words: &str| {
        let start = body_start.map(|start| &start[..start.len().min(START_BYTES)]);
        start.is_some_and(|start| memchr::memmem::find(start, words.as_bytes()).is_some())
    };
    let failure = |retry_after| Outcome::Failure { kind: FailureKind::Server, retry_after };
    match (protocol, status) {
        (_, 0..=399) => Outcome::Success,
        (Protocol::OpenInference, 400) if says(NOT_READY) => failure(asked(headers, now)),
        (Protocol::Openai | Protocol::Anthropic, 429) if QUOTA_SPENT.into_iter().any(says) => {
            failure(Some(QUOTA_PAUSE))
        }
        (_, 429) => Outcome::from_status(status, retry_after(headers, now)),
        (_, _) => Outcome::from_status(status, asked(headers, now)),
    }
}
