//! What a backend's error says about the key that the call bore.

use mainstay_core::llm::taxonomy::{self, Kind};
use mainstay_core::resilience::keys::Fault;
use mainstay_core::route::Protocol;

/// What an answer with this status and this start of its body says about the key; `None`: nothing.
///
/// ```
/// use mainstay_core::resilience::keys::Fault;
/// use mainstay_core::route::Protocol;
/// use mainstay_gateway::protocol::key_fault;
///
/// let spent = br#"{"error":{"code":"insufficient_quota"}}"#;
/// assert_eq!(key_fault(Protocol::Openai, 429, spent), Some(Fault::Spent));
/// assert_eq!(key_fault(Protocol::Http, 403, b""), Some(Fault::Refused));
/// assert_eq!(key_fault(Protocol::Http, 503, b""), None);
/// ```
pub fn key_fault(protocol: Protocol, status: u16, body: &[u8]) -> Option<Fault> {
    match (protocol, status) {
        (_, 0..=399) => None,
        (Protocol::Openai | Protocol::Anthropic, _) => taxonomy::of_answer(status, body).and_then(of_kind),
        (Protocol::OpenInference | Protocol::OpenInferenceGrpc | Protocol::Http, 401 | 403) => Some(Fault::Refused),
        (Protocol::OpenInference | Protocol::OpenInferenceGrpc | Protocol::Http, 402) => Some(Fault::Spent),
        (Protocol::OpenInference | Protocol::OpenInferenceGrpc | Protocol::Http, 429) => Some(Fault::Limited),
        (Protocol::OpenInference | Protocol::OpenInferenceGrpc | Protocol::Http, _) => None,
    }
}

/// What an error of a language model says about the key.
pub(crate) const fn of_kind(kind: Kind) -> Option<Fault> {
    match kind {
        Kind::Rate => Some(Fault::Limited),
        Kind::Auth => Some(Fault::Refused),
        Kind::Spend => Some(Fault::Spent),
        Kind::Capacity
        | Kind::Context
        | Kind::Content
        | Kind::Silent
        | Kind::Cut
        | Kind::Malformed
        | Kind::Server
        | Kind::Caller => None,
    }
}
