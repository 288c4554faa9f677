//! How many calls a backend gets at once, learnt from its own answers.
//!
//! ```text
//!   workers fill Slices ──merge, every 10 ms──> Limiter::handle_window ──> limit
//!                                                 │ knee     rate x unqueued latency      (uniform work)
//!                                                 │ ttft     excess time to first token   (language models)
//!                                                 │ latency  p95 against a target         (hand-set)
//!                                                 └ fixed, none
//! ```
//!
//! Invariants:
//! - A limiter hears of its own backend's answers only. A request that was turned away for its *priority* while the
//!   backend had room is no sign of saturation, and is not reported.
//! - A window in which the callers, not the limit, decided how much was in flight (*app-limited*) never lowers an
//!   estimate of capacity, and raises the limit to at most three times what was in flight.
//! - The step per unit of time does not depend on the traffic: samples are aggregated, each window steps once.
//! - The limit stays within `[1, MAX_LIMIT]`; no change without a [`LimitReason`].

use std::time::Duration;

use crate::rng::Rng;
use crate::time::Time;

mod knee;
mod latency;
mod slice;
mod ttft;

pub use slice::{Sample, Signal, Slice};

/// Larger than any limit that is ever set; also what [`Config::None`] stands for.
pub const MAX_LIMIT: u32 = (1 << 24) - 1;

/// How a backend's limit is found.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Config {
    /// Just past the knee of the load curve: rate times unqueued latency, for work of similar size.
    Knee {
        /// The limit before anything is known.
        initial: u32,
        /// Never below.
        min: u32,
        /// Never above.
        max: u32,
    },
    /// The waiting time in front of the first token is held near a target, for language models.
    Ttft {
        /// The tolerated p80 of waiting for the first token in excess of an idle backend's.
        target: Duration,
    },
    /// The p95 of whole-answer latency is held near a target.
    Latency {
        /// The tolerated p95.
        target: Duration,
        /// The limit before anything is known.
        base: u32,
        /// Never below this multiple of `base`.
        floor: f64,
        /// Never above this multiple of `base`.
        ceiling: f64,
    },
    /// Always the same limit.
    Fixed {
        /// The limit.
        max: u32,
    },
    /// No limit.
    None,
}

impl Config {
    /// The knee with its defaults: starts at 20, within 2 and 1,000.
    pub const KNEE: Config = Config::Knee { initial: 20, min: 2, max: 1000 };
    /// Time to first token with its default target of 500 ms.
    pub const TTFT: Config = Config::Ttft { target: Duration::from_millis(500) };
    /// Latency with its defaults: target 100 ms, base 64, floor 0.5, ceiling 1.5.
    pub const LATENCY: Config =
        Config::Latency { target: Duration::from_millis(100), base: 64, floor: 0.5, ceiling: 1.5 };
    /// A fixed limit with its default of 64.
    pub const FIXED: Config = Config::Fixed { max: 64 };
}

impl Default for Config {
    fn default() -> Config {
        Config::KNEE
    }
}

/// A step of the limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitChange {
    /// Calls at once until then.
    pub from: u32,
    /// Calls at once from then on.
    pub to: u32,
    /// What moved it.
    pub why: LimitReason,
}

/// What moved a limit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LimitReason {
    /// The limit was reached and the backend answered as fast as ever.
    Room,
    /// Requests queue inside the backend.
    Queueing,
    /// Answers were dropped or timed out.
    Drops,
    /// Lowered briefly to measure the latency without a queue.
    Probe,
    /// The measurement is over.
    Measured,
    /// Far fewer calls than the limit were in flight.
    Idle,
    /// Calls were in flight and nothing came back.
    Blackout,
}

impl LimitReason {
    /// A stable name for events and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            LimitReason::Room => "room",
            LimitReason::Queueing => "queueing",
            LimitReason::Drops => "drops",
            LimitReason::Probe => "probe",
            LimitReason::Measured => "measured",
            LimitReason::Idle => "idle",
            LimitReason::Blackout => "blackout",
        }
    }
}

