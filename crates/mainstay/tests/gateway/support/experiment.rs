//! Orders of experiments, as an injector gets them.

use std::time::Duration;

use mainstay_core::chaos::arms::{Beat, Counts};
use mainstay_core::chaos::experiment::{Caps, Cohort};
use mainstay_core::chaos::order::Order;

use super::{Plane, until};

/// An order that meets every request of the route `score`; the fault as it is written in a document.
pub(crate) fn order(fault: &str) -> Order {
    Order {
        run: "EXP-2026-0001".to_owned(),
        generation: 1,
        seed: 42,
        route: "score".to_owned(),
        target: None,
        fault: serde_json::from_str(fault).expect("a fault"),
        dose: 1.0,
        cohort: Cohort { share: 1.0, ..Cohort::default() },
        caps: Caps { concurrent: 1_000, total: 1_000_000 },
        blocks: None,
        injects: true,
        ttl: Duration::from_mins(1),
        hard_stop: Duration::from_mins(10),
    }
}

/// The header that tells trusted callers that an experiment touched their request.
pub(crate) const TOUCHED: &str = "x-mainstay-experiment";

/// Waits until the arms have counted so many requests in all; the beats up to then.
pub(crate) async fn beats(plane: &Plane, requests: u64) -> Vec<Beat> {
    let mut all = Vec::new();
    until("beats", || {
        all.extend(plane.gateway.take_beats());
        let counted: u64 = all.iter().flat_map(|beat: &Beat| &beat.arms).map(|arm| arm.requests).sum();
        assert!(counted <= requests, "{counted} requests were counted, not {requests}");
        (counted == requests).then_some(())
    })
    .await;
    all
}

/// What beats counted in all, control first.
pub(crate) fn summed(beats: &[Beat]) -> [Counts; 2] {
    let mut sum = [Counts::default(), Counts::default()];
    sum.iter_mut().enumerate().for_each(|(at, sum)| beats.iter().for_each(|beat| sum.add(&beat.arms[at])));
    sum
}
