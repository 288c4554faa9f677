//! What was decided is done and comes to rest, in the order that keeps faults from outliving their permission.

use mainstay_core::chaos::run::{Effect, Runner};
use mainstay_core::event::{Event, EventKind};
use mainstay_store::change::Change;
use mainstay_store::{StoreError, audit};

use super::{Experiments, PoisonError, at_rest};
use crate::engine::logged;

/// How often what came of the last effects may have effects of its own.
const ROUNDS_MAX: usize = 8;
/// Changes that wait for a store that fails, at most.
pub(super) const OWED_MAX: usize = 1_000;

impl Experiments {
    /// Performs what was decided: what ends a fault first, then what is to rest, in one transaction, then what brings a fault into
    /// force. Where `strict`, an error says that nothing came to rest; otherwise what could not is tried again until it does.
    pub(super) async fn settle(
        &self,
        runner: &mut Runner,
        mut audits: Vec<Change>,
        strict: bool,
    ) -> Result<(), StoreError> {
        let mut result = Ok(());
        for round in 0..ROUNDS_MAX {
            let effects = runner.take_effects();
            if round > 0 && effects.is_empty() {
                break;
            }
            let strict = strict && round == 0;
            let Batch { orders, mut rests, runs } = self.perform(runner, effects, strict);
            rests.changes.append(&mut audits);
            let why = match self.rest(rests, strict).await {
                Ok(()) => None,
                Err(error) if strict => return Err(error),
                Err(error) => {
                    let why = format!("it could not be stored: {error}");
                    for (run, generation) in &runs {
                        runner.handle_failed(run, *generation, &why, self.now());
                    }
                    result = Err(error);
                    Some(why)
                }
            };
            for effect in orders {
                self.give(runner, effect, why.as_deref());
            }
        }
        self.counted().see(runner);
        result
    }

    /// Does at once what ends a fault or keeps one as it is; gives back what must rest, and what may be done only then.
    fn perform(&self, runner: &mut Runner, effects: Vec<Effect>, is_new: bool) -> Batch {
        let (mut batch, at) = (Batch::default(), self.now());
        let mut first = is_new;
        for effect in effects {
            match effect {
                Effect::Withdraw { run, generation } => self.0.injecting.withdraw(&run, generation),
                Effect::Halt(true) => self.0.injecting.halt(true),
                Effect::Renew { run, generation } => {
                    if let Err(why) = self.0.injecting.renew(&run, generation) {
                        runner.handle_failed(&run, generation, &why, at);
                    }
                }
                Effect::Inject(_) | Effect::Halt(false) => batch.orders.push(effect),
                Effect::Rest(run) => {
                    batch.rests.changes.push(at_rest::rest_run(&run, std::mem::take(&mut first)));
                    batch.runs.push((run.id, run.generation));
                }
                Effect::RestHalt(halt) => batch.rests.changes.push(at_rest::rest_halt(&halt)),
                Effect::RestApproval(approval) => batch.rests.changes.push(at_rest::rest_approval(&approval)),
                Effect::Tell(kind) => {
                    let event = Event { at, kind };
                    batch.rests.changes.push(logged(&event));
                    batch.rests.told.push(event);
                }
            }
        }
        batch
    }

    /// Does what may be done only once all that permits it rests; `why` says that it does not.
    fn give(&self, runner: &mut Runner, effect: Effect, why: Option<&str>) {
        match (effect, why) {
            (Effect::Inject(order), None) => {
                let (run, generation) = (order.run.clone(), order.generation);
                if let Err(why) = self.0.injecting.inject(order) {
                    runner.handle_failed(&run, generation, &why, self.now());
                }
            }
            (Effect::Inject(order), Some(why)) => runner.handle_failed(&order.run, order.generation, why, self.now()),
            (Effect::Halt(false), None) => self.0.injecting.halt(false),
            (_, _) => {}
        }
    }

    /// Makes changes rest, with those that could not before, and tells of them. Where they cannot either they are owed, unless `strict`.
    async fn rest(&self, rests: Rests, strict: bool) -> Result<(), StoreError> {
        let owed = std::mem::take(&mut *self.owed());
        if strict {
            // What is owed comes first: it is older.
            self.store_all(owed, true).await?;
            return self.store_all(rests, false).await;
        }
        self.store_all(owed.and(rests), true).await
    }

    async fn store_all(&self, rests: Rests, keep: bool) -> Result<(), StoreError> {
        if !rests.changes.is_empty()
            && let Err(error) = self.store().change(rests.changes.clone(), self.now()).await
        {
            if keep {
                *self.owed() = rests;
            }
            return Err(error);
        }
        for event in rests.told {
            if let EventKind::ExperimentEnded { verdict, .. } = &event.kind {
                self.counted().ended(verdict);
            }
            (self.0.on_event)(event);
        }
        Ok(())
    }

    fn owed(&self) -> std::sync::MutexGuard<'_, Rests> {
        self.0.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is to rest, and what is told of it.
#[derive(Default)]
pub(super) struct Rests {
    pub(super) changes: Vec<Change>,
    pub(super) told: Vec<Event>,
}

impl Rests {
    /// Both: of a document what it becomes in the end, and the oldest of what is told left out where it is too much.
    pub(super) fn and(mut self, later: Rests) -> Rests {
        for change in later.changes {
            let same = |there: &&mut Change| match (there, &change) {
                (Change::Document { kind, id, .. }, Change::Document { kind: other, id: of, .. }) => {
                    kind == other && id == of
                }
                _ => false,
            };
            match (self.changes.iter_mut().find(same), change) {
                (Some(Change::Document { body, .. }), Change::Document { body: later, .. }) => *body = later,
                (_, change) => self.changes.push(change),
            }
        }
        while self.changes.len() > OWED_MAX {
            let kept = |it: &Change| matches!(it, Change::Document { .. } | Change::Audit(_));
            let event = self.changes.iter().position(|it| !kept(it));
            let oldest = event.or_else(|| self.changes.iter().position(|it| matches!(it, Change::Audit(_))));
            if let Change::Audit(entry) = self.changes.remove(oldest.unwrap_or(0)) {
                let audit::Entry { actor, action, subject, reason, .. } = entry;
                tracing::error!(actor, action, subject, reason, "an entry of the audit log is lost: the store fails");
            }
        }
        self.told.extend(later.told);
        let too_many = self.told.len().saturating_sub(OWED_MAX);
        self.told.drain(..too_many);
        self
    }
}

/// What is done only once something rests.
#[derive(Default)]
struct Batch {
    /// [`Effect::Inject`], and the end of a halt.
    orders: Vec<Effect>,
    rests: Rests,
    /// Runs that are to rest, and their generations.
    runs: Vec<(String, u64)>,
}
