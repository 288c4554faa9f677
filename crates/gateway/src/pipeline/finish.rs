//! The last step: headers, counters, the sampled event.

use std::rc::Rc;

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use mainstay_core::event::{RequestFinished, Scalar};
use mainstay_core::llm::Finish;
use mainstay_core::llm::whole::{self, Glance};
use mainstay_core::observed::{Observed, Value, is_remembered};
use mainstay_core::plan::Backend;
use mainstay_core::resilience::queue::LoadReason;
use mainstay_core::route::Level;

use super::entry::Served;
use super::visit::Visit;
use crate::answers::Upshot;
use crate::body::{AnswerBody, UploadFault};
use crate::counters::{Ended, Ending};
use crate::headers;
use crate::identity::REQUEST_ID;
use crate::kept;
use crate::protocol::{Failure, FailureCause, Rendered, grpc};
use crate::stream::Record;
use crate::watch::Seen;

/// An entry answered.
pub(super) fn answered(visit: &mut Visit<'_>, entry: usize, served: Served) -> Response<AnswerBody> {
    let level = visit.shared().routes[visit.route].entries[entry].level;
    let Served { status, headers: mut fields, mut body, confidence, by_model, inference, told, .. } = served;
    headers::strip_hop_by_hop(&mut fields);
    headers::strip_ours(&mut fields);
    // The length of what a HEAD request did not get is part of its answer.
    if matches!(body, AnswerBody::Held(_)) && visit.method != Method::HEAD {
        fields.remove(header::CONTENT_LENGTH);
    }
    write_headers(visit, Some(level), &mut fields);
    if visit.trusted {
        let name = visit.answered_by(entry);
        if let Ok(value) = HeaderValue::from_str(name) {
            fields.insert(headers::BACKEND, value);
        }
    }
    if let Some(confidence) = confidence {
        visit.state.counters.borrow_mut().routes[visit.route].confidence.observe(confidence);
    }
    let is_fine = visit.case.as_ref().is_none_or(|case| case.is_fine_so_far());
    if level == Level::FULL && by_model.is_some() && status.is_success() && is_fine {
        remember(visit, status, &fields, &mut body);
    }
    if let Some(lead) = visit.lead.take() {
        lead.end(Upshot::Answered);
    }
    let kind = visit.entry(entry).answer.kind();
    visit.state.counters.borrow_mut().routes[visit.route].entry(level, kind).answered += 1;
    let ending = if status.is_client_error() { Ending::CallersFault } else { Ending::Answered };
    let features = visit.used.filter(|_| by_model.is_some());
    // A model's answer in whole becomes the stream that was asked for.
    let streamed = matches!(body, AnswerBody::Streamed(_)) || (told.is_some() && visit.streaming.is_some());
    let told = told.or_else(|| glance(visit, by_model, &body));
    let usage = told.as_ref().map(|told| told.usage).unwrap_or_default();
    let ended = ended(visit, Some(level), status, ending);
    let ended = Ended { model: by_model, inference, confidence, features, streamed, usage, ..ended };
    observe(visit, level, &ended, &body);
    let body = count(visit, entry, (ended, told.and_then(|told| told.finish)), body);
    respond(if visit.protocol().is_grpc() { StatusCode::OK } else { status }, fields, body)
}

/// No level admitted the request.
pub(super) fn shed(visit: &mut Visit<'_>, reason: LoadReason) -> Response<AnswerBody> {
    let wait = visit.retry_after();
    let failure = Failure::new(FailureCause::Shed, "the service is at its limit; try again later")
        .with_retry(wait, visit.retry_is_welcome());
    visit.reason = Some(reason.as_str());
    fail(visit, &failure, Ending::Shed)
}

/// No entry was left.
pub(super) fn exhausted(visit: &mut Visit<'_>) -> Response<AnswerBody> {
    visit.state.counters.borrow_mut().routes[visit.route].all_failed += 1;
    let late = visit.shared().clock.now() >= visit.deadline.at;
    let failure = if late {
        Failure::new(FailureCause::Deadline, "the deadline passed before any level had an answer")
    } else {
        Failure::new(FailureCause::Exhausted, "no level had an answer")
    };
    fail(visit, &failure, Ending::Answered)
}

