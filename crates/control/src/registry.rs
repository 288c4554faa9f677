//! Models and training runs: what was registered, which version is served, and changes of that.
//!
//! The decisions are [`mainstay_core::registry`]'s; this performs them on the store and on whoever serves the models. Each
//! step of a change is durable before the next: one that a crash interrupts is taken back at the next start
//! ([`Registry::open`]).

mod board;
mod change;
mod entry;
mod runs;

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainstay_core::event::{Event, EventKind, ModelPromoted};
use mainstay_core::metric::Family;
use mainstay_core::registry::{self, CHAMPION, Outcome, Refusal, Request, Switch, View};
use mainstay_core::time::Time;
use mainstay_store::change::Change;
use mainstay_store::registry::{Moved, Version};
use mainstay_store::{Store, StoreError};

use crate::problem::not_known;
use crate::wire;
use board::Board;
use change::Performed;
pub(crate) use entry::Entry;

/// Most moves of a pointer that are looked at to find an earlier champion.
const MOVES_MAX: usize = 1000;

/// Whoever serves the models.
pub trait Serving: Send + Sync + 'static {
    /// Tells everybody who serves the model which version is the champion, and waits until they have it. The error says
    /// who has not. Bounded in time by whoever implements it.
    fn tell<'a>(&'a self, champion: &'a Champion) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;
    /// Why the error budget's policy refuses a promotion at this moment.
    fn refuses_promotion(&self, model: &str) -> Option<String>;
    /// A version was registered, or told of again.
    fn registered(&self) {}
    /// Something happened.
    fn note(&self, event: Event);
    /// The time by the service's clock.
    fn now(&self) -> Time;
}

/// Which version of a model is to be served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Champion {
    /// The model.
    pub model: String,
    /// The version; "" is none.
    pub version: String,
    /// What its files hash to; "" where there is no version.
    pub digest: String,
    /// Where its files are, as its maker said.
    pub artifact: Option<String>,
    /// What was served until then; "" is nothing.
    pub previous: String,
}

/// Models and runs over a store.
pub struct Registry {
    store: Arc<dyn Store>,
    serving: Arc<dyn Serving>,
    /// One change of a champion at a time.
    changing: tokio::sync::Mutex<()>,
    /// One report of a run at a time: a late one must not replace a later one.
    reporting: tokio::sync::Mutex<()>,
    board: Mutex<Board>,
}

/// Why something about a model was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModelError {
    #[error("{0}")]
    Unknown(String),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the change was broken off; look at the model before the next attempt")]
    BrokenOff,
}

/// Who asks, and why.
#[derive(Clone, Debug)]
pub(crate) struct By {
    pub(crate) actor: String,
    pub(crate) reason: String,
}

impl Registry {
    /// Reads what is known, and takes back what a crash interrupted.
    pub async fn open(store: Arc<dyn Store>, serving: Arc<dyn Serving>) -> Result<Arc<Registry>, StoreError> {
        let registry = Registry {
            store,
            serving,
            changing: tokio::sync::Mutex::new(()),
            reporting: tokio::sync::Mutex::new(()),
            board: Mutex::default(),
        };
        registry.recover().await?;
        registry.load_runs().await?;
        registry.refresh().await?;
        Ok(Arc::new(registry))
    }

    /// The version that each model serves, by the model's name; for backends that follow the registry.
    pub fn champions(&self) -> Vec<(String, String)> {
        self.board().champions()
    }

    /// The latest event that each model's champion learned from: what freshness is measured by. `None`: not known.
    pub fn data_times(&self) -> Vec<(String, Option<Time>)> {
        self.board().data_times()
    }

    /// Metrics of runs and models.
    pub fn metrics(&self) -> Vec<Family> {
        self.board().families()
    }

    /// Registers a version, or tells of it again.
    pub(crate) async fn register(&self, model: &str, version: &str, new: wire::NewVersion) -> Result<bool, ModelError> {
        let entry = Entry::new(new);
        let made = entry.created.unwrap_or_else(|| self.serving.now());
        let change = Change::Version(Version {
            model: model.to_owned(),
            version: version.to_owned(),
            stage: entry.stage().to_owned(),
            digest: entry.digest.clone(),
            created: made,
            data_max_event_time: entry.data_max_event_time,
            lineage: entry.to_json(),
        });
        let numbers = self.store.change(vec![change], self.serving.now()).await?;
        self.refresh().await?;
        self.serving.registered();
        Ok(numbers.first() == Some(&1))
    }

    /// All models, or one, in full.
    pub(crate) async fn models(&self, only: Option<&str>) -> Result<Vec<wire::Model>, ModelError> {
        let models = self.shelved(only).await?;
        Ok(models.iter().map(|it| self.told(it, &it.versions)).collect())
    }

    /// All models, or one, with their versions as they rest.
    pub(crate) async fn shelved(&self, only: Option<&str>) -> Result<Vec<wire::Shelved>, ModelError> {
        let (versions, pointers) = (self.store.versions(only).await?, self.champion_moves(only).await?);
        let models = wire::shelved(versions, &pointers);
        match only {
            Some(name) if models.is_empty() => Err(self.unknown(name).await?),
            Some(_) | None => Ok(models),
        }
    }

    /// A model as it is told, with some of its versions.
    pub(crate) fn told(&self, model: &wire::Shelved, some: &[Version]) -> wire::Model {
        model.told(some, self.serving.now())
    }

