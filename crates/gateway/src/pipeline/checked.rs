//! Whether a model's answer is shown, or kept from its caller.

use http::{HeaderMap, header};
use mainstay_core::llm::Dialect;
use mainstay_core::plan::AfterCommit;
use mainstay_core::safety::{Blocked, Docket, Why, said};

use super::entry::Served;
use super::visit::Visit;
use crate::body::AnswerBody;
use crate::checks::{About, Case, Subject};

/// Has an answer checked before it is shown; an error: it is kept from its caller.
pub(super) async fn before(visit: &mut Visit<'_>, served: Served) -> Result<Served, Blocked> {
    visit.case = None;
    let is_checked = visit.shared().routes[visit.route].said_max > 0;
    if !is_checked || served.by_model.is_none() || !served.status.is_success() {
        return Ok(served);
    }
    let mut case = Box::new(case(visit, &served));
    let began = visit.shared().clock.now();
    let blocked = case.before(visit.state, visit.deadline).await;
    visit.waited += visit.shared().clock.now().since(began);
    match blocked {
        Some(blocked) => Err(blocked),
        None => {
            visit.case = Some(case);
            Ok(served)
        }
    }
}

fn case(visit: &Visit<'_>, served: &Served) -> Case {
    let plan = &visit.shared().plan;
    let id = visit.id.to_str().unwrap_or_default();
    let docket = Docket::new(&plan.checks, visit.route, visit.client, id);
    let (said, answer, is_beginning) = match &served.body {
        AnswerBody::Held(bytes) => {
            let bytes = bytes.clone().unwrap_or_default();
            (text(visit, &served.headers, &bytes), bytes, false)
        }
        AnswerBody::Message(_) | AnswerBody::Relayed(_) => (Err(Why::NotHeld), bytes::Bytes::new(), false),
        AnswerBody::Streamed(streamed) => {
            let is_whole = visit.plan().stream.after_commit == AfterCommit::Atomic;
            (streamed.said(), bytes::Bytes::new(), !is_whole)
        }
    };
    let subject = Subject {
        route: visit.route,
        client: visit.client.to_owned(),
        headers: visit.headers.clone(),
        request: visit.whole_body().unwrap_or_default(),
        answer,
    };
    let model = served.by_model.map(|at| &plan.backends[at]);
    let about = About {
        model: model.map(|backend| backend.model.clone().unwrap_or_else(|| backend.name.clone())),
        request_id: id.to_owned(),
        experiment: visit.met.as_ref().and_then(|met| met.run()),
        is_left_out: visit.synthetic || visit.is_left_out(),
        cached: if visit.shared().routes[visit.route].caches { visit.cache_key() } else { None },
    };
    Case::new(docket, subject, said, is_beginning, about)
}

/// What a whole answer says.
fn text(visit: &Visit<'_>, headers: &HeaderMap, body: &[u8]) -> Result<String, Why> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(Why::Unreadable);
    }
    let dialect = if visit.is_for_language_model() { Dialect::of_path(visit.uri.path()) } else { None };
    said(dialect, body)
}
