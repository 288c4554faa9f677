//! One entry of the ladder: a backend with its retries, or an answer of our own.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use mainstay_core::answer::review::Held;
use mainstay_core::llm::taxonomy::Kind;
use mainstay_core::llm::whole::{Glance, Whole};
use mainstay_core::plan::{Answer, AnswerBy, Hold, OnRefusal};
use mainstay_core::resilience::breaker::Phase;
use mainstay_core::resilience::outcome::Outcome;
use mainstay_core::resilience::queue::LoadReason;
use mainstay_core::resilience::ramp;
use mainstay_core::resilience::retry::{Policy, Retry};
use mainstay_core::route::Level;
use mainstay_core::time::Time;
use mainstay_tower::limit::{Ask, Permit};

use super::features;
use super::hedge::{self, Made, Ran};
use super::prepared::Prepared;
use super::visit::Visit;
use crate::answers::local::{Found, Local, Miss};
use crate::answers::{CachedAnswer, Led, Upshot, answer_by_rules};
use crate::attempt::{self, Answered, Departing, Failed, Flight};
use crate::body::{AnswerBody, UploadFault};
use crate::crossing;
use crate::protocol::{self, AnswerContext, Rendered, grpc};
use crate::reviews::{self, PATIENCE};
use crate::until::Until;

