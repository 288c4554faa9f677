//! The difference of both arms' shares of unanswered requests.

use super::blocks::Block;
use super::bounds::{BLOCKS_LEAST, Bounds, DEGREES_LEAST, spread};
use crate::stats::law;
use crate::stats::proportion::Pair;

/// The experiment's share less its control's.
///
/// The interval is the wider of two. The score interval of the totals counts where requests are assigned one by one: the assignment
/// alone makes it right, whatever strikes both arms, and it holds for no errors at all and for few. The interval by blocks sees what
/// requests of an arm have in common.
#[derive(Clone, Debug)]
pub(super) struct Errors {
    totals: Pair,
    effect: f64,
    /// Standard error, and degrees of freedom.
    blocks: Option<(f64, f64)>,
}

/// `None` where an arm has no requests.
pub(super) fn errors(blocks: &[Block], all: &Block, stopped: bool) -> Option<Errors> {
    let share = |arm: usize| (all.requests[arm] > 0).then(|| all.unanswered[arm] as f64 / all.requests[arm] as f64);
    let shares = [share(0)?, share(1)?];
    // What a block adds to the difference of the ratios, to first order.
    let off = |block: &Block, arm: usize| {
        (block.unanswered[arm] as f64 - shares[arm] * block.requests[arm] as f64) / all.requests[arm] as f64
    };
    let chance = [0, 1].map(|arm| shares[arm] * (1.0 - shares[arm]) / all.requests[arm] as f64).iter().sum();
    let parts: Vec<f64> = blocks.iter().map(|block| off(block, 1) - off(block, 0)).collect();
    let spread = (blocks.len() >= BLOCKS_LEAST).then(|| spread(&parts, chance));
    Some(Errors {
        totals: Pair { first: (all.unanswered[1], all.requests[1]), second: (all.unanswered[0], all.requests[0]) },
        effect: shares[1] - shares[0],
        // A run that was stopped has too few blocks to tell their likeness at its stricter level.
        blocks: spread.map(|s| if stopped { (s.plain, f64::INFINITY) } else { (s.error, s.degrees) }),
    })
}

impl Errors {
    fn half(&self, alpha: f64) -> f64 {
        self.blocks.map_or(0.0, |(error, degrees)| quantile_above(alpha, degrees) * error)
    }
}

impl Bounds for Errors {
    fn effect(&self) -> f64 {
        self.effect
    }

    fn low(&self, alpha: f64) -> f64 {
        let score = self.totals.score(2.0 * alpha).map_or(-1.0, |interval| interval.low);
        score.min(self.effect - self.half(alpha)).max(-1.0)
    }

    fn high(&self, alpha: f64) -> f64 {
        let score = self.totals.score(2.0 * alpha).map_or(1.0, |interval| interval.high);
        score.max(self.effect + self.half(alpha)).min(1.0)
    }
}

/// Student's, or the normal law's where the degrees of freedom are without end.
pub(super) fn quantile_above(alpha: f64, degrees: f64) -> f64 {
    if degrees.is_finite() {
        law::student_quantile_above(alpha, degrees.max(DEGREES_LEAST))
    } else {
        law::normal_quantile_above(alpha)
    }
}

#[cfg(test)]
mod tests {
    use super::super::blocks::paired;
    use super::super::tests::{run, slice};
    use super::*;
    use crate::chaos::record::Phase;

    fn of(requests: [u64; 2], unanswered: [u64; 2], slices: usize) -> Errors {
        let run = run(std::iter::repeat_n(slice(requests, unanswered), slices));
        let blocks = paired(&run, Phase::Injecting);
        errors(&blocks, &Block::sum(&blocks), false).unwrap()
    }

    #[test]
    fn the_score_interval_counts_where_blocks_are_equal_or_few() {
        let pair = Pair { first: (120, 2400), second: (24, 2400) };
        let score = pair.score(0.1).unwrap();
        for errors in [of([400, 400], [4, 20], 6), of([1200, 1200], [12, 60], 2)] {
            assert!((errors.effect() - 0.04).abs() < 1e-12);
            assert_eq!((errors.low(0.05), errors.high(0.05)), (score.low, score.high));
        }
    }

    #[test]
    fn no_errors_are_no_certainty() {
        let errors = of([100, 100], [0, 0], 30);
        assert!(errors.low(0.05) < 0.0 && errors.low(0.05) > -0.01);
        assert!(errors.high(0.05) > 0.0 && errors.high(0.05) < 0.01);
    }

    #[test]
    fn nothing_to_compare() {
        assert!(errors(&[], &Block::default(), false).is_none());
    }
}
