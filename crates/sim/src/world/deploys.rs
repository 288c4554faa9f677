//! Deploys: a backend's parts restart one after the other, are cold when they are back, and may run another version then; and the way back
//! to the version before.

use mainstay_core::drill::{Deploy, Version};
use mainstay_core::event::ModelPromoted;
use mainstay_core::resilience::outcome::{FailureKind, Outcome};
use mainstay_core::response::desk::Doing;

use super::World;
use crate::agenda::Event;
use crate::gateway::At;
use crate::servers::Owner;

/// The versions of what a backend runs, by their numbers.
pub(super) struct Versions {
    /// All that ever came; the first one is as the world says.
    all: Vec<Version>,
    /// Those that were to be everywhere, one after the other; the last one is.
    champions: Vec<usize>,
    /// By part: which one it runs.
    parts: Vec<usize>,
    /// How the last one came.
    came: Option<Deploy>,
}

/// A deploy that is under way, or was.
pub(super) struct Rollout {
    backend: usize,
    deploy: Deploy,
    /// The version that it brings.
    version: usize,
    /// The one that was to be everywhere until then.
    from: usize,
    /// The incident's action for which it goes back.
    goes_back: Option<Doing>,
    /// Whether those who watch know of the version: they do once its first part is there.
    told: bool,
    /// What goes on in its place once the part at hand is warm.
    next: Option<usize>,
    over: bool,
}

impl Versions {
    /// Of a backend of so many parts.
    pub(super) fn new(parts: usize) -> Versions {
        Versions { all: vec![Version::default()], champions: vec![0], parts: vec![0; parts], came: None }
    }

    /// The number of the one that is to be everywhere.
    fn champion(&self) -> usize {
        self.champions.last().copied().unwrap_or_default()
    }

    /// A new version is to be everywhere.
    fn comes(&mut self, version: Version, deploy: Deploy) {
        self.all.push(version);
        self.champions.push(self.all.len() - 1);
        self.came = Some(deploy);
    }

    /// The version before is to be everywhere again: how the last one came. `None`: there is none before.
    fn goes_back(&mut self) -> Option<Deploy> {
        let came = self.came.filter(|_| self.champions.len() > 1)?;
        self.champions.pop();
        Some(came)
    }
}

