//! Which models there are: what clients of OpenAI and Anthropic ask for before their first request, answered from the config.

use std::net::IpAddr;

use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use mainstay_core::llm::{Dialect, translate};
use mainstay_core::plan::{PathMatch, Plan, Route};
use mainstay_core::route::Protocol;
use serde_json::{Value, json};

use crate::protocol::{self, Failure, FailureCause, Rendered};
use crate::worker::State;

/// Ends of paths at which language models are asked and no dialect is spoken that is understood.
const RELAYED: [&str; 3] = ["/embeddings", "/responses", "/messages/count_tokens"];

/// The answer to `GET {base}/models` and `{base}/models/{id}`, where `base` is what stands before `/chat/completions` or `/messages` in the path
/// of a route; `None`: it is no such question. A route of the same path wins.
///
/// The models are those of the ladders of these routes, in the ladders' order. Callers that show `anthropic-version` get Anthropic's shape.
pub(crate) fn answer(state: &State, peer: IpAddr, head: &mut Parts, id: &HeaderValue) -> Option<Rendered> {
    if head.method != Method::GET && head.method != Method::HEAD {
        return None;
    }
    let path = head.uri.path().to_owned();
    let (base, wanted) = asked(&path)?;
    let models = models(&state.shared.plan, base)?;
    let protocol = if head.headers.contains_key("anthropic-version") { Protocol::Anthropic } else { Protocol::Openai };
    let fail = |cause, message: &str| {
        Some(protocol::error(protocol, &Failure::new(cause, message), id.to_str().unwrap_or_default()))
    };
    let clients = &state.shared.clients;
    if clients.any() && clients.identify(peer, &mut head.headers).is_stranger() {
        return fail(FailureCause::Unauthenticated, "the list of models needs a client's key");
    }
    let body = match wanted {
        None => list(protocol, &models),
        Some(wanted) if models.contains(&wanted) => model(protocol, wanted),
        Some(_) => return fail(FailureCause::NotFound, "no level of a route asks this model"),
    };
    Some(Rendered::json(StatusCode::OK, body.to_string()))
}

/// The base and the model of a path.
fn asked(path: &str) -> Option<(&str, Option<&str>)> {
    if let Some(base) = path.strip_suffix("/models") {
        return Some((base, None));
    }
    // Models' names may hold slashes: the first place is the one.
    let (base, model) = path.split_once("/models/")?;
    Some((base, Some(model)))
}

/// The models that are asked below a base; `None`: no route is there.
fn models<'a>(plan: &'a Plan, base: &str) -> Option<Vec<&'a str>> {
    let mut found = Vec::new();
    let mut routes = plan.routes.iter().filter(|route| base_of(route) == Some(base)).peekable();
    routes.peek()?;
    for asked in routes.flat_map(|route| &route.ladder).filter_map(|entry| entry.answer.asked()) {
        let model = plan.backends.get(asked.backend.0).and_then(|backend| backend.model.as_deref());
        found.extend(model.filter(|model| !found.contains(model)));
    }
    Some(found)
}

fn base_of(route: &Route) -> Option<&str> {
    let path = match &route.path {
        PathMatch::Exact(path) if route.protocol.is_of_language_models() => path,
        PathMatch::Exact(_) | PathMatch::Prefix(_) => return None,
    };
    match Dialect::of_path(path) {
        Some(dialect) => path.strip_suffix(translate::path(dialect)),
        None => RELAYED.iter().find_map(|end| path.strip_suffix(end)),
    }
}

fn list(protocol: Protocol, models: &[&str]) -> Value {
    let data: Vec<Value> = models.iter().map(|id| model(protocol, id)).collect();
    match protocol {
        Protocol::Anthropic => {
            json!({"data": data, "has_more": false, "first_id": models.first(), "last_id": models.last()})
        }
        Protocol::Openai | Protocol::OpenInference | Protocol::OpenInferenceGrpc | Protocol::Http => {
            json!({"object": "list", "data": data})
        }
    }
}

/// When a model was made nobody here knows.
fn model(protocol: Protocol, id: &str) -> Value {
    match protocol {
        Protocol::Anthropic => {
            json!({"type": "model", "id": id, "display_name": id, "created_at": "1970-01-01T00:00:00Z"})
        }
        Protocol::Openai | Protocol::OpenInference | Protocol::OpenInferenceGrpc | Protocol::Http => {
            json!({"id": id, "object": "model", "created": 0, "owned_by": "mainstay"})
        }
    }
}
