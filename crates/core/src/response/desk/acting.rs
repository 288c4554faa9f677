//! What mainstay does itself: approved by somebody or by a rule, for a while, with a way back.

use std::time::Duration;

use serde_json::Value;

use super::asked::Refused;
use super::changes::Doing;
use super::status::By;
use super::{DESK, Desk, Live, entry};
use crate::incident::kind::Status;
use crate::incident::record::{ACTIONS_MAX, Act, Action, ActionState, Incident};
use crate::response::fact::is_experiment;
use crate::response::signature::Immediate;
use crate::time::Time;

/// Longest time for which an action may have effect before somebody must ask again.
pub const LASTING_MAX: Duration = Duration::from_hours(7 * 24);
/// Longest pattern that is blocked, in characters.
const PATTERN_MAX: usize = 200;
/// The level of cached features.
const CACHED_FEATURES: u8 = 1;

impl Desk {
    /// What can be done at once by mainstay itself: experiments on its routes are stopped, and whatever the type of an incident says,
    /// for each route that it touches.
    pub fn proposals(&self, incident: &Incident) -> Vec<Act> {
        let immediate = self.catalogue.get(&incident.kind).map_or(&[][..], |it| &it.actions);
        let stops = self.experiments().filter(|(route, _)| incident.routes.iter().any(|it| it == route));
        let stops = stops.map(|(_, run)| Act::StopExperiment { run: run.to_owned() });
        stops.chain(immediate.iter().flat_map(|it| self.acts(incident, it))).collect()
    }

    /// Experiments whose fault is in force: the route and the run.
    fn experiments(&self) -> impl Iterator<Item = (&str, &str)> {
        let in_force = |it: &&Live| it.until.is_none() && is_experiment(&it.fact, &it.labels);
        self.live
            .values()
            .filter(in_force)
            .filter_map(|it| Some((it.labels.get("route")?.as_str(), it.labels.get("run")?.as_str())))
    }

    fn acts(&self, incident: &Incident, immediate: &Immediate) -> Vec<Act> {
        let reach = &self.terms.reach;
        let each = |make: &dyn Fn(String) -> Option<Act>| incident.routes.iter().cloned().filter_map(make).collect();
        match immediate.action.as_deref() {
            Some("pin_level") => {
                let least = immediate.level.unwrap_or(2);
                each(&|route| reach.level(&route, least).map(|level| Act::PinLevel { route, level }))
            }
            Some("cached_features") => {
                let has = |route: &str| reach.level(route, CACHED_FEATURES) == Some(CACHED_FEATURES);
                each(&|route| has(&route).then_some(Act::CachedFeatures { route }))
            }
            Some("raise_sampling") => each(&|route| Some(Act::RaiseSampling { route })),
            Some("previous_model") => {
                let routes = incident.routes.iter().cloned().collect();
                let models = self.terms.reach.models_of(&routes);
                models.into_iter().map(|model| Act::PreviousModel { model: model.to_owned() }).collect()
            }
            // A pattern is somebody's judgement.
            _ => Vec::new(),
        }
    }

    /// Does what the config says is done without asking.
    pub(super) fn take_automatic_actions(&mut self, id: &str, now: Time) {
        let Some(incident) = self.incidents.get(id) else { return };
        let auto = self.terms.incidents.types.get(&incident.kind).map(|terms| terms.auto.clone()).unwrap_or_default();
        let wanted = self.proposals(incident).into_iter().filter(|act| auto.iter().any(|it| it == act.word()));
        for act in wanted.collect::<Vec<_>>() {
            if let Err(refused) = self.act(id, act, None, ("rule", "rule"), now)
                && let Some(incident) = self.incidents.get_mut(id)
            {
                incident.tell(entry(now, DESK, "action", format!("not done: {refused}")));
            }
        }
    }

