//! A discrete-event model of a backend: `servers` work first come first served, behind a limiter and, if wanted, a
//! priority queue. Virtual time, decided by the seed.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use mainstay_core::resilience::limiter::{Config, Limiter, Sample, Slice};
use mainstay_core::resilience::queue::{Popped, Pushed, Queue, Ticket};
use mainstay_core::rng::Rng;
use mainstay_core::route::Class;
use mainstay_core::time::Time;

const SETTLE: Duration = Duration::from_millis(10);

/// What is played.
#[derive(Clone)]
pub(crate) struct Scenario {
    pub(crate) config: Config,
    pub(crate) servers: usize,
    /// Mean service time, log-normal with sigma 0.5.
    pub(crate) service_s: f64,
    /// Offered load at a time, as a multiple of the capacity without slowdown.
    pub(crate) load: fn(f64) -> f64,
    /// Factor on service times at a time.
    pub(crate) slow: fn(f64) -> f64,
    /// Shares of the classes 0 to 3.
    pub(crate) classes: [f64; 4],
    /// Entries and longest wait of the queue; no entries: whoever finds no room is refused.
    pub(crate) queue: (usize, f64),
    /// Later answers are worth nothing.
    pub(crate) deadline_s: f64,
    pub(crate) seconds: f64,
    pub(crate) seed: u64,
}

impl Scenario {
    /// 32 servers with a mean of 50 ms, a deadline of 0.5 s, no queue.
    pub(crate) fn web(config: Config, load: fn(f64) -> f64) -> Scenario {
        Scenario {
            config,
            servers: 32,
            service_s: 0.05,
            load,
            slow: |_| 1.0,
            classes: [0.1, 0.2, 0.4, 0.3],
            queue: (0, 0.0),
            deadline_s: 0.5,
            seconds: 60.0,
            seed: 11,
        }
    }

    /// Answers per second that the servers manage without slowdown.
    pub(crate) fn capacity(&self) -> f64 {
        self.servers as f64 / self.service_s
    }
}

/// One finished or refused request.
#[derive(Clone, Copy)]
pub(crate) struct Fate {
    pub(crate) arrived_s: f64,
    pub(crate) class: usize,
    /// `None`: refused.
    pub(crate) latency_s: Option<f64>,
}

/// What happened.
pub(crate) struct Played {
    pub(crate) fates: Vec<Fate>,
    deadline_s: f64,
}

impl Played {
    pub(crate) fn between(&self, from: f64, to: f64) -> impl Iterator<Item = &Fate> {
        self.fates.iter().filter(move |fate| (from..to).contains(&fate.arrived_s))
    }

    /// Answers in time per second, of requests that arrived in `[from, to)`.
    pub(crate) fn goodput(&self, from: f64, to: f64) -> f64 {
        let good = self.between(from, to).filter(|fate| fate.latency_s.is_some_and(|s| s <= self.deadline_s));
        good.count() as f64 / (to - from)
    }

    /// Share of the requests of `class` that arrived in `[from, to)` and were answered in time.
    pub(crate) fn success(&self, class: usize, from: f64, to: f64) -> f64 {
        let (mut all, mut good) = (0u32, 0u32);
        for fate in self.between(from, to).filter(|fate| fate.class == class) {
            all += 1;
            good += u32::from(fate.latency_s.is_some_and(|s| s <= self.deadline_s));
        }
        f64::from(good) / f64::from(all)
    }

    pub(crate) fn refused(&self, from: f64, to: f64) -> usize {
        self.between(from, to).filter(|fate| fate.latency_s.is_none()).count()
    }

