//! Statistics that the machines decide by: laws, intervals, corrections, detectors of change, and a histogram of durations.

pub mod law;
pub mod binomial;
pub mod proportion;
pub mod multiple;
pub mod streams;
pub mod sequential;

use std::time::Duration;

/// The two-sided 95 % quantile of the normal distribution.
pub const Z_95: f64 = 1.959_963_984_540_054;

/// A closed interval; of a proportion within `[0, 1]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The Wilson score interval of `hits` in `n` trials at normal quantile `z` (Wilson 1927).
///
/// Unlike the textbook interval it stays inside `[0, 1]` and is honest for few trials. Without trials nothing is
/// known: `[0, 1]`. More hits than trials count as `n`.
///
/// ```
/// use mainstay_core::stats::{Z_95, wilson};
///
/// let seen = wilson(13, 20, Z_95);
/// assert!(seen.low > 0.43 && seen.high < 0.82);
/// ```
pub fn wilson(hits: u64, n: u64, z: f64) -> Interval {
    if n == 0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let trials = n as f64;
    let share = hits.min(n) as f64 / trials;
    let z2 = z * z;
    let scale = 1.0 + z2 / trials;
    let centre = share + z2 / (2.0 * trials);
    let spread = z * (share * (1.0 - share) / trials + z2 / (4.0 * trials * trials)).sqrt();
    Interval { low: ((centre - spread) / scale).max(0.0), high: ((centre + spread) / scale).min(1.0) }
}

/// Buckets per factor of two.
const STEPS: u64 = 8;
/// `log2(STEPS)`.
const STEP_BITS: u32 = 3;
/// Durations from 2^42 ns (73 minutes) on share the last bucket.
const TOP_BITS: u32 = 42;
const BUCKETS: usize = (STEPS + STEPS * (TOP_BITS - STEP_BITS) as u64) as usize;

/// A histogram of durations with log-linear buckets: eight per factor of two, from 1 ns to 73 minutes.
///
/// 1.3 KB, never allocates, and any two can be merged. A quantile is off by at most 1/17 (5.9 %) of its value below
/// the top; longer durations read as the top. Counts saturate at `u32::MAX` per bucket.
///
/// ```
/// use mainstay_core::stats::LogHistogram;
/// use std::time::Duration;
///
/// let mut seen = LogHistogram::new();
/// for ms in 1..=100 {
///     seen.record(Duration::from_millis(ms));
/// }
/// let p95 = seen.quantile(0.95).unwrap().as_secs_f64();
/// assert!((p95 / 0.095 - 1.0).abs() < 0.06);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogHistogram {
    counts: [u32; BUCKETS],
    total: u64,
}

impl LogHistogram {
    /// An empty histogram.
    pub const fn new() -> LogHistogram {
        LogHistogram { counts: [0; BUCKETS], total: 0 }
    }

    /// Counts one duration.
    pub fn record(&mut self, value: Duration) {
        self.record_n(value, 1);
    }

    /// Counts the same duration `n` times.
    pub fn record_n(&mut self, value: Duration, n: u32) {
        let slot = &mut self.counts[index(nanos(value))];
        let added = n.min(u32::MAX - *slot);
        *slot += added;
        self.total += u64::from(added);
    }

    /// Adds everything `other` has counted.
    pub fn merge(&mut self, other: &LogHistogram) {
        if other.total == 0 {
            return;
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            let added = (*theirs).min(u32::MAX - *mine);
            *mine += added;
            self.total += u64::from(added);
        }
    }

    /// The smallest duration that at least the share `q` (clamped to `[0, 1]`) does not exceed; `None` if empty.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        if self.total == 0 {
            return None;
        }
        let rank = ((q.clamp(0.0, 1.0) * self.total as f64).ceil() as u64).clamp(1, self.total);
        let mut seen = 0;
        for (bucket, &count) in self.counts.iter().enumerate() {
            seen += u64::from(count);
            if seen >= rank {
                return Some(Duration::from_nanos(representative(bucket as u64)));
            }
        }
        None
    }

    /// The number and the count of each bucket that holds anything, in order.
    pub fn filled(&self) -> impl Iterator<Item = (usize, u32)> {
        self.counts.iter().copied().enumerate().filter(|(_, count)| *count > 0)
    }

    /// Where a bucket begins, and where the next one does.
    pub fn bounds(bucket: usize) -> (Duration, Duration) {
        (Duration::from_nanos(start(bucket as u64)), Duration::from_nanos(start(bucket as u64 + 1)))
    }

    /// How many durations were counted.
    pub const fn count(&self) -> u64 {
        self.total
    }

    /// As it rests: of each bucket that holds anything its number (2 bytes) and its count (4 bytes), little-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (bucket, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            bytes.extend((bucket as u16).to_le_bytes());
            bytes.extend(count.to_le_bytes());
        }
        bytes
    }

    /// From what [`LogHistogram::to_bytes`] wrote; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<LogHistogram> {
        let mut read = LogHistogram::new();
        let (held, rest) = bytes.as_chunks::<6>();
        for [low, high, count @ ..] in held {
            let slot = read.counts.get_mut(usize::from(u16::from_le_bytes([*low, *high])))?;
            let count = u32::from_le_bytes(*count);
            *slot = slot.checked_add(count)?;
            read.total += u64::from(count);
        }
        rest.is_empty().then_some(read)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        if self.total > 0 {
            *self = LogHistogram::new();
        }
    }
}

