//! A histogram of times.

use std::time::Duration;

/// A histogram of durations to 0.8 %: a bucket per 128th of each power of two of microseconds.
pub(super) struct Fine {
    counts: Vec<u64>,
    total: u64,
}

const STEPS: u32 = 7;

impl Default for Fine {
    fn default() -> Fine {
        Fine { counts: vec![0; 58 << STEPS], total: 0 }
    }
}

impl Fine {
    pub(super) fn record(&mut self, value: Duration) {
        let at = Fine::index(u64::try_from(value.as_micros()).unwrap_or(u64::MAX)).min(self.counts.len() - 1);
        self.counts[at] += 1;
        self.total += 1;
    }

    fn index(micros: u64) -> usize {
        if micros < 1 << STEPS {
            return micros as usize;
        }
        let power = micros.ilog2();
        let within = (micros >> (power - STEPS)) & ((1 << STEPS) - 1);
        ((power - STEPS + 1) << STEPS) as usize + within as usize
    }

    /// The upper end of the bucket in which the quantile lies.
    pub(super) fn quantile(&self, q: f64) -> Option<Duration> {
        let wanted = ((self.total as f64 * q).ceil() as u64).max(1);
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        let (power, within) = (at >> STEPS, (at & ((1 << STEPS) - 1)) as u64);
        let micros = if power == 0 { within } else { ((1 << STEPS) + within + 1) << (power - 1) };
        Some(Duration::from_micros(micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_a_hundredth() {
        let mut fine = Fine::default();
        (1..=100_000u64).for_each(|n| fine.record(Duration::from_micros(n * 7)));
        for q in [0.01, 0.5, 0.99] {
            let found = fine.quantile(q).unwrap().as_secs_f64();
            assert!((found / (0.7 * q) - 1.0).abs() < 0.01, "{q}: {found}");
        }
        assert_eq!(Fine::default().quantile(0.5), None);
    }
}
