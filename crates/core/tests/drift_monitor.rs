//! Monitors of live traffic: how often they are wrong, what they find, and what they say of it.

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::drift::board::{Board, Compared, Effect, Monitor, Settings};
use mainstay_core::drift::reference::{Builder, Reference};
use mainstay_core::drift::verdict::Status;
use mainstay_core::drift::window::About;
use mainstay_core::observed::Value;
use mainstay_core::rng::Rng;
use mainstay_core::time::Time;

const HOUR: Duration = Duration::from_hours(1);
const MONTH: Duration = Duration::from_hours(30 * 24);

fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.unit()).ln()).sqrt() * (std::f64::consts::TAU * rng.unit()).cos()
}

fn about(id: &str, at: Time) -> About<'_> {
    About { request_id: id, class: 0, backend: Some(0), at }
}

/// A reference of so many values.
fn reference(name: &str, n: usize, mut value: impl FnMut(usize) -> Value) -> Arc<Reference> {
    let mut builder = match value(0) {
        Value::Word(_) => Builder::categories(1),
        Value::Vector(_) => Builder::embedding(1),
        Value::Number(_) | Value::Missing => Builder::numbers(false, 1),
    };
    (0..n).for_each(|at| builder.push(&value(at), Time::ZERO));
    Arc::new(builder.finish(name, None, None).expect("there are values"))
}

fn board(settings: Settings, references: &[Arc<Reference>], seed: u64) -> Board {
    let monitor = |reference: &Arc<Reference>| Monitor::new(&reference.name, Compared::With(Arc::clone(reference)), 1);
    Board::new(settings, references.iter().map(monitor).collect(), seed)
}

/// Windows that never end, and alarms that may be false once in `run_length` requests.
fn endless(run_length: f64) -> Settings {
    let rate = run_length / 2.0 / MONTH.as_secs_f64();
    Settings { window_values: u64::MAX, window_time: MONTH * 1_000, false_alarm_every: MONTH, rate }
}

/// Requests until an alarm, or `most`.
fn run_length(board: &mut Board, most: usize, mut values: impl FnMut(usize) -> Vec<Value>) -> usize {
    for n in 0..most {
        let at = Time::from_secs(n as u64);
        let values = values(n);
        let placed: Vec<(usize, &Value)> = values.iter().enumerate().collect();
        board.handle(&placed, &about("r", at), at);
        if let Some(Effect::Alarm { .. }) = board.poll_effect() {
            return n + 1;
        }
    }
    most
}

#[test]
fn without_drift_alarms_come_no_more_often_than_stated() {
    const C: f64 = 1_000.0;
    const RUNS: u64 = 300;
    let runs = (0..RUNS).map(|seed| {
        let mut rng = Rng::new(seed);
        let references: Vec<_> =
            ["a", "b", "c"].iter().map(|name| reference(name, 2_000, |_| Value::Number(normal(&mut rng)))).collect();
        let mut board = board(endless(C), &references, seed);
        // A run that is cut counts as if it had ended there: the mean is not overstated.
        run_length(&mut board, 4_000, |_| (0..3).map(|_| Value::Number(normal(&mut rng))).collect()) as f64
    });
    let lengths: Vec<f64> = runs.collect();
    let mean = lengths.iter().sum::<f64>() / RUNS as f64;
    let variance = lengths.iter().map(|length| (length - mean).powi(2)).sum::<f64>() / RUNS as f64;
    let error = (variance / RUNS as f64).sqrt();
    println!("mean run length {mean:.0} +- {error:.0}, stated {C}");
    assert!(mean + 3.0 * error >= C, "{mean} +- {error}");
    let early = lengths.iter().filter(|length| **length <= C / 5.0).count() as f64 / RUNS as f64;
    assert!(early <= 0.2 + 3.0 * (0.2_f64 * 0.8 / RUNS as f64).sqrt(), "{early} within a fifth of it");
}

