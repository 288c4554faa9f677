//! The core's engine, as an image of what rests in the store.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_core::engine::{Engine as Core, Memory, ObjectiveId};
use mainstay_core::slo::correction::Correction;
use mainstay_core::slo::objective::{Budgeting, Kind, Objective};
use mainstay_core::slo::series::{Counts, GRAIN, bucket_of};
use mainstay_core::slo::sli::{Facts, Features, Origin};
use mainstay_core::slo::window::{Stretch, written};
use mainstay_core::stats::LogHistogram;
use mainstay_core::time::Time;
use mainstay_store::bucket::{Bucket, HOUR, MINUTE, Series, TEN_SECONDS};
use mainstay_store::item::State;
use mainstay_store::{Store, StoreError};

use super::maintenance::{self, Added};
use super::{Terms, corrections, models};
use crate::ingest::{Meaning, Observation, Observed};

/// What the memory of an objective is kept under, before its name.
const MEMORY: &str = "slo/";
/// Longest stretch of the clock that is stored at once: a day of buckets.
const AGED_MAX: Duration = Duration::from_hours(24);

/// The store's series of what an objective's slices came to count as, and of what they no longer do: the store only adds. Slices of
/// another length, or counted otherwise, have other series. An objective's name has no colon.
fn slices_series(objective: &Objective) -> Option<(String, String)> {
    let (kind, slice) = match objective.budgeting {
        Budgeting::Occurrences => return None,
        Budgeting::TimeSlices { slice, .. } => ("slices", slice),
        Budgeting::RatioTimeSlices { slice } => ("ratios", slice),
    };
    let name = format!("{}:{kind}-{}", objective.name, written(slice));
    Some((name.clone(), format!("{name}-taken-back")))
}

/// The buckets of a series with their grain.
fn buckets(series: &Series) -> impl Iterator<Item = (Duration, Time, Counts)> {
    let grains = [(&series.hours, HOUR), (&series.minutes, MINUTE), (&series.tens, TEN_SECONDS)];
    grains.into_iter().flat_map(|(buckets, seconds)| {
        let counts = |bucket: &Bucket| Counts { good: bucket.good, bad: bucket.bad };
        buckets.iter().map(move |bucket| (Duration::from_secs(seconds), bucket.start, counts(bucket)))
    })
}

/// All objectives, and what was counted towards them.
pub(crate) struct Budgets {
    pub(crate) terms: Terms,
    pub(crate) core: Core,
    corrections: Vec<Correction>,
    /// Maintenance besides the config's.
    maintenance: Vec<Added>,
    /// What was counted since this process started, by objective.
    since_start: BTreeMap<String, Counts>,
    /// The memories that rest, by objective.
    kept: BTreeMap<String, String>,
    /// The last bucket of each clock-driven objective that was handed to the store.
    aged: BTreeMap<String, Time>,
}

impl Budgets {
    /// Makes the image of what rests.
    pub(super) async fn restore(terms: Terms, store: &dyn Store, now: Time) -> Result<Budgets, StoreError> {
        let core = Core::new(terms.slos.clone(), now);
        let corrections = corrections::load(store).await?;
        let maintenance = maintenance::load(store).await?;
        let (since_start, kept, aged) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut budgets = Budgets { terms, core, corrections, maintenance, since_start, kept, aged };
        budgets.apply_terms();
        budgets.put_back(&store.load().await?, store.states(MEMORY).await?, |_| true);
        budgets.learn_models(store, now).await?;
        let longest = budgets.terms.slos.iter().map(|slo| slo.window.longest()).max().unwrap_or_default();
        for sketch in store.sketches(now - longest).await? {
            match LogHistogram::from_bytes(&sketch.data) {
                Some(latencies) => budgets.core.restore_latencies(&sketch.series, sketch.start, &latencies),
                None => tracing::warn!(route = sketch.series, "latencies of an hour cannot be read, and are left out"),
            }
        }
        Ok(budgets)
    }

