//! Bets on ranks.

use super::{EVIDENCE_MOST, Evidence};

/// The share of the stake that moves between bets at each value.
const JUMP: f64 = 0.01;
/// On which side of the middle ranks are expected.
const BETS: [f64; 3] = [-1.0, 0.0, 1.0];

/// Whether a distribution moved, of which nothing is known but a sample: a conformal test martingale over bins (Vovk and others 2022,
/// Algorithmic Learning in a Random World; the simple jumper), summed up as Shiryaev and Roberts do.
///
/// The guarantee holds while values are exchangeable. Seasons and dependence break it: give it values less their season, or thinned ones.
/// It bets on ranks that move to one side: a spread that grows evenly needs a second detector of `|x - median|`. It learns the new law, so
/// that the evidence falls again after a change: whoever hears an alarm must remember it.
///
/// ```
/// use mainstay_core::rng::Rng;
/// use mainstay_core::stats::sequential::Conformal;
///
/// let mut rng = Rng::new(1);
/// let sample: Vec<f64> = (0..1_000).map(|_| rng.unit()).collect();
/// let mut detector = Conformal::new(&sample, 32, 5_000.0).unwrap();
/// let alarm = (0..2_000).position(|_| detector.push(0.3 + rng.unit(), rng.unit()).alarms());
/// assert!(alarm.unwrap() < 200);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Conformal {
    edges: Vec<f64>,
    counts: Vec<u64>,
    evidence: [f64; BETS.len()],
    run_length: f64,
}

/// Fewest values of a reference.
const REFERENCE_LEAST: usize = 100;

impl Conformal {
    /// A detector with `bins` quantile bins of the first half of a reference, and the counts of the second half: bins by the same values
    /// that are counted would spoil the guarantee. `None` with fewer than 100 finite values.
    pub fn new(reference: &[f64], bins: usize, run_length: f64) -> Option<Conformal> {
        let finite: Vec<f64> = reference.iter().copied().filter(|value| value.is_finite()).collect();
        if finite.len() < REFERENCE_LEAST {
            return None;
        }
        let (first, second) = finite.split_at(finite.len() / 2);
        let mut sorted = first.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let mut edges: Vec<f64> = (1..bins).map(|i| quantile(&sorted, i as f64 / bins as f64)).collect();
        edges.dedup();
        let mut detector = Conformal::with_edges(edges, run_length);
        for value in second {
            detector.count(*value);
        }
        Some(detector)
    }

    /// A detector with ascending edges and no counts yet: see [`Conformal::count`].
    pub fn with_edges(edges: Vec<f64>, run_length: f64) -> Conformal {
        let counts = vec![0; edges.len() + 1];
        Conformal { edges, counts, evidence: [0.0; BETS.len()], run_length }
    }

    /// Takes in a value of the reference.
    pub fn count(&mut self, value: f64) {
        let bin = self.bin(value);
        self.counts[bin] += 1;
    }

    /// Takes in a value. `random` is uniform in `[0, 1)` and belongs to this value alone: ties are broken by it. What is no number is
    /// left out.
    pub fn push(&mut self, value: f64, random: f64) -> Evidence {
        if value.is_nan() {
            return self.evidence();
        }
        let rank = self.rank(value, random);
        for evidence in &mut self.evidence {
            *evidence += 1.0 / BETS.len() as f64;
        }
        let moved = JUMP * self.evidence.iter().sum::<f64>() / BETS.len() as f64;
        for (evidence, bet) in self.evidence.iter_mut().zip(BETS) {
            let held = (1.0 - JUMP) * *evidence + moved;
            *evidence = (held * (1.0 + bet * (rank - 0.5))).min(EVIDENCE_MOST);
        }
        self.evidence()
    }

    /// The evidence so far.
    pub fn evidence(&self) -> Evidence {
        Evidence { value: self.evidence.iter().sum(), run_length: self.run_length }
    }

    /// Begins anew: after an alarm that was seen to.
    pub fn restart(&mut self) {
        self.evidence = [0.0; BETS.len()];
    }

    /// Counts a value; how far down it ranks among all so far, uniform in `[0, 1]` where they are exchangeable.
    fn rank(&mut self, value: f64, random: f64) -> f64 {
        let bin = self.bin(value);
        self.counts[bin] += 1;
        let above: u64 = self.counts[bin + 1..].iter().sum();
        let all = above + self.counts[..=bin].iter().sum::<u64>();
        (above as f64 + random * self.counts[bin] as f64) / all as f64
    }

    fn bin(&self, value: f64) -> usize {
        self.edges.partition_point(|&edge| edge <= value)
    }
}

/// By linear interpolation.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = q * (sorted.len() - 1) as f64;
    let (low, part) = (at.floor() as usize, at.fract());
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + (sorted[high] - sorted[low]) * part
}