/// The request's body came to nothing while it was passed on.
pub(super) fn broken_off(visit: &mut Visit<'_>, fault: UploadFault) -> Response<AnswerBody> {
    let limits = &visit.shared().plan.limits;
    let message = match fault {
        UploadFault::TooLong => {
            format!("the request's body is longer than {} bytes (`limits.body`)", limits.body_bytes)
        }
        UploadFault::Late => "the request's body did not arrive within the deadline".to_owned(),
        UploadFault::Broken => "the request's body broke off, or is not valid HTTP".to_owned(),
    };
    visit.reason = Some(fault.cause().code());
    let mut failure = Failure::new(fault.cause(), message);
    if fault == UploadFault::Late {
        failure = failure.with_retry(visit.retry_after(), visit.retry_is_welcome());
    }
    fail(visit, &failure, Ending::CallersFault)
}

fn fail(visit: &mut Visit<'_>, failure: &Failure<'_>, ending: Ending) -> Response<AnswerBody> {
    let rendered = super::error(visit.protocol(), failure, &visit.id);
    let mut fields = HeaderMap::with_capacity(10);
    failure.write_headers_of(visit.protocol(), &mut fields);
    write_headers(visit, None, &mut fields);
    let ended = ended(visit, None, rendered.status, ending);
    end(visit, &ended);
    keep(visit, None, (&ended, None), &[]);
    respond_with(rendered, fields)
}

pub(super) const LEVELS: [HeaderValue; Level::COUNT] = [
    HeaderValue::from_static("0"),
    HeaderValue::from_static("1"),
    HeaderValue::from_static("2"),
    HeaderValue::from_static("3"),
    HeaderValue::from_static("4"),
];

fn write_headers(visit: &Visit<'_>, level: Option<Level>, fields: &mut HeaderMap) {
    fields.reserve(8);
    fields.insert(REQUEST_ID, visit.id.clone());
    // A request that nobody answered stands where it started.
    fields.insert(headers::LEVEL, LEVELS[level.unwrap_or(visit.start).index()].clone());
    let degraded = level != Some(Level::FULL);
    fields.insert(headers::DEGRADED, HeaderValue::from_static(if degraded { "true" } else { "false" }));
    let attempts = match visit.attempts {
        0 => HeaderValue::from_static("0"),
        1 => HeaderValue::from_static("1"),
        n => HeaderValue::from(n),
    };
    fields.insert(headers::ATTEMPTS, attempts);
    if degraded {
        fields.insert(headers::REASON, HeaderValue::from_static(visit.reason.unwrap_or("level")));
    }
    if let Some(tag) = visit.met.as_ref().and_then(|met| met.tag()).filter(|_| visit.trusted) {
        fields.insert(headers::EXPERIMENT, tag.clone());
    }
    if visit.stale > 0 {
        fields.insert(headers::STALE, HeaderValue::from(visit.stale));
    }
}

/// Keeps a good answer for the `cache` level.
fn remember(visit: &Visit<'_>, status: StatusCode, fields: &HeaderMap, body: &mut AnswerBody) {
    let shared = visit.shared();
    if !shared.routes[visit.route].caches || visit.is_touched() {
        return;
    }
    if let AnswerBody::Streamed(streamed) = body {
        return visit.cache_key().into_iter().for_each(|key| streamed.keep_as(key));
    }
    // The caller's stream, which came from a whole answer, is no body that others could be given.
    if visit.streaming.is_some() {
        return;
    }
    let (Some(bytes), Some(key)) = (body.whole(), visit.cache_key()) else { return };
    let mut answer = Response::new(bytes.clone());
    *answer.status_mut() = status;
    *answer.headers_mut() = fields.clone();
    if let Err(why) = shared.answers.store(key, visit.protocol(), Level::FULL, &answer, shared.clock.now()) {
        tracing::trace!(?why, "an answer was not kept");
    }
}

