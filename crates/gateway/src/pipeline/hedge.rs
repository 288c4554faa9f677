//! A second call beside one that is late: the first good answer wins, the other call is cancelled.
//!
//! Late is a call whose answer has not begun when most have (a stream of a language model begins with its first token). The second one goes to
//! another backend, endpoint or key of the same level, costs the hedges' own budget and the route's retry budget, and waits in no line. What wins
//! is what can be shown: an answer in whole, the head of one that is relayed, a stream at its commit. Nothing is decided after that.

use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use mainstay_core::llm::Dialect;
use mainstay_core::resilience::breaker::Phase;
use mainstay_core::resilience::hedge::LEFT_MIN;
use mainstay_core::resilience::outcome::Outcome;
use mainstay_core::route::Protocol;
use mainstay_core::time::Time;
use tokio::time::timeout_at;

use super::prepared::Prepared;
use super::visit::Visit;
use crate::attempt::{self, Answered, Call, Departing, Failed, Flight};
use crate::protocol::Rpc;
use crate::shared::{Awaits, BackendShared, KeyInUse, Pace};
use crate::until::Until;

/// What came of a call, and of the one beside it if there was one.
pub(super) struct Ran {
    pub(super) sent: Result<Answered, Failed>,
    /// Where it comes from.
    pub(super) entry: usize,
    pub(super) endpoint: usize,
    /// How long the call took that it comes from.
    pub(super) took: Duration,
    /// Calls besides the first.
    pub(super) further: u32,
}

/// Where a call is under way.
pub(super) struct Made {
    pub(super) entry: usize,
    pub(super) endpoint: usize,
    pub(super) key: Option<KeyInUse>,
}

/// The call beside the first.
struct Second<'v> {
    answer: Pin<Box<dyn Future<Output = Result<Answered, Failed>> + 'v>>,
    entry: usize,
    endpoint: usize,
    began: Time,
}

/// Counts what came of a hedge, at the latest when it is dropped with its request.
struct Tally<'v, 'a> {
    visit: &'v Visit<'a>,
    outcome: &'static str,
}

impl Ran {
    /// Of one call alone.
    pub(super) const fn alone(sent: Result<Answered, Failed>, entry: usize, endpoint: usize, took: Duration) -> Ran {
        Ran { sent, entry, endpoint, took, further: 0 }
    }
}

/// How a call of this entry is watched; `None`: it is not hedged.
pub(super) fn pace(visit: &Visit<'_>, entry: usize) -> Option<Rc<Pace>> {
    let hedges = visit.shared().routes[visit.route].hedges.as_ref()?;
    if !is_repeatable(visit) {
        return None;
    }
    let awaits = match visit.streaming.as_deref() {
        // Its caller has seen the beginning of an answer.
        Some(streaming) if streaming.hands_over => return None,
        Some(_) => Awaits::Token,
        None => Awaits::Head,
    };
    hedges.pace(entry, awaits)
}

/// Whether a request that is answered twice does no harm. Over plain HTTP the config says so.
fn is_repeatable(visit: &Visit<'_>) -> bool {
    let path = visit.uri.path();
    let is_of_kind = match visit.protocol() {
        // Others keep something at the provider: responses, files, batches.
        Protocol::Openai | Protocol::Anthropic => Dialect::of_path(path).is_some() || path.ends_with("/embeddings"),
        Protocol::OpenInference => path.ends_with("/infer"),
        Protocol::OpenInferenceGrpc => visit.rpc == Some(Rpc::Infer),
        Protocol::Http => true,
    };
    is_of_kind && visit.can_send_again()
}

