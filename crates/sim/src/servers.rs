//! Servers of equal kind behind one line, first come first served; in parts that a deploy restarts one by one.

use std::collections::VecDeque;
use std::time::Duration;

use mainstay_core::drill::{self, Version};
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
    /// Its end is an error: the version that works on it is so.
    pub(crate) fails: bool,
    /// The part that works on it.
    part: u32,
}

/// Servers that restart together.
#[derive(Clone, Copy, Debug)]
struct Part {
    servers: u32,
    busy: u32,
    /// It takes so many times as long while it is cold.
    cold: f64,
    gone: bool,
    version: Version,
}

/// The servers of a backend.
pub(crate) struct Servers {
    model: drill::Servers,
    mu: f64,
    rng: Rng,
    normal: Normal,
    pub(crate) slow: f64,
    parts: Vec<Part>,
    line: VecDeque<Owner>,
    calls: Vec<Call>,
    free: Vec<u32>,
}

impl Servers {
    pub(crate) fn new(model: drill::Servers, rng: Rng) -> Servers {
        let (line, calls, free) = (VecDeque::new(), Vec::new(), Vec::new());
        let (mu, normal) = (model.median_s().ln(), Normal::default());
        let (all, parts) = (model.servers, model.parts.clamp(1, model.servers.max(1)));
        let part = |at: u32| Part {
            servers: all / parts + u32::from(at < all % parts),
            busy: 0,
            cold: 1.0,
            gone: false,
            version: Version::default(),
        };
        let parts = (0..parts).map(part).collect();
        Servers { model, mu, rng, normal, slow: 1.0, parts, line, calls, free }
    }

    /// All that they work on is lost.
    pub(crate) fn clear(&mut self) {
        self.parts.iter_mut().for_each(|part| part.busy = 0);
        self.line.clear();
        // Ends that are still to come free no server.
        self.calls.iter_mut().for_each(|call| call.void = true);
    }

    /// Requests per second that they carry, but for what is wrong with all of them.
    pub(crate) fn capacity(&self) -> f64 {
        if let [part] = self.parts.as_slice()
            && !part.gone
        {
            return self.model.capacity() * part.version.share() / part.cold;
        }
        let there = self.parts.iter().filter(|part| !part.gone);
        let servers: f64 = there.map(|part| f64::from(part.servers) * part.version.share() / part.cold).sum();
        servers / self.model.mean.as_secs_f64()
    }

    /// Whether no part is there.
    pub(crate) fn is_gone(&self) -> bool {
        self.parts.iter().all(|part| part.gone)
    }

