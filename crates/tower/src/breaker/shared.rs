//! One breaker, many threads.

use crate::clock::Clock;
use crate::shard::{self, Padded, SHARDS};
use mainstay_core::resilience::breaker::{Breaker, Config, Effect, Mode, Refusal, Rejected, Ticket, Transition, View};
use mainstay_core::resilience::outcome::Outcome;
use mainstay_core::resilience::permit::{Entry, Gate};
use mainstay_core::time::Time;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Successes wait at most this long in their shard while traffic flows.
const SETTLE_EVERY: Duration = Duration::from_millis(10);
/// When to ask again if nobody knows when the breaker will let calls through.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How often a call that met a change of state asks anew before it is turned away.
const TRIES: u32 = 4;

/// A [`Breaker`] that many threads share.
///
/// While the breaker is closed, admitting is one load and a success is one addition to a counter of the thread's own;
/// everything else takes a short lock, which first settles those counters, so that the machine sees successes before
/// the failure that follows them. Nothing allocates on the way of a good call.
#[derive(Debug)]
pub struct SharedBreaker {
    gate: Gate,
    /// Nanoseconds of the machine's next timeout; `u64::MAX` if it has none.
    wake_at: AtomicU64,
    forced: AtomicBool,
    slow_after: AtomicU64,
    /// Nanoseconds of when it recovered last; 0: never.
    recovered: AtomicU64,
    settled_at: AtomicU64,
    shards: [Padded<Successes>; SHARDS],
    machine: Mutex<Breaker>,
}

impl SharedBreaker {
    /// A closed breaker; `seed` decides its jitter.
    pub fn new(config: Config, seed: u64, now: Time) -> Arc<SharedBreaker> {
        let machine = Breaker::new(config, seed, now);
        let (mode, allowed) = machine.gate();
        Arc::new(SharedBreaker {
            gate: Gate::new(machine.generation(), mode, allowed),
            wake_at: AtomicU64::new(u64::MAX),
            forced: AtomicBool::new(false),
            slow_after: AtomicU64::new(nanos(machine.config().slow_after)),
            recovered: AtomicU64::new(0),
            settled_at: AtomicU64::new(now.as_nanos()),
            shards: std::array::from_fn(|_| Padded::default()),
            machine: Mutex::new(machine),
        })
    }

    /// Asks to call the backend on behalf of `request`; attempts of one request share its number. Report the ticket
    /// back, or wrap it in a [`Guard`].
    #[inline]
    pub fn admit(&self, request: u64, now: Time) -> Result<Ticket, Rejected> {
        self.admit_to(0, request, now)
    }

    /// The same for a call to one of its parts.
    #[inline]
    pub fn admit_to(&self, part: u32, request: u64, now: Time) -> Result<Ticket, Rejected> {
        match self.gate.enter() {
            Entry::Free { generation } => Ok(Ticket::closed(generation, request, now).to_part(part)),
            entry @ (Entry::Permit { .. } | Entry::Full | Entry::Shut) => self.admit_slowly(entry, part, request, now),
        }
    }

    /// The breaker of a part changed its state.
    pub fn part_changed(&self, part: u32, change: &Transition, now: Time) {
        self.with(now, |machine| machine.handle_part(part, change, now));
    }

    /// The call has ended.
    #[inline]
    pub fn report(&self, ticket: Ticket, outcome: Outcome, now: Time) {
        if !ticket.is_probe() && self.in_time(&ticket, now) {
            match outcome {
                Outcome::Success => {
                    if self.shards[shard::index()].0.add(ticket.generation()) {
                        self.settle_if_due(now);
                        return;
                    }
                }
                Outcome::Caller { .. } | Outcome::Cancelled => return,
                Outcome::Failure { .. } | Outcome::Throttled { .. } => {}
            }
        }
        self.with(now, |machine| machine.handle_outcome(ticket, outcome, now));
    }

    /// The call has been under way for [`Config::slow_after`] and its answer has not begun.
    pub fn slow(&self, ticket: &mut Ticket, now: Time) {
        if ticket.is_waiting() {
            self.with(now, |machine| machine.handle_slow(ticket, now));
        }
    }

    /// The call's answer began: it is judged as slow or not by this moment, however long it goes on.
    pub fn answer_began(&self, ticket: &mut Ticket, now: Time) {
        if self.in_time(ticket, now) {
            ticket.answer_began();
        } else {
            self.slow(ticket, now);
        }
    }

    /// How long a call may take before it is slow.
    pub fn slow_after(&self) -> Duration {
        Duration::from_nanos(self.slow_after.load(Ordering::Relaxed))
    }

    /// Hands the successes that were added up to the machine, and does what is due.
    pub fn settle(&self, now: Time) {
        self.with(now, |_| ());
    }