/// How an entry did.
pub(super) enum Tried {
    /// It has an answer for the caller.
    Answered(Served),
    /// Its backend admits no more at this moment.
    Shed(LoadReason),
    /// It has none, for this reason.
    Passed(&'static str),
    /// It has none by its own rule: that is no failure.
    Declined(&'static str),
    /// The request itself came to nothing on its way to the backend.
    Refused(UploadFault),
}

/// An answer for the caller.
pub(super) struct Served {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: AnswerBody,
    pub(super) confidence: Option<f64>,
    /// The backend whose model gave it, and meant it.
    pub(super) by_model: Option<usize>,
    /// How long that model took.
    pub(super) inference: Option<Duration>,
    /// What a language model's answer in whole says of itself.
    pub(super) told: Option<Box<Glance>>,
    /// Whose it is: not of the entry that was asked where another of its level was asked beside it and was sooner.
    pub(super) entry: Option<usize>,
}

/// Asks an entry's backend until `until`.
pub(super) async fn remote(visit: &mut Visit<'_>, entry: usize, until: Until) -> Tried {
    let Some(asked) = visit.entry(entry).answer.asked() else { return Tried::Passed("not_remote") };
    let backend = asked.backend.0;
    if visit.too_long_for.is_some() && !visit.takes_more(entry) {
        return Tried::Passed("context_too_long");
    }
    if !takes_part(visit, entry, backend) {
        return Tried::Declined("ramping");
    }
    if let Some(tried) = behind(visit, entry, until.at).await {
        return tried;
    }
    visit.stale = 0;
    visit.used = None;
    if let Some((set, mode)) = asked.features
        && let Err(reason) = features::provide(visit, set.0, mode, until).await
    {
        return Tried::Passed(reason);
    }
    let mut prepared = match Prepared::new(visit, entry, asked) {
        Ok(prepared) => prepared,
        Err(reason) => return Tried::Passed(reason),
    };
    let attempts = visit.shared().plan.backends[backend].attempts;
    let mut retry = Retry::new(Policy { attempts, ..Policy::default() }, 1.0, visit.key);
    let mut avoid = None;
    let mut changes = 0;
    loop {
        let (failed, endpoint) = match try_once(visit, entry, &mut prepared, avoid, until).await {
            Ok(tried) => return tried,
            Err(failed) => failed,
        };
        if let Some(fault) = failed.fault {
            return Tried::Refused(fault);
        }
        avoid = Some(endpoint);
        if failed.key.is_some() && visit.may_change_key(backend, changes, until.at) {
            changes += 1;
            continue;
        }
        let failed = visit.with_keys_wish(failed, backend);
        let Some(pause) = visit.may_retry(&mut retry, &failed, until.at) else {
            return Tried::Passed(failed.reason);
        };
        tokio::time::sleep(pause).await;
        visit.waited += pause;
    }
}

/// Whether this request is among those that come to a backend which recovered a moment ago. The operator's own probes are.
fn takes_part(visit: &Visit<'_>, entry: usize, backend: usize) -> bool {
    let shared = visit.shared();
    let over = shared.plan.backends[backend].ramp;
    if over.is_zero() || visit.synthetic {
        return true;
    }
    let back = shared.routes[visit.route].back_at(visit.entry(entry).level);
    let own = shared.backends[backend].breaker.recovered();
    let in_group = shared.groups.of(backend).and_then(|group| group.breaker.recovered());
    ramp::takes_part([back, own, in_group], over, || visit.state.rng.borrow_mut().unit(), shared.clock.now())
}

/// Where equal requests wait for one call: what came of the one that called, unless this is the one to call.
///
/// Who called and found nothing, or left, is followed by the next one and not by all that wait; after [`IN_VAIN_MAX`] that found nothing the
/// others do not try it either.
async fn behind(visit: &mut Visit<'_>, entry: usize, until: Time) -> Option<Tried> {
    let shared = visit.shared();
    if !shared.routes[visit.route].single_flight
        || visit.entry(entry).level != Level::FULL
        || visit.lead.is_some()
        || visit.is_dosed()
    {
        return None;
    }
    let (key, began) = (visit.cache_key()?, shared.clock.now());
    let mut in_vain = 0;
    loop {
        let leader = match shared.flights.join(key) {
            Led::First(lead) => {
                visit.lead = Some(lead);
                return None;
            }
            Led::Behind(leader) => leader,
        };
        let asked = shared.clock.now();
        let led = tokio::time::timeout_at(shared.clock.instant(until), leader.end()).await;
        let now = shared.clock.now();
        visit.waited += now.since(asked);
        if let Some(served) = recall(visit, now.since(began)) {
            return Some(Tried::Answered(served));
        }
        match led {
            // What is not kept is not for others: each asks for itself.
            Ok(Upshot::Answered) => return None,
            Ok(Upshot::Left) => {}
            Ok(Upshot::InVain) => in_vain += 1,
            Err(_) => return Some(Tried::Passed("timeout")),
        }
        if in_vain >= IN_VAIN_MAX {
            return Some(Tried::Passed("asked_in_vain"));
        }
    }
}

/// How many may call in vain before those that wait for the same go on without.
const IN_VAIN_MAX: u32 = 2;

/// One attempt. `Err` holds what failed and at which endpoint.
async fn try_once(
    visit: &mut Visit<'_>,
    entry: usize,
    prepared: &mut Prepared,
    avoid: Option<usize>,
    until: Until,
) -> Result<Tried, (Failed, usize)> {
    if !prepared.can_be_sent(visit) {
        return Ok(Tried::Passed("body_too_long_to_resend"));
    }
    let clock = visit.shared().clock;
    let permit = match permit(visit, prepared.backend, until.at).await {
        Ok(permit) => permit,
        Err(tried) => return Ok(tried),
    };
    let began = clock.now();
    let (backend, borrowed) = (prepared.backend, prepared.borrowed);
    let call = Departing { backend, request: visit.key, permit, borrowed, avoid, avoid_key: None };
    let flight = match Flight::pass(visit.shared(), call, &mut visit.state.rng.borrow_mut(), began) {
        Ok(flight) => flight,
        Err(refused) => return Ok(Tried::Passed(refused)),
    };
    // A body that can be sent only once is spent by a call that is made.
    let Some(body) = prepared.body(visit) else {
        flight.unmade();
        return Ok(Tried::Passed("body_too_long_to_resend"));
    };
    let (endpoint, key) = (flight.endpoint(), flight.key().cloned());
    visit.attempts += 1;
    let mut parcel = prepared.parcel(visit, visit.attempts, body, key.as_ref(), until.at);
    let state = Rc::clone(visit.state);
    let call = prepared.call(visit, &state, &mut parcel, until);
    // Who was asked before is asked again, and not hedged besides.
    let pace = if avoid.is_none() { hedge::pace(visit, entry) } else { None };
    let ran = match pace {
        None => Ran::alone(attempt::send(call, endpoint, flight).await, entry, endpoint, clock.now().since(began)),
        Some(pace) => Box::pin(hedge::race(visit, &Made { entry, endpoint, key }, call, flight, pace)).await,
    };
    visit.waited += clock.now().since(began);
    visit.attempts += ran.further;
    let Ran { sent, entry, endpoint, took, .. } = ran;
    match sent {
        Ok(answered) if too_long_for_the_model(visit, entry, &answered) => Ok(Tried::Passed("context_too_long")),
        Ok(answered) if is_asked_elsewhere(visit, entry, &answered) => Ok(Tried::Passed("content_refused")),
        Ok(answered) => Ok(Tried::Answered(served(visit, entry, answered, took))),
        Err(failed) => Err((failed, endpoint)),
    }
}

/// Whether a chat is refused as too long for the model where an entry further down takes more tokens, or leaves out its
/// oldest turns. Without such an entry the refusal is the caller's to read.
fn too_long_for_the_model(visit: &mut Visit<'_>, entry: usize, answered: &Answered) -> bool {
    if !visit.is_for_language_model() || !visit.can_send_again() || !visit.takes_more_after(entry) {
        return false;
    }
    let refused = answered.says == Some(Kind::Context);
    if refused {
        visit.too_long_for = visit.context_of(entry).max(visit.too_long_for);
    }
    refused
}

/// Whether a provider's filter refuses what is asked, and the route has others asked then.
fn is_asked_elsewhere(visit: &Visit<'_>, entry: usize, answered: &Answered) -> bool {
    let plan = visit.plan();
    answered.says == Some(Kind::Content)
        && plan.on_content_refusal == OnRefusal::Next
        && visit.can_send_again()
        && entry + 1 < plan.ladder.len()
}

/// A place at the backend: at once, after a wait in the route's line, or not at all.
async fn permit(visit: &mut Visit<'_>, at: usize, until: Time) -> Result<Permit, Tried> {
    let shared = visit.shared();
    let backend = &shared.backends[at];
    let now = shared.clock.now();
    let is_open = |phase| matches!(phase, Phase::Open | Phase::ForcedOpen);
    if !backend.breaker.is_closed() && is_open(backend.breaker.state(now).phase) {
        return Err(Tried::Passed("breaker_open"));
    }
    if shared.groups.of(at).is_some_and(|group| is_open(group.phase(now))) {
        return Err(Tried::Passed("group_open"));
    }
    let plan = visit.plan();
    let wait = if visit.turned_away_by == Some(at) { Duration::ZERO } else { plan.queue.wait };
    let ask = Ask {
        class: visit.class,
        route: visit.route as u32,
        queue_max: plan.queue.max as u32,
        shed: plan.shed,
        wait_until: until.min(now + wait),
    };
    let place = backend.limit.acquire(ask, now).await;
    backend.demand.note(visit.class, place.is_ok());
    visit.waited += shared.clock.now().since(now);
    place.map_err(|refused| {
        visit.turned_away_by = Some(at);
        visit.state.counters.borrow_mut().routes[visit.route].shed(visit.class, refused.reason.as_str());
        Tried::Shed(refused.reason)
    })
}

/// Counts an answer, and takes what is passed on.
fn served(visit: &Visit<'_>, entry: usize, answered: Answered, took: Duration) -> Served {
    let by_model = visit.entry(entry).answer.asked().filter(|_| answered.outcome == Outcome::Success);
    let by_model = by_model.map(|asked| asked.backend.0);
    if let Some(backend) = by_model {
        let mut counters = visit.state.counters.borrow_mut();
        let counted = &mut counters.backends[backend];
        counted.predictions += 1;
        counted.latency.observe(took.as_secs_f64());
    }
    Served {
        status: answered.status,
        headers: answered.headers,
        body: answered.body,
        confidence: answered.confidence,
        by_model,
        inference: by_model.map(|_| took),
        told: answered.told,
        entry: Some(entry),
    }
}

/// Answers here and now. An answer that took longer than it may is counted, and given all the same.
pub(super) async fn local(visit: &mut Visit<'_>, entry: usize) -> Tried {
    let clock = visit.shared().clock;
    let began = clock.now();
    // What an entry before this one was given is no part of its answer.
    visit.stale = 0;
    let tried = local_answer(visit, entry).await;
    let plan = visit.entry(entry);
    if clock.now().since(began) > plan.budget.unwrap_or(usual_budget(&plan.answer)) {
        visit.state.counters.borrow_mut().routes[visit.route].entry(plan.level, plan.answer.kind()).late += 1;
    }
    tried
}

/// What local answers may take unless configured.
const fn usual_budget(answer: &AnswerBy) -> Duration {
    match answer {
        AnswerBy::Hold(_) => PATIENCE,
        AnswerBy::Backend { .. }
        | AnswerBy::Rules { .. }
        | AnswerBy::Table(_)
        | AnswerBy::Rank(_)
        | AnswerBy::Keywords(_)
        | AnswerBy::Velocity(_)
        | AnswerBy::Cache { .. }
        | AnswerBy::Respond(_) => Duration::from_millis(1),
    }
}

async fn local_answer(visit: &mut Visit<'_>, entry: usize) -> Tried {
    let found = match &visit.entry(entry).answer {
        AnswerBy::Backend { .. } => return Tried::Passed("not_local"),
        AnswerBy::Rules { rules, otherwise } => {
            features::recall(visit);
            let found = answer_by_rules(rules, otherwise.as_ref(), &visit.facts());
            visit.count_rule_errors(found.errors);
            match found.decided {
                Some(answer) => render(visit, entry, answer),
                None => return Tried::Declined("no_rule_matched"),
            }
        }
        AnswerBy::Cache { max_age, .. } => {
            return recall(visit, *max_age).map_or(Tried::Declined("not_cached"), Tried::Answered);
        }
        // Nobody is to look at a request that nobody sent.
        AnswerBy::Hold(_) if visit.is_sent_again() => return Tried::Declined("sent_again"),
        AnswerBy::Hold(hold) => {
            let answer = self::hold(visit, entry, hold).await;
            match answer {
                Some(answer) => render(visit, entry, &answer),
                None => return Tried::Passed("value_missing"),
            }
        }
        AnswerBy::Respond(answer) => render(visit, entry, answer),
        answer @ (AnswerBy::Table(_) | AnswerBy::Rank(_) | AnswerBy::Keywords(_) | AnswerBy::Velocity(_)) => {
            let local = &visit.shared().routes[visit.route].locals[entry];
            match local.answer(answer, &visit.asked()).and_then(Found::whole) {
                Ok(answer) => render(visit, entry, &answer),
                Err(Miss::Declined(reason)) => return Tried::Declined(reason),
                Err(Miss::Failed(reason)) => return Tried::Passed(reason),
            }
        }
    };
    match found {
        Ok(rendered) => Tried::Answered(Served::local(rendered)),
        Err(error) => {
            tracing::debug!(%error, "a local answer could not be rendered");
            Tried::Passed("not_renderable")
        }
    }
}

/// Holds the request for a person, or says that it could not be held.
async fn hold(visit: &mut Visit<'_>, entry: usize, hold: &Hold) -> Option<Answer> {
    let otherwise = |visit: &Visit<'_>, reason| {
        visit.count_failure(entry, reason);
        hold.otherwise.fill(&|_| None).ok()
    };
    let Local::Hold(line) = &visit.shared().routes[visit.route].locals[entry] else {
        return otherwise(visit, "queue_disk_error");
    };
    let body = visit.whole_body().filter(|body| body.len() <= reviews::BODY_MAX);
    let Some(body) = body.and_then(|body| String::from_utf8(body.to_vec()).ok()) else {
        return otherwise(visit, "body_not_text_or_too_long");
    };
    let now = visit.shared().clock.now();
    let held = Held {
        at: now,
        route: visit.plan().name.clone(),
        client: visit.client.to_owned(),
        request_id: visit.id.to_str().unwrap_or_default().to_owned(),
        reason: visit.reason.unwrap_or("level").to_owned(),
        body,
    };
    let patience = visit.entry(entry).budget.unwrap_or(PATIENCE);
    let done = line.hold(held, patience).await;
    visit.waited += visit.shared().clock.now().since(now);
    match done {
        Ok(id) => hold.respond.fill(&|name| (name == "id").then(|| format!("{}-{id}", line.name).into())).ok(),
        Err(why) => otherwise(visit, why.word()),
    }
}

/// The last good answer to the same request, under this request's id.
fn recall(visit: &Visit<'_>, max_age: Duration) -> Option<Served> {
    let shared = visit.shared();
    let kept = shared.answers.find(visit.cache_key()?, max_age, shared.clock.now())?;
    let facts = protocol::facts(visit.protocol(), &visit.headers, visit.held_body()).ok()?;
    if facts.stream && visit.is_for_language_model() {
        return recalled_stream(visit, &kept);
    }
    let mut headers = HeaderMap::with_capacity(8);
    if let Some(content_type) = &kept.content_type {
        headers.insert(header::CONTENT_TYPE, content_type.clone());
    }
    let body = kept.body_for(facts.id.as_deref());
    let body = if visit.rpc.is_some() { AnswerBody::message(body, grpc::ok()) } else { AnswerBody::held(body) };
    let rendered = Served::local(Rendered { status: kept.status, content_type: protocol::JSON, body: Bytes::new() });
    Some(Served { headers, body, ..rendered })
}

/// The same for a caller that asked for a stream: all of it at once, where it can be read.
fn recalled_stream(visit: &Visit<'_>, kept: &CachedAnswer) -> Option<Served> {
    let settings = &visit.streaming.as_deref()?.settings;
    let whole = Whole::read(settings.dialect, &kept.body_for(None)).ok()?;
    let body = crossing::stream(settings, &whole, visit.shared().clock.now()).ok()?.into();
    Some(Served::local(Rendered { status: kept.status, content_type: "text/event-stream", body }))
}

fn render(visit: &Visit<'_>, entry: usize, answer: &Answer) -> Result<Rendered, protocol::RenderError> {
    let model = protocol::model_in_path(visit.uri.path()).map_or(visit.answered_by(entry), |(model, _)| model);
    let context = AnswerContext {
        path: visit.uri.path(),
        headers: &visit.headers,
        request_body: visit.held_body(),
        model,
        version: None,
        created: visit.shared().clock.now().as_millis() / 1000,
        request_id: visit.id.to_str().unwrap_or_default(),
    };
    protocol::render(visit.protocol(), answer, &context)
}

impl Served {
    fn local(rendered: Rendered) -> Served {
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(rendered.content_type));
        Served {
            status: rendered.status,
            headers,
            body: rendered.into_body(),
            confidence: None,
            by_model: None,
            inference: None,
            told: None,
            entry: None,
        }
    }
}
