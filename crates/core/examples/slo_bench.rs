//! What budgets cost: memory of many objectives, time of an event and of an answer, time of a restart. Prints one line of JSON for
//! each figure.
//!
//! Run on a quiet machine: `cargo run --release -p mainstay-core --example slo_bench`.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a benchmark reads the clock and its own memory"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use mainstay_core::engine::{Engine, ObjectiveId};
use mainstay_core::slo::objective::{Kind, Objective};
use mainstay_core::slo::series::Counts;
use mainstay_core::slo::window::Stretch;
use mainstay_core::time::Time;

const OBJECTIVES: usize = 10_000;
const DAYS: u64 = 30;
const START: u64 = 1_800_000_000;

fn main() {
    let before = resident_mib();
    let mut engine = full(OBJECTIVES);
    figure("resident_mib", resident_mib() - before, "MiB, 10,000 objectives of 30 d, every bucket in use");
    events(&mut engine);
    answers(&engine);
    restart();
}

fn now() -> Time {
    Time::from_secs(START + DAYS * 86_400)
}

fn objectives(count: usize) -> Vec<Objective> {
    let named = |n: usize| {
        let mut objective = Objective::new("bench", Kind::availability(0.999).expect("a share"));
        objective.name = format!("bench_{n}");
        objective
    };
    (0..count).map(named).collect()
}

/// An engine whose buckets are all in use.
fn full(count: usize) -> Engine {
    let mut engine = Engine::new(objectives(count), Time::from_secs(START));
    let counts = Counts { good: 999, bad: 1 };
    for id in (0..count).map(ObjectiveId) {
        for hour in 0..DAYS * 24 - 24 {
            engine.handle_counts(id, Time::from_secs(START + hour * 3_600), counts, now());
        }
        for minute in 0..23 * 60 {
            let at = START + (DAYS - 1) * 86_400 + minute * 60;
            engine.handle_counts(id, Time::from_secs(at), counts, now());
        }
        for ten in 0..=360 {
            let at = START + DAYS * 86_400 - 3_600 + ten * 10;
            engine.handle_counts(id, Time::from_secs(at), counts, now());
        }
    }
    engine
}

fn events(engine: &mut Engine) {
    let n = 2_000_000_u64;
    let started = Instant::now();
    for i in 0..n {
        // Scattered over objectives and over the last hour: not what the cache likes best.
        let id = ObjectiveId((i.wrapping_mul(7_919) % OBJECTIVES as u64) as usize);
        let at = now() - Duration::from_secs(i % 3_600);
        engine.handle_counts(id, at, if i % 1_000 == 0 { Counts::BAD } else { Counts::GOOD }, now());
    }
    let each = started.elapsed().as_nanos() as f64 / n as f64;
    figure("event_ns", each, "ns for one event into one of 10,000 objectives");
    let started = Instant::now();
    for i in 0..n {
        engine.handle_counts(ObjectiveId(0), now() - Duration::from_secs(i % 60), Counts::GOOD, now());
    }
    figure("event_hot_ns", started.elapsed().as_nanos() as f64 / n as f64, "ns for one event into one objective");
}

fn answers(engine: &Engine) {
    let n = 20_000_u64;
    let started = Instant::now();
    for i in 0..n {
        let length = Duration::from_secs(60 + i.wrapping_mul(104_729) % (DAYS * 86_400 - 60));
        let stretch = Stretch { from: now() - length, to: now() };
        black_box(engine.counts(ObjectiveId((i % OBJECTIVES as u64) as usize), stretch));
    }
    figure("window_us", started.elapsed().as_micros() as f64 / n as f64, "us for the counts of a window of any length");
    let started = Instant::now();
    for i in 0..n {
        black_box(engine.answer(ObjectiveId((i % OBJECTIVES as u64) as usize), now()));
    }
    figure(
        "answer_us",
        started.elapsed().as_micros() as f64 / n as f64,
        "us for a whole answer: budget, burn, forecast",
    );
}

/// 30 days of 1,000 objectives, as a store holds them: an event at one grain.
fn restart() {
    let count = 1_000;
    let source = full(count);
    let one = ObjectiveId(0);
    black_box(source.counts(one, Stretch { from: Time::ZERO, to: now() }));
    let started = Instant::now();
    let mut engine = Engine::new(objectives(count), now());
    let counts = Counts { good: 999, bad: 1 };
    for id in (0..count).map(ObjectiveId) {
        for hour in 0..DAYS * 24 - 24 {
            engine.restore_counts(id, Duration::from_hours(1), Time::from_secs(START + hour * 3_600), counts);
        }
        for minute in 0..23 * 60 {
            let at = START + (DAYS - 1) * 86_400 + minute * 60;
            engine.restore_counts(id, Duration::from_mins(1), Time::from_secs(at), counts);
        }
        for ten in 0..360 {
            let at = START + DAYS * 86_400 - 3_600 + ten * 10;
            engine.restore_counts(id, Duration::from_secs(10), Time::from_secs(at), counts);
        }
    }
    black_box(engine.answer(one, now()));
    figure("restore_s", started.elapsed().as_secs_f64(), "s to fill an engine with 30 days of 1,000 objectives");
}

fn figure(name: &str, value: f64, what: &str) {
    println!("{{\"figure\":\"{name}\",\"value\":{value:.4},\"what\":\"{what}\"}}");
}

/// Resident memory of this process in MiB, as Linux has it; 0 elsewhere.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
