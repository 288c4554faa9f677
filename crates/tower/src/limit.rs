//! A backend's limit and waiting line, shared by threads and by the routes that use the backend.
//!
//! ```text
//!   acquire ──room, nobody waits──> one compare-and-swap ───────────────────────────> Permit
//!      └──────otherwise──> line (short lock) ──called / evicted / out of time──> Permit or Refused
//!
//!   Permit::finish ──> one subtraction; if somebody waits, the best of them is called
//!                └───> sample into the thread's own slice ──every 10 ms──> Limiter ──> limit
//! ```
//!
//! The machines are [`limiter`](mainstay_core::resilience::limiter) and [`queue`](mainstay_core::resilience::queue).
//! Permits are taken when a request is there, never in `poll_ready`: an idle connection holds none.
//!
//! ```
//! use mainstay_core::resilience::limiter::Config;
//! use mainstay_core::resilience::queue::Shed;
//! use mainstay_core::route::Class;
//! use mainstay_core::time::Time;
//! use mainstay_tower::clock::Clock;
//! use mainstay_tower::limit::{Ask, LimitLayer, SharedLimit};
//! use std::time::Duration;
//! use tower::{Layer, ServiceExt};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let clock = Clock::anchored(Time::from_secs(1_800_000_000));
//! let limit = SharedLimit::new(Config::KNEE, clock.now());
//! let ask = |_: &String, now| Ask {
//!     class: Class::WORST,
//!     route: 0,
//!     queue_max: 64,
//!     shed: Shed::Queue,
//!     wait_until: now + Duration::from_millis(50),
//! };
//! let model = tower::service_fn(|prompt: String| async move { Ok::<_, std::io::Error>(prompt.len()) });
//! let limited = LimitLayer::new(limit.clone(), clock, ask).layer(model);
//! assert_eq!(limited.oneshot("How tall is the Eiffel tower?".to_owned()).await.unwrap(), 29);
//! assert_eq!(limit.view().in_flight, 0);
//! # });
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mainstay_core::resilience::limiter::{Config, LimitChange, Limiter, Sample, Slice};
use mainstay_core::resilience::queue::{Key, LoadReason, Popped, Pushed, Queue, Shed, Ticket, saturation};
use mainstay_core::route::Class;
use mainstay_core::time::Time;
use tokio::sync::oneshot;

use crate::shard::Padded;

mod acquire;
mod layer;
mod permit;
mod shards;
mod word;

pub use acquire::Acquire;
pub use layer::{Limit, LimitError, LimitLayer};
pub use permit::Permit;
use shards::Shards;
use word::{MAX_WAITING, Word};

/// How often slices are settled while answers arrive.
const SETTLE: Duration = Duration::from_millis(10);
/// Limit changes that nobody fetched; the oldest are forgotten.
const CHANGES: usize = 64;

/// What a request asks of a backend's limit.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Ask {
    /// How much it matters.
    pub class: Class,
    /// Whose share of the line it takes: a small dense number.
    pub route: u32,
    /// Most requests of this route in the line.
    pub queue_max: u32,
    /// Who is turned away.
    pub shed: Shed,
    /// When waiting is no use any more.
    pub wait_until: Time,
}

/// There is no permit at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Busy;

/// There is no permit in time.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Refused {
    /// How loaded the backend is, by name.
    pub reason: LoadReason,
    /// (in flight + queued) / (limit + the route's share of the line).
    pub saturation: f64,
    /// What ended the request's chance.
    pub why: Why,
}

/// What ended a request's chance of a permit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// A better request took its place in the line.
    Evicted,
    /// It waited as long as it could.
    Timeout,
    /// The line was full of requests that are at least as good.
    Full,
    /// Its class is not admitted at this saturation.
    Threshold,
}

/// A limit at a glance.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct View {
    /// Calls at once.
    pub limit: u32,
    /// Calls in flight.
    pub in_flight: u32,
    /// Requests in the line.
    pub waiting: u32,
    /// (in flight + waiting) / (limit + room in the line, as far as routes have asked for it).
    pub saturation: f64,
}

/// A backend's limit and waiting line.
///
/// Invariants: no permit is given while `in_flight >= limit`; nobody overtakes the line; whenever the line is not empty
/// and there is room, some thread is on its way to call the next.
pub struct SharedLimit {
    word: Padded<Word>,
    /// Calls in flight whose first byte was reported.
    begun: AtomicU32,
    limited: AtomicBool,
    queue_room: AtomicU32,
    latency_ns_mean: AtomicU64,
    settle_at_ns: AtomicU64,
    shards: Shards,
    line: Mutex<Line>,
    control: Mutex<Control>,
}

type Answer = oneshot::Sender<Result<Permit, Why>>;

struct Line {
    queue: Queue<Answer>,
    /// The latest time heard of: what a permit dropped without a time goes by.
    latest: Time,
    rooms: Vec<u32>,
}

struct Control {
    limiter: Limiter,
    scratch: Slice,
    changes: VecDeque<LimitChange>,
}

