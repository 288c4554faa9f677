//! Requests that wait for a person: listed, claimed, decided.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use mainstay_core::answer::review::Decision;
use mainstay_core::plan::Role;
use mainstay_core::time::Time;

use super::read::read_json;
use super::{Endpoint, json};
use crate::problem::{Kind, Problem};
use crate::reviews::Reviews;
use crate::site::Desk;
use crate::wire;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get(
            "/api/v1/reviews",
            "reviews",
            "Requests that wait for a person, by `queue` and `state`, from `after`, at most `limit`",
            json::<wire::Reviews>(),
            list,
        )
        .problems(&[400, 404, 422])
        .for_role(Role::Responder),
        Endpoint::post("/api/v1/reviews", "review", "Claim or decide a request", json::<wire::Review>(), act)
            .takes::<wire::ReviewRequest>()
            .problems(&[400, 404, 408, 409, 413, 415, 422, 503])
            .for_role(Role::Responder),
    ]
}

async fn list(
    State(desk): State<Desk>,
    query: Result<Query<wire::ReviewsQuery>, QueryRejection>,
) -> Result<Json<wire::Reviews>, Problem> {
    let Query(query) = query.map_err(|rejection| Problem::new(Kind::BadRequest, rejection.body_text()))?;
    let query = query.checked().map_err(|detail| Problem::new(Kind::Invalid, detail))?;
    let queue = chosen(&*desk.0, query.queue)?;
    let mut found = desk.0.list(&queue, query.state.as_deref(), query.after, query.limit + 1)?;
    let is_last = found.len() <= query.limit;
    found.truncate(query.limit);
    let next = found.last().map(|review| review.id).filter(|_| !is_last);
    Ok(Json(wire::Reviews { queue, reviews: found.into_iter().map(wire::Review::from).collect(), next }))
}

async fn act(State(desk): State<Desk>, request: Request) -> Result<Json<wire::Review>, Problem> {
    let body: wire::ReviewRequest = read_json(request).await?;
    let invalid = |detail| Problem::new(Kind::Invalid, detail);
    let queue = chosen(&*desk.0, body.queue.clone())?;
    let review = match body.action {
        wire::ReviewAction::Claim => {
            let lease = body.checked_lease().map_err(invalid)?;
            desk.0.claim(&queue, body.id, &body.by, lease)?
        }
        wire::ReviewAction::Decide => {
            let (id, decision) = body.checked_decision().map_err(invalid)?;
            let decision = Decision { decision, by: body.by, note: body.note, at: Time::ZERO };
            let review = desk.0.decide(&queue, id, decision).await?;
            tracing::info!(queue, id, "request decided");
            review
        }
    };
    Ok(Json(review.into()))
}

/// The queue that is named, or the only one.
fn chosen(desk: &dyn Reviews, named: Option<String>) -> Result<String, Problem> {
    if let Some(named) = named {
        return Ok(named);
    }
    let mut queues = desk.queues();
    match (queues.pop(), queues.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            queues.push(last);
            Err(Problem::new(Kind::Invalid, format!("name the queue, one of {}", queues.join(", "))))
        }
        (None, _) => Err(Problem::new(Kind::NotFound, "no level of the config holds requests for a person")),
    }
}
