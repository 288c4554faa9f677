//! When a backend is left alone: a circuit breaker that judges by rates, not by a running balance.
//!
//! ```text
//!             streak, failure share, slow share, Retry-After
//!          +--------------------------------------------------+
//!          |                                                  v
//!      +--------+   successes in a row   +-----------+     +------+
//!      | closed | <--------------------- | half-open | <-- | open |
//!      +--------+                        +-----------+     +------+
//!        ^    |                            |  time is over    ^
//!        |    | by order                   +------------------+
//!        |    v                              a failed, slow or throttled probe
//!      +--------------------------------------------+
//!      | forced open, forced closed or metrics only |   from every state; ends in closed
//!      +--------------------------------------------+
//! ```
//!
//! Invariants:
//! - An outcome decides only in the generation that admitted its call; a straggler is counted and ignored.
//! - While half-open, no more calls are under way than allowed, and a lost one gives its permit back after a lease.
//! - A call counts once: when it becomes slow or when it ends, whichever comes first.
//! - Calls that began after the last answer and all became slow open it, however few the limit lets in.
//! - Calls that ran out of time together are one failure in a row: that too many were let in is the limit's business.
//! - Of calls that broke off together every second one counts: one part of the backend may have gone, not all of it.
//! - What several backends share ([`Config::parts`]) is ill when several of them fail in a row and none answers, or when the breakers of most
//!   of them opened together; what one shows alone, however often, and what one asks for itself say nothing. It is half-open at first: one call
//!   more decides, if possible to one that nothing was seen of, and whatever answers heals all.
//! - The caller's own faults and cancelled calls never count. A throttled call is no failure, but the time the backend
//!   asked for is kept.
//!
//! ```
//! use mainstay_core::resilience::breaker::{Breaker, Config, Phase};
//! use mainstay_core::resilience::outcome::{FailureKind, Outcome};
//! use mainstay_core::time::Time;
//! use std::time::Duration;
//!
//! let start = Time::from_secs(1_000);
//! let mut breaker = Breaker::new(Config::default(), 7, start);
//! for request in 0..5 {
//!     let ticket = breaker.handle_admit(request, start).unwrap();
//!     breaker.handle_outcome(ticket, Outcome::failure(FailureKind::Transport), start);
//! }
//! assert_eq!(breaker.phase(), Phase::Open);
//! assert!(breaker.handle_admit(5, start).is_err());
//! assert!(breaker.handle_admit(6, start + Duration::from_secs(5)).unwrap().is_probe());
//! ```

mod effect;
mod half_open;
mod parts;
mod policy;
mod ticket;
mod watch;
mod window;

pub use effect::{Effect, Evidence, Mode, Phase, Transition, Why};
pub use policy::{Config, streak_needed};
pub use ticket::{Refusal, Rejected, Ticket};
pub use window::Counts;

use crate::resilience::outcome::Outcome;
use crate::resilience::permit;
use crate::rng::Rng;
use crate::time::Time;
use half_open::{HalfOpen, Verdict};
use std::collections::VecDeque;
use ticket::Pace;
use watch::{Trip, Watch};

/// Most effects that wait to be polled; the oldest are dropped beyond.
const EFFECTS_MAX: usize = 64;
/// Doublings of the time open that are remembered.
const LEVEL_MAX: u32 = 16;
/// The share of the time open after which a call that found all probes taken may ask again.
const PROBE_WAIT: u32 = 5;

/// A circuit breaker for one backend. See the module's description.
#[derive(Clone, Debug)]
pub struct Breaker {
    config: Config,
    rng: Rng,
    state: State,
    generation: u32,
    /// How often the backend was found ill of late: 0 never, 1 once, then the time open doubles.
    level: u32,
    /// How long the backend asked to be left alone.
    hold_until: Time,
    stragglers: u64,
    /// Whether it was open since it was closed last.
    was_open: bool,
    /// When it closed last after that because calls were answered well.
    recovered: Option<Time>,
    /// Parts that failed in this round of trials: the others have their turn first.
    ill: Vec<u32>,
    effects: VecDeque<Effect>,
    effects_dropped: u64,
}

#[derive(Clone, Debug)]
enum State {
    Closed { watch: Box<Watch>, since: Time },
    Open { until: Time },
    HalfOpen(HalfOpen),
    Forced { mode: Mode, until: Option<Time>, watch: Box<Watch> },
}

