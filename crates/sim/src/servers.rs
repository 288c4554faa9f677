//! Servers of equal kind behind one line, first come first served.

use std::collections::VecDeque;
use std::time::Duration;

use mainstay_core::drill;
use mainstay_core::rng::Rng;
use mainstay_core::time::Time;

use crate::upstream::Sent;

/// Most calls that wait; servers refuse beyond.
const LINE_MAX: usize = 1 << 20;

/// Whose a call is: a visit, at a turn of its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Owner {
    pub(crate) visit: u32,
    pub(crate) turn: u32,
}

/// A call at the servers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) owner: Owner,
    /// The servers are gone since: its end means nothing.
    pub(crate) void: bool,
}

/// The servers of a backend.
pub(crate) struct Servers {
    model: drill::Servers,
    mu: f64,
    rng: Rng,
    normal: Normal,
    pub(crate) slow: f64,
    busy: u32,
    line: VecDeque<Owner>,
    calls: Vec<Call>,
    free: Vec<u32>,
}

impl Servers {
    pub(crate) fn new(model: drill::Servers, rng: Rng) -> Servers {
        let (line, calls, free) = (VecDeque::new(), Vec::new(), Vec::new());
        let (mu, normal) = (model.median_s().ln(), Normal::default());
        Servers { model, mu, rng, normal, slow: 1.0, busy: 0, line, calls, free }
    }

    /// All that they work on is lost.
    pub(crate) fn clear(&mut self) {
        self.busy = 0;
        self.line.clear();
        // Ends that are still to come free no server.
        self.calls.iter_mut().for_each(|call| call.void = true);
    }

    /// Requests per second that they carry when they are well.
    pub(crate) fn capacity(&self) -> f64 {
        self.model.capacity()
    }

    /// A call is made; `None`: it is refused.
    pub(crate) fn send(&mut self, owner: Owner, now: Time) -> Option<Sent> {
        if self.busy < self.model.servers {
            self.busy += 1;
            let (number, end) = self.start(owner, now);
            return Some(Sent::Until(number, end));
        }
        (self.line.len() < LINE_MAX).then(|| {
            self.line.push_back(owner);
            Sent::Waits
        })
    }

    /// A call has ended. What it was, and the next one that a server works on, with its end. `is_wanted` tells whether
    /// somebody still waits for a call: others are dropped from the line, as servers see that a connection is gone.
    pub(crate) fn end(
        &mut self,
        number: u32,
        now: Time,
        is_wanted: impl Fn(&Owner) -> bool,
    ) -> (Call, Option<(u32, Time)>) {
        let call = self.calls[number as usize];
        self.free.push(number);
        if call.void {
            return (call, None);
        }
        while let Some(next) = self.line.pop_front() {
            if is_wanted(&next) {
                return (call, Some(self.start(next, now)));
            }
        }
        self.busy -= 1;
        (call, None)
    }

    fn start(&mut self, owner: Owner, now: Time) -> (u32, Time) {
        let waiting = self.line.len() as f64 / f64::from(self.model.servers);
        let seconds = self.seconds() * self.slow * (1.0 + self.model.drag * waiting);
        (self.note(Call { owner, void: false }), now + Duration::from_nanos((seconds * 1e9) as u64))
    }

    fn note(&mut self, call: Call) -> u32 {
        if let Some(number) = self.free.pop() {
            self.calls[number as usize] = call;
            return number;
        }
        self.calls.push(call);
        (self.calls.len() - 1) as u32
    }

    /// A time from the log-normal law.
    fn seconds(&mut self) -> f64 {
        if self.model.spread == 0.0 {
            return self.model.mean.as_secs_f64();
        }
        (self.mu + self.model.spread * self.normal.draw(&mut self.rng)).exp()
    }
}

/// Numbers of the standard normal law, two at a time (polar method, Marsaglia).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Normal {
    spare: Option<f64>,
}

impl Normal {
    pub(crate) fn draw(&mut self, rng: &mut Rng) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let (x, y) = (rng.between(-1.0, 1.0), rng.between(-1.0, 1.0));
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                let scale = (-2.0 * square.ln() / square).sqrt();
                self.spare = Some(y * scale);
                return x * scale;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_mean_that_was_asked_for() {
        let model = drill::Servers { servers: 1, mean: Duration::from_millis(50), spread: 0.5, drag: 0.0 };
        let mut servers = Servers::new(model, Rng::new(7));
        let mut times: Vec<f64> = (0..100_000).map(|_| servers.seconds()).collect();
        let mean = times.iter().sum::<f64>() / 1e5;
        assert!((mean - 0.05).abs() < 0.0005, "{mean}");
        times.sort_by(f64::total_cmp);
        let p99 = times[99_000];
        assert!((p99 / model.unloaded_p99_s() - 1.0).abs() < 0.03, "{p99}");
    }
}