    /// Judges by other terms. Objectives keep what was counted by their names; those that are new to this process have what
    /// rests of them.
    pub(super) async fn change_terms(engine: &super::Engine, terms: Terms, now: Time) -> Result<(), StoreError> {
        let store = &**engine.store();
        let rests = store.load().await?;
        let memories = store.states(MEMORY).await?;
        let mut budgets = engine.budgets();
        let before: Vec<String> = budgets.terms.slos.iter().map(|slo| slo.name.clone()).collect();
        budgets.core.reload(terms.slos.clone(), now);
        budgets.terms = terms;
        budgets.apply_terms();
        let is_new = |name: &str| !before.iter().any(|known| known == name);
        budgets.put_back(&rests, memories, is_new);
        Ok(())
    }

    fn put_back(&mut self, rests: &[Series], memories: Vec<State>, of: impl Fn(&str) -> bool) {
        let rests: BTreeMap<&str, &Series> = rests.iter().map(|series| (series.objective.as_str(), series)).collect();
        let all = self.core.objectives().filter(|(_, slo)| of(&slo.name));
        let all: Vec<_> = all.map(|(id, slo)| (id, slo.name.clone(), slices_series(slo))).collect();
        for (id, name, slices) in &all {
            let resting = |name: &str| rests.get(name).into_iter().flat_map(|series| buckets(series));
            let Some((slices, taken_back)) = slices else {
                resting(name).for_each(|(grain, start, counts)| self.core.restore_counts(*id, grain, start, counts));
                continue;
            };
            resting(name).for_each(|(grain, start, counts)| self.core.restore_events(*id, grain, start, counts));
            resting(slices).for_each(|(grain, start, counts)| self.core.restore_counts(*id, grain, start, counts));
            resting(taken_back).for_each(|(grain, start, counts)| self.core.restore_less(*id, grain, start, counts));
        }
        for state in memories {
            let name = state.key.strip_prefix(MEMORY).unwrap_or_default();
            let Some(id) = self.core.id(name).filter(|_| of(name)) else { continue };
            let text = String::from_utf8(state.data).unwrap_or_default();
            match Memory::from_json(&text) {
                Ok(memory) => {
                    if let Some(aged) = memory.aged {
                        self.aged.insert(name.to_owned(), Time::from_nanos(aged));
                    }
                    self.core.restore(id, memory);
                    self.kept.insert(name.to_owned(), text);
                }
                Err(error) => tracing::warn!(%error, objective = name, "an objective begins without its memory"),
            }
        }
        for (id, ..) in all {
            self.core.resume(id);
        }
    }

    /// Looks at the registry: which models are served, and when they were made.
    pub(super) async fn learn_models(&mut self, store: &dyn Store, now: Time) -> Result<(), StoreError> {
        for (model, made) in models::served(store, &self.terms.models).await? {
            self.core.handle_model(&model, made, now);
        }
        Ok(())
    }

    /// Counts events of a moment; `false` where there is no such objective.
    pub(super) fn record(&mut self, objective: &str, at: Time, counts: Counts, now: Time) -> bool {
        let Some(id) = self.core.id(objective) else { return false };
        self.core.handle_counts(id, at, counts, now);
        self.note(objective, counts);
        true
    }

    /// Counts harm that a request did.
    pub(super) fn record_harm(&mut self, objective: &str, request: &str, at: Time, now: Time) {
        if let Some(id) = self.core.id(objective) {
            // Its request was counted when it was answered, and stays counted: the store only adds.
            self.core.handle_harm(id, request, at, now);
            self.note(objective, Counts::BAD);
        }
    }

    /// Names harm that is counted already.
    pub(super) fn name_harm(&mut self, objective: &str, request: &str, at: Time, now: Time) {
        if let Some(id) = self.core.id(objective) {
            self.core.handle_named(id, request, at, now);
        }
    }