    pub(super) fn act(
        &mut self,
        id: &str,
        act: Act,
        lasting: Option<Duration>,
        by: By<'_>,
        now: Time,
    ) -> Result<(), Refused> {
        self.check(&act)?;
        let lasting = lasting.unwrap_or(self.terms.incidents.action);
        if lasting.is_zero() || lasting > LASTING_MAX {
            return Err(Refused::Invalid(format!(
                "an action has effect for at most {} h",
                LASTING_MAX.as_secs() / 3600
            )));
        }
        let incident = self.incidents.get_mut(id).ok_or_else(|| Refused::Unknown(id.to_owned()))?;
        if !incident.status.is_open() {
            return Err(Refused::Invalid(format!(
                "it is {}: nothing is done for it any more",
                incident.status.as_str()
            )));
        }
        let goes_on = |it: &&Action| matches!(it.state, ActionState::Pending | ActionState::Active);
        if let Some(same) = incident.actions.iter().filter(goes_on).find(|it| it.act == act) {
            return Err(Refused::Invalid(format!("action {} does that already", same.id)));
        }
        if incident.actions.len() >= ACTIONS_MAX {
            return Err(Refused::Invalid(format!("an incident has at most {ACTIONS_MAX} actions")));
        }
        let number = incident.actions.len() as u32 + 1;
        // A change of model stays until somebody changes it again, and what was stopped is not begun again.
        let stays = matches!(act, Act::PreviousModel { .. } | Act::StopExperiment { .. });
        let until = if stays { None } else { Some(now + lasting) };
        incident.tell(entry(now, by, "action", format!("action {number} asked for: {}", told(&act))));
        let doing = Doing { incident: id.to_owned(), action: number, act: act.clone(), undo: None, back: false, until };
        incident.actions.push(Action {
            id: number,
            act,
            state: ActionState::Pending,
            by: by.0.to_owned(),
            at: now,
            taken: None,
            until,
            ended: None,
            undo: None,
            error: None,
        });
        self.changes.incident(id);
        self.changes.doing(doing);
        Ok(())
    }

