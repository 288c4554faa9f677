//! Requests that never get to a ladder: refused, blocked, or on their way to nowhere.

use std::net::IpAddr;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response};
use mainstay_core::event::RequestFinished;
use mainstay_core::observe::sample::Kept;
use mainstay_core::time::Time;

use super::finish::{LEVELS, respond_with};
use super::held;
use crate::blocked::is_veiled;
use crate::body::{AnswerBody, Outgoing};
use crate::counters::{BLOCKED, Ended, Ending};
use crate::headers;
use crate::identity::{Caller, REQUEST_ID};
use crate::protocol::{Failure, FailureCause};
use crate::worker::State;

/// Whether the operator lets a request with this body through. Bodies that cannot be looked through in whole fail closed.
pub(super) fn blocked(
    state: &State,
    route: usize,
    headers: &HeaderMap,
    body: &Outgoing,
) -> Result<(), Failure<'static>> {
    let shared = &*state.shared;
    let now = shared.clock.now();
    let Some(blocked) = shared.routes[route].orders.patterns_in_force(now) else { return Ok(()) };
    let start = held(body);
    let refused = |cause, message: String| Err(Failure { should_retry: Some(false), ..Failure::new(cause, message) });
    if blocked.is_in(start, now) {
        return refused(
            FailureCause::Blocked,
            "the request holds what this route does not take at the moment".to_owned(),
        );
    }
    let why = "while this route blocks requests by what they hold";
    if matches!(body, Outgoing::Once { .. }) {
        let bound = shared.plan.limits.replay_bytes.min(shared.plan.limits.body_bytes);
        return refused(
            FailureCause::TooLarge,
            format!("{why}, a body is at most {bound} bytes long (`limits.replay`)"),
        );
    }
    if !start.is_empty() && is_veiled(headers, start) {
        return refused(FailureCause::Veiled, format!("{why}, a body has to be UTF-8 and not compressed"));
    }
    Ok(())
}

/// Says when, and whether, the caller may come back where that helps: not all at once, and within the route's retry budget.
fn advised<'a>(state: &State, route: usize, failure: Failure<'a>) -> Failure<'a> {
    let after = match failure.cause {
        FailureCause::RateLimited => {
            let wait = failure.retry_after.unwrap_or_default().max(Duration::from_millis(1));
            wait.mul_f64(state.rng.borrow_mut().between(1.0, 1.5))
        }
        FailureCause::BodyTimeout => state.retry_after(),
        FailureCause::BadRequest
        | FailureCause::Unauthenticated
        | FailureCause::Forbidden
        | FailureCause::Blocked
        | FailureCause::NotFound
        | FailureCause::MethodNotAllowed
        | FailureCause::TooLarge
        | FailureCause::Veiled
        | FailureCause::NotGrpc
        | FailureCause::HeadTooLarge
        | FailureCause::Shed
        | FailureCause::Internal
        | FailureCause::Upstream
        | FailureCause::Exhausted
        | FailureCause::Deadline => return failure,
    };
    let welcome = state.budget(route).handle_callers_retry(state.shared.clock.now());
    failure.with_retry(after, welcome)
}

/// The request was refused before its ladder.
pub(super) fn refused(
    state: &State,
    route: usize,
    caller: &Caller<'_>,
    id: &HeaderValue,
    began: Time,
    failure: Failure<'_>,
) -> Response<AnswerBody> {
    let failure = &advised(state, route, failure);
    let plan = &state.shared.plan.routes[route];
    let rendered = super::error(plan.protocol, failure, id);
    let at = state.shared.clock.now();
    // What is refused before its ladder is a mistake, beyond the client's own rate, or the operator's choice.
    let ended = Ended::new((at, at.since(began)), caller.best_class(), rendered.status.as_u16(), Ending::CallersFault);
    state.end(route, &ended);
    if failure.cause == FailureCause::Blocked {
        state.counters.borrow_mut().routes[route].shed(ended.class, BLOCKED);
    }
    if state.is_raised(route, at) {
        state.keep(draft(&plan.name, caller, id, &ended, failure), &Kept::raised(), at);
    }
    let mut fields = HeaderMap::with_capacity(8);
    failure.write_headers_of(plan.protocol, &mut fields);
    fields.insert(REQUEST_ID, id.clone());
    // Nothing was tried, and nothing is degraded: the request stands where it would have started.
    fields.insert(headers::LEVEL, LEVELS[state.shared.routes[route].level().index()].clone());
    fields.insert(headers::DEGRADED, HeaderValue::from_static("false"));
    fields.insert(headers::ATTEMPTS, HeaderValue::from_static("0"));
    fields.insert(headers::REASON, HeaderValue::from_static(failure.cause.code()));
    respond_with(rendered, fields)
}

/// What is known of a request that was refused.
fn draft(route: &str, caller: &Caller<'_>, id: &HeaderValue, ended: &Ended, failure: &Failure<'_>) -> RequestFinished {
    let mut event = RequestFinished {
        client: Some(caller.name().to_owned()).filter(|client| !client.is_empty()),
        request_id: id.to_str().unwrap_or_default().to_owned(),
        reason: Some(failure.cause.code().into()),
        ..RequestFinished::new(route.to_owned(), ended.class, ended.code)
    };
    ended.tell(&mut event);
    event
}

/// No route takes the request. Health probes of the protocols and questions after models are answered all the same.
pub(super) fn no_route(state: &State, peer: IpAddr, head: &mut Parts, id: &HeaderValue) -> Response<AnswerBody> {
    let mut fields = HeaderMap::with_capacity(4);
    fields.insert(REQUEST_ID, id.clone());
    if let Some(rendered) = crate::probes::answer(state, head) {
        return respond_with(rendered, fields);
    }
    if let Some(rendered) = crate::models::answer(state, peer, head, id) {
        return respond_with(rendered, fields);
    }
    state.counters.borrow_mut().refuse("no_route");
    let path: String = head.uri.path().chars().take(200).collect();
    let failure = Failure::new(FailureCause::NotFound, format!("no route takes the path {path}"));
    let protocol = super::protocol_of(head.uri.path(), &head.headers);
    failure.write_headers_of(protocol, &mut fields);
    respond_with(super::error(protocol, &failure, id), fields)
}
