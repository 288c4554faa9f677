//! Bets against a mean.

use super::{EVIDENCE_MOST, Evidence};
use crate::stats::binomial;

/// Bets as multiples of 1 / bound: small ones see small changes, large ones see large ones soon.
const BETS: [f64; 6] = [0.02, 0.05, 0.1, 0.2, 0.4, 0.8];

/// How evidence is summed up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Shiryaev and Roberts: all times at which a change may have come count.
    Sum,
    /// CUSUM: the likeliest one counts.
    Most,
}

/// Whether values within `[0, 1]` have a mean above a bound, now or since some time. Nothing else is asked of them: they may depend on
/// each other, as long as each one's expectation, given those before it, is at most the bound.
///
/// ```
/// use mainstay_core::stats::sequential::{Betting, Form};
///
/// // At most one false alarm in 5,000 requests, where 1 % fail.
/// let mut errors = Betting::new(0.01, 5_000.0, Form::Sum);
/// let alarm = (0..2_000).position(|at| errors.push(if at % 20 == 0 { 1.0 } else { 0.0 }).alarms());
/// assert!(alarm.unwrap() < 1_000);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Betting {
    bound: f64,
    run_length: f64,
    form: Form,
    evidence: [f64; BETS.len()],
}

impl Betting {
    /// A detector of means above `bound`, within (0, 1). Bounds outside are moved inside.
    pub fn new(bound: f64, run_length: f64, form: Form) -> Betting {
        let bound = bound.clamp(1e-9, 1.0 - 1e-9);
        Betting { bound, run_length, form, evidence: [0.0; BETS.len()] }
    }

    /// A detector of shares above what `hits` in `n` earlier values suggest. Their share itself would be too low a bound half of the
    /// time, and the stated run length false: Clopper and Pearson's upper bound at 99 % is taken.
    pub fn against(hits: u64, n: u64, run_length: f64, form: Form) -> Betting {
        Betting::new(binomial::upper(hits, n, 0.99), run_length, form)
    }

    /// The bound.
    pub fn bound(&self) -> f64 {
        self.bound
    }

    /// Takes in a value; for a mean that may fall, push `1 - x` against a bound of it. What lies outside `[0, 1]` is moved inside, what
    /// is no number is left out.
    pub fn push(&mut self, value: f64) -> Evidence {
        if value.is_nan() {
            return self.evidence();
        }
        let off = value.clamp(0.0, 1.0) - self.bound;
        for (evidence, bet) in self.evidence.iter_mut().zip(BETS) {
            let start = match self.form {
                Form::Sum => *evidence + 1.0,
                Form::Most => evidence.max(1.0),
            };
            *evidence = (start * (1.0 + bet / self.bound * off)).clamp(0.0, EVIDENCE_MOST);
        }
        self.evidence()
    }

    /// The evidence so far.
    pub fn evidence(&self) -> Evidence {
        let value = self.evidence.iter().sum::<f64>() / BETS.len() as f64;
        Evidence { value, run_length: self.run_length }
    }

    /// Begins anew: after an alarm that was seen to.
    pub fn restart(&mut self) {
        self.evidence = [0.0; BETS.len()];
    }
}
