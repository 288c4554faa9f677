//! The background of the data plane: health checks, the ladders' judgement, events of the machines.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use mainstay_core::event::{Event, EventKind};
use mainstay_core::plan::Health as Check;
use mainstay_core::resilience::breaker::Phase;
use mainstay_core::resilience::ejection;
use mainstay_core::resilience::ladder::Component;
use tokio::sync::watch;

use crate::shared::{BackendShared, FeatureShared, Health, Shared};
use crate::upstream::Endpoint;

/// How often machines are settled and ladders are judged.
const TICK: Duration = Duration::from_millis(20);

type Prober = Client<HttpConnector, Empty<Bytes>>;

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
    let now = shared.clock.now();
    for backend in &shared.backends {
        backend.limit.settle(now);
        backend.breaker.settle(now);
        report_backend(shared, backend);
    }
    for features in &shared.features {
        features.breaker.settle(now);
        report_breaker(shared, &features.name, &features.breaker);
    }
    for route in &shared.routes {
        for event in route.judge(|component| is_well(shared, component), now) {
            shared.events.emit(event);
        }
    }
}

/// Whether a component carries requests: its check says so, its breaker lets calls through, and its limit has room for
/// the best class.
fn is_well(shared: &Shared, component: Component) -> bool {
    let now = shared.clock.now();
    let (health, breaker) = match component {
        Component::Backend(i) => (&shared.backends[i as usize].health, &shared.backends[i as usize].breaker),
        Component::Features(i) => (&shared.features[i as usize].health, &shared.features[i as usize].breaker),
    };
    let collapsed = match component {
        Component::Backend(i) => shared.backends[i as usize].demand.is_collapsed(now),
        Component::Features(_) => false,
    };
    let open = !breaker.is_closed() && matches!(breaker.state(now).phase, Phase::Open | Phase::ForcedOpen);
    health.last() != Some(false) && !open && !collapsed
}

fn report_backend(shared: &Shared, backend: &BackendShared) {
    let now = shared.clock.now();
    report_breaker(shared, &backend.name, &backend.breaker);
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

fn report_breaker(shared: &Shared, name: &str, breaker: &mainstay_tower::breaker::SharedBreaker) {
    use mainstay_core::resilience::breaker::Effect;
    while let Some(effect) = breaker.poll_effect() {
        let Effect::Transition(change) = effect else { continue };
        let kind = EventKind::BreakerChanged {
            backend: name.to_owned(),
            from: change.from.name().into(),
            to: change.to.name().into(),
            reason: change.why.name().into(),
        };
        shared.events.emit(Event { at: change.at, kind });
    }
}

/// Asks every component after its health, each at its own pace, until the config changes or `stop` says so.
pub(crate) async fn check_health(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.enforce_http(true);
    let prober: Prober =
        Client::builder(hyper_util::rt::TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
    let mut checks = tokio::task::JoinSet::new();
    for (backend, plan) in shared.backends.iter().zip(&shared.plan.backends) {
        if let Some(check) = &plan.health {
            checks.spawn(watch_backend(Arc::clone(&shared), Arc::clone(backend), check.clone(), prober.clone()));
        }
    }
    for (features, plan) in shared.features.iter().zip(&shared.plan.features) {
        if let Some(check) = &plan.health {
            checks.spawn(watch_features(Arc::clone(&shared), Arc::clone(features), check.clone(), prober.clone()));
        }
    }
    let _ = stop.changed().await;
    checks.shutdown().await;
}

/// A backend is well when any of its endpoints is.
async fn watch_backend(shared: Arc<Shared>, backend: Arc<BackendShared>, check: Check, prober: Prober) {
    loop {
        let mut well = false;
        for at in &backend.endpoints {
            well |= probe(&prober, at, &check).await;
        }
        note(&shared, &backend.name, &backend.health, well);
        tokio::time::sleep(check.every).await;
    }
}

async fn watch_features(shared: Arc<Shared>, features: Arc<FeatureShared>, check: Check, prober: Prober) {
    loop {
        let well = probe(&prober, &features.endpoint, &check).await;
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

/// One question: a 2xx within the check's time.
async fn probe(prober: &Prober, endpoint: &Endpoint, check: &Check) -> bool {
    let Ok(path) = http::uri::PathAndQuery::try_from(check.path.as_str()) else { return false };
    let mut request = http::Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = endpoint.target(&path, true);
    match tokio::time::timeout(check.timeout, prober.request(request)).await {
        Ok(Ok(response)) => response.status().is_success(),
        Ok(Err(_)) | Err(_) => false,
    }
}
