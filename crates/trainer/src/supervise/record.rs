//! What outlives a supervisor: the run's record, and how far its attempt was heard.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use mainstay_core::time::Time;
use mainstay_core::training::ledger::Ledger;
use mainstay_core::training::policy::Spent;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Run;
use super::attempt::Attempt;
use super::saves::Ready;
use crate::limits::cgroup::Group;
use crate::options::Error;
use crate::place::{Place, put, replace};
use crate::process::Identity;

const RECORD: &str = "run.json";
const HEARD: &str = "heard.json";

/// A run: written whole and durably at each transition.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    pub(super) run: String,
    pub(super) attempt: u32,
    /// Milliseconds since 1970.
    pub(super) started: u64,
    pub(super) finished: bool,
    pub(super) seed: u64,
    /// The process of an attempt whose end is not on record.
    pub(super) worker: Option<Identity>,
    /// The control group of that attempt.
    pub(super) group: Option<Group>,
    /// How far it was, in percent.
    pub(super) percent: u8,
    /// How many saves were measured, how long steps waited for them in all, and the longest from its begin to its end.
    saves: (u32, Duration, Duration),
    spent: Spent,
    ledger: Option<Ledger>,
    learned: BTreeMap<String, (u32, Duration)>,
    skips: Vec<(u64, u64)>,
    committed: u64,
}

/// How far an attempt was heard, so that nothing is missed or taken twice: written each second, and not synced. A machine
/// that falls over takes the script with it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Heard {
    pub(super) attempt: u32,
    pub(super) log: u64,
    pub(super) events: BTreeMap<String, u64>,
    pub(super) step: Option<u64>,
    pub(super) total: Option<u64>,
    pub(super) spoke: bool,
    pub(super) done: Option<u64>,
    pub(super) error: Option<(String, bool)>,
    /// When it began, in milliseconds since 1970.
    pub(super) began: Option<u64>,
    /// Checkpoints whose commit was not done.
    pub(super) saves: Vec<Ready>,
    pub(super) percent: u8,
    pub(super) ledger: Option<Ledger>,
    pub(super) learned: BTreeMap<String, (u32, Duration)>,
}

impl Record {
    /// A save was measured: how long steps waited, and how long it took in all.
    pub(super) fn handle_save(&mut self, blocking: Duration, whole: Duration) {
        let (count, blocked, longest) = self.saves;
        self.saves = (count.saturating_add(1), blocked + blocking, longest.max(whole));
    }

    /// How long steps wait for a save, on average.
    pub(super) fn mean_save(&self) -> Option<Duration> {
        self.saves.1.checked_div(self.saves.0)
    }

    /// The longest save.
    pub(super) fn longest_save(&self) -> Option<Duration> {
        (self.saves.0 > 0).then_some(self.saves.2)
    }

    /// The run that goes on, or a new one.
    pub(super) fn take_up(place: &Place, seed: u64, now: Time) -> Result<Record, Error> {
        let fresh = Record { run: format!("{seed:016x}"), seed, started: now.as_millis(), ..Record::default() };
        let path = place.own(RECORD);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(fresh),
            Err(error) => return Err(Error::place(path)(error)),
        };
        match serde_json::from_slice::<Record>(&text) {
            Ok(record) if !record.finished && !record.run.is_empty() => Ok(record),
            // Names of checkpoints hold the attempt: its count goes on in the next run.
            Ok(record) => Ok(Record { attempt: record.attempt, ..fresh }),
            Err(_) => {
                fs::rename(&path, path.with_extension("json.broken")).map_err(Error::place(&path))?;
                Ok(fresh)
            }
        }
    }
}

impl Heard {
    fn read(path: &Path, attempt: u32) -> Heard {
        let read = fs::read(path).ok().and_then(|text| serde_json::from_slice::<Heard>(&text).ok());
        read.filter(|heard| heard.attempt == attempt).unwrap_or(Heard { attempt, ..Heard::default() })
    }
}

impl Run<'_> {
    /// Puts back what the supervisor before knew.
    pub(super) fn take_back(&mut self) {
        let now = self.now();
        let heard = self.heard_before();
        self.skips = std::mem::take(&mut self.record.skips);
        self.committed = self.record.committed;
        self.record.percent = self.record.percent.max(heard.percent);
        let running = self.record.worker.is_some();
        // Within an attempt the second-by-second books are the newer ones.
        let books = [self.record.ledger.take(), heard.ledger.filter(|_| running)];
        if let Some(mut ledger) = books.into_iter().flatten().max_by_key(Ledger::wall) {
            ledger.handle_return(self.record.worker.is_some_and(Identity::is_alive), now);
            self.ledger = ledger;
        }
        let learned = std::mem::take(&mut self.record.learned);
        self.watch.handle_learned(if running && !heard.learned.is_empty() { heard.learned } else { learned });
        // A record that was lost must not make a checkpoint's name come again.
        let made = self.chain.all().iter().filter_map(|found| found.id.rsplit_once("-a")?.1.parse().ok()).max();
        self.record.attempt = self.record.attempt.max(made.unwrap_or(0));
    }

    /// What is used of the budgets, as on record.
    pub(super) fn spent_before(&mut self) -> Spent {
        std::mem::take(&mut self.record.spent)
    }

    /// How far the attempt on record was heard.
    pub(super) fn heard_before(&self) -> Heard {
        Heard::read(&self.place.own(HEARD), self.record.attempt)
    }

    /// Writes the record, durably.
    pub(super) fn save_record(&mut self) -> Result<(), Error> {
        self.ledger.settle(self.now());
        let record = Record {
            spent: self.policy.spent().clone(),
            ledger: Some(self.ledger.clone()),
            learned: self.watch.learned().clone(),
            skips: self.skips.clone(),
            committed: self.committed,
            ..self.record.clone()
        };
        let path = self.place.own(RECORD);
        let text = serde_json::to_vec(&record).expect("a record is JSON");
        replace(&path, &text).map_err(Error::place(path))
    }

    /// Writes the record while a script runs, which a disk that cannot take it must not end.
    pub(super) fn try_save_record(&mut self) {
        if let Err(error) = self.save_record() {
            self.note("record", json!({ "why": error.to_string() }));
            *self.ignored.entry("record".to_owned()).or_default() += 1;
        }
    }

    /// Writes how far the attempt was heard.
    pub(super) fn save_heard(&mut self, attempt: &Attempt) {
        let heard = Heard {
            attempt: self.record.attempt,
            step: self.step,
            total: self.total,
            saves: self.saves.unfinished(),
            percent: self.record.percent,
            ledger: Some(self.ledger.clone()),
            learned: self.watch.learned().clone(),
            ..attempt.heard_so_far()
        };
        let text = serde_json::to_vec(&heard).expect("what was heard is JSON");
        if put(&self.place.own(HEARD), &text).is_err() {
            *self.ignored.entry("record".to_owned()).or_default() += 1;
        }
    }
}