    /// The state and its figures.
    pub fn state(&self, now: Time) -> View {
        self.with(now, |machine| machine.view(now))
    }

    /// Whether calls pass freely: one load.
    #[inline]
    pub fn is_closed(&self) -> bool {
        matches!(self.gate.word().mode, mainstay_core::resilience::permit::Mode::Pass)
    }

    /// When it recovered last, see [`Breaker::recovered`]: one load.
    pub fn recovered(&self) -> Option<Time> {
        Some(self.recovered.load(Ordering::Relaxed)).filter(|at| *at > 0).map(Time::from_nanos)
    }

    /// The oldest change of state that nobody polled yet.
    pub fn poll_effect(&self) -> Option<Effect> {
        self.lock().poll_effect()
    }

    /// When [`SharedBreaker::settle`] has something to do that no call would bring about.
    pub fn next_timeout(&self) -> Option<Time> {
        let wake_at = self.wake_at.load(Ordering::Acquire);
        (wake_at != u64::MAX).then(|| Time::from_nanos(wake_at))
    }

    /// Orders a mode, until `until` or until [`SharedBreaker::release`].
    pub fn force(&self, mode: Mode, until: Option<Time>, reason: &str, now: Time) {
        self.with(now, |machine| machine.handle_force(mode, until, reason, now));
    }

    /// Takes an order back, or closes an open breaker: it is closed and knows nothing of the past.
    pub fn release(&self, now: Time) {
        self.with(now, |machine| machine.handle_release(now));
    }

    /// Uses other figures from here on.
    pub fn reconfigure(&self, config: Config, now: Time) {
        self.slow_after.store(nanos(config.slow_after), Ordering::Relaxed);
        self.with(now, |machine| machine.handle_config(config, now));
    }

    #[inline]
    fn in_time(&self, ticket: &Ticket, now: Time) -> bool {
        !ticket.is_slow()
            && (!ticket.is_waiting()
                || nanos(now.since(ticket.admitted_at())) < self.slow_after.load(Ordering::Relaxed))
    }

    #[inline]
    fn settle_if_due(&self, now: Time) {
        let settled_at = Time::from_nanos(self.settled_at.load(Ordering::Relaxed));
        if now.since(settled_at) >= SETTLE_EVERY {
            self.settle_if_free(now);
        }
    }

    #[cold]
    fn settle_if_free(&self, now: Time) {
        if let Ok(mut machine) = self.machine.try_lock() {
            self.catch_up(&mut machine, now);
        }
    }

    #[cold]
    fn admit_slowly(&self, first: Entry, part: u32, request: u64, now: Time) -> Result<Ticket, Rejected> {
        let mut entry = first;
        for _ in 0..TRIES {
            match entry {
                Entry::Free { generation } => return Ok(Ticket::closed(generation, request, now).to_part(part)),
                Entry::Permit { generation } => {
                    if let Some(answer) = self.admit_probe(generation, part, request, now) {
                        return answer;
                    }
                }
                Entry::Full | Entry::Shut => {
                    if now < Time::from_nanos(self.wake_at.load(Ordering::Acquire)) {
                        return Err(self.refusal(entry, now));
                    }
                    self.settle(now);
                }
            }
            entry = self.gate.enter();
        }
        if let Entry::Permit { generation } = entry {
            self.gate.leave(generation);
        }
        Err(Rejected { retry_at: now + ASK_AGAIN, why: Refusal::Probing })
    }

    /// Turns a permit of the gate into a probe of the machine; `None` if the state has changed in between, which took
    /// the permit back.
    fn admit_probe(&self, generation: u32, part: u32, request: u64, now: Time) -> Option<Result<Ticket, Rejected>> {
        self.with(now, |machine| {
            (machine.generation() == generation)
                .then(|| machine.handle_admit_to(part, request, now).inspect_err(|_| self.gate.leave(generation)))
        })
    }

    fn refusal(&self, entry: Entry, now: Time) -> Rejected {
        let why = match entry {
            Entry::Shut if self.forced.load(Ordering::Relaxed) => Refusal::Forced,
            Entry::Shut => Refusal::Open,
            Entry::Full | Entry::Free { .. } | Entry::Permit { .. } => Refusal::Probing,
        };
        let retry_at = match (why, self.next_timeout()) {
            (Refusal::Open | Refusal::Forced, Some(at)) => at,
            (Refusal::Open | Refusal::Forced, None) | (Refusal::Probing, _) => now + ASK_AGAIN,
        };
        Rejected { retry_at, why }
    }

    /// Runs `act` on a machine that is up to date, and publishes what became of it.
    fn with<R>(&self, now: Time, act: impl FnOnce(&mut Breaker) -> R) -> R {
        let mut machine = self.lock();
        self.catch_up(&mut machine, now);
        let before = (machine.generation(), machine.probes());
        let result = act(&mut machine);
        self.publish(&machine, before);
        result
    }