    fn note(&mut self, objective: &str, counts: Counts) {
        self.since_start.entry(objective.to_owned()).or_default().add(counts);
    }

    /// What was counted since this process started.
    pub(super) fn since_start(&self, objective: &str) -> Counts {
        self.since_start.get(objective).copied().unwrap_or_default()
    }

    /// Puts policies, maintenance and corrections in force.
    fn apply_terms(&mut self) {
        self.core.set_policies(self.terms.policies.clone());
        let added = self.maintenance.iter().filter_map(Added::made);
        let maintenance = self.terms.maintenance.iter().cloned().chain(added).collect();
        self.core.set_corrections(self.corrections.clone(), maintenance);
    }

    /// What is left out of budgets.
    pub(crate) fn corrections(&self) -> &[Correction] {
        &self.corrections
    }

    /// Leaves something out from here on; a correction with the same id is replaced.
    pub(crate) fn correct(&mut self, correction: Correction) {
        self.corrections.retain(|there| there.id != correction.id);
        self.corrections.push(correction);
        self.corrections.sort_by(|a, b| a.id.cmp(&b.id));
        self.apply_terms();
    }

    /// Takes a correction back.
    pub(crate) fn take_correction_back(&mut self, id: &str) {
        self.corrections.retain(|there| there.id != id);
        self.apply_terms();
    }

    /// Maintenance besides the config's.
    pub(crate) fn maintenance(&self) -> &[Added] {
        &self.maintenance
    }

    /// Leaves maintenance out from here on; one with the same name is replaced.
    pub(crate) fn maintain(&mut self, added: Added) {
        self.maintenance.retain(|there| there.request.name != added.request.name);
        self.maintenance.push(added);
        self.maintenance.sort_by(|a, b| a.request.name.cmp(&b.request.name));
        self.apply_terms();
    }

    /// Maintenance is over for good.
    pub(crate) fn end_maintenance(&mut self, name: &str) {
        self.maintenance.retain(|there| there.request.name != name);
        self.apply_terms();
    }

    /// What the clock has counted since it was last asked: by objective and bucket.
    pub(super) fn aged(&mut self, now: Time) -> Vec<(String, Time, Counts)> {
        let mut counted = Vec::new();
        let current = bucket_of(now);
        let slos: Vec<(ObjectiveId, String)> = self
            .core
            .objectives()
            .filter(|(_, slo)| slo.kind.is_clock_driven())
            .map(|(id, slo)| (id, slo.name.clone()))
            .collect();
        for (id, name) in slos {
            let earliest = bucket_of(now - AGED_MAX);
            let mut at = self.aged.get(&name).map_or(current, |last| (*last + GRAIN).max(earliest));
            while at <= current {
                let counts = self.core.recorded(id, Stretch { from: at, to: at });
                if counts.total() > 0 {
                    self.note(&name, counts);
                    counted.push((name.clone(), at, counts));
                    self.aged.insert(name.clone(), at);
                }
                at = at + GRAIN;
            }
        }
        counted
    }

    /// What slices have come to count as since this was last asked: by series of the store and bucket.
    pub(super) fn sliced(&mut self) -> Vec<(String, Time, Counts)> {
        let mut counted = Vec::new();
        for (id, change) in self.core.take_slices() {
            let Some((after, before)) = self.core.objective(id).and_then(slices_series) else { continue };
            let both = [(after, change.after), (before, change.before)];
            counted.extend(
                both.into_iter().filter(|(_, counts)| counts.total() > 0).map(|(s, counts)| (s, change.at, counts)),
            );
        }
        counted
    }

    /// The memories that differ from what rests, as states of the store.
    pub(super) fn memories(&mut self) -> Vec<State> {
        let all: Vec<(ObjectiveId, String)> = self.core.objectives().map(|(id, slo)| (id, slo.name.clone())).collect();
        let mut changed = Vec::new();
        for (id, name) in all {
            let text = self.core.memory(id).to_json();
            if self.kept.get(&name) != Some(&text) {
                changed.push(State { key: format!("{MEMORY}{name}"), data: text.clone().into_bytes() });
                self.kept.insert(name, text);
            }
        }
        changed
    }