    fn check(&self, act: &Act) -> Result<(), Refused> {
        let invalid = |what: String| Err(Refused::Invalid(what));
        match act {
            Act::PinLevel { route, .. }
            | Act::CachedFeatures { route }
            | Act::RaiseSampling { route }
            | Act::BlockPattern { route, .. }
                if !self.terms.reach.routes.contains(route) =>
            {
                invalid(format!("there is no route `{route}`"))
            }
            Act::CachedFeatures { route }
                if self.terms.reach.level(route, CACHED_FEATURES) != Some(CACHED_FEATURES) =>
            {
                invalid(format!(
                    "the ladder of `{route}` has no level {CACHED_FEATURES}, which answers with cached features"
                ))
            }
            Act::PinLevel { route, level } if *level <= 4 && self.terms.reach.level(route, *level).is_none() => {
                invalid(format!("the ladder of `{route}` has nothing at level {level} or deeper"))
            }
            Act::PinLevel { level, .. } if *level > 4 => invalid(format!("there is no level {level}: they are 0 to 4")),
            Act::BlockPattern { pattern, .. } if pattern.trim().is_empty() || pattern.chars().count() > PATTERN_MAX => {
                invalid(format!("a pattern has 1 to {PATTERN_MAX} characters"))
            }
            Act::PreviousModel { model } if !self.terms.reach.models.contains_key(model) => {
                invalid(format!("no backend serves a model `{model}`"))
            }
            Act::StopExperiment { run } if !self.experiments().any(|(_, it)| it == run) => {
                invalid(format!("no experiment `{run}` is in force"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn undo(&mut self, id: &str, action: u32, by: By<'_>, now: Time) -> Result<(), Refused> {
        let incident = self.incidents.get_mut(id).ok_or_else(|| Refused::Unknown(id.to_owned()))?;
        let Some(taken) = incident.actions.iter_mut().find(|it| it.id == action) else {
            return Err(Refused::Invalid(format!("it has no action {action}")));
        };
        if taken.state != ActionState::Active {
            return Err(Refused::Invalid(format!("action {action} has no effect that could be undone")));
        }
        taken.state = ActionState::Undoing;
        let (act, undo, until) = (taken.act.clone(), taken.undo.clone(), taken.until);
        let goes_on = |it: &Action| it.state == ActionState::Active && it.act == act;
        if self.incidents.values().any(|it| it.actions.iter().any(goes_on)) {
            self.handle_done(id, action, Ok(None), now);
            return Ok(());
        }
        let Some(incident) = self.incidents.get_mut(id) else { return Ok(()) };
        incident.tell(entry(now, by, "action", format!("action {action} is being undone: {}", told(&act))));
        self.changes.incident(id);
        self.changes.doing(Doing { incident: id.to_owned(), action, act, undo, back: true, until });
        Ok(())
    }

    /// Takes in what came of something that was done: what undoes it, or why it failed.
    pub fn handle_done(&mut self, id: &str, action: u32, result: Result<Option<Value>, String>, now: Time) {
        let Some(incident) = self.incidents.get_mut(id) else { return };
        let Some(taken) = incident.actions.iter_mut().find(|it| it.id == action) else { return };
        let (act, state) = (told(&taken.act), taken.state);
        let text = match (state, result) {
            (ActionState::Pending, Ok(undo)) => {
                taken.state = ActionState::Active;
                taken.taken = Some(now);
                taken.undo = undo;
                format!("action {action} has effect: {act}")
            }
            (ActionState::Undoing, Ok(_)) => {
                let over = taken.until.is_some_and(|until| until <= now);
                taken.state = if over { ActionState::Expired } else { ActionState::Undone };
                taken.ended = Some(now);
                format!("action {action} {}: {act}", if over { "expired" } else { "was undone" })
            }
            (ActionState::Pending | ActionState::Active | ActionState::Undoing, Err(why)) => {
                taken.state = ActionState::Failed;
                taken.ended = Some(now);
                let text = format!("action {action} failed: {act}: {why}");
                taken.error = Some(why);
                text
            }
            // One that has effect was done again after a start: it has effect as before.
            (ActionState::Active, Ok(_)) | (ActionState::Undone | ActionState::Expired | ActionState::Failed, _) => {
                return;
            }
        };
        let took_effect = taken.state == ActionState::Active;
        incident.tell(entry(now, DESK, "action", text));
        let mitigates = took_effect && matches!(incident.status, Status::Detected | Status::Investigating);
        self.changes.incident(id);
        // Keeping more requests shows more, and ends nothing.
        let is_effect = self.incidents.get(id).and_then(|it| it.actions.iter().find(|it| it.id == action));
        let is_effect = is_effect.is_some_and(|it| !matches!(it.act, Act::RaiseSampling { .. }));
        if mitigates && is_effect {
            let set = self.set_status(id, Status::Mitigating, DESK, &format!("action {action} has effect"), now);
            debug_assert!(set.is_ok(), "what is looked at can be mitigated");
        }
    }

    /// Undoes what has had its time.
    pub(super) fn expire(&mut self, now: Time) {
        let over = |it: &Action| it.state == ActionState::Active && it.until.is_some_and(|until| until <= now);
        let all = self.incidents.values();
        let due = all.flat_map(|it| it.actions.iter().filter(|it| over(it)).map(|action| (it.id.clone(), action.id)));
        for (id, action) in due.collect::<Vec<_>>() {
            let undone = self.undo(&id, action, (DESK.0, "rule"), now);
            debug_assert!(undone.is_ok(), "what has effect can be undone");
        }
    }
}

/// An action in words.
pub fn told(act: &Act) -> String {
    match act {
        Act::PinLevel { route, level } => format!("{route} is held at level {level}"),
        Act::CachedFeatures { route } => format!("{route} is held at level {CACHED_FEATURES}, with cached features"),
        Act::PreviousModel { model } => format!("{model} goes back to the champion before"),
        Act::RaiseSampling { route } => format!("more requests of {route} are kept"),
        Act::BlockPattern { route, .. } => format!("requests of {route} that hold a pattern are refused"),
        Act::StopExperiment { run } => format!("the experiment {run} is stopped"),
    }
}