    /// A call is made; `None`: it is refused.
    pub(crate) fn send(&mut self, owner: Owner, now: Time) -> Option<Sent> {
        if let Some(part) = self.roomiest() {
            let (number, end) = self.start(part, owner, now);
            return Some(Sent::Until(number, end));
        }
        (self.line.len() < LINE_MAX && !self.is_gone()).then(|| {
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
        self.calls[number as usize].void = true;
        let part = &mut self.parts[call.part as usize];
        part.busy -= 1;
        if part.gone {
            return (call, None);
        }
        (call, self.next(call.part as usize, now, is_wanted))
    }

    /// The next of the line, at a part that has room.
    fn next(&mut self, part: usize, now: Time, is_wanted: impl Fn(&Owner) -> bool) -> Option<(u32, Time)> {
        while let Some(next) = self.line.pop_front() {
            if is_wanted(&next) {
                return Some(self.start(part, next, now));
            }
        }
        None
    }

    /// The part with room of which the least share is busy.
    fn roomiest(&self) -> Option<usize> {
        let has_room = |part: &Part| !part.gone && part.busy < part.servers;
        if let [part] = self.parts.as_slice() {
            return has_room(part).then_some(0);
        }
        let busy = |part: &Part| f64::from(part.busy) / f64::from(part.servers);
        let with_room = self.parts.iter().enumerate().filter(|(_, part)| has_room(part));
        with_room.min_by(|(_, one), (_, other)| busy(one).total_cmp(&busy(other))).map(|(at, _)| at)
    }

    /// A part goes: it takes no more. Whose calls break off: its own, unless it ends them first, and those that wait where
    /// nothing is left.
    pub(crate) fn part_goes(&mut self, part: usize, drains: bool) -> Vec<Owner> {
        let Some(goes) = self.parts.get_mut(part) else { return Vec::new() };
        goes.gone = true;
        let mut broken = Vec::new();
        if !drains {
            goes.busy = 0;
            for call in self.calls.iter_mut().filter(|call| !call.void && call.part as usize == part) {
                call.void = true;
                broken.push(call.owner);
            }
        }
        if self.is_gone() {
            broken.extend(self.line.drain(..));
        }
        broken
    }

    /// A part is there again with that version, and so many times as slow while it is cold: what it takes of the line, with the ends.
    pub(crate) fn part_comes(
        &mut self,
        part: usize,
        (version, cold): (Version, f64),
        now: Time,
        is_wanted: impl Fn(&Owner) -> bool,
    ) -> Vec<(u32, Time)> {
        let Some(comes) = self.parts.get_mut(part) else { return Vec::new() };
        (comes.gone, comes.cold, comes.version) = (false, cold, version);
        let room = comes.servers.saturating_sub(comes.busy);
        (0..room).map_while(|_| self.next(part, now, &is_wanted)).collect()
    }

    /// A part is warm.
    pub(crate) fn part_is_warm(&mut self, part: usize) {
        if let Some(part) = self.parts.get_mut(part) {
            part.cold = 1.0;
        }
    }

    /// How many parts there are.
    pub(crate) fn parts(&self) -> usize {
        self.parts.len()
    }

    fn start(&mut self, part: usize, owner: Owner, now: Time) -> (u32, Time) {
        let waiting = self.line.len() as f64 / f64::from(self.model.servers);
        let Part { cold, version, .. } = self.parts[part];
        let seconds = self.seconds() * self.slow * cold * version.slow * (1.0 + self.model.drag * waiting);
        let fails = version.fail > 0.0 && self.rng.unit() < version.fail;
        self.parts[part].busy += 1;
        let call = Call { owner, void: false, fails, part: part as u32 };
        (self.note(call), now + Duration::from_nanos((seconds * 1e9) as u64))
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
        let model = drill::Servers { servers: 1, mean: Duration::from_millis(50), spread: 0.5, drag: 0.0, parts: 1 };
        let mut servers = Servers::new(model, Rng::new(7));
        let mut times: Vec<f64> = (0..100_000).map(|_| servers.seconds()).collect();
        let mean = times.iter().sum::<f64>() / 1e5;
        assert!((mean - 0.05).abs() < 0.0005, "{mean}");
        times.sort_by(f64::total_cmp);
        let p99 = times[99_000];
        assert!((p99 / model.unloaded_p99_s() - 1.0).abs() < 0.03, "{p99}");
    }

    #[test]
    fn parts_go_one_by_one_and_the_line_goes_on() {
        let model = drill::Servers { servers: 5, mean: Duration::from_millis(50), spread: 0.0, drag: 0.0, parts: 2 };
        let mut servers = Servers::new(model, Rng::new(7));
        let owner = |visit| Owner { visit, turn: 0 };
        let now = Time::from_secs(1);
        let until = |sent| matches!(sent, Some(Sent::Until(..)));
        assert!((0..5).all(|visit| until(servers.send(owner(visit), now))));
        assert_eq!(servers.send(owner(5), now), Some(Sent::Waits));
        let broken = servers.part_goes(0, false);
        assert_eq!(broken.len(), 3, "the greater part of five");
        assert_eq!(servers.capacity(), 2.0 / 0.05);
        let started = servers.part_comes(0, (Version::default(), 3.0), now, |_| true);
        assert_eq!(started.len(), 1, "the one that waited");
        assert_eq!(started[0].1, now + Duration::from_millis(150), "a cold part is slow");
        assert!(until(servers.send(owner(6), now)) && until(servers.send(owner(7), now)));
        assert_eq!(servers.send(owner(8), now), Some(Sent::Waits));
        assert!(servers.part_goes(1, true).is_empty(), "it ends what it has");
        assert!(!servers.is_gone());
        assert_eq!(servers.part_goes(0, true), [owner(8)], "nobody is left to wait for");
        assert_eq!(servers.send(owner(9), now), None);
        assert!(servers.part_comes(0, (Version { slow: 2.0, fail: 0.5 }, 1.0), now, |_| true).is_empty());
        servers.part_is_warm(0);
        assert_eq!(servers.capacity(), 3.0 / 0.05 / 4.0, "half of them fail, after twice the time");
    }
}
