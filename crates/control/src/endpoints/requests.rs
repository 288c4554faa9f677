//! Single requests that were kept.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use mainstay_core::event::EventKind;
use serde::Deserialize;

use super::{Endpoint, Parameter, json};
use crate::data_plane::Plane;
use crate::problem::{Kind, Problem};
use crate::site::Site;
use crate::wire;

/// Most requests of an answer.
const LIMIT_MAX: usize = 10_000;
/// Requests of an answer unless it is asked for otherwise.
const LIMIT: usize = 100;
/// Requests that are looked through.
const HELD_MAX: usize = 1_000_000;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get(
            "/api/v1/requests",
            "requests",
            "Requests that were kept, the last first, without what was taken out of them",
            json::<wire::Requests>(),
            requests,
        )
        .problems(&[400])
        .parameters(&[
            Parameter { name: "limit", about: "At most so many, up to 10000; default 100" },
            Parameter { name: "route", about: "Of this route" },
            Parameter { name: "why", about: "Kept for this reason, such as `error` or `reservoir`" },
            Parameter { name: "id", about: "With this request id" },
        ]),
    ]
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    limit: Option<usize>,
    route: Option<String>,
    why: Option<String>,
    id: Option<String>,
}

async fn requests(
    State(site): State<Site>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<wire::Requests>, Problem> {
    let Query(asked) = asked.map_err(|rejection| Problem::new(Kind::BadRequest, rejection.body_text()))?;
    let limit = asked.limit.unwrap_or(LIMIT).clamp(1, LIMIT_MAX);
    let fits = |event: &mainstay_core::event::Event| {
        let EventKind::RequestFinished(request) = &event.kind else { return false };
        asked.route.as_ref().is_none_or(|route| *route == request.route)
            && asked.id.as_ref().is_none_or(|id| *id == request.request_id)
            && asked.why.as_ref().is_none_or(|why| request.kept.iter().any(|kept| kept.why == why.as_str()))
    };
    let plane: Plane = axum::extract::FromRef::from_ref(&site);
    let kept = plane.kept(HELD_MAX).into_iter().filter(fits).take(limit);
    let requests = kept.map(|event| serde_json::to_value(event).unwrap_or_default()).collect();
    Ok(Json(wire::Requests { requests }))
}
