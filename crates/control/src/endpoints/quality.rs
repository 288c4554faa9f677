//! Quality of predictions.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;

use super::read::{read_json, readable};
use super::{Answer, Endpoint, Parameter, finished, json};
use crate::engine::quality;
use crate::problem::{Kind, Problem};
use crate::site::Site;
use crate::wire;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get(
            "/api/v1/quality",
            "quality",
            "How good predictions are, by labels and without",
            json::<wire::Quality>(),
            all,
        )
        .parameters(&[Parameter { name: "window", about: "Predictions of so long; default 24h, at most 30d" }])
        .problems(&[400, 503]),
        Endpoint::put(
            "/api/v1/quality/baselines/{route}",
            "put_quality_baseline",
            "Say what the proxies of a route are while all is well",
            Answer::Nothing,
            baseline,
        )
        .takes::<wire::BaselineRequest>()
        .problems(&[400, 404, 408, 413, 415, 422, 503]),
    ]
}

async fn all(
    State(site): State<Site>,
    asked: Result<Query<wire::QualityQuery>, QueryRejection>,
) -> Result<Json<wire::Quality>, Problem> {
    let Query(asked) = asked.map_err(|rejection| Problem::new(Kind::BadRequest, rejection.body_text()))?;
    let window = asked.window().map_err(|why| Problem::new(Kind::BadRequest, why))?;
    let engine = site.engine()?;
    let now = engine.now();
    Ok(Json(wire::Quality::of(&mut engine.quality(), now, window)))
}

/// What was acknowledged is known after a restart.
async fn baseline(
    State(site): State<Site>,
    route: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let route = readable(route)?;
    let engine = site.engine()?.clone();
    let asked: wire::BaselineRequest = read_json(request).await?;
    let baseline = {
        let quality = engine.quality();
        if quality.measured().all(|(measured, _)| measured != route) {
            let said =
                format!("no route `{route}` says where its predictions are found: see `prediction:` in the config");
            return Err(Problem::new(Kind::NotFound, said));
        }
        asked.checked(&quality, &route).map_err(|why| Problem::new(Kind::Invalid, why))?
    };
    finished(async move {
        engine.store().change(vec![quality::baseline_change(&route, &baseline)], engine.now()).await?;
        engine.quality().set_baseline(&route, baseline);
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}
