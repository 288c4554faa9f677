//! Netflix's Gradient2: the limit follows the ratio of a long and a short mean of latencies.

use std::time::Duration;

use mainstay_core::time::Time;

use super::{Ended, Smoothed};

const TOLERANCE: f64 = 1.5;
const QUEUE: f64 = 4.0;
const SMOOTHING: f64 = 0.2;
const LONG: f64 = 600.0;
const LOWEST: f64 = 20.0;
const HIGHEST: f64 = 200.0;
const WINDOW: Duration = Duration::from_secs(1);
const WINDOW_SAMPLES: u32 = 10;

/// The limit, and what it has seen.
pub(super) struct Gradient2 {
    pub(super) limit: f64,
    long: Smoothed,
    window: Option<Window>,
}

/// Samples of a second.
struct Window {
    ends: Time,
    sum: f64,
    samples: u32,
    in_flight: u32,
}

impl Window {
    const fn new(ends: Time) -> Window {
        Window { ends, sum: 0.0, samples: 0, in_flight: 0 }
    }

    /// The mean and the most in flight of a window that is over with this sample, if it had enough.
    fn add(&mut self, ended: &Ended) -> Option<(f64, u32)> {
        self.sum += ended.latency_s;
        self.samples += 1;
        self.in_flight = self.in_flight.max(ended.in_flight);
        if ended.now <= self.ends {
            return None;
        }
        let over = std::mem::replace(self, Window::new(ended.now + WINDOW));
        (over.samples >= WINDOW_SAMPLES).then(|| (over.sum / f64::from(over.samples), over.in_flight))
    }
}

impl Gradient2 {
    pub(super) fn new(windowed: bool, now: Time) -> Gradient2 {
        Gradient2 { limit: LOWEST, long: Smoothed::default(), window: windowed.then(|| Window::new(now + WINDOW)) }
    }

    pub(super) fn ended(&mut self, ended: &Ended) {
        let seen = match &mut self.window {
            Some(window) => window.add(ended),
            None => Some((ended.latency_s, ended.in_flight)),
        };
        let Some((short, in_flight)) = seen else { return };
        let long = self.long.add(short, LONG);
        if long / short > 2.0 {
            self.long.value *= 0.95;
        }
        if f64::from(in_flight) < self.limit / 2.0 {
            return;
        }
        let gradient = (TOLERANCE * self.long.value / short).clamp(0.5, 1.0);
        let wanted = self.limit * gradient + QUEUE;
        self.limit = (self.limit * (1.0 - SMOOTHING) + wanted * SMOOTHING).clamp(LOWEST, HIGHEST);
    }
}
