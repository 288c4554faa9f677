//! What is measured of a step, and of a whole day.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::seen::{self, Sign};
use crate::chaos::record::{Phase, Run, Slice};
use crate::event::Event;
use crate::stats::LogHistogram;
use crate::time::Time;

/// Most types of incidents, and of events, that are told one by one.
const KINDS_MAX: usize = 100;

/// Requests of a route by class, since some moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Requests that ended.
    pub requests: [u64; 4],
    /// Those that nobody answered.
    pub unanswered: [u64; 4],
}

impl Tally {
    /// What was added since an earlier count; a counter that began anew counts from nothing.
    #[must_use]
    pub fn since(&self, earlier: &Tally) -> Tally {
        let mut more = *self;
        if self.requests.iter().zip(earlier.requests).all(|(now, then)| *now >= then) {
            for class in 0..4 {
                more.requests[class] -= earlier.requests[class];
                more.unanswered[class] = more.unanswered[class].saturating_sub(earlier.unanswered[class]);
            }
        }
        more
    }
}

/// What was measured. [`super::criterion::STEP_FACTS`] says what each is.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "they are told where criteria are")]
pub struct Facts {
    pub detected_s: Option<f64>,
    pub detected_by: Option<String>,
    pub paged_s: Option<f64>,
    pub acknowledged_s: Option<f64>,
    pub mitigated_s: Option<f64>,
    pub recovered_s: Option<f64>,
    pub requests: Option<u64>,
    pub unanswered: Option<u64>,
    pub unanswered_share: Option<f64>,
    pub requests_class: Option<[u64; 4]>,
    pub unanswered_class: Option<[u64; 4]>,
    pub unanswered_share_class: Option<[Option<f64>; 4]>,
    pub p99_s: Option<f64>,
    pub control_p99_s: Option<f64>,
    pub max_level: Option<u8>,
    pub levels: [u64; 5],
    pub breaker_opened: bool,
    pub incident_opened: bool,
    pub incident_types: Vec<String>,
    pub verdict: Option<String>,
    pub verdicts: Vec<String>,
    pub injected: u64,
    /// Events by type.
    pub events: BTreeMap<String, u64>,
}

/// Measures a step by its run, what happened meanwhile, and what was counted from the injection on.
pub fn measure(run: &Run, events: &[Event], tally: Option<&Tally>) -> Facts {
    let mut facts = Facts {
        verdict: run.assessment.as_ref().map(|it| it.verdict.name().to_owned()),
        recovered_s: run.withdrawn.zip(run.recovered).map(|(from, to)| seconds(from, to)),
        ..Facts::default()
    };
    facts.tallied(tally.copied());
    if let Some(injected) = run.injected {
        let until = run.ended.unwrap_or(Time::MAX);
        let during: Vec<&Event> = events.iter().filter(|it| injected <= it.at && it.at <= until).collect();
        facts.signs(&during, &run.experiment.route, injected);
        facts.arms(run, injected);
    }
    facts
}

impl Facts {
    fn tallied(&mut self, tally: Option<Tally>) {
        let Some(tally) = tally else { return };
        let (requests, unanswered): (u64, u64) = (tally.requests.iter().sum(), tally.unanswered.iter().sum());
        self.requests = Some(requests);
        self.unanswered = Some(unanswered);
        self.unanswered_share = share(unanswered, requests);
        self.requests_class = Some(tally.requests);
        self.unanswered_class = Some(tally.unanswered);
        let shares = [0, 1, 2, 3].map(|class| share(tally.unanswered[class], tally.requests[class]));
        self.unanswered_share_class = Some(shares);
    }

    fn signs(&mut self, events: &[&Event], route: &str, injected: Time) {
        let mut opened: Vec<String> = Vec::new();
        for event in events {
            let kind = seen::kind(event);
            let after = Some(seconds(injected, event.at));
            match seen::sign(event, route) {
                Some(Sign::Opened(id, of)) => {
                    opened.push(id);
                    self.incident_opened = true;
                    if !self.incident_types.contains(&of) && self.incident_types.len() < KINDS_MAX {
                        self.incident_types.push(of);
                    }
                    self.noticed(after, &kind);
                }
                Some(Sign::Detected(_)) => self.noticed(after, &kind),
                Some(Sign::Paged(_)) => self.paged_s = self.paged_s.or(after),
                Some(Sign::Acknowledged(_)) => self.acknowledged_s = self.acknowledged_s.or(after),
                None => {}
            }
            if matches!(kind.as_str(), "breaker.changed" | "group.changed") {
                self.breaker_opened |= matches!(seen::sign(event, route), Some(Sign::Detected(_)));
            }
            if self.events.len() < KINDS_MAX || self.events.contains_key(&kind) {
                *self.events.entry(kind).or_default() += 1;
            }
        }
    }

