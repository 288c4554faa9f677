//! The receipt of an admitted call, and the refusal of one that was not.

use crate::time::Time;

/// The receipt of one admitted call. It goes back to the breaker with the call's outcome.
///
/// It names the generation of the state that admitted the call: an outcome from an earlier one decides nothing.
#[derive(Debug)]
#[must_use = "whatever was admitted reports back"]
pub struct Ticket {
    pub(super) generation: u32,
    /// 0 unless half-open.
    pub(super) probe: u32,
    pub(super) request: u64,
    pub(super) part: u32,
    pub(super) admitted_at: Time,
    pub(super) pace: Pace,
}

/// Whether a call is fast enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Not known yet.
    Waiting,
    /// The answer began in time.
    Answering,
    /// Counted as slow at that time.
    Slow(Time),
}

impl Ticket {
    /// The receipt of a call that a closed breaker of that generation let pass, for shells that admit such calls
    /// without asking the machine.
    #[inline]
    pub const fn closed(generation: u32, request: u64, now: Time) -> Ticket {
        Ticket { generation, probe: 0, request, part: 0, admitted_at: now, pace: Pace::Waiting }
    }

    /// The same for a call to that part of what the breaker stands for.
    #[inline]
    pub const fn to_part(mut self, part: u32) -> Ticket {
        self.part = part;
        self
    }

    /// The generation of the state that admitted the call.
    #[inline]
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// When the call was admitted.
    #[inline]
    pub const fn admitted_at(&self) -> Time {
        self.admitted_at
    }

    /// Whether the call tests a half-open breaker.
    #[inline]
    pub const fn is_probe(&self) -> bool {
        self.probe != 0
    }

    /// Whether the call was counted as slow.
    #[inline]
    pub const fn is_slow(&self) -> bool {
        matches!(self.pace, Pace::Slow(_))
    }

    /// Whether the answer has not begun as far as the ticket knows.
    #[inline]
    pub const fn is_waiting(&self) -> bool {
        matches!(self.pace, Pace::Waiting)
    }

    /// The answer began in time: however long it goes on, the call is not slow. A stream is judged by its first byte.
    #[inline]
    pub const fn answer_began(&mut self) {
        if matches!(self.pace, Pace::Waiting) {
            self.pace = Pace::Answering;
        }
    }
}

/// A call that was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the breaker is {}", why.name())]
pub struct Rejected {
    /// When it makes sense to ask again.
    pub retry_at: Time,
    /// What stood in the way.
    pub why: Refusal,
}

/// What stood in a call's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The breaker is open.
    Open,
    /// The breaker is half-open, and enough calls are testing the backend.
    Probing,
    /// The breaker is open by order.
    Forced,
}

impl Refusal {
    /// The name in events and headers.
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::Open => "open",
            Refusal::Probing => "half open",
            Refusal::Forced => "held open",
        }
    }
}
