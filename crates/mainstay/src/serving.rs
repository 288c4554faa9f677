//! What the registry of models needs of the rest: the log of events, the budgets' policies, the age of what is served.

use std::pin::Pin;
use std::sync::Arc;

use mainstay_control::{Champion, Engine, Serving};
use mainstay_core::event::{Event, EventKind};
use mainstay_core::plan::{Hook, HookBy};
use mainstay_core::slo::policy::Action;
use mainstay_core::time::Time;
use mainstay_gateway::EventSink;
use mainstay_tower::clock::Clock;
use serde_json::json;

use crate::client;
use crate::plane::Plane;

/// The gateway's backends that follow the registry, and whoever the config says serves a model.
pub(crate) struct Served {
    pub(crate) engine: Engine,
    pub(crate) plane: Arc<Plane>,
    pub(crate) events: EventSink,
    pub(crate) clock: Clock,
}

impl Serving for Served {
    /// First whoever serves the model, so that the version is there when the gateway asks for it.
    fn tell<'a>(&'a self, champion: &'a Champion) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>> {
        Box::pin(async move {
            let hook = self.plane.gateway.plan().training.hooks.get(&champion.model).cloned();
            if let Some(hook) = hook {
                call(hook, champion, self.clock)
                    .await
                    .map_err(|why| format!("whoever serves {}: {why}", champion.model))?;
            }
            self.plane.serve_version(&champion.model, &champion.version)
        })
    }

    fn refuses_promotion(&self, _: &str) -> Option<String> {
        self.engine.allows(Action::Promotion, None).err().map(|refusal| refusal.to_string())
    }

    fn registered(&self) {
        if let Err(error) = self.engine.models_changed() {
            tracing::warn!(%error, "the age of what is served is looked at after the next start");
        }
    }

    fn note(&self, event: Event) {
        let is_promotion = matches!(event.kind, EventKind::ModelPromoted(_));
        self.events.emit(event);
        if is_promotion {
            self.registered();
        }
    }

    fn now(&self) -> Time {
        self.clock.now()
    }
}

async fn call(hook: Hook, champion: &Champion, clock: Clock) -> Result<(), String> {
    let Champion { model, version, digest, artifact, previous } = champion.clone();
    match hook.by {
        HookBy::Http(url) => {
            let body = json!({
                "model": model, "version": version, "digest": digest, "artifact": artifact, "previous": previous,
            });
            client::tell(&url, &body, hook.timeout).await.map_err(|error| format!("{error:#}"))
        }
        HookBy::Command(command) => {
            let environment = [
                ("MAINSTAY_MODEL", model),
                ("MAINSTAY_VERSION", version),
                ("MAINSTAY_DIGEST", digest),
                ("MAINSTAY_ARTIFACT", artifact.unwrap_or_default()),
                ("MAINSTAY_PREVIOUS", previous),
            ];
            let run = move || mainstay_trainer::hook::run(&command, &environment, hook.timeout, || clock.now());
            tokio::task::spawn_blocking(run).await.map_err(|error| error.to_string())?
        }
    }
}