fn ended(visit: &Visit<'_>, level: Option<Level>, status: StatusCode, ending: Ending) -> Ended {
    let now = visit.shared().clock.now();
    let duration = now.since(visit.began);
    Ended {
        level,
        overhead: duration.saturating_sub(visit.waited),
        filters: visit.state.filters(visit.route, &visit.facts()),
        unjudged: visit.case.as_ref().is_some_and(|case| !case.is_judged(visit.state)),
        synthetic: visit.synthetic,
        operation: visit.operation(),
        ..Ended::new((now, duration), visit.class, status.as_u16(), ending)
    }
}

/// Counts a request that ended.
fn end(visit: &Visit<'_>, ended: &Ended) {
    visit.state.end(visit.route, ended);
    if let Some(met) = &visit.met {
        met.count(visit.state, ended);
    }
}

/// Counts the request: at once, or when its relayed answer ends.
fn count(
    visit: &mut Visit<'_>,
    entry: usize,
    (ended, finish): (Ended, Option<Finish>),
    body: AnswerBody,
) -> AnswerBody {
    if let Some(operation) = ended.operation.filter(|_| ended.streamed) {
        let speaker = (visit.route, ended.model, operation);
        visit.state.counters.borrow_mut().languages.entry(speaker).or_default().begin_stream();
    }
    match body {
        AnswerBody::Held(_) | AnswerBody::Message(_) => {
            end(visit, &ended);
            keep(visit, Some(entry), (&ended, finish.as_ref()), body.whole().map_or(&[][..], |bytes| bytes));
            if let Some(case) = visit.case.take() {
                case.close(visit.state, ended);
            }
            body
        }
        AnswerBody::Relayed(mut relay) => {
            relay.record(record(visit, entry, ended));
            AnswerBody::Relayed(relay)
        }
        AnswerBody::Streamed(mut streamed) => {
            let plan = visit.plan_of_rescue(entry);
            streamed.record(record(visit, entry, ended), plan);
            AnswerBody::Streamed(streamed)
        }
    }
}

/// What is counted when an answer ends that goes on after its head.
fn record(visit: &mut Visit<'_>, entry: usize, ended: Ended) -> Record {
    let draft = RequestFinished { stream: true, ..draft(visit, Some(entry), (&ended, None), &[]) };
    let (state, met, case) = (Rc::clone(visit.state), visit.met.take(), visit.case.take());
    Record { state, route: visit.route, began: visit.began, ended, draft: Box::new(draft), met, case }
}

/// Shows monitors and labels what they are to see.
fn observe(visit: &Visit<'_>, level: Level, ended: &Ended, body: &AnswerBody) {
    let watch = &visit.shared().routes[visit.route].watch;
    if visit.synthetic
        || visit.is_left_out()
        || ended.ending != Ending::Answered
        || (!watch.has_monitors() && watch.share.is_none())
    {
        return;
    }
    let id = visit.id.to_str().unwrap_or_default();
    let by_model = ended.model.is_some();
    let for_labels = by_model && watch.share.is_some_and(|share| is_remembered(visit.client, id, share));
    let watched = watch.has_monitors() && visit.state.is_watched(visit.route);
    if !for_labels && !watched {
        return;
    }
    let answer = match body {
        AnswerBody::Held(Some(bytes)) if by_model => &**bytes,
        AnswerBody::Held(_) | AnswerBody::Message(_) | AnswerBody::Relayed(_) | AnswerBody::Streamed(_) => &[],
    };
    let prediction = watch.predicted(answer);
    let confidence = ended.confidence.filter(|_| by_model);
    let seen = Seen {
        request: visit.held_body(),
        answer,
        features: &visit.features,
        prediction: prediction.as_ref(),
        confidence,
    };
    let values = if watched { watch.values(&seen) } else { Vec::new() };
    visit.state.observe(Observed {
        at: ended.at,
        request_id: id.into(),
        client: visit.client.into(),
        route: visit.route as u32,
        class: visit.class,
        level,
        backend: ended.model.map(|backend| backend as u32),
        for_labels,
        prediction,
        confidence,
        values,
    });
}

