//! What a worker counts while it serves, without a lock; settled into the totals a few times a second.

mod checks;
pub(crate) mod families;
mod language;
mod sums;
mod totals;

use std::collections::BTreeMap;
use std::mem::take;
use std::time::Duration;

use mainstay_core::event::RequestFinished;
use mainstay_core::llm;
use mainstay_core::metric::{Histogram, OVERHEAD_SECONDS, RATIO, SECONDS};
use mainstay_core::plan::Plan;
use mainstay_core::route::{Class, Level};
use mainstay_core::time::Time;

pub(crate) use checks::Checks;
pub(crate) use language::Languages;
pub use sums::Summed;
pub(crate) use sums::{Ledger, Sums};
pub(crate) use totals::Totals;

/// Why a request was turned away that holds what the operator blocks.
pub(crate) const BLOCKED: &str = "blocked";

/// The counts of one worker under one config, by index into its plan.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) routes: Vec<RouteCounters>,
    pub(crate) backends: Vec<BackendCounters>,
    pub(crate) features: Vec<FeatureCounters>,
    pub(crate) languages: Languages,
    pub(crate) checks: Checks,
    /// Requests that reached no route, by reason.
    pub(crate) refused: BTreeMap<&'static str, u64>,
}

/// The counts of one route, of one worker or of all.
#[derive(Debug)]
pub(crate) struct RouteCounters {
    requests: Vec<Answered>,
    pub(crate) duration: Histogram,
    pub(crate) overhead: Histogram,
    pub(crate) confidence: Histogram,
    pub(crate) shed: BTreeMap<(Class, &'static str), u64>,
    pub(crate) degradations: BTreeMap<(Level, Level, &'static str), u64>,
    pub(crate) served: [u64; Level::COUNT],
    pub(crate) all_failed: u64,
    pub(crate) rule_errors: u64,
    /// By fault: requests that met it on purpose, and those that a cap spared.
    pub(crate) faults: BTreeMap<&'static str, [u64; 2]>,
    /// By what came of them: late calls that were made a second time, or could not be.
    pub(crate) hedges: BTreeMap<&'static str, u64>,
    /// By level and kind of answer: entries that share both are counted together.
    pub(crate) entries: BTreeMap<(Level, &'static str), EntryCounters>,
}

/// How the entries of one level and one kind did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct EntryCounters {
    pub(crate) answered: u64,
    /// Local answers that took longer than they may.
    pub(crate) late: u64,
    /// Requests that were passed on, by reason.
    pub(crate) failures: BTreeMap<&'static str, u64>,
}

/// Requests of a class that ended alike. A route sees a handful of combinations, so a scan beats a map.
#[derive(Clone, Copy, Debug)]
struct Answered {
    class: Class,
    level: Option<Level>,
    code: u16,
    count: u64,
}

/// The counts of one backend, of one worker or of all.
#[derive(Debug)]
pub(crate) struct BackendCounters {
    pub(crate) predictions: u64,
    pub(crate) latency: Histogram,
}

/// The counts of one feature set, of one worker or of all.
#[derive(Debug)]
pub(crate) struct FeatureCounters {
    pub(crate) latency: Histogram,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) stale: u64,
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    /// When.
    pub(crate) at: Time,
    pub(crate) class: Class,
    /// The level that answered; `None` if none did.
    pub(crate) level: Option<Level>,
    pub(crate) code: u16,
    /// From the head of the request to the end of the answer.
    pub(crate) duration: Duration,
    /// What of that was not spent waiting for others.
    pub(crate) overhead: Duration,
    /// How it came to its end.
    pub(crate) ending: Ending,
    /// The backend whose model answered.
    pub(crate) model: Option<usize>,
    /// How long that model took.
    pub(crate) inference: Option<Duration>,
    /// From the head of the request to the first part of a streamed answer.
    pub(crate) first_part: Option<Duration>,
    /// What the answer says of its confidence.
    pub(crate) confidence: Option<f64>,
    /// Parts of a streamed answer.
    pub(crate) parts: u32,
    /// The features that the answer was made from.
    pub(crate) features: Option<UsedFeatures>,
    /// Which filters of the route's objectives hold, a bit each.
    pub(crate) filters: u64,
    /// Checks of its answer have not told whether it did harm.
    pub(crate) unjudged: bool,
    /// Whether it was a probe of the operator's own.
    pub(crate) synthetic: bool,
    /// What was asked of a language model; `None`: of none, or something else.
    pub(crate) operation: Option<&'static str>,
    /// Tokens, as a language model counted them.
    pub(crate) usage: llm::Usage,
    /// Whether its answer was a language model's stream that is understood.
    pub(crate) streamed: bool,
}

impl Ended {
    /// A request that came to its end so, and of which no more is known.
    pub(crate) const fn new((at, duration): (Time, Duration), class: Class, code: u16, ending: Ending) -> Ended {
        Ended {
            at,
            class,
            level: None,
            code,
            duration,
            overhead: duration,
            ending,
            model: None,
            inference: None,
            first_part: None,
            confidence: None,
            parts: 0,
            features: None,
            filters: 0,
            unjudged: false,
            synthetic: false,
            operation: None,
            usage: llm::Usage { input: None, output: None },
            streamed: false,
        }
    }

