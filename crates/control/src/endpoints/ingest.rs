//! What services that do not run behind the gateway report. Durable before it is acknowledged, once per id.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use mainstay_core::plan::Role;

use super::read::{expect_media, read_body};
use super::{Answer, Endpoint, schema};
use crate::engine::{Engine, Entry, Taken};
use crate::ingest::{self, Flag, Incoming, JSON, JSON_LINES, Label, LineFault, Media, Reported, Signal};
use crate::problem::{Kind, Problem};
use crate::site::Site;
use crate::wire::Accepted;

const MEDIA: &[&str] = &[JSON, JSON_LINES[0], JSON_LINES[1], JSON_LINES[2]];

pub(super) fn endpoints() -> Vec<Endpoint> {
    let accepted = || Answer::Accepted(schema::<Accepted>);
    let reads = |endpoint: Endpoint| endpoint.problems(&[400, 408, 409, 413, 415, 422, 503]).for_role(Role::Responder);
    vec![
        reads(Endpoint::post("/api/v1/events", "post_events", "Report events", accepted(), events))
            .takes_lines::<Reported>(MEDIA),
        reads(Endpoint::post("/api/v1/labels", "post_labels", "Report labels", accepted(), labels))
            .takes_lines::<Label>(MEDIA),
        reads(Endpoint::post("/api/v1/flags", "post_flags", "Report safety verdicts", accepted(), flags))
            .takes_lines::<Flag>(MEDIA),
        reads(Endpoint::post("/api/v1/signals", "post_signals", "Report what users did", accepted(), signals))
            .takes_lines::<Signal>(MEDIA),
    ]
}

async fn events(State(site): State<Site>, request: Request) -> Result<Response, Problem> {
    take::<Reported>(site.engine()?, request).await
}

async fn labels(State(site): State<Site>, request: Request) -> Result<Response, Problem> {
    take::<Label>(site.engine()?, request).await
}

async fn flags(State(site): State<Site>, request: Request) -> Result<Response, Problem> {
    take::<Flag>(site.engine()?, request).await
}

async fn signals(State(site): State<Site>, request: Request) -> Result<Response, Problem> {
    take::<Signal>(site.engine()?, request).await
}

/// Takes a body whole, or not at all; a conflict leaves out the item that it is about and nothing else.
async fn take<I: Incoming>(engine: &Engine, request: Request) -> Result<Response, Problem> {
    let media = Media::of(expect_media(request.headers(), MEDIA)?);
    let body = read_body(request.into_body(), ingest::BODY_MAX).await?;
    let routes = engine.budgets().terms.routes.clone();
    let received = ingest::read::<I>(&body, media, &routes, engine.now()).map_err(|faults| {
        Problem::new(Kind::Invalid, "nothing of the body was taken: each fault is in `lines`").with_lines(faults)
    })?;
    let lines: Vec<usize> = received.iter().map(|received| received.line).collect();
    let entry = |received: ingest::Received| Entry { item: received.item, meaning: received.meaning };
    let taken = engine.take(received.into_iter().map(entry).collect()).await?;
    let count = |what: Taken| taken.iter().filter(|taken| **taken == what).count();
    let (accepted, duplicates) = (count(Taken::New), count(Taken::Duplicate));
    let conflicts: Vec<LineFault> =
        lines.iter().zip(&taken).filter_map(|(line, taken)| conflict(*line, *taken)).collect();
    if conflicts.is_empty() {
        return Ok((StatusCode::ACCEPTED, Json(Accepted { accepted, duplicates })).into_response());
    }
    let detail = format!("{accepted} were taken, {duplicates} were there already, {} conflict", conflicts.len());
    Err(Problem::new(Kind::Conflict, detail).with_lines(conflicts))
}

fn conflict(line: usize, taken: Taken) -> Option<LineFault> {
    let message = "this id was reported with other content, which stays; a correction needs an id of its own";
    (taken == Taken::Conflict).then(|| LineFault { line, field: Some("id".to_owned()), message: message.to_owned() })
}