/// The limit of one backend.
///
/// ```
/// use mainstay_core::resilience::limiter::{Config, Limiter, Sample, Slice};
/// use mainstay_core::time::Time;
/// use std::time::Duration;
///
/// let mut limiter = Limiter::new(Config::KNEE, Time::ZERO);
/// assert_eq!(limiter.limit(), 20);
///
/// // 20 calls in flight, each answered in 10 ms, and callers that found no room: there is more to be had.
/// let mut slice = Slice::new();
/// for _ in 0..200 {
///     slice.record(&Sample::answered(Duration::from_millis(10)), 20, limiter.signal());
/// }
/// slice.limited = true;
/// assert_eq!(limiter.handle_window(&Slice::new(), Time::ZERO), None);
/// // The very first window over-represents short calls, and is not judged.
/// assert_eq!(limiter.handle_window(&slice, Time::from_millis(100)), None);
/// let change = limiter.handle_window(&slice, Time::from_millis(200)).unwrap();
/// assert!(change.to > 20);
/// ```
#[derive(Clone, Debug)]
pub struct Limiter {
    rule: Rule,
    shown: u32,
}

#[derive(Clone, Debug)]
enum Rule {
    Knee(Box<knee::Knee>),
    Ttft(Box<ttft::Ttft>),
    Latency(Box<latency::Latency>),
    Fixed,
}

impl Limiter {
    /// A limiter that has seen nothing.
    pub fn new(config: Config, now: Time) -> Limiter {
        let (rule, shown) = match config {
            Config::Knee { initial, min, max } => {
                let knee = knee::Knee::new(knee::Bounds::new(initial, min, max), Rng::new(now.as_nanos()));
                (Rule::Knee(Box::new(knee)), initial.clamp(min.max(1), max.max(min).max(1)))
            }
            Config::Ttft { target } => (Rule::Ttft(Box::new(ttft::Ttft::new(target, now))), ttft::INITIAL),
            Config::Latency { target, base, floor, ceiling } => {
                (Rule::Latency(Box::new(latency::Latency::new(target, base, floor, ceiling))), base)
            }
            Config::Fixed { max } => (Rule::Fixed, max),
            Config::None => (Rule::Fixed, MAX_LIMIT),
        };
        Limiter { rule, shown: shown.clamp(1, MAX_LIMIT) }
    }

    /// Calls at once, at least 1.
    pub const fn limit(&self) -> u32 {
        self.shown
    }

    /// Which durations the histogram of a [`Slice`] for this limiter holds.
    pub const fn signal(&self) -> Signal {
        match self.rule {
            Rule::Knee(_) | Rule::Fixed => Signal::None,
            Rule::Ttft(_) => Signal::FirstByte,
            Rule::Latency(_) => Signal::Latency,
        }
    }

    /// Takes in what happened since the last call; to be called about every 10 ms, with an empty slice as well.
    pub fn handle_window(&mut self, slice: &Slice, now: Time) -> Option<LimitChange> {
        let (limit, why) = match &mut self.rule {
            Rule::Knee(knee) => knee.handle_window(slice, now)?,
            Rule::Ttft(ttft) => ttft.handle_window(slice, now)?,
            Rule::Latency(latency) => latency.handle_window(slice, now)?,
            Rule::Fixed => return None,
        };
        let from = self.shown;
        self.shown = (limit as u32).clamp(1, MAX_LIMIT);
        (from != self.shown).then_some(LimitChange { from, to: self.shown, why })
    }

    /// The latency of an answer that does not queue inside the backend, where the rule knows it.
    pub fn unqueued(&self) -> Option<Duration> {
        match &self.rule {
            Rule::Knee(knee) => knee.unqueued(),
            Rule::Ttft(ttft) => ttft.unqueued(),
            Rule::Latency(_) | Rule::Fixed => None,
        }
    }
}
