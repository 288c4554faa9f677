//! Health probes that the protocols define, answered by the gateway itself: clients send them before their first request.

use http::request::Parts;
use http::{Method, StatusCode};
use mainstay_core::plan::PathMatch;
use mainstay_core::route::Protocol;

use crate::protocol::{self, Rendered, grpc};
use crate::worker::State;

/// The answer to a probe; `None`: it is none.
///
/// `GET /v2/health/live` and `/v2/health/ready` on a service with an Open Inference route, and
/// `GET /v2/models/{m}[/versions/{v}]/ready` for a model whose `infer` a route takes; `ServerLive` and `ServerReady` over gRPC. A route of
/// the same path wins.
pub(crate) fn answer(state: &State, head: &Parts) -> Option<Rendered> {
    let (method, path) = (&head.method, head.uri.path());
    if grpc::is_grpc(&head.headers) {
        return over_grpc(state, path);
    }
    let rest = path.strip_prefix("/v2/").filter(|_| method == Method::GET || method == Method::HEAD)?;
    let plan = &state.shared.plan;
    if !plan.routes.iter().any(|r| r.protocol == Protocol::OpenInference) {
        return None;
    }
    match rest {
        "health/live" => Some(json("{\"live\":true}")),
        "health/ready" => Some(json("{\"ready\":true}")),
        _ => {
            let model = path.strip_suffix("/ready")?;
            let infer = format!("{model}/infer");
            let takes = |route: &PathMatch| match route {
                PathMatch::Exact(exact) => *exact == infer,
                PathMatch::Prefix(prefix) => infer.starts_with(prefix.as_str()),
            };
            plan.routes.iter().any(|r| takes(&r.path)).then(|| json("{\"ready\":true}"))
        }
    }
}

fn over_grpc(state: &State, path: &str) -> Option<Rendered> {
    let service = path.strip_suffix("/ServerLive").or_else(|| path.strip_suffix("/ServerReady"))?;
    let takes = |path: &PathMatch| match path {
        PathMatch::Exact(path) => path.rsplit_once('/').is_some_and(|(of, _)| of == service),
        PathMatch::Prefix(_) => false,
    };
    let mut routes = state.shared.plan.routes.iter();
    let known = routes.any(|route| route.protocol.is_grpc() && takes(&route.path));
    known.then(|| Rendered { status: StatusCode::OK, content_type: grpc::CONTENT_TYPE, body: protocol::yes() })
}

fn json(body: &'static str) -> Rendered {
    Rendered::json(StatusCode::OK, body)
}
