//! Good and bad events of objectives, summed up where they happen: per worker, objective and bucket of ten seconds.
//!
//! Nothing here is sampled or dropped, with one exception: an objective whose filter needs the interpreter is judged on one
//! request in a hundred, each counted a hundred times, and is shown as an estimate.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_core::expr;
use mainstay_core::plan::Plan;
use mainstay_core::rng::Rng;
use mainstay_core::safety::Flag;
use mainstay_core::slo::objective::{Kind, Objective};
use mainstay_core::slo::series::{Counts, bucket_of};
use mainstay_core::slo::sli::{Facts, Features, Origin, Verdict, judge};
use mainstay_core::stats::LogHistogram;
use mainstay_core::time::Time;

use super::{Ended, Ending};

/// One request in so many is judged where a filter needs the interpreter.
const SAMPLED_ONE_IN: u64 = 100;
/// Most filtered objectives of a route: a request remembers in one word which of their filters hold.
const FILTERS_MAX: usize = u64::BITS as usize;
/// Most sums that wait for the engine. Beyond them, counts go into the latest bucket of their objective: none is lost.
const SUMS_MAX: usize = 65_536;

/// Most flags that wait for the engine; further ones are dropped and counted.
const FLAGS_MAX: usize = 10_000;

/// What a worker sums up under one config.
#[derive(Debug)]
pub(crate) struct Sums {
    /// By route: the objectives that may be about its requests.
    routes: Vec<Vec<Applies>>,
    /// The bucket that is open.
    bucket: Time,
    /// Counts of the open bucket, by objective.
    open: Vec<Counts>,
    /// Latencies of the open bucket, by route.
    latencies: Vec<LogHistogram>,
    /// Sums of buckets that ended since the last hand-over.
    closed: Vec<Closed>,
}

/// The sums of a bucket that ended.
type Closed = (Time, Vec<Counts>, Vec<LogHistogram>);

/// An objective that may be about a route's requests.
#[derive(Clone, Copy, Debug)]
struct Applies {
    /// Index into the plan's objectives.
    objective: usize,
    /// The bit of its filter; `None`: it has none.
    filter: Option<u32>,
    /// How many events one request stands for.
    weight: u64,
}

impl Sums {
    pub(crate) fn new(plan: &Plan) -> Sums {
        Sums {
            routes: plan.routes.iter().map(|route| applying(plan, &route.name)).collect(),
            bucket: Time::ZERO,
            open: vec![Counts::default(); plan.slos.len()],
            latencies: plan.routes.iter().map(|_| LogHistogram::new()).collect(),
            closed: Vec::new(),
        }
    }

    /// Which of the route's filters hold for a request, a bit each.
    pub(crate) fn filters(&self, plan: &Plan, route: usize, facts: &dyn expr::Facts, rng: &mut Rng) -> u64 {
        let mut holding = 0;
        for applies in &self.routes[route] {
            let Some(bit) = applies.filter else { continue };
            let sampled = applies.weight == 1 || rng.unit() * (SAMPLED_ONE_IN as f64) < 1.0;
            let filter = plan.slos[applies.objective].scope.filter.as_ref();
            if sampled && filter.is_some_and(|filter| filter.matches(facts) == Ok(true)) {
                holding |= 1 << bit;
            }
        }
        holding
    }

    /// Judges a request that ended.
    pub(crate) fn end(&mut self, plan: &Plan, route: usize, ended: &Ended) {
        if self.bucket != bucket_of(ended.at) {
            self.roll(bucket_of(ended.at));
        }
        // Neither admitted nor shed: it is in nobody's total.
        if ended.ending == Ending::CallersFault {
            return;
        }
        let facts = facts(plan, route, ended);
        if facts.origin == Origin::Caller {
            self.latencies[route].record(ended.duration);
        }
        self.count(plan, route, ended, &facts, |_| true);
    }

    /// It turned out, after a request was counted, whether its answer did harm.
    pub(crate) fn judged(&mut self, plan: &Plan, route: usize, ended: &Ended) {
        if self.bucket != bucket_of(ended.at) {
            self.roll(bucket_of(ended.at));
        }
        let facts = facts(plan, route, ended);
        self.count(plan, route, ended, &facts, |kind| matches!(kind, Kind::Safety { .. }));
    }

    fn count(&mut self, plan: &Plan, route: usize, ended: &Ended, facts: &Facts<'_>, of: impl Fn(&Kind) -> bool) {
        for applies in &self.routes[route] {
            if !of(&plan.slos[applies.objective].kind) {
                continue;
            }
            if applies.filter.is_some_and(|bit| ended.filters & (1 << bit) == 0) {
                continue;
            }
            let counts = match judge(&plan.slos[applies.objective], facts) {
                Verdict::Good => Counts { good: applies.weight, bad: 0 },
                Verdict::Bad => Counts { good: 0, bad: applies.weight },
                Verdict::Ignored => continue,
            };
            self.open[applies.objective].add(counts);
        }
    }

    /// Opens another bucket.
    fn roll(&mut self, bucket: Time) {
        let counted = self.open.iter().any(|counts| counts.total() > 0) || self.latencies.iter().any(|l| l.count() > 0);
        if counted {
            let open = self.open.iter_mut().map(std::mem::take).collect();
            let latencies = self.latencies.iter_mut().map(std::mem::take).collect();
            self.closed.push((self.bucket, open, latencies));
        }
        self.bucket = bucket;
    }
}

