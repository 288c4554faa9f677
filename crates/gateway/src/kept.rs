//! Requests that are kept: a uniform reservoir of the hour and of the one before, the last ones that a rule kept, and for each bucket of
//! durations one that is surely there.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use mainstay_core::event::{Kept as Reason, RequestFinished, Scalar};
use mainstay_core::metric::{Exemplar, SECONDS};
use mainstay_core::observe::sample::{Kept, Reservoir, Why};
use mainstay_core::plan::{FeatureSet, Observability};
use mainstay_core::time::Time;
use ring::hmac;

use crate::features::Retrieved;

/// How long a reservoir gathers.
const WINDOW: Duration = Duration::from_hours(1);
/// Requests kept by rules that are held for whoever asks.
const RECENT_MAX: usize = 1_000;

/// What is kept of single requests.
#[derive(Debug)]
pub(crate) struct KeptRequests {
    /// The reservoir's threshold, as bits.
    threshold: AtomicU64,
    held: Mutex<Held>,
    replaced: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Held {
    /// Requests as JSON: a third of what they take otherwise.
    reservoir: Reservoir<(Time, Box<str>)>,
    most: usize,
    since: Time,
    /// The reservoir of the hour before, and its chance.
    before: (Vec<(Time, Box<str>)>, f64),
    recent: VecDeque<(Time, RequestFinished)>,
    exemplars: BTreeMap<(String, usize), Exemplar>,
}

impl KeptRequests {
    pub(crate) fn new(most: usize) -> KeptRequests {
        let held = Held {
            reservoir: Reservoir::new(most),
            most,
            since: Time::ZERO,
            before: (Vec::new(), 1.0),
            recent: VecDeque::new(),
            exemplars: BTreeMap::new(),
        };
        KeptRequests {
            threshold: AtomicU64::new(1.0_f64.to_bits()),
            held: Mutex::new(held),
            replaced: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().expect("keeping does not panic")
    }

    /// Keys below this go into the reservoir.
    pub(crate) fn threshold(&self) -> f64 {
        f64::from_bits(self.threshold.load(Ordering::Relaxed))
    }

    /// Takes out of a request what must not leave, and keeps it. What comes back goes to sinks.
    pub(crate) fn keep(
        &self,
        mut request: RequestFinished,
        kept: &Kept,
        plan: &Observability,
        now: Time,
    ) -> Option<RequestFinished> {
        let key =
            plan.key.as_ref().and_then(|key| key.expose()).map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()));
        let pseudonym = key.as_ref().map(|key| move |name: &str| pseudonym(key, name));
        let pseudonym = pseudonym.as_ref().map(|make| make as &dyn Fn(&str) -> String);
        let done = plan.redaction.apply(&mut request, pseudonym);
        self.replaced.fetch_add(u64::from(done.replaced), Ordering::Relaxed);
        self.dropped.fetch_add(u64::from(done.dropped), Ordering::Relaxed);
        let reason = |(why, probability): &(Why, f64)| Reason { why: why.name().into(), probability: *probability };
        request.kept = kept.reasons.iter().map(reason).collect();
        let mut held = self.held();
        if held.most != plan.reservoir || now.since(held.since) >= WINDOW {
            held.turn(plan.reservoir, now);
            self.threshold.store(1.0_f64.to_bits(), Ordering::Relaxed);
        }
        if kept.is(Why::Reservoir) {
            held.reservoir.offer(kept.key, (now, written(&request)));
            self.threshold.store(held.reservoir.threshold().to_bits(), Ordering::Relaxed);
        }
        let by_rule = kept.reasons.iter().any(|(why, _)| *why != Why::Reservoir);
        if !by_rule {
            return None;
        }
        // Whether it stays in the reservoir is not known yet: elsewhere that is no reason.
        request.kept.retain(|reason| reason.why != Why::Reservoir.name());
        if held.recent.len() >= RECENT_MAX {
            held.recent.pop_front();
        }
        held.recent.push_back((now, request.clone()));
        let seconds = request.duration.as_secs_f64();
        let bucket = SECONDS.partition_point(|bound| *bound < seconds);
        let exemplar = Exemplar {
            labels: [("request_id", Some(request.request_id.clone())), ("trace_id", request.trace_id.clone())]
                .into_iter()
                .filter_map(|(name, value)| Some((name, value.filter(|value| value.len() <= 64)?)))
                .collect(),
            value: seconds,
            at: now,
        };
        held.exemplars.insert((request.route.clone(), bucket), exemplar);
        Some(request)
    }

