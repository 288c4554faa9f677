//! One request, from its head to its answer.

mod again;
mod awaited;
mod checked;
mod entry;
mod features;
mod finish;
mod hedge;
mod prepared;
mod refuse;
mod take_over;
mod visit;

use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, Response, header};
use http_body::Body as _;
use hyper::body::Incoming;
use mainstay_core::resilience::ladder::Step;
use mainstay_core::route::{Class, Protocol};

use crate::body::{AnswerBody, Outgoing, ReadUpTo, Upload, read_first_message, read_up_to};
use crate::going::Going;
use crate::headers;
use crate::identity::{self, Caller};
use crate::protocol::{self, Failure, FailureCause, Rpc, grpc};
use crate::worker::State;
pub(crate) use again::again;
pub(crate) use awaited::Shown;
use awaited::Sign;
use entry::Tried;
pub(crate) use finish::provider;
pub(crate) use take_over::take_over;
use visit::Visit;

/// Answers a request. Every request is answered and counted.
pub(crate) async fn handle(state: Rc<State>, peer: SocketAddr, request: Request<Incoming>) -> Response<Shown> {
    let route = state.shared.routing.find(request.uri().path());
    let beat = route.and_then(|route| state.shared.plan.routes[route].stream.heartbeat);
    let Some(beat) = beat else {
        return answer(state, peer, request, route, None).await.map(|body| Shown::Now(Going::new(body)));
    };
    let sign = Sign::default();
    let work = Box::pin(answer(state, peer, request, route, Some(Rc::clone(&sign))));
    Box::pin(awaited::answer(work, sign, beat)).await
}

async fn answer(
    state: Rc<State>,
    peer: SocketAddr,
    request: Request<Incoming>,
    route: Option<usize>,
    sign: Option<Sign>,
) -> Response<AnswerBody> {
    let began = state.shared.clock.now();
    let (mut head, body) = request.into_parts();
    let id = identity::request_id(&mut head.headers, &mut state.rng.borrow_mut());
    let Some(route) = route else {
        return refuse::no_route(&state, peer.ip(), &mut head, &id);
    };
    let shared = &*state.shared;
    let caller = shared.clients.identify(peer.ip(), &mut head.headers);
    let refuse = |failure: Failure<'_>| refuse::refused(&state, route, &caller, &id, began, failure);
    if let Err(failure) = admit(shared, route, &caller) {
        return refuse(failure);
    }
    let rpc = match rpc(shared.plan.routes[route].protocol, &head) {
        Ok(rpc) => rpc,
        Err(failure) => return refuse(failure),
    };
    headers::strip_hop_by_hop(&mut head.headers);
    let body = match take_body(&state, &head.headers, body, rpc == Some(Rpc::StreamInfer)).await {
        Ok(body) => body,
        Err(failure) => return refuse(failure),
    };
    if let Err(failure) = refuse::blocked(&state, route, &head.headers, &body) {
        return refuse(failure);
    }
    let mut visit = match Visit::new(&state, route, caller, head, body, id.clone(), began) {
        Ok(visit) => visit,
        Err(failure) => return refuse(failure),
    };
    visit.arrive();
    if let (Some(sign), Some(streaming)) = (sign, &visit.streaming) {
        *sign.borrow_mut() = Some((streaming.settings.dialect, id));
    }
    descend(&mut visit).await
}

/// Goes down the route's ladder until something answers.
async fn descend(visit: &mut Visit<'_>) -> Response<AnswerBody> {
    let route = &*visit.state.shared.routes[visit.route];
    let mut walk = visit.walk(visit.ready_at);
    if let Some(probe) = visit.probe() {
        walk = walk.with_probe(probe);
    }
    let mut now = visit.ready_at;
    loop {
        let (entry, tried) = match walk.next(now) {
            Step::Remote { entry, .. } | Step::Local { entry } if visit.goes_on_below(entry) => {
                (entry, Tried::Declined("answer_blocked"))
            }
            Step::Remote { entry, timeout } => {
                let until = visit.until(entry, timeout, now);
                (entry, entry::remote(visit, entry, until).await)
            }
            Step::Local { entry } => (entry, entry::local(visit, entry).await),
            Step::Exhausted => return finish::exhausted(visit),
        };
        match tried {
            Tried::Answered(answered) => match checked::before(visit, answered).await {
                Ok(answered) => return finish::answered(visit, answered.entry.unwrap_or(entry), answered),
                Err(blocked) => visit.block(entry, blocked),
            },
            Tried::Shed(reason) => {
                let next = route.entries.get(entry + 1).map(|e| e.level);
                if visit.sheds_before(next) {
                    return finish::shed(visit, reason);
                }
                visit.count_failure(entry, reason.as_str());
                visit.pass(entry, reason.as_str());
            }
            Tried::Passed(reason) => {
                visit.count_failure(entry, reason);
                visit.pass(entry, reason);
            }
            Tried::Declined(reason) => visit.pass(entry, reason),
            Tried::Refused(fault) => return finish::broken_off(visit, fault),
        }
        now = visit.state.shared.clock.now();
    }
}

