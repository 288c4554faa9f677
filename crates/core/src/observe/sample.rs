//! Which requests are kept, decided when they end: by rule, by a uniform share, and a uniform reservoir; each with the chance that it had.
//!
//! Chances make a sample one: `1 / p` summed over kept requests estimates how many there were (Horvitz and Thompson 1952). A request that is
//! kept for several reasons is kept once, and says them all.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::Time;

/// Why a request is kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Why {
    /// The caller got a 5xx or a 429.
    Error,
    /// It was slower than a latency objective allows.
    SloViolation,
    /// It was answered below full service.
    Degraded,
    /// Its answer was not sure of itself.
    LowConfidence,
    /// Somebody asked for every request of its route.
    Raised,
    /// The uniform share.
    Log,
    /// The uniform reservoir.
    Reservoir,
}

impl Why {
    /// The name that events use.
    pub const fn name(self) -> &'static str {
        match self {
            Why::Error => "error",
            Why::SloViolation => "slo_violation",
            Why::Degraded => "degraded",
            Why::LowConfidence => "low_confidence",
            Why::Raised => "raised",
            Why::Log => "log",
            Why::Reservoir => "reservoir",
        }
    }

    const RULES: [Why; 4] = [Why::Error, Why::SloViolation, Why::Degraded, Why::LowConfidence];
}

/// What is kept.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rules {
    /// The uniform share.
    pub log: f64,
    /// Below this confidence a request is kept; `None`: confidence does not matter.
    pub low_confidence: Option<f64>,
    /// Requests of each reason in a second, on average.
    pub per_reason: f64,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { log: 0.01, low_confidence: Some(0.5), per_reason: 5.0 }
    }
}

/// A request that ended.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Ended {
    /// The status that the caller got.
    pub code: u16,
    /// Whether it was answered below full service.
    pub degraded: bool,
    /// How long it took.
    pub duration: Duration,
    /// What the strictest latency objective allows.
    pub allowed: Option<Duration>,
    /// Its answer's confidence.
    pub confidence: Option<f64>,
    /// Whether every request of its route is asked for.
    pub raised: bool,
}

/// Seconds of a rule's average that may come at once.
const BURST: f64 = 10.0;

/// Lets so many a second pass, on average, and says with what chance.
///
/// The chance follows the traffic of the last second, so that those which pass are spread over it; what comes in a sudden crowd is cut at
/// the burst, and its recorded chance is then a little too high.
#[derive(Clone, Copy, Debug)]
struct Gate {
    tokens: f64,
    at: Time,
    second: Time,
    seen: f64,
    usual: f64,
}

impl Gate {
    fn new(rate: f64) -> Gate {
        Gate { tokens: rate * BURST, at: Time::ZERO, second: Time::ZERO, seen: 0.0, usual: 0.0 }
    }

    fn pass(&mut self, rate: f64, random: f64, now: Time) -> Option<f64> {
        let now = now.max(self.at);
        self.tokens = (self.tokens + rate * now.since(self.at).as_secs_f64()).min(rate * BURST);
        self.at = now;
        let passed = now.since(self.second);
        if passed >= Duration::from_secs(1) {
            // After a pause nothing is usual any more.
            self.usual = self.seen / passed.as_secs_f64();
            (self.second, self.seen) = (now, 0.0);
        }
        self.seen += 1.0;
        let chance = if self.usual > rate { rate / self.usual } else { 1.0 };
        if random >= chance || self.tokens < 1.0 {
            return None;
        }
        self.tokens -= 1.0;
        Some(chance)
    }
}

/// Decides for one thread.
#[derive(Clone, Debug)]
pub struct Sampler {
    rules: Rules,
    gates: [Gate; Why::RULES.len()],
}

impl Sampler {
    /// A sampler whose rates are those of one of `threads` that share them.
    pub fn new(rules: Rules, threads: usize) -> Sampler {
        let rules = Rules { per_reason: rules.per_reason / threads.max(1) as f64, ..rules };
        Sampler { rules, gates: [Gate::new(rules.per_reason); Why::RULES.len()] }
    }

