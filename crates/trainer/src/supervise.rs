//! The loop around a command: attempts, checkpoints, gates, and what is told of them.

mod adopting;
mod attempt;
mod gates;
mod keep;
mod metrics;
mod record;
mod report;
mod room;
mod saves;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mainstay_core::rng::Rng;
use mainstay_core::time::Time;
use mainstay_core::training::State;
use mainstay_core::training::chain::Chain;
use mainstay_core::training::class::Class;
use mainstay_core::training::forecast::Pace;
use mainstay_core::training::gate::Answer;
use mainstay_core::training::ledger::{Bucket, Ledger};
use mainstay_core::training::policy::{Policy, Verdict};
use mainstay_core::training::progress::Watch;
use serde_json::{Map, Value, json};

use crate::limits::Limits;
use crate::options::{Error, Options};
use crate::place::Place;
use crate::process;

use record::Record;

pub use report::Summary;

/// Warnings of one run.
const WARNINGS_MAX: usize = 20;

/// A run.
#[derive(Debug)]
struct Run<'a> {
    options: &'a Options,
    place: Place,
    record: Record,
    chain: Chain,
    policy: Policy,
    watch: Watch,
    pace: Pace,
    /// The line that was shown last.
    shown: String,
    ledger: Ledger,
    rng: Rng,
    stop: Arc<AtomicBool>,
    /// How often somebody asked to end.
    requests: u32,
    state: State,
    reason: Option<String>,
    step: Option<u64>,
    total: Option<u64>,
    world: Option<u64>,
    metrics: Map<String, Value>,
    /// The last evaluation, and its step.
    evaluated: Option<(u64, Map<String, Value>)>,
    ignored: std::collections::BTreeMap<String, u64>,
    limits: Limits,
    committed: u64,
    saves: saves::Saves,
    adopting: crate::adopt::Watch,
    skips: Vec<(u64, u64)>,
    largest: u64,
    revision: u64,
    /// A gate failed while the script ran.
    invalid: bool,
    rollback: &'static str,
    answers: Vec<Answer>,
    promoted: Option<String>,
    /// What people should know, once each.
    warnings: BTreeSet<String>,
    /// The time between checkpoints that scripts were told last.
    interval: Option<Duration>,
}

/// Supervises a command until it ends. `say` takes what people may want to read.
pub fn run(options: &Options, say: &mut dyn FnMut(&str)) -> Result<Summary, Error> {
    let mut run = Run::open(options)?;
    process::adopt_orphans().map_err(Error::place("/proc"))?;
    let listen = |signal| signal_hook::flag::register(signal, Arc::clone(&run.stop)).map_err(Error::place("signals"));
    let listening = [listen(signal_hook::consts::SIGTERM)?, listen(signal_hook::consts::SIGINT)?];
    let went = run.attempts(say);
    for signal in listening {
        signal_hook::low_level::unregister(signal);
    }
    run.saves.forget_gates();
    went?;
    run.record.finished = !matches!(run.state, State::Preempted | State::TimedOut);
    run.record.worker = None;
    // The next supervisor finds the worker's end by itself, where a disk does not take it from here.
    run.try_save_record();
    run.tell();
    Ok(run.summary())
}