    /// What something from outside adds, and to which objectives.
    pub(super) fn judge(&self, meaning: &Meaning) -> Vec<(String, Time, Counts)> {
        match meaning {
            Meaning::Nothing => Vec::new(),
            Meaning::Harm { at, route, model, .. } => {
                let about = |scope: &Option<String>, named: &Option<String>| scope.is_none() || scope == named;
                let harmed = self.core.objectives().filter(|(_, slo)| {
                    let scope = &slo.scope;
                    matches!(slo.kind, Kind::Safety { .. }) && about(&scope.route, route) && about(&scope.model, model)
                });
                harmed.map(|(_, slo)| (slo.name.clone(), *at, Counts::BAD)).collect()
            }
            Meaning::Observed(observation) => self.judge_observation(observation),
        }
    }

    fn judge_observation(&self, observation: &Observation) -> Vec<(String, Time, Counts)> {
        let facts = facts(observation);
        let named = |id: ObjectiveId| self.core.objective(id).map(|slo| (slo.name.clone(), &slo.kind));
        // A filter looks at the request itself, which is not here.
        let judged = self.core.judge(&facts, |_| false).filter_map(|(id, counts)| {
            let (name, kind) = named(id)?;
            is_told(kind, &observation.what).then_some((name, observation.at, counts))
        });
        judged.collect()
    }
}

/// Whether an observation says anything about a kind of objective.
fn is_told(kind: &Kind, what: &Observed) -> bool {
    match (kind, what) {
        (Kind::FeatureFreshness { .. }, Observed::Features { .. })
        | (Kind::Availability { .. }, Observed::Request { .. })
        | (Kind::Safety { .. }, Observed::Request { .. } | Observed::Prediction { .. }) => true,
        (Kind::Latency { .. }, Observed::Request { duration, .. }) => duration.is_some(),
        // A prediction is the model's side of a request, which is reported by itself.
        (Kind::Availability { .. } | Kind::Latency { .. }, Observed::Prediction { .. })
        | (
            Kind::FeatureFreshness { .. }
            | Kind::Quality { .. }
            | Kind::ModelFreshness { .. }
            | Kind::ReviewAge { .. }
            | Kind::External { .. },
            Observed::Request { .. } | Observed::Prediction { .. },
        )
        | (_, Observed::Features { .. } | Observed::Probe) => false,
    }
}

fn facts(observation: &Observation) -> Facts<'_> {
    let nothing = Facts {
        route: observation.route.as_deref().unwrap_or_default(),
        class: observation.class,
        model: observation.model.as_deref(),
        level: None,
        code: 200,
        duration: Duration::ZERO,
        inference: None,
        first_token: None,
        per_token: None,
        confidence: None,
        features: None,
        unjudged: false,
        origin: Origin::Caller,
    };
    match &observation.what {
        Observed::Request { level, code, duration, inference, confidence } => Facts {
            level: Some(*level),
            code: *code,
            duration: duration.unwrap_or_default(),
            inference: *inference,
            confidence: *confidence,
            origin: if *code == CLIENT_LEFT { Origin::Cancelled } else { Origin::Caller },
            ..nothing
        },
        Observed::Prediction { confidence, inference } => {
            Facts { inference: *inference, confidence: *confidence, ..nothing }
        }
        Observed::Features { view, age } => {
            Facts { features: Some(Features { view, oldest: Some(*age), stale: false }), ..nothing }
        }
        Observed::Probe => Facts { origin: Origin::Synthetic, ..nothing },
    }
}

/// The status that proxies log where the caller left before the answer.
const CLIENT_LEFT: u16 = 499;
