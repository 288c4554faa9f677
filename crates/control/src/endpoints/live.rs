//! What changes, as it does: server-sent events for pages that are open.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{FromRef, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::Frame;
use mainstay_core::incident::record::Incident;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Answer, Endpoint};
use crate::admin::Stopping;
use crate::data_plane::Plane;
use crate::problem::Problem;
use crate::site::Site;

/// How often it is looked whether something changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks after which something is said in any case: counters have moved on.
const BEAT: u32 = 5;
/// A stream ends after so long, and is asked for anew: with a token or a session that still counts.
const LASTING: Duration = Duration::from_mins(10);
/// Routes that are told of.
const ROUTES_MAX: usize = 100;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get(
            "/api/v1/live",
            "live",
            "What changes, as server-sent events: `state` when something else holds, `beat` every 5 s",
            Answer::Text(&["text/event-stream"]),
            live,
        )
        .problems(&[503]),
    ]
}

/// What is worth a look when it changes.
#[derive(Clone, PartialEq, Debug, Serialize)]
struct Looked {
    /// Whether the service finishes what runs and takes nothing new.
    draining: bool,
    /// Route and level, of the first hundred routes.
    levels: Vec<(String, u8)>,
    /// Open incidents, each with where it stands.
    incidents: Vec<(String, &'static str)>,
    /// Experiments under way, each with its phase.
    experiments: Vec<(String, &'static str)>,
    /// Whether faults are halted.
    halted: bool,
}

async fn look(site: &Site) -> Looked {
    let status = Plane::from_ref(site).status();
    let brief = |it: &Incident| (it.id.clone(), it.status.as_str());
    let incidents = match site.incidents() {
        Ok(incidents) => incidents.open_ones(brief).await,
        Err(_) => Vec::new(),
    };
    let (mut experiments, mut halted) = (Vec::new(), false);
    if let Ok(all) = site.experiments() {
        let running = all.running().await;
        experiments = running.iter().map(|run| (run.id.clone(), run.phase.name())).collect();
        halted = all.halt().await.is_some_and(|halt| halt.halted);
    }
    let levels = status.routes.into_iter().take(ROUTES_MAX).map(|route| (route.name, route.level.number())).collect();
    Looked { draining: status.draining, levels, incidents, experiments, halted }
}

async fn live(State(site): State<Site>, Extension(mut stopping): Extension<Stopping>) -> Result<Response, Problem> {
    let permit = site.stream()?;
    let (said, lines) = mpsc::channel(4);
    tokio::spawn(async move {
        tokio::select! {
            () = tell(&site, &said) => {}
            () = said.closed() => {}
            () = stopping.wait() => {}
        }
        drop(permit);
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::new(Lines(lines))).into_response())
}

/// Says what there is at once, and from then on what changes, until it is time to be asked again.
async fn tell(site: &Site, said: &mpsc::Sender<Bytes>) {
    let end = Instant::now() + LASTING;
    let (mut last, mut beat) = (None, 0);
    while Instant::now() < end {
        let now = look(site).await;
        let line = if last.as_ref() == Some(&now) {
            beat += 1;
            (beat % BEAT == 0).then(|| "event: beat\ndata: {}\n\n".to_owned())
        } else {
            let data = serde_json::to_string(&now).unwrap_or_default();
            last = Some(now);
            Some(format!("event: state\ndata: {data}\n\n"))
        };
        if let Some(line) = line
            && said.send(line.into()).await.is_err()
        {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A body of what is said.
struct Lines(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}
