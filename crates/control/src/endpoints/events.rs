//! The log of events.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use mainstay_store::record::EventQuery;
use serde::Deserialize;

use super::{Endpoint, Parameter, json};
use crate::problem::{Kind, Problem};
use crate::site::Site;
use crate::wire;

/// Most events of a page.
const PAGE_MAX: usize = 1_000;
/// Events of a page unless it is asked for otherwise.
const PAGE: usize = 100;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/api/v1/events", "events", "What happened, oldest first", json::<wire::EventPage>(), events)
            .problems(&[400, 503])
            .parameters(&[
                Parameter { name: "after", about: "Events with a greater number than this; default 0" },
                Parameter { name: "limit", about: "At most so many, up to 1000; default 100" },
                Parameter {
                    name: "type",
                    about: "Of this type; one that ends in `.` stands for all that begin with it",
                },
            ]),
    ]
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

async fn events(
    State(site): State<Site>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<wire::EventPage>, Problem> {
    let Query(asked) = asked.map_err(|rejection| Problem::new(Kind::BadRequest, rejection.body_text()))?;
    let limit = asked.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let query = EventQuery { kind: asked.kind, after: asked.after, limit, ..EventQuery::default() };
    let events = site.engine()?.store().events(query).await?;
    let next = (events.len() == limit).then(|| events.last().map(|last| last.seq)).flatten();
    let events = events.into_iter().map(wire::LoggedEvent::from).collect();
    Ok(Json(wire::EventPage { events, next }))
}
