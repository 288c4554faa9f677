//! What is sent to a backend, whichever endpoint it goes to, and what of that each call has of its own.

use std::rc::Rc;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use mainstay_core::plan::{Asked, Backend};
use mainstay_core::route::Protocol;
use mainstay_core::time::Time;

use super::visit::Visit;
use crate::attempt::Call;
use crate::body::Outgoing;
use crate::chaos::Met;
use crate::crossing::Crossing;
use crate::headers;
use crate::protocol::{self, ContextError, Rpc, grpc};
use crate::shared::KeyInUse;
use crate::until::Until;
use crate::worker::State;

/// What is sent to a backend, whichever endpoint it goes to.
pub(super) struct Prepared {
    pub(super) backend: usize,
    path: PathAndQuery,
    /// Taken by the first attempt; a further one makes its own.
    headers: Option<HeaderMap>,
    keyed: bool,
    /// Whether it bears the caller's own credential.
    pub(super) borrowed: bool,
    /// The body as changed for this backend; `None`: as it came.
    body: Option<Bytes>,
    /// What of the call is translated.
    crossing: Option<Crossing>,
}

/// What one call has of its own.
pub(super) struct Parcel {
    /// Where it goes to another path than the others.
    path: Option<PathAndQuery>,
    headers: HeaderMap,
    body: Outgoing,
}

impl Prepared {
    pub(super) fn new(visit: &Visit<'_>, entry: usize, asked: Asked) -> Result<Prepared, &'static str> {
        let (backend, set, context) = (asked.backend.0, asked.features.map(|(set, _)| set.0), asked.context);
        let shared = visit.shared();
        let config = &shared.plan.backends[backend];
        let mut body = None;
        let crossing = Crossing::of(visit.protocol(), config.protocol, visit.uri.path())?;
        if let Some(model) = config.model.as_ref().filter(|_| visit.rpc.is_some_and(Rpc::names_model)) {
            let whole = visit.whole_body().ok_or("body_too_long_for_model")?;
            let changed = protocol::request_with_model(&whole, model, config.version.as_deref());
            body = Some(changed.map_err(|_| "bad_request_body")?).filter(|changed| *changed != whole);
        }
        if let Some(max) = context {
            let whole = as_changed(visit, body, "body_too_long_for_context")?;
            body = Some(protocol::body_with_context(&whole, max).map_err(|error| match error {
                ContextError::TooLong => "context_too_long",
                ContextError::Json(_) | ContextError::NoMessages => "bad_request_body",
            })?);
        }
        if let Some(set) = set
            && let Some(retrieved) = visit.features.get(set).and_then(Option::as_ref)
        {
            let whole = as_changed(visit, body, "body_too_long_for_features")?;
            let stage = &shared.features[set].stage;
            body = Some(stage.inject(&visit.headers, &whole, retrieved).map_err(|error| {
                tracing::debug!(%error, "features could not be put into a request");
                "features_do_not_fit"
            })?);
        }
        if let Some(crossing) = crossing {
            body = Some(crossing.request(&as_changed(visit, body, "body_too_long_to_translate")?)?);
        }
        if let Some(model) = &config.model
            && config.protocol.is_of_language_models()
        {
            let whole = as_changed(visit, body.clone(), "body_too_long_for_model")?;
            let changed = protocol::body_with_model(config.protocol, &whole, model).map_err(|_| "bad_request_body")?;
            body = if changed == whole { body } else { Some(changed) };
        }
        if visit.streaming.is_some() && config.protocol == Protocol::Openai {
            let whole = as_changed(visit, body, "body_too_long_for_stream")?;
            body = Some(protocol::body_with_usage(&whole).map_err(|_| "bad_request_body")?);
        }
        let path = path_for(visit, entry, config, crossing);
        let (headers, keyed) = (headers_for(visit, config, crossing), !config.keys.is_empty());
        let borrowed = !keyed && headers::credentials(&headers).next().is_some();
        Ok(Prepared { backend, path, headers: Some(headers), keyed, borrowed, body, crossing })
    }

    /// Whether there is a body for another call.
    pub(super) const fn can_be_sent(&self, visit: &Visit<'_>) -> bool {
        self.body.is_some() || visit.can_send_again()
    }

    /// The body of one call; `None` where it can be sent only once, and was.
    pub(super) fn body(&self, visit: &mut Visit<'_>) -> Option<Outgoing> {
        match &self.body {
            Some(changed) => Some(Outgoing::held(changed.clone())),
            None => visit.body_to_send(),
        }
    }

    /// The body of one more call beside another; `None`: it is not held in whole.
    pub(super) fn body_again(&self, visit: &Visit<'_>) -> Option<Outgoing> {
        self.body.clone().or_else(|| visit.whole_body()).map(Outgoing::held)
    }

    /// What the `nth` call for this request has of its own.
    pub(super) fn parcel(
        &mut self,
        visit: &Visit<'_>,
        nth: u32,
        body: Outgoing,
        key: Option<&KeyInUse>,
        until: Time,
    ) -> Parcel {
        let config = &visit.shared().plan.backends[self.backend];
        let mut fields = self.headers.take().unwrap_or_else(|| headers_for(visit, config, self.crossing));
        if nth + visit.earlier > 1 {
            fields.insert(headers::ATTEMPT, HeaderValue::from(nth + visit.earlier));
        }
        if let Some(key) = key {
            put_key(&mut fields, config, key.at);
        }
        if visit.rpc.is_some() {
            let last = if visit.rpc == Some(Rpc::StreamInfer) { visit.ends.at } else { until };
            fields.insert(grpc::TIMEOUT, grpc::timeout_value(last.since(visit.shared().clock.now())));
        }
        let other = visit.met.as_deref().and_then(|met| other_version(visit, met, self));
        let (path, body) = match other {
            None => (None, body),
            Some((path, changed)) => (path, changed.map_or(body, Outgoing::held)),
        };
        Parcel { path, headers: fields, body }
    }

    /// The call that takes it.
    pub(super) fn call<'c>(
        &'c self,
        visit: &'c Visit<'_>,
        state: &'c Rc<State>,
        parcel: &'c mut Parcel,
        until: Until,
    ) -> Call<'c> {
        let body = std::mem::replace(&mut parcel.body, Outgoing::held(Bytes::new()));
        let headers = std::mem::take(&mut parcel.headers);
        Call {
            state,
            backend: self.backend,
            protocol: visit.shared().plan.backends[self.backend].protocol,
            method: &visit.method,
            path: parcel.path.as_ref().unwrap_or(&self.path),
            headers,
            body,
            keyed: self.keyed,
            until,
            ends: visit.ends,
            reader: visit.shared().routes[visit.route].confidence.as_ref(),
            streaming: visit.streaming.as_deref(),
            crossing: self.crossing,
            request_id: visit.id.to_str().unwrap_or_default(),
            rpc: visit.rpc,
            route: visit.route,
            met: visit.met.as_deref(),
        }
    }
}

