//! Numbers that explode: a loss that is none, and one that leaps.

use std::collections::VecDeque;

/// When a loss leaps.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Guard {
    /// Losses that are remembered.
    pub window: usize,
    /// Losses before which nothing leaps.
    pub warm_up: usize,
    /// Median absolute deviations above the median that are a leap.
    pub deviations: f64,
    /// So many steps in a row must leap.
    pub steps: usize,
}

impl Default for Guard {
    /// Of the last 200, from 50 on, 20 deviations, 3 steps in a row.
    fn default() -> Guard {
        Guard { window: 200, warm_up: 50, deviations: 20.0, steps: 3 }
    }
}

/// What a loss means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finding {
    /// It is no finite number.
    NotFinite {
        /// The first step that was not.
        onset: u64,
    },
    /// It leaped, and stayed up.
    Spike {
        /// The first step that leaped.
        onset: u64,
    },
}

impl Finding {
    /// The first step that is wrong.
    pub const fn onset(self) -> u64 {
        match self {
            Finding::NotFinite { onset } | Finding::Spike { onset } => onset,
        }
    }
}

/// The losses of an attempt.
#[derive(Clone, PartialEq, Debug)]
pub struct Losses {
    guard: Guard,
    seen: VecDeque<f64>,
    leaping: Vec<u64>,
}

impl Losses {
    /// Nothing seen.
    pub fn new(guard: Guard) -> Losses {
        Losses { guard, seen: VecDeque::new(), leaping: Vec::new() }
    }

    /// A new attempt: what leaped in the last one is forgotten.
    pub fn restart(&mut self) {
        self.seen.clear();
        self.leaping.clear();
    }

    /// Takes the loss of a step. A leap is measured against the median of what came before it, which one outlier does not move.
    pub fn handle(&mut self, step: u64, loss: f64) -> Option<Finding> {
        if !loss.is_finite() {
            return Some(Finding::NotFinite { onset: self.leaping.first().copied().unwrap_or(step) });
        }
        if self.seen.len() >= self.guard.warm_up.max(2) && self.leaps(loss) {
            self.leaping.push(step);
            if self.leaping.len() >= self.guard.steps.max(1) {
                return Some(Finding::Spike { onset: self.leaping[0] });
            }
            return None;
        }
        self.leaping.clear();
        self.seen.push_back(loss);
        if self.seen.len() > self.guard.window {
            self.seen.pop_front();
        }
        None
    }

    fn leaps(&self, loss: f64) -> bool {
        let middle = median(self.seen.iter().copied());
        let spread = median(self.seen.iter().map(|seen| (seen - middle).abs()));
        // A loss that never moved has no deviation: a thousandth of it stands for one.
        loss > middle + self.guard.deviations * spread.max(middle.abs() * 1e-3).max(f64::MIN_POSITIVE)
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn a_noisy_loss_that_falls_is_left_alone() {
        let mut rng = Rng::new(1);
        let mut losses = Losses::new(Guard::default());
        for step in 0..20_000 {
            let loss = 5.0 / (1.0 + step as f64 / 500.0) + 0.3 * rng.unit();
            assert_eq!(losses.handle(step, loss), None, "{step}");
        }
    }

    #[test]
    fn a_leap_that_stays_is_found_at_its_onset_and_one_outlier_is_not() {
        let mut rng = Rng::new(2);
        let mut losses = Losses::new(Guard::default());
        let mut found = None;
        for step in 0..400 {
            let loss = match step {
                200 => 500.0,
                300.. => 80.0,
                _ => 1.0 + 0.1 * rng.unit(),
            };
            found = losses.handle(step, loss);
            if found.is_some() {
                break;
            }
        }
        assert_eq!(found, Some(Finding::Spike { onset: 300 }));
    }

    #[test]
    fn no_number_is_found_at_once() {
        let mut losses = Losses::new(Guard::default());
        assert_eq!(losses.handle(1, f64::NAN), Some(Finding::NotFinite { onset: 1 }));
        assert_eq!(losses.handle(2, f64::INFINITY), Some(Finding::NotFinite { onset: 2 }));
    }
}
