//! Until when something is waited for.

use mainstay_core::resilience::outcome::{FailureKind, Outcome};
use mainstay_core::time::Time;

/// Until when something is waited for, and whose wish that is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Until {
    /// The moment.
    pub(crate) at: Time,
    /// It is so soon because a caller shortened its deadline: what is slower than somebody wishes is not ill. What hangs is found by those
    /// who wait, and is slow before that.
    pub(crate) hurried: bool,
}

impl Until {
    /// By nobody's wish.
    pub(crate) const fn of(at: Time) -> Until {
        Until { at, hurried: false }
    }

    /// The same where what is asked may take until `own` by itself.
    pub(crate) fn within(self, own: Time) -> Until {
        if own <= self.at { Until::of(own) } else { self }
    }

    /// What is learned of whoever was waited for in vain.
    pub(crate) const fn late(self) -> Outcome {
        if self.hurried { Outcome::Cancelled } else { Outcome::failure(FailureKind::Timeout) }
    }
}
