//! What people and the shell ask of the runner.

use super::course::Why;
use super::watched::Watched;
use super::{Effect, Runner, Start, closes};
use crate::chaos::gates::Situation;
use crate::chaos::record::{Approval, Halt, Phase, Run};
use crate::chaos::refusal::Refusal;
use crate::event::EventKind;
use crate::time::Time;

/// Most approvals that are known; the oldest go first.
pub const APPROVALS_MAX: usize = 1_000;
/// Longest reason, in bytes.
const REASON_MAX: usize = 2_000;

impl Runner {
    /// Starts an experiment; its run's id.
    pub fn handle_start(&mut self, start: Start, situation: &Situation, now: Time) -> Result<String, Vec<Refusal>> {
        let refusals = self.check(&start, situation, now).refusals;
        if !refusals.is_empty() {
            return Err(refusals);
        }
        let Start { experiment, plan, by, hold, gameday } = start;
        let id = self.next_id(now);
        let run = Run {
            id: id.clone(),
            plan,
            design: experiment.design(),
            seed: self.rng.next_u64(),
            generation: 0,
            by: by.clone(),
            gameday,
            hold_s: hold.map(|hold| u32::try_from(hold.as_secs()).unwrap_or(u32::MAX)),
            phase: Phase::LeadIn,
            started: now,
            injected: None,
            withdrawn: None,
            quiet: None,
            recovered: None,
            ended: None,
            stopped: None,
            journal: Vec::new(),
            slices: Vec::new(),
            assessment: None,
            experiment,
        };
        let mut watched = Watched::new(run, self.terms.safety.lease, now);
        watched.closes = closes(&self.terms, watched.run.experiment.blast, now);
        watched.revision = Some(situation.config_revision);
        watched.known = situation.incidents.iter().map(|it| it.id.clone()).collect();
        let without = watched.run.experiment.lead_in.is_zero();
        let started = if by.is_empty() { "lead_in".to_owned() } else { format!("lead_in, started by `{by}`") };
        watched.note("phase", started, now);
        let generation = self.next_generation(now);
        let order = watched.order(generation);
        self.runs.insert(id.clone(), watched);
        if without {
            self.inject(&id, now);
        } else {
            self.rest(&id, now);
            self.effects.push(Effect::Inject(order));
            self.tell_change(&id, &by);
        }
        Ok(id)
    }

    /// Somebody's yes to a plan, by the experiment's name and the plan's hash; it counts from now on, for as long as the terms say
    /// unless `until` is given.
    pub fn handle_approve(
        &mut self,
        (experiment, plan): (&str, &str),
        by: &str,
        until: Option<Time>,
        now: Time,
    ) -> Result<Approval, Refusal> {
        if experiment.is_empty() || plan.is_empty() {
            return Err(Refusal::new("invalid", "an approval names an experiment and the hash of its plan"));
        }
        let until = until.unwrap_or(now + self.terms.safety.approval_for);
        if until <= now {
            return Err(Refusal::new("invalid", "an approval ends in the future: set `until` so"));
        }
        let (experiment, plan, by) = (experiment.to_owned(), plan.to_owned(), by.to_owned());
        let approval = Approval { experiment, plan, by, at: now, until };
        self.know(approval.clone());
        self.effects.push(Effect::RestApproval(approval.clone()));
        Ok(approval)
    }

    /// Knows of an approval; one of the same person for the same plan takes the place of the one before.
    pub(super) fn know(&mut self, approval: Approval) {
        let key = |it: &Approval| (it.experiment.clone(), it.plan.clone(), it.by.clone());
        self.approvals.retain(|it| key(it) != key(&approval));
        self.approvals.push(approval);
        let excess = self.approvals.len().saturating_sub(APPROVALS_MAX);
        self.approvals.drain(..excess);
    }

    /// Somebody wants a run to stop; one whose fault is gone already goes on to recover.
    pub fn handle_stop(&mut self, run: &str, by: &str, reason: &str, now: Time) -> Result<(), Refusal> {
        if !self.runs.contains_key(run) {
            return Err(unknown(run));
        }
        stops(reason)?;
        let text = if reason.trim().is_empty() { "asked for".to_owned() } else { reason.to_owned() };
        self.stop(run, Why { reason: "asked", text, by }, now);
        Ok(())
    }

    /// Whoever holds a run is still there.
    pub fn handle_hold(&mut self, run: &str, now: Time) -> Result<(), Refusal> {
        let watched = self.runs.get_mut(run).ok_or_else(|| unknown(run))?;
        if watched.run.hold_s.is_none() {
            return Err(Refusal::new("not_held", format!("{run} was started without `hold_s`: nobody has to hold it")));
        }
        watched.held = now;
        Ok(())
    }

    /// From now on nothing may be injected, or it may again; both need a reason.
    pub fn handle_halt(&mut self, halted: bool, by: &str, reason: &str, now: Time) -> Result<(), Refusal> {
        halts(reason)?;
        if !halted && self.halt().is_none() {
            return Ok(());
        }
        let halt = Halt { halted, by: by.to_owned(), reason: reason.to_owned(), at: now };
        self.halt = Some(halt.clone());
        if halted {
            // The injector first: it drops everything at once.
            self.effects.push(Effect::Halt(true));
            self.effects.push(Effect::RestHalt(halt));
            for id in self.runs.keys().cloned().collect::<Vec<_>>() {
                self.stop(&id, Why { reason: "halt", text: reason.to_owned(), by }, now);
                self.unwatch(&id);
            }
        } else {
            self.effects.push(Effect::RestHalt(halt));
            self.effects.push(Effect::Halt(false));
        }
        let (by, reason) = (by.to_owned(), reason.to_owned());
        self.effects.push(Effect::Tell(EventKind::HaltChanged { halted, by, reason }));
        Ok(())
    }

    /// An order of a generation could not be stored, given or renewed.
    pub fn handle_failed(&mut self, run: &str, generation: u64, why: &str, now: Time) {
        let Some(watched) = self.runs.get_mut(run).filter(|it| it.run.generation == generation) else { return };
        if watched.goes_on() {
            self.stop(run, Why::new("lease_lost", format!("order {generation} failed: {why}")), now);
        } else if watched.recovery.watched {
            watched.note("note", format!("the arms are not watched any more: {why}"), now);
            self.unwatch(run);
        }
    }

    /// Nothing is counted of its arms any more.
    fn unwatch(&mut self, run: &str) {
        self.effects.retain(|effect| !matches!(effect, Effect::Inject(order) if order.run == run));
        if let Some(watched) = self.runs.get_mut(run) {
            watched.recovery.watched = false;
        }
    }
}

/// Whether a run may be stopped for this reason.
pub fn stops(reason: &str) -> Result<(), Refusal> {
    if reason.len() <= REASON_MAX {
        return Ok(());
    }
    Err(Refusal::new("invalid", format!("a reason has at most {REASON_MAX} bytes")))
}

/// Whether a halt may be set or released for this reason.
pub fn halts(reason: &str) -> Result<(), Refusal> {
    if !reason.trim().is_empty() && reason.len() <= REASON_MAX {
        return Ok(());
    }
    Err(Refusal::new("reason", format!("a halt is set and released with a `reason` of at most {REASON_MAX} bytes")))
}

fn unknown(run: &str) -> Refusal {
    Refusal::new("unknown", format!("{run} does not run"))
}
