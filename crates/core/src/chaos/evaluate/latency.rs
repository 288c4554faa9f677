//! The ratio of both arms' 99 % quantiles of the latency.

use super::blocks::Block;
use super::bounds::{BLOCKS_LEAST, Bounds, spread};
use super::errors::quantile_above;
use crate::rng::Rng;
use crate::stats::LogHistogram;
use crate::stats::law;
use crate::stats::proportion;

/// The quantile.
const AT: f64 = 0.99;
/// Fewest requests of an arm: with fewer, even the slowest of them may be below the quantile (0.99^299 < 5 %).
const LEAST: u64 = 299;
/// How often the blocks are drawn anew.
const DRAWS: usize = 400;

/// The experiment's quantile as a multiple of its control's. All inside is in natural logarithms.
///
/// The interval is the widest of three: by the error of a bootstrap that draws blocks, both arms of each together, widened as neighbouring
/// blocks are alike; by the bootstrap's own quantiles; and by Wilson's interval of each quantile's rank, put together as Newcombe does.
#[derive(Clone, Debug)]
pub(super) struct Latency {
    /// Seconds, of each arm.
    pub(super) quantiles: [f64; 2],
    totals: [Vec<f64>; 2],
    first: usize,
    effect: f64,
    /// Standard error and degrees of freedom, and the draws in order.
    blocks: Option<(f64, f64, Vec<f64>)>,
}

/// `None` where an arm has too few requests.
pub(super) fn latency(blocks: &[Block], all: &Block, stopped: bool, seed: u64) -> Option<Latency> {
    if all.latency.iter().any(|histogram| histogram.count() < LEAST) {
        return None;
    }
    let used = || all.latency.iter().flat_map(|histogram| histogram.filled().map(|(bucket, _)| bucket));
    let (first, last) = (used().min()?, used().max()?);
    let dense = |histogram: &LogHistogram| {
        let mut counts = vec![0.0; last - first + 1];
        histogram.filled().for_each(|(bucket, count)| counts[bucket - first] = f64::from(count));
        counts
    };
    let totals = [dense(&all.latency[0]), dense(&all.latency[1])];
    let logs = [log_quantile(&totals[0], first, AT)?, log_quantile(&totals[1], first, AT)?];
    let series: Vec<[Vec<f64>; 2]> =
        blocks.iter().map(|block| [dense(&block.latency[0]), dense(&block.latency[1])]).collect();
    let effect = logs[1] - logs[0];
    let blocks = (series.len() >= BLOCKS_LEAST).then(|| {
        let drawn = draws(&series, first, effect, seed);
        let n = series.len() as f64;
        let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
        let squares: f64 = drawn.iter().map(|value| (value - mean).powi(2)).sum();
        let error = (squares / drawn.len() as f64 * n / (n - 1.0)).sqrt();
        let (parts, chance) = slow_parts(&series, &totals);
        let likeness = spread(&parts, chance);
        if stopped { (error, f64::INFINITY, drawn) } else { (error * likeness.inflation(), likeness.degrees, drawn) }
    });
    Some(Latency { quantiles: logs.map(f64::exp), totals, first, effect, blocks })
}

/// The logarithm of the quantile, in seconds: within its bucket by linear interpolation.
fn log_quantile(counts: &[f64], first: usize, at: f64) -> Option<f64> {
    let total: f64 = counts.iter().sum();
    let rank = at.clamp(0.0, 1.0) * total;
    let mut before = 0.0;
    let mut found = None;
    for (bucket, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0.0) {
        found = Some((bucket, ((rank - before) / count).clamp(0.0, 1.0)));
        before += count;
        if before >= rank {
            break;
        }
    }
    let (bucket, part) = found?;
    let (low, high) = LogHistogram::bounds(first + bucket);
    let (low, high) = (low.as_secs_f64().max(1e-9), high.as_secs_f64().max(1e-9));
    Some((low + (high - low) * part).ln())
}

/// The effect in samples of the blocks with replacement, in order.
fn draws(series: &[[Vec<f64>; 2]], first: usize, effect: f64, seed: u64) -> Vec<f64> {
    let mut rng = Rng::new(seed ^ 0x7039_395f_7261_7469);
    let mut drawn: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let mut sums = [vec![0.0; series[0][0].len()], vec![0.0; series[0][0].len()]];
            for _ in 0..series.len() {
                let block = &series[rng.below(series.len() as u64) as usize];
                for (sum, counts) in sums.iter_mut().zip(block) {
                    sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
                }
            }
            let quantile = |arm: usize| log_quantile(&sums[arm], first, AT);
            quantile(1).zip(quantile(0)).map_or(effect, |(experiment, control)| experiment - control)
        })
        .collect();
    drawn.sort_by(f64::total_cmp);
    drawn
}

