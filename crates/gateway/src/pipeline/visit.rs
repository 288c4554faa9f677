//! What is known of a request while it goes down its ladder.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Uri};
use mainstay_core::llm::answering::Begun;
use mainstay_core::llm::taxonomy::{Action, Kind};
use mainstay_core::llm::{self, Dialect};
use mainstay_core::observe::trace::Context;
use mainstay_core::plan::{AfterCommit, AnswerBy, Route};
use mainstay_core::resilience::deadline::Deadline;
use mainstay_core::resilience::keys;
use mainstay_core::resilience::ladder;
use mainstay_core::resilience::outcome::{FailureKind, Outcome};
use mainstay_core::resilience::retry::{Decision, Retry, RetryBudget};
use mainstay_core::route::{Class, Level, Protocol};
use mainstay_core::safety::Blocked;
use mainstay_core::time::Time;

use super::{held, lowered};
use crate::answers::local::Asked;
use crate::answers::{KeyParts, Lead, RequestFacts, RequestKey, Upshot, class_by_rules};
use crate::attempt::Failed;
use crate::body::Outgoing;
use crate::chaos::{Asking, Met, Recorded, Standing};
use crate::checks::Case;
use crate::counters::UsedFeatures;
use crate::features::Retrieved;
use crate::headers;
use crate::identity::Caller;
use crate::protocol::{self, Facts, Failure, FailureCause, Rpc};
use crate::shared::Shared;
use crate::streamed::{BEAT, BEAT_MIN, Plan, Streaming};
use crate::until::Until;
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
    pub(super) deadline: Until,
    /// When a stream that has begun by then must have ended.
    pub(super) ends: Until,
    /// Its caller, or another mainstay before this one, asks again.
    is_retry: bool,
    /// Where it starts.
    pub(super) start: Level,
    pub(super) attempts: u32,
    /// Attempts of another mainstay on the way here.
    pub(super) earlier: u32,
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
    /// The order that it met.
    pub(super) met: Option<Box<Met>>,
    /// The context of the largest model that refused the chat as too long for it; 0 where that is not known.
    pub(super) too_long_for: Option<u64>,
    /// How a language model's answer is to be streamed; `None`: it is not.
    pub(super) streaming: Option<Box<Streaming>>,
    /// The checks of the answer at hand.
    pub(super) case: Option<Box<Case>>,
    /// An answer was kept from its caller: no entry above this level is asked any more.
    pub(super) floor: Level,
    /// The caller's span, where it tells one, and this request's own.
    pub(super) trace: Option<(Option<u64>, Context)>,
    /// What is asked over gRPC, where that is spoken.
    pub(super) rpc: Option<Rpc>,
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
        let rpc = plan.protocol.is_grpc().then(|| Rpc::of(head.uri.path()));
        let facts = match protocol::facts(plan.protocol, &head.headers, held(&body)) {
            // Other methods have other messages.
            _ if matches!(rpc, Some(Rpc::OfModel | Rpc::Other)) => Facts::default(),
            Ok(facts) => facts,
            // The start of a longer body is no whole JSON, and nobody's mistake.
            Err(_) if matches!(body, Outgoing::Once { .. }) => Facts::default(),
            Err(error) => return Err(Failure::new(FailureCause::BadRequest, error.to_string())),
        };
        let hints = protocol::hints(&head.headers, &shared.plan.objectives);
        let synthetic = caller.trusted && headers::is_synthetic(&head.headers);
        let ready_at = shared.clock.now();
        let soonest = |of: [Option<Duration>; 2], most| of.into_iter().flatten().fold(most, Duration::min);
        let whole = soonest([hints.deadline, facts.timeout], plan.deadline);
        // A caller's patience ends while it hears nothing: of a stream until it begins.
        let begins = if facts.stream {
            soonest([hints.patience, hints.ttft], whole)
        } else {
            whole.min(hints.patience.unwrap_or(whole))
        };
        let ends = if facts.stream { whole } else { begins };
        let until = |most: Duration| Until { at: ready_at + most, hurried: most < plan.deadline };
        let runtime = &shared.routes[route];
        let start = runtime.level();
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
            deadline: until(begins),
            ends: until(ends),
            is_retry: hints.is_retry,
            start,
            attempts: 0,
            earlier: hints.earlier,
            waited: Duration::ZERO,
            reason: (start > runtime.best_level()).then(|| runtime.level_word()),
            turned_away_by: None,
            features: Vec::new(),
            stale: 0,
            lead: None,
            used: None,
            synthetic,
            met: None,
            too_long_for: None,
            streaming: None,
            case: None,
            floor: Level::FULL,
            trace: None,
            rpc,
        };
        visit.trace = visit.place_in_trace();
        if facts.stream {
            visit.streaming = visit.streamed(&facts, hints.patience);
        }
        if !caller.is_stranger() {
            let placed = visit.place(plan);
            visit.class = lowered(visit.class, [Some(placed), hints.class, facts.priority]);
        }
        Ok(visit)
    }

    /// It has come from its caller: its keys are counted, and it meets an order where one is in force.
    pub(super) fn arrive(&mut self) {
        // Who comes again was counted, and paid for, when it was told to.
        if !self.is_retry {
            let admitted = &self.state.admitted[self.route];
            admitted.set(admitted.get() + 1);
        }
        self.note_keys();
        if self.shared().injector.is_armed() {
            self.met = self.meet();
        }
    }

    /// How its answer is streamed, where a language model is asked at a path that is understood.
    fn streamed(&self, facts: &Facts, patience: Option<Duration>) -> Option<Box<Streaming>> {
        let dialect = Dialect::of_path(self.uri.path())?;
        if !self.is_for_language_model() || self.whole_body().is_none() {
            return None;
        }
        let id = self.id.to_str().unwrap_or_default();
        let mut streaming = Streaming::of(self.shared(), self.route, dialect, id);
        streaming.settings.include_usage = facts.include_usage;
        streaming.settings.choices = facts.choices;
        // It hears something in time.
        streaming.beat = patience.map_or(BEAT, |patience| (patience / 2).clamp(BEAT_MIN, BEAT));
        Some(Box::new(streaming))
    }

    /// It is asked for somebody whose caller has the beginning of an answer.
    pub(super) fn hand_over(&mut self, plan: &Plan, begun: Begun) {
        (self.class, self.deadline, self.attempts) = (plan.class, plan.deadline, plan.attempts);
        self.ends = plan.deadline;
        (self.key, self.too_long_for) = (plan.key, plan.too_long_for);
        if let Some(streaming) = &mut self.streaming {
            streaming.hands_over = true;
            // What goes on with an answer is no answer of its own that could be checked.
            if begun == Begun::Continued {
                streaming.settings.said_max = 0;
            }
        }
    }

    /// How others could take over its answer.
    pub(super) fn plan_of_rescue(&self, entry: usize) -> Option<Box<Plan>> {
        let rescues = matches!(self.plan().stream.after_commit, AfterCommit::Continue | AfterCommit::Restart);
        let body = self.whole_body().filter(|_| rescues)?;
        Some(Box::new(Plan {
            state: Rc::clone(self.state),
            route: self.route,
            entry,
            method: self.method.clone(),
            uri: self.uri.clone(),
            headers: self.headers.clone(),
            body,
            class: self.class,
            client: self.client.to_owned(),
            trusted: self.trusted,
            id: self.id.clone(),
            deadline: self.ends,
            key: self.key,
            too_long_for: self.too_long_for,
            attempts: self.attempts,
        }))
    }

    /// It was sent on top of the real ones, as one that came before it and had this class.
    pub(super) fn send_again(&mut self, class: Class, standing: Arc<Standing>) {
        (self.class, self.synthetic) = (class, true);
        self.met = Some(Box::new(Met::sent(self.state, self.began, standing)));
    }

    /// The order in force that it meets.
    #[cold]
    fn meet(&self) -> Option<Box<Met>> {
        let asking = Asking {
            state: self.state,
            began: self.began,
            route: &self.plan().name,
            class: self.class,
            client: self.client,
            id: self.id.as_bytes(),
            headers: &self.headers,
            synthetic: self.synthetic,
        };
        let injector = &self.shared().injector;
        injector.note(&asking, || self.recorded());
        injector.meet(&asking)
    }

    /// What of it can be sent again.
    fn recorded(&self) -> Option<Recorded> {
        let recorded = Recorded {
            method: self.method.clone(),
            uri: self.uri.clone(),
            headers: self.headers.clone(),
            body: self.whole_body()?,
            class: self.class,
            client: self.client.to_owned(),
            trusted: self.trusted,
        };
        recorded.cleaned(&self.shared().clients)
    }

    /// Whether it was sent on top of the real ones.
    pub(super) fn is_sent_again(&self) -> bool {
        self.met.as_ref().is_some_and(|met| met.is_sent())
    }

    /// Whether a fault on purpose is to come to it, or came: what it leads to stays its own.
    pub(super) fn is_dosed(&self) -> bool {
        self.met.as_ref().is_some_and(|met| met.is_dosed())
    }

    /// Whether a fault on purpose came to it.
    pub(super) fn is_touched(&self) -> bool {
        self.met.as_ref().is_some_and(|met| met.is_touched())
    }

    /// Whether a fault on purpose came to it, and nobody is to learn from it.
    pub(super) fn is_left_out(&self) -> bool {
        self.met.as_ref().is_some_and(|met| met.is_left_out(&self.shared().plan))
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

    /// Whether a language model's protocol is spoken.
    pub(super) fn is_for_language_model(&self) -> bool {
        self.protocol().is_of_language_models()
    }

    /// What is asked of a language model, where it is known.
    pub(super) fn operation(&self) -> Option<&'static str> {
        if self.is_for_language_model() { llm::operation(self.uri.path()) } else { None }
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
    pub(super) const fn can_send_again(&self) -> bool {
        !self.body_is_spent
    }

    /// Whether the request is shed, and not passed to a level as deep as `next`.
    pub(super) fn sheds_before(&self, next: Option<Level>) -> bool {
        self.plan().sheds_before(next)
    }

    /// Leaves an entry for the next one.
    pub(super) fn pass(&mut self, entry: usize, reason: &'static str) {
        let entries = &self.shared().routes[self.route].entries;
        self.reason.get_or_insert(reason);
        if let Some(lead) = self.lead.take() {
            lead.end(Upshot::InVain);
        }
        if let (Some(from), Some(to)) = (entries.get(entry), entries.get(entry + 1))
            && from.level != to.level
        {
            self.state.counters.borrow_mut().routes[self.route].degrade(from.level, to.level, reason);
        }
    }

    /// Until when an entry is asked that may take so long from now on.
    pub(super) fn until(&self, entry: usize, timeout: Duration, now: Time) -> Until {
        let own = self.shared().routes[self.route].entries[entry].timeout;
        Until { at: now + timeout, hurried: self.deadline.hurried && own.is_none_or(|own| timeout < own) }
    }

    /// Its way down the ladder.
    pub(super) fn walk(&self, now: Time) -> ladder::Walk<'a> {
        let shared = self.shared();
        ladder::Walk::new(&shared.routes[self.route].entries, self.start, self.deadline.at, now)
    }

    /// An entry's answer is kept from its caller.
    pub(super) fn block(&mut self, entry: usize, blocked: Blocked) {
        self.floor = self.floor.max(blocked.level.unwrap_or(Level::FULL));
        self.count_failure(entry, blocked.reason);
        self.pass(entry, blocked.reason);
    }

    /// Whether an entry is passed over, since a check that blocked an answer names a deeper level. The last entry never is.
    pub(super) fn goes_on_below(&self, entry: usize) -> bool {
        self.entry(entry).level < self.floor && entry + 1 < self.plan().ladder.len()
    }

    /// A better entry than the route's level, one of whose breakers wants to be tried and none of which forbids it, so
    /// that its recovery does not wait for the ladder. A pin is obeyed, but for probes of the operator's own.
    pub(super) fn probe(&self) -> Option<usize> {
        let shared = self.shared();
        let runtime = &shared.routes[self.route];
        if self.start <= runtime.best_level() || (runtime.is_pinned() && !self.synthetic) {
            return None;
        }
        let now = shared.clock.now();
        ladder::probe(&runtime.entries, self.start, self.key, |component| {
            let seen = shared.component(component, now);
            (seen.health, seen.phase)
        })
    }

    /// Whether a failed attempt is made again, and after which pause.
    pub(super) fn may_retry(&self, retry: &mut Retry, failed: &Failed, until: Time) -> Option<Duration> {
        // What a language model's failure means says what is done about it.
        let is_final = failed.means.is_some_and(|kind| !matches!(kind.action(), Action::RetrySame | Action::NextKey));
        // What is wrong with a key is still wrong with it a moment later, but for asking too often.
        let is_refused = matches!(failed.key, Some(keys::Fault::Refused | keys::Fault::Spent));
        if !self.can_send_again() || is_final || is_refused || failed.is_final {
            return None;
        }
        let shared = self.shared();
        let now = shared.clock.now();
        let mut budget = self.budget();
        // Nobody has seen any of a stream that was cut within its attempt.
        let is_unseen = failed.means == Some(Kind::Cut);
        let outcome = if is_unseen { Outcome::failure(FailureKind::Transport) } else { failed.outcome };
        match retry.handle_outcome(outcome, Deadline { at: until }, &mut budget, now) {
            Decision::Retry { at } => Some(at.since(now)),
            Decision::Stop(_) => None,
        }
    }

    /// Whether an attempt that failed for its key's sake is made again with the next one. That is no retry of the model and costs none of its
    /// attempts, but it is one more call of the fleet's; so many were made so far.
    pub(super) fn may_change_key(&self, backend: usize, changes: usize, until: Time) -> bool {
        let ring = &self.shared().keys[backend];
        let now = self.shared().clock.now();
        self.can_send_again()
            && now < until
            && changes + 1 < ring.len()
            && ring.wait(now).is_zero()
            && self.budget().handle_retry(1.0, now)
    }

    /// A failure for the sake of the last key that was left: another attempt makes sense once one of them is used again.
    pub(super) fn with_keys_wish(&self, failed: Failed, backend: usize) -> Failed {
        let ring = &self.shared().keys[backend];
        if failed.key != Some(keys::Fault::Limited) || ring.len() < 2 {
            return failed;
        }
        Failed { outcome: Outcome::Throttled { retry_after: Some(ring.wait(self.shared().clock.now())) }, ..failed }
    }

    /// The route's retry budget, with this worker's admissions paid in.
    pub(super) fn budget(&self) -> std::sync::MutexGuard<'_, RetryBudget> {
        self.state.budget(self.route)
    }

    /// Whether the retry budget allows the caller to come back; it is charged for it.
    pub(super) fn retry_is_welcome(&self) -> bool {
        let now = self.shared().clock.now();
        self.budget().handle_callers_retry(now)
    }

    /// When a shed caller may come back: not all at once.
    pub(super) fn retry_after(&self) -> Duration {
        self.state.retry_after()
    }

    /// The key of this request in the answer cache.
    pub(super) fn cache_key(&self) -> Option<RequestKey> {
        if self.rpc.is_some_and(|rpc| rpc != Rpc::Infer) {
            return None;
        }
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
        runtime.said_max > 0
            || runtime.caches
            || runtime.confidence.is_some()
            || runtime.watch.reads_answers()
            || self.trims_after(0)
    }

    /// Whether an entry further down sends a chat without its oldest turns.
    pub(super) fn trims_after(&self, entry: usize) -> bool {
        let further = self.plan().ladder.iter().skip(entry + 1);
        further.filter_map(|entry| entry.answer.asked()).any(|asked| asked.context.is_some())
    }

    /// The context of an entry's model, in tokens; 0 where that is not known.
    pub(super) fn context_of(&self, entry: usize) -> Option<u64> {
        let asked = self.entry(entry).answer.asked()?;
        Some(self.shared().plan.backends[asked.backend.0].context.unwrap_or(0))
    }

    /// Whether an entry takes a chat that was too long for others: its model's context is larger, or its oldest turns are left out.
    pub(super) fn takes_more(&self, entry: usize) -> bool {
        let trims = self.entry(entry).answer.asked().is_some_and(|asked| asked.context.is_some());
        trims || self.context_of(entry) > self.too_long_for
    }

    /// Whether an entry further down takes a chat that is too long for the model of this one.
    pub(super) fn takes_more_after(&self, entry: usize) -> bool {
        let least = self.context_of(entry).max(self.too_long_for);
        let larger = |at: usize| self.context_of(at).filter(|context| *context > 0) > least;
        self.trims_after(entry) || (entry + 1..self.plan().ladder.len()).any(larger)
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
