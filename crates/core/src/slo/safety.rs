//! Rates that are too rare to be judged by a share: an alarm that may be looked at after every event.
//!
//! A confidence interval that is looked at again after each bad event raises a false alarm sooner or later: at exactly one in
//! ten thousand, in 27 of 100 runs of 300,000 requests. An *e-process* may be looked at for ever: where the true rate is at most
//! p0, the chance that it ever reaches 1/alpha is at most alpha (Ville 1939).

use super::series::Counts;

/// Rates against which p0 is weighed, as multiples of it, each with the same weight.
const ALTERNATIVES: [f64; 6] = [2.0, 3.0, 5.0, 10.0, 30.0, 100.0];

/// The evidence that a rate of bad events is above p0: a mixture of likelihood ratios.
///
/// ```
/// use mainstay_core::slo::safety::Evidence;
/// use mainstay_core::slo::series::Counts;
///
/// let mut evidence = Evidence::new(1e-4);
/// evidence.handle(Counts { good: 990, bad: 2 });
/// assert!(evidence.alarms(0.05));
/// let mut calm = Evidence::new(1e-4);
/// calm.handle(Counts { good: 20_000, bad: 2 });
/// assert!(!calm.alarms(0.05));
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Evidence {
    p0: f64,
    /// Logarithm of each alternative's likelihood ratio.
    logs: [f64; ALTERNATIVES.len()],
    seen: Counts,
    /// The largest value so far: an alarm does not go away by good events that follow it.
    peak: f64,
}

impl Evidence {
    /// No evidence against a rate of at most `p0`, within (0, 1).
    pub fn new(p0: f64) -> Evidence {
        Evidence { p0, logs: [0.0; ALTERNATIVES.len()], seen: Counts::default(), peak: 1.0 }
    }

    /// Weighs events; in which order they came does not matter.
    pub fn handle(&mut self, counts: Counts) {
        self.seen.add(counts);
        for (log, times) in self.logs.iter_mut().zip(ALTERNATIVES) {
            // A rate of 1 cannot be: it would make any good event impossible.
            let p1 = (times * self.p0).min(0.99);
            *log += counts.bad as f64 * (p1 / self.p0).ln() + counts.good as f64 * ((1.0 - p1) / (1.0 - self.p0)).ln();
        }
        self.peak = self.peak.max(self.value());
    }

    /// How many times likelier the events are under the alternatives than under p0.
    pub fn value(&self) -> f64 {
        let mean = self.logs.iter().map(|log| log.exp()).sum::<f64>() / ALTERNATIVES.len() as f64;
        // Hundreds of bad events are more evidence than a number holds, and JSON knows no infinity.
        mean.min(f64::MAX)
    }

    /// Whether it ever reached 1 / `alpha`.
    pub fn alarms(&self, alpha: f64) -> bool {
        self.peak >= 1.0 / alpha
    }

    /// What was weighed since the start.
    pub const fn seen(&self) -> Counts {
        self.seen
    }

    /// Starts afresh: for a new version of a model, and every week, since good history delays the alarm.
    pub fn restart(&mut self) {
        *self = Evidence::new(self.p0);
    }

    /// What a restart of the process must keep: the logarithms, what was seen, and the peak.
    pub fn memory(&self) -> ([f64; ALTERNATIVES.len()], Counts, f64) {
        (self.logs, self.seen, self.peak)
    }

    /// Evidence as it stood.
    pub fn restore(p0: f64, (logs, seen, peak): ([f64; ALTERNATIVES.len()], Counts, f64)) -> Evidence {
        Evidence { p0, logs, seen, peak }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// The latest number of requests at which so many bad ones alarm.
    #[test]
    fn the_alarm_comes_at_so_many_bad_in_so_many_requests() {
        for (bad, n) in [(1, 32), (2, 992), (3, 3_117), (4, 6_236), (5, 9_868), (10, 33_646), (20, 93_337)] {
            let alarms = |n: u64| {
                let mut evidence = Evidence::new(1e-4);
                evidence.handle(Counts { good: n - bad, bad });
                evidence.value() >= 20.0
            };
            assert!(alarms(n), "{bad} in {n}");
            assert!(!alarms(n + 1), "{bad} in {}", n + 1);
        }
    }

    #[test]
    fn at_exactly_the_rate_it_alarms_in_fewer_runs_than_alpha_and_at_ten_times_it_always() {
        let mut rng = Rng::new(11);
        let mut run = |rate: f64, requests: u64| {
            let mut evidence = Evidence::new(1e-4);
            let mut left = requests;
            while left > 0 && !evidence.alarms(0.05) {
                // Requests up to the next bad one, drawn at once.
                let gap = ((rng.unit().max(1e-300)).ln() / (1.0 - rate).ln()).ceil().max(1.0) as u64;
                let good = gap.min(left) - u64::from(gap <= left);
                evidence.handle(Counts { good, bad: u64::from(gap <= left) });
                left -= gap.min(left);
            }
            evidence.alarms(0.05)
        };
        let false_alarms = (0..1_000).filter(|_| run(1e-4, 300_000)).count();
        assert!(false_alarms <= 50, "{false_alarms} of 1000");
        let alarms = (0..200).filter(|_| run(1e-3, 300_000)).count();
        assert_eq!(alarms, 200);
    }
}
