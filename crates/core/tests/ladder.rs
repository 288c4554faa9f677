//! The ladder: which level a route is at, and how a request walks.

use std::time::Duration;

use mainstay_core::resilience::breaker::Phase;
use mainstay_core::resilience::ladder::{
    Climb, Component, Effect, Entry, Hysteresis, Ladder, LevelReason, Pin, Seen, Step, Walk, probe,
};
use mainstay_core::rng::Rng;
use mainstay_core::route::Level;
use mainstay_core::time::Time;

const PRIMARY: Component = Component::Backend(0);
const SMALL: Component = Component::Backend(1);
const FEATURES: Component = Component::Features(0);

fn level(number: u8) -> Level {
    Level::new(number).expect("0 to 4")
}

/// Full service with online features, cached features, a simpler model, rules, a constant.
fn five() -> Vec<Entry> {
    vec![
        Entry { features: Some(0), ..Entry::remote(level(0), 0) },
        Entry::remote(level(1), 0),
        Entry::remote(level(2), 1),
        Entry::local(level(3)),
        Entry::local(level(4)),
    ]
}

/// Plays health reports (second, component, healthy) and returns "second: from->to" for each change.
fn play(reports: &[(u64, Component, bool)], seconds: u64) -> Vec<String> {
    let mut ladder = Ladder::new(five(), Hysteresis::default(), Time::ZERO);
    let mut changes = Vec::new();
    for second in 0..=seconds {
        let now = Time::from_secs(second);
        for (_, component, healthy) in reports.iter().filter(|(at, ..)| *at == second) {
            ladder.handle_health(*component, *healthy, now);
        }
        while ladder.poll_timeout().is_some_and(|due| due <= now) {
            ladder.handle_timeout(now);
        }
        while let Some(Effect::LevelChanged { from, to, at, .. }) = ladder.poll_effect() {
            changes.push(format!("{}: {from}->{to}", at.as_secs_f64()));
        }
    }
    changes
}

#[test]
fn goes_down_at_once_and_up_step_by_step() {
    let reports = [(1, PRIMARY, false), (100, PRIMARY, true)];
    // Level 1 needs the primary as well; both have been well for 30 s at 130 s.
    assert_eq!(play(&reports, 200), ["10: 0->2", "130: 2->1", "160: 1->0"]);
}

#[test]
fn a_dead_feature_store_does_not_hide_a_dead_model() {
    assert_eq!(play(&[(1, FEATURES, false)], 30), ["10: 0->1"]);
    assert_eq!(play(&[(1, FEATURES, false), (1, PRIMARY, false)], 30), ["10: 0->2"]);
    assert_eq!(play(&[(1, FEATURES, false), (1, PRIMARY, false), (21, SMALL, false)], 60), ["10: 0->2", "30: 2->3"]);
    // The step up stops where the next better level is still broken.
    let back = [(1, FEATURES, false), (1, PRIMARY, false), (21, SMALL, false), (40, PRIMARY, true)];
    assert_eq!(play(&back, 200), ["10: 0->2", "30: 2->3", "70: 3->1"]);
}

#[test]
fn does_not_flap() {
    // One second bad in every five, for ten minutes.
    let short: Vec<_> = (0..600).map(|s| (s, PRIMARY, s % 5 != 2)).collect();
    assert_eq!(play(&short, 600), Vec::<String>::new());
    // Fifteen seconds bad, fifteen well: down once, and it stays there.
    let long: Vec<_> = (0..600).map(|s| (s, PRIMARY, s % 30 >= 15)).collect();
    assert_eq!(play(&long, 600), ["10: 0->2"]);
}

