//! Checks of answers: the core decides (`mainstay_core::safety`), this asks.
//!
//! ```text
//! answer ─> Case ─before it is shown─> ask ─┬─> kept back: the ladder goes on
//!             `────────after─────────> ask ─┴─> judged: the safety objectives count it, a flag goes to the engine
//! ```

mod case;

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, header};
use mainstay_core::expr::Facts;
use mainstay_core::plan::{CheckBy, Moderation};
use mainstay_core::resilience::outcome::{FailureKind, Outcome};
use mainstay_core::safety::{self, Finding, Why, moderation};
use mainstay_tower::breaker::Guard;
use serde_json::{Value, json};

use crate::answers::RequestFacts;
use crate::body::{Outgoing, ReadUpTo, read_up_to};
use crate::shared::Server;
use crate::until::Until;
use crate::worker::State;
pub(crate) use case::{About, Case};

/// A request whose answer is checked, as expressions see it.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) route: usize,
    pub(crate) client: String,
    pub(crate) headers: HeaderMap,
    pub(crate) request: Bytes,
    /// The answer, where it was held.
    pub(crate) answer: Bytes,
}

/// Asks a check about an answer, until `until` at most, and counts what it finds.
pub(crate) async fn ask(
    state: &Rc<State>,
    check: usize,
    subject: &Subject,
    said: &Result<String, Why>,
    until: Until,
) -> Finding {
    let began = state.shared.clock.now();
    let finding = match said {
        Err(why) => Finding::Unknown(*why),
        Ok(text) => find(state, check, subject, text, until).await,
    };
    let took = state.shared.clock.now().since(began);
    let mut counters = state.counters.borrow_mut();
    counters.checks.entry((subject.route, check)).or_default().count(&finding, took);
    finding
}

async fn find(state: &Rc<State>, check: usize, subject: &Subject, text: &str, until: Until) -> Finding {
    let plan = &state.shared.plan;
    let facts = AnswerFacts::new(&plan.routes[subject.route].name, subject, &plan.checks[check].by, text);
    if let Some(finding) = safety::find(&plan.checks[check], text, &facts) {
        return finding;
    }
    let (CheckBy::Moderation(config), Some(server), Some(pool)) =
        (&plan.checks[check].by, &state.shared.checks[check].server, &state.check_pools[check])
    else {
        return Finding::Unknown(Why::Unreachable);
    };
    if text.is_empty() {
        return Finding::Clear;
    }
    let clock = state.shared.clock;
    let within = until.within(clock.now() + config.timeout);
    let until = clock.instant(within.at);
    // It may all be used up by the wait for a place, which says nothing about the server.
    let Ok(Ok(_place)) = tokio::time::timeout_at(until, server.places.acquire()).await else {
        return Finding::Unknown(Why::Busy);
    };
    let key = state.rng.borrow_mut().next_u64();
    let Ok(guard) = Guard::admit(Arc::clone(&server.breaker), key, clock) else {
        return Finding::Unknown(Why::BreakerOpen);
    };
    let finding = match tokio::time::timeout_at(until, moderate(pool, config, text)).await {
        Ok(finding) => finding,
        Err(_) => Finding::Unknown(Why::Timeout),
    };
    guard.finish(outcome(&finding, within));
    finding
}

/// What the server's breaker learns.
fn outcome(finding: &Finding, within: Until) -> Outcome {
    match finding {
        Finding::Clear | Finding::Flagged { .. } => Outcome::Success,
        Finding::Unknown(Why::Timeout) => within.late(),
        Finding::Unknown(Why::Unreachable) => Outcome::failure(FailureKind::Transport),
        Finding::Unknown(
            Why::Status
            | Why::BadAnswer
            | Why::Busy
            | Why::BreakerOpen
            | Why::TooLong
            | Why::Unreadable
            | Why::NotHeld
            | Why::RuleFailed,
        ) => Outcome::failure(FailureKind::Server),
    }
}

async fn moderate(pool: &Rc<crate::upstream::Pool>, config: &Moderation, text: &str) -> Finding {
    let mut request = Request::new(Outgoing::held(moderation::request(config, text).into()));
    *request.method_mut() = Method::POST;
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let key = config.key.as_ref().and_then(|key| key.expose());
    if let Some(mut value) = key.and_then(|key| HeaderValue::from_str(&format!("Bearer {key}")).ok()) {
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    *request.headers_mut() = headers;
    let reply = match pool.send(&PathAndQuery::from_static(moderation::PATH), request).await {
        Ok(reply) => reply,
        Err(error) => {
            tracing::debug!(%error, "a moderation server could not be reached");
            return Finding::Unknown(Why::Unreachable);
        }
    };
    let (parts, mut body) = reply.response.into_parts();
    match read_up_to(&mut body, moderation::ANSWER_MAX).await {
        Ok(ReadUpTo::Whole(bytes, _)) => {
            reply.lease.give_back();
            moderation::read(&config.categories, parts.status.as_u16(), &bytes)
        }
        Ok(ReadUpTo::Longer(_)) => Finding::Unknown(Why::BadAnswer),
        Err(_) => Finding::Unknown(Why::Unreachable),
    }
}

/// What expressions see of a request and its answer.
struct AnswerFacts<'a> {
    request: RequestFacts<'a>,
    answer: Option<Value>,
}

impl<'a> AnswerFacts<'a> {
    /// The answer is taken apart only for expressions.
    fn new(route: &'a str, subject: &'a Subject, by: &CheckBy, text: &str) -> AnswerFacts<'a> {
        let request = RequestFacts::new(route, &subject.client, &subject.headers, &subject.request);
        let answer = match by {
            CheckBy::Rule(_) => {
                let body: Value = serde_json::from_slice(&subject.answer).unwrap_or_default();
                Some(json!({ "text": text, "body": body }))
            }
            CheckBy::Moderation(_) | CheckBy::Patterns(_) => None,
        };
        AnswerFacts { request, answer }
    }
}

impl Facts for AnswerFacts<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.request.header(name)
    }

    fn headers(&self) -> Vec<(String, String)> {
        self.request.headers()
    }

    fn request(&self) -> Option<&Value> {
        self.request.request()
    }

    fn feature(&self, reference: &str) -> Option<Value> {
        self.request.feature(reference)
    }

    fn features(&self) -> Vec<(String, Value)> {
        self.request.features()
    }

    fn route(&self) -> &str {
        self.request.route()
    }

    fn client(&self) -> &str {
        self.request.client()
    }

    fn answer(&self) -> Option<&Value> {
        self.answer.as_ref()
    }
}

/// The server of a check that is asked about an answer that was shown.
fn server(state: &State, check: usize) -> Option<&Arc<Server>> {
    state.shared.checks[check].server.as_ref()
}
