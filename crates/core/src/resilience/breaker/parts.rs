//! What several backends that share their fate show together: the parts of what one breaker stands for.

use super::effect::{Phase, Transition, Why};
use crate::time::Time;
use std::time::Duration;

/// Failures in a row that speak against a part: one is bad luck.
const EACH: u32 = 2;
/// Parts whose breakers opened further apart than so many windows opened each for itself.
const TOGETHER: u32 = 3;

/// What was seen of the parts while the breaker is closed. At most one entry for each.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    /// Failures in a row of each, since any of them answered.
    failures: Vec<(u32, u32)>,
    /// When the breaker of each opened last.
    opened: Vec<(u32, Time)>,
}

impl Parts {
    /// Any part answered, or the failures before are too old: those say nothing more.
    pub(super) fn begin(&mut self) {
        self.failures.clear();
    }

    /// A failure that counts.
    pub(super) fn handle_failure(&mut self, part: u32) {
        match self.failures.iter_mut().find(|(at, _)| *at == part) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => self.failures.push((part, 1)),
        }
    }

    /// Whether the failures in a row are those of several parts.
    pub(super) fn fail_together(&self) -> bool {
        self.failures.iter().filter(|(_, count)| *count >= EACH).count() > 1
    }

    /// The breaker of a part opened; whether most of `parts` did within the time in which that is one event.
    pub(super) fn handle_opened(&mut self, part: u32, parts: u32, window: Duration, now: Time) -> bool {
        self.opened.retain(|(at, when)| *at != part && now.since(*when) < window * TOGETHER);
        self.opened.push((part, now));
        let opened = self.opened.len() as u32;
        opened > 1 && opened.saturating_mul(2) >= parts
    }

    /// Those that there is something against.
    pub(super) fn ill(&self) -> Vec<u32> {
        let failing = self.failures.iter().map(|(part, _)| *part);
        let mut ill: Vec<u32> = failing.chain(self.opened.iter().map(|(part, _)| *part)).collect();
        ill.sort_unstable();
        ill.dedup();
        ill
    }
}

/// Whether a change of a part's breaker says something about what it shares with others. What it was asked to heed, and what somebody
/// ordered, is its own; that it is still ill is no news.
pub(super) fn concerns_all(change: &Transition) -> bool {
    let by_itself = matches!(change.why, Why::Streak | Why::FailureShare | Why::SlowShare);
    change.from == Phase::Closed && change.to == Phase::Open && by_itself
}
