//! Monitors, and the references that they compare with.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use mainstay_core::drift::reference::Reference;

use super::read::{expect_media, read_body, read_json, readable};
use super::{Answer, Endpoint, finished, json};
use crate::engine::watching::{self, Resting, Watching};
use crate::problem::{Kind, Problem, not_known};
use crate::site::Site;
use crate::wire;

/// Longest reference.
const REFERENCE_MAX: usize = 16 << 20;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/api/v1/drift", "drift", "Monitored names and their verdicts", json::<wire::AllDrift>(), all)
            .problems(&[503]),
        Endpoint::get("/api/v1/drift/{name}", "drift_of", "A monitored name", json::<wire::Drift>(), one)
            .problems(&[404, 503]),
        Endpoint::put(
            "/api/v1/drift/references/{name}",
            "put_reference",
            "Compare a monitored name with another reference",
            Answer::Nothing,
            put,
        )
        .takes::<serde_json::Map<String, serde_json::Value>>()
        .problems(&[400, 404, 408, 413, 415, 422, 503]),
        Endpoint::post(
            "/api/v1/drift/check",
            "check_drift",
            "Compare values once",
            json::<wire::DriftChecked>(),
            check,
        )
        .takes::<wire::DriftCheckRequest>()
        .problems(&[400, 404, 408, 413, 415, 422, 503]),
    ]
}

async fn all(State(site): State<Site>) -> Result<Json<wire::AllDrift>, Problem> {
    let engine = site.engine()?;
    let backends = engine.budgets().terms.backends.clone();
    Ok(Json(wire::AllDrift::of(&engine.watching(), &backends)))
}

async fn one(
    State(site): State<Site>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<wire::Drift>, Problem> {
    let name = readable(name)?;
    let engine = site.engine()?;
    let backends = engine.budgets().terms.backends.clone();
    let watching = engine.watching();
    let found =
        watching.monitors().find(|(_, _, monitor)| monitor.name == name).ok_or_else(|| unknown(&watching, &name))?;
    Ok(Json(wire::Drift::of(&watching, found, &backends)))
}

/// There is no such monitor; one of nearly this name is named.
pub(crate) fn unknown(watching: &Watching, name: &str) -> Problem {
    let names = watching.monitors().map(|(_, _, monitor)| monitor.name.as_str());
    let said = not_known("monitor", name, names);
    Problem::new(Kind::NotFound, format!("{said}; see `drift:` in the config"))
}

/// What was acknowledged is known after a restart.
async fn put(
    State(site): State<Site>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let name = readable(name)?;
    let engine = site.engine()?.clone();
    expect_media(request.headers(), &["application/json"])?;
    let body = read_body(request.into_body(), REFERENCE_MAX).await?;
    let text = std::str::from_utf8(&body).map_err(|_| Problem::new(Kind::BadRequest, "not UTF-8"))?;
    let reference = Reference::from_json(text).map_err(|error| Problem::new(Kind::Invalid, error.to_string()))?;
    if reference.name != name {
        let said = format!("the reference is that of `{}`", reference.name);
        return Err(Problem::new(Kind::Invalid, said));
    }
    let kind = {
        let watching = engine.watching();
        watching.config(&name).ok_or_else(|| unknown(&watching, &name))?.kind
    };
    if !watching::fits(&reference, kind) {
        let said =
            format!("the reference is of kind {}, and `{name}` is watched as {}", reference.values.kind(), kind.name());
        return Err(Problem::new(Kind::Invalid, said));
    }
    let resting = Resting { source: "put".to_owned(), reference };
    finished(async move {
        engine.store().change(vec![watching::change(&name, &resting)], engine.now()).await?;
        engine.watching().put(&name, resting);
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

async fn check(State(site): State<Site>, request: Request) -> Result<Json<wire::DriftChecked>, Problem> {
    let engine = site.engine()?.clone();
    let asked: wire::DriftCheckRequest = read_json(request).await?;
    let known = match &asked.against {
        Some(name) => {
            let watching = engine.watching();
            let monitor = watching.monitors().find(|(_, _, monitor)| monitor.name == *name);
            let (_, _, monitor) = monitor.ok_or_else(|| unknown(&watching, name))?;
            let learning = || Problem::new(Kind::Conflict, format!("the reference of `{name}` is still learned"));
            Some(monitor.reference().cloned().ok_or_else(learning)?)
        }
        None => None,
    };
    let compared = tokio::task::spawn_blocking(move || asked.compare(known.as_deref(), 1)).await;
    let compared = compared.map_err(|_| Problem::new(Kind::Unavailable, "this went wrong on our side"))?;
    compared.map(Json).map_err(|why| Problem::new(Kind::Invalid, why))
}
