//! Backends that share their fate: each group has a breaker in front of those of its members.

use std::sync::Arc;

use mainstay_core::plan::{Backend, Plan};
use mainstay_core::resilience::breaker::{Config, Phase, Rejected, Transition};
use mainstay_core::status::GroupStatus;
use mainstay_core::time::Time;
use mainstay_tower::breaker::{Guard, SharedBreaker};
use mainstay_tower::clock::Clock;

use super::BackendShared;

/// A call's place in its group.
pub(crate) type InGroup = Guard<Arc<SharedBreaker>>;

/// The groups of backends.
pub(crate) struct Groups {
    groups: Vec<Arc<Group>>,
    /// By `BackendId`: which group it is of, and its place in that.
    of: Vec<Option<(usize, u32)>>,
}

/// A group, as it lives on while its members stay the same.
pub(crate) struct Group {
    pub(crate) name: String,
    /// Its members' names.
    pub(crate) members: Vec<String>,
    config: Config,
    pub(crate) breaker: Arc<SharedBreaker>,
}

impl Groups {
    /// Those that live on from `old`, and new ones.
    pub(super) fn new(plan: &Plan, seed: u64, old: Option<&Groups>, now: Time) -> Groups {
        let mut of = vec![None; plan.backends.len()];
        let groups = plan.groups().into_iter().enumerate().map(|(group, (name, members))| {
            for (place, at) in members.iter().enumerate() {
                of[*at] = Some((group, place as u32));
            }
            let of_plan: Vec<&Backend> = members.iter().map(|at| &plan.backends[*at]).collect();
            let new = Group::new(name, &of_plan, seed, now);
            let running = old.and_then(|old| old.groups.iter().find(|running| running.is_like(&new)));
            running.map_or_else(|| Arc::new(new), Arc::clone)
        });
        Groups { groups: groups.collect(), of }
    }

    /// Asks the backend's group, where it is of one, to let a call through.
    pub(crate) fn admit(&self, backend: usize, request: u64, clock: Clock) -> Result<Option<InGroup>, Rejected> {
        let Some((group, part)) = self.of[backend] else { return Ok(None) };
        Guard::admit_to(Arc::clone(&self.groups[group].breaker), part, request, clock).map(Some)
    }

    /// The backend's group.
    pub(crate) fn of(&self, backend: usize) -> Option<&Group> {
        self.of[backend].map(|(group, _)| &*self.groups[group])
    }

    /// The breaker of a member changed its state.
    pub(crate) fn member_changed(&self, backend: usize, change: &Transition, now: Time) {
        if let Some((group, part)) = self.of[backend] {
            self.groups[group].breaker.part_changed(part, change, now);
        }
    }

    /// Each of them, by name.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().map(|group| &**group)
    }

    /// What a person sees of them.
    pub(crate) fn status(&self, backends: &[Arc<BackendShared>], now: Time) -> Vec<GroupStatus> {
        let status = |(at, group): (usize, &Group)| {
            let view = group.breaker.state(now);
            let of = self.of.iter().zip(backends).filter(|(of, _)| of.is_some_and(|(group, _)| group == at));
            let open = of.filter(|(_, backend)| !backend.breaker.is_closed()).count();
            GroupStatus {
                name: group.name.clone(),
                breaker: view.phase.name(),
                retry_at: view.until,
                members: group.members.clone(),
                open: open as u64,
            }
        };
        self.all().enumerate().map(status).collect()
    }
}

impl Group {
    fn new(name: &str, members: &[&Backend], seed: u64, now: Time) -> Group {
        let config = Config::of_parts(members.iter().map(|backend| &backend.breaker));
        Group {
            name: name.to_owned(),
            members: members.iter().map(|backend| backend.name.clone()).collect(),
            breaker: SharedBreaker::new(config.clone(), seed, now),
            config,
        }
    }

    fn is_like(&self, other: &Group) -> bool {
        self.name == other.name && self.members == other.members && self.config == other.config
    }

    /// Its state.
    pub(crate) fn phase(&self, now: Time) -> Phase {
        if self.breaker.is_closed() { Phase::Closed } else { self.breaker.state(now).phase }
    }
}
