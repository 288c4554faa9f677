//! What is done for incidents: by the gateway, by the registry of models, and by whoever looks after experiments.

use std::sync::{Arc, OnceLock, Weak};

use mainstay_control::chaos::ChaosError;
use mainstay_control::{Acting, Done, Registry};
use mainstay_core::incident::record::Act;
use mainstay_core::route::Level;
use mainstay_core::time::Time;
use serde_json::{Value, json};

use crate::plane::Plane;

/// The level of cached features.
const CACHED_FEATURES: u8 = 1;
/// Who changes a champion for an incident.
const ACTOR: &str = "mainstay";

/// Whoever acts, once they are there.
#[derive(Clone, Default)]
pub(crate) struct Actors(Arc<OnceLock<Actor>>);

/// Both know of the desk, which knows of them: it does not keep them.
struct Actor {
    plane: Weak<Plane>,
    registry: Weak<Registry>,
}

impl Actors {
    /// From now on these act.
    pub(crate) fn set(&self, plane: &Arc<Plane>, registry: &Arc<Registry>) {
        let _ = self.0.set(Actor { plane: Arc::downgrade(plane), registry: Arc::downgrade(registry) });
    }

    fn get(&self) -> Result<&Actor, String> {
        self.0.get().ok_or_else(|| "the service is not ready".to_owned())
    }
}

impl Acting for Actors {
    fn act<'a>(&'a self, act: &'a Act, until: Option<Time>, why: &'a str) -> Done<'a> {
        Box::pin(async move {
            let actor = self.get()?;
            match act {
                Act::PinLevel { route, level } => actor.pin(route, *level, until, why),
                Act::CachedFeatures { route } => actor.pin(route, CACHED_FEATURES, until, why),
                Act::PreviousModel { model } => {
                    let before = actor.registry()?.go_back(model, None, ACTOR, why).await?;
                    Ok(Some(json!({ "champion": before })))
                }
                Act::RaiseSampling { route } => {
                    let raised = actor.plane()?.gateway.raise_sampling(route, until);
                    raised.map(|()| None).map_err(|error| error.to_string())
                }
                Act::BlockPattern { route, pattern } => {
                    let blocked = actor.plane()?.gateway.block(route, pattern, until);
                    blocked.map(|()| None).map_err(|error| error.to_string())
                }
                Act::StopExperiment { run } => actor.stop_experiment(run, why).await,
            }
        })
    }

    fn undo<'a>(&'a self, act: &'a Act, undo: Option<&'a Value>, why: &'a str) -> Done<'a> {
        Box::pin(async move {
            let actor = self.get()?;
            match act {
                Act::PinLevel { route, .. } | Act::CachedFeatures { route } => actor.unpin(route, undo, why)?,
                Act::PreviousModel { model } => {
                    let to = undo.and_then(|undo| undo["champion"].as_str()).map(str::to_owned);
                    actor.registry()?.go_back(model, to, ACTOR, why).await?;
                }
                Act::RaiseSampling { route } => {
                    actor.plane()?.gateway.lower_sampling(route).map_err(|error| error.to_string())?;
                }
                Act::BlockPattern { route, pattern } => {
                    actor.plane()?.gateway.unblock(route, pattern).map_err(|error| error.to_string())?;
                }
                // What was stopped stays stopped.
                Act::StopExperiment { .. } => {}
            }
            Ok(None)
        })
    }
}

impl Actor {
    fn plane(&self) -> Result<Arc<Plane>, String> {
        self.plane.upgrade().ok_or_else(|| "the service has stopped".to_owned())
    }

    fn registry(&self) -> Result<Arc<Registry>, String> {
        self.registry.upgrade().ok_or_else(|| "the service has stopped".to_owned())
    }

    /// Stops an experiment; one that is over has been.
    async fn stop_experiment(&self, run: &str, why: &str) -> Result<Option<Value>, String> {
        let plane = self.plane()?;
        let experiments = plane.experiments().ok_or_else(|| "the service is not ready".to_owned())?;
        match experiments.stop(run, ACTOR, why).await {
            Ok(()) | Err(ChaosError::Refused(_) | ChaosError::Owed(_)) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Holds a route at a level; the pin that this one replaces undoes it.
    fn pin(&self, route: &str, level: u8, until: Option<Time>, why: &str) -> Result<Option<Value>, String> {
        let level = Level::new(level).ok_or_else(|| format!("there is no level {level}"))?;
        let before = self.pinned(route).filter(|(_, _, reason)| reason != why);
        self.plane()?.gateway.pin(route, level, until, why).map_err(|error| error.to_string())?;
        Ok(before.map(|(level, until, reason)| {
            json!({ "level": level.number(), "until": until.map(Time::as_nanos), "reason": reason })
        }))
    }

    /// Lets a route go, to the pin that was there before. A pin that somebody else made meanwhile stays.
    fn unpin(&self, route: &str, before: Option<&Value>, why: &str) -> Result<(), String> {
        if self.pinned(route).is_none_or(|(_, _, reason)| reason != why) {
            return Ok(());
        }
        let plane = self.plane()?;
        let gateway = &plane.gateway;
        let level =
            before.and_then(|before| before["level"].as_u64()).and_then(|level| Level::new(u8::try_from(level).ok()?));
        let until = before.and_then(|before| before["until"].as_u64()).map(Time::from_nanos);
        let lasts = until.is_none_or(|until| until > mainstay_control::DataPlane::now(&*plane));
        let done = match level.filter(|_| lasts) {
            Some(level) => {
                let reason = before.and_then(|before| before["reason"].as_str()).unwrap_or_default();
                gateway.pin(route, level, until, reason)
            }
            None => gateway.unpin(route),
        };
        done.map_err(|error| error.to_string())
    }

    fn pinned(&self, route: &str) -> Option<(Level, Option<Time>, String)> {
        let status = self.plane.upgrade()?.gateway.status();
        let route = status.routes.into_iter().find(|it| it.name == route)?;
        route.pin.map(|pin| (pin.level, pin.until, pin.reason))
    }
}
