//! The background of the data plane: health checks, the ladders' judgement, events of the machines.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderValue, header};
use mainstay_core::event::{Event, EventKind};
use mainstay_core::plan::{Backend, Health as Check};
use mainstay_core::resilience::breaker::{Effect, Transition};
use mainstay_core::resilience::ejection;
use mainstay_core::resilience::keys;
use mainstay_core::resilience::ladder::{Component, Seen};
use mainstay_tower::breaker::SharedBreaker;
use tokio::sync::watch;

use crate::body::{Outgoing, ReadUpTo, read_up_to};
use crate::protocol::grpc::{self, Code};
use crate::protocol::{self, Rpc};
use crate::shared::{BackendShared, FeatureShared, Group, Health, KeyRing, Shared};
use crate::upstream::Pool;

/// How often machines are settled and ladders are judged.
const TICK: Duration = Duration::from_millis(20);

/// Settles, judges and reports until `stop` says so.
pub(crate) async fn keep(current: Arc<ArcSwap<Shared>>, mut stop: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => settle(&current.load()),
            _ = stop.changed() => return,
        }
    }
}

fn settle(shared: &Shared) {
    shared.injector.settle();
    let now = shared.clock.now();
    for (at, backend) in shared.backends.iter().enumerate() {
        backend.limit.settle(now);
        backend.breaker.settle(now);
        report_backend(shared, at, backend);
    }
    for group in shared.groups.all() {
        group.breaker.settle(now);
        report_group(shared, group);
    }
    for keys in &shared.keys {
        report_keys(shared, keys);
    }
    for features in &shared.features {
        features.breaker.settle(now);
        report_breaker(shared, &features.name, &features.breaker);
    }
    for check in &shared.checks {
        if let Some(server) = &check.server {
            server.breaker.settle(now);
            report_breaker(shared, &check.name, &server.breaker);
        }
    }
    for route in &shared.routes {
        route.orders.settle(now);
        for event in route.judge(|component| seen(shared, component), now) {
            shared.events.emit(event);
        }
    }
}

/// What a ladder judges a component by.
fn seen(shared: &Shared, component: Component) -> Seen {
    let now = shared.clock.now();
    let collapsed = match component {
        Component::Backend(i) => shared.backends[i as usize].demand.is_collapsed(now),
        Component::Features(_) => false,
    };
    Seen { collapsed, ..shared.component(component, now) }
}

fn report_backend(shared: &Shared, at: usize, backend: &BackendShared) {
    let now = shared.clock.now();
    for change in changes(&backend.breaker) {
        // What is wrong with its key says nothing about others.
        if !backend.fails_by_its_key() {
            shared.groups.member_changed(at, &change, now);
        }
        tell_breaker(shared, &backend.name, &change);
    }
    while let Some(change) = backend.limit.poll_change() {
        let kind = EventKind::LimitChanged {
            backend: backend.name.clone(),
            from: change.from,
            to: change.to,
            reason: change.why.as_str().into(),
        };
        shared.events.emit(Event { at: now, kind });
    }
    for effect in backend.endpoint_effects(now) {
        let name = |at: usize| backend.endpoints.get(at).map_or_else(String::new, |e| e.url.clone());
        let backend = backend.name.clone();
        let kind = match effect {
            ejection::Effect::Ejected { endpoint, .. } => {
                EventKind::EndpointEjected { backend, endpoint: name(endpoint) }
            }
            ejection::Effect::Returned { endpoint } => {
                EventKind::EndpointReturned { backend, endpoint: name(endpoint) }
            }
        };
        shared.events.emit(Event { at: now, kind });
    }
}

fn report_keys(shared: &Shared, keys: &KeyRing) {
    let now = shared.clock.now();
    for effect in keys.effects(now) {
        let backend = keys.backend.clone();
        let kind = match effect {
            keys::Effect::Rests { key, why, until } => {
                EventKind::KeyRests { backend, key: key as u32, reason: why.word().into(), until }
            }
            keys::Effect::Returned { key } => EventKind::KeyReturned { backend, key: key as u32 },
        };
        shared.events.emit(Event { at: now, kind });
    }
}

fn report_group(shared: &Shared, group: &Group) {
    for change in changes(&group.breaker) {
        let kind = EventKind::GroupChanged {
            group: group.name.clone(),
            members: group.members.clone(),
            from: change.from.name().into(),
            to: change.to.name().into(),
            reason: change.why.name().into(),
        };
        shared.events.emit(Event { at: change.at, kind });
    }
}

fn report_breaker(shared: &Shared, name: &str, breaker: &SharedBreaker) {
    changes(breaker).for_each(|change| tell_breaker(shared, name, &change));
}