/// The objectives that may be about a route's requests: what flags, labels, the clock or another system judges is not.
fn applying(plan: &Plan, route: &str) -> Vec<Applies> {
    let mut filters = 0;
    let about_it = |slo: &Objective| slo.scope.route.as_deref().is_none_or(|of| of == route) && is_counted(&slo.kind);
    let slos = plan.slos.iter().enumerate().filter(|(_, slo)| about_it(slo));
    slos.filter_map(|(objective, slo)| {
        let Some(filter) = &slo.scope.filter else { return Some(Applies { objective, filter: None, weight: 1 }) };
        let bit = filters;
        filters += 1;
        let weight = if filter.is_native() { 1 } else { SAMPLED_ONE_IN };
        ((bit as usize) < FILTERS_MAX).then_some(Applies { objective, filter: Some(bit), weight })
    })
    .collect()
}

fn is_counted(kind: &Kind) -> bool {
    match kind {
        Kind::Availability { .. } | Kind::Latency { .. } | Kind::FeatureFreshness { .. } | Kind::Safety { .. } => true,
        Kind::Quality { .. } | Kind::ModelFreshness { .. } | Kind::ReviewAge { .. } | Kind::External { .. } => false,
    }
}

fn facts<'a>(plan: &'a Plan, route: usize, ended: &Ended) -> Facts<'a> {
    let whole = ended.ending != Ending::BrokenOff;
    let backend = ended.model.map(|at| &plan.backends[at]);
    let features = ended.features.map(|used| Features {
        view: &plan.features[used.set].name,
        oldest: used.oldest.map(|oldest| ended.at.since(oldest)),
        stale: used.stale,
    });
    Facts {
        route: &plan.routes[route].name,
        class: ended.class,
        model: backend.map(|backend| backend.model.as_deref().unwrap_or(&backend.name)),
        level: ended.level,
        code: if whole { ended.code } else { 0 },
        duration: ended.duration,
        inference: ended.inference,
        first_token: ended.first_part.filter(|_| whole),
        per_token: per_token(ended).filter(|_| whole),
        confidence: ended.confidence,
        features,
        unjudged: ended.unjudged,
        origin: match ended.ending {
            _ if ended.synthetic => Origin::Synthetic,
            Ending::Cancelled => Origin::Cancelled,
            Ending::Answered | Ending::Shed | Ending::BrokenOff | Ending::CallersFault => Origin::Caller,
        },
    }
}

/// The time after the first part, shared among the tokens after the first.
fn per_token(ended: &Ended) -> Option<Duration> {
    let streaming = ended.duration.checked_sub(ended.first_part?)?;
    streaming.checked_div(ended.tokens().checked_sub(1)?)
}

/// What workers have summed up and the engine has not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    counts: BTreeMap<(String, Time), Counts>,
    latencies: BTreeMap<(String, Time), LogHistogram>,
    flags: Vec<Flag>,
    /// Flags that nobody took in time.
    pub(crate) flags_dropped: u64,
}

/// What was summed up at the source.
#[derive(Debug, Default)]
pub struct Summed {
    /// Good and bad events of an objective, by its name, in the bucket of ten seconds that starts at the time.
    pub counts: Vec<(String, Time, Counts)>,
    /// Latencies of a route, by its name, in the bucket of ten seconds that starts at the time.
    pub latencies: Vec<(String, Time, LogHistogram)>,
    /// Answers that checks flagged.
    pub flags: Vec<Flag>,
    /// Queues, each with since when its oldest request waits for a person: the present where nobody does.
    pub waiting: Vec<(String, Time)>,
}

impl Ledger {
    /// Takes over what a worker summed up under `plan`, the open bucket included, and leaves it empty.
    pub(crate) fn absorb(&mut self, plan: &Plan, sums: &mut Sums) {
        sums.roll(sums.bucket);
        for (start, counts, latencies) in sums.closed.drain(..) {
            for (slo, counts) in plan.slos.iter().zip(counts).filter(|(_, counts)| counts.total() > 0) {
                place(&mut self.counts, &slo.name, start).add(counts);
            }
            for (route, seen) in plan.routes.iter().zip(latencies).filter(|(_, seen)| seen.count() > 0) {
                place(&mut self.latencies, &route.name, start).merge(&seen);
            }
        }
    }

    /// Takes over the flags of a worker.
    pub(crate) fn flag(&mut self, flags: &mut Vec<Flag>) {
        let room = FLAGS_MAX.saturating_sub(self.flags.len());
        self.flags_dropped += flags.len().saturating_sub(room) as u64;
        flags.truncate(room);
        self.flags.append(flags);
    }

    /// All of it.
    pub(crate) fn take(&mut self) -> Summed {
        let counts = std::mem::take(&mut self.counts).into_iter().map(|((name, at), counts)| (name, at, counts));
        let latencies = std::mem::take(&mut self.latencies).into_iter().map(|((name, at), seen)| (name, at, seen));
        Summed {
            counts: counts.collect(),
            latencies: latencies.collect(),
            flags: std::mem::take(&mut self.flags),
            waiting: Vec::new(),
        }
    }
}

fn place<'a, T: Default>(map: &'a mut BTreeMap<(String, Time), T>, name: &str, start: Time) -> &'a mut T {
    let mut key = (name.to_owned(), start);
    if map.len() >= SUMS_MAX && !map.contains_key(&key) {
        let of_name = map.range((name.to_owned(), Time::ZERO)..=(name.to_owned(), Time::MAX));
        key = of_name.last().map_or(key, |(latest, _)| latest.clone());
    }
    map.entry(key).or_default()
}
