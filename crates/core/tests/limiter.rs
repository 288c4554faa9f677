//! The limiters, and the queue before them, against modelled backends, in virtual time. The figures asserted are gates; those measured are printed.

#[path = "support/backend.rs"]
mod backend;
#[path = "support/engine.rs"]
mod engine;

use std::time::Duration;

use backend::{Scenario, play};
use mainstay_core::resilience::limiter::{Config, LimitReason, Limiter, Sample, Slice};
use mainstay_core::time::Time;

/// Offered load over time, as a multiple of what the backend can carry.
type Load = fn(f64) -> f64;

const SEEDS: [u64; 3] = [11, 12, 13];

/// The limit that a person who knows the backend would set by hand.
const ORACLE: Config = Config::Fixed { max: 40 };

#[test]
fn knee_keeps_the_goodput_under_overload() {
    let loads: [(&str, Load); 2] =
        [("2x", |t| if t < 10.0 { 0.7 } else { 2.0 }), ("10x", |t| if t < 10.0 { 0.7 } else { 10.0 })];
    for (name, load) in loads {
        for seed in SEEDS {
            let scenario = Scenario { seed, seconds: 40.0, ..Scenario::web(Config::KNEE, load) };
            let (knee, oracle) = (play(&scenario), play(&Scenario { config: ORACLE, ..scenario }));
            let share = |from, to| knee.goodput(from, to) / oracle.goodput(from, to);
            let (onset, steady) = (share(10.0, 20.0), share(20.0, 40.0));
            let p99 = (knee.p99(20.0, 40.0), oracle.p99(20.0, 40.0));
            println!("{name}, seed {seed}: onset {onset:.3}, steady {steady:.3} of oracle, p99 {p99:.3?}");
            assert!(steady >= 0.95, "{name}, seed {seed}: {steady}");
            assert!(onset >= 0.9, "{name}, seed {seed}: {onset}");
        }
    }
}

#[test]
fn knee_finds_small_slow_and_large_backends() {
    for (servers, service_s, seconds) in [(1, 0.05, 200.0), (4, 5.0, 3000.0), (256, 0.05, 5.0)] {
        let load: fn(f64) -> f64 = |_| 2.0;
        let scenario =
            Scenario { servers, service_s, seconds, deadline_s: 10.0 * service_s, ..Scenario::web(Config::KNEE, load) };
        let max = (servers as f64 * 1.25) as u32 + 2;
        let oracle = play(&Scenario { config: Config::Fixed { max }, ..scenario.clone() });
        let share = play(&scenario).goodput(seconds / 3.0, seconds) / oracle.goodput(seconds / 3.0, seconds);
        println!("{servers} servers of {service_s} s: {share:.3} of oracle");
        assert!(share >= 0.88, "{servers} servers: {share}");
    }
}

#[test]
fn knee_never_refuses_a_load_that_fits() {
    let load: fn(f64) -> f64 = |_| 0.7;
    let hour = Scenario { service_s: 0.5, seconds: 3600.0, deadline_s: 5.0, ..Scenario::web(Config::KNEE, load) };
    let played = play(&hour);
    let settled = played.refused(10.0, 3600.0);
    println!("{} requests, refused in the first 10 s: {}", played.fates.len(), played.refused(0.0, 10.0));
    assert!(played.fates.len() > 150_000);
    assert_eq!(settled, 0);
}

#[test]
fn knee_keeps_most_of_a_brown_out() {
    for (name, queue) in [("no queue", (0, 0.0)), ("queue", (64, 0.05))] {
        let mut shares = Vec::new();
        for seed in SEEDS {
            let load: fn(f64) -> f64 = |_| 0.7;
            let slow: fn(f64) -> f64 = |t| if (20.0..140.0).contains(&t) { 4.0 } else { 1.0 };
            let scenario = Scenario { slow, queue, seed, seconds: 170.0, ..Scenario::web(Config::KNEE, load) };
            let played = play(&scenario);
            let remaining = scenario.capacity() / 4.0;
            shares.push(played.goodput(20.0, 140.0) / remaining);
            let back = played.between(140.0, 150.0).count();
            let refused = played.refused(140.0, 150.0);
            assert!((refused as f64) < 0.01 * back as f64, "seed {seed}: {refused} of {back} refused on return");
            assert_eq!(played.refused(150.0, 170.0), 0, "seed {seed}");
        }
        println!("4x slower for two minutes, {name}: {shares:.3?} of what remains");
        assert!(shares.iter().all(|share| *share >= 0.88), "{shares:?}");
    }
}

#[test]
fn knee_lowers_the_limit_when_nothing_comes_back_in_time() {
    let mut limiter = Limiter::new(Config::KNEE, Time::ZERO);
    let mut now = Time::ZERO;
    for _ in 0..600 {
        let mut slice = Slice::new();
        for _ in 0..limiter.limit() {
            slice.record(&Sample::dropped(Duration::from_secs(1)), limiter.limit(), limiter.signal());
        }
        now = now + Duration::from_millis(100);
        if let Some(change) = limiter.handle_window(&slice, now) {
            assert_eq!(change.why, LimitReason::Drops);
        }
    }
    assert_eq!(limiter.limit(), 2);
}

#[test]
fn app_limited_windows_bound_the_limit() {
    let mut limiter = Limiter::new(Config::KNEE, Time::ZERO);
    for second in 1..500 {
        let mut slice = Slice::new();
        for _ in 0..30 {
            slice.record(&Sample::answered(Duration::from_millis(10)), 10, limiter.signal());
        }
        limiter.handle_window(&slice, Time::from_secs(second));
        assert!((20..=30).contains(&limiter.limit()), "{}", limiter.limit());
    }
}

