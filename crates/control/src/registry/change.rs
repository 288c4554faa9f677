//! A change of champion on the store: each step durable before the next.

use mainstay_core::registry::{CHAMPION, Effect, Outcome, Request, Switch};
use mainstay_store::change::Change;
use mainstay_store::record::{Document, Expect};
use mainstay_store::registry::{Move, Version};
use mainstay_store::{StoreError, audit};
use serde::{Deserialize, Serialize};

use super::{By, Champion, Entry, Registry};

/// The kind of the documents that say what is under way: one for each model, beside the move that it belongs to.
const UNDER_WAY: &str = "promotion";

/// What is being done.
pub(super) struct Performed<'a> {
    pub(super) model: &'a str,
    pub(super) versions: &'a [Version],
    pub(super) by: &'a By,
    pub(super) from: Option<&'a str>,
    pub(super) request: &'a Request,
}

impl Performed<'_> {
    pub(super) fn asked(&self) -> Option<&Version> {
        self.named(&self.request.version)
    }

    fn named(&self, version: &str) -> Option<&Version> {
        self.versions.iter().find(|it| it.version == version)
    }
}

/// What a document of [`UNDER_WAY`] says.
#[derive(Serialize, Deserialize)]
struct UnderWay {
    from: String,
    to: String,
    ended: bool,
}

impl Registry {
    /// Does what the switch asks for, to its end.
    pub(super) async fn perform(&self, mut switch: Switch, it: &Performed<'_>) -> Result<Outcome, StoreError> {
        loop {
            if let Some(outcome) = switch.outcome() {
                let outcome = outcome.clone();
                self.end(it, &outcome).await?;
                return Ok(outcome);
            }
            match switch.poll_effect() {
                Some(Effect::Move { expect, to }) => switch.handle_moved(self.make_move(it, expect, to).await),
                Some(Effect::Tell { version }) => switch.handle_told(self.tell(it, version).await),
                Some(Effect::Read) => {
                    let read = self.champion(it.model).await;
                    let read = read.map(|moved| moved.map_or_else(String::new, |moved| moved.version));
                    switch.handle_read(read.map_err(|error| error.to_string()));
                }
                None => unreachable!("a switch that has not ended asks for something"),
            }
        }
    }

    async fn make_move(&self, it: &Performed<'_>, expect: String, to: String) -> Result<(), String> {
        let changes = vec![
            Change::Move(Move {
                model: it.model.to_owned(),
                pointer: CHAMPION.to_owned(),
                expect: Some(expect),
                version: to.clone(),
                actor: it.by.actor.clone(),
                reason: it.by.reason.clone(),
            }),
            under_way(it, false),
            audited(it, "model.champion", &to),
        ];
        self.store.change(changes, self.serving.now()).await.map(drop).map_err(|error| error.to_string())
    }

    async fn tell(&self, it: &Performed<'_>, version: String) -> Result<(), String> {
        let named = it.named(&version);
        let champion = Champion {
            model: it.model.to_owned(),
            digest: named.map_or_else(String::new, |named| named.digest.clone()),
            artifact: named.and_then(|named| Entry::read(named).artifact),
            previous: if version == it.request.version { it.from.unwrap_or_default() } else { &it.request.version }
                .to_owned(),
            version,
        };
        self.serving.tell(&champion).await
    }

    async fn end(&self, it: &Performed<'_>, outcome: &Outcome) -> Result<(), StoreError> {
        let changes = vec![under_way(it, true), audited(it, "model.promotion", outcome.as_str())];
        self.store.change(changes, self.serving.now()).await.map(drop)
    }

    /// Takes back every change that a crash interrupted.
    pub(super) async fn recover(&self) -> Result<(), StoreError> {
        for Document { id: model, body, .. } in self.store.documents(UNDER_WAY, "").await? {
            let Ok(UnderWay { from, to, ended: false }) = serde_json::from_str(&body) else { continue };
            let versions = self.store.versions(Some(&model)).await?;
            let by = By { actor: "mainstay".to_owned(), reason: "interrupted".to_owned() };
            let request = Request { version: to.clone(), expect: None, force: false, rollback: true };
            let before = Some(from.as_str()).filter(|from| !from.is_empty());
            let it = Performed { model: &model, versions: &versions, by: &by, from: before, request: &request };
            let stands = self.champion(&model).await?.map(|moved| moved.version).unwrap_or_default();
            if stands == to {
                let outcome = self.perform(Switch::interrupted(from.clone(), to.clone()), &it).await?;
                self.tell_of(&it, &outcome);
            } else {
                // It was on its way back: the pointer is right, but who serves the model may not know it.
                let told = self.tell(&it, stands).await;
                tracing::warn!(model, ?told, "an interrupted promotion had been taken back");
                self.end(&it, &Outcome::Failed { reason: "interrupted".to_owned() }).await?;
            }
        }
        Ok(())
    }
}

fn under_way(it: &Performed<'_>, ended: bool) -> Change {
    let (from, to) = (it.from.unwrap_or_default().to_owned(), it.request.version.clone());
    let body = serde_json::to_string(&UnderWay { from, to, ended }).expect("strings and a flag are JSON");
    Change::Document { kind: UNDER_WAY.to_owned(), id: it.model.to_owned(), expect: Expect::Any, body }
}

fn audited(it: &Performed<'_>, action: &str, after: &str) -> Change {
    let json = |text: &str| serde_json::Value::from(text).to_string();
    Change::Audit(audit::Entry {
        actor: it.by.actor.clone(),
        source: "api".to_owned(),
        action: action.to_owned(),
        subject: it.model.to_owned(),
        before: it.from.map(json),
        after: Some(json(after)),
        reason: it.by.reason.clone(),
    })
}
