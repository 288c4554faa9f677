//! What monitors of live traffic cost: time of a value and memory of a name. `cargo xtask bench drift` runs it in release.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a benchmark reads the clock and its own memory"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay_core::drift::board::{Board, Compared, Monitor, Settings};
use mainstay_core::drift::reference::{Builder, Reference};
use mainstay_core::drift::window::About;
use mainstay_core::observed::Value;
use mainstay_core::rng::Rng;
use mainstay_core::stats::streams::Adwin;
use mainstay_core::time::Time;

const NAMES: usize = 10_000;
const VALUES: usize = 2_000_000;

fn reference(name: &str, values: &[f64]) -> Reference {
    let mut builder = Builder::numbers(false, 1);
    for value in values {
        builder.push(&Value::Number(*value), Time::ZERO);
    }
    builder.finish(name, None, None).expect("there are values")
}

fn board(references: Vec<Reference>) -> Board {
    let settings = Settings {
        window_values: 10_000,
        window_time: Duration::from_hours(1),
        false_alarm_every: Duration::from_hours(30 * 24),
        rate: 200.0,
    };
    let monitor = |reference: Reference| Monitor::new(&reference.name.clone(), Compared::With(Arc::new(reference)), 1);
    Board::new(settings, references.into_iter().map(monitor).collect(), 1)
}

/// Resident memory in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

fn main() {
    let mut rng = Rng::new(7);
    let values: Vec<f64> = (0..VALUES).map(|_| rng.unit() + rng.unit() + rng.unit()).collect();
    let ids: Vec<String> = (0..1_000).map(|n| format!("request-{n:016}")).collect();

    for names in [1, 20] {
        let mut board = board((0..names).map(|n| reference(&format!("f{n}"), &values[..20_000])).collect());
        let began = Instant::now();
        let mut judged = Duration::ZERO;
        for (n, value) in values.chunks_exact(names).enumerate() {
            let held: Vec<Value> = value.iter().map(|value| Value::Number(*value)).collect();
            let placed: Vec<(usize, &Value)> = held.iter().enumerate().collect();
            let about =
                About { request_id: &ids[n % 1_000], class: 3, backend: Some(0), at: Time::from_secs(n as u64) };
            let ends = (n + 1) % 10_000 == 0;
            let before = ends.then(Instant::now);
            board.handle(&placed, &about, about.at);
            judged += before.map_or(Duration::ZERO, |before| before.elapsed());
        }
        let windows = (VALUES / names / 10_000 * names) as f64;
        let nanos = began.elapsed().saturating_sub(judged).as_nanos() as f64 / VALUES as f64;
        println!(
            r#"{{"name":"value_ns_of_{names}","value":{nanos:.1},"what":"ns per value, {names} names on a route"}}"#
        );
        let micros = judged.as_micros() as f64 / windows;
        println!(
            r#"{{"name":"window_us_of_{names}","value":{micros:.1},"what":"us per name for the end of a window"}}"#
        );
    }

    let mut adwin = Adwin::new(0.002, 32);
    let began = Instant::now();
    let alarms = values[..1_000_000].iter().filter(|value| adwin.push(**value)).count();
    let nanos = began.elapsed().as_nanos() as f64 / 1e6;
    println!(r#"{{"name":"adwin_ns","value":{nanos:.1},"what":"ns per value of ADWIN, {alarms} alarms"}}"#);

    let before = resident();
    let mut board = board((0..NAMES).map(|n| reference(&format!("f{n}"), &values[n..n + 20_000])).collect());
    for (n, value) in values.iter().take(NAMES).enumerate() {
        let value = Value::Number(*value);
        let about = About { request_id: &ids[n % 1_000], class: n % 4, backend: Some(n % 16), at: Time::ZERO };
        board.handle(&[(n % NAMES, &value)], &about, Time::ZERO);
    }
    // A window that ended is held beside the open one.
    board.handle_timeout(Time::from_secs(7_200));
    let mib = resident() - before;
    println!(r#"{{"name":"names_mib","value":{mib:.0},"what":"MiB of 10,000 names, a window that ended among it"}}"#);
    assert_eq!(board.monitors().len(), NAMES);
}