#[test]
fn a_pin_wins_and_ends() {
    let mut ladder = Ladder::new(five(), Hysteresis::default(), Time::ZERO);
    let pin = |number, until| Pin { level: level(number), until, reason: "model review".into() };
    ladder.handle_pin(pin(3, Some(Time::from_secs(60))), Time::from_secs(1));
    for component in [PRIMARY, SMALL] {
        ladder.handle_health(component, false, Time::from_secs(2));
    }
    for second in 2..60 {
        if second == 20 {
            ladder.handle_health(SMALL, true, Time::from_secs(20));
        }
        ladder.handle_timeout(Time::from_secs(second));
        assert_eq!(ladder.level(), level(3));
    }
    // Beneath the pin the machine went on: down to 3, and up to 2.
    ladder.handle_timeout(Time::from_secs(60));
    ladder.handle_pin(pin(0, None), Time::from_secs(61));
    ladder.handle_unpin(Time::from_secs(62));
    ladder.handle_unpin(Time::from_secs(63));
    let effects: Vec<_> = std::iter::from_fn(|| ladder.poll_effect())
        .map(|Effect::LevelChanged { from, to, why, .. }| (from.number(), to.number(), why))
        .collect();
    let pinned = || LevelReason::Pinned("model review".into());
    assert_eq!(effects[0], (0, 3, pinned()));
    assert_eq!(effects[1..], [(3, 2, LevelReason::PinExpired), (2, 0, pinned()), (0, 2, LevelReason::Unpinned)]);
}

#[test]
fn the_last_step_up_says_which_levels_came_back() {
    let mut ladder = Ladder::new(five(), Hysteresis::default(), Time::ZERO);
    for second in 0..200 {
        ladder.handle_health(PRIMARY, second >= 20, Time::from_secs(second));
        ladder.handle_timeout(Time::from_secs(second));
    }
    // Down to 2 at 10 s, up to 1 at 50 s and to 0 at 80 s.
    let climb = Climb { at: Time::from_secs(80), from: level(1) };
    assert_eq!(ladder.climbed(), Some(climb));
    assert_eq!([0, 1, 2].map(|number| climb.back_at(level(number))), [Some(climb.at), None, None]);
    let pin = Pin { level: level(4), until: None, reason: "model review".into() };
    ladder.handle_pin(pin, Time::from_secs(200));
    ladder.handle_unpin(Time::from_secs(201));
    assert_eq!(ladder.climbed(), Some(climb), "nothing recovered");
}

/// Lets the primary be seen so from one second to another; the level at the end.
fn seen(ladder: &mut Ladder, phase: Phase, carries: bool, (from, to): (u64, u64)) -> u8 {
    for second in from..to {
        let now = Time::from_secs(second);
        ladder.handle_seen(PRIMARY, Seen::checked(None).behind(phase, carries), now);
        ladder.handle_timeout(now);
    }
    ladder.level().number()
}

#[test]
fn who_was_not_tried_under_a_pin_is_not_ill() {
    let pin = || Pin { level: level(4), until: None, reason: "model review".into() };
    let mut ladder = Ladder::new(five(), Hysteresis::default(), Time::ZERO);
    assert_eq!(seen(&mut ladder, Phase::Open, false, (0, 20)), 2);
    ladder.handle_pin(pin(), Time::from_secs(20));
    assert_eq!(seen(&mut ladder, Phase::HalfOpen, false, (20, 100)), 4);
    let mut other = Ladder::new(five(), Hysteresis { up: Duration::from_secs(1), ..Hysteresis::default() }, Time::ZERO)
        .with_untried_of(&ladder);
    ladder.handle_unpin(Time::from_secs(100));
    assert_eq!(seen(&mut ladder, Phase::HalfOpen, false, (100, 120)), 0, "those that try it are on their way");
    assert_eq!(seen(&mut other, Phase::HalfOpen, false, (100, 120)), 0, "as under the config before");
    // It was tried, and failed: half-open is no excuse any more.
    assert_eq!(seen(&mut ladder, Phase::Open, false, (120, 121)), 0);
    assert_eq!(seen(&mut ladder, Phase::HalfOpen, false, (121, 140)), 2);
    ladder.handle_pin(pin(), Time::from_secs(140));
    assert_eq!(seen(&mut ladder, Phase::Open, false, (140, 240)), 4);
    ladder.handle_unpin(Time::from_secs(240));
    assert_eq!(ladder.level(), level(2), "an open breaker is one");
}

#[test]
fn a_failed_check_and_a_full_line_are_no_excuse() {
    for ill in [Seen::checked(Some(false)), Seen { collapsed: true, ..Seen::checked(None) }] {
        let mut ladder = Ladder::new(five(), Hysteresis::default(), Time::ZERO);
        for second in 0..20 {
            ladder.handle_seen(PRIMARY, ill, Time::from_secs(second));
            ladder.handle_timeout(Time::from_secs(second));
        }
        assert_eq!(ladder.level(), level(2), "{ill:?}");
    }
}