#[test]
fn a_shift_of_half_a_deviation_and_a_share_that_goes_missing_are_found_soon() {
    let mut rng = Rng::new(5);
    let a = reference("a", 5_000, |_| Value::Number(normal(&mut rng)));
    let mut delays = Vec::new();
    for seed in 0..20 {
        // One false alarm in a month at 200 requests a second.
        let settings = Settings { rate: 200.0, ..endless(1.0) };
        let mut board = board(settings, std::slice::from_ref(&a), seed);
        let mut rng = Rng::new(seed);
        let alarm = run_length(&mut board, 20_000, |n| {
            vec![Value::Number(normal(&mut rng) + if n < 2_000 { 0.0 } else { 0.5 })]
        });
        assert!((2_000..20_000).contains(&alarm), "{alarm}");
        delays.push(alarm - 2_000);
    }
    delays.sort_unstable();
    println!("half a deviation: median delay {}", delays[10]);
    assert!(delays[10] < 1_000, "{delays:?}");
    let mut board = board(Settings { rate: 200.0, ..endless(1.0) }, std::slice::from_ref(&a), 1);
    let alarm = run_length(&mut board, 20_000, |n| {
        vec![if n >= 2_000 && n % 20 == 0 { Value::Missing } else { Value::Number(normal(&mut rng)) }]
    });
    assert!((2_000..3_500).contains(&alarm), "one in twenty is missing: {alarm}");
}

#[test]
fn twenty_features_and_hourly_windows_are_wrong_once_in_a_month_at_most() {
    let mut alerts = 0;
    for seed in 0..3 {
        let mut rng = Rng::new(seed + 100);
        let names: Vec<String> = (0..20).map(|n| format!("f{n}")).collect();
        let references: Vec<_> =
            names.iter().map(|name| reference(name, 2_000, |_| Value::Number(normal(&mut rng)))).collect();
        let settings = Settings { window_values: 10_000, window_time: HOUR, false_alarm_every: MONTH, rate: 200.0 };
        let mut board = board(settings, &references, seed);
        for hour in 0..720_u64 {
            for n in 0..200_u64 {
                let at = Time::from_secs(hour * 3_600 + n * 18);
                let values: Vec<Value> = (0..20).map(|_| Value::Number(normal(&mut rng))).collect();
                let placed: Vec<(usize, &Value)> = values.iter().enumerate().collect();
                board.handle(&placed, &about("r", at), at);
            }
            board.handle_timeout(Time::from_secs((hour + 1) * 3_600));
        }
        while let Some(effect) = board.poll_effect() {
            let drifted = |status: &Status| matches!(status, Status::DriftDetected | Status::Alert);
            alerts += match effect {
                Effect::StatusChanged { to, .. } => usize::from(drifted(&to)),
                Effect::Alarm { .. } => 1,
                Effect::Learned(_) => 0,
            };
        }
    }
    println!("{alerts} false alerts in 3 months");
    // A Poisson count of mean 3 is above 9 once in a thousand times.
    assert!(alerts <= 9, "{alerts}");
}

fn settings() -> Settings {
    Settings { window_values: 2_000, window_time: HOUR, false_alarm_every: MONTH, rate: 200.0 }
}

/// Feeds windows of 2,000 requests, one a second.
fn feed(board: &mut Board, windows: u64, from: u64, mut value: impl FnMut(u64) -> Value) {
    for n in from * 2_000..(from + windows) * 2_000 {
        let (at, id, value) = (Time::from_secs(n), format!("r-{n}"), value(n));
        board.handle(&[(0, &value)], &About { class: (n % 4) as usize, ..about(&id, at) }, at);
    }
}

fn statuses(board: &mut Board) -> Vec<(Status, Status, Option<&'static str>)> {
    let effects = std::iter::from_fn(|| board.poll_effect());
    let changed = effects.filter_map(|effect| match effect {
        Effect::StatusChanged { from, to, most, .. } => Some((from, to, most.map(|(method, _)| method))),
        Effect::Alarm { .. } | Effect::Learned(_) => None,
    });
    changed.collect()
}

