//! Alerts in virtual time: who is woken, when, and who is left asleep.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test; the soak sets how long it runs")]

use std::time::Duration;

use mainstay_core::engine::{Effect, Engine, Why};
use mainstay_core::rng::Rng;
use mainstay_core::slo::burn::{Severity, pairs};
use mainstay_core::slo::objective::{Kind, Objective};
use mainstay_core::slo::series::Counts;
use mainstay_core::time::Time;

/// How often the engine is asked here; in a service it is six times as often.
const STEP: Duration = Duration::from_mins(1);
const MONTH: Duration = Duration::from_hours(24 * 30);

struct World {
    engine: Engine,
    rng: Rng,
    start: Time,
    now: Time,
}

impl World {
    fn new(target: f64, seed: u64) -> World {
        let start = Time::from_secs(1_800_000_000);
        let objective = Objective::new("s", Kind::availability(target).unwrap());
        World { engine: Engine::new(vec![objective], start), rng: Rng::new(seed), start, now: start }
    }

    /// Serves `per_second` for so long at a share of bad answers; gives the alerts that fired, with the time into the run.
    fn serve(&mut self, length: Duration, per_second: f64, bad: f64) -> Vec<(Duration, Severity, Why)> {
        let id = self.engine.id("s_availability").unwrap();
        let mut fired = Vec::new();
        let end = self.now + length;
        let began = self.now;
        while self.now < end {
            let n = poisson(&mut self.rng, per_second * STEP.as_secs_f64());
            let bad = poisson(&mut self.rng, n as f64 * bad).min(n);
            self.engine.handle_counts(id, self.now, Counts { good: n - bad, bad }, self.now);
            self.now = self.now + STEP;
            self.engine.handle_timeout(self.now);
            while let Some(effect) = self.engine.poll_effect() {
                if let Effect::AlertFired { at, alert } = effect {
                    fired.push((at.since(began), alert.severity, alert.why));
                }
            }
        }
        fired
    }
}

fn poisson(rng: &mut Rng, mean: f64) -> u64 {
    if mean > 30.0 {
        return poisson(rng, 30.0) + poisson(rng, mean - 30.0);
    }
    let (limit, mut product, mut n) = ((-mean).exp(), rng.unit(), 0);
    while product > limit {
        product *= rng.unit();
        n += 1;
    }
    n
}

fn pages(fired: &[(Duration, Severity, Why)]) -> usize {
    fired.iter().filter(|(_, severity, _)| *severity == Severity::Page).count()
}

/// Service-months that are served at exactly the objective; the soak serves more.
fn months() -> u64 {
    std::env::var("MAINSTAY_SLO_MONTHS").ok().and_then(|months| months.parse().ok()).unwrap_or(4)
}

/// Stated: at exactly the objective at most one false page, and one false trickle, in ten service-months.
#[test]
fn at_exactly_the_objective_nobody_is_woken() {
    let (mut false_pages, mut trickles) = (0, 0);
    let months = months();
    for seed in 0..months {
        // From a request a minute to ten a second.
        let per_second = [1.0 / 60.0, 0.1, 1.0, 10.0][seed as usize % 4];
        let mut world = World::new(0.99, seed);
        let fired = world.serve(MONTH, per_second, 0.01);
        false_pages += pages(&fired) as u64;
        trickles += fired.iter().filter(|(_, _, why)| *why == Why::Trickle).count() as u64;
    }
    println!("{months} service-months: {false_pages} false pages, {trickles} false trickles");
    assert!(false_pages <= months / 10, "{false_pages} pages in {months} months");
    assert!(trickles <= months / 10, "{trickles} trickles in {months} months");
}

#[test]
fn a_burn_is_told_within_the_time_that_the_table_promises() {
    for (burn, severity) in [(2.0, Severity::Ticket), (5.0, Severity::Ticket), (100.0, Severity::Page)] {
        let promised = pairs(MONTH)
            .into_iter()
            .filter(|pair| pair.severity >= severity)
            .filter_map(|pair| pair.detection(burn))
            .min()
            .unwrap();
        for seed in 0..2 {
            let mut world = World::new(0.999, seed);
            // The slate is not clean: a good day lies behind.
            world.serve(Duration::from_hours(73), 20.0, 0.0);
            let fired = world.serve(promised.mul_f64(1.3) + Duration::from_mins(2), 20.0, 0.001 * burn);
            let first = fired.iter().filter(|(_, s, _)| *s >= severity).map(|(after, _, _)| *after).min();
            // A rate that is drawn at random crosses the line a little early or late.
            let latest = promised.mul_f64(1.25) + Duration::from_mins(2);
            assert!(
                first.is_some_and(|first| first <= latest),
                "{burn}x, seed {seed}: {first:?}, promised {promised:?}"
            );
        }
    }
}

#[test]
fn one_bad_request_in_forty_wakes_nobody() {
    let mut world = World::new(0.999, 1);
    let id = world.engine.id("s_availability").unwrap();
    for n in 0..40 {
        let counts = if n == 20 { Counts::BAD } else { Counts::GOOD };
        world.engine.handle_counts(id, world.now, counts, world.now);
        world.now = world.now + STEP;
        world.engine.handle_timeout(world.now);
    }
    while let Some(effect) = world.engine.poll_effect() {
        assert!(!matches!(effect, Effect::AlertFired { .. }), "{effect:?}");
    }
    assert!(world.engine.answer(id, world.now).budget.remaining < 0.0, "the budget tells what happened all the same");
}

/// Reported of a service behind another guard: nobody was told for eight days.
#[test]
fn eight_days_at_27_times_the_budget_and_half_a_request_per_second_page() {
    let mut world = World::new(0.999, 3);
    let fired = world.serve(Duration::from_hours(24 * 8), 0.5, 0.027);
    let first = fired.iter().find(|(_, severity, _)| *severity == Severity::Page).map(|(after, _, _)| *after);
    assert!(first.is_some_and(|after| after < Duration::from_hours(2)), "{first:?}");
}

/// Too sparse for any pair: three bad events never fall into one window.
#[test]
fn a_slow_trickle_is_told() {
    let mut world = World::new(0.999, 5);
    let fired = world.serve(MONTH, 0.002, 0.02);
    assert!(!fired.is_empty(), "5,000 requests, 20 times the budget");
}

#[test]
fn an_alert_resolves_soon_after_the_burn_stops() {
    let mut world = World::new(0.999, 7);
    assert!(pages(&world.serve(Duration::from_mins(30), 20.0, 0.1)) > 0);
    world.serve(Duration::from_mins(40), 20.0, 0.0);
    let id = world.engine.id("s_availability").unwrap();
    let alerts = world.engine.answer(id, world.now).alerts;
    assert!(alerts.iter().all(|alert| alert.severity == Severity::Ticket), "{alerts:?}");
    assert!(world.now > world.start);
}