impl Breaker {
    /// A closed breaker; `seed` decides its jitter.
    pub fn new(config: Config, seed: u64, now: Time) -> Breaker {
        let watch = Box::new(Watch::new(&config, now));
        Breaker {
            config,
            rng: Rng::new(seed),
            state: State::Closed { watch, since: now },
            generation: 0,
            level: 0,
            hold_until: Time::ZERO,
            stragglers: 0,
            was_open: false,
            recovered: None,
            ill: Vec::new(),
            effects: VecDeque::new(),
            effects_dropped: 0,
        }
    }

    /// Asks to call the backend on behalf of `request`; attempts of one request share its number.
    pub fn handle_admit(&mut self, request: u64, now: Time) -> Result<Ticket, Rejected> {
        self.handle_admit_to(0, request, now)
    }

    /// The same for a call to one of its parts.
    pub fn handle_admit_to(&mut self, part: u32, request: u64, now: Time) -> Result<Ticket, Rejected> {
        self.handle_timeout(now);
        let mut ticket = Ticket::closed(self.generation, request, now).to_part(part);
        match &mut self.state {
            State::Closed { .. } | State::Forced { mode: Mode::Closed | Mode::MetricsOnly, .. } => Ok(ticket),
            State::Open { until } => Err(Rejected { retry_at: *until, why: Refusal::Open }),
            State::HalfOpen(half_open) => match half_open.admit(part, now + self.config.lease) {
                Some(probe) => {
                    ticket.probe = probe;
                    Ok(ticket)
                }
                None => Err(Rejected { retry_at: now + self.config.open / PROBE_WAIT, why: Refusal::Probing }),
            },
            State::Forced { mode: Mode::Open, until, .. } => {
                Err(Rejected { retry_at: until.unwrap_or(now + self.config.open_max), why: Refusal::Forced })
            }
        }
    }

    /// The call has ended.
    pub fn handle_outcome(&mut self, mut ticket: Ticket, outcome: Outcome, now: Time) {
        if ticket.is_waiting() && now.since(ticket.admitted_at) >= self.config.slow_after {
            self.handle_slow(&mut ticket, now);
        }
        self.handle_timeout(now);
        if ticket.generation != self.generation {
            self.stragglers += 1;
            return;
        }
        let outcome = if self.config.is_of_parts() { outcome.shared() } else { outcome };
        match &mut self.state {
            State::Closed { watch, .. } | State::Forced { mode: Mode::MetricsOnly, watch, .. } => {
                let trip = watch.handle_outcome(&self.config, &ticket, outcome, now);
                self.hold(outcome, now);
                self.trip(trip, now);
            }
            State::HalfOpen(half_open) => {
                let verdict = half_open.handle_outcome(&self.config, &ticket, outcome);
                self.hold(outcome, now);
                self.conclude(verdict, ticket.part, now);
            }
            // No call is admitted by these, or none is judged.
            State::Open { .. } | State::Forced { mode: Mode::Open | Mode::Closed, .. } => {}
        }
    }

    /// The call has been under way for [`Config::slow_after`] without an answer. It counts as slow from this moment,
    /// so that calls that never end are seen. A second report changes nothing.
    pub fn handle_slow(&mut self, ticket: &mut Ticket, now: Time) {
        self.handle_timeout(now);
        if !ticket.is_waiting() || ticket.generation != self.generation {
            return;
        }
        ticket.pace = Pace::Slow(now);
        match &mut self.state {
            State::Closed { watch, .. } | State::Forced { mode: Mode::MetricsOnly, watch, .. } => {
                let trip = watch.handle_slow(&self.config, ticket, now);
                self.trip(trip, now);
            }
            State::HalfOpen(half_open) => {
                let verdict = half_open.ill(ticket.part, Why::ProbeSlow);
                self.conclude(verdict, ticket.part, now);
            }
            State::Open { .. } | State::Forced { mode: Mode::Open | Mode::Closed, .. } => {}
        }
    }

    /// `n` calls that this generation admitted while closed have ended well and in time. For shells that add up
    /// successes and settle them now and then.
    pub fn handle_successes(&mut self, n: u64, now: Time) {
        if n == 0 {
            return;
        }
        match &mut self.state {
            State::Closed { watch, .. } | State::Forced { mode: Mode::MetricsOnly, watch, .. } => {
                watch.handle_successes(n, now);
            }
            State::Forced { mode: Mode::Open | Mode::Closed, .. } => {}
            State::Open { .. } | State::HalfOpen(_) => self.stragglers += n,
        }
    }

