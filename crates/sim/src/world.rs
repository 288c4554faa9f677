//! The loop: one event after the other.

mod asking;
mod calls;
mod deploys;
mod events;
mod faults;
mod fetching;
mod hedges;
mod passage;
mod watching;

use std::sync::Arc;

use mainstay_core::drill::{Disturbance, Drill, Model, Place};
use mainstay_core::resilience::ladder::Entry;
use mainstay_core::rng::Rng;
use mainstay_core::route::Class;
use mainstay_core::time::Time;

use deploys::{Rollout, Versions};

use crate::Run;
use crate::agenda::{Agenda, Event};
use crate::anchors::Anchor;
use crate::curves::Curves;
use crate::engine::{Oracle, Progress, oracle};
use crate::figures::{LONGEST, Span};
use crate::gateway::{Backend, Route, Visit};
use crate::groups::Groups;
use crate::judge::judge;
use crate::store::Store;
use crate::tape::{Done, Tape};
use crate::transcript::Transcript;
use crate::upstream::Upstream;
use crate::users::Group;
use crate::watch::{LOOK, Watch};

/// When drills begin.
pub(crate) const START: Time = Time::from_secs(1_000_000);

/// A caller that will come back.
#[derive(Clone, Copy, Debug)]
struct Returning {
    group: u32,
    class: Class,
    nth: u32,
}

/// Everything, at one moment.
pub(crate) struct World<'a> {
    drill: &'a Drill,
    seed: u64,
    now: Time,
    end: Time,
    agenda: Agenda,
    rng: Rng,
    groups: Vec<Group>,
    servers: Vec<Option<Upstream>>,
    backends: Vec<Option<Backend>>,
    in_groups: Groups,
    /// Feature stores; `None`: that one is well and takes no time.
    stores: Vec<Option<Store>>,
    watch: Option<Box<Watch<'a>>>,
    /// By backend.
    versions: Vec<Versions>,
    /// Deploys, in the order in which they were begun.
    rollouts: Vec<Rollout>,
    routes: Vec<Route>,
    visits: Vec<Visit<'a>>,
    free: Vec<u32>,
    returning: Vec<Returning>,
    returned: Vec<u32>,
    /// Backends whose lines may have answers.
    stirred: Vec<usize>,
    tape: Option<&'a Tape>,
    /// How requests of the recording ended.
    done: Vec<Done>,
    /// What engines' steps brought about.
    progress: Vec<Progress>,
    spans: Vec<Span>,
    active: Vec<usize>,
    /// Spans of which some that came may still be under way.
    listening: Vec<usize>,
    /// The fault on purpose, and where calls meet it.
    disturbed: Option<(Place, Disturbance)>,
    counted_to: Time,
    curves: Curves,
    transcript: Transcript,
    requests: u64,
    entries: &'a [Vec<Entry>],
}

/// A drill and what its walks borrow.
pub(crate) struct Prepared<'a> {
    drill: &'a Drill,
    seed: u64,
    anchor: Option<Anchor>,
    tape: Option<&'a Tape>,
    entries: Vec<Vec<Entry>>,
    /// By backend: what an engine gives at best.
    oracles: Vec<Oracle>,
}

