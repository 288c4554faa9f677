//! A circuit breaker over virtual days: how often it opens when a harmless share of calls fails, and how soon when most
//! do. Prints one JSON object per case; exits with 1 if a share of 20 % opens it more than once a day.
//!
//! Run with `cargo run --release -p mainstay-core --example breaker_soak -- [SEEDS]`; one seed takes about a minute.

use mainstay_core::resilience::breaker::{Breaker, Config, Phase};
use mainstay_core::resilience::outcome::{FailureKind, Outcome};
use mainstay_core::rng::Rng;
use mainstay_core::time::Time;
use std::process::ExitCode;
use std::time::Duration;

const START: Time = Time::from_secs(1_000_000);
const DAY_S: u64 = 86_400;

fn main() -> ExitCode {
    let seeds: u64 = std::env::args().nth(1).and_then(|seeds| seeds.parse().ok()).unwrap_or(1);
    let mut opens_max = 0;
    for rate in [1, 100, 10_000] {
        for failing in [0.1, 0.2, 0.3] {
            let opens: Vec<u32> = (0..seeds).map(|seed| opens_in_a_day(rate, failing, seed)).collect();
            println!("{{\"per_second\":{rate},\"failing\":{failing},\"opens_per_day\":{opens:?}}}");
            if failing <= 0.2 {
                opens_max = opens_max.max(opens.into_iter().max().unwrap_or(0));
            }
        }
    }
    if opens_max <= 1 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn opens_in_a_day(rate: u64, failing: f64, seed: u64) -> u32 {
    let (mut breaker, mut rng) = (Breaker::new(Config::default(), seed, START), Rng::new(seed));
    let step = Duration::from_secs(1) / rate as u32;
    let (mut now, mut opens) = (START, 0);
    for request in 0..rate * DAY_S {
        now = now + step;
        let Ok(ticket) = breaker.handle_admit(request, now) else { continue };
        let was_closed = breaker.phase() == Phase::Closed;
        let fails = rng.unit() < failing;
        let outcome = if fails { Outcome::failure(FailureKind::Server) } else { Outcome::Success };
        breaker.handle_outcome(ticket, outcome, now);
        opens += u32::from(was_closed && breaker.phase() == Phase::Open);
        while breaker.poll_effect().is_some() {}
    }
    opens
}
