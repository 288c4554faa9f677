//! What an earlier process left.

use super::course::{RUNNER, Why};
use super::watched::Watched;
use super::{Effect, Runner};
use crate::chaos::record::{Approval, Halt, Phase, Run, Stopped};
use crate::time::Time;

const RESTARTED: &str = "the process that ran it ended";

impl Runner {
    /// The same with what rests: all runs, or at least the newest and those that are not over. One that an earlier process left
    /// unfinished is not resumed: its fault is taken away, it is seen to whether all is well, and it ends as stopped by `restart`.
    pub fn restore(&mut self, runs: Vec<Run>, halt: Option<Halt>, approvals: Vec<Approval>, now: Time) {
        for approval in approvals {
            self.know(approval);
        }
        self.halt = halt;
        if self.halt().is_some() {
            self.effects.push(Effect::Halt(true));
        }
        for run in &runs {
            self.saw(&run.id, run.generation);
        }
        for run in runs.into_iter().filter(|run| run.phase != Phase::Ended) {
            self.clean_up(run, now);
        }
    }

    fn clean_up(&mut self, run: Run, now: Time) {
        let (id, phase, generation) = (run.id.clone(), run.phase, run.generation);
        let mut watched = Watched::new(run, self.terms.safety.lease, now);
        watched.orders.push((generation, phase));
        watched.note("restart", RESTARTED, now);
        let run = &mut watched.run;
        // What it ended by before is kept: it says more.
        let stopped = Stopped { at: now, reason: "restart".into(), text: RESTARTED.to_owned(), by: RUNNER.to_owned() };
        run.stopped.get_or_insert(stopped);
        if phase == Phase::LeadIn {
            run.stopped = None;
            self.runs.insert(id.clone(), watched);
            self.stop(&id, Why::new("restart", RESTARTED), now);
            return;
        }
        run.phase = Phase::Recovering;
        run.withdrawn.get_or_insert(now);
        run.quiet = None;
        // All is to be well within its time from now on.
        watched.recovery.began = now;
        watched.note("phase", "recovering", now);
        self.runs.insert(id.clone(), watched);
        self.withdraw(&id, now);
        self.watch_recovery(&id, now);
        self.tell_change(&id, RUNNER);
    }
}