impl SharedLimit {
    /// A limit that has seen nothing.
    pub fn new(config: Config, now: Time) -> Arc<SharedLimit> {
        let limiter = Limiter::new(config, now);
        Arc::new(SharedLimit {
            word: Padded(Word::new(limiter.limit())),
            begun: AtomicU32::new(0),
            limited: AtomicBool::new(false),
            queue_room: AtomicU32::new(0),
            latency_ns_mean: AtomicU64::new(0),
            settle_at_ns: AtomicU64::new((now + SETTLE).as_nanos()),
            shards: Shards::new(limiter.signal()),
            line: Mutex::new(Line { queue: Queue::new(), latest: now, rooms: Vec::new() }),
            control: Mutex::new(Control { limiter, scratch: Slice::new(), changes: VecDeque::new() }),
        })
    }

    /// A permit at once, or none. The class says nothing here: whoever does not wait cannot overtake.
    pub fn try_acquire(self: &Arc<Self>, _class: Class, _now: Time) -> Result<Permit, Busy> {
        match self.word.0.try_take() {
            Ok(()) => Ok(Permit::new(self.clone())),
            Err(counts) => {
                self.note_limited(counts.has_room());
                Err(Busy)
            }
        }
    }

    /// A permit, at once where there is room and nobody waits (without an allocation), else from the line.
    ///
    /// The place in the line is taken by this call, not by the first poll. Where the request has to wait, this must be
    /// called within a tokio runtime that has time enabled.
    pub fn acquire(self: &Arc<Self>, ask: Ask, now: Time) -> Acquire {
        if let Shed::Thresholds(_) = ask.shed
            && !ask.shed.admits(ask.class, self.saturation(ask.queue_max))
        {
            return Acquire::known(Err(self.refused(Why::Threshold, ask.queue_max)));
        }
        match self.word.0.try_take() {
            Ok(()) => Acquire::known(Ok(Permit::new(self.clone()))),
            Err(counts) => {
                self.note_limited(counts.has_room());
                self.wait(ask, now)
            }
        }
    }

    /// The limit, what is in flight, and who waits. Each is right by itself; together they are of one moment.
    pub fn view(&self) -> View {
        let counts = self.word.0.counts();
        let saturation = self.saturation(self.queue_room.load(Ordering::Relaxed));
        View { limit: counts.limit, in_flight: counts.in_flight, waiting: counts.waiting, saturation }
    }

    /// The next change of the limit that nobody has fetched yet.
    pub fn poll_change(&self) -> Option<LimitChange> {
        lock(&self.control).changes.pop_front()
    }

    /// How long a newcomer at the end of the line would wait, from the latest answers; zero where there is room.
    pub fn estimated_wait(&self) -> Duration {
        let counts = self.word.0.counts();
        if counts.has_room() && counts.waiting == 0 {
            return Duration::ZERO;
        }
        let latency = Duration::from_nanos(self.latency_ns_mean.load(Ordering::Relaxed));
        latency.mul_f64(f64::from(counts.waiting + 1) / f64::from(counts.limit))
    }

    /// Hands what the threads have counted to the limiter. Answers do this every 10 ms by themselves; a timer should
    /// as well (every 100 ms or so), for a backend that answers nothing at all.
    pub fn settle(self: &Arc<Self>, now: Time) {
        self.settle_with(&mut lock(&self.control), now);
        self.dispatch(now);
    }

    fn settle_with(&self, control: &mut Control, now: Time) {
        self.settle_at_ns.store((now + SETTLE).as_nanos(), Ordering::Relaxed);
        let Control { limiter, scratch, changes } = control;
        scratch.clear();
        self.shards.drain(scratch);
        let in_flight = self.word.0.counts().in_flight;
        scratch.in_flight = in_flight;
        scratch.begun = self.begun.load(Ordering::Relaxed);
        scratch.in_flight_max = scratch.in_flight_max.max(in_flight);
        scratch.limited = self.limited.swap(false, Ordering::Relaxed);
        if let Some(mean) = scratch.latency_mean_s() {
            self.latency_ns_mean.store((mean * 1e9) as u64, Ordering::Relaxed);
        }
        if let Some(change) = limiter.handle_window(scratch, now) {
            self.word.0.set_limit(change.to);
            if changes.len() == CHANGES {
                changes.pop_front();
            }
            changes.push_back(change);
        }
    }