/// Makes a call, and another one beside it if it is late.
pub(super) async fn race(visit: &Visit<'_>, made: &Made, call: Call<'_>, flight: Flight, pace: Rc<Pace>) -> Ran {
    let clock = visit.shared().clock;
    let (began, until) = (flight.began(), call.until);
    let alone = |sent| Ran::alone(sent, made.entry, made.endpoint, clock.now().since(began));
    let late_at = pace.call(began).map(|delay| began + delay).filter(|at| *at + LEFT_MIN < until.at);
    let mut first = pin!(attempt::send(call, made.endpoint, flight.paced(Rc::clone(&pace))));
    let Some(late_at) = late_at else { return alone(first.await) };
    if let Ok(sent) = timeout_at(clock.instant(late_at), &mut first).await {
        return alone(sent);
    }
    if pace.has_begun() {
        return alone(first.await);
    }
    let mut second = match second(visit, made, &pace, until) {
        Ok(second) => second,
        Err(why) => {
            count(visit, why);
            return alone(first.await);
        }
    };
    let mut tally = Tally { visit, outcome: "cancelled" };
    let (mut failed, mut goes_on) = (None, true);
    let sent = loop {
        tokio::select! {
            biased;
            sent = &mut first, if failed.is_none() => match sent {
                Err(why) if goes_on => failed = Some(why),
                Err(why) => break Err(why),
                Ok(answered) => {
                    tally.outcome = "lost";
                    break Ok(answered);
                }
            },
            sent = &mut second.answer, if goes_on => match sent {
                // A refusal is the first call's to tell, unless that has failed.
                Ok(answered) if answered.outcome == Outcome::Success || failed.is_some() => {
                    tally.outcome = "won";
                    let now = clock.now();
                    if failed.is_none() {
                        pace.lost(now.since(began), now);
                    }
                    let Second { entry, endpoint, began, .. } = second;
                    return Ran { sent: Ok(answered), entry, endpoint, took: now.since(began), further: 1 };
                }
                Ok(_) | Err(_) => match failed {
                    Some(why) => break Err(why),
                    None => goes_on = false,
                },
            },
        }
    };
    if sent.is_err() {
        tally.outcome = "failed";
    }
    Ran { further: 1, ..alone(sent) }
}

/// The call beside one that is late, to the first that has room for it. `Err`: why there is none.
fn second<'v>(visit: &'v Visit<'_>, made: &Made, pace: &Pace, until: Until) -> Result<Second<'v>, &'static str> {
    let shared = visit.shared();
    let backend_of = |entry| visit.entry(entry).answer.asked().map(|asked| asked.backend.0);
    let own = backend_of(made.entry);
    // A backend that has too much to do, or is tried again after it failed, is late for its own reasons.
    if own.is_none_or(|own| !is_spare(&shared.backends[own])) {
        return Err("no_capacity");
    }
    if !pace.may_be_late(&mut visit.budget(), shared.clock.now()) {
        return Err("no_budget");
    }
    for entry in visit.plan().beside(made.entry, &shared.plan.backends) {
        let Some(asked) = visit.entry(entry).answer.asked() else { continue };
        if visit.too_long_for.is_some() && !visit.takes_more(entry) {
            continue;
        }
        let (at, now) = (asked.backend.0, shared.clock.now());
        let backend = &shared.backends[at];
        if !is_spare(backend)
            || shared.groups.of(at).is_some_and(|group| group.phase(now) != Phase::Closed)
            || backend.limit.view().in_flight >= backend.limit.view().limit
        {
            continue;
        }
        let Ok(mut prepared) = Prepared::new(visit, entry, asked) else { continue };
        let Some(body) = prepared.body_again(visit) else { continue };
        let Ok(permit) = backend.limit.try_acquire(visit.class, now) else { continue };
        let (avoid, single) = (Some(made.endpoint).filter(|_| own == Some(at)), backend.endpoints.len() == 1);
        // Where the endpoint cannot be another one, the key has to be.
        let avoid_key = avoid.and(made.key.as_ref()).filter(|_| single).map(|key| key.at);
        let (request, borrowed) = (visit.key, prepared.borrowed);
        let call = Departing { backend: at, request, permit, borrowed, avoid, avoid_key };
        let Ok(flight) = Flight::pass(shared, call, &mut visit.state.rng.borrow_mut(), now) else { continue };
        let (endpoint, key) = (flight.endpoint(), flight.key().cloned());
        // The others are ejected: there is none but that of the first call.
        if avoid == Some(endpoint) && !single {
            flight.unmade();
            continue;
        }
        if !pace.late(&mut visit.budget(), now) {
            flight.unmade();
            return Err("no_budget");
        }
        let mut parcel = prepared.parcel(visit, visit.attempts + 1, body, key.as_ref(), until.at);
        let answer = Box::pin(async move {
            let call = prepared.call(visit, visit.state, &mut parcel, until);
            attempt::send(call, endpoint, flight).await
        });
        return Ok(Second { answer, entry, endpoint, began: now });
    }
    Err("no_capacity")
}

/// Whether nobody waits for a place at a backend, and its breaker is closed.
fn is_spare(backend: &BackendShared) -> bool {
    backend.breaker.is_closed() && backend.limit.view().waiting == 0
}

fn count(visit: &Visit<'_>, outcome: &'static str) {
    *visit.state.counters.borrow_mut().routes[visit.route].hedges.entry(outcome).or_default() += 1;
}

impl Drop for Tally<'_, '_> {
    fn drop(&mut self) {
        count(self.visit, self.outcome);
    }
}
