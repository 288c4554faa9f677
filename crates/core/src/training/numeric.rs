//! Losses that are no numbers, or jump.

use std::collections::VecDeque;

/// When a loss is called a spike.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Losses that are looked back on.
    pub window: usize,
    /// Losses before anything is judged.
    pub warm_up: usize,
    /// Median absolute deviations above the median.
    pub deviations: f64,
    /// Steps in a row.
    pub steps: u32,
    /// Steps before a spike that are not trusted either: weights go wrong before the loss shows it.
    pub margin: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { window: 200, warm_up: 50, deviations: 20.0, steps: 5, margin: 5 }
    }
}

/// What is wrong, and the step at which it began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// A loss or a gradient is no finite number.
    NotFinite {
        /// The first such step.
        onset: u64,
    },
    /// The loss jumped and stayed.
    Spike {
        /// The first such step.
        onset: u64,
        /// Steps before it that are not trusted either.
        margin: u64,
    },
}

impl Trouble {
    /// The first bad step.
    pub const fn onset(self) -> u64 {
        match self {
            Trouble::NotFinite { onset } | Trouble::Spike { onset, .. } => onset,
        }
    }

    /// Checkpoints of this step and later ones are not gone on from.
    pub const fn suspect_from(self) -> u64 {
        match self {
            Trouble::NotFinite { onset } => onset,
            Trouble::Spike { onset, margin } => onset.saturating_sub(margin),
        }
    }
}

/// Watches a loss. Robust: median and MAD, so that the spike does not raise its own bar.
#[derive(Clone, Debug)]
pub struct Guard {
    settings: Settings,
    recent: VecDeque<f64>,
    run: Option<(u64, u32)>,
}

impl Guard {
    /// Nothing seen.
    pub fn new(settings: Settings) -> Guard {
        Guard { settings, recent: VecDeque::new(), run: None }
    }

    /// The loss of a step.
    pub fn handle_loss(&mut self, step: u64, loss: f64) -> Option<Trouble> {
        if !loss.is_finite() {
            let onset = self.run.map_or(step, |(onset, _)| onset);
            return Some(Trouble::NotFinite { onset });
        }
        if self.is_high(loss) {
            let (onset, count) = self.run.map_or((step, 1), |(onset, count)| (onset, count + 1));
            self.run = Some((onset, count));
            let margin = self.settings.margin;
            return (count >= self.settings.steps).then_some(Trouble::Spike { onset, margin });
        }
        self.run = None;
        self.recent.push_back(loss);
        if self.recent.len() > self.settings.window {
            self.recent.pop_front();
        }
        None
    }

    fn is_high(&self, loss: f64) -> bool {
        if self.recent.len() < self.settings.warm_up.max(1) {
            return false;
        }
        let middle = median(self.recent.iter().copied().collect());
        let spread = median(self.recent.iter().map(|value| (value - middle).abs()).collect());
        // A loss that hardly moves must not make every ripple a spike.
        loss > middle + self.settings.deviations * spread.max(0.01 * middle.abs()).max(f64::EPSILON)
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_found_at_once_and_a_spike_where_it_began() {
        let mut guard = Guard::new(Settings::default());
        assert_eq!(guard.handle_loss(1, f64::NAN), Some(Trouble::NotFinite { onset: 1 }));
        let mut guard = Guard::new(Settings::default());
        for step in 0..100 {
            assert_eq!(guard.handle_loss(step, 1.0 + 0.01 * (step % 7) as f64), None);
        }
        assert_eq!(guard.handle_loss(100, 9.0), None);
        assert_eq!(guard.handle_loss(101, 1.0), None, "one bad batch is none");
        let found: Vec<_> = (102..107).filter_map(|step| guard.handle_loss(step, 9.0)).collect();
        assert_eq!(found, [Trouble::Spike { onset: 102, margin: 5 }]);
        assert_eq!((found[0].onset(), found[0].suspect_from()), (102, 97));
    }

    #[test]
    fn a_loss_that_falls_is_none() {
        let mut guard = Guard::new(Settings::default());
        assert!((0..2000).all(|step| guard.handle_loss(step, 10.0 / (1.0 + step as f64)).is_none()));
    }
}
