//! What a backend is in the world: servers or an engine, and what is wrong with it.

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::drill::{Model, Version};
use mainstay_core::rng::Rng;
use mainstay_core::time::Time;

use crate::engine::{Engine, Oracle, Progress, Work};
use crate::servers::{Call, Owner, Servers};
use crate::tape::Calls;
use crate::world::START;

/// How long a call takes that is answered by an error.
pub(crate) const ERROR: Duration = Duration::from_millis(1);

/// What became of a call that was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sent {
    /// A server works on it, under this number, until then.
    Until(u32, Time),
    /// It is answered then.
    Ends(Time),
    /// It fails then.
    Fails(Time),
    /// It is with the backend, which tells when it gets on.
    Waits,
    /// Nobody will ever answer.
    Lost,
}

enum Kind {
    Servers(Servers),
    Engine(Box<Engine>, Oracle),
    /// As it was recorded.
    Recorded(Arc<Calls>),
}

/// A backend.
pub(crate) struct Upstream {
    kind: Kind,
    rng: Rng,
    slow: f64,
    fail: f64,
    hangs: bool,
    down: bool,
    /// An engine restarts: it is gone.
    restarts: bool,
    /// And then so many times as slow while it is cold.
    cold: f64,
    /// The version that an engine runs; servers have one for each part.
    version: Version,
    /// What share of its calls begins so much later.
    stall: (f64, Duration),
    /// Of an engine: what share of its answers comes so much later.
    first_token: (f64, Duration),
}

impl Upstream {
    pub(crate) fn new(model: Model, oracle: Oracle, rng: Rng) -> Upstream {
        let faults = Rng::new(rng.clone().next_u64());
        let kind = match model {
            Model::Servers(servers) => Kind::Servers(Servers::new(servers, rng)),
            Model::Engine(engine) => Kind::Engine(Box::new(Engine::new(engine)), oracle),
        };
        Upstream::of(kind, faults)
    }

    /// One that takes as long and fails as often as it was recorded.
    pub(crate) fn recorded(calls: Arc<Calls>, rng: Rng) -> Upstream {
        Upstream::of(Kind::Recorded(calls), rng)
    }

    fn of(kind: Kind, rng: Rng) -> Upstream {
        Upstream {
            kind,
            rng,
            slow: 1.0,
            fail: 0.0,
            hangs: false,
            down: false,
            restarts: false,
            cold: 1.0,
            version: Version::default(),
            stall: (0.0, Duration::ZERO),
            first_token: (0.0, Duration::ZERO),
        }
    }

    pub(crate) fn set_slow(&mut self, times: f64) {
        self.slow = times;
        match &mut self.kind {
            Kind::Servers(servers) => servers.slow = times,
            Kind::Engine(engine, _) => engine.slow = times * self.cold * self.version.slow,
            Kind::Recorded(_) => {}
        }
    }

    /// In how many parts it restarts.
    pub(crate) fn parts(&self) -> usize {
        match &self.kind {
            Kind::Servers(servers) => servers.parts(),
            Kind::Engine(..) | Kind::Recorded(_) => 1,
        }
    }

    /// A part restarts; whose calls break off.
    pub(crate) fn part_goes(&mut self, part: usize, drains: bool) -> Vec<Owner> {
        match &mut self.kind {
            Kind::Servers(servers) => servers.part_goes(part, drains),
            Kind::Engine(engine, _) => {
                self.restarts = true;
                engine.take_all()
            }
            Kind::Recorded(_) => Vec::new(),
        }
    }

    /// A part is there again with that version, and so many times as slow while it is cold: what it takes of the line, with the ends.
    pub(crate) fn part_comes(
        &mut self,
        part: usize,
        (version, cold): (Version, f64),
        now: Time,
        is_wanted: impl Fn(&Owner) -> bool,
    ) -> Vec<(u32, Time)> {
        match &mut self.kind {
            Kind::Servers(servers) => servers.part_comes(part, (version, cold), now, is_wanted),
            Kind::Engine(engine, _) => {
                (self.restarts, self.cold, self.version) = (false, cold, version);
                engine.slow = self.slow * cold * version.slow;
                Vec::new()
            }
            Kind::Recorded(_) => Vec::new(),
        }
    }

    /// A part is warm.
    pub(crate) fn part_is_warm(&mut self, part: usize) {
        match &mut self.kind {
            Kind::Servers(servers) => servers.part_is_warm(part),
            Kind::Engine(engine, _) => {
                self.cold = 1.0;
                engine.slow = self.slow * self.version.slow;
            }
            Kind::Recorded(_) => {}
        }
    }

    /// Whether nothing of it is there.
    fn is_gone(&self) -> bool {
        let restarts = match &self.kind {
            Kind::Servers(servers) => servers.is_gone(),
            Kind::Engine(..) | Kind::Recorded(_) => self.restarts,
        };
        self.down || restarts
    }