/// What each block adds to the difference of the shares of requests that are slower than the quantile of all: it hangs together as the
/// quantiles do. And the variance that this has by the chance of single requests.
fn slow_parts(series: &[[Vec<f64>; 2]], totals: &[Vec<f64>; 2]) -> (Vec<f64>, f64) {
    let sum = |counts: &[f64]| counts.iter().sum::<f64>();
    let all = sum(&totals[0]) + sum(&totals[1]);
    let mut above = 0.0;
    let mut from = totals[0].len();
    while from > 0 && above + totals[0][from - 1] + totals[1][from - 1] <= (1.0 - AT) * all {
        from -= 1;
        above += totals[0][from] + totals[1][from];
    }
    // Where the slowest bucket alone is more than that, it is what is slow.
    let from = from.min(totals[0].len() - 1);
    let shares = [0, 1].map(|arm| sum(&totals[arm][from..]) / sum(&totals[arm]));
    let off = |block: &[Vec<f64>; 2], arm: usize| {
        (sum(&block[arm][from..]) - shares[arm] * sum(&block[arm])) / sum(&totals[arm])
    };
    let chance = [0, 1].map(|arm| shares[arm] * (1.0 - shares[arm]) / sum(&totals[arm])).iter().sum();
    (series.iter().map(|block| off(block, 1) - off(block, 0)).collect(), chance)
}

impl Latency {
    /// How much lower and higher an arm's quantile may be because its rank is a matter of chance.
    fn ranks(&self, arm: usize, alpha: f64) -> (f64, f64) {
        let counts = &self.totals[arm];
        let ranks = proportion::wilson(AT, counts.iter().sum(), law::normal_quantile_above(alpha));
        let log = |at: f64| log_quantile(counts, self.first, at).unwrap_or_default();
        (log(AT) - log(ranks.low), log(ranks.high) - log(AT))
    }

    fn half(&self, alpha: f64) -> f64 {
        self.blocks.as_ref().map_or(0.0, |(error, degrees, _)| quantile_above(alpha, *degrees) * error)
    }

    fn drawn(&self, share: f64) -> f64 {
        let at = |drawn: &[f64]| drawn[((share * drawn.len() as f64) as usize).min(drawn.len() - 1)];
        self.blocks.as_ref().map_or(self.effect, |(_, _, drawn)| at(drawn))
    }
}

impl Bounds for Latency {
    fn effect(&self) -> f64 {
        self.effect.exp()
    }

    fn low(&self, alpha: f64) -> f64 {
        let ((_, control_up), (experiment_down, _)) = (self.ranks(0, alpha), self.ranks(1, alpha));
        let off = control_up.hypot(experiment_down).max(self.half(alpha));
        (self.effect - off).min(self.drawn(alpha)).exp()
    }

    fn high(&self, alpha: f64) -> f64 {
        let ((control_down, _), (_, experiment_up)) = (self.ranks(0, alpha), self.ranks(1, alpha));
        let off = control_down.hypot(experiment_up).max(self.half(alpha));
        (self.effect + off).max(self.drawn(1.0 - alpha)).exp().min(f64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn block(control: &[u64], experiment: &[u64]) -> Block {
        let mut block = Block { requests: [control.len() as u64, experiment.len() as u64], ..Block::default() };
        for (arm, values) in [control, experiment].into_iter().enumerate() {
            for ms in values {
                block.latency[arm].record(Duration::from_millis(*ms));
            }
        }
        block
    }

    #[test]
    fn a_slow_arm_is_as_many_times_as_slow() {
        let control: Vec<u64> = (1..=200).collect();
        let experiment: Vec<u64> = (1..=200).map(|ms| ms * 4).collect();
        let blocks = vec![block(&control, &experiment); 10];
        let latency = latency(&blocks, &Block::sum(&blocks), false, 1).unwrap();
        assert!((latency.quantiles[0] / 0.198 - 1.0).abs() < 0.06);
        assert!((latency.effect() / 4.0 - 1.0).abs() < 0.06, "{}", latency.effect());
        assert!(latency.low(0.05) > 3.0 && latency.high(0.05) < 5.0);
        assert!(latency.low(0.001) <= latency.low(0.05) && latency.high(0.001) >= latency.high(0.05));
    }

    #[test]
    fn few_requests_say_nothing_of_the_quantile() {
        let few: Vec<u64> = (1..=298).collect();
        let blocks = [block(&few, &few)];
        assert!(latency(&blocks, &Block::sum(&blocks), false, 1).is_none());
        assert!(latency(&[], &Block::default(), false, 1).is_none());
    }

    #[test]
    fn one_block_has_an_interval_by_ranks() {
        let values: Vec<u64> = (1..=1_000).collect();
        let blocks = [block(&values, &values)];
        let latency = latency(&blocks, &Block::sum(&blocks), false, 1).unwrap();
        assert_eq!(latency.effect(), 1.0);
        assert!(latency.low(0.05) < 1.0 && latency.high(0.05) > 1.0);
    }
}
