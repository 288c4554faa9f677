//! A request of a route's own recent ones, sent once more on top of the real ones.

use std::rc::Rc;
use std::sync::Arc;

use http::Request;
use http_body_util::BodyExt;

use super::visit::Visit;
use super::{descend, refuse};
use crate::body::Outgoing;
use crate::chaos::Sending;
use crate::identity;
use crate::worker::State;

/// Sends it down its route's ladder as if it had come from its caller, and reads the answer to its end. It ends with its order.
pub(crate) async fn again(state: Rc<State>, sending: Sending) {
    let standing = Arc::clone(&sending.standing);
    if !standing.injects() {
        return standing.count_sent(0, 1);
    }
    tokio::select! {
        biased;
        () = Arc::clone(&standing).over() => {}
        sent = answer(&state, &sending) => if sent.is_none() {
            standing.count_sent(0, 1);
        },
    }
}

/// `None`: it cannot be sent.
async fn answer(state: &Rc<State>, sending: &Sending) -> Option<()> {
    let shared = &*state.shared;
    let (standing, request) = (&sending.standing, &sending.request);
    let name = &standing.order.route;
    let route = shared.plan.routes.iter().position(|route| route.name == *name)?;
    let caller = shared.clients.again(&request.client, request.trusted)?;
    let (mut head, ()) = Request::new(()).into_parts();
    head.method = request.method.clone();
    head.uri = request.uri.clone();
    head.headers = request.headers.clone();
    let id = identity::request_id(&mut head.headers, &mut state.rng.borrow_mut());
    let body = Outgoing::held(request.body.clone());
    refuse::blocked(state, route, &head.headers, &body).ok()?;
    // What it waited for us is part of how long it takes.
    let began = shared.clock.now() - sending.late_by();
    let mut visit = Visit::new(state, route, caller, head, body, id, began).ok()?;
    visit.send_again(request.class, Arc::clone(standing));
    standing.count_sent(1, 0);
    state.counters.borrow_mut().routes[route].faults.entry(standing.order.fault.name()).or_default()[0] += 1;
    let mut answer = Box::pin(descend(&mut visit)).await.into_body();
    // The visit's places are given back where a real caller's would be.
    drop(visit);
    while let Some(Ok(_)) = answer.frame().await {}
    Some(())
}
