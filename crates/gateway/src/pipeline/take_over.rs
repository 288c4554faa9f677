//! A streamed answer whose backend failed after its caller saw some of it: the rest of the ladder is asked.

use std::rc::Rc;

use http::Request;
use mainstay_core::llm::answering::{Begun, Rescue};
use mainstay_core::llm::{Dialect, prefill};
use mainstay_core::plan::AnswerBy;
use mainstay_core::resilience::ladder::Step;
use mainstay_core::resilience::queue::LoadReason;
use mainstay_core::time::Time;

use super::checked;
use super::entry::{self, Served, Tried};
use super::visit::Visit;
use crate::body::{AnswerBody, Outgoing};
use crate::streamed::{By, Plan, Rescued};

/// Goes down the ladder below the entry that failed.
pub(crate) async fn take_over(plan: Plan, rescue: Rescue) -> Rescued {
    let state = Rc::clone(&plan.state);
    let shared = &*state.shared;
    let nobody = Rescued { by: By::Nobody, attempts: plan.attempts };
    let Some(caller) = shared.clients.again(&plan.client, plan.trusted) else { return nobody };
    let (begun, body) = match &rescue {
        Rescue::Restart => (Begun::Fresh, plan.body.clone()),
        Rescue::Continue { so_far } => {
            let dialect = Dialect::of_path(plan.uri.path());
            match dialect.and_then(|dialect| prefill::with_prefill(dialect, &plan.body, so_far)) {
                Some(body) => (Begun::Continued, body.into()),
                None => return nobody,
            }
        }
    };
    let (mut head, ()) = Request::new(()).into_parts();
    (head.method, head.uri, head.headers) = (plan.method.clone(), plan.uri.clone(), plan.headers.clone());
    let now = shared.clock.now();
    let Ok(mut visit) = Visit::new(&state, plan.route, caller, head, Outgoing::held(body), plan.id.clone(), now) else {
        return nobody;
    };
    visit.hand_over(&plan, begun);
    let by = descend(&mut visit, plan.entry, begun, now).await;
    Rescued { by, attempts: visit.attempts }
}

async fn descend(visit: &mut Visit<'_>, below: usize, begun: Begun, mut now: Time) -> By {
    let mut walk = visit.walk(now).after(below);
    loop {
        let (entry, tried) = match walk.next(now) {
            Step::Remote { entry, .. } | Step::Local { entry } if visit.goes_on_below(entry) => {
                (entry, Tried::Declined("answer_blocked"))
            }
            Step::Remote { entry, timeout } if may_take_over(visit, entry, begun) => {
                let until = visit.until(entry, timeout, now);
                (entry, entry::remote(visit, entry, until).await)
            }
            Step::Local { entry } if begun == Begun::Fresh => (entry, entry::local(visit, entry).await),
            Step::Remote { entry, .. } | Step::Local { entry } => (entry, Tried::Declined("cannot_continue")),
            Step::Exhausted => return By::Nobody,
        };
        match tried {
            // What takes the place of an answer is checked before it is shown, as that was; what goes on from it is part of it.
            Tried::Answered(served) if begun == Begun::Fresh => match checked::before(visit, served).await {
                Ok(served) => match rescued(served, begun, entry) {
                    Some(rescued) => return rescued,
                    None => visit.pass(entry, "not_a_stream"),
                },
                Err(blocked) => visit.block(entry, blocked),
            },
            Tried::Answered(served) => match rescued(served, begun, entry) {
                Some(rescued) => return rescued,
                None => visit.pass(entry, "not_a_stream"),
            },
            Tried::Shed(reason) => visit.pass(entry, LoadReason::as_str(reason)),
            Tried::Passed(reason) | Tried::Declined(reason) => visit.pass(entry, reason),
            Tried::Refused(_) => return By::Nobody,
        }
        now = visit.shared().clock.now();
    }
}

/// Whether the entry's backend can go on from what was said.
fn may_take_over(visit: &Visit<'_>, entry: usize, begun: Begun) -> bool {
    let AnswerBy::Backend { backend, .. } = &visit.entry(entry).answer else { return false };
    let backend = &visit.shared().plan.backends[backend.0];
    backend.protocol.is_of_language_models() && (begun == Begun::Fresh || backend.prefill)
}

fn rescued(served: Served, begun: Begun, entry: usize) -> Option<By> {
    if !served.status.is_success() {
        return None;
    }
    match served.body {
        AnswerBody::Streamed(streamed) => {
            let upstream = Box::new(streamed.into_upstream()?);
            Some(By::Upstream { upstream, begun, entry })
        }
        // A backend that answers all at once begins anew.
        AnswerBody::Held(Some(bytes)) if served.by_model.is_none() || begun == Begun::Fresh => {
            Some(By::Local { bytes, entry })
        }
        AnswerBody::Held(_) | AnswerBody::Message(_) | AnswerBody::Relayed(_) => None,
    }
}
