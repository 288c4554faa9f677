//! What can be watched while labels are late: a rolling mean of a proxy beside its baseline.

use std::collections::VecDeque;

/// Values of a rolling window.
pub const WINDOW: usize = 10_000;
/// Fewer values say nothing.
pub const LEAST: usize = 100;
/// Values after which the sums are made anew: they are rounded at each step.
const ANEW: u32 = 1 << 20;

/// A measure of quality, and what stands in for it until labels come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The kind of prediction.
    pub task: &'static str,
    /// The measure.
    pub metric: &'static str,
    /// Whether labels are needed for it.
    pub needs_labels: bool,
    /// Whether it is known at once.
    pub real_time: bool,
    /// What stands in for it.
    pub proxy: &'static str,
}

/// Measures and their proxies, as the mission names them.
pub const CATALOGUE: [Entry; 5] = [
    entry("classification", "accuracy", "confidence"),
    entry("classification", "precision", "positive_rate"),
    entry("regression", "mae", "prediction_variance"),
    entry("ranking", "ndcg", "click_through"),
    entry("generation", "approval_rate", "perplexity"),
];

const fn entry(task: &'static str, metric: &'static str, proxy: &'static str) -> Entry {
    Entry { task, metric, needs_labels: true, real_time: false, proxy }
}

/// What a proxy was when all was well.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Baseline {
    /// Its mean.
    pub mean: f64,
    /// Its standard deviation.
    pub deviation: f64,
}

/// What is said of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nobody said what is well.
    NoBaseline,
    /// No value came.
    NoData,
    /// Fewer than [`LEAST`] came.
    InsufficientData,
    /// Within two deviations.
    LikelyHealthy,
    /// More than two deviations away.
    PotentialIssue,
    /// More than three.
    LikelyViolated,
}

impl Status {
    /// Its name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Status::NoBaseline => "no_baseline",
            Status::NoData => "no_data",
            Status::InsufficientData => "insufficient_data",
            Status::LikelyHealthy => "likely_healthy",
            Status::PotentialIssue => "potential_issue",
            Status::LikelyViolated => "likely_violated",
        }
    }
}

/// A rolling window of values, whose mean and variance cost the same however long it is.
#[derive(Clone, Debug, Default)]
pub struct Proxy {
    values: VecDeque<f64>,
    /// Sums about the first value, so that they do not cancel.
    about: f64,
    sum: f64,
    squares: f64,
    since_anew: u32,
    baseline: Option<Baseline>,
}

impl Proxy {
    /// An empty one.
    pub fn new(baseline: Option<Baseline>) -> Proxy {
        Proxy { baseline, ..Proxy::default() }
    }

    /// Takes in a finite value; the oldest beyond [`WINDOW`] is forgotten.
    pub fn push(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        if self.values.is_empty() {
            (self.about, self.sum, self.squares) = (value, 0.0, 0.0);
        }
        if self.values.len() == WINDOW
            && let Some(oldest) = self.values.pop_front()
        {
            let off = oldest - self.about;
            (self.sum, self.squares) = (self.sum - off, self.squares - off * off);
        }
        let off = value - self.about;
        (self.sum, self.squares) = (self.sum + off, self.squares + off * off);
        self.values.push_back(value);
        self.since_anew += 1;
        if self.since_anew >= ANEW {
            self.since_anew = 0;
            self.about = value;
            (self.sum, self.squares) = self.values.iter().fold((0.0, 0.0), |(sum, squares), value| {
                let off = value - self.about;
                (sum + off, squares + off * off)
            });
        }
    }

    /// Values in the window.
    pub fn count(&self) -> usize {
        self.values.len()
    }

    /// The mean of the window.
    pub fn mean(&self) -> Option<f64> {
        (!self.values.is_empty()).then(|| self.about + self.sum / self.values.len() as f64)
    }

    /// The standard deviation of the window, with `n` below.
    pub fn deviation(&self) -> Option<f64> {
        let n = self.values.len() as f64;
        (n > 0.0).then(|| (self.squares / n - (self.sum / n).powi(2)).max(0.0).sqrt())
    }

    /// What it is compared with.
    pub fn baseline(&self) -> Option<Baseline> {
        self.baseline
    }

    /// Compares with another baseline from now on.
    pub fn set_baseline(&mut self, baseline: Baseline) {
        self.baseline = Some(baseline);
    }

    /// Takes the window as it stands for what is well; false with fewer than [`LEAST`] values.
    pub fn learn(&mut self) -> bool {
        let (Some(mean), Some(deviation)) = (self.mean(), self.deviation()) else { return false };
        if self.count() < LEAST {
            return false;
        }
        self.baseline = Some(Baseline { mean, deviation });
        true
    }

    /// How many of the baseline's deviations the mean is away from its mean.
    pub fn z(&self) -> Option<f64> {
        let baseline = self.baseline?;
        Some((self.mean()? - baseline.mean).abs() / (baseline.deviation + 1e-6))
    }

    /// What is to be said.
    pub fn status(&self) -> Status {
        match (self.baseline, self.count(), self.z()) {
            (None, ..) => Status::NoBaseline,
            (Some(_), 0, _) | (Some(_), _, None) => Status::NoData,
            (Some(_), count, _) if count < LEAST => Status::InsufficientData,
            (Some(_), _, Some(z)) if z > 3.0 => Status::LikelyViolated,
            (Some(_), _, Some(z)) if z > 2.0 => Status::PotentialIssue,
            (Some(_), _, Some(_)) => Status::LikelyHealthy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_rolls_and_agrees_with_sums_made_anew() {
        let mut proxy = Proxy::new(None);
        let value = |n: u32| 1e9 + f64::from(n * 7_919 % 1_000);
        (0..25_000).for_each(|n| proxy.push(value(n)));
        let kept: Vec<f64> = (15_000..25_000).map(value).collect();
        let mean = kept.iter().sum::<f64>() / 1e4;
        let deviation = (kept.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 1e4).sqrt();
        assert_eq!(proxy.count(), WINDOW);
        assert!((proxy.mean().unwrap() - mean).abs() < 1e-6 && (proxy.deviation().unwrap() - deviation).abs() < 1e-6);
        proxy.push(f64::NAN);
        assert_eq!(proxy.count(), WINDOW);
    }

    #[test]
    fn statuses_are_the_missions() {
        let mut proxy = Proxy::new(None);
        assert_eq!(proxy.status(), Status::NoBaseline);
        assert!(!proxy.learn());
        let mut proxy = Proxy::new(Some(Baseline { mean: 0.8, deviation: 0.1 }));
        assert_eq!(proxy.status(), Status::NoData);
        proxy.push(0.8);
        assert_eq!(proxy.status(), Status::InsufficientData);
        for (mean, status) in [
            (0.95, Status::LikelyHealthy),
            (1.05, Status::PotentialIssue),
            (1.15, Status::LikelyViolated),
            (0.45, Status::LikelyViolated),
        ] {
            let mut proxy = Proxy::new(Some(Baseline { mean: 0.8, deviation: 0.1 }));
            (0..LEAST).for_each(|_| proxy.push(mean));
            assert_eq!(proxy.status(), status, "{mean}");
        }
    }
}
