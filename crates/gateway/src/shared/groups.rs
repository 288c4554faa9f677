//! Backends that share their fate.

use mainstay_core::plan::Plan;

use super::BackendShared;

/// From how many of a group on that are left alone the rest of it is believed to be next.
const SEVERAL: usize = 2;

/// The groups of backends.
pub(crate) struct Groups {
    /// By group: its name, and who is of it.
    groups: Vec<(String, Vec<usize>)>,
    /// By `BackendId`: which group it is of.
    of: Vec<Option<usize>>,
}

impl Groups {
    pub(super) fn new(plan: &Plan) -> Groups {
        let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
        let mut place = |(at, name): (usize, Option<&String>)| {
            let name = name?;
            let group = groups.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
                groups.push((name.clone(), Vec::new()));
                groups.len() - 1
            });
            groups[group].1.push(at);
            Some(group)
        };
        let of = plan.backends.iter().map(|backend| backend.group.as_ref()).enumerate().map(&mut place).collect();
        Groups { groups, of }
    }

    /// Whether so many of its group are left alone that the backend is asked after others.
    pub(crate) fn is_suspect(&self, backend: usize, backends: &[std::sync::Arc<BackendShared>]) -> bool {
        let group = self.of.get(backend).copied().flatten();
        group.is_some_and(|group| open(&self.groups[group].1, backends) >= SEVERAL)
    }

    /// Whether any backend of the plan is of a group.
    pub(crate) fn any(&self) -> bool {
        !self.groups.is_empty()
    }

    /// How many of each group are left alone.
    pub(crate) fn open<'a>(
        &'a self,
        backends: &'a [std::sync::Arc<BackendShared>],
    ) -> impl Iterator<Item = (&'a str, usize)> + 'a {
        self.groups.iter().map(|(name, members)| (name.as_str(), open(members, backends)))
    }
}

/// How many of these are left alone or still being tried.
fn open(members: &[usize], backends: &[std::sync::Arc<BackendShared>]) -> usize {
    members.iter().filter(|at| !backends[**at].breaker.is_closed()).count()
}
