//! What is looked at while a script runs: requests to end, time, hangs, memory.

use std::fs;
use std::time::Duration;

use mainstay_core::training::State;
use mainstay_core::training::class::Class;
use rustix::process::Signal;
use serde_json::json;

use super::Attempt;
use crate::limits;
use crate::process::{self, Ended};
use crate::supervise::Run;
use crate::wire::Tail;

const MEMORY_TICK: Duration = Duration::from_millis(200);
const SHOW_TICK: Duration = Duration::from_millis(200);
const STATUS_TICK: Duration = Duration::from_secs(1);
/// An output file is begun anew beyond this.
const LOG_MAX: u64 = 256 << 20;

impl Run<'_> {
    /// What a tick looks at: requests to end, time, hangs, memory.
    pub(super) fn look(&mut self, attempt: &mut Attempt, say: &mut dyn FnMut(&str)) {
        let now = self.now();
        if attempt.kill_at.is_some_and(|at| now >= at) {
            process::end_tree(&self.record.run, attempt.worker.pid());
        }
        self.settle_saves(attempt, Duration::ZERO, say);
        self.look_at_time(attempt, say);
        // Of a command that never spoke nothing is known: it may well be at work.
        if attempt.kill_at.is_none() && attempt.spoke {
            let silent = self.watch.silent(now).map(|(rank, quiet)| (format!("rank {rank}"), quiet));
            let hang = self.watch.hang(now).map(|(phase, quiet)| (format!("phase `{phase}`"), quiet));
            if let Some((what, quiet)) = hang.or(silent) {
                self.end_hang(attempt, &what, quiet, say);
            }
        }
        if now >= attempt.memory_at && self.options.memory.is_some() {
            attempt.memory_at = now + MEMORY_TICK;
            self.look_at_memory(attempt, say);
        }
        if now >= attempt.show_at {
            attempt.show_at = now + SHOW_TICK;
            self.show();
        }
        if now >= attempt.status_at {
            attempt.status_at = now + STATUS_TICK;
            if fs::metadata(&attempt.log).is_ok_and(|data| data.len() > LOG_MAX) {
                // Both ends append: what comes next is written at the new end.
                let _ = fs::OpenOptions::new().write(true).truncate(true).open(&attempt.log);
                attempt.tail = Tail::default();
            }
            process::reap(attempt.worker.pid());
            self.adopt(attempt, say);
            self.save_heard(attempt);
            self.tell();
        }
    }

    fn end_hang(&mut self, attempt: &mut Attempt, what: &str, quiet: Duration, say: &mut dyn FnMut(&str)) {
        say(&format!("no progress in {what} for {quiet:.0?}: a hang"));
        self.note("hang", json!({ "of": what, "seconds": quiet.as_secs_f64() }));
        self.ledger.handle_hang(quiet, self.now());
        // A process that is stopped cannot obey.
        process::signal_group(attempt.worker.pid(), Signal::CONT);
        self.stop_attempt(attempt, Class::Hang, self.options.grace.min(Duration::from_secs(5)));
    }

    fn look_at_memory(&mut self, attempt: &mut Attempt, say: &mut dyn FnMut(&str)) {
        let Some(most) = self.options.memory else { return };
        let over = match self.limits.group() {
            Some(group) => {
                attempt.peak = attempt.peak.max(group.peak().unwrap_or(0));
                group.oom_kills().unwrap_or(0) > attempt.oom_kills.0
            }
            None => {
                let used = process::memory(&process::tree(&self.record.run));
                attempt.peak = attempt.peak.max(used);
                used > most
            }
        };
        if over && !attempt.out_of_memory {
            say(&format!("out of memory: {} bytes, of which {most} are allowed", attempt.peak));
            attempt.out_of_memory = true;
            self.stop_attempt(attempt, Class::Oom, Duration::ZERO);
        }
    }

    /// What the counters say of memory once the worker ended.
    pub(super) fn settle_memory(&mut self, attempt: &mut Attempt, ended: Ended) {
        if let Some(group) = self.limits.group() {
            attempt.peak = attempt.peak.max(group.peak().unwrap_or(0));
            attempt.out_of_memory |= group.oom_kills().unwrap_or(0) > attempt.oom_kills.0;
        }
        let was_killed = ended.signal == Some(Signal::KILL.as_raw()) || ended.code == Some(128 + Signal::KILL.as_raw());
        attempt.killed_around = was_killed && limits::oom_kills_around() > attempt.oom_kills.1;
    }

    /// Whatever of the attempt is in its group still is ended, and the group removed.
    pub(super) fn end_group(&mut self) {
        if let Some(group) = self.limits.group() {
            group.end();
        }
        self.record.group = None;
    }

    pub(in crate::supervise) fn stop_attempt(&mut self, attempt: &mut Attempt, class: Class, grace: Duration) {
        let now = self.now();
        attempt.ended_for = attempt.ended_for.or(Some(class));
        attempt.kill_at = Some(now + grace);
        self.state = State::Stopping;
        if !grace.is_zero() {
            let deadline = (now + grace).as_secs_f64();
            if class != Class::Hang {
                attempt.wire.say(&json!({ "type": "save_now", "deadline": deadline, "reason": class.as_str() }));
            }
            attempt.wire.say(&json!({ "type": "stop", "deadline": deadline, "reason": class.as_str() }));
            process::signal_group(attempt.worker.pid(), Signal::TERM);
        }
    }
}