    pub(crate) fn p99(&self, from: f64, to: f64) -> f64 {
        let mut all: Vec<f64> = self.between(from, to).filter_map(|fate| fate.latency_s).collect();
        all.sort_by(f64::total_cmp);
        all[(all.len() - 1) * 99 / 100]
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    Settle,
    Done(usize),
}

struct Call {
    arrived: Time,
    started: Time,
    class: usize,
}

struct World {
    scenario: Scenario,
    rng: Rng,
    limiter: Limiter,
    queue: Queue<(Time, usize)>,
    slice: Slice,
    calls: Vec<Call>,
    in_flight: u32,
    busy: usize,
    backlog: VecDeque<usize>,
    events: BinaryHeap<Reverse<(Time, Event)>>,
    fates: Vec<Fate>,
}

/// Plays a scenario.
pub(crate) fn play(scenario: &Scenario) -> Played {
    let mut world = World {
        rng: Rng::new(scenario.seed),
        limiter: Limiter::new(scenario.config, Time::ZERO),
        queue: Queue::new(),
        slice: Slice::new(),
        calls: Vec::new(),
        in_flight: 0,
        busy: 0,
        backlog: VecDeque::new(),
        events: BinaryHeap::from([Reverse((Time::ZERO, Event::Arrival)), Reverse((Time::ZERO, Event::Settle))]),
        fates: Vec::new(),
        scenario: scenario.clone(),
    };
    let end = Time::ZERO + Duration::from_secs_f64(scenario.seconds);
    while let Some(Reverse((now, event))) = world.events.pop() {
        match event {
            Event::Arrival if now < end => world.arrive(now),
            Event::Settle if now < end => world.settle(now),
            Event::Arrival | Event::Settle => {}
            Event::Done(call) => world.finish(call, now),
        }
    }
    Played { fates: world.fates, deadline_s: scenario.deadline_s }
}

impl World {
    fn arrive(&mut self, now: Time) {
        let rate = (self.scenario.load)(now.as_secs_f64()) * self.scenario.capacity();
        let gap = self.rng.exponential(1.0 / rate);
        self.events.push(Reverse((now + Duration::from_secs_f64(gap), Event::Arrival)));
        let class = self.class();
        if self.in_flight < self.limiter.limit() && self.queue.is_empty() {
            return self.start(now, class, now);
        }
        self.slice.limited |= self.in_flight >= self.limiter.limit();
        let (max, wait) = self.scenario.queue;
        let wait_until = now + Duration::from_secs_f64(wait);
        let ticket = Ticket { class: Class::new(class as u8).expect("0 to 3"), route: 0, max, wait_until };
        match self.queue.push((now, class), ticket, now) {
            Pushed::Waits(_) => {}
            Pushed::Evicted(_, (at, class)) | Pushed::Refused((at, class)) => self.refuse(at, class),
        }
    }

    fn class(&mut self) -> usize {
        let mut dice = self.rng.unit();
        for (class, share) in self.scenario.classes.iter().enumerate() {
            if dice < *share {
                return class;
            }
            dice -= share;
        }
        3
    }

    fn refuse(&mut self, arrived: Time, class: usize) {
        self.fates.push(Fate { arrived_s: arrived.as_secs_f64(), class, latency_s: None });
    }

    fn start(&mut self, arrived: Time, class: usize, now: Time) {
        self.in_flight += 1;
        self.calls.push(Call { arrived, started: now, class });
        let call = self.calls.len() - 1;
        if self.busy < self.scenario.servers {
            self.busy += 1;
            self.serve(call, now);
        } else {
            self.backlog.push_back(call);
        }
    }

    fn serve(&mut self, call: usize, now: Time) {
        let slow = (self.scenario.slow)(now.as_secs_f64());
        let crowd = self.backlog.len() as f64 / self.scenario.servers as f64;
        let median = self.scenario.service_s / (0.5f64 * 0.5 / 2.0).exp();
        let seconds = median * (0.5 * normal(&mut self.rng)).exp() * slow * (1.0 + 0.01 * crowd);
        self.events.push(Reverse((now + Duration::from_secs_f64(seconds), Event::Done(call))));
    }

    fn finish(&mut self, call: usize, now: Time) {
        let Call { arrived, started, class } = self.calls[call];
        self.slice.record(&Sample::answered(now.since(started)), self.in_flight, self.limiter.signal());
        self.in_flight -= 1;
        let latency_s = Some(now.since(arrived).as_secs_f64());
        self.fates.push(Fate { arrived_s: arrived.as_secs_f64(), class, latency_s });
        match self.backlog.pop_front() {
            Some(next) => self.serve(next, now),
            None => self.busy -= 1,
        }
        self.dispatch(now);
    }

    fn dispatch(&mut self, now: Time) {
        while let Some((arrived, class)) = self.queue.expire(now) {
            self.refuse(arrived, class);
        }
        while self.in_flight < self.limiter.limit() {
            match self.queue.pop(now) {
                Some(Popped::Call((arrived, class))) => self.start(arrived, class, now),
                Some(Popped::Expired((arrived, class))) => self.refuse(arrived, class),
                None => return,
            }
        }
    }

    fn settle(&mut self, now: Time) {
        self.events.push(Reverse((now + SETTLE, Event::Settle)));
        self.slice.in_flight = self.in_flight;
        self.slice.in_flight_max = self.slice.in_flight_max.max(self.in_flight);
        self.limiter.handle_window(&self.slice, now);
        self.slice.clear();
        self.dispatch(now);
    }
}

fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.unit()).ln()).sqrt() * (std::f64::consts::TAU * rng.unit()).cos()
}