    /// Why a request is kept, each with its chance; empty: it is not. `random` are three independent numbers within `[0, 1)`: for rules, the
    /// share, and the reservoir. `threshold` is [`Reservoir::threshold`] as far as it is known.
    pub fn decide(&mut self, ended: &Ended, random: [f64; 3], threshold: f64, now: Time) -> Kept {
        let mut kept = Kept::default();
        for (gate, why) in self.gates.iter_mut().zip(Why::RULES) {
            let applies = match why {
                Why::Error => ended.code >= 500 || ended.code == 429,
                Why::SloViolation => ended.allowed.is_some_and(|allowed| ended.duration > allowed),
                Why::Degraded => ended.degraded,
                Why::LowConfidence => {
                    let sure = ended.confidence.zip(self.rules.low_confidence);
                    sure.is_some_and(|(confidence, least)| confidence < least)
                }
                Why::Raised | Why::Log | Why::Reservoir => false,
            };
            if applies && let Some(chance) = gate.pass(self.rules.per_reason, random[0], now) {
                kept.push(why, chance);
            }
        }
        if ended.raised {
            kept.push(Why::Raised, 1.0);
        }
        if random[1] < self.rules.log {
            kept.push(Why::Log, self.rules.log);
        }
        if random[2] < threshold {
            kept.push(Why::Reservoir, threshold.min(1.0));
            kept.key = random[2];
        }
        kept
    }
}

/// Why a request is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// Reasons with their chances.
    pub reasons: Vec<(Why, f64)>,
    /// What the reservoir orders by, where that is a reason.
    pub key: f64,
}

impl Kept {
    /// Kept for nothing but that every request of its route is asked for.
    pub fn raised() -> Kept {
        Kept { reasons: vec![(Why::Raised, 1.0)], key: 0.0 }
    }

    fn push(&mut self, why: Why, chance: f64) {
        self.reasons.push((why, chance));
    }

    /// Whether it is kept at all.
    pub fn any(&self) -> bool {
        !self.reasons.is_empty()
    }

    /// Whether this is a reason.
    pub fn is(&self, why: Why) -> bool {
        self.reasons.iter().any(|(reason, _)| *reason == why)
    }
}

/// A uniform sample of all that was offered: those with the smallest of random keys. Two are merged by offering one's items to the other,
/// and threads share its threshold, so that hardly anything is offered in vain.
#[derive(Clone, Debug)]
pub struct Reservoir<T> {
    most: usize,
    /// By key, and by when it came, so that equal keys are told apart.
    kept: BTreeMap<(u64, u64), T>,
    offered: u64,
}

impl<T> Reservoir<T> {
    /// A reservoir of so many.
    pub fn new(most: usize) -> Reservoir<T> {
        Reservoir { most, kept: BTreeMap::new(), offered: 0 }
    }

    /// Offers an item under a uniform random key within `[0, 1)`.
    pub fn offer(&mut self, key: f64, item: T) {
        self.offered += 1;
        if self.most == 0 || key >= self.threshold() {
            return;
        }
        // Bits of numbers that are not negative are ordered as the numbers are.
        self.kept.insert((key.to_bits(), self.offered), item);
        if self.kept.len() > self.most {
            self.kept.pop_last();
        }
    }

    /// Keys from here on are not kept: the chance that a further item has. One while there is room.
    pub fn threshold(&self) -> f64 {
        if self.kept.len() < self.most {
            return 1.0;
        }
        self.kept.last_key_value().map_or(0.0, |((bits, _), _)| f64::from_bits(*bits))
    }

    /// The chance with which any item of the population is in the sample: `(k - 1) / n` is estimated by the largest key.
    pub fn chance(&self) -> f64 {
        self.threshold()
    }