    fn noticed(&mut self, after: Option<f64>, kind: &str) {
        if self.detected_s.is_none() {
            (self.detected_s, self.detected_by) = (after, Some(kind.to_owned()));
        }
    }

    fn arms(&mut self, run: &Run, injected: Time) {
        let slices: Vec<&Slice> = run.slices.iter().filter(|it| it.phase == Phase::Injecting).collect();
        for slice in &slices {
            self.injected += slice.injected;
            for (all, more) in self.levels.iter_mut().zip(slice.levels[1]) {
                *all += more;
            }
        }
        self.max_level = (0_u8..5).rev().find(|level| self.levels[usize::from(*level)] > 0);
        self.control_p99_s = p99(&slices, 0);
        self.p99_s = p99(&slices, 1);
        self.mitigated_s = mitigated(&slices, run.experiment.margin.errors, injected);
    }

    /// Of several steps: times are the longest, and missing where one is; counts are sums.
    pub fn of_day(steps: &[&Facts]) -> Facts {
        let longest = |of: fn(&Facts) -> Option<f64>| {
            let all: Option<Vec<f64>> = steps.iter().map(|it| of(it)).collect();
            all?.into_iter().reduce(f64::max)
        };
        let mut day = Facts {
            detected_s: longest(|it| it.detected_s),
            paged_s: longest(|it| it.paged_s),
            acknowledged_s: longest(|it| it.acknowledged_s),
            mitigated_s: longest(|it| it.mitigated_s),
            recovered_s: longest(|it| it.recovered_s),
            p99_s: longest(|it| it.p99_s),
            control_p99_s: longest(|it| it.control_p99_s),
            max_level: steps.iter().filter_map(|it| it.max_level).max(),
            breaker_opened: steps.iter().any(|it| it.breaker_opened),
            incident_opened: steps.iter().any(|it| it.incident_opened),
            verdicts: steps.iter().filter_map(|it| it.verdict.clone()).collect(),
            injected: steps.iter().map(|it| it.injected).sum(),
            ..Facts::default()
        };
        let tallies: Option<Vec<Tally>> = steps
            .iter()
            .map(|it| Some(Tally { requests: it.requests_class?, unanswered: it.unanswered_class? }))
            .collect();
        day.tallied(tallies.map(|all| {
            all.iter().fold(Tally::default(), |mut sum, more| {
                for class in 0..4 {
                    sum.requests[class] += more.requests[class];
                    sum.unanswered[class] += more.unanswered[class];
                }
                sum
            })
        }));
        for step in steps {
            for (all, more) in day.levels.iter_mut().zip(step.levels) {
                *all += more;
            }
            for kind in &step.incident_types {
                if !day.incident_types.contains(kind) && day.incident_types.len() < KINDS_MAX {
                    day.incident_types.push(kind.clone());
                }
            }
            for (kind, count) in &step.events {
                *day.events.entry(kind.clone()).or_default() += count;
            }
        }
        day
    }

    /// As criteria see them, with those of steps beside them.
    pub fn document(&self, steps: &[(&str, &Facts)]) -> Value {
        let value = |facts: &Facts| serde_json::to_value(facts).expect("figures and texts become JSON");
        let mut document = value(self);
        let mut all = serde_json::Map::new();
        for (name, facts) in steps {
            let mut facts = value(facts);
            facts.as_object_mut().expect("facts are a map").remove("events");
            all.insert(name.replace('-', "_"), facts.clone());
            all.insert((*name).to_owned(), facts);
        }
        document["experiment"] = Value::Object(all);
        document
    }
}

fn seconds(from: Time, to: Time) -> f64 {
    to.since(from).as_secs_f64()
}

fn share(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

/// The latency of an arm over slices, in seconds.
fn p99(slices: &[&Slice], arm: usize) -> Option<f64> {
    let mut all = LogHistogram::new();
    for slice in slices {
        if let Some(latency) = latency(&slice.latency[arm]) {
            all.merge(&latency);
        }
    }
    all.quantile(0.99).map(|it| it.as_secs_f64())
}

/// A histogram from its hexadecimal digits.
pub fn latency(digits: &str) -> Option<LogHistogram> {
    let pairs = digits.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> =
        pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
    LogHistogram::from_bytes(&bytes?)
}

/// When the experiment's arm was answered again, to the end of the fault; 0 where it always was.
fn mitigated(slices: &[&Slice], margin: f64, injected: Time) -> Option<f64> {
    let seen: Vec<&&Slice> = slices.iter().filter(|it| it.requests[1] > 0).collect();
    if seen.is_empty() {
        return None;
    }
    let is_bad = |slice: &Slice| {
        let of = |arm: usize| share(slice.unanswered[arm], slice.requests[arm]).unwrap_or(0.0);
        of(1) > of(0) + margin
    };
    let Some(last) = seen.iter().rposition(|it| is_bad(it)) else { return Some(0.0) };
    let after = seen.get(last + 1)?;
    Some(seconds(injected, after.at))
}