impl<'a> Prepared<'a> {
    pub(crate) fn new(drill: &'a Drill, seed: u64, anchor: Option<Anchor>, tape: Option<&'a Tape>) -> Prepared<'a> {
        let walked =
            |route: &mainstay_core::plan::Route| route.ladder.iter().map(mainstay_core::plan::Entry::walked).collect();
        let best = |model: &Option<Model>| match model {
            Some(Model::Engine(engine)) => oracle(engine, seed),
            Some(Model::Servers(_)) | None => Oracle::default(),
        };
        let oracles = drill.models.iter().map(best).collect();
        Prepared { drill, seed, anchor, tape, entries: drill.plan.routes.iter().map(walked).collect(), oracles }
    }

    /// What came of it, and of each request of the recording in the order in which they ended.
    pub(crate) fn run(&self) -> (Run, Vec<Done>) {
        let mut world = self.world();
        world.begin();
        while let Some((at, event)) = world.agenda.next() {
            if at > world.end {
                if world.has_ended(at) {
                    break;
                }
                if !event.is_of_requests() {
                    continue;
                }
            }
            world.now = at;
            world.handle(event);
            world.answer_lines();
        }
        let done = std::mem::take(&mut world.done);
        (world.close(), done)
    }

    fn world(&self) -> World<'_> {
        let Prepared { drill, seed, anchor, tape, entries, oracles } = self;
        let mut rng = Rng::new(*seed);
        let mut fork = || Rng::new(rng.next_u64());
        let groups = drill.users.iter().map(|users| {
            let per_second = drill.per_second(users.route, users.rate);
            Group::new(users, per_second, fork())
        });
        let groups = groups.collect();
        let upstream = |(at, model): (usize, &Option<Model>)| {
            let (model, rng) = ((*model)?, fork());
            match tape {
                Some(tape) => Some(Upstream::recorded(Arc::new(tape.calls.get(at)?.clone()), rng)),
                None => Some(Upstream::new(model, oracles[at], rng)),
            }
        };
        let servers: Vec<_> = drill.models.iter().enumerate().map(upstream).collect();
        let versions =
            servers.iter().map(|it: &Option<Upstream>| Versions::new(it.as_ref().map_or(0, Upstream::parts)));
        let versions = versions.collect();
        let world_rng = fork();
        let store = |(at, model): (usize, &Option<_>)| {
            let set = drill.plan.features.get(at)?;
            Some(Store::new((*model)?, set, *seed, fork(), START))
        };
        let stores = drill.around.stores.iter().enumerate().map(store).collect();
        let watch = drill.around.watched.then(|| Box::new(Watch::new(drill, *seed, fork())));
        let curves = Curves::new(drill.length, watch.iter().flat_map(|watch| watch.objectives()));
        let backend = |(at, model): (usize, &Option<_>)| {
            model.is_some().then(|| Backend::new(&drill.plan, at, *anchor, *seed, START))
        };
        let routes = entries.iter().enumerate().map(|(at, entries)| Route::new(&drill.plan, at, entries, START));
        let mut spans: Vec<Span> = Vec::new();
        for expectation in &drill.expect {
            let (from, to) = (START + expectation.from, START + expectation.to);
            if !spans.iter().any(|span| (span.from, span.to) == (from, to)) {
                spans.push(Span::new(from, to));
            }
        }
        World {
            drill,
            seed: *seed,
            now: START,
            end: START + drill.length,
            agenda: Agenda::default(),
            groups,
            servers,
            backends: drill.models.iter().enumerate().map(backend).collect(),
            in_groups: Groups::new(&drill.plan, *seed, START),
            stores,
            watch,
            versions,
            rollouts: Vec::new(),
            routes: routes.collect(),
            visits: Vec::new(),
            free: Vec::new(),
            returning: Vec::new(),
            returned: Vec::new(),
            stirred: Vec::new(),
            progress: Vec::new(),
            tape: *tape,
            done: Vec::new(),
            spans,
            active: Vec::new(),
            listening: Vec::new(),
            disturbed: None,
            counted_to: START,
            curves,
            transcript: Transcript::new(START + drill.length),
            requests: 0,
            rng: world_rng,
            entries,
        }
    }
}

impl World<'_> {
    fn begin(&mut self) {
        for span in &self.spans {
            self.agenda.add(span.from, Event::Span);
            self.agenda.add(span.to, Event::Span);
            self.agenda.add(span.last_answer(), Event::Span);
        }
        for (index, happening) in self.drill.script.iter().enumerate() {
            self.agenda.add(START + happening.at, Event::Script(index as u32));
        }
        for (index, backend) in self.drill.plan.backends.iter().enumerate() {
            if let (Some(check), Some(_)) = (&backend.health, &self.backends[index]) {
                self.agenda.add(START + check.every, Event::Check(index as u32));
            }
        }
        for (index, set) in self.drill.plan.features.iter().enumerate() {
            if let (Some(check), Some(Some(_))) = (&set.health, self.stores.get(index)) {
                self.agenda.add(START + check.every, Event::CheckStore(index as u32));
            }
        }
        if self.watch.is_some() {
            self.agenda.add(START + LOOK, Event::Look);
        }
        self.agenda.add(START, Event::Settle);
        self.agenda.add(START + self.curves.step, Event::Sample);
        for index in 0..self.groups.len() {
            self.next_arrival(index as u32);
        }
        self.next_taped(0);
    }

    /// After the end nobody asks any more, but what is under way has time to end: those that came last are not lost.
    fn has_ended(&self, at: Time) -> bool {
        self.visits.len() == self.free.len() || at > self.end + LONGEST
    }

    fn next_taped(&mut self, index: u32) {
        if let Some(taped) = self.tape.and_then(|tape| tape.requests.get(index as usize)) {
            self.agenda.add(START + taped.at, Event::Taped(index));
        }
    }

    fn next_arrival(&mut self, index: u32) {
        let group = &mut self.groups[index as usize];
        if let Some(at) = group.next(self.now) {
            self.agenda.add(at, Event::Arrival(index, group.turn));
        }
    }

    fn close(mut self) -> Run {
        self.now = self.end;
        self.count_time();
        self.watch_spans_end();
        let unloaded = self.drill.users.first().and_then(|users| self.drill.first_model(users.route));
        let unloaded = unloaded.map_or(0.0, Model::unloaded_p99_s);
        let facts = self.drill.expect.iter().map(|expectation| {
            let (from, to) = (START + expectation.from, START + expectation.to);
            let span = self.spans.iter().find(|span| (span.from, span.to) == (from, to));
            span.map_or(serde_json::Value::Null, |span| span.facts(unloaded))
        });
        let facts: Vec<_> = facts.collect();
        let verdicts = self.drill.expect.iter().zip(&facts).map(|(expectation, facts)| judge(expectation, facts));
        Run {
            seed: self.seed,
            verdicts: verdicts.collect(),
            facts,
            transcript: self.transcript.lines,
            untold: self.transcript.untold,
            curves: self.curves.into_curves(),
            requests: self.requests,
            length: self.drill.length,
        }
    }
}