impl Default for LogHistogram {
    fn default() -> LogHistogram {
        LogHistogram::new()
    }
}

fn nanos(value: Duration) -> u64 {
    u64::try_from(value.as_nanos()).unwrap_or(u64::MAX).min((1 << TOP_BITS) - 1)
}

/// Below `STEPS` each value has its own bucket; above, the three bits after the leading one choose among eight.
fn index(ns: u64) -> usize {
    if ns < STEPS {
        return ns as usize;
    }
    let octave = ns.ilog2() - STEP_BITS;
    let step = (ns >> octave) - STEPS;
    (STEPS + u64::from(octave) * STEPS + step) as usize
}

/// The smallest value of a bucket.
fn start(bucket: u64) -> u64 {
    if bucket < STEPS { bucket } else { (STEPS + (bucket - STEPS) % STEPS) << ((bucket - STEPS) / STEPS) }
}

/// The harmonic mean of the bucket's ends: the value whose largest relative error over the bucket is smallest.
fn representative(bucket: u64) -> u64 {
    if bucket < STEPS {
        return bucket;
    }
    let octave = (bucket - STEPS) / STEPS;
    let low = (STEPS + (bucket - STEPS) % STEPS) << octave;
    let high = low + (1 << octave) - 1;
    let product = 2 * u128::from(low) * u128::from(high);
    (product / u128::from(low + high)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn wilson_agrees_with_published_values() {
        // Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
        for (hits, n, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
        {
            let seen = wilson(hits, n, Z_95);
            assert!((seen.low - low).abs() < 6e-5, "{hits} of {n}: {seen:?}");
            assert!((seen.high - high).abs() < 6e-5, "{hits} of {n}: {seen:?}");
        }
        assert_eq!(wilson(0, 0, Z_95), Interval { low: 0.0, high: 1.0 });
        assert_eq!(wilson(9, 4, Z_95), wilson(4, 4, Z_95));
    }

    #[test]
    fn quantiles_are_within_six_percent_of_the_sorted_values() {
        let mut rng = Rng::new(7);
        let mut values: Vec<u64> = (0..20_000).map(|_| 10f64.powf(rng.between(0.0, 12.0)) as u64).collect();
        let (mut left, mut right) = (LogHistogram::new(), LogHistogram::new());
        for (i, &ns) in values.iter().enumerate() {
            if i % 3 == 0 { &mut left } else { &mut right }.record(Duration::from_nanos(ns));
        }
        left.merge(&right);
        values.sort_unstable();
        for q in [0.0, 0.001, 0.01, 0.1, 0.5, 0.8, 0.95, 0.99, 0.999, 1.0] {
            let rank = ((q * values.len() as f64).ceil() as usize).max(1);
            let exact = values[rank - 1] as f64;
            let seen = left.quantile(q).unwrap().as_nanos() as f64;
            assert!((seen - exact).abs() <= 0.06 * exact, "q {q}: {seen} for {exact}");
        }
    }

    #[test]
    fn every_bucket_holds_its_representative() {
        for bucket in 0..BUCKETS {
            assert_eq!(index(representative(bucket as u64)), bucket);
            let (low, high) = LogHistogram::bounds(bucket);
            assert_eq!([index(nanos(low)), index(nanos(high) - 1)], [bucket, bucket]);
        }
    }

    #[test]
    fn long_durations_saturate_and_clear_forgets() {
        let mut seen = LogHistogram::new();
        assert_eq!(seen.quantile(0.5), None);
        seen.record_n(Duration::MAX, 3);
        assert!(seen.quantile(1.0).unwrap() > Duration::from_hours(1));
        assert_eq!(seen.count(), 3);
        seen.clear();
        assert_eq!(seen, LogHistogram::new());
    }
}
