//! What is known of a request while it goes down its ladder.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Uri};
use mainstay_core::observe::trace::Context;
use mainstay_core::plan::{AnswerBy, Route};
use mainstay_core::resilience::breaker::Phase;
use mainstay_core::resilience::deadline::Deadline;
use mainstay_core::resilience::ladder::Entry;
use mainstay_core::resilience::retry::{Decision, Retry, RetryBudget};
use mainstay_core::route::{Class, Level, Protocol};
use mainstay_core::time::Time;

use super::{held, lowered};
use crate::answers::local::Asked;
use crate::answers::{KeyParts, Lead, RequestFacts, RequestKey, class_by_rules};
use crate::attempt::Failed;
use crate::body::Outgoing;
use crate::counters::UsedFeatures;
use crate::features::Retrieved;
use crate::headers;
use crate::identity::Caller;
use crate::protocol::{self, Facts, Failure, FailureCause};
use crate::shared::Shared;
use crate::worker::State;

/// A request on its way down.
pub(crate) struct Visit<'a> {
    pub(super) state: &'a Rc<State>,
    pub(super) route: usize,
    pub(super) class: Class,
    pub(super) trusted: bool,
    pub(super) client: &'a str,
    pub(super) id: HeaderValue,
    /// The same for all attempts of this request.
    pub(super) key: u64,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    body: Outgoing,
    /// The body was too long to be held, and is on its way to a backend; what is held is its start.
    body_is_spent: bool,
    /// When its head was there.
    pub(super) began: Time,
    /// When its body was there, which is when its deadline begins.
    pub(super) ready_at: Time,
    pub(super) deadline: Time,
    /// Where it starts.
    pub(super) start: Level,
    pub(super) attempts: u32,
    /// Time spent waiting for others.
    pub(super) waited: Duration,
    /// Why it left its first level.
    pub(super) reason: Option<&'static str>,
    /// The backend whose limit turned it away: it does not wait there a second time.
    pub(super) turned_away_by: Option<usize>,
    /// By feature set, as far as they were asked for.
    pub(super) features: Vec<Option<Retrieved>>,
    pub(super) stale: u32,
    /// Others wait for this request's answer, until it is dropped.
    pub(super) lead: Option<Lead>,
    /// The features of the entry at hand.
    pub(super) used: Option<UsedFeatures>,
    /// Whether it is a probe of the operator's own and no user's.
    pub(super) synthetic: bool,
    /// The caller's span, where it tells one, and this request's own.
    pub(super) trace: Option<(Option<u64>, Context)>,
}

impl<'a> Visit<'a> {
    pub(super) fn new(
        state: &'a Rc<State>,
        route: usize,
        caller: Caller<'a>,
        head: Parts,
        body: Outgoing,
        id: HeaderValue,
        began: Time,
    ) -> Result<Visit<'a>, Failure<'static>> {
        let shared = &*state.shared;
        let plan = &shared.plan.routes[route];
        let facts = match protocol::facts(plan.protocol, &head.headers, held(&body)) {
            Ok(facts) => facts,
            // The start of a longer body is no whole JSON, and nobody's mistake.
            Err(_) if matches!(body, Outgoing::Once { .. }) => Facts::default(),
            Err(error) => return Err(Failure::new(FailureCause::BadRequest, error.to_string())),
        };
        let hints = protocol::hints(&head.headers, &shared.plan.objectives);
        let synthetic = caller.trusted && headers::is_synthetic(&head.headers);
        let ready_at = shared.clock.now();
        let deadline = [hints.deadline, facts.timeout].into_iter().flatten().fold(plan.deadline, Duration::min);
        let runtime = &shared.routes[route];
        let start = runtime.level();
        state.admitted[route].set(state.admitted[route].get() + 1);
        let mut visit = Visit {
            state,
            route,
            class: caller.best_class(),
            trusted: caller.trusted,
            client: caller.name(),
            id,
            key: state.rng.borrow_mut().next_u64(),
            method: head.method,
            uri: head.uri,
            headers: head.headers,
            body,
            body_is_spent: false,
            began,
            ready_at,
            deadline: ready_at + deadline,
            start,
            attempts: 0,
            waited: Duration::ZERO,
            reason: (start > runtime.best_level()).then(|| runtime.level_word()),
            turned_away_by: None,
            features: Vec::new(),
            stale: 0,
            lead: None,
            used: None,
            synthetic,
            trace: None,
        };
        visit.trace = visit.place_in_trace();
        visit.note_keys();
        if !caller.is_stranger() {
            let placed = visit.place(plan);
            visit.class = lowered(visit.class, [Some(placed), hints.class, facts.priority]);
        }
        Ok(visit)
    }

