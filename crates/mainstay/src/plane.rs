//! The gateway as the admin API and the signals see it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use mainstay_config::openslo;
use mainstay_control::{
    ControlError, DataPlane, Deciding, Engine, Experiments, Finding, Form, Formats, Gamedays, Imported, Incidents,
    Reload, ReloadReport, ReviewProblem, Reviews,
};
use mainstay_core::answer::review::{Decision, Review};
use mainstay_core::event::{Event, EventKind};
use mainstay_core::metric::{self, Family, Sample};
use mainstay_core::plan::Plan;
use mainstay_core::route::Level;
use mainstay_core::status::Status;
use mainstay_core::time::Time;
use mainstay_gateway::reviews::ReviewError;
use mainstay_gateway::{EventSink, Gateway, UnknownRoute};
use mainstay_telemetry::{Settings, Telemetry};
use mainstay_tower::clock::Clock;

use crate::difference;
use crate::engine;
use crate::gamedays;
use crate::imported;
use crate::source::{Refused, Source};

/// A gateway, its clock, and the config that it runs.
pub(crate) struct Plane {
    pub(crate) gateway: Gateway,
    clock: Clock,
    source: Source,
    events: EventSink,
    engine: Engine,
    incidents: Incidents,
    telemetry: Arc<Telemetry>,
    /// Experiments, once there are any to look after.
    experiments: OnceLock<Experiments>,
    gamedays: OnceLock<Gamedays>,
    /// Held for the whole of a reload, so that two of them do not mix.
    rests: Mutex<Rests>,
}

/// What rests in the store and is a part of the plan.
#[derive(Debug, Default)]
pub(crate) struct Rests {
    /// Documents with objectives.
    pub(crate) documents: String,
    /// The objectives of them that are in force.
    pub(crate) imported: Vec<String>,
    /// The champion of each model.
    pub(crate) champions: BTreeMap<String, String>,
}

impl Rests {
    /// Adds it to a config's plan.
    pub(crate) fn add_to(&mut self, plan: &mut Plan) {
        self.imported = imported::merge_or_tell(plan, &self.documents);
        self.follow(plan);
    }

    /// Asks backends that follow the registry for its champions.
    fn follow(&self, plan: &mut Plan) {
        for backend in plan.backends.iter_mut().filter(|backend| backend.follows_registry) {
            let champion = backend.model.as_ref().and_then(|model| self.champions.get(model));
            backend.version = champion.filter(|version| !version.is_empty()).cloned();
        }
    }
}

impl Plane {
    /// A plane over a gateway that runs the config of `source`.
    pub(crate) fn new(
        gateway: Gateway,
        (clock, source): (Clock, Source),
        events: EventSink,
        (engine, incidents, telemetry): (Engine, Incidents, Arc<Telemetry>),
        rests: Rests,
    ) -> Plane {
        let (experiments, gamedays, rests) = (OnceLock::new(), OnceLock::new(), Mutex::new(rests));
        Plane { gateway, clock, source, events, engine, incidents, telemetry, experiments, gamedays, rests }
    }

    /// From now on these go by the config as well.
    pub(crate) fn set_experiments(&self, experiments: Experiments) {
        let _ = self.experiments.set(experiments);
    }

    /// From now on these know the config's scenarios as well.
    pub(crate) fn set_gamedays(&self, gamedays: Gamedays) {
        let _ = self.gamedays.set(gamedays);
    }

    /// Experiments, once they are there.
    pub(crate) fn experiments(&self) -> Option<&Experiments> {
        self.experiments.get()
    }

    /// Where kept requests go.
    pub(crate) fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Asks backends that follow the registry for another version of a model: calls under way go on as they began. The error says
    /// who is not asked for it.
    pub(crate) fn serve_version(&self, model: &str, version: &str) -> Result<(), String> {
        let mut rests = self.rests();
        let mut plan = Plan::clone(&self.gateway.plan());
        let before = rests.champions.insert(model.to_owned(), version.to_owned());
        rests.follow(&mut plan);
        if let Err(error) = self.gateway.reload(Arc::new(plan)) {
            match before {
                Some(before) => rests.champions.insert(model.to_owned(), before),
                None => rests.champions.remove(model),
            };
            return Err(format!("the gateway cannot switch to it: {error}"));
        }
        let asked = Some(version).filter(|version| !version.is_empty());
        self.tell_experiments();
        let plan = self.gateway.plan();
        let follow = plan.backends.iter().filter(|b| b.follows_registry && b.model.as_deref() == Some(model));
        let other = follow.filter(|backend| backend.version.as_deref() != asked).map(|backend| backend.name.as_str());
        match other.collect::<Vec<_>>().as_slice() {
            [] => Ok(()),
            names => Err(format!("still asked for another version: {}", names.join(", "))),
        }
    }

    /// Reads the config again and puts it in force; a bad one changes nothing and is given back.
    pub(crate) fn reload_now(&self) -> Result<ReloadReport, Refused> {
        // Success is the gateway's own event.
        self.exchange().inspect_err(|refused| self.emit(EventKind::ConfigRefused { findings: refused.lines() }))
    }

    /// Reports something that happened at this moment.
    pub(crate) fn emit(&self, kind: EventKind) {
        self.events.emit(Event { at: self.clock.now(), kind });
    }

    fn exchange(&self) -> Result<ReloadReport, Refused> {
        let mut rests = self.rests();
        let (mut plan, _, _) = self.source.load()?;
        let imported = std::mem::take(&mut rests.imported);
        rests.add_to(&mut plan);
        let report = difference::between(&self.gateway.plan(), &plan);
        self.put_in_force(plan).inspect_err(|_| rests.imported = imported)?;
        Ok(report)
    }