    /// What is kept, with the keys.
    pub fn items(&self) -> impl Iterator<Item = (f64, &T)> {
        self.kept.iter().map(|((bits, _), item)| (f64::from_bits(*bits), item))
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Forgets everything: another window begins.
    pub fn clear(&mut self) {
        self.kept.clear();
        self.offered = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use crate::stats::law::chi_square_above;

    fn ended() -> Ended {
        let duration = Duration::from_millis(5);
        Ended { code: 200, degraded: false, duration, allowed: None, confidence: None, raised: false }
    }

    #[test]
    fn the_reservoir_is_uniform_over_all_and_not_the_last() {
        let mut rng = Rng::new(11);
        let mut by_tenth = [0_u64; 10];
        for _ in 0..50 {
            let mut reservoir = Reservoir::new(200);
            (0..5_000_u32).for_each(|n| reservoir.offer(rng.unit(), n));
            assert_eq!(reservoir.len(), 200);
            assert!((reservoir.chance() - 0.04).abs() < 0.012, "{}", reservoir.chance());
            reservoir.items().for_each(|(_, n)| by_tenth[*n as usize / 500] += 1);
        }
        let chi: f64 = by_tenth.iter().map(|seen| (*seen as f64 - 1_000.0).powi(2) / 1_000.0).sum();
        assert!(chi_square_above(chi, 9.0) > 0.001, "{by_tenth:?}");
        // Estimates of the whole from the sample are right.
        let mut reservoir = Reservoir::new(500);
        (0..20_000_u32).for_each(|n| reservoir.offer(rng.unit(), n));
        let total = reservoir.items().map(|_| 1.0 / reservoir.chance()).sum::<f64>();
        assert!((total / 20_000.0 - 1.0).abs() < 0.15, "{total}");
    }

    #[test]
    fn two_threads_that_share_a_threshold_make_one_sample() {
        let mut rng = Rng::new(12);
        let mut whole = Reservoir::new(100);
        let mut offers = 0;
        for n in 0..50_000_u32 {
            let key = rng.unit();
            // A thread looks at the threshold as it was some time ago: that is only ever higher.
            if key < whole.threshold() {
                offers += 1;
                whole.offer(key, n);
            }
        }
        assert!(offers < 1_500, "{offers} of 50,000 were offered");
        let mean = whole.items().map(|(_, n)| f64::from(*n)).sum::<f64>() / 100.0;
        assert!((mean - 25_000.0).abs() < 5_000.0, "{mean}");
    }

    #[test]
    fn rules_keep_what_they_name() {
        let mut sampler = Sampler::new(Rules { log: 0.0, ..Rules::default() }, 1);
        let mut why = |ended: Ended| {
            let kept = sampler.decide(&ended, [0.0, 0.5, 0.5], 0.0, Time::from_secs(5));
            kept.reasons.iter().map(|(why, _)| why.name()).collect::<Vec<_>>()
        };
        assert!(why(ended()).is_empty());
        assert_eq!(why(Ended { code: 503, ..ended() }), ["error"]);
        assert_eq!(why(Ended { code: 429, degraded: true, ..ended() }), ["error", "degraded"]);
        assert!(why(Ended { code: 404, ..ended() }).is_empty());
        let slow = Ended { allowed: Some(Duration::from_millis(4)), confidence: Some(0.49), ..ended() };
        assert_eq!(why(slow), ["slo_violation", "low_confidence"]);
    }

    #[test]
    fn where_all_are_asked_for_all_are_kept_with_the_chances_of_before() {
        let rules = Rules { log: 0.3, per_reason: 1.0, ..Rules::default() };
        let (mut usual, mut raised) = (Sampler::new(rules, 1), Sampler::new(rules, 1));
        let mut rng = Rng::new(14);
        for n in 0..5_000_u64 {
            let (now, random) = (Time::from_millis(n), [rng.unit(), rng.unit(), rng.unit()]);
            let ended = Ended { code: if n % 3 == 0 { 500 } else { 200 }, ..ended() };
            let before = usual.decide(&ended, random, 0.2, now);
            let mut after = raised.decide(&Ended { raised: true, ..ended }, random, 0.2, now);
            let added: Vec<_> = after.reasons.extract_if(.., |(why, _)| *why == Why::Raised).collect();
            assert_eq!((added, after), (vec![(Why::Raised, 1.0)], before));
        }
        assert_eq!(Kept::raised().reasons, [(Why::Raised, 1.0)]);
    }

    #[test]
    fn a_flood_of_errors_is_thinned_and_says_how_much() {
        let mut sampler = Sampler::new(Rules { log: 0.01, per_reason: 5.0, ..Rules::default() }, 1);
        let mut rng = Rng::new(13);
        let (mut kept, mut estimate, mut logged) = (0, 0.0, 0);
        // 1,000 errors a second for a minute.
        for n in 0..60_000_u64 {
            let now = Time::from_millis(1_000_000 + n);
            let seen = sampler.decide(&Ended { code: 500, ..ended() }, [rng.unit(), rng.unit(), 1.0], 0.0, now);
            if let Some((_, chance)) = seen.reasons.iter().find(|(why, _)| *why == Why::Error) {
                kept += 1;
                // The first second, before anything is usual, is cut at the burst.
                estimate += if n >= 1_000 { 1.0 / chance } else { 0.0 };
            }
            logged += usize::from(seen.is(Why::Log));
        }
        assert!((250..420).contains(&kept), "{kept}");
        assert!((estimate / 59_000.0 - 1.0).abs() < 0.25, "{estimate}");
        assert!((480..720).contains(&logged), "{logged} of 600");
    }
}
