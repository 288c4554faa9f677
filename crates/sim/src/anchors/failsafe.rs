//! failsafe-go's adaptive limiter: a queue estimate as Vegas has it, and how throughput and latency go with the calls in
//! flight.

use std::collections::VecDeque;
use std::time::Duration;

use mainstay_core::time::Time;

use super::{Ended, Smoothed, digits, quantile};

const LOWEST: f64 = 1.0;
const HIGHEST: f64 = 200.0;
const INITIAL: f64 = 20.0;
const QUANTILE: f64 = 0.9;
const SAMPLES: usize = 50;
const WINDOW: Duration = Duration::from_secs(1);
const WINDOW_MAX: Duration = Duration::from_secs(30);
const MEDIAN_OF: usize = 5;
const RECENT: f64 = 5.0;
const BASELINE: f64 = 10.0;
const REMEMBERED: usize = 50;
/// The limit over the most in flight.
const SLACK: f64 = 5.0;

/// What one window said.
struct Point {
    in_flight: f64,
    throughput: f64,
    latency: f64,
}

/// The limit, and what it has seen.
pub(super) struct Failsafe {
    pub(super) limit: f64,
    pub(super) in_flight: u32,
    samples: Vec<f64>,
    most: u32,
    least: f64,
    window_ends: Time,
    medians: VecDeque<f64>,
    recent: Smoothed,
    baseline: Smoothed,
    points: VecDeque<Point>,
}

impl Failsafe {
    pub(super) fn new(now: Time) -> Failsafe {
        Failsafe {
            limit: INITIAL,
            in_flight: 0,
            samples: Vec::new(),
            most: 0,
            least: f64::INFINITY,
            window_ends: now,
            medians: VecDeque::new(),
            recent: Smoothed::default(),
            baseline: Smoothed::default(),
            points: VecDeque::new(),
        }
    }

    pub(super) fn ended(&mut self, ended: &Ended) {
        self.samples.push(ended.latency_s);
        self.most = self.most.max(ended.in_flight);
        self.least = self.least.min(ended.latency_s);
        if ended.now <= self.window_ends || self.samples.len() < SAMPLES {
            return;
        }
        self.close_window();
        let length = Duration::from_secs_f64(self.least * 2.0).clamp(WINDOW, WINDOW_MAX);
        self.window_ends = ended.now + length;
        self.samples.clear();
        (self.most, self.least) = (0, f64::INFINITY);
    }

    fn close_window(&mut self) {
        let Some(seen) = quantile(&mut self.samples, QUANTILE) else { return };
        push(&mut self.medians, seen, MEDIAN_OF);
        let mut medians: Vec<f64> = self.medians.iter().copied().collect();
        let filtered = quantile(&mut medians, 0.5).unwrap_or(seen);
        let recent = self.recent.add(filtered, RECENT);
        let baseline = self.baseline.add(recent, BASELINE);
        let most = f64::from(self.most);
        push(&mut self.points, Point { in_flight: most, throughput: most / recent, latency: recent }, REMEMBERED);
        let step = digits(self.limit);
        let wanted = self.limit + self.direction((self.limit * (1.0 - baseline / recent)).ceil()) * step;
        let bound = most * SLACK;
        let bounded = match (wanted > bound, self.limit > bound) {
            (false, _) => wanted,
            (true, true) => self.limit - step,
            (true, false) => bound,
        };
        self.limit = bounded.clamp(LOWEST, HIGHEST);
    }

    /// Up, down, or neither.
    fn direction(&self, queue: f64) -> f64 {
        let of = |pick: fn(&Point) -> f64| self.points.iter().map(pick).collect::<Vec<f64>>();
        let (in_flight, throughput, latency) = (of(|it| it.in_flight), of(|it| it.throughput), of(|it| it.latency));
        let with_throughput = correlation(&in_flight, &throughput);
        let latency_grows = correlation(&in_flight, &latency).is_some_and(|it| it > 0.5);
        let full = f64::from(self.in_flight) >= self.limit.floor();
        let step = digits(self.limit);
        let overloaded = full
            && (with_throughput.is_some_and(|it| it < 0.0)
                || latency_grows && (with_throughput.is_some_and(|it| it < 0.3) || variation(&throughput) < 0.2));
        if queue > 6.0 * step || overloaded {
            -1.0
        } else if queue < 3.0 * step {
            1.0
        } else {
            0.0
        }
    }
}

fn push<T>(line: &mut VecDeque<T>, item: T, most: usize) {
    line.push_back(item);
    if line.len() > most {
        line.pop_front();
    }
}

fn mean(of: &[f64]) -> f64 {
    of.iter().sum::<f64>() / of.len().max(1) as f64
}

/// The deviation as a share of the mean.
fn variation(of: &[f64]) -> f64 {
    let centre = mean(of);
    mean(&of.iter().map(|it| (it - centre).powi(2)).collect::<Vec<f64>>()).sqrt() / centre
}

/// Pearson's; `None` of fewer than ten, 0 where one does not vary.
fn correlation(one: &[f64], other: &[f64]) -> Option<f64> {
    if one.len() < 10 {
        return None;
    }
    let (a, b) = (mean(one), mean(other));
    let (mut both, mut ones, mut others) = (0.0, 0.0, 0.0);
    for (x, y) in one.iter().zip(other) {
        both += (x - a) * (y - b);
        ones += (x - a).powi(2);
        others += (y - b).powi(2);
    }
    Some(if ones == 0.0 || others == 0.0 { 0.0 } else { both / (ones * others).sqrt() })
}
