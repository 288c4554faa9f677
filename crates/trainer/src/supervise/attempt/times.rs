//! Time: when an attempt is asked to save and to end, and how often it is to save.

use std::time::Duration;

use mainstay_core::training::class::Class;
use serde_json::json;

use super::Attempt;
use crate::supervise::Run;

/// A change of the interval below this share is not worth telling.
const WORTH_TELLING: f64 = 0.1;

impl Run<'_> {
    /// Asks for a checkpoint shortly before the time is up, and ends the attempt when it is.
    pub(super) fn look_at_time(&mut self, attempt: &mut Attempt, say: &mut dyn FnMut(&str)) {
        let now = self.now();
        let requests = self.requests();
        if let Some(at) = attempt.kill_at {
            if requests > 1 && at > now {
                say("asked to end again: the script is not waited for");
                attempt.kill_at = Some(now);
            }
            return;
        }
        if requests > 0 {
            say("ending the script, which may save before");
            self.stop_attempt(attempt, Class::Preempted, self.options.grace);
            return;
        }
        let allowance = self.options.allowance();
        if let Some((at, limit)) = allowance.ends(self.ledger.at_work(now), attempt.began, now) {
            let lead = allowance.lead(self.record.longest_save());
            if now >= at {
                say(&format!("{}: ending the script, which may save before", limit.as_str()));
                self.note("time_is_up", json!({ "why": limit.as_str() }));
                self.stop_attempt(attempt, Class::TimedOut, self.options.grace);
                return;
            } else if now + lead >= at && !attempt.asked_to_save {
                attempt.asked_to_save = true;
                let deadline = at.as_secs_f64();
                attempt.wire.say(&json!({ "type": "save_now", "deadline": deadline, "reason": "timed_out" }));
            }
        }
        if let Some((phase, budget)) = self.watch.overrun(now).map(|(phase, budget)| (phase.to_owned(), budget)) {
            say(&format!("phase `{phase}` took longer than its {budget:.0?}: ending the script"));
            self.note("time_is_up", json!({ "phase": phase, "budget_s": budget.as_secs_f64() }));
            self.stop_attempt(attempt, Class::TimedOut, self.options.grace);
        }
    }

    /// A save ended: how long it took decides how often to save, and whether one fits into the grace.
    pub(in crate::supervise) fn measure_save(
        &mut self,
        attempt: &mut Attempt,
        blocking: Duration,
        say: &mut dyn FnMut(&str),
    ) {
        let now = self.now();
        let whole = attempt.saving_since.take().map_or(blocking, |since| blocking.max(now.since(since)));
        self.record.handle_save(blocking, whole);
        let grace = self.options.grace;
        if whole > grace {
            self.warn(format!("a save took {whole:.1?}, more than the {grace:.1?} of --grace: when the run is asked to end there is no time for one"), say);
        }
    }

    /// The time between checkpoints that what is known says.
    pub(super) fn interval_in_force(&self) -> Option<Duration> {
        let worked = self.ledger.at_work(self.now());
        self.options.guards.interval.in_force(self.record.mean_save(), worked, self.ledger.failures())
    }

    /// Tells scripts how often to save, where that changed.
    pub(in crate::supervise) fn set_interval(&mut self, attempt: &Attempt) {
        let (before, after) = (self.interval, self.interval_in_force());
        let differs = |before: Duration, after: Duration| {
            (after.as_secs_f64() - before.as_secs_f64()).abs() > WORTH_TELLING * before.as_secs_f64()
        };
        if let Some(after) = after.filter(|after| before.is_none_or(|before| differs(before, *after))) {
            self.interval = Some(after);
            attempt.wire.say(&json!({ "type": "set", "ckpt_interval_s": after.as_secs_f64() }));
            self.note("interval", json!({ "seconds": after.as_secs_f64() }));
        }
    }
}
