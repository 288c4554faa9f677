//! The waiting line: order, bounds and time against a naive model.

use std::time::Duration;

use mainstay_core::resilience::queue::{Key, LoadReason, Popped, Pushed, Queue, Shed, Ticket, saturation};
use mainstay_core::route::Class;
use mainstay_core::time::Time;
use proptest::prelude::*;

fn class(number: u8) -> Class {
    Class::new(number).expect("0 to 3")
}

fn ticket(number: u8, max: usize) -> Ticket {
    Ticket { class: class(number), route: 0, max, wait_until: Time::MAX }
}

fn at(ms: u64) -> Time {
    Time::from_millis(ms)
}

#[test]
fn oldest_first_within_a_class_however_long_it_has_been_waiting() {
    let mut queue = Queue::new();
    for (name, ms) in [("a", 0), ("b", 10), ("c", 5000)] {
        queue.push(name, ticket(2, 3), at(ms));
    }
    assert_eq!(queue.push("d", ticket(2, 3), at(5000)), Pushed::Refused("d"));
    let order: Vec<_> = std::iter::from_fn(|| queue.pop(at(5000))).collect();
    assert_eq!(order, ["a", "b", "c"].map(Popped::Call));
}

#[test]
fn a_route_evicts_only_its_own() {
    let mut queue = Queue::new();
    let of = |route, number| Ticket { route, ..ticket(number, 2) };
    queue.push("other 3", of(1, 3), at(0));
    queue.push("own 2", of(0, 2), at(0));
    queue.push("own 1", of(0, 1), at(0));
    assert_eq!(queue.push("own 3", of(0, 3), at(0)), Pushed::Refused("own 3"));
    assert!(matches!(queue.push("own 0", of(0, 0), at(0)), Pushed::Evicted(_, "own 2")));
    assert_eq!((queue.len_of(0), queue.len_of(1)), (2, 1));
    let order: Vec<_> = std::iter::from_fn(|| queue.pop(at(0))).collect();
    assert_eq!(order, ["own 0", "own 1", "other 3"].map(Popped::Call));
}

#[test]
fn saturation_has_the_names_of_the_mission() {
    for (in_flight, queued, name) in
        [(69, 0, "normal_load"), (60, 10, "moderate_load"), (80, 5, "high_load"), (80, 15, "extreme_load")]
    {
        assert_eq!(LoadReason::of(saturation(in_flight, queued, 80, 20)).as_str(), name);
    }
    assert_eq!(saturation(0, 0, 0, 0), 1.0);
}

#[test]
fn thresholds_shed_by_class() {
    let shed_from =
        |number| (0..=100).find(|percent| !Shed::THRESHOLDS.admits(class(number), f64::from(*percent) / 100.0));
    assert_eq!([0, 1, 2, 3].map(shed_from), [None, Some(95), Some(85), Some(70)]);
}

/// What the documentation promises, done the slow way.
#[derive(Default)]
struct Model {
    /// In order of arrival.
    entries: Vec<(Ticket, u32, Key)>,
}

impl Model {
    /// Positions of the entries in the order in which they would be called.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.entries.len()).collect();
        order.sort_by_key(|&i| (self.entries[i].0.class, i));
        order
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn behaves_as_the_naive_model(
        steps in prop::collection::vec((0u8..8, 0u8..4, 0u32..3, 1u64..60, 0u64..300), 1..120)
    ) {
        let (mut queue, mut model, mut now, mut next) = (Queue::new(), Model::default(), at(0), 0u32);
        for (what, number, route, gap, wait) in steps {
            now = now + Duration::from_millis(gap);
            match what {
                0..=4 => {
                    let max = 2 + route as usize;
                    let ticket = Ticket { class: class(number), route, max, wait_until: now + Duration::from_millis(wait) };
                    next += 1;
                    let own: Vec<usize> =
                        model.order().into_iter().filter(|i| model.entries[*i].0.route == route).collect();
                    let full = own.len() == max;
                    match queue.push(next, ticket, now) {
                        Pushed::Waits(key) => {
                            prop_assert!(!full);
                            model.entries.push((ticket, next, key));
                        }
                        Pushed::Evicted(key, out) => {
                            prop_assert!(full);
                            let worst = *own.last().unwrap();
                            prop_assert_eq!(model.entries.remove(worst).1, out);
                            model.entries.push((ticket, next, key));
                        }
                        Pushed::Refused(_) => {
                            let kept = own.last().map(|i| model.entries[*i].0.class);
                            let worst = kept.is_some_and(|kept| kept <= ticket.class);
                            prop_assert!(wait == 0 || full && worst);
                        }
                    }
                }
                5 | 6 => {
                    let first = model.order().first().map(|&i| model.entries.remove(i));
                    let expected = first.map(|(ticket, item, _)| {
                        if ticket.wait_until <= now { Popped::Expired(item) } else { Popped::Call(item) }
                    });
                    prop_assert_eq!(queue.pop(now), expected);
                }
                _ => {
                    if !model.entries.is_empty() {
                        let (_, item, key) = model.entries.remove(wait as usize % model.entries.len());
                        prop_assert_eq!(queue.remove(key), Some(item));
                        prop_assert_eq!(queue.remove(key), None);
                    }
                }
            }
            prop_assert_eq!(queue.len(), model.entries.len());
        }
    }
}