    /// Says what is counted in an event that may know more.
    pub(crate) fn tell(&self, event: &mut RequestFinished) {
        (event.class, event.level, event.code) = (self.class, self.level, self.code);
        (event.duration, event.overhead) = (self.duration, self.overhead);
        (event.inference, event.first_token) = (self.inference, self.first_part);
        (event.input_tokens, event.output_tokens) = (self.usage.input, self.usage.output);
        event.confidence = self.confidence;
        event.operation = self.operation.map(str::to_owned);
        event.synthetic = self.synthetic;
    }

    /// Tokens of a streamed answer: as its model counted them, else one for each part.
    pub(crate) fn tokens(&self) -> u32 {
        let counted = self.usage.output.and_then(|tokens| u32::try_from(tokens).ok());
        counted.filter(|tokens| *tokens > 0).unwrap_or(self.parts)
    }
}

/// Features that an answer was made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UsedFeatures {
    pub(crate) set: usize,
    /// The oldest of the times at which they were true, as far as it is known.
    pub(crate) oldest: Option<Time>,
    /// Whether any is older than the set allows.
    pub(crate) stale: bool,
}

/// How a request came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// The caller got an answer: one of ours, or a backend's.
    Answered,
    /// No level admitted it.
    Shed,
    /// The answer broke off on its way.
    BrokenOff,
    /// The caller did not want it any more, or its own body came to nothing.
    Cancelled,
    /// The request was the caller's mistake.
    CallersFault,
}

impl Counters {
    pub(crate) fn new(plan: &Plan) -> Counters {
        Counters {
            routes: plan.routes.iter().map(|_| RouteCounters::new()).collect(),
            backends: plan.backends.iter().map(|_| BackendCounters::new()).collect(),
            features: plan.features.iter().map(|_| FeatureCounters::new()).collect(),
            languages: Languages::new(),
            checks: Checks::new(),
            refused: BTreeMap::new(),
        }
    }

    /// Counts a request of a route that ended.
    pub(crate) fn end(&mut self, route: usize, ended: &Ended) {
        self.routes[route].end(ended);
        if let Some(operation) = ended.operation {
            self.languages.entry((route, ended.model, operation)).or_default().end(ended);
        }
    }

    pub(crate) fn refuse(&mut self, reason: &'static str) {
        *self.refused.entry(reason).or_default() += 1;
    }
}

impl RouteCounters {
    fn new() -> RouteCounters {
        RouteCounters {
            requests: Vec::with_capacity(16),
            duration: Histogram::new(SECONDS),
            overhead: Histogram::new(OVERHEAD_SECONDS),
            confidence: Histogram::new(RATIO),
            shed: BTreeMap::new(),
            degradations: BTreeMap::new(),
            served: [0; Level::COUNT],
            all_failed: 0,
            rule_errors: 0,
            faults: BTreeMap::new(),
            hedges: BTreeMap::new(),
            entries: BTreeMap::new(),
        }
    }

