//! The service as a whole: probes, metrics, status, reload, the description of the API.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};

use super::{Answer, Endpoint, json};
use crate::data_plane::{Plane, ReloadReport};
use crate::engine::Engine;
use crate::exposition::{self, OPENMETRICS_TYPE, PROMETHEUS_TYPE};
use crate::problem::{Kind, Problem};
use crate::site::Site;
use crate::{openapi, wire};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/healthz", "healthz", "The process is alive", json::<wire::Probe>(), healthz).for_anyone(),
        Endpoint::get("/readyz", "readyz", "The service answers requests", json::<wire::Probe>(), readyz)
            .problems(&[503])
            .for_anyone(),
        Endpoint::get(
            "/metrics",
            "metrics",
            "Metrics as OpenMetrics or Prometheus text",
            Answer::Text(&[OPENMETRICS_TYPE, PROMETHEUS_TYPE]),
            metrics,
        ),
        Endpoint::get("/openapi.json", "openapi", "This document", Answer::Object, describe),
        Endpoint::get("/api/v1/status", "status", "The service at this moment", json::<wire::Status>(), status),
        Endpoint::post(
            "/api/v1/config/reload",
            "reload_config",
            "Read the config again",
            json::<ReloadReport>(),
            reload,
        )
        .problems(&[422]),
    ]
}

async fn healthz() -> Json<wire::Probe> {
    Json(wire::Probe { status: "ok" })
}

async fn readyz(State(plane): State<Plane>) -> Result<Json<wire::Probe>, Problem> {
    match plane.ready() {
        Ok(()) => Ok(Json(wire::Probe { status: "ok" })),
        Err(why) => Err(Problem::new(Kind::Unavailable, why)),
    }
}

/// OpenMetrics for whoever accepts it, as Prometheus does.
async fn metrics(State(site): State<Site>, State(plane): State<Plane>, headers: HeaderMap) -> Response {
    let mut families = plane.metrics();
    families.extend(site.registry_metrics());
    families.extend(site.incident_metrics());
    families.extend(site.experiment_metrics());
    families.extend(site.gameday_metrics());
    families.extend(site.engine().map(Engine::metrics).unwrap_or_default());
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    let openmetrics = accepted.flat_map(|accept| accept.split(',')).any(accepts_openmetrics);
    let (media_type, page) = if openmetrics {
        (OPENMETRICS_TYPE, exposition::openmetrics(families))
    } else {
        (PROMETHEUS_TYPE, exposition::prometheus(families))
    };
    ([(header::CONTENT_TYPE, media_type)], page).into_response()
}

/// Whether one range of an `Accept` header names OpenMetrics, and does not refuse it.
fn accepts_openmetrics(range: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let names_it = parts.next().is_some_and(|media| media.eq_ignore_ascii_case("application/openmetrics-text"));
    let refuses = |part: &str| part.strip_prefix("q=").is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0));
    names_it && !parts.any(refuses)
}

async fn describe() -> Json<serde_json::Value> {
    Json(openapi::document())
}

async fn status(State(site): State<Site>, State(plane): State<Plane>) -> Json<wire::Status> {
    let mut status = wire::Status::from(plane.status());
    status.budgets = site.engine().map(budgets).unwrap_or_default();
    if let Ok(experiments) = site.experiments() {
        (status.experiments, status.halt) = experiments.at_a_glance();
    }
    Json(status)
}

fn budgets(engine: &Engine) -> Vec<wire::BudgetStatus> {
    let now = engine.now();
    let budgets = engine.budgets();
    let brief = |(id, objective): (_, &mainstay_core::slo::objective::Objective)| {
        let answer = budgets.core.answer(id, now);
        let severest = answer.alerts.iter().map(|alert| alert.severity).max();
        wire::BudgetStatus {
            slo: objective.name.clone(),
            status: answer.budget.status.name(),
            remaining: answer.budget.remaining,
            alert: severest.map(mainstay_core::slo::burn::Severity::name),
        }
    };
    budgets.core.objectives().map(brief).collect()
}

async fn reload(State(plane): State<Plane>) -> Result<Json<ReloadReport>, Problem> {
    plane.reload().await.map(Json).map_err(Problem::refused)
}
