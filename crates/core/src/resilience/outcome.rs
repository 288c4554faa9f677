//! How an attempt against a backend ended, in the one vocabulary that every machine of this module reads.

use std::time::Duration;

/// How one attempt against a backend ended.
///
/// ```
/// use mainstay_core::resilience::outcome::{FailureKind, Outcome};
///
/// assert_eq!(Outcome::from_status(200, None), Outcome::Success);
/// assert_eq!(Outcome::from_status(503, None), Outcome::failure(FailureKind::Server));
/// assert!(matches!(Outcome::from_status(429, None), Outcome::Throttled { .. }));
/// assert!(matches!(Outcome::from_status(400, None), Outcome::Caller { status: 400 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A whole and usable answer.
    Success,
    /// The backend is at fault.
    Failure {
        /// What went wrong.
        kind: FailureKind,
        /// How long the backend asked to be left alone, if it did.
        retry_after: Option<Duration>,
    },
    /// The backend turned the call away for its volume (429): it is well, and wants less.
    Throttled {
        /// How long the backend asked to be left alone, if it did.
        retry_after: Option<Duration>,
    },
    /// The call itself was at fault (4xx): says nothing about the backend.
    Caller {
        /// The HTTP status, or the one that comes closest.
        status: u16,
    },
    /// Nobody waits for the answer any more: says nothing about the backend.
    Cancelled,
}

/// What a backend did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureKind {
    /// No connection, or it broke before the answer began.
    Transport,
    /// No answer in time.
    Timeout,
    /// An answer that admits a fault (5xx), or one that cannot be used.
    Server,
    /// The answer began and broke off.
    BrokenStream,
}

impl Outcome {
    /// A failure without a wish to be left alone.
    pub const fn failure(kind: FailureKind) -> Outcome {
        Outcome::Failure { kind, retry_after: None }
    }

    /// What an HTTP status says about the attempt. Statuses below 400 are successes.
    pub const fn from_status(status: u16, retry_after: Option<Duration>) -> Outcome {
        match status {
            0..=399 => Outcome::Success,
            429 => Outcome::Throttled { retry_after },
            400..=499 => Outcome::Caller { status },
            500.. => Outcome::Failure { kind: FailureKind::Server, retry_after },
        }
    }

    /// Whether the backend is at fault.
    pub const fn is_failure(&self) -> bool {
        matches!(self, Outcome::Failure { .. })
    }

    /// How long the backend asked to be left alone, if it did.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Outcome::Failure { retry_after, .. } | Outcome::Throttled { retry_after } => *retry_after,
            Outcome::Success | Outcome::Caller { .. } | Outcome::Cancelled => None,
        }
    }

    /// The same as far as it concerns what the backend shares with others: what it asks for itself is its own business.
    #[must_use]
    pub const fn shared(self) -> Outcome {
        match self {
            Outcome::Failure { kind, .. } => Outcome::failure(kind),
            Outcome::Throttled { .. } => Outcome::Cancelled,
            Outcome::Success | Outcome::Caller { .. } | Outcome::Cancelled => self,
        }
    }

    /// What a limit learns of the attempt: whether it was dropped. `None`: nothing. `overloaded` says that the backend
    /// answered that it has too much to do.
    pub const fn bears_on_limit(&self, overloaded: bool) -> Option<bool> {
        match self {
            Outcome::Success | Outcome::Caller { .. } => Some(false),
            Outcome::Failure { kind: FailureKind::Timeout, .. } | Outcome::Throttled { .. } => Some(true),
            Outcome::Failure { .. } if overloaded => Some(true),
            // An instant error says nothing about how much the backend can carry.
            Outcome::Failure { .. } | Outcome::Cancelled => None,
        }
    }

    /// Whether the same call may end otherwise when it is made again: failures before the answer began, and 408, 409,
    /// 425 and 429. An answer that broke off has already been seen by the caller and cannot be taken back.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Outcome::Failure { kind, .. } => match kind {
                FailureKind::Transport | FailureKind::Timeout | FailureKind::Server => true,
                FailureKind::BrokenStream => false,
            },
            Outcome::Throttled { .. } => true,
            Outcome::Caller { status } => matches!(status, 408 | 409 | 425),
            Outcome::Success | Outcome::Cancelled => false,
        }
    }
}