impl<'a> Run<'a> {
    fn open(options: &'a Options) -> Result<Run<'a>, Error> {
        let now = (options.now)();
        let place = Place::open(&options.directory)?;
        let record = Record::take_up(&place, options.seed, now)?;
        let mut run = Run {
            options,
            place,
            record,
            chain: Chain::default(),
            policy: Policy::new(options.policy.clone()),
            watch: Watch::new(options.progress.clone(), now),
            pace: Pace::default(),
            shown: String::new(),
            ledger: Ledger::new(now),
            rng: Rng::new(options.seed),
            stop: Arc::new(AtomicBool::new(false)),
            requests: 0,
            state: State::Starting,
            reason: None,
            step: None,
            total: None,
            world: None,
            metrics: Map::new(),
            evaluated: None,
            ignored: std::collections::BTreeMap::new(),
            limits: Limits::default(),
            committed: 0,
            saves: saves::Saves::default(),
            adopting: crate::adopt::Watch::default(),
            skips: Vec::new(),
            largest: 0,
            revision: now.as_millis(),
            invalid: false,
            rollback: "not_asked",
            answers: Vec::new(),
            promoted: None,
            warnings: BTreeSet::new(),
            interval: None,
        };
        run.policy = Policy::resume(options.policy.clone(), run.spent_before());
        run.read_chain()?;
        run.take_back();
        run.end_gates_before();
        run.save_record()?;
        Ok(run)
    }

    fn attempts(&mut self, say: &mut dyn FnMut(&str)) -> Result<(), Error> {
        loop {
            // What a supervisor before this one started is looked after in any case.
            if self.record.worker.is_none() {
                // Whatever a supervisor that is gone left behind must not write beside the new attempt.
                process::end_tree(&self.record.run, 0);
                self.sweep(say)?;
                self.adopt_first(say);
                self.wait_for_room(say);
                if self.is_over() {
                    return Ok(());
                }
            }
            let failed = self.attempt(say)?;
            let Some((class, peak)) = failed else { return Ok(()) };
            if self.invalid {
                self.end_invalid_run(say);
                return Ok(());
            }
            let now = self.now();
            let kept = self.chain.head().map_or(0, |head| head.step);
            self.ledger.handle_lost(self.step.unwrap_or(kept).saturating_sub(kept), class.is_failure(), now);
            if self.is_over() {
                return Ok(());
            }
            let verdict = self.policy.handle_failure(class, peak, &mut self.rng);
            self.record.worker = None;
            self.try_save_record();
            self.note(
                "attempt_failed",
                json!({ "class": class, "step": self.step, "verdict": format!("{verdict:?}") }),
            );
            match verdict {
                Verdict::Stop(why) => {
                    say(&format!("stopped: {why}"));
                    let state = if class == Class::TimedOut { State::TimedOut } else { State::Failed };
                    self.end(state, &format!("{}: {why}", class.as_str()));
                    return Ok(());
                }
                Verdict::Retry(pause) => {
                    say(&format!("attempt {} failed: {}; again in {pause:.1?}", self.record.attempt, class.as_str()));
                    self.pause(pause);
                }
            }
        }
    }

    /// Ends the run where somebody asked for that or its time is up; both leave it so that it can go on.
    fn is_over(&mut self) -> bool {
        if self.stopped() {
            self.end(State::Preempted, "asked to end; the run goes on from its last checkpoint");
        } else if self.out_of_time() {
            self.end(State::TimedOut, "its time is up; with more of it the run goes on from its last checkpoint");
        } else {
            return false;
        }
        true
    }

    /// Waits before an attempt; a request to end ends that too.
    fn pause(&mut self, pause: Duration) {
        self.state = State::Waiting;
        self.ledger.switch(Bucket::Backoff, self.now());
        self.tell();
        let until = self.now() + pause;
        while self.now() < until && !self.stopped() && !self.out_of_time() {
            std::thread::sleep(Duration::from_millis(20).min(until.since(self.now())));
        }
    }

    fn end(&mut self, state: State, reason: &str) {
        self.ledger.settle(self.now());
        self.state = state;
        self.reason = Some(reason.to_owned()).filter(|reason| !reason.is_empty());
        self.note("run_ended", json!({ "state": state, "reason": reason }));
    }

    fn now(&self) -> Time {
        (self.options.now)()
    }

    fn stopped(&self) -> bool {
        self.requests > 0 || self.stop.load(Ordering::Relaxed)
    }

    /// How often somebody asked to end, until now.
    fn requests(&mut self) -> u32 {
        self.requests += u32::from(self.stop.swap(false, Ordering::Relaxed));
        self.requests
    }

    /// All attempts and the pauses between them count, whoever supervised them; time in which nothing of the run ran does not.
    fn out_of_time(&self) -> bool {
        let now = self.now();
        self.options.allowance().is_over(self.ledger.at_work(now), now)
    }

    /// Says something once that people should know before it matters.
    fn warn(&mut self, warning: String, say: &mut dyn FnMut(&str)) {
        if !self.warnings.contains(&warning) && self.warnings.len() < WARNINGS_MAX {
            say(&format!("warning: {warning}"));
            self.note("warning", json!({ "why": warning }));
            self.warnings.insert(warning);
        }
    }

    /// Notes what happened. A disk that cannot take it must not end a run that could go on.
    fn note(&mut self, what: &str, mut fields: Value) {
        fields["what"] = what.into();
        fields["at_ms"] = self.now().as_millis().into();
        fields["run"] = self.record.run.as_str().into();
        fields["attempt"] = self.record.attempt.into();
        if self.place.note(&fields).is_err() {
            *self.ignored.entry("journal".to_owned()).or_default() += 1;
        }
    }
}
