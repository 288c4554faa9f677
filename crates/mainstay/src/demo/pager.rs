//! Where the demo's pages arrive: a receiver of webhooks, as a service on call has one.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use serde_json::{Value, json};

use super::site::{self, Answer, Handler};

/// Longest page that is read.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Most pages that are kept.
const PAGES_MAX: usize = 1_000;

/// Pages as they came.
#[derive(Default)]
pub(super) struct Pager(Mutex<Vec<Page>>);

/// A page, and when it came.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) at: jiff::Timestamp,
    pub(super) incident: String,
    pub(super) purpose: String,
    /// All that it said.
    pub(super) body: Value,
}

impl Pager {
    /// The first page that was sent for an incident.
    pub(super) fn first(&self, incident: &str) -> Option<Page> {
        let pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pages.iter().find(|page| page.incident == incident && page.purpose == "page").cloned()
    }
}

impl Handler for Pager {
    fn handle(self: Arc<Self>, request: Request<Incoming>) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        Box::pin(async move {
            let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await;
            let page = body.ok().and_then(|body| serde_json::from_slice::<Value>(&body.to_bytes()).ok());
            let Some(page) = page else { return site::json(StatusCode::BAD_REQUEST, &json!({})) };
            let word = |name: &str| page[name].as_str().unwrap_or_default().to_owned();
            let (incident, purpose) = (word("incident"), word("purpose"));
            let page = Page { at: jiff::Timestamp::now(), incident, purpose, body: page };
            let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if pages.len() < PAGES_MAX {
                pages.push(page);
            }
            site::json(StatusCode::OK, &json!({}))
        })
    }
}
