//! Runs, approvals and the halt, as documents of the store.

use mainstay_core::chaos::record::{Approval, Halt, Phase, Run};
use mainstay_core::time::Time;
use mainstay_store::change::Change;
use mainstay_store::item::BODY_MAX;
use mainstay_store::record::Expect;
use mainstay_store::{Store, StoreError, audit};

use crate::incidents::at_rest::{document, documents, last_of, put, read};

/// Kinds of documents.
const RUN: &str = "experiment_run";
const APPROVAL: &str = "experiment_approval";
const HALT: &str = "chaos_halt";
/// The one document of its kind.
const ONLY: &str = "halt";
/// Most of a person's name in the id of an approval.
const BY_MAX: usize = 800;

/// What rests.
#[derive(Default)]
pub(super) struct Rests {
    /// The newest, and those that are not over.
    pub(super) runs: Vec<Run>,
    pub(super) halt: Option<Halt>,
    /// Those that still count.
    pub(super) approvals: Vec<Approval>,
}

pub(super) async fn load(store: &dyn Store, now: Time) -> Result<Rests, StoreError> {
    let halt = store.document(HALT, ONLY).await?.and_then(|document| read(&document));
    let approvals: Vec<Approval> = documents(store, APPROVAL, "").await?;
    let approvals = approvals.into_iter().filter(|it| it.until > now).collect();
    let (mut runs, mut newest) = (Vec::new(), None::<Run>);
    each_run(store, |run| {
        if run.phase != Phase::Ended {
            runs.push(run.clone());
        }
        if newest.as_ref().is_none_or(|it| number(&it.id) < number(&run.id)) {
            newest = Some(run);
        }
    })
    .await?;
    runs.extend(newest.filter(|run| run.phase == Phase::Ended));
    Ok(Rests { runs, halt, approvals })
}

/// What orders ids: the year, then the number, of which there may be more than four digits.
pub(super) fn number(id: &str) -> (&str, usize, &str) {
    let rest = id.strip_prefix("EXP-").unwrap_or(id);
    let (year, number) = rest.split_once('-').unwrap_or((rest, ""));
    (year, number.len(), number)
}

/// Looks at each run that rests, one after the other: all of them at once may be much.
pub(super) async fn each_run(store: &dyn Store, mut look: impl FnMut(Run)) -> Result<(), StoreError> {
    let mut after = String::new();
    loop {
        let page = store.documents(RUN, &after).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after.clone_from(&last.id);
        page.iter().filter_map(read).for_each(&mut look);
    }
}

pub(super) async fn run(store: &dyn Store, id: &str) -> Result<Option<Run>, StoreError> {
    // An id that no document can have is one that no run has.
    match store.document(RUN, id).await {
        Ok(document) => Ok(document.and_then(|document| read(&document))),
        Err(StoreError::TooLarge { .. } | StoreError::Invalid(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The last id that rests.
pub(super) async fn last_id(store: &dyn Store) -> Result<Option<String>, StoreError> {
    last_of(store, RUN).await
}

/// A run as it is now; `is_new` where no other may have its id. What is too long to rest does so without its figures: that it ended
/// must be known.
pub(super) fn rest_run(run: &Run, is_new: bool) -> Change {
    let expect = if is_new { Expect::Absent } else { Expect::Any };
    match document(RUN, &run.id, expect, run) {
        Change::Document { body, .. } if body.len() > BODY_MAX => {
            tracing::error!(run = run.id, "the run's figures are too long to be stored");
            document(RUN, &run.id, expect, &Run { slices: Vec::new(), ..run.clone() })
        }
        fits => fits,
    }
}

pub(super) fn rest_halt(halt: &Halt) -> Change {
    put(HALT, ONLY, halt)
}

/// A plan may have one approval of each person.
pub(super) fn rest_approval(approval: &Approval) -> Change {
    let by = approval.by.bytes().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    put(APPROVAL, &format!("{}-{}", approval.plan, &by[..by.len().min(BY_MAX)]), approval)
}

/// An entry of the audit log.
pub(super) fn audited(actor: &str, action: &str, subject: &str, after: Option<String>, reason: &str) -> Change {
    Change::Audit(audit::Entry {
        actor: actor.to_owned(),
        source: "api".to_owned(),
        action: action.to_owned(),
        subject: subject.to_owned(),
        before: None,
        after,
        reason: reason.to_owned(),
    })
}
