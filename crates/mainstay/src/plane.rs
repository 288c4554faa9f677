//! The gateway as the admin API and the signals see it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mainstay_config::openslo;
use mainstay_control::{
    ControlError, DataPlane, Deciding, Engine, Finding, Form, Formats, Imported, Reload, ReloadReport, ReviewProblem,
    Reviews,
};
use mainstay_core::answer::review::{Decision, Review};
use mainstay_core::event::{Event, EventKind};
use mainstay_core::metric::Family;
use mainstay_core::plan::Plan;
use mainstay_core::route::Level;
use mainstay_core::status::Status;
use mainstay_core::time::Time;
use mainstay_gateway::reviews::ReviewError;
use mainstay_gateway::{EventSink, Gateway, UnknownRoute};
use mainstay_tower::clock::Clock;

use crate::difference;
use crate::engine;
use crate::imported;
use crate::source::{Refused, Source};

/// A gateway, its clock, and the config that it runs.
pub(crate) struct Plane {
    pub(crate) gateway: Gateway,
    clock: Clock,
    source: Source,
    events: EventSink,
    engine: Engine,
    /// Held for the whole of a reload or an import, so that two of them do not mix.
    imported: Mutex<Documents>,
}

/// Objectives that came as documents.
#[derive(Default)]
pub(crate) struct Documents {
    pub(crate) text: String,
    /// Those of them that are in force.
    pub(crate) names: Vec<String>,
}

impl Plane {
    /// A plane over a gateway that runs the config of `source`.
    pub(crate) fn new(
        gateway: Gateway,
        (clock, source): (Clock, Source),
        events: EventSink,
        engine: Engine,
        imported: Documents,
    ) -> Plane {
        Plane { gateway, clock, source, events, engine, imported: Mutex::new(imported) }
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
        let mut imported = self.imported();
        let (mut plan, _, _) = self.source.load()?;
        let names = imported::merge_or_tell(&mut plan, &imported.text);
        let report = difference::between(&self.gateway.plan(), &plan);
        self.put_in_force(plan)?;
        imported.names = names;
        Ok(report)
    }

    fn put_in_force(&self, plan: Plan) -> Result<(), Refused> {
        let terms = engine::terms(&plan);
        self.gateway.reload(Arc::new(plan)).map_err(|error| Refused::Gateway(anyhow::Error::new(error)))?;
        if let Err(error) = self.engine.set_terms(terms) {
            tracing::error!(%error, "the objectives are not looked at any more");
        }
        Ok(())
    }

    fn imported(&self) -> MutexGuard<'_, Documents> {
        self.imported.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The plan in force with other documents in place of those that were imported.
    fn with(&self, documents: &str, before: &Documents) -> Result<(Plan, Imported), Vec<Finding>> {
        let mut plan = Plan::clone(&self.gateway.plan());
        plan.slos.retain(|slo| !before.names.contains(&slo.name));
        let made = imported::merge(&mut plan, documents)?;
        Ok((plan, made))
    }
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
        Ok(self.with(documents, &self.imported())?.1)
    }

    fn apply(&self, documents: &str) -> Result<Imported, Vec<Finding>> {
        let mut imported = self.imported();
        let (plan, made) = self.with(documents, &imported)?;
        self.put_in_force(plan).map_err(|refused| refused.wire())?;
        *imported = Documents { text: documents.to_owned(), names: made.objectives.clone() };
        Ok(made)
    }
}

impl DataPlane for Plane {
    fn status(&self) -> Status {
        self.gateway.status()
    }

    fn metrics(&self) -> Vec<Family> {
        self.gateway.metrics()
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