#[test]
fn counts_what_served() {
    let mut ladder = Ladder::new(five(), Hysteresis::default(), Time::ZERO);
    for number in [0, 0, 2, 4] {
        ladder.handle_served(level(number));
    }
    ladder.handle_all_failed();
    assert_eq!((ladder.served(), ladder.all_failed()), ([2, 0, 1, 0, 1], 1));
}

#[test]
fn hanging_levels_are_answered_by_the_deadline() {
    let mut rng = Rng::new(5);
    for _ in 0..20_000 {
        let timeout = |rng: &mut Rng| (rng.unit() < 0.7).then(|| Duration::from_millis(rng.below(400)));
        let mut entries = five();
        for entry in &mut entries[..3] {
            entry.timeout = timeout(&mut rng);
        }
        let deadline = Time::ZERO + Duration::from_millis(1 + rng.below(1000));
        let start = level(rng.below(5) as u8);
        let mut walk = Walk::new(&entries, start, deadline, Time::ZERO);
        let (mut now, mut last_entry) = (Time::ZERO, None);
        loop {
            match walk.next(now) {
                Step::Remote { entry, timeout } => {
                    assert!(entries[entry].timeout.is_none_or(|most| timeout <= most));
                    now = now + timeout;
                    assert!(now + walk.reserve() <= deadline, "the last level's time is gone");
                    assert!(last_entry.is_none_or(|last| last < entry));
                    last_entry = Some(entry);
                }
                Step::Local { entry } => {
                    assert!(last_entry.is_none_or(|last| last < entry));
                    last_entry = Some(entry);
                }
                Step::Exhausted => break,
            }
        }
        assert_eq!(last_entry, Some(4), "the last local level is always reached");
        assert!(now < deadline);
    }
}

#[test]
fn entries_that_want_to_be_tried_take_turns() {
    let entries = five();
    let probes = |start: u8, primary: Phase, small: Phase| -> Vec<Option<usize>> {
        let state = |component| match component {
            PRIMARY => (Some(true), primary),
            SMALL => (None, small),
            _ => (None, Phase::Closed),
        };
        (0..4).map(|key| probe(&entries, level(start), key, state)).collect()
    };
    // A call to the first may decide nothing: the others are tried all the same.
    assert_eq!(probes(4, Phase::HalfOpen, Phase::HalfOpen), [Some(0), Some(1), Some(2), Some(0)]);
    assert_eq!(probes(4, Phase::Open, Phase::HalfOpen), [Some(2); 4]);
    assert_eq!(probes(2, Phase::HalfOpen, Phase::HalfOpen), [Some(0), Some(1), Some(0), Some(1)]);
    assert_eq!(probes(4, Phase::Closed, Phase::Open), [None; 4]);
    assert_eq!(probes(0, Phase::HalfOpen, Phase::HalfOpen), [None; 4]);
}

#[test]
fn a_walk_starts_at_the_level_or_where_it_probes() {
    let entries = five();
    let deadline = Time::from_millis(100);
    let order_at = |mut walk: Walk<'_>, now| {
        let mut order = Vec::new();
        loop {
            match walk.next(now) {
                Step::Remote { entry, .. } | Step::Local { entry } => order.push(entry),
                Step::Exhausted => return order,
            }
        }
    };
    let order = |walk| order_at(walk, Time::ZERO);
    let from = |number| Walk::new(&entries, level(number), deadline, Time::ZERO);
    assert_eq!(order(from(2)), [2, 3, 4]);
    assert_eq!(order(from(2).with_probe(0)), [0, 2, 3, 4]);
    assert_eq!(order(from(2).with_probe(3)), [2, 3, 4]);
    // A level beyond the last entry: the last entry.
    assert_eq!(order(Walk::new(&entries[..4], level(4), deadline, Time::ZERO)), [3]);
    // Out of time: only what is local.
    assert_eq!(order_at(Walk::new(&entries, level(0), deadline, Time::ZERO), deadline), [3, 4]);
    assert_eq!(order(Walk::new(&[], level(0), deadline, Time::ZERO)), [0usize; 0]);
}
