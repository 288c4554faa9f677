//! Objectives, their budgets, and what is left out of them.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;

use super::read::{read_json, readable};
use super::{Endpoint, finished, json};
use crate::access::Caller;
use crate::engine::Budgets;
use crate::engine::corrections;
use crate::problem::{Kind, Problem, not_known};
use crate::site::Site;
use crate::wire;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/api/v1/slos", "slos", "Objectives and their budgets", json::<wire::Slos>(), slos)
            .problems(&[503]),
        Endpoint::get("/api/v1/slos/{name}", "slo", "An objective and its budget", json::<wire::Slo>(), slo)
            .problems(&[404, 503]),
        Endpoint::get(
            "/api/v1/corrections",
            "corrections",
            "Intervals that budgets leave out",
            json::<wire::Corrections>(),
            all_corrections,
        )
        .problems(&[503]),
        Endpoint::post(
            "/api/v1/corrections",
            "correct",
            "Leave an interval out of budgets",
            json::<wire::Correction>(),
            correct,
        )
        .takes::<wire::CorrectionRequest>()
        .problems(&[400, 404, 408, 413, 415, 422, 503]),
        Endpoint::delete("/api/v1/corrections/{id}", "take_correction_back", "Count an interval again", take_back)
            .problems(&[404, 503]),
    ]
}

async fn slos(State(site): State<Site>) -> Result<Json<wire::Slos>, Problem> {
    let engine = site.engine()?;
    let now = engine.now();
    let budgets = engine.budgets();
    let core = &budgets.core;
    let slos = core.objectives().map(|(id, objective)| wire::Slo::of(objective, core.answer(id, now), now)).collect();
    Ok(Json(wire::Slos { slos }))
}

async fn slo(State(site): State<Site>, name: Result<Path<String>, PathRejection>) -> Result<Json<wire::Slo>, Problem> {
    let name = readable(name)?;
    let engine = site.engine()?;
    let now = engine.now();
    let budgets = engine.budgets();
    let id = budgets.core.id(&name).ok_or_else(|| unknown(&budgets, &name))?;
    let objective = budgets.core.objective(id).ok_or_else(|| unknown(&budgets, &name))?;
    Ok(Json(wire::Slo::of(objective, budgets.core.answer(id, now), now)))
}

/// There is no such objective; one of nearly this name is named.
pub(crate) fn unknown(budgets: &Budgets, name: &str) -> Problem {
    let names = budgets.core.objectives().map(|(_, objective)| objective.name.as_str());
    Problem::new(Kind::NotFound, not_known("objective", name, names))
}

async fn all_corrections(State(site): State<Site>) -> Result<Json<wire::Corrections>, Problem> {
    let corrections = site.engine()?.budgets().corrections().iter().map(wire::Correction::from).collect();
    Ok(Json(wire::Corrections { corrections }))
}

/// What was acknowledged is known after a restart.
async fn correct(
    State(site): State<Site>,
    axum::Extension(caller): axum::Extension<Caller>,
    request: Request,
) -> Result<Json<wire::Correction>, Problem> {
    let engine = site.engine()?;
    let asked: wire::CorrectionRequest = read_json(request).await?;
    let made = asked.checked(&caller.name, engine.now()).map_err(|why| Problem::new(Kind::Invalid, why))?;
    {
        let budgets = engine.budgets();
        if let Some(name) = made.objectives.iter().find(|name| budgets.core.id(name).is_none()) {
            return Err(unknown(&budgets, name));
        }
    }
    let engine = engine.clone();
    finished(async move {
        engine.store().change(vec![corrections::change(&made)], engine.now()).await?;
        let answer = wire::Correction::from(&made);
        engine.budgets().correct(made);
        Ok(Json(answer))
    })
    .await
}

async fn take_back(State(site): State<Site>, id: Result<Path<String>, PathRejection>) -> Result<StatusCode, Problem> {
    let id = readable(id)?;
    let engine = site.engine()?.clone();
    if engine.budgets().corrections().iter().all(|made| made.id != id) {
        return Err(Problem::new(Kind::NotFound, format!("there is no correction `{id}`")));
    }
    finished(async move {
        engine.store().change(vec![corrections::end(&id)], engine.now()).await?;
        engine.budgets().take_correction_back(&id);
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}