fn tell_breaker(shared: &Shared, name: &str, change: &Transition) {
    let kind = EventKind::BreakerChanged {
        backend: name.to_owned(),
        from: change.from.name().into(),
        to: change.to.name().into(),
        reason: change.why.name().into(),
    };
    shared.events.emit(Event { at: change.at, kind });
}

/// What a breaker did since it was last asked.
fn changes(breaker: &SharedBreaker) -> impl Iterator<Item = Transition> {
    std::iter::from_fn(|| breaker.poll_effect()).filter_map(|effect| match effect {
        Effect::Transition(change) => Some(change),
        Effect::WouldOpen { .. } => None,
    })
}

/// Asks every component after its health, each at its own pace, until the config changes or `stop` says so.
///
/// Runs within a `LocalSet`, as connections to backends do.
pub(crate) async fn check_health(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut checks = tokio::task::JoinSet::new();
    for (backend, plan) in shared.backends.iter().zip(&shared.plan.backends) {
        if let Some(check) = &plan.health {
            checks.spawn_local(watch_backend(Arc::clone(&shared), Arc::clone(backend), check.clone()));
        }
    }
    for (features, plan) in shared.features.iter().zip(&shared.plan.features) {
        if let Some(check) = &plan.health {
            checks.spawn_local(watch_features(Arc::clone(&shared), Arc::clone(features), check.clone()));
        }
    }
    let _ = stop.changed().await;
    checks.shutdown().await;
}

/// A backend is well when any of its endpoints is.
async fn watch_backend(shared: Arc<Shared>, backend: Arc<BackendShared>, check: Check) {
    let plan = shared.plan.backends.iter().find(|plan| plan.name == backend.name);
    let grpc = plan.filter(|plan| plan.protocol.is_grpc()).map(|plan| question(plan, &check.path));
    loop {
        let mut well = false;
        for at in &backend.endpoints {
            well |= probe(&backend.fresh_pool(at), &check, grpc.as_ref()).await;
        }
        note(&shared, &backend.name, &backend.health, well);
        tokio::time::sleep(check.every).await;
    }
}

async fn watch_features(shared: Arc<Shared>, features: Arc<FeatureShared>, check: Check) {
    loop {
        let well = probe(&features.fresh_pool(), &check, None).await;
        note(&shared, &features.name, &features.health, well);
        tokio::time::sleep(check.every).await;
    }
}

fn note(shared: &Shared, component: &str, health: &Health, well: bool) {
    let first = health.last().is_none();
    if health.note(well) && !(first && well) {
        let reason = if well { "check_passed" } else { "check_failed" };
        let kind = EventKind::HealthChanged { component: component.to_owned(), healthy: well, reason: reason.into() };
        shared.events.emit(Event { at: shared.clock.now(), kind });
    }
}

/// What a backend is asked over gRPC: about its model, or about the server.
fn question(backend: &Backend, path: &str) -> Bytes {
    let about = backend.model.as_deref().filter(|_| Rpc::of(path).names_model());
    protocol::question(about, about.and(backend.version.as_deref()))
}

/// One question, over a connection of its own: a 2xx within the check's time, or over gRPC a yes to the question.
async fn probe(pool: &Rc<Pool>, check: &Check, grpc: Option<&Bytes>) -> bool {
    let Ok(path) = PathAndQuery::try_from(check.path.as_str()) else { return false };
    if let Some(question) = grpc {
        return tokio::time::timeout(check.timeout, says_yes(pool, &path, question)).await.unwrap_or(false);
    }
    let request = http::Request::new(Outgoing::held(Bytes::new()));
    match tokio::time::timeout(check.timeout, pool.send(&path, request)).await {
        Ok(Ok(reply)) => reply.response.status().is_success(),
        Ok(Err(_)) | Err(_) => false,
    }
}

/// Most bytes of an answer about health.
const ANSWER_MAX: usize = 4096;

/// Whether the answer over gRPC is yes.
async fn says_yes(pool: &Rc<Pool>, path: &PathAndQuery, question: &Bytes) -> bool {
    let mut request = http::Request::new(Outgoing::held(question.clone()));
    *request.method_mut() = http::Method::POST;
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(grpc::CONTENT_TYPE));
    request.headers_mut().insert(header::TE, HeaderValue::from_static("trailers"));
    let Ok(mut reply) = pool.send(path, request).await else { return false };
    match read_up_to(reply.response.body_mut(), ANSWER_MAX).await {
        Ok(ReadUpTo::Whole(answer, Some(trailers))) => {
            Code::of(&trailers) == Some(Code::Ok) && protocol::says_yes(&answer)
        }
        Ok(ReadUpTo::Whole(..) | ReadUpTo::Longer(_)) | Err(_) => false,
    }
}
