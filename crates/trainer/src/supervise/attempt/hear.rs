//! What a script says while it runs.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use mainstay_core::time::Time;
use mainstay_core::training::State;
use mainstay_core::training::chain::Checkpoint;
use mainstay_core::training::class::Class;
use mainstay_core::training::ledger::Bucket;
use mainstay_core::training::numeric::Trouble;
use mainstay_core::training::wire::{Message, Reject};
use serde_json::json;

use super::Attempt;
use crate::checkpoint::id_of;
use crate::supervise::Run;
use crate::supervise::saves::Ready;
use crate::wire::{HEARD_MAX, Said};

/// Rounds of reading what a script that ended left unread.
const DRAIN_MAX: u32 = 10_000;
const DRAIN_WAIT: Duration = Duration::from_millis(10);
const DRAIN_QUIET: u32 = 10;
/// Bytes of the output's end that are looked at for a reason.
const OUTPUT_END: usize = 16 * 1024;
const OUTPUT_LINES: usize = 256;

impl Run<'_> {
    /// Takes lines, for `wait` at most; gives how many there were.
    pub(super) fn listen(&mut self, attempt: &mut Attempt, wait: Duration, say: &mut dyn FnMut(&str)) -> usize {
        let (mut wait, mut count) = (wait, 0);
        while count < HEARD_MAX
            && let Some(said) = attempt.wire.next(wait)
        {
            if matches!(said.line, Some(Ok(Message::Hello { .. }))) {
                // What it wrote into its file it said before it connected.
                count += self.read_files(attempt, say);
            }
            self.hear(attempt, said, say);
            (wait, count) = (Duration::ZERO, count + 1);
        }
        count + self.read_files(attempt, say)
    }

    /// Takes what was added to the files of events and to the output; gives how many lines there were.
    pub(super) fn read_files(&mut self, attempt: &mut Attempt, say: &mut dyn FnMut(&str)) -> usize {
        let events = attempt.events.read(&self.place.own("events"));
        let lines = attempt.tail.read(&attempt.log);
        let count = events.len() + lines.len();
        for said in events {
            self.hear(attempt, said, say);
        }
        for line in lines {
            if let Some(told) = line.strip_prefix(b"mstp/1 ") {
                self.hear(attempt, Said { rank: None, line: Some(Message::parse(told)) }, say);
                continue;
            }
            say(&String::from_utf8_lossy(&line));
            attempt.output.push_back((self.now(), line));
            let size =
                |output: &VecDeque<(Time, Vec<u8>)>| output.iter().map(|(_, line)| line.len() + 1).sum::<usize>();
            while attempt.output.len() > OUTPUT_LINES
                || (attempt.output.len() > 1 && size(&attempt.output) > OUTPUT_END)
            {
                attempt.output.pop_front();
            }
        }
        count
    }

    /// What was said before the end may still be on its way through the socket's threads.
    pub(super) fn drain(&mut self, attempt: &mut Attempt, say: &mut dyn FnMut(&str)) {
        let mut quiet = 0;
        for _ in 0..DRAIN_MAX {
            quiet = if self.listen(attempt, DRAIN_WAIT, say) == 0 { quiet + 1 } else { 0 };
            // Whoever could still speak is dead: a connection that stays open is none of the run's.
            if quiet == DRAIN_QUIET || (quiet > 0 && !attempt.wire.is_connected()) {
                break;
            }
        }
    }

    fn hear(&mut self, attempt: &mut Attempt, said: Said, say: &mut dyn FnMut(&str)) {
        let now = self.now();
        let rank = said.rank.unwrap_or(0);
        match said.line {
            None if rank > 0 => self.watch.handle_rank_gone(rank),
            None => {}
            Some(Err(reject)) => self.ignore(reject),
            Some(Ok(message)) => {
                attempt.spoke = true;
                if rank > 0 {
                    self.hear_other(attempt, rank, message, say);
                } else {
                    self.obey(attempt, message, now, say);
                }
            }
        }
    }

    /// Of ranks beyond the first only that they live is of interest, and what went wrong.
    fn hear_other(&mut self, attempt: &mut Attempt, rank: u64, message: Message, say: &mut dyn FnMut(&str)) {
        let now = self.now();
        if matches!(message, Message::Done { .. }) {
            self.watch.handle_rank_gone(rank);
            return;
        }
        self.watch.handle_rank(rank, now);
        if matches!(message, Message::Hello { .. } | Message::Error { .. }) {
            self.obey(attempt, message, now, say);
        }
    }

    fn obey(&mut self, attempt: &mut Attempt, message: Message, now: Time, say: &mut dyn FnMut(&str)) {
        match message {
            Message::Hello { attempt: of, world, .. } => {
                self.world = world.or(self.world);
                if of.is_some_and(|of| of != u64::from(self.record.attempt)) {
                    self.ignore(Reject::WrongProcess);
                }
                let interval = self.interval.map(|every| every.as_secs_f64());
                attempt.wire.say(&json!({ "type": "welcome", "v": 1, "ckpt_interval_s": interval }));
            }
            Message::Phase { name, budget_s } => {
                self.watch.handle_phase(&name, budget_s.map(Duration::from_secs_f64), now);
                let bucket = match name.as_str() {
                    "step" => Bucket::Productive,
                    "eval" => Bucket::Eval,
                    "save" => Bucket::Saving,
                    _ => Bucket::Startup,
                };
                self.ledger.switch(bucket, now);
            }
            Message::Progress { step, total } => self.progress(attempt, step, total, now),
            Message::Metric { step, values } => self.measure(attempt, step, values, say),
            // Said again, after a supervisor was gone: it is committed.
            Message::CheckpointReady { step, ref directory, .. } if self.is_committed(step, directory) => {
                attempt.say_committed(step, &id_of(step, self.record.attempt));
            }
            Message::CheckpointReady { step, .. } if attempt.ended_for == Some(Class::Numeric) || self.invalid => {
                // What is saved after the numbers exploded, or after a gate failed, is not worth going on from.
                self.note("commit_refused", json!({ "step": step }));
            }
            Message::CheckpointReady { step, directory, cursor, mut metrics, blocking_s } => {
                let blocking = Duration::from_secs_f64(blocking_s.unwrap_or(0.0));
                if let Some((_, evaluated)) = self.evaluated.as_ref().filter(|(at, _)| *at == step) {
                    let more = evaluated.iter().filter(|(name, _)| !metrics.contains_key(*name));
                    let more: Vec<_> = more.map(|(name, value)| (name.clone(), value.clone())).collect();
                    metrics.extend(more);
                }
                let directory = directory.into();
                let ready = Ready { step, directory, cursor, metrics, suspect: false, adopted: None };
                self.commit(attempt, ready, blocking, say);
            }
            Message::Eval { step, metrics } => {
                self.metrics.extend(metrics.clone());
                self.evaluated = Some((step, metrics));
            }
            Message::Error { kind, retryable, message } => {
                say(&format!("the script says: {kind}: {message}"));
                if kind == "storage" {
                    self.warn(format!("a checkpoint could not be stored: {message}"), say);
                    self.make_room(say);
                }
                attempt.blame(kind, retryable, now);
                self.save_heard(attempt);
            }
            Message::Done { step } => {
                attempt.done = Some(step);
                self.save_heard(attempt);
            }
            Message::CheckpointBegin { .. } => {
                attempt.saving_since = Some(now);
                self.make_room(say);
            }
            Message::Heartbeat | Message::Other => {}
        }
    }

    /// Its directory became a checkpoint of this attempt, which may be let go by now, or is about to.
    fn is_committed(&self, step: u64, directory: &str) -> bool {
        let of_this_attempt = format!("-a{}", self.record.attempt);
        let is_later = |head: &Checkpoint| head.step >= step && head.id.ends_with(&of_this_attempt);
        let is_known = self.saves.holds(step) || self.chain.head().is_some_and(is_later);
        is_known && !Path::new(directory).exists()
    }

    fn progress(&mut self, attempt: &mut Attempt, step: u64, total: Option<u64>, now: Time) {
        if self.state == State::Starting {
            self.state = State::Running;
            self.ledger.switch(Bucket::Productive, now);
        }
        if self.step.is_some_and(|before| step < before) {
            if !attempt.catching_up {
                self.ignore(Reject::OutOfOrder);
            }
            return;
        }
        if self.step.is_some_and(|before| step > before) {
            attempt.handle_moved(now);
        }
        (self.step, self.total) = (Some(step), total.or(self.total));
        self.watch.handle_step(step, now);
        self.pace.handle_step(step, now);
    }

    fn measure(
        &mut self,
        attempt: &mut Attempt,
        step: u64,
        values: Vec<(String, Option<f64>)>,
        say: &mut dyn FnMut(&str),
    ) {
        for (name, value) in values {
            let watched = matches!(name.as_str(), "loss" | "grad_norm");
            let trouble = match (name.as_str(), value) {
                ("loss", value) => attempt.guard.handle_loss(step, value.unwrap_or(f64::NAN)),
                (_, None) if watched => Some(Trouble::NotFinite { onset: step }),
                _ => None,
            };
            if let Some(trouble) = trouble.filter(|_| attempt.ended_for.is_none()) {
                let from = trouble.suspect_from();
                say(&format!("{name} went wrong at step {}: going back to before step {from}", trouble.onset()));
                self.go_back(trouble, step);
                self.stop_attempt(attempt, Class::Numeric, Duration::ZERO);
            }
            self.metrics.insert(name, value.map_or(serde_json::Value::Null, Into::into));
        }
    }

    pub(in crate::supervise) fn ignore(&mut self, reject: Reject) {
        *self.ignored.entry(reject.to_string()).or_default() += 1;
    }
}
