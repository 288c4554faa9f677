//! A yes or a no to whether a fault was tolerated, for programs that look at a status alone.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use mainstay_core::chaos::record::Run;
use mainstay_core::chaos::verdict::Verdict;
use mainstay_core::chaos::written::parse_duration;
use serde::Deserialize;

use super::read::readable;
use super::{Endpoint, Parameter, json};
use crate::problem::{Kind, Problem};
use crate::site::Site;
use crate::wire;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get(
            "/api/v1/experiments/{id}/verdict",
            "experiment_verdict",
            "Whether a fault was tolerated, or its effect within the margin: of a run, or of an experiment's last run",
            json::<wire::ExperimentLine>(),
            verdict,
        )
        .parameters(&[Parameter {
            name: "within",
            about: "only of a run that was started within so long, such as 30m",
        }])
        .problems(&[400, 404, 409, 503]),
    ]
}

/// Of which run.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct VerdictQuery {
    within: Option<String>,
}

async fn verdict(
    State(site): State<Site>,
    id: Result<Path<String>, PathRejection>,
    query: Result<Query<VerdictQuery>, QueryRejection>,
) -> Result<Json<wire::ExperimentLine>, Problem> {
    let id = readable(id)?;
    let Query(query) = query.map_err(|rejection| Problem::new(Kind::BadRequest, rejection.body_text()))?;
    let within = query.within.as_deref().map(parse_duration).transpose();
    let within = within.map_err(|why| Problem::new(Kind::BadRequest, why))?;
    let experiments = site.experiments()?;
    let now = experiments.now();
    let is_it = |run: &Run| {
        (run.id == id || run.experiment.name == id) && within.is_none_or(|within| now.since(run.started) <= within)
    };
    let answers = |run: &Run| {
        let assessment = run.assessment.as_ref();
        let is_tolerated = assessment.is_some_and(|it| matches!(it.verdict, Verdict::Tolerated | Verdict::Degraded));
        let why = assessment
            .map_or_else(|| "it is not over".to_owned(), |it| format!("{}: {}", it.verdict.name(), it.reason));
        if is_tolerated { Ok(wire::ExperimentLine::of(run)) } else { Err(format!("{}: {why}", run.id)) }
    };
    let found = experiments.each(|run| is_it(run).then(|| answers(run))).await?;
    match found.into_iter().next() {
        Some(Ok(line)) => Ok(Json(line)),
        Some(Err(why)) => Err(Problem::new(Kind::Conflict, why)),
        None => Err(Problem::new(Kind::NotFound, format!("there is no such run of `{id}`"))),
    }
}