    /// The slow path: into the line, and then whoever is first gets what there is.
    fn wait(self: &Arc<Self>, ask: Ask, now: Time) -> Acquire {
        let (answer, question) = oneshot::channel();
        let ticket =
            Ticket { class: ask.class, route: ask.route, max: ask.queue_max as usize, wait_until: ask.wait_until };
        let (key, evicted) = {
            let mut line = lock(&self.line);
            line.latest = line.latest.max(now);
            self.note_room(&mut line, &ask);
            if line.queue.is_empty() && self.word.0.try_take().is_ok() {
                return Acquire::known(Ok(Permit::new(self.clone())));
            }
            if line.queue.len() >= MAX_WAITING {
                return Acquire::known(Err(self.refused(Why::Full, ask.queue_max)));
            }
            match line.queue.push(answer, ticket, now) {
                Pushed::Waits(key) => {
                    self.word.0.join();
                    (key, None)
                }
                Pushed::Evicted(key, worse) => (key, Some(worse)),
                Pushed::Refused(_) => return Acquire::known(Err(self.refused(Why::Full, ask.queue_max))),
            }
        };
        if let Some(worse) = evicted {
            let _: Result<(), _> = worse.send(Err(Why::Evicted));
        }
        self.dispatch(now);
        Acquire::waiting(self.clone(), key, ask.queue_max, question, ask.wait_until.since(now))
    }

    /// Calls from the line for as long as there is room. Answers are sent outside the lock: what they wake may come
    /// back here.
    fn dispatch(self: &Arc<Self>, now: Time) {
        loop {
            let counts = self.word.0.counts();
            if counts.waiting == 0 || !counts.has_room() {
                return;
            }
            let Some((answer, what)) = self.next(now) else { return };
            // Whoever gave up in this very moment drops the permit, and that calls the next.
            let _: Result<(), _> = answer.send(what);
        }
    }

    fn next(self: &Arc<Self>, now: Time) -> Option<(Answer, Result<Permit, Why>)> {
        let mut line = lock(&self.line);
        line.latest = line.latest.max(now);
        self.word.0.try_take_waiting().ok()?;
        match line.queue.pop(now) {
            Some(Popped::Call(answer)) => Some((answer, Ok(Permit::new(self.clone())))),
            Some(Popped::Expired(answer)) => {
                self.word.0.release();
                Some((answer, Err(Why::Timeout)))
            }
            // The line's length is the word's `waiting`; both change under the lock.
            None => {
                self.word.0.release();
                None
            }
        }
    }

    /// Leaves the line; whether it was still in it.
    fn give_up(&self, key: Key) -> bool {
        let mut line = lock(&self.line);
        let left = line.queue.remove(key);
        if left.is_some() {
            self.word.0.leave();
        }
        drop(line);
        left.is_some()
    }

    fn release(self: &Arc<Self>) {
        if self.word.0.release().waiting > 0 {
            let now = lock(&self.line).latest;
            self.dispatch(now);
        }
    }

    fn begin(self: &Arc<Self>, elapsed: Duration, now: Time) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.shards.record_first_byte(elapsed);
        self.settle_if_due(now);
    }

    fn end_begun(&self) {
        self.begun.fetch_sub(1, Ordering::Relaxed);
    }

    fn finish(self: &Arc<Self>, sample: &Sample, now: Time) {
        let counts = self.word.0.release();
        self.shards.record(sample, counts.in_flight);
        self.settle_if_due(now);
        if counts.waiting > 0 {
            self.dispatch(now);
        }
    }

    fn settle_if_due(self: &Arc<Self>, now: Time) {
        if now.as_nanos() < self.settle_at_ns.load(Ordering::Relaxed) {
            return;
        }
        if let Ok(mut control) = self.control.try_lock() {
            self.settle_with(&mut control, now);
            drop(control);
            self.dispatch(now);
        }
    }

    /// A caller found no room: the limit is what holds callers back. One that only found a line says nothing.
    fn note_limited(&self, has_room: bool) {
        if !has_room && !self.limited.load(Ordering::Relaxed) {
            self.limited.store(true, Ordering::Relaxed);
        }
    }

    fn note_room(&self, line: &mut Line, ask: &Ask) {
        let route = ask.route as usize;
        if line.rooms.len() <= route {
            line.rooms.resize(route + 1, 0);
        }
        if line.rooms[route] != ask.queue_max {
            line.rooms[route] = ask.queue_max;
            let room = line.rooms.iter().fold(0u32, |sum, room| sum.saturating_add(*room));
            self.queue_room.store(room, Ordering::Relaxed);
        }
    }

    fn saturation(&self, queue_max: u32) -> f64 {
        let counts = self.word.0.counts();
        saturation(counts.in_flight, counts.waiting, counts.limit, queue_max)
    }

    fn refused(&self, why: Why, queue_max: u32) -> Refused {
        let saturation = self.saturation(queue_max);
        Refused { reason: LoadReason::of(saturation), saturation, why }
    }
}

impl fmt::Debug for SharedLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedLimit").field("view", &self.view()).finish_non_exhaustive()
    }
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the backend is at its limit")
    }
}

impl std::error::Error for Busy {}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.why {
            Why::Evicted => "a better request took its place",
            Why::Timeout => "no permit in time",
            Why::Full => "the line is full",
            Why::Threshold => "its class is shed",
        };
        write!(f, "{why} ({}, saturation {:.2})", self.reason.as_str(), self.saturation)
    }
}

impl std::error::Error for Refused {}

/// The data under our locks is consistent between any two statements that may panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