    pub(crate) const fn set_fail(&mut self, share: f64) {
        self.fail = share;
    }

    pub(crate) const fn set_stall(&mut self, share: f64, time: Duration) {
        self.stall = (share, time);
    }

    pub(crate) const fn set_first_token(&mut self, share: f64, time: Duration) {
        self.first_token = (share, time);
    }

    /// How much later a call begins that is made now; `None`: at once.
    pub(crate) fn stalls(&mut self) -> Option<Duration> {
        self.is_late(self.stall)
    }

    /// How much later an answer comes whose first token an engine gives now; `None`: at once.
    pub(crate) fn holds_back(&mut self) -> Option<Duration> {
        self.is_late(self.first_token)
    }

    fn is_late(&mut self, (share, time): (f64, Duration)) -> Option<Duration> {
        (share > 0.0 && self.rng.unit() < share).then_some(time)
    }

    pub(crate) const fn set_hangs(&mut self, hangs: bool) {
        self.hangs = hangs;
    }

    /// It is gone with whatever it was working on, or there again.
    pub(crate) fn set_down(&mut self, down: bool) {
        self.down = down;
        if down {
            match &mut self.kind {
                Kind::Servers(servers) => servers.clear(),
                Kind::Engine(engine, _) => engine.clear(),
                Kind::Recorded(_) => {}
            }
        }
    }

    /// Whether a health check is answered.
    pub(crate) fn is_well(&mut self) -> bool {
        !self.hangs && !self.is_gone() && self.rng.unit() >= self.fail
    }

    /// The share of its capacity that it has at this moment.
    fn left(&self) -> f64 {
        if self.hangs || self.is_gone() {
            0.0
        } else {
            (1.0 - self.fail) * self.version.share() / (self.slow * self.cold)
        }
    }

    /// Requests per second that it carries at this moment.
    pub(crate) fn capacity(&self) -> f64 {
        let well = match &self.kind {
            Kind::Servers(servers) => servers.capacity(),
            Kind::Engine(_, oracle) => oracle.requests_s,
            Kind::Recorded(_) => 0.0,
        };
        well * self.left()
    }

    /// Tokens per second of good answers that an engine gives at best at this moment.
    pub(crate) fn tokens(&self) -> f64 {
        match &self.kind {
            Kind::Servers(_) | Kind::Recorded(_) => 0.0,
            Kind::Engine(_, oracle) => oracle.tokens_s * self.left(),
        }
    }

    /// A call is made; an engine is told what it asks.
    pub(crate) fn send(&mut self, owner: Owner, work: Work, now: Time) -> Sent {
        if self.hangs {
            return Sent::Lost;
        }
        let fail = self.fail + self.version.fail * (1.0 - self.fail);
        if self.down || self.restarts || fail > 0.0 && self.rng.unit() < fail {
            // An error costs no server.
            return Sent::Fails(now + ERROR);
        }
        match &mut self.kind {
            Kind::Servers(servers) => servers.send(owner, now).unwrap_or(Sent::Fails(now + ERROR)),
            Kind::Engine(engine, _) => {
                if engine.send(owner, work) {
                    Sent::Waits
                } else {
                    Sent::Fails(now + ERROR)
                }
            }
            Kind::Recorded(calls) => match calls.draw(now.since(START), &mut self.rng) {
                Some(took) if !took.failed => Sent::Ends(now + took.time),
                Some(took) => Sent::Fails(now + took.time),
                None => Sent::Fails(now + ERROR),
            },
        }
    }

    /// A server's call has ended: what it was, and the next one that a server works on, with its end.
    pub(crate) fn end(
        &mut self,
        number: u32,
        now: Time,
        is_wanted: impl Fn(&Owner) -> bool,
    ) -> Option<(Call, Option<(u32, Time)>)> {
        match &mut self.kind {
            Kind::Servers(servers) => Some(servers.end(number, now, is_wanted)),
            Kind::Engine(..) | Kind::Recorded(_) => None,
        }
    }

    /// An engine begins its next step, if it has something to do: when that ends.
    pub(crate) fn begin_step(&mut self, now: Time, is_wanted: impl Fn(&Owner) -> bool) -> Option<Time> {
        match &mut self.kind {
            Kind::Servers(_) | Kind::Recorded(_) => None,
            Kind::Engine(engine, _) => engine.begin_step(now, is_wanted),
        }
    }

    /// An engine's step has ended: what it brought about.
    pub(crate) fn end_step(&mut self, progress: &mut Vec<Progress>) {
        match &mut self.kind {
            Kind::Servers(_) | Kind::Recorded(_) => {}
            Kind::Engine(engine, _) => engine.end_step(progress),
        }
    }
}