/// Keeps the request where it is among those that are kept.
fn keep(visit: &Visit<'_>, entry: Option<usize>, (ended, finish): (&Ended, Option<&Finish>), answer: &[u8]) {
    if visit.is_left_out() {
        return;
    }
    let kept = visit.state.kept(visit.route, ended);
    if kept.any() {
        visit.state.keep(draft(visit, entry, (ended, finish), answer), &kept, ended.at);
    }
}

/// All that is known of a request; what is only known at the end of a relayed answer is filled in then.
pub(super) fn draft(
    visit: &Visit<'_>,
    entry: Option<usize>,
    (ended, finish): (&Ended, Option<&Finish>),
    answer: &[u8],
) -> RequestFinished {
    let shared = visit.shared();
    let model = ended.model.map(|backend| &shared.plan.backends[backend]);
    let watch = &shared.routes[visit.route].watch;
    let prediction = if ended.model.is_some() { watch.predicted(answer) } else { None };
    let trace = visit.trace.as_ref();
    let mut event = RequestFinished {
        client: Some(visit.client.to_owned()).filter(|client| !client.is_empty()),
        request_id: visit.id.to_str().unwrap_or_default().to_owned(),
        reason: visit.reason.map(Into::into),
        attempts: visit.attempts,
        model: model.and_then(|backend| backend.model.clone()),
        model_version: model.and_then(|backend| backend.version.clone()),
        backend: entry.map(|entry| visit.answered_by(entry).to_owned()),
        prediction: prediction.and_then(scalar),
        features: kept::features(&visit.features, &shared.plan.features),
        stale_features: visit.stale,
        finish_reason: finish.map(|finish| finish.openai().to_owned()),
        provider: model.and_then(provider),
        stream: ended.streamed,
        experiment: visit.met.as_ref().and_then(|met| met.run()),
        trace_id: trace.map(|(_, context)| context.trace_hex()),
        span_id: trace.map(|(_, context)| context.span_hex()),
        parent_span_id: trace.and_then(|(parent, _)| parent.map(|span| format!("{span:016x}"))),
        ..RequestFinished::new(visit.plan().name.clone(), ended.class, ended.code)
    };
    ended.tell(&mut event);
    event
}

/// Who provides a language model.
pub(crate) fn provider(backend: &Backend) -> Option<String> {
    let protocol = backend.protocol;
    protocol.is_of_language_models().then(|| protocol.name().to_owned())
}

fn scalar(value: Value) -> Option<Scalar> {
    match value {
        Value::Number(number) => Some(Scalar::Number(number)),
        Value::Word(word) => Some(Scalar::Word(word.into())),
        Value::Missing | Value::Vector(_) => None,
    }
}

/// What a model's answer in whole says of itself; that of a stream is known at its end.
fn glance(visit: &Visit<'_>, by_model: Option<usize>, body: &AnswerBody) -> Option<Box<Glance>> {
    match body {
        AnswerBody::Held(Some(bytes)) if by_model.is_some() && visit.is_for_language_model() => {
            Some(Box::new(whole::glance(bytes)))
        }
        AnswerBody::Held(_) | AnswerBody::Message(_) | AnswerBody::Relayed(_) | AnswerBody::Streamed(_) => None,
    }
}

pub(super) fn respond_with(rendered: Rendered, mut fields: HeaderMap) -> Response<AnswerBody> {
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(rendered.content_type));
    // What gRPC has to say stands in its own status; HTTP's is always the same.
    let status = if rendered.content_type == grpc::CONTENT_TYPE { StatusCode::OK } else { rendered.status };
    respond(status, fields, rendered.into_body())
}

fn respond(status: StatusCode, fields: HeaderMap, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}
