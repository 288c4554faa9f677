//! The limiter and the shedder that the mission sketches, with the floors and the ceiling that it gives them.

use std::collections::VecDeque;
use std::time::Duration;

use mainstay_core::route::Class;
use mainstay_core::time::Time;

use super::Ended;

const KEPT: usize = 1000;
const ENOUGH: usize = 100;
const SECOND: Duration = Duration::from_secs(1);
/// Below these loads all classes are let in, all but the worst, and the two best.
const LOADS: [f64; 3] = [0.70, 0.85, 0.95];

/// A step with each latency, by the p95 of the last thousand: never below half of the base, never above one and a half.
pub(super) struct Limiter {
    base: f64,
    threshold_s: f64,
    current: f64,
    latencies: VecDeque<f64>,
    sorted: Vec<f64>,
}

impl Limiter {
    pub(super) fn new(base: f64, threshold_s: f64) -> Limiter {
        Limiter { base, threshold_s, current: base, latencies: VecDeque::new(), sorted: Vec::new() }
    }

    pub(super) fn limit(&self) -> f64 {
        self.current.floor()
    }

    pub(super) fn ended(&mut self, ended: &Ended) {
        self.keep(ended.latency_s);
        if self.sorted.len() < ENOUGH {
            return;
        }
        let p95 = self.sorted[(self.sorted.len() as f64 * 0.95) as usize];
        if p95 > self.threshold_s * 2.0 {
            self.current = (self.current * 0.8).max(self.base * 0.5);
        } else if p95 > self.threshold_s {
            // From below this floor, the step "down" goes up to it.
            self.current = (self.current * 0.95).max(self.base * 0.7);
        } else if p95 < self.threshold_s * 0.5 {
            self.current = (self.current * 1.05).min(self.base * 1.5);
        }
    }

    fn keep(&mut self, latency: f64) {
        let place = |sorted: &[f64], latency: f64| sorted.partition_point(|it| *it < latency);
        self.latencies.push_back(latency);
        self.sorted.insert(place(&self.sorted, latency), latency);
        if self.latencies.len() > KEPT
            && let Some(oldest) = self.latencies.pop_front()
        {
            self.sorted.remove(place(&self.sorted, oldest));
        }
    }
}

/// Counts what was let in within a second, and lets in fewer classes as that nears its most.
pub(super) struct Shedder {
    max_qps: f64,
    let_in: f64,
    reset: Time,
}

impl Shedder {
    pub(super) const fn new(max_qps: f64, now: Time) -> Shedder {
        Shedder { max_qps, let_in: 0.0, reset: now }
    }

    pub(super) fn is_let_in(&mut self, class: Class, now: Time) -> bool {
        if now.since(self.reset) >= SECOND {
            (self.let_in, self.reset) = (0.0, now);
        }
        let load = self.let_in / self.max_qps;
        let worst = 3 - LOADS.iter().filter(|from| load >= **from).count();
        let is_let_in = usize::from(class.number()) <= worst;
        self.let_in += f64::from(u8::from(is_let_in));
        is_let_in
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limiter_keeps_its_floors_and_its_ceiling() {
        let mut limiter = Limiter::new(100.0, 0.1);
        let mut after = |latency_s: f64, times: u32| {
            let ended = Ended { now: Time::ZERO, latency_s, in_flight: 1, dropped: false };
            (0..times).for_each(|_| limiter.ended(&ended));
            limiter.limit()
        };
        assert_eq!(after(0.01, 99), 100.0, "too few to judge");
        assert_eq!(after(0.01, 100), 150.0);
        assert_eq!(after(0.5, 1000), 50.0);
        assert_eq!(after(0.15, 1000), 70.0, "from the lower floor up to the other");
    }

    #[test]
    fn the_shedder_lets_in_fewer_classes_as_a_second_fills() {
        let mut shedder = Shedder::new(100.0, Time::ZERO);
        let mut let_in = [0; 4];
        for _ in 0..200 {
            for class in 0..4u8 {
                let_in[usize::from(class)] +=
                    u32::from(shedder.is_let_in(Class::new(class).unwrap(), Time::from_millis(1)));
            }
        }
        assert_eq!(let_in, [200, 28, 22, 17], "the best class is never turned away, whatever the load");
    }
}