/// Feeds `per_second` answers of `latency` each second and returns the limit at the end.
fn feed(limiter: &mut Limiter, latency: Duration, per_second: u32, seconds: std::ops::Range<u64>) -> u32 {
    for second in seconds {
        for hundredth in 0..100 {
            let mut slice = Slice::new();
            for _ in 0..per_second / 100 {
                slice.record(&Sample::answered(latency), 10, limiter.signal());
            }
            limiter.handle_window(&slice, Time::from_millis(second * 1000 + hundredth * 10));
        }
    }
    limiter.limit()
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn latency_has_the_figures_of_the_mission() {
    let limit_after = |latency, seconds| {
        let mut limiter = Limiter::new(Config::LATENCY, Time::ZERO);
        feed(&mut limiter, latency, 1000, 0..seconds)
    };
    assert_eq!(limit_after(ms(250), 2), 51); // 64 x 0.8
    assert_eq!(limit_after(ms(250), 30), 32); // floor 0.5
    assert_eq!(limit_after(ms(150), 2), 60); // x 0.95
    assert_eq!(limit_after(ms(150), 60), 44); // floor 0.7
    assert_eq!(limit_after(ms(75), 60), 64);
    assert_eq!(limit_after(ms(30), 2), 67); // x 1.05
    assert_eq!(limit_after(ms(30), 60), 96); // ceiling 1.5
}

#[test]
fn the_gain_does_not_depend_on_traffic() {
    let limit_at = |per_second| {
        let mut limiter = Limiter::new(Config::LATENCY, Time::ZERO);
        feed(&mut limiter, ms(30), per_second, 0..6)
    };
    assert_eq!([100, 1_000, 20_000].map(limit_at), [limit_at(300); 3]);
}

#[test]
fn old_samples_do_not_hold_the_limit_at_the_floor() {
    let mut limiter = Limiter::new(Config::LATENCY, Time::ZERO);
    assert_eq!(feed(&mut limiter, ms(500), 1000, 0..30), 32);
    // Every answer of the first second after recovery may still count against it; from then on it rises.
    let after_two = feed(&mut limiter, ms(20), 1000, 30..32);
    assert!(after_two > 32, "{after_two}");
    assert_eq!(feed(&mut limiter, ms(20), 1000, 32..60), 96);
}

#[test]
fn fixed_and_none_never_move() {
    for (config, limit) in [(Config::Fixed { max: 64 }, 64), (Config::None, (1 << 24) - 1)] {
        let mut limiter = Limiter::new(config, Time::ZERO);
        assert_eq!(feed(&mut limiter, ms(900), 1000, 0..5), limit);
    }
}

#[test]
fn ttft_keeps_a_batching_backend_at_its_best() {
    for load in [1.5, 3.0, 10.0] {
        let fixed = engine::play(Config::Fixed { max: 72 }, load, 3);
        let target = Config::Ttft { target: Duration::from_secs(1) };
        for (name, config) in [("0.5 s", Config::TTFT), ("1 s", target)] {
            let seen = engine::play(config, load, 3);
            let share = seen.good_tokens_per_s / fixed.good_tokens_per_s;
            println!("{load}x, target {name}: {share:.3} of oracle, TTFT p99 {:.2} s", seen.first_token_p99_s);
            assert!(share >= 0.9, "{load}x, target {name}: {share}");
            assert!(seen.first_token_p99_s <= 2.0, "{load}x, target {name}: {}", seen.first_token_p99_s);
        }
    }
}

#[test]
fn ttft_backs_off_from_a_blackout() {
    let mut limiter = Limiter::new(Config::TTFT, Time::ZERO);
    let stuck = Slice { in_flight: 20, in_flight_max: 20, limited: true, ..Slice::new() };
    let mut changes = Vec::new();
    for tick in 0..600u64 {
        changes.extend(limiter.handle_window(&stuck, Time::from_millis(tick * 10)));
    }
    assert!(changes.iter().all(|change| change.why == LimitReason::Blackout));
    assert_eq!(changes.iter().map(|change| change.to).collect::<Vec<_>>(), [14, 9, 6]);
}

/// 0.7x for ten seconds, then `load`; classes 10/20/40/30 %.
fn overload(config: Config, load: fn(f64) -> f64) -> Scenario {
    Scenario { queue: (64, 0.1), ..Scenario::web(config, load) }
}

#[test]
fn the_best_class_does_not_feel_an_overload() {
    let at_2x = overload(Config::KNEE, |t| if t < 10.0 { 0.7 } else { 2.0 });
    let at_5x = overload(Config::KNEE, |t| if t < 10.0 { 0.7 } else { 5.0 });
    let cases = [("2x", at_2x), ("5x", at_5x)];
    for (name, scenario) in
        cases.iter().flat_map(|(name, of)| SEEDS.map(|seed| (name, Scenario { seed, ..of.clone() })))
    {
        let played = play(&scenario);
        let top = played.success(0, 10.0, 60.0);
        let goodput = played.goodput(20.0, 60.0) / scenario.capacity();
        let by_class = [0, 1, 2, 3].map(|class| played.success(class, 10.0, 60.0));
        println!("{name}: success by class {by_class:.4?}, goodput {goodput:.3}");
        assert!(top >= 0.999, "{name}: {top}");
        assert!(goodput >= 0.95, "{name}: {goodput}");
    }
}
