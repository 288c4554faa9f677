//! What a breaker tells the world, as values.

use super::window::Counts;
use crate::time::Time;

/// The state of a breaker as others name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Calls pass and are judged.
    Closed,
    /// No call passes.
    Open,
    /// A few calls pass, to see whether the backend is well again.
    HalfOpen,
    /// No call passes, by order.
    ForcedOpen,
    /// All calls pass and nothing is judged, by order.
    ForcedClosed,
    /// All calls pass; what the rules would do is only reported, by order.
    MetricsOnly,
}

impl Phase {
    /// The name in events and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Closed => "closed",
            Phase::Open => "open",
            Phase::HalfOpen => "half_open",
            Phase::ForcedOpen => "forced_open",
            Phase::ForcedClosed => "forced_closed",
            Phase::MetricsOnly => "metrics_only",
        }
    }

    /// Of two breakers that both have to let a call pass: what comes of them.
    ///
    /// ```
    /// use mainstay_core::resilience::breaker::Phase;
    ///
    /// assert_eq!(Phase::Closed.and(Phase::HalfOpen), Phase::HalfOpen);
    /// assert_eq!(Phase::Open.and(Phase::HalfOpen), Phase::Open);
    /// ```
    #[must_use]
    pub const fn and(self, other: Phase) -> Phase {
        match (self, other) {
            (Phase::ForcedOpen, _) | (_, Phase::ForcedOpen) => Phase::ForcedOpen,
            (Phase::Open, _) | (_, Phase::Open) => Phase::Open,
            (Phase::HalfOpen, _) | (_, Phase::HalfOpen) => Phase::HalfOpen,
            (Phase::Closed | Phase::ForcedClosed | Phase::MetricsOnly, _) => self,
        }
    }
}

/// A mode that somebody orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Let no call pass.
    Open,
    /// Let all calls pass and judge none.
    Closed,
    /// Let all calls pass and only report what the rules would do.
    MetricsOnly,
}

impl Mode {
    pub(super) const fn phase(self) -> Phase {
        match self {
            Mode::Open => Phase::ForcedOpen,
            Mode::Closed => Phase::ForcedClosed,
            Mode::MetricsOnly => Phase::MetricsOnly,
        }
    }
}

/// What made the breaker change its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Too many hard failures in a row, from at least two requests.
    Streak,
    /// Too large a share of failures.
    FailureShare,
    /// Too large a share of slow calls.
    SlowShare,
    /// The breakers of most parts opened together.
    PartsOpened,
    /// The backend asked to be left alone.
    Throttled,
    /// The time open is over.
    Elapsed,
    /// A half-open call failed.
    ProbeFailed,
    /// A half-open call became slow.
    ProbeSlow,
    /// A half-open call was throttled.
    ProbeThrottled,
    /// Enough half-open calls in a row went well.
    Recovered,
    /// By order, for this reason.
    Forced(String),
    /// The order was taken back.
    Released,
    /// The order's time is over.
    Expired,
}

impl Why {
    /// The name in events.
    pub const fn name(&self) -> &'static str {
        match self {
            Why::Streak => "streak",
            Why::FailureShare => "failure_share",
            Why::SlowShare => "slow_share",
            Why::PartsOpened => "parts_opened",
            Why::Throttled => "throttled",
            Why::Elapsed => "elapsed",
            Why::ProbeFailed => "probe_failed",
            Why::ProbeSlow => "probe_slow",
            Why::ProbeThrottled => "probe_throttled",
            Why::Recovered => "recovered",
            Why::Forced(_) => "forced",
            Why::Released => "released",
            Why::Expired => "expired",
        }
    }
}

/// The figures that a decision was made on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// The calls that were judged.
    pub counts: Counts,
    /// Lower bound of the failure share, 95 % sure.
    pub failure_low: f64,
    /// Hard failures in a row.
    pub streak: u32,
    /// How many of them it takes.
    pub streak_needed: u32,
}

/// A change of state.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// The state before.
    pub from: Phase,
    /// The state from here on.
    pub to: Phase,
    /// What made it change.
    pub why: Why,
    /// When.
    pub at: Time,
    /// When the new state ends by itself, if it does.
    pub until: Option<Time>,
    /// On which figures.
    pub evidence: Evidence,
}

/// What a breaker wants to be known.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// The state changed.
    Transition(Transition),
    /// The state would have changed, had the breaker not been ordered to report only.
    WouldOpen {
        /// What would have made it change.
        why: Why,
        /// When.
        at: Time,
        /// On which figures.
        evidence: Evidence,
    },
}
