//! One attempt: from its process's start until nothing of it is left.

mod hear;
mod look;
mod start;
mod times;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use mainstay_core::time::Time;
use mainstay_core::training::class::{Class, Ending, classify};
use mainstay_core::training::ledger::Bucket;
use mainstay_core::training::numeric::{Guard, Settings};
use serde_json::json;

use super::{Run, record};
use crate::limits;
use crate::options::Error;
use crate::process::{self, Ended, Worker};
use crate::wire::{Events, Tail, Wire};

const TICK: Duration = Duration::from_millis(50);
const SAME_MOMENT: Duration = Duration::from_secs(1);

/// What is known of the attempt that runs.
pub(super) struct Attempt {
    worker: Worker,
    wire: Wire,
    events: Events,
    log: PathBuf,
    tail: Tail,
    /// Lines of the output's end, and when they came.
    output: VecDeque<(Time, Vec<u8>)>,
    /// When a step further than all before was told.
    moved: Time,
    /// Lines are read that were said while nobody listened.
    catching_up: bool,
    guard: Guard,
    spoke: bool,
    done: Option<u64>,
    /// What went wrong, and whether another attempt may help.
    error: Option<(String, bool)>,
    error_at: Time,
    ended_for: Option<Class>,
    out_of_memory: bool,
    /// Kills for want of memory at the beginning: in the run's group, and around it.
    oom_kills: (u64, u64),
    /// The kernel killed something around, for want of memory.
    killed_around: bool,
    peak: u64,
    began: Time,
    /// A checkpoint was asked for, since its time is nearly up.
    asked_to_save: bool,
    /// A save began.
    saving_since: Option<Time>,
    kill_at: Option<Time>,
    memory_at: Time,
    show_at: Time,
    status_at: Time,
}

impl Run<'_> {
    /// Runs the command once; how it failed, if it did, and the memory that it had reached.
    pub(super) fn attempt(&mut self, say: &mut dyn FnMut(&str)) -> Result<Option<(Class, u64)>, Error> {
        let mut attempt = self.begin(say)?;
        let ended = loop {
            self.listen(&mut attempt, TICK, say);
            if let Some(ended) = attempt.worker.poll().map_err(Error::place("the worker"))? {
                break ended;
            }
            self.look(&mut attempt, say);
        };
        self.ledger.switch(Bucket::Shutdown, self.now());
        self.settle_memory(&mut attempt, ended);
        if !process::end_tree(&self.record.run, attempt.worker.pid()) {
            say("some processes of the run cannot be ended");
        }
        self.end_group();
        self.drain(&mut attempt, say);
        self.adopt_last(&attempt, say);
        self.finish_saves(&mut attempt, say);
        let class = self.classify(&attempt, ended);
        self.note(
            "attempt_ended",
            json!({ "code": ended.code, "signal": ended.signal, "class": class, "step": self.step }),
        );
        if class.is_some() {
            // How far above its limit a look finds it is chance: what it ran into is the limit.
            let peak = self.options.memory.map_or(attempt.peak, |most| attempt.peak.min(most));
            return Ok(class.map(|class| (class, peak)));
        }
        drop(attempt);
        if self.invalid {
            self.end_invalid_run(say);
            return Ok(None);
        }
        self.finish(say);
        Ok(None)
    }

    fn classify(&self, attempt: &Attempt, ended: Ended) -> Option<Class> {
        // How a process that was not our child ended is not known; what it said is.
        let found = matches!(attempt.worker, Worker::Found(_));
        let code = if found && attempt.done.is_some() { Some(0) } else { ended.code };
        let reached = attempt.done.is_some() && code == Some(0);
        classify(&Ending {
            code,
            signal: ended.signal,
            ended_for: attempt.ended_for.filter(|_| !reached),
            oom_killed: attempt.out_of_memory,
            memory_was_short: attempt.killed_around
                || self.options.memory.is_some_and(|most| attempt.peak >= most - most / 10),
            done: attempt.done,
            step: if attempt.spoke { self.step } else { None },
            total: self.total,
            spoke: attempt.spoke,
            error: attempt.error.as_ref().map(|(kind, retryable)| (kind.as_str(), *retryable)),
            output: &attempt.output_since_it_moved(),
        })
    }
}

impl Attempt {
    /// One whose process runs; `heard` is how far it was heard before.
    fn new(
        worker: Worker,
        wire: Wire,
        log: PathBuf,
        files: (Events, Tail),
        heard: record::Heard,
        now: Time,
    ) -> Attempt {
        Attempt {
            worker,
            wire,
            events: files.0,
            log,
            tail: files.1,
            output: VecDeque::new(),
            moved: now,
            catching_up: false,
            guard: Guard::new(Settings::default()),
            spoke: heard.spoke,
            done: heard.done,
            error: heard.error,
            error_at: now,
            ended_for: None,
            out_of_memory: false,
            oom_kills: (0, limits::oom_kills_around()),
            killed_around: false,
            peak: 0,
            began: heard.began.map_or(now, Time::from_millis),
            asked_to_save: false,
            saving_since: None,
            kill_at: None,
            memory_at: now,
            show_at: now,
            status_at: now,
        }
    }

    /// Something went wrong. Steps that are made after that say that it was overcome.
    pub(super) fn blame(&mut self, kind: String, retryable: bool, now: Time) {
        (self.error, self.error_at) = (Some((kind, retryable)), now);
    }

    /// A step further than all before was made. Another rank's trouble may end the run a moment later all the same.
    fn handle_moved(&mut self, now: Time) {
        if now >= self.error_at + SAME_MOMENT {
            self.error = None;
        }
        self.moved = now;
    }

    /// What was written before the last step says nothing about the end; what came just before may belong to it, since
    /// steps and output come on different ways.
    fn output_since_it_moved(&self) -> String {
        let recent = self.output.iter().filter(|(at, _)| *at + SAME_MOMENT >= self.moved);
        recent.map(|(_, line)| String::from_utf8_lossy(line)).collect::<Vec<_>>().join("\n")
    }

    /// How far it was heard.
    pub(super) fn heard_so_far(&self) -> record::Heard {
        record::Heard {
            log: self.tail.position(),
            events: self.events.positions(),
            spoke: self.spoke,
            done: self.done,
            error: self.error.clone(),
            began: Some(self.began.as_millis()),
            ..record::Heard::default()
        }
    }

    /// Why it is being ended.
    pub(super) const fn ended_for(&self) -> Option<Class> {
        self.ended_for
    }

    /// Tells the script that its checkpoint is safe.
    pub(super) fn say_committed(&self, step: u64, id: &str) {
        self.wire.say(&json!({ "type": "ckpt_committed", "step": step, "id": id }));
    }
}
