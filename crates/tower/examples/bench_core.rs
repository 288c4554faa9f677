//! What admitting and reporting a call costs, beside other crates that do the like. Prints one JSON object per case:
//! nanoseconds per call on one thread and on two threads that share the object (wall time as each thread sees it,
//! median of seven batches), and allocations per call.
//!
//! Run on a quiet machine: `cargo run --release -p mainstay-tower --example bench_core`.

use failsafe::CircuitBreaker as _;
use governor::{Quota, RateLimiter};
use mainstay_core::resilience::limiter::{self, Sample};
use mainstay_core::resilience::outcome::{FailureKind, Outcome};
use mainstay_core::resilience::{breaker, retry};
use mainstay_core::route::Class;
use mainstay_core::time::Time;
use mainstay_tower::breaker::SharedBreaker;
use mainstay_tower::clock::Clock;
use mainstay_tower::limit::SharedLimit;
use mainstay_tower::retry::SharedRetryBudget;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const START: Time = Time::from_secs(1_000_000);
const CALLS: u64 = 500_000;
const BATCHES: usize = 7;
const LATENCY: Duration = Duration::from_micros(200);

fn main() {
    floors();
    breakers();
    limiters();
    together();
}

fn floors() {
    case("floor: std Instant::now", |_| {
        black_box(Instant::now());
    });
    let counter = AtomicU64::new(0);
    case("floor: shared AtomicU64 fetch_add", |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
}

fn breakers() {
    let shared = SharedBreaker::new(breaker::Config::default(), 1, START);
    case("mainstay breaker, success", |i| admit_and_succeed(&shared, i));
    let clock = Clock::anchored(START);
    let shared = SharedBreaker::new(breaker::Config::default(), 1, clock.now());
    case("mainstay breaker, success, clock read twice", |i| {
        if let Ok(ticket) = shared.admit(i, clock.now()) {
            shared.report(ticket, Outcome::Success, clock.now());
        }
    });
    let open = SharedBreaker::new(breaker::Config::default(), 1, START);
    open.force(breaker::Mode::Open, None, "bench", START);
    case("mainstay breaker, rejected", |i| {
        let _ = black_box(open.admit(i, at(i)));
    });
    let failing = SharedBreaker::new(
        breaker::Config { consecutive: u32::MAX, failure_share: 2.0, ..Default::default() },
        1,
        START,
    );
    case("mainstay breaker, failure", |i| {
        if let Ok(ticket) = failing.admit(i, at(i)) {
            failing.report(ticket, Outcome::failure(FailureKind::Server), at(i));
        }
    });
    let other = failsafe::Config::new().build();
    case("failsafe 1.3 default, success", |_| {
        let _ = black_box(other.call(|| Ok::<(), ()>(())));
    });
    let other = recloser::Recloser::custom().closed_len(100).build();
    case("recloser 1.4 closed_len 100, success", |_| {
        let _ = black_box(other.call(|| Ok::<(), ()>(())));
    });
}

fn limiters() {
    let shared = SharedLimit::new(limiter::Config::KNEE, START);
    case("mainstay limiter, admit and release", |i| {
        if let Ok(permit) = shared.try_acquire(Class::BEST, at(i)) {
            permit.finish(Sample::answered(LATENCY), at(i));
        }
    });
    let budget = SharedRetryBudget::new(retry::BudgetConfig::default(), START);
    case("mainstay retry budget, deposit", |i| budget.admitted(1.0, at(i)));
    let other = RateLimiter::direct(Quota::per_second(NonZeroU32::MAX));
    case("governor 0.10 direct, admitted", |_| {
        let _ = black_box(other.check());
    });
}

fn together() {
    let (limit, shared) =
        (SharedLimit::new(limiter::Config::KNEE, START), SharedBreaker::new(breaker::Config::default(), 1, START));
    case("mainstay breaker and limiter", |i| {
        let Ok(ticket) = shared.admit(i, at(i)) else { return };
        if let Ok(permit) = limit.try_acquire(Class::BEST, at(i)) {
            permit.finish(Sample::answered(LATENCY), at(i));
        }
        shared.report(ticket, Outcome::Success, at(i));
    });
}

fn admit_and_succeed(shared: &SharedBreaker, i: u64) {
    if let Ok(ticket) = shared.admit(i, at(i)) {
        shared.report(ticket, Outcome::Success, at(i));
    }
}

/// Time passes at the pace of ten million calls per second, so that counters are settled as they are in service.
fn at(i: u64) -> Time {
    START + Duration::from_nanos(100 * i)
}

/// Measures `call`, which gets the number of the call within its thread, and prints the result.
fn case(name: &str, call: impl Fn(u64) + Sync) {
    let allocations = allocation_counter::measure(|| (0..1_000).for_each(&call)).count_total as f64 / 1e3;
    let one = nanos_per_call(&call, 1);
    let two = nanos_per_call(&call, 2);
    println!("{{\"case\":\"{name}\",\"ns_1_thread\":{one:.1},\"ns_2_threads\":{two:.1},\"allocs\":{allocations}}}");
}

fn nanos_per_call(call: &(impl Fn(u64) + Sync), threads: u64) -> f64 {
    let mut batches: Vec<f64> = (0..BATCHES as u64).map(|batch| run_batch(call, threads, batch * CALLS)).collect();
    batches.sort_by(f64::total_cmp);
    batches[BATCHES / 2]
}

/// The mean over the threads of the time each takes for a call.
fn run_batch(call: &(impl Fn(u64) + Sync), threads: u64, first: u64) -> f64 {
    let barrier = Barrier::new(threads as usize);
    let run = || {
        barrier.wait();
        let began = Instant::now();
        (first..first + CALLS).for_each(call);
        began.elapsed().as_nanos() as f64 / CALLS as f64
    };
    let total: f64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a batch does not panic")).sum()
    });
    total / threads as f64
}
