//! Which order a request meets: by its cohort, its unit's hash, the block at hand and its own dose.

use std::rc::Rc;
use std::sync::Arc;

use http::HeaderMap;
use mainstay_core::chaos::experiment::{Traffic, Unit};
use mainstay_core::chaos::fault::Point;
use mainstay_core::chaos::order::{Arm, hash};
use mainstay_core::route::Class;
use mainstay_core::time::Time;

use super::load::Load;
use super::met::Met;
use super::standing::Standing;
use super::{Injector, clock};
use crate::worker::State;

/// What of a request decides which order it meets.
pub(crate) struct Asking<'a> {
    pub(crate) state: &'a Rc<State>,
    pub(crate) began: Time,
    pub(crate) route: &'a str,
    pub(crate) class: Class,
    pub(crate) client: &'a str,
    pub(crate) id: &'a [u8],
    pub(crate) headers: &'a HeaderMap,
    pub(crate) synthetic: bool,
}

impl Injector {
    /// The order that a request meets: the first whose arms it is in.
    #[cold]
    pub(crate) fn meet(&self, asking: &Asking<'_>) -> Option<Box<Met>> {
        let now = clock::now();
        let table = self.table.load();
        let of_route = table.iter().filter(|standing| standing.order.route == asking.route && standing.stands_at(now));
        of_route.filter(|standing| takes(standing, asking)).find_map(|standing| {
            let order = &standing.order;
            let request = hash(asking.id);
            let placed = order.arm(unit(standing, asking, request))?;
            let arm = match order.blocks {
                Some(blocks) => blocks.arm_at(standing.stood(now)),
                None => Some(placed),
            };
            // All of a route meets what happens at its door; what is sent on top is tagged by its sender.
            let reaches = placed == Arm::Experiment && order.fault.point() != Point::Admission;
            let dosed = reaches && standing.injects_at(now) && order.is_dosed(request);
            Some(Box::new(Met::new(asking, Arc::clone(standing), arm, dosed, order.draws(request))))
        })
    }
}

impl Injector {
    /// The loads that a request is noted by: of orders for more traffic on its route, whose cohort it is of. The share does not
    /// count here: all of the traffic is what is multiplied.
    pub(super) fn loads(&self, asking: &Asking<'_>) -> Vec<Arc<Load>> {
        let now = clock::now();
        let table = self.table.load();
        let of_route = table.iter().filter(|standing| standing.order.route == asking.route && standing.stands_at(now));
        of_route.filter(|standing| takes(standing, asking)).filter_map(|standing| standing.load.clone()).collect()
    }
}

/// Whether a request is of the order's cohort.
fn takes(standing: &Standing, asking: &Asking<'_>) -> bool {
    let cohort = &standing.order.cohort;
    (cohort.traffic == Traffic::All || asking.synthetic)
        && (cohort.classes.is_empty() || cohort.classes.contains(&asking.class))
        && (cohort.clients.is_empty() || cohort.clients.iter().any(|client| client == asking.client))
        && cohort.headers.iter().all(|(name, value)| {
            asking.headers.get(name.as_str()).is_some_and(|found| found.as_bytes() == value.as_bytes())
        })
}

/// The hash of what stays in one arm. Who has no name is no unit: each request stands for itself then.
fn unit(standing: &Standing, asking: &Asking<'_>, request: u64) -> u64 {
    match &standing.order.cohort.by {
        Unit::Request => request,
        Unit::Client if asking.client.is_empty() => request,
        Unit::Client => hash(asking.client.as_bytes()),
        Unit::Header(name) => asking.headers.get(name.as_str()).map_or(request, |value| hash(value.as_bytes())),
    }
}