    /// The breaker of a part changed its state.
    pub fn handle_part(&mut self, part: u32, change: &Transition, now: Time) {
        self.handle_timeout(now);
        match &mut self.state {
            State::Closed { watch, .. } | State::Forced { mode: Mode::MetricsOnly, watch, .. } => {
                let trip = watch.handle_part(&self.config, part, change, now);
                self.trip(trip, now);
            }
            // It is left alone already, or calls to it show how it is.
            State::Open { .. } | State::HalfOpen(_) | State::Forced { mode: Mode::Open | Mode::Closed, .. } => {}
        }
    }

    /// Orders a mode, until `until` or until [`Breaker::handle_release`].
    pub fn handle_force(&mut self, mode: Mode, until: Option<Time>, reason: &str, now: Time) {
        let watch = Box::new(Watch::new(&self.config, now));
        self.become_state(State::Forced { mode, until, watch }, Why::Forced(reason.to_owned()), now);
    }

    /// Takes an order back: the breaker is closed and knows nothing of the past. Also closes an open breaker.
    pub fn handle_release(&mut self, now: Time) {
        self.level = 0;
        self.hold_until = Time::ZERO;
        self.close(Why::Released, now);
    }

    /// Uses other figures from here on. A state that has begun keeps its end; what was counted is forgotten only when
    /// the window's length changes.
    pub fn handle_config(&mut self, config: Config, now: Time) {
        let resized = config.window != self.config.window;
        self.config = config;
        if let (true, State::Closed { watch, .. } | State::Forced { watch, .. }) = (resized, &mut self.state) {
            **watch = Watch::new(&self.config, now);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        match &mut self.state {
            State::Closed { .. } | State::Forced { until: None, .. } => {}
            State::Open { until } => {
                if now >= *until {
                    let half_open = HalfOpen::new(self.ill.clone());
                    self.become_state(State::HalfOpen(half_open), Why::Elapsed, now);
                }
            }
            State::HalfOpen(half_open) => half_open.handle_timeout(now),
            State::Forced { until: Some(until), .. } => {
                if now >= *until {
                    self.close(Why::Expired, now);
                }
            }
        }
    }

    /// When [`Breaker::handle_timeout`] is due. Every other input also does what is due.
    pub fn poll_timeout(&self) -> Option<Time> {
        match &self.state {
            State::Closed { .. } => None,
            State::Open { until } => Some(*until),
            State::HalfOpen(half_open) => half_open.poll_timeout(),
            State::Forced { until, .. } => *until,
        }
    }

    /// What the world should know, oldest first.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The state as others name it.
    pub fn phase(&self) -> Phase {
        match &self.state {
            State::Closed { .. } => Phase::Closed,
            State::Open { .. } => Phase::Open,
            State::HalfOpen(_) => Phase::HalfOpen,
            State::Forced { mode, .. } => mode.phase(),
        }
    }

    /// The state and its figures.
    pub fn view(&mut self, now: Time) -> View {
        let phase = self.phase();
        let (until, counts, (probes, probes_allowed)) = match &mut self.state {
            State::Closed { watch, .. } => (None, watch.counts(now), (0, 0)),
            State::Open { until } => (Some(*until), Counts::default(), (0, 0)),
            State::HalfOpen(half_open) => (None, Counts::default(), (half_open.probes(), half_open.allowed())),
            State::Forced { until, watch, .. } => (*until, watch.counts(now), (0, 0)),
        };
        let (stragglers, effects_dropped, carries) = (self.stragglers, self.effects_dropped, self.carries());
        View { phase, until, counts, probes, probes_allowed, carries, stragglers, effects_dropped }
    }

    /// The generation of the state; it grows with each change.
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// The figures it decides by.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// What a [`permit::Gate`] in front of this breaker has to do: its mode and the permits allowed.
    pub fn gate(&self) -> (permit::Mode, u32) {
        match &self.state {
            State::Closed { .. } | State::Forced { mode: Mode::Closed | Mode::MetricsOnly, .. } => {
                (permit::Mode::Pass, 0)
            }
            State::Open { .. } | State::Forced { mode: Mode::Open, .. } => (permit::Mode::Shut, 0),
            State::HalfOpen(half_open) => (permit::Mode::Metered, half_open.allowed()),
        }
    }

    /// Whether the backend does what is asked of it, as far as the breaker knows: calls pass freely, or those that test it are answered well.
    pub fn carries(&self) -> bool {
        match &self.state {
            State::HalfOpen(half_open) => half_open.goes_well(),
            State::Closed { .. } | State::Open { .. } | State::Forced { .. } => self.gate().0 == permit::Mode::Pass,
        }
    }

    /// When it recovered last: closed because calls were answered well, after it had been open. That it was suspected only is nothing to
    /// recover from, and an order that ends shows nothing.
    pub const fn recovered(&self) -> Option<Time> {
        self.recovered
    }

    /// Calls that test the backend at this moment.
    pub fn probes(&self) -> u32 {
        match &self.state {
            State::HalfOpen(half_open) => half_open.probes(),
            State::Closed { .. } | State::Open { .. } | State::Forced { .. } => 0,
        }
    }

    /// Remembers how long the backend asked to be left alone.
    fn hold(&mut self, outcome: Outcome, now: Time) {
        if let Some(wish) = outcome.retry_after() {
            self.hold_until = self.hold_until.max(now + wish.min(self.config.retry_after_max));
        }
    }

    /// Acts on what the watch found, unless ordered to report only.
    fn trip(&mut self, trip: Option<Trip>, now: Time) {
        let Some(Trip { why, evidence }) = trip else { return };
        match &mut self.state {
            State::Closed { since, watch } => {
                let calm = now.since(*since).as_nanos() / self.config.calm.as_nanos().max(1);
                let calmer = self.level.saturating_sub(u32::try_from(calm).unwrap_or(u32::MAX));
                let next = if why == Why::Throttled {
                    State::Open { until: self.hold_until }
                } else if self.config.is_of_parts() {
                    (self.level, self.ill) = (calmer, watch.ill_parts());
                    State::HalfOpen(HalfOpen::new(self.ill.clone()))
                } else {
                    self.level = calmer;
                    State::Open { until: self.next_open(now) }
                };
                self.become_state_on(next, why, evidence, now);
            }
            State::Forced { watch, .. } => {
                **watch = Watch::new(&self.config, now);
                self.emit(Effect::WouldOpen { why, at: now, evidence });
            }
            // Neither has a watch that could find anything.
            State::Open { .. } | State::HalfOpen(_) => {}
        }
    }

    /// Acts on what a half-open call to that part showed.
    fn conclude(&mut self, verdict: Verdict, part: u32, now: Time) {
        match verdict {
            Verdict::Undecided => {}
            Verdict::Well => self.close(Why::Recovered, now),
            Verdict::Ill(why) => {
                if self.config.is_of_parts() {
                    // Who was passed over and asked all the same: it was everybody's turn, and a new round begins.
                    if self.ill.contains(&part) {
                        self.ill.clear();
                    }
                    self.ill.push(part);
                }
                let until = self.next_open(now);
                self.become_state(State::Open { until }, why, now);
            }
        }
    }

    /// The end of the next time open: doubled and jittered from the second on, and never before the backend's wish.
    fn next_open(&mut self, now: Time) -> Time {
        self.level = (self.level + 1).min(LEVEL_MAX);
        let doubled = self.config.open.saturating_mul(1 << (self.level - 1)).min(self.config.open_max);
        let jittered = if self.level == 1 { doubled } else { doubled.mul_f64(self.rng.between(0.5, 1.0)) };
        (now + jittered).max(self.hold_until)
    }

    fn close(&mut self, why: Why, now: Time) {
        self.ill.clear();
        let watch = Box::new(Watch::new(&self.config, now));
        self.become_state(State::Closed { watch, since: now }, why, now);
    }

    fn become_state(&mut self, next: State, why: Why, now: Time) {
        self.become_state_on(next, why, Evidence::default(), now);
    }

    /// The one place where the state changes.
    fn become_state_on(&mut self, next: State, why: Why, evidence: Evidence, now: Time) {
        let from = self.phase();
        self.state = next;
        self.generation = self.generation.wrapping_add(1);
        let (to, until) = (self.phase(), self.poll_timeout());
        if to == Phase::Closed && std::mem::take(&mut self.was_open) && why == Why::Recovered {
            self.recovered = Some(now);
        }
        self.was_open |= to == Phase::Open;
        self.emit(Effect::Transition(Transition { from, to, why, at: now, until, evidence }));
    }

    fn emit(&mut self, effect: Effect) {
        if self.effects.len() == EFFECTS_MAX {
            self.effects.pop_front();
            self.effects_dropped += 1;
        }
        self.effects.push_back(effect);
    }
}

/// The state of a breaker and its figures at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// The state.
    pub phase: Phase,
    /// When the state ends by itself, if it does.
    pub until: Option<Time>,
    /// The calls that are judged.
    pub counts: Counts,
    /// Calls that test a half-open breaker.
    pub probes: u32,
    /// How many of them may be under way at once.
    pub probes_allowed: u32,
    /// Whether the backend does what is asked of it; see [`Breaker::carries`].
    pub carries: bool,
    /// Outcomes from earlier states, which decided nothing.
    pub stragglers: u64,
    /// Effects that nobody polled in time.
    pub effects_dropped: u64,
}