    /// Its place in the caller's trace; where it tells none, in a new one if spans are sent anywhere.
    fn place_in_trace(&self) -> Option<(Option<u64>, Context)> {
        let told = self.headers.get(headers::TRACEPARENT);
        let told = told.and_then(|value| Context::parse(value.to_str().ok()?));
        if let Some(told) = told {
            return Some((Some(told.span_id), told.child(self.state.rng.borrow_mut().next_u64())));
        }
        let traces = self.shared().plan.observability.otlp.as_ref().is_some_and(|otlp| otlp.traces);
        traces.then(|| {
            let mut rng = self.state.rng.borrow_mut();
            (None, Context::fresh([rng.next_u64(), rng.next_u64(), rng.next_u64()]))
        })
    }

    /// Counts the request's keys where the route has an entry that does.
    fn note_keys(&self) {
        let runtime = &self.shared().routes[self.route];
        if runtime.counts_keys {
            runtime.locals.iter().for_each(|local| local.note(&self.asked()));
        }
    }

    /// The request as local answers see it.
    pub(super) fn asked(&self) -> Asked<'_> {
        let now = self.shared().clock.now();
        Asked { protocol: self.protocol(), headers: &self.headers, body: held(&self.body), now }
    }

    /// The class that the route's rules give.
    fn place(&self, plan: &Route) -> Class {
        let placed = class_by_rules(&plan.priority, &self.facts());
        self.count_rule_errors(placed.errors);
        placed.decided.unwrap_or(Class::WORST)
    }

    /// Rules that could not be evaluated did not match; somebody should know.
    pub(super) fn count_rule_errors(&self, errors: u32) {
        if errors > 0 {
            self.state.counters.borrow_mut().routes[self.route].rule_errors += u64::from(errors);
        }
    }

    /// The request as rules see it.
    pub(super) fn facts(&self) -> RequestFacts<'_> {
        let plan = self.plan();
        RequestFacts::new(&plan.name, self.client, &self.headers, held(&self.body)).with_features(&self.features)
    }

    pub(super) fn shared(&self) -> &'a Shared {
        &self.state.shared
    }

    pub(super) fn plan(&self) -> &'a Route {
        &self.state.shared.plan.routes[self.route]
    }

    pub(super) fn protocol(&self) -> Protocol {
        self.plan().protocol
    }

    /// The body as far as it is held.
    pub(super) fn held_body(&self) -> &[u8] {
        held(&self.body)
    }

    /// The body in whole; `None` where it is too long to be held.
    pub(super) fn whole_body(&self) -> Option<Bytes> {
        match &self.body {
            Outgoing::Held(bytes) => Some(bytes.clone().unwrap_or_default()),
            Outgoing::Once { .. } => None,
        }
    }

    /// The body for one attempt; `None` where it can be sent only once, and was.
    pub(super) fn body_to_send(&mut self) -> Option<Outgoing> {
        match &mut self.body {
            Outgoing::Held(_) if self.body_is_spent => None,
            Outgoing::Held(bytes) => Some(Outgoing::Held(bytes.clone())),
            Outgoing::Once { start, .. } => {
                let kept = Outgoing::Held(start.clone());
                self.body_is_spent = true;
                Some(std::mem::replace(&mut self.body, kept))
            }
        }
    }

    /// Whether another attempt could send the body.
    pub(super) fn can_send_again(&self) -> bool {
        !self.body_is_spent
    }

    /// Whether the request is shed, and not passed to a level as deep as `next`.
    pub(super) fn sheds_before(&self, next: Option<Level>) -> bool {
        self.plan().shed_before.is_some_and(|bound| next.is_none_or(|next| next >= bound))
    }

    /// Leaves an entry for the next one.
    pub(super) fn pass(&mut self, entry: usize, reason: &'static str) {
        let entries = &self.shared().routes[self.route].entries;
        self.reason.get_or_insert(reason);
        self.lead = None;
        if let (Some(from), Some(to)) = (entries.get(entry), entries.get(entry + 1))
            && from.level != to.level
        {
            self.state.counters.borrow_mut().routes[self.route].degrade(from.level, to.level, reason);
        }
    }

    /// A better entry than the route's level, one of whose breakers wants to be tried and none of which forbids it, so
    /// that its recovery does not wait for the ladder. A pin is obeyed.
    pub(super) fn probe(&self) -> Option<usize> {
        let shared = self.shared();
        let runtime = &shared.routes[self.route];
        if self.start <= runtime.best_level() || runtime.is_pinned() {
            return None;
        }
        let now = shared.clock.now();
        let wants_probe = |entry: &Entry| {
            let mut half_open = false;
            for (health, breaker) in entry.components().map(|component| shared.component(component)) {
                let phase = if breaker.is_closed() { Phase::Closed } else { breaker.state(now).phase };
                if health.last() == Some(false) || matches!(phase, Phase::Open | Phase::ForcedOpen) {
                    return false;
                }
                half_open |= phase == Phase::HalfOpen;
            }
            half_open
        };
        runtime.entries.iter().take_while(|e| e.level < self.start).position(wants_probe)
    }

    /// Whether a failed attempt is made again, and after which pause.
    pub(super) fn may_retry(&self, retry: &mut Retry, failed: &Failed, until: Time) -> Option<Duration> {
        if !self.can_send_again() {
            return None;
        }
        let shared = self.shared();
        let now = shared.clock.now();
        let mut budget = self.budget();
        match retry.handle_outcome(failed.outcome, Deadline { at: until }, &mut budget, now) {
            Decision::Retry { at } => Some(at.since(now)),
            Decision::Stop(_) => None,
        }
    }

    /// The route's retry budget, with this worker's admissions paid in.
    fn budget(&self) -> std::sync::MutexGuard<'_, RetryBudget> {
        let shared = self.shared();
        let mut budget = shared.routes[self.route].retries.lock().expect("counting does not panic");
        let admitted = self.state.admitted[self.route].take();
        if admitted > 0 {
            budget.handle_admitted(f64::from(admitted), shared.clock.now());
        }
        budget
    }

    /// Whether the retry budget would allow callers to come back.
    pub(super) fn retries_are_welcome(&self) -> bool {
        self.budget().available(self.shared().clock.now()) >= 1.0
    }

    /// When a shed caller may come back: not all at once.
    pub(super) fn retry_after(&self) -> Duration {
        Duration::from_secs_f64(self.state.rng.borrow_mut().between(0.5, 1.5))
    }

    /// The key of this request in the answer cache.
    pub(super) fn cache_key(&self) -> Option<RequestKey> {
        let body = self.whole_body()?;
        RequestKey::new(&KeyParts {
            route: &self.plan().name,
            protocol: self.protocol(),
            client: self.client,
            target: self.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str),
            headers: &self.headers,
            body: &body,
        })
    }

    /// Whether any entry of the route reads this feature set.
    pub(super) fn plan_uses(&self, set: usize) -> bool {
        let asked = self.plan().ladder.iter().filter_map(|entry| entry.answer.asked());
        asked.filter_map(|asked| asked.features).any(|(id, _)| id.0 == set)
    }

    /// Whether answers have to be readable on their way through.
    pub(super) fn reads_answers(&self) -> bool {
        let runtime = &self.shared().routes[self.route];
        runtime.caches || runtime.confidence.is_some() || runtime.watch.reads_answers() || self.trims_after(0)
    }

    /// Whether an entry further down sends a chat without its oldest turns.
    pub(super) fn trims_after(&self, entry: usize) -> bool {
        let further = self.plan().ladder.iter().skip(entry + 1);
        further.filter_map(|entry| entry.answer.asked()).any(|asked| asked.context.is_some())
    }

    /// Counts that an entry had no answer.
    pub(super) fn count_failure(&self, entry: usize, reason: &'static str) {
        let plan = self.entry(entry);
        let mut counters = self.state.counters.borrow_mut();
        counters.routes[self.route].entry(plan.level, plan.answer.kind()).fail(reason);
    }

    /// The plan's entry.
    pub(super) fn entry(&self, entry: usize) -> &'a mainstay_core::plan::Entry {
        &self.plan().ladder[entry]
    }

    /// The name of what answers at an entry.
    pub(super) fn answered_by(&self, entry: usize) -> &'a str {
        match &self.entry(entry).answer {
            AnswerBy::Backend { backend, .. } => &self.shared().plan.backends[backend.0].name,
            local => local.kind(),
        }
    }
}
