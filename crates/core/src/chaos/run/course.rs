//! The course of a run: from phase to phase, by time or by a stop.

use super::watched::{CLOCKS, RESTS, Watched};
use super::{Effect, Runner};
use crate::chaos::evaluate::evaluate;
use crate::chaos::record::{Phase, Stopped};
use crate::chaos::written::format_duration;
use crate::event::{EventKind, ExperimentChange, Word};
use crate::time::Time;

/// Who the runner is in journals and events.
pub(super) const RUNNER: &str = "mainstay";

/// Why a run stops.
pub(super) struct Why<'a> {
    pub reason: &'static str,
    pub text: String,
    pub by: &'a str,
}

impl Why<'_> {
    pub(super) fn new(reason: &'static str, text: impl Into<String>) -> Why<'static> {
        Why { reason, text: text.into(), by: RUNNER }
    }
}

impl Runner {
    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        for id in self.runs.keys().cloned().collect::<Vec<_>>() {
            match self.runs.get(&id).map(|it| it.run.phase) {
                Some(Phase::LeadIn | Phase::Injecting) => self.go_on(&id, now),
                Some(Phase::Recovering | Phase::Ended) => self.see_to_recovery(&id, now),
                None => {}
            }
        }
    }

    fn go_on(&mut self, id: &str, now: Time) {
        if let Some(why) = self.runs.get(id).and_then(|it| late(it, now)) {
            self.stop(id, why, now);
            return;
        }
        let Some(watched) = self.runs.get_mut(id) else { return };
        if now >= watched.phase_ends() {
            match watched.run.phase {
                Phase::LeadIn => {
                    let unheard = watched.unheard().map(|what| format!("{what} in the lead-in"));
                    match unheard.or_else(|| watched.unsteady.clone()) {
                        Some(what) => self.stop(id, Why::new("steady_state", what), now),
                        None => self.inject(id, now),
                    }
                }
                _ => self.recover(id, RUNNER, now),
            }
            return;
        }
        if now >= watched.renews() {
            watched.renewed = now;
            let generation = watched.run.generation;
            self.effects.push(Effect::Renew { run: id.to_owned(), generation });
        }
        if now >= watched.rested + RESTS {
            self.rest(id, now);
        }
    }

    /// The fault comes into force: that rests first.
    pub(super) fn inject(&mut self, id: &str, now: Time) {
        let generation = self.next_generation(now);
        let Some(watched) = self.runs.get_mut(id) else { return };
        watched.run.phase = Phase::Injecting;
        watched.run.injected = Some(now);
        watched.renewed = now;
        watched.beat = now;
        let order = watched.order(generation);
        let (fault, length) = (order.fault.name(), format_duration(order.hard_stop));
        watched.note("phase", "injecting", now);
        watched.note("inject", format!("order {generation}: `{fault}` for {length}"), now);
        self.rest(id, now);
        self.effects.push(Effect::Inject(order));
        self.tell_change(id, RUNNER);
    }

    /// Ends a run before its time; one whose fault is gone goes on to recover.
    pub(super) fn stop(&mut self, id: &str, why: Why<'_>, now: Time) {
        let Some(watched) = self.runs.get_mut(id).filter(|it| it.goes_on()) else { return };
        let Why { mut reason, mut text, by } = why;
        if watched.run.phase == Phase::LeadIn
            && matches!(reason, "burn_rate" | "errors" | "guard" | "silent" | "incident")
        {
            text = format!("{reason}: {text}");
            reason = "steady_state";
        }
        watched.note("stop", format!("{reason} ({by}): {text}"), now);
        let is_lead_in = watched.run.phase == Phase::LeadIn;
        watched.run.stopped = Some(Stopped { at: now, reason: reason.into(), text, by: by.to_owned() });
        if is_lead_in {
            watched.run.withdrawn = Some(now);
            self.withdraw(id, now);
            self.end(id, None, now);
        } else {
            self.recover(id, by, now);
        }
    }

    /// Takes the fault away.
    pub(super) fn recover(&mut self, id: &str, by: &str, now: Time) {
        let Some(watched) = self.runs.get_mut(id) else { return };
        watched.run.phase = Phase::Recovering;
        watched.run.withdrawn = Some(now);
        watched.recovery.began = now;
        watched.note("phase", "recovering", now);
        self.withdraw(id, now);
        self.watch_recovery(id, now);
        self.tell_change(id, by);
    }

    /// Tells the injector that the order at hand ends. What was not told yet is not told any more.
    pub(super) fn withdraw(&mut self, id: &str, now: Time) {
        let of_run = |effect: &Effect| match effect {
            Effect::Inject(order) => order.run == id,
            Effect::Renew { run, .. } => run == id,
            _ => false,
        };
        self.effects.retain(|effect| !of_run(effect));
        let Some(watched) = self.runs.get_mut(id) else { return };
        let generation = watched.run.generation;
        watched.renewed = now;
        watched.recovery.withdrawn = generation;
        watched.note("withdraw", format!("order {generation}"), now);
        self.effects.push(Effect::Withdraw { run: id.to_owned(), generation });
    }

    /// Rests a run that recovers, and has both arms watched further, without a fault.
    pub(super) fn watch_recovery(&mut self, id: &str, now: Time) {
        let halted = self.halt().is_some();
        let generation = self.next_generation(now);
        let Some(watched) = self.runs.get_mut(id) else { return };
        watched.recovery.watched = !halted;
        let order = (!halted).then(|| watched.order(generation));
        self.rest(id, now);
        self.effects.extend(order.map(Effect::Inject));
    }

    /// Whether a run whose fault was taken away is well again, or has had its time.
    pub(super) fn see_to_recovery(&mut self, id: &str, now: Time) {
        let Some(watched) = self.runs.get_mut(id) else { return };
        let wrong = watched.not_well(now);
        if wrong.is_some() {
            watched.recovery.since = None;
        } else {
            let since = *watched.recovery.since.get_or_insert(now);
            if now >= since + watched.well_for() {
                watched.run.recovered = Some(since);
                watched.note("note", "all is well again", now);
                self.end(id, Some(true), now);
                return;
            }
        }
        if now >= watched.phase_ends() {
            let wrong = wrong.unwrap_or_else(|| "it was well for too short a time".to_owned());
            watched.note("end", format!("not well again in time: {wrong}"), now);
            self.end(id, Some(false), now);
            return;
        }
        if now < watched.renews() {
            return;
        }
        watched.renewed = now;
        let (run, fault, generation) = (id.to_owned(), watched.recovery.withdrawn, watched.run.generation);
        let (is_quiet, is_watched) = (watched.run.quiet.is_some(), watched.recovery.watched);
        if !is_quiet {
            self.effects.push(Effect::Withdraw { run: run.clone(), generation: fault });
        }
        if is_watched {
            self.effects.push(Effect::Renew { run, generation });
        }
    }

    /// It is over.
    fn end(&mut self, id: &str, recovered: Option<bool>, now: Time) {
        let Some(watched) = self.runs.get_mut(id) else { return };
        let generation = watched.run.generation;
        watched.run.phase = Phase::Ended;
        watched.run.ended = Some(now);
        let assessment = evaluate(&watched.run, recovered);
        let (verdict, reason) = (assessment.verdict.name(), assessment.reason.clone());
        watched.note("end", format!("{verdict}: {reason}"), now);
        watched.run.assessment = Some(assessment);
        let run = watched.run.clone();
        // The order that watched both arms, and once more all before it.
        self.effects.retain(|effect| !matches!(effect, Effect::Inject(order) if order.run == id));
        self.effects.push(Effect::Withdraw { run: id.to_owned(), generation });
        self.rest(id, now);
        self.tell_change(id, RUNNER);
        self.effects.push(Effect::Tell(EventKind::ExperimentEnded {
            run: run.id,
            experiment: run.experiment.name,
            route: run.experiment.route,
            verdict: verdict.into(),
            reason,
        }));
        self.runs.remove(id);
    }

    pub(super) fn rest(&mut self, id: &str, now: Time) {
        let Some(watched) = self.runs.get_mut(id) else { return };
        watched.rested = now;
        self.effects.push(Effect::Rest(Box::new(watched.run.clone())));
    }

    pub(super) fn tell_change(&mut self, id: &str, by: &str) {
        let Some(run) = self.run(id) else { return };
        let change = ExperimentChange {
            run: run.id.clone(),
            experiment: run.experiment.name.clone(),
            route: run.experiment.route.clone(),
            fault: run.experiment.fault.name().to_owned(),
            phase: run.phase.name().into(),
            reason: run.stopped.as_ref().map(|it| Word::clone(&it.reason)),
            by: by.to_owned(),
        };
        self.effects.push(Effect::Tell(EventKind::ExperimentChanged(change)));
    }
}

/// What time alone ends a run by, before its phase is over.
fn late(watched: &Watched, now: Time) -> Option<Why<'static>> {
    if now > watched.renewed + watched.ttl {
        return Some(Why::new("lease_lost", "its order was not renewed in time"));
    }
    if watched.run.phase == Phase::Injecting && now >= watched.phase_ends() {
        return None;
    }
    if watched.closes.is_some_and(|closes| closes <= now) {
        return Some(Why::new("window", "the window in which it may run closed"));
    }
    if watched.holder_lost().is_some_and(|lost| lost <= now) {
        return Some(Why::new("holder_lost", "whoever holds it was not heard of"));
    }
    let (silent, what) = watched.silent();
    (silent <= now).then(|| {
        let silent = format_duration(watched.run.experiment.stop.silent);
        Why::new("silent", format!("{what} for {silent}"))
    })
}

impl Watched {
    /// Whether an order that does not stand any more has had its time by the injector's clock.
    pub(super) fn is_nearly_over(&self, now: Time) -> bool {
        self.run.phase == Phase::Injecting && now + CLOCKS >= self.phase_ends()
    }
}