/// Whether the caller may use this route at this moment.
fn admit(shared: &crate::shared::Shared, route: usize, caller: &Caller<'_>) -> Result<(), Failure<'static>> {
    if caller.is_stranger() && shared.clients.any() && shared.routes[route].uses_keys {
        let message = "this route needs a client's key, as `Authorization: Bearer KEY` or `x-api-key`";
        return Err(Failure::new(FailureCause::Unauthenticated, message));
    }
    caller.within_rate().map_err(|wait| {
        let message = format!("client `{}` is over its rate", caller.name());
        Failure { retry_after: Some(wait), ..Failure::new(FailureCause::RateLimited, message) }
    })
}

/// What is asked over gRPC, where that is spoken.
fn rpc(protocol: Protocol, head: &Parts) -> Result<Option<Rpc>, Failure<'static>> {
    if !protocol.is_grpc() {
        return Ok(None);
    }
    if head.version != http::Version::HTTP_2 || head.method != http::Method::POST || !grpc::is_grpc(&head.headers) {
        let message = "this route speaks gRPC: POST over HTTP/2 with the content type application/grpc";
        return Err(Failure::new(FailureCause::NotGrpc, message));
    }
    Ok(Some(Rpc::of(head.uri.path())))
}

/// Reads the request's body, up to what is held for a second attempt; of a stream of requests the first.
async fn take_body(
    state: &State,
    headers: &HeaderMap,
    mut body: Incoming,
    is_stream: bool,
) -> Result<Outgoing, Failure<'static>> {
    if body.is_end_stream() {
        return Ok(Outgoing::held(Bytes::new()));
    }
    let limits = &state.shared.plan.limits;
    let too_large = || {
        let message = format!("the request's body is longer than {} bytes (`limits.body`)", limits.body_bytes);
        Failure::new(FailureCause::TooLarge, message)
    };
    if body.size_hint().lower() > limits.body_bytes as u64 {
        return Err(too_large());
    }
    let bound = limits.replay_bytes.min(limits.body_bytes);
    let read = async {
        if is_stream { read_first_message(&mut body, bound).await } else { read_up_to(&mut body, bound).await }
    };
    match tokio::time::timeout(limits.head_timeout, read).await {
        Ok(Ok(ReadUpTo::Whole(bytes, _))) => Ok(Outgoing::held(bytes)),
        Ok(Ok(ReadUpTo::Longer(start))) if start.len() > limits.body_bytes => Err(too_large()),
        Ok(Ok(ReadUpTo::Longer(start))) => {
            let left = limits.body_bytes - start.len();
            let upload = if is_stream { Upload::by_turns() } else { Upload::default() };
            Ok(Outgoing::Once { start: Some(start), rest: body, left, upload })
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, length = ?headers.get(header::CONTENT_LENGTH), "a request's body broke off");
            Err(Failure::new(FailureCause::BadRequest, "the request's body broke off, or is not valid HTTP"))
        }
        Err(_) => {
            let message = format!("the request's body did not arrive within {} s", limits.head_timeout.as_secs());
            Err(Failure::new(FailureCause::BodyTimeout, message))
        }
    }
}

/// The body as far as it is held.
fn held(body: &Outgoing) -> &[u8] {
    match body {
        Outgoing::Held(bytes) => bytes.as_deref().unwrap_or_default(),
        Outgoing::Once { start, .. } => start.as_deref().unwrap_or_default(),
    }
}

/// The less important of the classes that apply.
fn lowered(class: Class, asked: impl IntoIterator<Item = Option<Class>>) -> Class {
    asked.into_iter().flatten().fold(class, Class::worse_of)
}

/// What is spoken where no route says so.
fn protocol_of(path: &str, headers: &HeaderMap) -> Protocol {
    if grpc::is_grpc(headers) {
        Protocol::OpenInferenceGrpc
    } else if path.starts_with("/v2") {
        Protocol::OpenInference
    } else if path.starts_with("/v1") {
        Protocol::Openai
    } else {
        Protocol::Http
    }
}

/// The error in the protocol's shape.
fn error(protocol: Protocol, failure: &Failure<'_>, id: &http::HeaderValue) -> protocol::Rendered {
    protocol::error(protocol, failure, id.to_str().unwrap_or_default())
}
