//! Who asked how often, and how it ended: what a referee reads. All of it is on one thread.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::script::Asked;

/// Most attempts that are kept; older ones are dropped and counted.
const ATTEMPTS_MAX: usize = 100_000;

/// Most models that are told apart.
const MODELS_MAX: usize = 10_000;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Everything was sent.
    Played,
    /// Whoever asked was gone before.
    Left,
}

#[derive(Debug)]
struct Attempt {
    id: u64,
    model: String,
    nth: usize,
    at: SystemTime,
    path: String,
    key: String,
    stream: bool,
    prefill: bool,
    retry_count: Option<String>,
    status: Option<u16>,
    ending: Option<(Ending, SystemTime)>,
    steps: usize,
}

#[derive(Clone, Debug)]
struct State {
    attempts: usize,
    first: Instant,
    factor: f64,
    slots: Option<Rc<Semaphore>>,
    waiting: usize,
}

#[derive(Debug, Default)]
struct Book {
    next: u64,
    dropped: u64,
    attempts: VecDeque<Attempt>,
    models: BTreeMap<String, State>,
}

/// All counts of a wall.
#[derive(Debug, Default)]
pub(super) struct Ledger(RefCell<Book>);

impl Book {
    fn state(&mut self, model: &str) -> &mut State {
        if self.models.len() >= MODELS_MAX && !self.models.contains_key(model) {
            self.models.pop_first();
        }
        let new = || State { attempts: 0, first: Instant::now(), factor: 1.0, slots: None, waiting: 0 };
        self.models.entry(model.to_owned()).or_insert_with(new)
    }

    /// The newest are looked at first: those are the ones under way.
    fn attempt(&mut self, id: u64) -> Option<&mut Attempt> {
        let oldest = self.attempts.front()?.id;
        self.attempts.get_mut(usize::try_from(id.checked_sub(oldest)?).ok()?)
    }
}

impl Ledger {
    /// Counts an attempt: its number in the book, which one it is at its model, and the time since the first there.
    pub(super) fn open(&self, asked: &Asked, path: &str, retry_count: Option<&str>) -> (u64, usize, Duration) {
        let mut book = self.0.borrow_mut();
        let id = book.next;
        book.next += 1;
        let state = book.state(&asked.name);
        if state.attempts == 0 {
            state.first = Instant::now();
        }
        state.attempts += 1;
        let (nth, since) = (state.attempts, state.first.elapsed());
        if book.attempts.len() >= ATTEMPTS_MAX {
            book.attempts.pop_front();
            book.dropped += 1;
        }
        book.attempts.push_back(Attempt {
            id,
            model: asked.name.clone(),
            nth,
            at: SystemTime::now(),
            path: path.to_owned(),
            key: ending_of(&asked.key),
            stream: asked.stream,
            prefill: asked.prefill.is_some(),
            retry_count: retry_count.map(str::to_owned),
            status: None,
            ending: None,
            steps: 0,
        });
        (id, nth, since)
    }

    pub(super) fn answering(&self, id: u64, status: u16) {
        if let Some(attempt) = self.0.borrow_mut().attempt(id) {
            attempt.status = Some(status);
        }
    }

    pub(super) fn stepped(&self, id: u64) {
        if let Some(attempt) = self.0.borrow_mut().attempt(id) {
            attempt.steps += 1;
        }
    }

    pub(super) fn close(&self, id: u64, ending: Ending) {
        if let Some(attempt) = self.0.borrow_mut().attempt(id) {
            attempt.ending = Some((ending, SystemTime::now()));
        }
    }

    /// The slots of a model, made at its first request; `None` where so many wait already that no more may.
    pub(super) fn slots(&self, model: &str, slots: usize, queue: usize) -> Option<(Rc<Semaphore>, f64)> {
        let mut book = self.0.borrow_mut();
        let state = book.state(model);
        let semaphore = Rc::clone(state.slots.get_or_insert_with(|| Rc::new(Semaphore::new(slots))));
        (state.waiting < queue || semaphore.available_permits() > 0).then_some((semaphore, state.factor))
    }

    pub(super) fn wait(&self, model: &str) {
        self.0.borrow_mut().state(model).waiting += 1;
    }

    pub(super) fn waited(&self, model: &str) {
        let mut book = self.0.borrow_mut();
        let state = book.state(model);
        state.waiting = state.waiting.saturating_sub(1);
    }

    /// Makes every service of a model take so many times as long.
    pub(super) fn set_factor(&self, model: &str, factor: f64) {
        self.0.borrow_mut().state(model).factor = factor;
    }

    pub(super) fn reset(&self) {
        let mut book = self.0.borrow_mut();
        // Numbers go on: an attempt under way must not be taken for one that comes later.
        *book = Book { next: book.next, ..Book::default() };
    }

    /// Everything, or what is known of one model.
    pub(super) fn report(&self, model: Option<&str>) -> Value {
        let book = self.0.borrow();
        let wanted = |attempt: &&Attempt| model.is_none_or(|model| attempt.model == model);
        let attempts: Vec<Value> = book.attempts.iter().filter(wanted).map(Attempt::json).collect();
        let counts: BTreeMap<&str, usize> =
            book.models.iter().map(|(name, state)| (name.as_str(), state.attempts)).collect();
        json!({ "schema": 1, "now": seconds(SystemTime::now()), "dropped": book.dropped, "models": counts, "attempts": attempts })
    }
}

impl Attempt {
    fn json(&self) -> Value {
        let ending = self.ending.map(|(ending, _)| match ending {
            Ending::Played => "played",
            Ending::Left => "left",
        });
        json!({
            "model": self.model, "attempt": self.nth, "at": seconds(self.at), "path": self.path, "key": self.key,
            "stream": self.stream, "prefill": self.prefill, "retry_count": self.retry_count, "status": self.status,
            "ending": ending, "ended_at": self.ending.map(|(_, at)| seconds(at)), "steps": self.steps,
        })
    }
}

/// Since 1970.
fn seconds(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// The last characters of a key: enough to tell keys apart, too few to use one.
fn ending_of(key: &str) -> String {
    const SHOWN: usize = 4;
    let hidden = key.chars().count().saturating_sub(SHOWN);
    key.chars().skip(hidden).collect()
}
