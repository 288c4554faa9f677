//! Several changes, all or none.

use mainstay_core::time::Time;
use sqlx::Executor as _;

use super::writer::{Doing, Session, Write};
use super::{failure, models, records};
use crate::change::Change;
use crate::error::StoreError;

pub(super) struct Changes {
    pub(super) changes: Vec<Change>,
    pub(super) now: Time,
}

impl Write for Changes {
    type Output = Vec<u64>;

    fn apply<'a>(&'a self, session: &'a mut Session) -> Doing<'a, Vec<u64>> {
        Box::pin(async move {
            session.connection.execute("SAVEPOINT changes").await.map_err(failure::store)?;
            let done = self.steps(session).await;
            if done.as_ref().is_err_and(|error| !failure::is_failure(error)) {
                session.connection.execute("ROLLBACK TO changes").await.map_err(failure::store)?;
            }
            session.connection.execute("RELEASE changes").await.map_err(failure::store)?;
            done
        })
    }

    fn bytes(&self) -> usize {
        self.changes.iter().map(bytes).sum()
    }
}

impl Changes {
    async fn steps(&self, session: &mut Session) -> Result<Vec<u64>, StoreError> {
        let mut numbers = Vec::with_capacity(self.changes.len());
        for change in &self.changes {
            numbers.push(make(change, self.now, session).await?);
        }
        Ok(numbers)
    }
}

async fn make(change: &Change, now: Time, session: &mut Session) -> Result<u64, StoreError> {
    match change {
        Change::Document { kind, id, expect, body } => {
            records::put_document(kind, id, *expect, body, now, session).await
        }
        Change::DeleteDocument { kind, id, expect } => records::delete_document(kind, id, *expect, session).await,
        Change::State(state) => records::put_state(state, now, session).await,
        Change::ForgetState(key) => records::forget_state(key, session).await,
        Change::Sketch(sketch) => records::put_sketch(sketch, session).await,
        Change::Version(version) => models::put_version(version, session).await,
        Change::Move(to) => models::make_move(to, now, session).await,
        Change::Run(run) => records::put_run(run, now, session).await,
        Change::Event(event) => records::append_event(event, session).await,
        Change::Audit(entry) => records::append_audit(entry, now, session).await,
        Change::Settle(items) => records::settle(items, now, session).await,
    }
}

/// About how much memory it holds.
fn bytes(change: &Change) -> usize {
    128 + match change {
        Change::Document { kind, id, body, .. } => kind.len() + id.len() + body.len(),
        Change::DeleteDocument { kind, id, .. } => kind.len() + id.len(),
        Change::State(state) => state.key.len() + state.data.len(),
        Change::ForgetState(key) => key.len(),
        Change::Sketch(sketch) => sketch.series.len() + sketch.data.len(),
        Change::Version(version) => version.model.len() + version.version.len() + version.lineage.len(),
        Change::Move(to) => to.model.len() + to.version.len() + to.reason.len(),
        Change::Run(run) => run.id.len() + run.name.len() + run.body.len(),
        Change::Event(event) => event.kind.len() + event.body.len(),
        Change::Audit(entry) => {
            let sides = [&entry.before, &entry.after].map(|side| side.as_ref().map_or(0, String::len));
            sides.iter().sum::<usize>() + entry.reason.len()
        }
        Change::Settle(items) => 8 * items.len(),
    }
}
