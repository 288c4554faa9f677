//! Breakers of backends that share their fate.

use mainstay_core::plan::Plan;
use mainstay_core::resilience::breaker::{Breaker, Config, Phase, Rejected, Ticket, Transition};
use mainstay_core::resilience::ladder::Seen;
use mainstay_core::resilience::outcome::Outcome;
use mainstay_core::time::Time;

/// A group.
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) members: Vec<String>,
    pub(crate) breaker: Breaker,
}

/// The groups of a plan.
pub(crate) struct Groups {
    pub(crate) all: Vec<Group>,
    /// By backend: its group, and its place in that.
    of: Vec<Option<(usize, u32)>>,
}

impl Groups {
    pub(crate) fn new(plan: &Plan, seed: u64, now: Time) -> Groups {
        let mut of = vec![None; plan.backends.len()];
        let group = |(at, (name, members)): (usize, (&str, Vec<usize>))| {
            members.iter().enumerate().for_each(|(place, backend)| of[*backend] = Some((at, place as u32)));
            let backends = || members.iter().map(|backend| &plan.backends[*backend]);
            let config = Config::of_parts(backends().map(|backend| &backend.breaker));
            let members = backends().map(|backend| backend.name.clone()).collect();
            Group { name: name.to_owned(), members, breaker: Breaker::new(config, seed, now) }
        };
        Groups { all: plan.groups().into_iter().enumerate().map(group).collect(), of }
    }

    /// Asks a backend's group, where it is of one, to let a call through.
    pub(crate) fn admit(&mut self, backend: usize, request: u64, now: Time) -> Result<Option<Ticket>, Rejected> {
        match self.of[backend] {
            Some((group, part)) => self.all[group].breaker.handle_admit_to(part, request, now).map(Some),
            None => Ok(None),
        }
    }

    /// A call has ended.
    pub(crate) fn ended(&mut self, backend: usize, ticket: Option<Ticket>, outcome: Outcome, now: Time) {
        if let (Some((group, _)), Some(ticket)) = (self.of[backend], ticket) {
            self.all[group].breaker.handle_outcome(ticket, outcome, now);
        }
    }

    /// A call is slow.
    pub(crate) fn slow(&mut self, backend: usize, ticket: &mut Option<Ticket>, now: Time) {
        if let (Some((group, _)), Some(ticket)) = (self.of[backend], ticket) {
            self.all[group].breaker.handle_slow(ticket, now);
        }
    }

    /// The breaker of a member changed.
    pub(crate) fn member_changed(&mut self, backend: usize, change: &Transition, now: Time) {
        if let Some((group, part)) = self.of[backend] {
            self.all[group].breaker.handle_part(part, change, now);
        }
    }

    /// What a backend's group lets pass.
    pub(crate) fn phase(&self, backend: usize) -> Phase {
        self.of[backend].map_or(Phase::Closed, |(group, _)| self.all[group].breaker.phase())
    }

    /// A backend as it is seen behind its group.
    pub(crate) fn before(&self, backend: usize, seen: Seen) -> Seen {
        let Some((group, _)) = self.of[backend] else { return seen };
        let breaker = &self.all[group].breaker;
        seen.behind(breaker.phase(), breaker.carries())
    }

    /// When a backend's group recovered last.
    pub(crate) fn recovered(&self, backend: usize) -> Option<Time> {
        self.of[backend].and_then(|(group, _)| self.all[group].breaker.recovered())
    }

    /// Whether a backend's group forbids calls.
    pub(crate) fn is_shut(&mut self, backend: usize, now: Time) -> bool {
        if let Some((group, _)) = self.of[backend] {
            self.all[group].breaker.handle_timeout(now);
        }
        matches!(self.phase(backend), Phase::Open | Phase::ForcedOpen)
    }
}