#[test]
fn a_verdict_says_what_moved_and_names_requests() {
    let mut rng = Rng::new(1);
    let known = reference("amount", 10_000, |_| Value::Number(normal(&mut rng)));
    let mut board = board(settings(), &[known], 1);
    feed(&mut board, 1, 0, |_| Value::Number(normal(&mut rng)));
    assert_eq!(statuses(&mut board), [(Status::NoData, Status::Ok, None)]);
    // A third of the values is 9 all of a sudden.
    feed(&mut board, 1, 1, |n| Value::Number(if n % 3 == 0 { 9.0 } else { normal(&mut rng) }));
    let seen = statuses(&mut board);
    assert_eq!((seen[0].0, seen[0].1), (Status::Ok, Status::Alert), "{seen:?}");
    let (window, outcome) = board.monitors()[0].last().unwrap();
    let out = outcome.rates.iter().find(|rate| rate.name == "out_of_range").unwrap();
    assert!(out.drifted && (out.current - 1.0 / 3.0).abs() < 0.01, "{out:?}");
    let most = &window.contributions(board.monitors()[0].reference().unwrap())[0];
    assert!(most.bin.starts_with(">= 1.") && most.current > 0.38, "{most:?}");
    let example = |id: &String| id.strip_prefix("r-").unwrap().parse::<u64>().unwrap();
    assert!(most.examples.len() == 3 && most.examples.iter().all(|id| (2_000..4_000).contains(&example(id))));
    let (classes, backends) = window.segments();
    assert_eq!(classes.iter().map(|segment| segment.count).sum::<u64>(), 2_000);
    assert_eq!((backends[0].count, backends[1].count), (2_000, 0));
    feed(&mut board, 1, 2, |_| Value::Number(normal(&mut rng)));
    assert_eq!(statuses(&mut board), [(Status::Alert, Status::Ok, None)]);
}

#[test]
fn words_that_nobody_knew_and_words_that_shift() {
    let word = |n: u64| Value::word(["NO", "SE", "DK", "FI"][(n % 4) as usize]);
    let known = reference("country", 4_000, |n| word(n as u64));
    let mut board = board(settings(), &[known], 1);
    feed(&mut board, 1, 0, word);
    feed(&mut board, 1, 1, |n| if n % 10 == 0 { Value::word("ZZ") } else { word(n) });
    let seen = statuses(&mut board);
    assert!(matches!(seen[1], (Status::Ok, Status::DriftDetected | Status::Alert, _)), "{seen:?}");
    let (window, outcome) = board.monitors()[0].last().unwrap();
    assert_eq!(window.new_words().collect::<Vec<_>>(), [("ZZ", 200)]);
    assert!(outcome.rates.iter().any(|rate| rate.name == "new_category" && rate.drifted));
    assert_eq!(window.contributions(board.monitors()[0].reference().unwrap())[0].bin, "(new)");
}

#[test]
fn embeddings_that_turn_are_found_and_others_are_not() {
    let vector = |rng: &mut Rng, shift: f64| {
        Value::Vector((0..16).map(|at| (normal(rng) + 1.0 + if at == 0 { shift } else { 0.0 }) as f32).collect())
    };
    let mut rng = Rng::new(3);
    let known = reference("text", 2_000, |_| vector(&mut rng, 0.0));
    let mut board = board(settings(), &[known], 1);
    feed(&mut board, 2, 0, |_| vector(&mut rng, 0.0));
    assert_eq!(statuses(&mut board), [(Status::NoData, Status::Ok, None)]);
    feed(&mut board, 1, 2, |_| vector(&mut rng, 3.0));
    assert_eq!(statuses(&mut board), [(Status::Ok, Status::DriftDetected, Some("mmd2"))]);
    // Vectors of another length are none of these.
    feed(&mut board, 1, 3, |_| Value::Vector([1.0; 3].into()));
    assert_eq!(board.monitors()[0].status(), Status::NoData);
}