impl World<'_> {
    /// A deploy begins.
    pub(super) fn deploy(&mut self, backend: usize, deploy: Deploy) {
        let from = self.versions[backend].champion();
        if let Some(version) = deploy.version {
            self.versions[backend].comes(version, deploy);
        }
        if let Some(index) = self.roll_out(backend, deploy, from, None) {
            self.deploy_goes_on(index, 0);
        }
    }

    /// Backends of a model go back to the version before, as the last one came; how that ends is told to whoever acts. `Err`: none came before.
    pub(super) fn go_back(&mut self, model: &str, doing: &Doing) -> Result<(), String> {
        let mut gone_back = false;
        for at in 0..self.versions.len() {
            if self.drill.plan.backends[at].model.as_deref() != Some(model) {
                continue;
            }
            let from = self.versions[at].champion();
            let Some(came) = self.versions[at].goes_back() else { continue };
            gone_back = true;
            let name = &self.drill.plan.backends[at].name;
            self.transcript.tell(self.now, format!("* the version before comes to backend {name}"));
            if let Some(index) = self.roll_out(at, came, from, Some(doing.clone())) {
                self.agenda.add(self.now, Event::Deploy(index as u32, 0));
            }
        }
        if gone_back { Ok(()) } else { Err(format!("no version of {model} came before the one that is there")) }
    }

    /// Notes a deploy: its place, unless one is under way that it has to wait for.
    fn roll_out(&mut self, backend: usize, deploy: Deploy, from: usize, goes_back: Option<Doing>) -> Option<usize> {
        let (index, version) = (self.rollouts.len(), self.versions[backend].champion());
        let told = version == from;
        self.rollouts.push(Rollout { backend, deploy, version, from, goes_back, told, next: None, over: false });
        let of_backend = |it: &Rollout| it.backend == backend && !it.over;
        let under_way = self.rollouts[..index].iter().position(of_backend);
        let Some(under_way) = under_way else { return Some(index) };
        if let Some(waited) = self.rollouts[under_way].next.replace(index) {
            self.rollouts[waited].over = true;
            self.has_gone_back(waited, Err("another deploy came in between".to_owned()));
        }
        None
    }

    /// The next step of a deploy: a part goes, or is there again.
    pub(super) fn deploy_goes_on(&mut self, index: usize, step: u32) {
        self.count_time();
        let Rollout { backend, deploy, version, next, .. } = self.rollouts[index];
        let part = step as usize / 2;
        if !step.is_multiple_of(2) {
            self.part_comes(backend, part, index);
            self.tell_of_version(index);
            self.agenda.add(self.now + deploy.cold, Event::Deploy(index as u32, step + 1));
            return;
        }
        if let (Some(before), Some(servers)) = (part.checked_sub(1), &mut self.servers[backend]) {
            servers.part_is_warm(before);
        }
        if let Some(next) = next {
            self.rollouts[index].over = true;
            self.has_gone_back(index, Err("another deploy came in between".to_owned()));
            return self.deploy_goes_on(next, 0);
        }
        // Whoever goes back leaves alone what never left.
        let goes_back = self.rollouts[index].goes_back.is_some();
        let runs = &self.versions[backend].parts;
        match (part..runs.len()).find(|part| !goes_back || runs[*part] != version) {
            Some(part) => {
                self.part_goes(backend, part, &deploy);
                self.agenda.add(self.now + deploy.restart, Event::Deploy(index as u32, part as u32 * 2 + 1));
            }
            None => self.is_everywhere(index),
        }
    }

    fn part_goes(&mut self, at: usize, part: usize, deploy: &Deploy) {
        let Some(servers) = &mut self.servers[at] else { return };
        let (parts, broken) = (servers.parts(), servers.part_goes(part, deploy.drains));
        let name = &self.drill.plan.backends[at].name;
        self.transcript.tell(self.now, format!("* backend {name}: part {} of {parts} restarts", part + 1));
        self.break_off(&broken);
    }

    fn part_comes(&mut self, at: usize, part: usize, rollout: usize) {
        let Rollout { deploy, version, .. } = self.rollouts[rollout];
        let versions = &mut self.versions[at];
        versions.parts[part] = version;
        let runs = versions.all[version];
        let visits = &self.visits;
        let is_wanted = |owner: &Owner| visits[owner.visit as usize].turn == owner.turn;
        let Some(servers) = &mut self.servers[at] else { return };
        for (call, end) in servers.part_comes(part, (runs, deploy.slow), self.now, is_wanted) {
            self.agenda.add(end, Event::Served { backend: at as u32, call });
        }
        self.begin_step(at);
    }

    /// A deploy is over.
    fn is_everywhere(&mut self, index: usize) {
        let rollout = &mut self.rollouts[index];
        rollout.over = true;
        let name = &self.drill.plan.backends[rollout.backend].name;
        let back = rollout.goes_back.is_some();
        let which = if back { "the version before is everywhere again" } else { "the new version is everywhere" };
        self.transcript.tell(self.now, format!("* backend {name}: {which}"));
        self.has_gone_back(index, Ok(()));
    }

    /// Requests meet a version from here on.
    fn tell_of_version(&mut self, index: usize) {
        let rollout = &mut self.rollouts[index];
        let (Some(watch), false) = (&mut self.watch, rollout.told) else { return };
        rollout.told = true;
        let backend = &self.drill.plan.backends[rollout.backend];
        let promoted = ModelPromoted {
            model: backend.model.as_ref().unwrap_or(&backend.name).clone(),
            model_version: (rollout.version + 1).to_string(),
            previous: Some((rollout.from + 1).to_string()),
            by: rollout.goes_back.as_ref().map_or("deploy", |doing| doing.incident.as_str()).to_owned(),
            rollback: rollout.goes_back.is_some(),
            data_max_event_time: None,
        };
        watch.promoted(promoted, self.now);
    }

    /// A way back is over: whoever acts hears of it when the last of its backends is.
    fn has_gone_back(&mut self, index: usize, result: Result<(), String>) {
        let Some(doing) = self.rollouts[index].goes_back.take() else { return };
        let goes_on = |it: &Rollout| !it.over && it.goes_back.as_ref() == Some(&doing);
        if result.is_ok() && self.rollouts.iter().any(goes_on) {
            return;
        }
        if let Some(watch) = &mut self.watch {
            watch.done(&doing, result, self.now);
        }
    }

    /// Calls break off.
    fn break_off(&mut self, calls: &[Owner]) {
        for Owner { visit, turn } in calls {
            let on = &self.visits[*visit as usize];
            if on.turn == *turn && matches!(on.at, At::Call { .. }) {
                self.call_ended(*visit, Outcome::failure(FailureKind::Transport));
            }
        }
    }
}
