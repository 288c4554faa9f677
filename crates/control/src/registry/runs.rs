//! Training runs, as their supervisors report them.

use mainstay_core::event::{Event, EventKind, TrainingEnded};
use mainstay_store::StoreError;
use mainstay_store::change::Change;
use mainstay_store::record::{Run, RunQuery};

use super::Registry;
use crate::wire;

/// Most runs that are read at the start, the last changed first.
const RUNS_MAX: usize = 1000;

impl Registry {
    /// Takes what a supervisor says about its run; false where a later report is known. The same report may come again.
    pub(crate) async fn report(&self, id: &str, report: wire::RunReport) -> Result<bool, StoreError> {
        let _one_at_a_time = self.reporting.lock().await;
        let before = self.store.run(id).await?.and_then(|run| wire::RunReport::read(&run));
        if before.as_ref().is_some_and(|before| before.revision >= report.revision) {
            return Ok(false);
        }
        let run = Run {
            id: id.to_owned(),
            name: report.name.clone(),
            state: report.state.as_str().to_owned(),
            body: serde_json::to_string(&report).expect("what was read from JSON is JSON"),
            created: self.serving.now(),
            updated: self.serving.now(),
        };
        self.store.change(vec![Change::Run(run)], self.serving.now()).await?;
        self.board().see_run(id, &report, self.serving.now());
        if before.is_none_or(|before| !before.state.is_end()) && report.state.is_end() {
            self.serving.note(Event { at: self.serving.now(), kind: ended(id, &report) });
        }
        Ok(true)
    }

    /// A run.
    pub(crate) async fn run(&self, id: &str) -> Result<Option<wire::Run>, StoreError> {
        Ok(self.store.run(id).await?.and_then(|run| wire::Run::read(&run)))
    }

    /// Runs, the last changed first.
    pub(crate) async fn runs(&self, query: RunQuery) -> Result<Vec<wire::Run>, StoreError> {
        Ok(self.runs_at_rest(query).await?.iter().filter_map(wire::Run::read).collect())
    }

    /// The same as they rest: each is read in full when it is told of.
    pub(crate) async fn runs_at_rest(&self, query: RunQuery) -> Result<Vec<Run>, StoreError> {
        self.store.runs(query).await
    }

    pub(super) async fn load_runs(&self) -> Result<(), StoreError> {
        let mut runs = self.store.runs(RunQuery { limit: RUNS_MAX, ..RunQuery::default() }).await?;
        runs.reverse();
        for run in &runs {
            if let Some(report) = wire::RunReport::read(run) {
                self.board().see_run(&run.id, &report, run.updated);
            }
        }
        Ok(())
    }
}

fn ended(id: &str, report: &wire::RunReport) -> EventKind {
    let ended = TrainingEnded {
        run: id.to_owned(),
        name: report.name.clone(),
        state: report.state.as_str().into(),
        reason: report.reason.clone().unwrap_or_default().into(),
        step: report.step,
        attempts: report.attempts,
    };
    if report.state.is_failure() { EventKind::TrainingFailed(ended) } else { EventKind::TrainingFinished(ended) }
}
