//! The feature stage of a ladder entry: online from the store, or from the cache.

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, header};
use mainstay_core::plan::FeatureMode;
use mainstay_core::resilience::outcome::{FailureKind, Outcome};
use mainstay_tower::breaker::Guard;

use super::visit::Visit;
use crate::body::{Outgoing, ReadUpTo, read_up_to};
use crate::chaos::{FeaturesFault, Met};
use crate::counters::UsedFeatures;
use crate::features::{FEAST_PATH, Keys, Retrieved};
use crate::shared::FeatureShared;
use crate::until::Until;
use crate::worker::State;

/// Longest answer of a feature store.
const ANSWER_MAX: usize = 4 << 20;

/// Gets the features of a set for this request, or says why the entry has to be skipped.
pub(super) async fn provide(
    visit: &mut Visit<'_>,
    set: usize,
    mode: FeatureMode,
    until: Until,
) -> Result<(), &'static str> {
    let shared = visit.shared();
    let stage = &shared.features[set].stage;
    let keys = stage.keys(&visit.headers, visit.held_body()).map_err(|error| {
        tracing::debug!(%error, features = shared.features[set].name, "a request names no entity");
        "entity_missing"
    })?;
    let retrieved = match mode {
        FeatureMode::Online => online(visit, set, &keys, until).await?,
        FeatureMode::Cached => stage.retrieve_cached(&keys, shared.clock.now()),
    };
    let missing = retrieved.missing > 0;
    note(visit, set, retrieved);
    if missing { Err("features_missing") } else { Ok(()) }
}

/// What the caches know, for rules: sets that no entry has asked for yet.
pub(super) fn recall(visit: &mut Visit<'_>) {
    let shared = visit.shared();
    for set in 0..shared.features.len() {
        if visit.features.get(set).is_some_and(Option::is_some) || !visit.plan_uses(set) {
            continue;
        }
        let stage = &shared.features[set].stage;
        if let Ok(keys) = stage.keys(&visit.headers, visit.held_body()) {
            let retrieved = stage.retrieve_cached(&keys, shared.clock.now());
            note(visit, set, retrieved);
        }
    }
    visit.stale = visit.features.iter().flatten().map(|set| set.stale as u32).sum();
}

/// Counts a retrieval and keeps it with the request.
fn note(visit: &mut Visit<'_>, set: usize, retrieved: Retrieved) {
    let mut counters = visit.state.counters.borrow_mut();
    let counted = &mut counters.features[set];
    counted.hits += retrieved.hits as u64;
    counted.misses += retrieved.misses as u64;
    counted.stale += retrieved.stale as u64;
    drop(counters);
    visit.stale = retrieved.stale as u32;
    visit.used = Some(UsedFeatures { set, oldest: retrieved.oldest, stale: retrieved.stale > 0 });
    if visit.features.len() <= set {
        visit.features.resize_with(set + 1, || None);
    }
    visit.features[set] = Some(retrieved);
}

async fn online(visit: &mut Visit<'_>, set: usize, keys: &Keys, until: Until) -> Result<Retrieved, &'static str> {
    let shared = visit.shared();
    let features = &shared.features[set];
    let clock = shared.clock;
    let Ok(guard) = Guard::admit(features.breaker.clone(), visit.key, clock) else {
        return Err("features_breaker_open");
    };
    let began = clock.now();
    let until = until.within(began + shared.plan.features[set].timeout);
    let id = visit.id.clone();
    let met = visit.met.as_deref();
    let fault = met.and_then(|met| met.features_fault(visit.state, visit.route, &features.name));
    let pause = match fault {
        Some(FeaturesFault::Later(delay)) => met.map(|met| Box::pin(met.pause(delay))),
        _ => None,
    };
    let answered = async {
        if let Some(pause) = pause {
            pause.await;
        }
        match fault {
            Some(FeaturesFault::Transport) => Err(Unavailable::Transport),
            Some(FeaturesFault::Status(status)) => Err(Unavailable::Status(status)),
            None | Some(FeaturesFault::Later(_) | FeaturesFault::Spoil(_)) => {
                ask(visit.state, set, features, keys, id).await
            }
        }
    };
    let asked = tokio::time::timeout_at(clock.instant(until.at), answered).await;
    let took = clock.now().since(began);
    visit.waited += took;
    visit.state.counters.borrow_mut().features[set].latency.observe(took.as_secs_f64());
    let failed = |guard: Guard<_>, kind, reason| {
        guard.finish(Outcome::failure(kind));
        Err(reason)
    };
    let body = match asked {
        Err(_) => {
            guard.finish(until.late());
            return Err("features_timeout");
        }
        Ok(Err(Unavailable::Transport)) => return failed(guard, FailureKind::Transport, "features_unreachable"),
        Ok(Err(Unavailable::Status(status))) => {
            guard.finish(Outcome::from_status(status, None));
            return Err("features_error");
        }
        Ok(Ok(body)) => body,
    };
    let spoil = match fault {
        Some(FeaturesFault::Spoil(spoil)) => Some(spoil),
        _ => None,
    };
    let absorbed = if met.is_some_and(Met::is_touched) {
        features.stage.absorb_apart(&body, keys, spoil, clock.now())
    } else {
        features.stage.absorb(&body, keys, clock.now())
    };
    match absorbed {
        Ok(retrieved) => {
            guard.finish(Outcome::Success);
            Ok(retrieved)
        }
        Err(error) => {
            tracing::debug!(%error, features = features.name, "a feature store's answer cannot be used");
            failed(guard, FailureKind::Server, "features_bad_answer")
        }
    }
}

/// Why a feature store gave no answer.
enum Unavailable {
    Transport,
    Status(u16),
}

async fn ask(
    state: &State,
    set: usize,
    features: &FeatureShared,
    keys: &Keys,
    id: HeaderValue,
) -> Result<Bytes, Unavailable> {
    let mut request = Request::new(Outgoing::held(features.stage.request(keys)));
    *request.method_mut() = Method::POST;
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(crate::identity::REQUEST_ID, id);
    *request.headers_mut() = headers;
    let path = PathAndQuery::from_static(FEAST_PATH);
    let reply = state.feature_pools[set].send(&path, request).await.map_err(|error| {
        tracing::debug!(%error, features = features.name, "a feature store could not be reached");
        Unavailable::Transport
    })?;
    let (parts, mut body) = reply.response.into_parts();
    match read_up_to(&mut body, ANSWER_MAX).await {
        Ok(ReadUpTo::Whole(bytes, _)) => {
            reply.lease.give_back();
            if parts.status.is_success() { Ok(bytes) } else { Err(Unavailable::Status(parts.status.as_u16())) }
        }
        Ok(ReadUpTo::Longer(_)) | Err(_) => Err(Unavailable::Transport),
    }
}
