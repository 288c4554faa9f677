//! The loop around a command: attempts, checkpoints, gates, and what is told of them.

mod attempt;
mod gates;
mod keep;
mod report;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mainstay_core::rng::Rng;
use mainstay_core::time::Time;
use mainstay_core::training::State;
use mainstay_core::training::chain::Chain;
use mainstay_core::training::class::Class;
use mainstay_core::training::ledger::{Bucket, Ledger};
use mainstay_core::training::policy::{Policy, Verdict};
use mainstay_core::training::progress::Watch;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::options::{Error, Options};
use crate::place::{Place, replace};
use crate::process::{self, Identity};

pub use report::Summary;

/// What outlives a supervisor.
#[derive(Debug, Serialize, serde::Deserialize)]
struct Record {
    run: String,
    attempt: u32,
    started: u64,
    finished: bool,
}

/// A run.
#[derive(Debug)]
struct Run<'a> {
    options: &'a Options,
    place: Place,
    record: Record,
    chain: Chain,
    policy: Policy,
    watch: Watch,
    ledger: Ledger,
    rng: Rng,
    stop: Arc<AtomicBool>,
    state: State,
    reason: Option<String>,
    step: Option<u64>,
    total: Option<u64>,
    metrics: Map<String, Value>,
    ignored: std::collections::BTreeMap<String, u64>,
    limits: std::collections::BTreeMap<&'static str, &'static str>,
    committed: u64,
    skips: Vec<(u64, u64)>,
    largest: u64,
    revision: u64,
    /// A gate failed while the script ran.
    invalid: bool,
    rollback: &'static str,
}

/// Supervises a command until it ends. `say` takes what people may want to read.
pub fn run(options: &Options, say: &mut dyn FnMut(&str)) -> Result<Summary, Error> {
    let mut run = Run::open(options)?;
    process::adopt_orphans().map_err(Error::place("/proc"))?;
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&run.stop)).map_err(Error::place("signals"))?;
    }
    run.attempts(say)?;
    run.record.finished = !matches!(run.state, State::Preempted | State::TimedOut);
    run.save_record()?;
    run.tell();
    Ok(run.summary())
}

impl<'a> Run<'a> {
    fn open(options: &'a Options) -> Result<Run<'a>, Error> {
        let now = (options.now)();
        let place = Place::open(&options.directory)?;
        let before = fs::read(place.own("run.json")).ok().and_then(|text| serde_json::from_slice::<Record>(&text).ok());
        let fresh =
            || Record { run: format!("{:016x}", options.seed), attempt: 0, started: now.as_millis(), finished: false };
        let record = match before {
            Some(record) if !record.finished => record,
            // Names of checkpoints hold the attempt: its count goes on in the next run.
            Some(record) => Record { attempt: record.attempt, ..fresh() },
            None => fresh(),
        };
        let mut run = Run {
            options,
            place,
            record,
            chain: Chain::default(),
            policy: Policy::new(options.policy.clone()),
            watch: Watch::new(options.progress.clone(), now),
            ledger: Ledger::new(now),
            rng: Rng::new(options.seed),
            stop: Arc::new(AtomicBool::new(false)),
            state: State::Starting,
            reason: None,
            step: None,
            total: None,
            metrics: Map::new(),
            ignored: std::collections::BTreeMap::new(),
            limits: std::collections::BTreeMap::new(),
            committed: 0,
            skips: Vec::new(),
            largest: 0,
            revision: now.as_millis(),
            invalid: false,
            rollback: "not_asked",
        };
        run.save_record()?;
        run.read_chain()?;
        Ok(run)
    }

    fn attempts(&mut self, say: &mut dyn FnMut(&str)) -> Result<(), Error> {
        loop {
            let failed = self.attempt(say)?;
            let Some((class, peak)) = failed else { return Ok(()) };
            if self.invalid {
                self.end_invalid_run(say);
                return Ok(());
            }
            let now = self.now();
            let kept = self.chain.head().map_or(0, |head| head.step);
            self.ledger.handle_lost(self.step.unwrap_or(kept).saturating_sub(kept), class != Class::Preempted, now);
            if self.stopped() {
                self.end(State::Preempted, "asked to end; the run goes on from its last checkpoint");
                return Ok(());
            }
            if self.out_of_time() {
                self.end(State::TimedOut, "its time is up");
                return Ok(());
            }
            let verdict = self.policy.handle_failure(class, peak, &mut self.rng);
            self.note(
                "attempt_failed",
                json!({ "class": class, "step": self.step, "verdict": format!("{verdict:?}") }),
            );
            match verdict {
                Verdict::Stop(why) => {
                    self.reason = Some(class.as_str().to_owned());
                    say(&format!("stopped: {why}"));
                    self.end(State::Failed, &format!("{}: {why}", class.as_str()));
                    return Ok(());
                }
                Verdict::Retry(pause) => {
                    say(&format!("attempt {} failed: {}; again in {pause:.1?}", self.record.attempt, class.as_str()));
                    self.pause(pause);
                }
            }
        }
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
        self.stop.load(Ordering::Relaxed)
    }

    /// Counted from the first attempt of the run, whoever supervised it.
    fn out_of_time(&self) -> bool {
        self.options.timeout.is_some_and(|most| self.now().since(Time::from_millis(self.record.started)) >= most)
    }

    fn save_record(&self) -> Result<(), Error> {
        let path = self.place.own("run.json");
        let text = serde_json::to_vec(&self.record).expect("a record is JSON");
        replace(&path, &text).map_err(Error::place(path))
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

    /// The process of an attempt that a supervisor before this one started, if it is alive.
    fn survivor(&self) -> Option<Identity> {
        let text = fs::read(self.place.own("worker.json")).ok()?;
        let identity: Identity = serde_json::from_slice(&text).ok()?;
        identity.is_alive().then_some(identity)
    }
}
