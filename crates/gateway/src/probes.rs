//! Health probes that the protocols define, answered by the gateway itself: clients send them before their first request.

use http::{Method, StatusCode};
use mainstay_core::plan::PathMatch;
use mainstay_core::route::Protocol;

use crate::protocol::Rendered;
use crate::worker::State;

/// The answer to a probe; `None`: it is none.
///
/// `GET /v2/health/live` and `/v2/health/ready` on a service with an Open Inference route, and
/// `GET /v2/models/{m}[/versions/{v}]/ready` for a model whose `infer` a route takes. A route of the same path wins.
pub(crate) fn answer(state: &State, method: &Method, path: &str) -> Option<Rendered> {
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

fn json(body: &'static str) -> Rendered {
    Rendered::json(StatusCode::OK, body)
}