    /// Settles the successes and does what is due. It publishes by itself, so that a lease that ended and a probe
    /// admitted after it are not mistaken for no change.
    fn catch_up(&self, machine: &mut Breaker, now: Time) {
        let generation = machine.generation();
        let successes = self.shards.iter().map(|shard| shard.0.take(generation)).sum();
        machine.handle_successes(successes, now);
        self.settled_at.store(now.as_nanos(), Ordering::Relaxed);
        if machine.poll_timeout().is_some_and(|at| at <= now) {
            let before = (generation, machine.probes());
            machine.handle_timeout(now);
            self.publish(machine, before);
        }
    }

    /// Publishes the machine's state. Successes of a generation that is over are dropped: stragglers decide nothing.
    fn publish(&self, machine: &Breaker, (generation, probes): (u32, u32)) {
        let (mode, allowed) = machine.gate();
        let returned = probes.saturating_sub(machine.probes());
        let wake_at = machine.poll_timeout().map_or(u64::MAX, Time::as_nanos);
        self.wake_at.store(wake_at, Ordering::Release);
        if machine.generation() != generation {
            let forced = mainstay_core::resilience::breaker::Phase::ForcedOpen;
            self.forced.store(machine.phase() == forced, Ordering::Relaxed);
            self.recovered.store(machine.recovered().map_or(0, Time::as_nanos), Ordering::Relaxed);
        }
        self.gate.publish(machine.generation(), mode, allowed, returned);
        if machine.generation() != generation {
            for shard in &self.shards {
                shard.0.take(machine.generation());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        // The machine has no step that panics halfway; a poisoned lock still holds a whole state.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Successes of one generation that are not settled: `{generation: 32, count: 32}`.
#[derive(Debug, Default)]
struct Successes(AtomicU64);

impl Successes {
    /// Counts one success; false if the generation is over.
    #[inline]
    fn add(&self, generation: u32) -> bool {
        let mut seen = self.0.load(Ordering::Relaxed);
        while (seen >> 32) as u32 == generation && seen as u32 != u32::MAX {
            match self.0.compare_exchange_weak(seen, seen + 1, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(other) => seen = other,
            }
        }
        false
    }

    /// The count, which starts again for `generation`.
    fn take(&self, generation: u32) -> u64 {
        let empty = u64::from(generation) << 32;
        // The usual case, without a write to the other thread's line.
        if self.0.load(Ordering::Acquire) == empty {
            return 0;
        }
        u64::from(self.0.swap(empty, Ordering::AcqRel) as u32)
    }
}

/// A ticket that reports [`Outcome::Cancelled`] when it is dropped without an outcome.
#[derive(Debug)]
pub struct Guard<B: Deref<Target = SharedBreaker>> {
    breaker: B,
    clock: Clock,
    ticket: Option<Ticket>,
}

impl<B: Deref<Target = SharedBreaker>> Guard<B> {
    /// Asks `breaker` to let a call of `request` through.
    pub fn admit(breaker: B, request: u64, clock: Clock) -> Result<Guard<B>, Rejected> {
        Guard::admit_to(breaker, 0, request, clock)
    }

    /// The same for a call to one of its parts.
    pub fn admit_to(breaker: B, part: u32, request: u64, clock: Clock) -> Result<Guard<B>, Rejected> {
        let ticket = breaker.admit_to(part, request, clock.now())?;
        Ok(Guard { breaker, clock, ticket: Some(ticket) })
    }

    /// The call has ended.
    pub fn finish(mut self, outcome: Outcome) {
        self.report(outcome);
    }

    /// The call is slow: see [`SharedBreaker::slow`].
    pub fn slow(&mut self) {
        if let Some(ticket) = &mut self.ticket {
            self.breaker.slow(ticket, self.clock.now());
        }
    }

    /// The call's answer began: see [`SharedBreaker::answer_began`].
    pub fn answer_began(&mut self) {
        if let Some(ticket) = &mut self.ticket {
            self.breaker.answer_began(ticket, self.clock.now());
        }
    }

    /// Whether the call was counted as slow.
    pub fn is_slow(&self) -> bool {
        self.ticket.as_ref().is_some_and(Ticket::is_slow)
    }

    /// When the call becomes slow.
    pub fn slow_at(&self) -> Option<Time> {
        self.ticket.as_ref().map(|ticket| ticket.admitted_at() + self.breaker.slow_after())
    }

    fn report(&mut self, outcome: Outcome) {
        if let Some(ticket) = self.ticket.take() {
            self.breaker.report(ticket, outcome, self.clock.now());
        }
    }
}

impl<B: Deref<Target = SharedBreaker>> Drop for Guard<B> {
    fn drop(&mut self) {
        self.report(Outcome::Cancelled);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