    fn end(&mut self, ended: &Ended) {
        self.duration.observe(ended.duration.as_secs_f64());
        self.overhead.observe(ended.overhead.as_secs_f64());
        if let Some(level) = ended.level {
            self.served[level.index()] += 1;
        }
        self.answered(ended.class, ended.level, ended.code, 1);
    }

    fn answered(&mut self, class: Class, level: Option<Level>, code: u16, count: u64) {
        let alike = |a: &&mut Answered| a.class == class && a.level == level && a.code == code;
        match self.requests.iter_mut().find(alike) {
            Some(answered) => answered.count += count,
            None => self.requests.push(Answered { class, level, code, count }),
        }
    }

    /// Takes over what another has counted, and leaves it empty.
    fn absorb(&mut self, counted: &mut RouteCounters) {
        for answered in &mut counted.requests {
            self.answered(answered.class, answered.level, answered.code, take(&mut answered.count));
        }
        self.duration.absorb(&mut counted.duration);
        self.overhead.absorb(&mut counted.overhead);
        self.confidence.absorb(&mut counted.confidence);
        add_all(&mut self.shed, &mut counted.shed);
        add_all(&mut self.degradations, &mut counted.degradations);
        add_all(&mut self.hedges, &mut counted.hedges);
        for (mine, theirs) in self.served.iter_mut().zip(&mut counted.served) {
            *mine += take(theirs);
        }
        self.all_failed += take(&mut counted.all_failed);
        self.rule_errors += take(&mut counted.rule_errors);
        for (fault, theirs) in take(&mut counted.faults) {
            let mine = self.faults.entry(fault).or_default();
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
        }
        for (entry, theirs) in &mut counted.entries {
            self.entries.entry(*entry).or_default().absorb(theirs);
        }
    }

    pub(crate) fn shed(&mut self, class: Class, reason: &'static str) {
        *self.shed.entry((class, reason)).or_default() += 1;
    }

    pub(crate) fn degrade(&mut self, from: Level, to: Level, reason: &'static str) {
        *self.degradations.entry((from, to, reason)).or_default() += 1;
    }
}

impl RouteCounters {
    /// The counts of an entry.
    pub(crate) fn entry(&mut self, level: Level, kind: &'static str) -> &mut EntryCounters {
        self.entries.entry((level, kind)).or_default()
    }
}

impl EntryCounters {
    pub(crate) fn fail(&mut self, reason: &'static str) {
        *self.failures.entry(reason).or_default() += 1;
    }

    fn absorb(&mut self, counted: &mut EntryCounters) {
        self.answered += take(&mut counted.answered);
        self.late += take(&mut counted.late);
        for (reason, count) in &mut counted.failures {
            *self.failures.entry(*reason).or_default() += take(count);
        }
    }
}

impl BackendCounters {
    fn new() -> BackendCounters {
        BackendCounters { predictions: 0, latency: Histogram::new(SECONDS) }
    }

    fn absorb(&mut self, counted: &mut BackendCounters) {
        self.predictions += take(&mut counted.predictions);
        self.latency.absorb(&mut counted.latency);
    }
}

impl FeatureCounters {
    fn new() -> FeatureCounters {
        FeatureCounters { latency: Histogram::new(SECONDS), hits: 0, misses: 0, stale: 0 }
    }

    fn absorb(&mut self, counted: &mut FeatureCounters) {
        self.latency.absorb(&mut counted.latency);
        self.hits += take(&mut counted.hits);
        self.misses += take(&mut counted.misses);
        self.stale += take(&mut counted.stale);
    }
}

fn add_all<K: Ord>(mine: &mut BTreeMap<K, u64>, theirs: &mut BTreeMap<K, u64>) {
    for (key, count) in take(theirs) {
        *mine.entry(key).or_default() += count;
    }
}
