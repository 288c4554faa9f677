//! Three threads at the gate, in every interleaving.
//!
//! `cargo xtask test` runs this with at most four preemptions (`LOOM_MAX_PREEMPTIONS=4`), which takes a second; without a
//! bound, as in `cargo xtask soak`, it takes hours.
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use mainstay_core::resilience::permit::{Entry, Gate, Mode};

/// Permits of each generation that are in use, counted apart from the gate.
struct Held([AtomicU32; 3]);

impl Held {
    fn new() -> Held {
        Held([AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0)])
    }
}

/// Takes a permit, checks that no more than `most` are in use, returns it.
fn visit(gate: &Gate, held: &Held, most: [u32; 3]) {
    if let Entry::Permit { generation } = gate.enter() {
        let slot = generation as usize;
        let others = held.0[slot].fetch_add(1, Ordering::SeqCst);
        assert!(others < most[slot], "generation {generation}: {} at once", others + 1);
        held.0[slot].fetch_sub(1, Ordering::SeqCst);
        gate.leave(generation);
    }
}

/// Two callers beside `third`, each allowed to see at most `most` permits of each generation in use.
fn model(most: [u32; 3], third: fn(&Gate, &Held), after: fn(&Gate)) {
    loom::model(move || {
        let (gate, held) = (Arc::new(Gate::new(0, Mode::Metered, 1)), Arc::new(Held::new()));
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let (gate, held) = (gate.clone(), held.clone());
                thread::spawn(move || visit(&gate, &held, most))
            })
            .collect();
        third(&gate, &held);
        for caller in callers {
            caller.join().unwrap();
        }
        after(&gate);
    });
}

#[test]
fn three_callers_share_one_permit() {
    model([1, 0, 0], |gate, held| visit(gate, held, [1, 0, 0]), |gate| assert_eq!(gate.word().out, 0));
}

#[test]
fn a_transition_in_between_admits_no_more() {
    let transition = |gate: &Gate, _: &Held| {
        gate.publish(1, Mode::Shut, 0, 0);
        gate.publish(2, Mode::Metered, 1, 0);
    };
    model([1, 0, 1], transition, |gate| {
        assert_eq!(gate.word().out, 0, "a permit of the first generation was counted in the third");
    });
}

#[test]
fn a_wider_ramp_keeps_count_of_the_permits_out() {
    let widen = |gate: &Gate, _: &Held| gate.publish(0, Mode::Metered, 2, 0);
    model([2, 0, 0], widen, |gate| assert_eq!((gate.word().out, gate.word().allowed), (0, 2)));
}