    /// Makes a version the champion.
    pub(crate) async fn promote(
        self: Arc<Self>,
        model: &str,
        request: Request,
        by: By,
    ) -> Result<wire::Promotion, ModelError> {
        let (registry, model) = (Arc::clone(&self), model.to_owned());
        // A caller that goes away must not leave a change half done: the task goes on to its end, which is bounded.
        tokio::spawn(async move { registry.change(&model, request, by).await })
            .await
            .unwrap_or(Err(ModelError::BrokenOff))
    }

    /// Makes an earlier champion the champion again: the one before, or the one that is named.
    pub(crate) async fn roll_back(
        self: Arc<Self>,
        model: &str,
        to: Option<String>,
        expect: Option<String>,
        by: By,
    ) -> Result<wire::Promotion, ModelError> {
        let mut moves = self.store.moves(model, CHAMPION, MOVES_MAX).await?;
        moves.reverse();
        let version = match to {
            // Whatever was never champion is not a way back: it is a promotion, with its gates.
            Some(to) if moves.iter().any(|it| it.version == to) => to,
            Some(_) => return Err(Refusal::NoEarlier.into()),
            None => registry::earlier(moves.iter().map(|it| it.version.as_str()))?.to_owned(),
        };
        self.promote(model, Request { version, expect, force: false, rollback: true }, by).await
    }

    /// The versions that were champion before this one, the last first: there is a way back to each.
    pub(crate) async fn earlier(&self, model: &str) -> Result<Vec<String>, StoreError> {
        let moves = self.store.moves(model, CHAMPION, MOVES_MAX).await?;
        let champion = moves.first().map(|it| it.version.clone()).unwrap_or_default();
        let mut seen = std::collections::BTreeSet::from([champion, String::new()]);
        Ok(moves.into_iter().map(|it| it.version).filter(|version| seen.insert(version.clone())).collect())
    }

    /// Makes the champion before this one the champion again, or a certain one; what was champion until then.
    pub async fn go_back(
        self: &Arc<Self>,
        model: &str,
        to: Option<String>,
        actor: &str,
        reason: &str,
    ) -> Result<Option<String>, String> {
        let before = self.champion(model).await.map_err(|error| error.to_string())?.map(|moved| moved.version);
        let by = By { actor: actor.to_owned(), reason: reason.to_owned() };
        let moved =
            Arc::clone(self).roll_back(model, to, before.clone(), by).await.map_err(|error| error.to_string())?;
        if moved.outcome == "promoted" { Ok(before) } else { Err(moved.to_string()) }
    }

    async fn change(&self, model: &str, request: Request, by: By) -> Result<wire::Promotion, ModelError> {
        let _one_at_a_time = self.changing.lock().await;
        let versions = self.store.versions(Some(model)).await?;
        if versions.is_empty() {
            return Err(self.unknown(model).await?);
        }
        let asked = versions.iter().find(|version| version.version == request.version);
        let champion = self.champion(model).await?.map(|moved| moved.version).filter(|version| !version.is_empty());
        let view = View {
            champion: champion.clone(),
            gates: asked.map(|version| Entry::read(version).gates),
            budget_refuses: self.serving.refuses_promotion(model),
        };
        registry::check(&request, &view)?;
        let switch = Switch::new(champion.clone().unwrap_or_default(), request.version.clone());
        let performed = Performed { model, versions: &versions, by: &by, from: champion.as_deref(), request: &request };
        let outcome = self.perform(switch, &performed).await?;
        self.tell_of(&performed, &outcome);
        self.refresh().await?;
        let stands = self.champion(model).await?.map(|moved| moved.version);
        Ok(wire::Promotion::new(model, &request.version, champion, stands, &outcome))
    }

    fn tell_of(&self, performed: &Performed<'_>, outcome: &Outcome) {
        let (model, version) = (performed.model.to_owned(), performed.request.version.clone());
        let reason = match outcome {
            Outcome::Promoted => None,
            Outcome::Failed { reason } | Outcome::RolledBack { reason, .. } => Some(reason.clone()),
            Outcome::RollbackFailed { reason, because } => Some(format!("{reason}; {because}")),
        };
        let kind = match reason {
            None => EventKind::ModelPromoted(ModelPromoted {
                data_max_event_time: performed.asked().and_then(|version| version.data_max_event_time),
                model,
                model_version: version,
                previous: performed.from.map(str::to_owned),
                by: performed.by.actor.clone(),
                rollback: performed.request.rollback,
            }),
            Some(reason) => EventKind::ModelPromotionFailed {
                model,
                model_version: version,
                outcome: outcome.as_str().into(),
                reason,
            },
        };
        self.board().count_promotion(performed.model, outcome.as_str());
        self.serving.note(Event { at: self.serving.now(), kind });
    }

    /// That there is no such model; one of nearly this name is named.
    async fn unknown(&self, model: &str) -> Result<ModelError, StoreError> {
        let versions = self.store.versions(None).await?;
        let mut names: Vec<&str> = versions.iter().map(|it| it.model.as_str()).collect();
        names.dedup();
        Ok(ModelError::Unknown(not_known("model", model, names)))
    }

    async fn champion(&self, model: &str) -> Result<Option<Moved>, StoreError> {
        Ok(self.champion_moves(Some(model)).await?.into_iter().next())
    }

    async fn champion_moves(&self, only: Option<&str>) -> Result<Vec<Moved>, StoreError> {
        let mut pointers = self.store.pointers(only).await?;
        pointers.retain(|moved| moved.pointer == CHAMPION);
        Ok(pointers)
    }

    async fn refresh(&self) -> Result<(), StoreError> {
        let (versions, moves) = (self.store.versions(None).await?, self.champion_moves(None).await?);
        self.board().see_models(&versions, &moves);
        Ok(())
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