/// The body as changed so far, or as it came.
fn as_changed(visit: &Visit<'_>, changed: Option<Bytes>, too_long: &'static str) -> Result<Bytes, &'static str> {
    changed.or_else(|| visit.whole_body()).ok_or(too_long)
}

/// The path at the backend, whose model may have another name.
fn path_for(visit: &Visit<'_>, entry: usize, config: &Backend, crossing: Option<Crossing>) -> PathAndQuery {
    let asked = || visit.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    // Parameters of the one provider's path mean nothing at the other's.
    if let Some(path) = crossing.and_then(|crossing| crossing.path(visit.uri.path())) {
        return PathAndQuery::try_from(path).unwrap_or_else(|_| asked());
    }
    let Some(model) = &config.model else { return asked() };
    let known = visit.shared().routes[visit.route].paths[entry].as_ref();
    if let Some(path) = known.filter(|_| visit.uri.query().is_none()) {
        return path.clone();
    }
    let version = config.version.as_deref();
    if protocol::model_in_path(visit.uri.path()).is_none_or(|named| named == (model.as_str(), version)) {
        return asked();
    }
    let mut path = protocol::path_with_model(visit.uri.path(), model, version);
    if let Some(query) = visit.uri.query() {
        path.push('?');
        path.push_str(query);
    }
    PathAndQuery::try_from(path).unwrap_or_else(|_| asked())
}

/// The headers at the backend. Length and host are written when the request is sent.
fn headers_for(visit: &Visit<'_>, config: &Backend, crossing: Option<Crossing>) -> HeaderMap {
    let mut headers = visit.headers.clone();
    if crossing.is_some() {
        Crossing::clean(&mut headers);
    }
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::EXPECT);
    if let Some((_, context)) = &visit.trace
        && let Ok(value) = HeaderValue::try_from(context.to_string())
    {
        headers.insert(headers::TRACEPARENT, value);
    }
    // What an answer means stands in its body, of a refusal above all: that has to be readable.
    if config.protocol != Protocol::Http || visit.reads_answers() {
        headers.remove(header::ACCEPT_ENCODING);
    }
    if !config.keys.is_empty() {
        headers.remove(header::AUTHORIZATION);
        headers.remove(API_KEY);
    }
    if config.protocol.is_grpc() {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        if visit.reads_answers() || config.version.is_some() {
            headers.remove(grpc::ACCEPT_ENCODING);
        }
    }
    if config.protocol == Protocol::Anthropic && !headers.contains_key(ANTHROPIC_VERSION) {
        headers.insert(ANTHROPIC_VERSION, HeaderValue::from_static("2023-06-01"));
    }
    headers
}

/// Puts a key of ours where the protocol wants it.
fn put_key(headers: &mut HeaderMap, config: &Backend, at: usize) {
    let (name, scheme) = match config.protocol {
        Protocol::Anthropic => (API_KEY, ""),
        Protocol::OpenInference | Protocol::OpenInferenceGrpc | Protocol::Openai | Protocol::Http => {
            (header::AUTHORIZATION, "Bearer ")
        }
    };
    let key = config.keys.get(at).and_then(|key| key.expose());
    if let Some(mut value) = key.and_then(|key| HeaderValue::from_str(&format!("{scheme}{key}")).ok()) {
        value.set_sensitive(true);
        headers.insert(name, value);
    }
}

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// The path and the body that ask for another version of the model on purpose, as far as they differ.
fn other_version(visit: &Visit<'_>, met: &Met, prepared: &Prepared) -> Option<(Option<PathAndQuery>, Option<Bytes>)> {
    let config = &visit.shared().plan.backends[prepared.backend];
    let version = met.other_version(&config.name)?;
    let asked = if config.protocol.is_of_language_models() {
        let whole = prepared.body.clone().or_else(|| visit.whole_body())?;
        let changed = protocol::body_with_model(config.protocol, &whole, version.model.as_deref()?).ok()?;
        (None, Some(changed))
    } else {
        let (model, _) = protocol::model_in_path(prepared.path.path())?;
        let model = version.model.as_deref().unwrap_or(model);
        let path = protocol::path_with_model(prepared.path.path(), model, version.version.as_deref());
        let query = prepared.path.query().map(|query| format!("?{query}")).unwrap_or_default();
        (Some(PathAndQuery::try_from(path + &query).ok()?), None)
    };
    met.touch(visit.state, visit.route).then_some(asked)
}
