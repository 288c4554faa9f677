//! Runbooks: what is known of each type of incident.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};

use super::read::readable;
use super::{Endpoint, json};
use crate::problem::{Kind, Problem};
use crate::site::Site;
use crate::wire;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/api/v1/runbooks", "runbooks", "Types of incidents", json::<wire::Runbooks>(), all)
            .problems(&[503]),
        Endpoint::get("/api/v1/runbooks/{type}", "runbook", "What to do about a type", json::<wire::Runbook>(), one)
            .problems(&[400, 404, 503]),
    ]
}

async fn all(State(site): State<Site>) -> Result<Json<wire::Runbooks>, Problem> {
    let desk = site.incidents()?.desk().await;
    Ok(Json(wire::Runbooks { runbooks: desk.catalogue().types().iter().map(wire::RunbookLine::of).collect() }))
}

async fn one(
    State(site): State<Site>,
    kind: Result<Path<String>, PathRejection>,
) -> Result<Json<wire::Runbook>, Problem> {
    let kind = readable(kind)?;
    let desk = site.incidents()?.desk().await;
    let Some(signature) = desk.catalogue().get(&kind) else {
        let known: Vec<&str> = desk.catalogue().types().iter().map(|it| it.kind.as_str()).collect();
        let detail = format!("there is no type `{kind}`; there are {}", known.join(", "));
        return Err(Problem::new(Kind::NotFound, detail));
    };
    let terms = &desk.terms().incidents;
    let policy = terms.types.get(&kind).and_then(|it| it.policy.clone()).or_else(|| terms.policy.clone());
    Ok(Json(wire::Runbook::of(signature, policy)))
}
