//! What happens besides requests: the script, the keeper's ticks, spans and curves.

use std::time::Duration;

use mainstay_core::drill::{Place, StoreTurn, What};
use mainstay_core::resilience::breaker;
use mainstay_core::resilience::ladder::{Component, Effect, LevelReason};
use mainstay_core::time::Time;

use super::World;
use crate::agenda::Event;
use crate::curves::Point;
use crate::figures::Span;
use crate::gateway::Parts;
use crate::servers::Owner;

/// How often machines are settled and ladders are judged, as in the gateway's keeper.
const TICK: Duration = Duration::from_millis(20);
/// A limit is told again when it has changed by this factor.
const TOLD_AGAIN: f64 = 1.25;

impl World<'_> {
    pub(super) fn handle(&mut self, event: Event) {
        match event {
            Event::Arrival(group, turn) => self.arrival(group, turn),
            Event::Return(index) => self.comes_back(index),
            Event::Late { visit, turn } => self.late(visit, turn),
            Event::Hit { visit, turn } => self.hit(visit, turn),
            Event::Served { backend, call } => self.served(backend as usize, call),
            Event::Taped(index) => self.taped(index),
            Event::Ends { visit, turn } => self.ends(visit, turn),
            Event::Fails { visit, turn } => self.fails(visit, turn),
            Event::Step(backend) => self.step_ended(backend as usize),
            Event::First { visit, turn } => self.first_token(Owner { visit, turn }),
            Event::Whole { visit, turn, preempted } => self.answer_is_whole(Owner { visit, turn }, preempted),
            Event::Overdue { visit, turn } => self.overdue(visit, turn),
            Event::Hedge { visit, turn } => self.call_is_late(visit, turn),
            Event::Unadmitted { visit, turn } => self.unadmitted(visit, turn),
            Event::Retry { visit, turn } => self.again(visit, turn),
            Event::Settle => self.settle(),
            Event::Check(backend) => self.check(backend),
            Event::CheckStore(set) => self.check_store(set),
            Event::Fetched { visit, turn } => self.fetched(visit, turn),
            Event::FetchFails { visit, turn } => self.fetch_fails(visit, turn),
            Event::FetchOver { visit, turn } => self.fetch_over(visit, turn),
            Event::Deploy(index, step) => self.deploy_goes_on(index as usize, step),
            Event::Look => self.look(),
            Event::Script(index) => self.happens(index as usize),
            Event::Span => self.turn_span(),
            Event::Sample => self.sample(),
        }
    }

    /// The keeper's tick.
    fn settle(&mut self) {
        self.count_time();
        for index in 0..self.backends.len() {
            let Some(backend) = &mut self.backends[index] else { continue };
            backend.admission.handle_timeout(self.now);
            backend.breaker.handle_timeout(self.now);
            if let Some(endpoints) = &mut backend.endpoints {
                endpoints.handle_timeout(self.now);
            }
            self.stirred.push(index);
            self.tell_limit(index);
            self.report_breaker(index);
        }
        self.report_groups();
        self.settle_stores();
        for index in 0..self.routes.len() {
            let parts = Parts { backends: &self.backends, groups: &self.in_groups, stores: &self.stores };
            for effect in self.routes[index].judge(&self.entries[index], &parts, self.now) {
                self.tell_level(index, &effect);
            }
        }
        self.agenda.add(self.now + TICK, Event::Settle);
    }

    fn tell_limit(&mut self, index: usize) {
        let Some(backend) = &mut self.backends[index] else { return };
        let Some(change) = backend.admission.poll_change() else { return };
        let (told, to) = (f64::from(backend.told_limit), f64::from(change.to));
        if to >= told * TOLD_AGAIN || to * TOLD_AGAIN <= told {
            let name = &self.drill.plan.backends[index].name;
            let text =
                format!("backend {name}: limit {} -> {} ({})", backend.told_limit, change.to, change.why.as_str());
            backend.told_limit = change.to;
            self.transcript.tell(self.now, text);
        }
    }

    /// Tells what the breaker did. Called as soon as it may have done something: its opening is counted at its moment.
    pub(super) fn report_breaker(&mut self, index: usize) {
        let Some(backend) = &mut self.backends[index] else { return };
        while let Some(effect) = backend.breaker.poll_effect() {
            let breaker::Effect::Transition(change) = effect else { continue };
            let name = &self.drill.plan.backends[index].name;
            let (from, to) = (change.from.name(), change.to.name());
            self.transcript.tell(change.at, format!("backend {name}: breaker {from} -> {to} ({})", change.why.name()));
            self.in_groups.member_changed(index, &change, self.now);
            if let Some(watch) = &mut self.watch {
                watch.breaker_changed(name, &change);
            }
            if change.to == breaker::Phase::Open {
                self.active.iter().for_each(|span| self.spans[*span].opened(change.at));
            }
        }
    }

    /// Tells what the groups' breakers did. They are settled first.
    fn report_groups(&mut self) {
        for group in &mut self.in_groups.all {
            group.breaker.handle_timeout(self.now);
            while let Some(effect) = group.breaker.poll_effect() {
                let breaker::Effect::Transition(change) = effect else { continue };
                let (from, to) = (change.from.name(), change.to.name());
                let text = format!("group {}: breaker {from} -> {to} ({})", group.name, change.why.name());
                self.transcript.tell(change.at, text);
                if let Some(watch) = &mut self.watch {
                    watch.group_changed(&group.name, &group.members, &change);
                }
            }
        }
    }

    pub(super) fn tell_level(&mut self, route: usize, effect: &Effect) {
        let Effect::LevelChanged { from, to, why, at } = effect;
        let plan = &self.drill.plan;
        if let Some(watch) = &mut self.watch {
            watch.level_changed(&plan.routes[route].name, effect);
        }
        let why = match why {
            LevelReason::Unhealthy(Component::Backend(at)) => {
                format!("backend {} is ill", plan.backends[*at as usize].name)
            }
            LevelReason::Unhealthy(Component::Features(at)) => {
                format!("features {} are ill", plan.features[*at as usize].name)
            }
            LevelReason::Recovered => "well again".to_owned(),
            LevelReason::Pinned(_) => "pinned".to_owned(),
            LevelReason::PinExpired | LevelReason::Unpinned => "unpinned".to_owned(),
        };
        let name = &plan.routes[route].name;
        self.transcript.tell(*at, format!("route {name}: level {} -> {} ({why})", from.number(), to.number()));
    }

    fn check(&mut self, index: u32) {
        let at = index as usize;
        let (Some(servers), Some(backend)) = (&mut self.servers[at], &mut self.backends[at]) else { return };
        let plan = &self.drill.plan.backends[at];
        let well = servers.is_well();
        if backend.health.unwrap_or(true) != well {
            let word = if well { "passes" } else { "fails" };
            if !well {
                self.active.iter().for_each(|span| self.spans[*span].noticed(self.now));
            }
            self.transcript.tell(self.now, format!("backend {}: the health check {word}", plan.name));
            if let Some(watch) = &mut self.watch {
                watch.health_changed(&plan.name, well, self.now);
            }
        }
        backend.health = Some(well);
        if let Some(check) = &plan.health {
            self.agenda.add(self.now + check.every, Event::Check(index));
        }
    }

    fn happens(&mut self, index: usize) {
        self.count_time();
        let name = |backend: usize| &self.drill.plan.backends[backend].name;
        let group = |users: usize| &self.drill.users[users].name;
        let what = &self.drill.script[index].what;
        let text = match what {
            What::Slow { backend, times } => format!("* backend {} takes {times} times as long", name(*backend)),
            What::Fail { backend, share } => {
                format!("* backend {} fails {:.1} % of calls", name(*backend), share * 1e2)
            }
            What::Hang { backend, hangs: true } => format!("* backend {} hangs", name(*backend)),
            What::Hang { backend, hangs: false } => format!("* backend {} answers again", name(*backend)),
            What::Down { backend, down: true } => format!("* backend {} is gone", name(*backend)),
            What::Down { backend, down: false } => format!("* backend {} is there again", name(*backend)),
            What::Stall { backend, share, time } => {
                format!("* {:.1} % of calls to backend {} begin {time:?} later", share * 1e2, name(*backend))
            }
            What::FirstToken { backend, share, time } => {
                format!("* {:.1} % of answers of backend {} begin {time:?} later", share * 1e2, name(*backend))
            }
            What::Disturb { at, fault } => {
                let at = match at {
                    Place::Backend(backend) => format!("backend {}", name(*backend)),
                    Place::Features(set) => format!("features {}", self.drill.plan.features[*set].name),
                };
                fault.map_or_else(
                    || format!("* the fault at {at} is gone"),
                    |fault| {
                        let (arm, dose) = (fault.cohort * 1e2, fault.dose * 1e2);
                        format!(
                            "* {arm:.1} % of requests are the experiment's arm, {dose:.1} % of it meets a fault at {at}"
                        )
                    },
                )
            }
            What::Deploy { backend, .. } => format!("* a new version comes to backend {}", name(*backend)),
            What::Store { set, turn } => {
                format!("* features {} {}", self.drill.plan.features[*set].name, told(*turn))
            }
            What::Channel { channel, down } => {
                let word = if *down { "nobody any more" } else { "people again" };
                format!("* channel {} reaches {word}", self.drill.plan.incidents.channels[*channel].name)
            }
            What::Load { users, rate } => {
                let rate = self.drill.per_second(self.drill.users[*users].route, *rate);
                format!("* users {} ask {rate:.1} times per second", group(*users))
            }
            What::Mix { users, classes } => format!("* users {} are of classes {classes:.2?}", group(*users)),
        };
        self.transcript.tell(self.now, text);
        match what {
            What::Slow { backend, times } => self.servers[*backend].iter_mut().for_each(|it| it.set_slow(*times)),
            What::Fail { backend, share } => self.servers[*backend].iter_mut().for_each(|it| it.set_fail(*share)),
            What::Stall { backend, share, time } => {
                self.servers[*backend].iter_mut().for_each(|it| it.set_stall(*share, *time));
            }
            What::FirstToken { backend, share, time } => {
                self.servers[*backend].iter_mut().for_each(|it| it.set_first_token(*share, *time));
            }
            What::Hang { backend, hangs } => self.servers[*backend].iter_mut().for_each(|it| it.set_hangs(*hangs)),
            What::Down { backend, down } => {
                self.servers[*backend].iter_mut().for_each(|it| it.set_down(*down));
                if *down {
                    self.calls_break(*backend);
                }
            }
            What::Deploy { backend, deploy } => self.deploy(*backend, *deploy),
            What::Store { set, turn } => {
                if let Some(Some(store)) = self.stores.get_mut(*set) {
                    store.turn(*turn);
                }
            }
            What::Channel { channel, down } => {
                if let Some(watch) = &mut self.watch {
                    watch.set_channel(*channel, *down);
                }
            }
            What::Disturb { at, fault } => self.disturbed = fault.map(|fault| (*at, fault)),
            What::Load { users, rate } => {
                let rate = self.drill.per_second(self.drill.users[*users].route, *rate);
                self.groups[*users].set_rate(rate);
                self.next_arrival(*users as u32);
            }
            What::Mix { users, classes } => self.groups[*users].set_classes(classes),
        }
    }

    fn turn_span(&mut self) {
        self.count_time();
        let now = self.now;
        let within = |until: fn(&Span) -> Time| {
            let spans = self.spans.iter().enumerate();
            spans.filter(|(_, span)| span.from <= now && now < until(span)).map(|(at, _)| at).collect()
        };
        (self.active, self.listening) = (within(|span| span.to), within(Span::last_answer));
        self.watch_spans_end();
    }

    /// Hands the time since the last call to the spans that were active in it.
    pub(super) fn count_time(&mut self) {
        let passed = self.now.since(self.counted_to);
        self.counted_to = self.now;
        if passed.is_zero() {
            return;
        }
        let first = self.drill.users.first().and_then(|users| self.drill.first_backend(users.route));
        let (Some(servers), Some(backend)) =
            (first.and_then(|at| self.servers[at].as_ref()), first.and_then(|at| self.backends[at].as_ref()))
        else {
            return;
        };
        for span in &self.active {
            self.spans[*span].passed(passed, (servers.capacity(), servers.tokens()), backend.admission.limit());
        }
    }

    fn sample(&mut self) {
        let route = self.drill.users.first().map_or(0, |users| users.route);
        let limit = self.drill.first_backend(route).and_then(|at| self.backends[at].as_ref());
        let point = Point {
            limit: limit.map_or(0.0, |backend| f64::from(backend.admission.limit())),
            level: f64::from(self.routes[route].ladder.level().number()),
            budget: self.routes[route].retries.available(self.now),
            objectives: self.watch.as_ref().map_or_else(Vec::new, |watch| watch.budgets_seen(self.now)),
        };
        self.curves.sample(&point, self.now);
        self.agenda.add(self.now + self.curves.step, Event::Sample);
    }
}

fn told(turn: StoreTurn) -> String {
    match turn {
        StoreTurn::Slow(times) => format!("take {times} times as long"),
        StoreTurn::Fail(share) => format!("fail {:.1} % of retrievals", share * 1e2),
        StoreTurn::Hang(true) => "hang".to_owned(),
        StoreTurn::Hang(false) => "answer again".to_owned(),
        StoreTurn::Down(true) => "are gone".to_owned(),
        StoreTurn::Down(false) => "are there again".to_owned(),
        StoreTurn::Age(age) => format!("are {age:?} old"),
    }
}