    fn put_in_force(&self, plan: Plan) -> Result<(), Refused> {
        let (terms, desk) = (engine::terms(&plan), engine::desk_terms(&plan));
        let telemetry = telemetry_settings(&plan);
        self.gateway.reload(Arc::new(plan)).map_err(|error| Refused::Gateway(anyhow::Error::new(error)))?;
        self.telemetry.set(telemetry);
        self.incidents.set_terms(desk);
        self.tell_experiments();
        if let Err(error) = self.engine.set_terms(terms) {
            tracing::error!(%error, "the objectives are not looked at any more");
        }
        Ok(())
    }

    fn tell_experiments(&self) {
        if let Some(experiments) = self.experiments.get() {
            experiments.set_plan(self.gateway.plan());
        }
        // They were read before this plan was put in force.
        if let (Some(known), Ok(scenarios)) = (self.gamedays.get(), gamedays::of(&self.gateway.plan())) {
            known.set_scenarios(scenarios);
        }
    }

    fn rests(&self) -> MutexGuard<'_, Rests> {
        self.rests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The plan in force with other documents in place of those that were imported.
    fn with(&self, documents: &str, before: &Rests) -> Result<(Plan, Imported), Vec<Finding>> {
        let mut plan = Plan::clone(&self.gateway.plan());
        plan.slos.retain(|slo| !before.imported.contains(&slo.name));
        let made = imported::merge(&mut plan, documents)?;
        Ok((plan, made))
    }
}

/// Where a plan sends kept requests and metrics.
pub(crate) fn telemetry_settings(plan: &Plan) -> Settings {
    let observability = &plan.observability;
    Settings { service: plan.service.clone(), files: observability.files.clone(), otlp: observability.otlp.clone() }
}

impl Formats for Plane {
    fn export(&self, form: Form) -> String {
        let plan = self.gateway.plan();
        match form {
            Form::OpenSlo => openslo::export(&plan.service, &plan.slos).text,
            Form::Prometheus => mainstay_config::prometheus_rules(&plan.service, &plan.slos),
            Form::Grafana => format!("{:#}", mainstay_config::grafana_dashboard(&plan.service, &plan.slos)),
        }
    }

    fn check(&self, documents: &str) -> Result<Imported, Vec<Finding>> {
        Ok(self.with(documents, &self.rests())?.1)
    }

    fn apply(&self, documents: &str) -> Result<Imported, Vec<Finding>> {
        let mut rests = self.rests();
        let (plan, made) = self.with(documents, &rests)?;
        self.put_in_force(plan).map_err(|refused| refused.wire())?;
        (rests.documents, rests.imported) = (documents.to_owned(), made.objectives.clone());
        Ok(made)
    }
}

impl DataPlane for Plane {
    fn status(&self) -> Status {
        self.gateway.status()
    }

    fn metrics(&self) -> Vec<Family> {
        let mut families = self.gateway.metrics();
        let dropped = self.telemetry.dropped().into_iter();
        let sample = |(reason, count): (&str, u64)| Sample {
            labels: vec![("reason", reason.to_owned())],
            value: metric::Value::Count(count),
        };
        let of_events = families.iter_mut().find(|family| family.name == "mainstay_events_dropped");
        if let Some(family) = of_events {
            family.samples.extend(dropped.map(sample));
        }
        families
    }

    fn kept(&self, limit: usize) -> Vec<Event> {
        let kept = self.gateway.kept(limit).into_iter();
        kept.map(|(at, request)| Event { at, kind: EventKind::RequestFinished(Box::new(request)) }).collect()
    }

    fn pin(&self, route: &str, level: Level, until: Option<Time>, reason: String) -> Result<(), ControlError> {
        self.gateway.pin(route, level, until, &reason).map_err(unknown)
    }

    fn unpin(&self, route: &str) -> Result<(), ControlError> {
        self.gateway.unpin(route).map_err(unknown)
    }

    fn ready(&self) -> Result<(), String> {
        self.gateway.ready()
    }

    fn reload(&self) -> Reload<'_> {
        Box::pin(async { self.reload_now().map_err(|refused| refused.wire()) })
    }

    fn now(&self) -> Time {
        self.clock.now()
    }
}

impl Reviews for Plane {
    fn queues(&self) -> Vec<String> {
        self.gateway.queues()
    }

    fn list(&self, queue: &str, state: Option<&str>, after: u64, limit: usize) -> Result<Vec<Review>, ReviewProblem> {
        self.gateway.reviews(queue, state, after, limit).map_err(review_problem)
    }

    fn claim(&self, queue: &str, id: Option<u64>, by: &str, lease: Duration) -> Result<Review, ReviewProblem> {
        self.gateway.claim(queue, id, by, lease).map_err(review_problem)
    }

    fn decide<'a>(&'a self, queue: &'a str, id: u64, decision: Decision) -> Deciding<'a> {
        Box::pin(async move { self.gateway.decide(queue, id, decision).await.map_err(review_problem) })
    }
}

fn review_problem(error: ReviewError) -> ReviewProblem {
    match error {
        ReviewError::NoQueue(name) => ReviewProblem::NoQueue(name),
        ReviewError::Refused(refused) => ReviewProblem::Refused(refused),
        ReviewError::Disk => ReviewProblem::Unwritable,
    }
}

fn unknown(_: UnknownRoute) -> ControlError {
    ControlError::UnknownRoute
}
