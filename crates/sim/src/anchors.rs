//! Other people's limits, for comparison only: nothing but `cargo xtask bench overload` uses them.
//!
//! Each rule is written anew after its project's published behaviour, with that project's defaults. What they see is what
//! they would see as a library in front of the same backend: when calls began and ended, and how many are in flight. None
//! has a line; a call that finds the limit reached is refused, as these libraries do by default.

mod aimd;
mod envoy;
mod failsafe;
mod gate;
mod gradient;
mod mission;
mod vegas;

use mainstay_core::resilience::limiter::{Config, Limiter, Sample, Slice};
use mainstay_core::route::Class;
use mainstay_core::time::Time;

pub(crate) use gate::Gate;

/// A limit to compare with.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Anchor {
    /// No limit.
    None,
    /// The same limit always, set by hand.
    Fixed(u32),
    /// Netflix's Gradient2; in windows of a second, or with each sample as its default is without a wrapper.
    Gradient2 {
        /// Averages of a second.
        windowed: bool,
    },
    /// Netflix's Vegas, with each sample.
    Vegas,
    /// Netflix's additive increase and multiplicative decrease.
    Aimd {
        /// A call that takes longer, in seconds, lowers the limit.
        timeout_s: f64,
    },
    /// Envoy's gradient controller.
    Envoy {
        /// The quantile of latencies that it looks at.
        quantile: f64,
    },
    /// failsafe-go's adaptive limiter, without its queue.
    Failsafe,
    /// The mission's adaptive limiter, read as a bound on calls in flight.
    MissionLimiter {
        /// The limit that it moves around.
        base: f64,
        /// The p95 that it wants, in seconds.
        threshold_s: f64,
    },
    /// The mission's shedder by classes.
    MissionShedder {
        /// Requests per second that are called full.
        max_qps: f64,
    },
    /// The mission's shedder in front of its limiter.
    MissionBoth {
        /// Of the shedder.
        max_qps: f64,
        /// Of the limiter.
        base: f64,
        /// Of the limiter, in seconds.
        threshold_s: f64,
    },
    /// Mainstay's own limit alone, without its line and its breaker.
    Own(Config),
}

/// A call that ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) now: Time,
    pub(crate) latency_s: f64,
    /// With itself.
    pub(crate) in_flight: u32,
    pub(crate) dropped: bool,
}

impl Ended {
    const fn of(sample: &Sample, in_flight: u32, now: Time) -> Ended {
        Ended { now, latency_s: sample.latency.as_nanos() as f64 / 1e9, in_flight, dropped: sample.dropped }
    }
}

/// How a limit follows what it sees.
enum Rule {
    Fixed(f64),
    Gradient2(gradient::Gradient2),
    Vegas(vegas::Vegas),
    Aimd(aimd::Aimd),
    Envoy(envoy::Envoy),
    Failsafe(failsafe::Failsafe),
    Mission(mission::Limiter),
    Own(Box<(Limiter, Slice)>),
}

impl Rule {
    fn new(anchor: Anchor, now: Time) -> (Rule, Option<mission::Shedder>) {
        let shedder = |max_qps| Some(mission::Shedder::new(max_qps, now));
        match anchor {
            Anchor::None => (Rule::Fixed(f64::INFINITY), None),
            Anchor::Fixed(max) => (Rule::Fixed(f64::from(max)), None),
            Anchor::Gradient2 { windowed } => (Rule::Gradient2(gradient::Gradient2::new(windowed, now)), None),
            Anchor::Vegas => (Rule::Vegas(vegas::Vegas::new()), None),
            Anchor::Aimd { timeout_s } => (Rule::Aimd(aimd::Aimd::new(timeout_s)), None),
            Anchor::Envoy { quantile } => (Rule::Envoy(envoy::Envoy::new(quantile, now)), None),
            Anchor::Failsafe => (Rule::Failsafe(failsafe::Failsafe::new(now)), None),
            Anchor::MissionLimiter { base, threshold_s } => {
                (Rule::Mission(mission::Limiter::new(base, threshold_s)), None)
            }
            Anchor::MissionShedder { max_qps } => (Rule::Fixed(f64::INFINITY), shedder(max_qps)),
            Anchor::MissionBoth { max_qps, base, threshold_s } => {
                (Rule::Mission(mission::Limiter::new(base, threshold_s)), shedder(max_qps))
            }
            Anchor::Own(config) => (Rule::Own(Box::new((Limiter::new(config, now), Slice::new()))), None),
        }
    }

    fn limit(&self) -> f64 {
        match self {
            Rule::Fixed(max) => *max,
            Rule::Gradient2(rule) => rule.limit,
            Rule::Vegas(rule) => rule.limit,
            Rule::Aimd(rule) => rule.limit,
            Rule::Envoy(rule) => rule.limit,
            Rule::Failsafe(rule) => rule.limit,
            Rule::Mission(rule) => rule.limit(),
            Rule::Own(own) => f64::from(own.0.limit()),
        }
    }

    fn tick(&mut self, in_flight: u32, now: Time) {
        match self {
            Rule::Envoy(rule) => rule.tick(now),
            Rule::Failsafe(rule) => rule.in_flight = in_flight,
            Rule::Fixed(_) | Rule::Gradient2(_) | Rule::Vegas(_) | Rule::Aimd(_) | Rule::Mission(_) | Rule::Own(_) => {}
        }
    }

    fn ended(&mut self, ended: &Ended) {
        match self {
            Rule::Fixed(_) | Rule::Own(_) => {}
            Rule::Gradient2(rule) => rule.ended(ended),
            Rule::Vegas(rule) => rule.ended(ended),
            Rule::Aimd(rule) => rule.ended(ended),
            Rule::Envoy(rule) => rule.ended(ended),
            Rule::Failsafe(rule) => rule.ended(ended),
            Rule::Mission(rule) => rule.ended(ended),
        }
    }
}

/// Whether a class is let in by a shedder; without one all are.
fn is_let_in(shedder: &mut Option<mission::Shedder>, class: Class, now: Time) -> bool {
    shedder.as_mut().is_none_or(|shedder| shedder.is_let_in(class, now))
}

/// The number of digits, as several projects use it for steps; at least 1.
fn digits(limit: f64) -> f64 {
    limit.max(1.0).log10().floor().max(1.0)
}

/// An exponential mean that begins as a plain one.
#[derive(Clone, Copy, Debug, Default)]
struct Smoothed {
    value: f64,
    samples: u32,
}

impl Smoothed {
    /// Samples that are averaged before the exponential mean takes over.
    const WARM: u32 = 10;

    fn add(&mut self, sample: f64, age: f64) -> f64 {
        if self.samples < Smoothed::WARM {
            self.samples += 1;
            self.value += (sample - self.value) / f64::from(self.samples);
        } else {
            let share = 2.0 / (age + 1.0);
            self.value += (sample - self.value) * share;
        }
        self.value
    }
}

/// The value at a quantile of unsorted samples, which are sorted by it.
fn quantile(samples: &mut [f64], q: f64) -> Option<f64> {
    samples.sort_by(f64::total_cmp);
    samples.get(((samples.len().max(1) - 1) as f64 * q).round() as usize).copied()
}
