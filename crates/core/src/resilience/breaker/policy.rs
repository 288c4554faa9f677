//! The figures a breaker decides by, and the rules that read them.

use super::window::Counts;
use crate::stats::{Z_95, wilson};
use std::time::Duration;

/// When a backend is left alone, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Hard failures in a row that open the breaker when the backend was well before. A backend that is known to fail
    /// now and then needs more: see [`streak_needed`]. Default 5.
    pub consecutive: u32,
    /// How far back calls are judged. Default 10 s.
    pub window: Duration,
    /// Fewest calls for a judgement by shares. Default 20.
    pub min_calls: u64,
    /// The share of failures that opens the breaker, once the Wilson 95 % lower bound reaches it. Default 0.4.
    pub failure_share: f64,
    /// A call that takes longer is slow, from that moment on, whether it has ended or not. Default 10 s.
    pub slow_after: Duration,
    /// The share of slow calls that opens the breaker. Default 0.8.
    pub slow_share: f64,
    /// How long the breaker stays open for the first time, exactly. Each further time it doubles, with jitter: a
    /// uniform share in `[0.5, 1)` of the doubled time. Default 5 s.
    pub open: Duration,
    /// Longest time open, unless the backend asked for longer. Default 30 s.
    pub open_max: Duration,
    /// Longest time that a backend's own wish (`Retry-After`) is heeded. Default 300 s.
    pub retry_after_max: Duration,
    /// Successes in a row that close a half-open breaker. Default 3.
    pub successes: u32,
    /// Most calls at once while half-open; their number starts at 1 and doubles with each success. Default 8.
    pub half_open_max: u32,
    /// A half-open call that has not ended by then gives its permit back. Default 30 s.
    pub lease: Duration,
    /// Each such time closed undoes one doubling of the time open. Default 60 s.
    pub calm: Duration,
    /// Of how many backends it consists what the breaker stands for, such as a region; each has a breaker of its own. From 2 on it opens for what
    /// several of them show alone, once a call to it has failed besides. Default 1.
    pub parts: u32,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            consecutive: 5,
            window: Duration::from_secs(10),
            min_calls: 20,
            failure_share: 0.4,
            slow_after: Duration::from_secs(10),
            slow_share: 0.8,
            open: Duration::from_secs(5),
            open_max: Duration::from_secs(30),
            retry_after_max: Duration::from_mins(5),
            successes: 3,
            half_open_max: 8,
            lease: Duration::from_secs(30),
            calm: Duration::from_mins(1),
            parts: 1,
        }
    }
}

impl Config {
    /// The figures of what backends with these figures share. It takes as much to be believed ill as the most patient of them does, and is asked
    /// again as soon as the least patient one is.
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a Config>) -> Config {
        let one = |mut all: Config, part: &Config| {
            all.consecutive = all.consecutive.max(part.consecutive);
            all.window = all.window.max(part.window);
            all.min_calls = all.min_calls.max(part.min_calls);
            all.slow_after = all.slow_after.max(part.slow_after);
            all.open = all.open.min(part.open);
            all.open_max = all.open_max.min(part.open_max);
            all.successes = all.successes.max(part.successes);
            all.parts += 1;
            all
        };
        let mut parts = parts.into_iter();
        let first = parts.next().map_or_else(Config::default, |first| Config { parts: 1, ..first.clone() });
        parts.fold(first, one)
    }

    pub(super) const fn is_of_parts(&self) -> bool {
        self.parts > 1
    }
}

/// A streak that opens the breaker is one that a backend of the known failure share shows less than once in e^23
/// (ten billion) calls.
const STREAK_LOG_ODDS: f64 = 23.0;

/// How many hard failures in a row say that the backend got worse, given what was `known` of it before the streak and
/// the number of calls (`history`) since the breaker last closed.
///
/// `max(consecutive, ceil(23 / ln(1 / p)))` with `p = (failures + 1) / (calls + 2)`, clamped to `[0.01, 0.49]`;
/// `consecutive` while the history is too short to know `p`.
///
/// ```
/// use mainstay_core::resilience::breaker::{Config, Counts, streak_needed};
///
/// let healthy = Counts { calls: 1000, failures: 0, slow: 0 };
/// let flaky = Counts { calls: 1000, failures: 200, slow: 0 };
/// assert_eq!(streak_needed(&Config::default(), healthy, 1000), 5);
/// assert_eq!(streak_needed(&Config::default(), flaky, 1000), 15);
/// ```
pub fn streak_needed(config: &Config, known: Counts, history: u64) -> u32 {
    if history < config.min_calls {
        return config.consecutive;
    }
    let share = ((known.failures as f64 + 1.0) / (known.calls as f64 + 2.0)).clamp(0.01, 0.49);
    config.consecutive.max((STREAK_LOG_ODDS / -share.ln()).ceil() as u32)
}

/// The lower bound of the failure share, 95 % sure.
pub(super) fn failure_low(counts: Counts) -> f64 {
    wilson(counts.failures, counts.calls, Z_95).low
}

pub(super) fn fails_too_often(config: &Config, counts: Counts) -> bool {
    counts.calls >= config.min_calls && failure_low(counts) >= config.failure_share
}

pub(super) fn is_too_slow(config: &Config, counts: Counts) -> bool {
    counts.calls >= config.min_calls && counts.slow as f64 >= config.slow_share * counts.calls as f64
}
