//! Recorded requests, and a tape of them.

use std::collections::BTreeSet;
use std::time::Duration;

use mainstay_core::event::{Event, EventKind, RequestFinished};
use mainstay_core::plan::Plan;
use mainstay_core::rng::Rng;
use mainstay_core::time::Time;

use crate::tape::{Calls, Tape, Taped, Took};

/// Most requests that a replica may have.
const REQUESTS_MAX: f64 = 2e6;
/// How far from its original a copy of a request comes.
const AROUND: Duration = Duration::from_secs(1);
/// The shortest time of a call that failed.
const SHORTEST: Duration = Duration::from_millis(1);
/// The least chance of being kept that is believed.
const CHANCE_MIN: f64 = 1e-6;

/// Why a recording cannot be played.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unusable {
    /// No event of it is of a request of the config's routes.
    Empty,
    /// It stands for so many requests.
    TooMany(u64),
}

/// A recorded request.
pub(super) struct Request<'a> {
    pub(super) finished: &'a RequestFinished,
    pub(super) route: usize,
    /// From the first request's beginning.
    at: Duration,
    /// For how many requests it stands.
    weight: f64,
    /// The backend that answered.
    answered: Option<usize>,
}

/// What was recorded.
pub(super) struct Recording<'a> {
    pub(super) requests: Vec<Request<'a>>,
    pub(super) length: Duration,
    pub(super) notes: Vec<String>,
    /// By route: the backend that is asked first.
    first: Vec<Option<usize>>,
    backends: usize,
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unusable::Empty => write!(f, "no `request.finished` of a route of the config is in it"),
            Unusable::TooMany(requests) => {
                write!(
                    f,
                    "it stands for {requests} requests; at most {REQUESTS_MAX:.0} are played: take a shorter time"
                )
            }
        }
    }
}

impl std::error::Error for Unusable {}

impl<'a> Recording<'a> {
    pub(super) fn of(plan: &Plan, events: &'a [Event]) -> Result<Recording<'a>, Unusable> {
        let mut requests = Vec::new();
        let mut elsewhere = BTreeSet::new();
        for event in events {
            let EventKind::RequestFinished(finished) = &event.kind else { continue };
            // What was done on purpose is no part of what happens by itself.
            if finished.synthetic || finished.experiment.is_some() {
                continue;
            }
            let Some(route) = plan.routes.iter().position(|route| route.name == finished.route) else {
                elsewhere.insert(finished.route.clone());
                continue;
            };
            requests.push((event.at - finished.duration, route, &**finished));
        }
        requests.sort_by_key(|(began, ..)| *began);
        let Some(start) = requests.first().map(|(began, ..)| *began) else { return Err(Unusable::Empty) };
        let of = |(began, route, finished): (Time, usize, &'a RequestFinished)| {
            let answered = finished.backend.as_deref();
            let answered = answered.and_then(|name| plan.backends.iter().position(|backend| backend.name == name));
            Request { finished, route, at: began.since(start), weight: weight(finished), answered }
        };
        let requests: Vec<Request<'a>> = requests.into_iter().map(of).collect();
        let stands_for: f64 = requests.iter().map(|request| request.weight).sum();
        if stands_for > REQUESTS_MAX {
            return Err(Unusable::TooMany(stands_for as u64));
        }
        let first = plan
            .routes
            .iter()
            .map(|route| route.ladder.iter().find_map(|entry| entry.answer.asked()).map(|asked| asked.backend.0));
        let length = requests.last().map_or(Duration::ZERO, |last| last.at);
        let (first, backends) = (first.collect(), plan.backends.len());
        let mut recording = Recording { requests, length, notes: Vec::new(), first, backends };
        recording.note(plan, &elsewhere);
        Ok(recording)
    }

    fn note(&mut self, plan: &Plan, elsewhere: &BTreeSet<String>) {
        for route in elsewhere {
            self.notes.push(format!("requests of route `{route}` are left out: the config has no such route"));
        }
        let answered: BTreeSet<usize> = self.requests.iter().filter_map(|request| request.answered).collect();
        let entries = plan.routes.iter().flat_map(|route| &route.ladder);
        let asked: BTreeSet<usize> =
            entries.filter_map(|entry| entry.answer.asked()).map(|asked| asked.backend.0).collect();
        for backend in asked.difference(&answered) {
            let name = &plan.backends[*backend].name;
            self.notes.push(format!("backend `{name}` answered none of these requests: it is taken to fail"));
        }
    }

    /// The requests drawn anew, and what came of each at the time: the request, and how often it was drawn in its weight.
    pub(super) fn replica(&self, rng: &mut Rng, mut recorded: impl FnMut(&Request<'_>, f64)) -> Tape {
        let mut tape = Tape { requests: Vec::new(), calls: vec![Calls::default(); self.backends] };
        for request in &self.requests {
            let times = f64::from(drawn(rng)) * request.weight;
            if times == 0.0 {
                continue;
            }
            recorded(request, times);
            let copies = times.floor() as u32 + u32::from(rng.unit() < times.fract());
            for copy in 0..copies {
                let at = if copy == 0 { request.at } else { around(request.at, rng) };
                self.put(request, at.min(self.length), &mut tape);
            }
        }
        tape.requests.sort_by_key(|request| request.at);
        tape.calls.iter_mut().for_each(|calls| calls.0.sort_by_key(|took| took.at));
        tape
    }

    fn put(&self, request: &Request<'_>, at: Duration, tape: &mut Tape) {
        let finished = request.finished;
        let (route, class) = (request.route, finished.class);
        tape.requests.push(Taped { at, route, class, confidence: finished.confidence });
        let inference = finished.inference.unwrap_or_default();
        if let (Some(backend), Some(time)) = (request.answered, finished.inference) {
            tape.calls[backend].0.push(Took { at, time, failed: false });
        }
        let failed = finished.attempts.saturating_sub(u32::from(request.answered.is_some()));
        if let (Some(backend), true) = (self.first[route], failed > 0) {
            let time = finished.duration.saturating_sub(finished.overhead + inference) / failed;
            let took = Took { at, time: time.max(SHORTEST), failed: true };
            tape.calls[backend].0.extend(std::iter::repeat_n(took, failed as usize));
        }
    }
}

/// For how many requests a kept one stands: each reason had its own chance to keep it.
fn weight(finished: &RequestFinished) -> f64 {
    if finished.kept.is_empty() {
        return 1.0;
    }
    let missed: f64 = finished.kept.iter().map(|kept| 1.0 - kept.probability.clamp(0.0, 1.0)).product();
    1.0 / (1.0 - missed).max(CHANCE_MIN)
}

/// How often a request is drawn: the Poisson law of mean 1 (Knuth).
fn drawn(rng: &mut Rng) -> u32 {
    let bound = (-1.0f64).exp();
    let (mut times, mut product) = (0, rng.unit());
    while product > bound {
        times += 1;
        product *= rng.unit();
    }
    times
}

fn around(at: Duration, rng: &mut Rng) -> Duration {
    (at + AROUND.mul_f64(rng.between(0.0, 2.0))).saturating_sub(AROUND)
}
