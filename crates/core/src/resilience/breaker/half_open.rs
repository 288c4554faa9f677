//! The half-open state: a few leased calls that show whether the backend is well again.

use super::effect::Why;
use super::policy::Config;
use super::ticket::Ticket;
use crate::resilience::outcome::Outcome;
use crate::time::Time;

/// What a half-open call showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Undecided,
    Well,
    Ill(Why),
}

#[derive(Clone, Debug)]
pub(super) struct HalfOpen {
    /// Calls under way, at most `allowed`.
    probes: Vec<Probe>,
    allowed: u32,
    successes: u32,
    /// The last number given to a call.
    serial: u32,
    /// Parts that others go before: each is passed over once.
    wary_of: Vec<u32>,
    /// Parts that answered.
    answered: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Probe {
    serial: u32,
    until: Time,
}

impl HalfOpen {
    pub(super) const fn new(wary_of: Vec<u32>) -> HalfOpen {
        HalfOpen { probes: Vec::new(), allowed: 1, successes: 0, serial: 0, wary_of, answered: Vec::new() }
    }

    /// The number of a call to that part that may go ahead and must be back by `until`.
    pub(super) fn admit(&mut self, part: u32, until: Time) -> Option<u32> {
        if self.probes() >= self.allowed {
            return None;
        }
        // Whose turn it is comes next on the same request's way; where nobody does, this one is asked by the next request.
        if let Some(at) = self.wary_of.iter().position(|ill| *ill == part) {
            self.wary_of.swap_remove(at);
            return None;
        }
        self.serial = self.serial.wrapping_add(1).max(1);
        self.probes.push(Probe { serial: self.serial, until });
        Some(self.serial)
    }

    /// A call whose lease is over still shows how the backend is; its permit is back already.
    pub(super) fn handle_outcome(&mut self, config: &Config, ticket: &Ticket, outcome: Outcome) -> Verdict {
        self.probes.retain(|probe| probe.serial != ticket.probe);
        match outcome {
            Outcome::Success => {
                if !self.answered.contains(&ticket.part) {
                    self.answered.push(ticket.part);
                }
                self.successes += 1;
                self.allowed = self.allowed.saturating_mul(2).min(config.half_open_max.max(1));
                if self.successes >= config.successes { Verdict::Well } else { Verdict::Undecided }
            }
            Outcome::Failure { .. } => self.ill(ticket.part, Why::ProbeFailed),
            Outcome::Throttled { .. } => Verdict::Ill(Why::ProbeThrottled),
            Outcome::Caller { .. } | Outcome::Cancelled => Verdict::Undecided,
        }
    }

    /// A call to that part showed that something is ill: the part alone where others answer.
    pub(super) fn ill(&self, part: u32, why: Why) -> Verdict {
        let others_answer = !self.answered.is_empty() && !self.answered.contains(&part);
        if others_answer { Verdict::Undecided } else { Verdict::Ill(why) }
    }

    pub(super) fn handle_timeout(&mut self, now: Time) {
        self.probes.retain(|probe| now < probe.until);
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.probes.iter().map(|probe| probe.until).min()
    }

    pub(super) fn probes(&self) -> u32 {
        self.probes.len() as u32
    }

    pub(super) fn allowed(&self) -> u32 {
        self.allowed
    }

    /// Whether calls were answered well and none was not: one that is not ends the state.
    pub(super) const fn goes_well(&self) -> bool {
        self.successes > 0
    }
}
