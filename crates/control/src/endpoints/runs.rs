//! Training runs.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use mainstay_core::plan::Role;
use mainstay_store::record::RunQuery;

use super::read::{read_json, readable};
use super::{Endpoint, json};
use crate::problem::{Kind, Problem};
use crate::registry::ModelError;
use crate::site::Shelf;
use crate::wire;

/// Runs in one answer, unless the query says otherwise, and at most.
const RUNS: (usize, usize) = (100, 1000);

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/api/v1/runs", "runs", "Training runs, the last changed first", json::<wire::Runs>(), runs)
            .problems(&[400, 503]),
        Endpoint::get("/api/v1/runs/{id}", "run", "One training run", json::<wire::Run>(), run)
            .problems(&[400, 404, 503]),
        Endpoint::put(
            "/api/v1/runs/{id}",
            "report_run",
            "Tell how a training run stands; the same may be told again",
            json::<wire::Reported>(),
            report,
        )
        .takes::<wire::RunReport>()
        .problems(&[400, 408, 413, 415, 422, 503])
        .for_role(Role::Responder),
    ]
}

async fn runs(
    State(shelf): State<Shelf>,
    query: Result<Query<wire::RunsQuery>, QueryRejection>,
) -> Result<Json<wire::Runs>, Problem> {
    let Query(query) = query.map_err(|rejection| Problem::new(Kind::BadRequest, rejection.body_text()))?;
    let query = RunQuery {
        name: query.name,
        state: query.state.map(|state| state.as_str().to_owned()),
        limit: query.limit.unwrap_or(RUNS.0).min(RUNS.1),
    };
    let runs = shelf.open()?.runs(query).await.map_err(ModelError::from)?;
    Ok(Json(wire::Runs { runs }))
}

async fn run(State(shelf): State<Shelf>, id: Result<Path<String>, PathRejection>) -> Result<Json<wire::Run>, Problem> {
    let id = readable(id)?;
    let run = shelf.open()?.run(&id).await.map_err(ModelError::from)?;
    run.map(Json).ok_or_else(|| Problem::new(Kind::UnknownRun, format!("no run `{id}` was reported")))
}

async fn report(
    State(shelf): State<Shelf>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<wire::Reported>, Problem> {
    let id = readable(id)?;
    let registry = shelf.open()?;
    let report: wire::RunReport = read_json(request).await?;
    report.check().map_err(|detail| Problem::new(Kind::Invalid, detail))?;
    let stored = registry.report(&id, report).await.map_err(ModelError::from)?;
    Ok(Json(wire::Reported { stored }))
}