    /// Kept requests, the last first: the reservoir's with their chance of being in it, and those that rules kept.
    pub(crate) fn requests(&self, limit: usize) -> Vec<(Time, RequestFinished)> {
        let held = self.held();
        let chance = held.reservoir.chance();
        let of_reservoir = held.reservoir.items().filter_map(|(_, (at, text))| Some((*at, read(text, chance)?)));
        let (before, chance) = (&held.before.0, held.before.1);
        let of_before = before.iter().filter_map(|(at, text)| Some((*at, read(text, chance)?)));
        let mut all: Vec<(Time, RequestFinished)> =
            of_reservoir.chain(of_before).chain(held.recent.iter().cloned()).collect();
        all.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.request_id.cmp(&b.1.request_id)));
        all.dedup_by(|a, b| a.0 == b.0 && a.1.request_id == b.1.request_id);
        all.truncate(limit);
        all
    }

    /// By bucket of durations of a route: a request that is kept.
    pub(crate) fn exemplars(&self, route: &str) -> BTreeMap<usize, Exemplar> {
        let held = self.held();
        let of_route = held.exemplars.iter().filter(|((of, _), _)| of == route);
        of_route.map(|((_, bucket), exemplar)| (*bucket, exemplar.clone())).collect()
    }

    /// Things that were replaced in kept requests, and texts that were dropped.
    pub(crate) fn redacted(&self) -> (u64, u64) {
        (self.replaced.load(Ordering::Relaxed), self.dropped.load(Ordering::Relaxed))
    }
}

impl Held {
    /// Another hour begins, or another size holds.
    fn turn(&mut self, most: usize, now: Time) {
        let gathered = std::mem::replace(&mut self.reservoir, Reservoir::new(most));
        self.before = (gathered.items().map(|(_, item)| item.clone()).collect(), gathered.chance());
        (self.most, self.since) = (most, now);
    }
}

fn written(request: &RequestFinished) -> Box<str> {
    serde_json::to_string(request).unwrap_or_default().into()
}

/// A request of a reservoir, with the chance that all in it have.
fn read(text: &str, chance: f64) -> Option<RequestFinished> {
    let mut request: RequestFinished = serde_json::from_str(text).ok()?;
    for reason in request.kept.iter_mut().filter(|reason| reason.why == Why::Reservoir.name()) {
        reason.probability = chance;
    }
    Some(request)
}

fn pseudonym(key: &hmac::Key, name: &str) -> String {
    let tag = hmac::sign(key, name.as_bytes());
    let digits = tag.as_ref().iter().take(8).fold(0_u64, |digits, byte| digits << 8 | u64::from(*byte));
    format!("{digits:016x}")
}

/// Features of the first entity, as events tell them.
pub(crate) fn features(sets: &[Option<Retrieved>], known: &[FeatureSet]) -> BTreeMap<String, Scalar> {
    let mut all = BTreeMap::new();
    for (set, _) in sets.iter().zip(known).filter_map(|(set, known)| Some((set.as_ref()?, known))) {
        for (name, value) in set.row(0) {
            let scalar = match value {
                Some(serde_json::Value::Bool(flag)) => Scalar::Flag(*flag),
                Some(serde_json::Value::Number(number)) => match number.as_f64().filter(|number| number.is_finite()) {
                    Some(number) => Scalar::Number(number),
                    None => continue,
                },
                Some(serde_json::Value::String(word)) => Scalar::Word(word.clone()),
                None | Some(serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_)) => {
                    continue;
                }
            };
            all.insert(name.to_owned(), scalar);
        }
    }
    all
}