#[test]
fn a_season_is_no_drift_where_hours_are_compared() {
    let hourly = |n: u64, rng: &mut Rng| normal(rng) + 3.0 * (std::f64::consts::TAU * (n as f64 / 24.0)).sin();
    let run = |hours: bool, shift: f64| {
        let mut rng = Rng::new(9);
        let mut builder = Builder::numbers(hours, 1);
        // Four weeks, 60 values an hour.
        for n in 0..4 * 168 * 60_u64 {
            builder.push(&Value::Number(hourly(n / 60, &mut rng)), Time::from_secs(n * 60));
        }
        let known = Arc::new(builder.finish("load", None, None).unwrap());
        let settings = Settings { window_values: u64::MAX, ..settings() };
        let mut board = board(settings, &[known], 1);
        let mut alarms = 0;
        for n in 0..168 * 300_u64 {
            let at = Time::from_secs(n * 12);
            let value = Value::Number(hourly(n / 300, &mut rng) + shift);
            board.handle(&[(0, &value)], &about("r", at), at);
            board.handle_timeout(at);
        }
        let mut alerts = 0;
        while let Some(effect) = board.poll_effect() {
            match effect {
                Effect::StatusChanged { to: Status::DriftDetected | Status::Alert, .. } => alerts += 1,
                Effect::Alarm { .. } => alarms += 1,
                Effect::StatusChanged { .. } | Effect::Learned(_) => {}
            }
        }
        (alerts, alarms)
    };
    assert_eq!(run(true, 0.0), (0, 0));
    assert!(run(false, 0.0).0 > 0, "compared with the whole week every night is drift");
    assert!(run(true, 1.0).0 > 0);
}

#[test]
fn a_reference_is_learned_and_a_window_outlives_a_restart() {
    let mut rng = Rng::new(2);
    let learning = Compared::Learning(Builder::numbers(false, 7), 1_000);
    let mut board = Board::new(settings(), vec![Monitor::new("amount", learning, 7)], 1);
    for n in 0..1_500_u64 {
        let at = Time::from_secs(n);
        board.handle(&[(0, &Value::Number(normal(&mut rng)))], &about("r", at), at);
    }
    let Some(Effect::Learned(learned)) = board.poll_effect() else { panic!("a reference was learned") };
    assert_eq!(learned.count(), 1_000);
    let open = board.monitors()[0].window().unwrap();
    assert_eq!(open.count(), 500);
    let at_rest = serde_json::to_string(open).unwrap();
    let mut again = self::board(settings(), std::slice::from_ref(&learned), 1);
    assert!(again.restore("amount", serde_json::from_str(&at_rest).unwrap(), Status::Ok, None));
    assert_eq!(again.monitors()[0].window().unwrap(), open);
    let other = reference("amount", 500, |n| Value::Number(n as f64));
    let mut elsewhere = self::board(settings(), &[other], 1);
    assert!(!elsewhere.restore("amount", serde_json::from_str(&at_rest).unwrap(), Status::Ok, None));
}

#[test]
fn what_is_too_little_or_nothing_is_said_so() {
    let mut rng = Rng::new(4);
    let known = reference("amount", 1_000, |_| Value::Number(normal(&mut rng)));
    let mut board = board(Settings { window_values: 50, ..settings() }, &[known], 1);
    for n in 0..50_u64 {
        board.handle(&[(0, &Value::Number(5.0))], &about("r", Time::from_secs(n)), Time::from_secs(n));
    }
    assert_eq!(statuses(&mut board), [(Status::NoData, Status::InsufficientData, None)]);
    for n in 50..100_u64 {
        board.handle(&[(0, &Value::Missing)], &about("r", Time::from_secs(n)), Time::from_secs(n));
    }
    assert_eq!(statuses(&mut board), [(Status::InsufficientData, Status::NoData, None)]);
}
