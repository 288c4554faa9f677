//! The breaker as a layer and among threads.

use mainstay_core::resilience::breaker::{Config, Effect, Mode, Phase, Refusal, Ticket};
use mainstay_core::resilience::outcome::{FailureKind, Outcome};
use mainstay_core::time::Time;
use mainstay_tower::breaker::{BreakerLayer, Error, Guard, SharedBreaker};
use mainstay_tower::clock::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tower::{Layer, Service, ServiceExt, service_fn};

const START: Time = Time::from_secs(1_000_000);
const DOWN: Outcome = Outcome::failure(FailureKind::Server);

fn trip(breaker: &SharedBreaker, now: Time) {
    for request in 0..5 {
        breaker.report(breaker.admit(request, now).expect("admitted"), DOWN, now);
    }
    assert_eq!(breaker.state(now).phase, Phase::Open);
}

fn classify(result: &Result<(), &'static str>) -> Outcome {
    if result.is_ok() { Outcome::Success } else { DOWN }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_tasks_at_half_open_send_only_the_configured_number() {
    let clock = Clock::anchored(START);
    let breaker = SharedBreaker::new(Config { successes: 20, half_open_max: 6, ..Config::default() }, 1, clock.now());
    trip(&breaker, clock.now());
    let (inside, most, served) = <(Arc<AtomicU32>, Arc<AtomicU32>, Arc<AtomicU32>)>::default();
    let service = {
        let (inside, most, served) = (inside.clone(), most.clone(), served.clone());
        BreakerLayer::new(breaker.clone(), clock, classify).layer(service_fn(move |wave: u32| {
            let (inside, most, served) = (inside.clone(), most.clone(), served.clone());
            async move {
                most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                served.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(u64::from(wave))).await;
                inside.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            }
        }))
    };
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut allowed = Vec::new();
    for wave in 1..=4 {
        let (served_before, _) = (served.load(Ordering::SeqCst), most.swap(0, Ordering::SeqCst));
        let tasks: Vec<_> = (0..10_000).map(|_| tokio::spawn(service.clone().oneshot(wave))).collect();
        let mut turned_away = 0;
        for task in tasks {
            turned_away += u32::from(matches!(task.await.unwrap(), Err(Error::Rejected(_))));
        }
        let served = served.load(Ordering::SeqCst) - served_before;
        assert_eq!(served + turned_away, 10_000);
        assert_eq!(served, most.load(Ordering::SeqCst));
        allowed.push(served);
    }
    assert_eq!(allowed, [1, 2, 6, 6]);
}

#[test]
fn threads_at_half_open_never_exceed_the_permits() {
    let breaker = SharedBreaker::new(Config { successes: 1_000_000, half_open_max: 3, ..Config::default() }, 1, START);
    trip(&breaker, START);
    let now = START + Duration::from_secs(5);
    let (inside, admitted) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (breaker, inside, admitted) = (&breaker, &inside, &admitted);
            scope.spawn(move || {
                for request in 0..5_000u64 {
                    let Ok(ticket) = breaker.admit(request, now) else { continue };
                    assert!(ticket.is_probe());
                    assert!(inside.fetch_add(1, Ordering::SeqCst) < 3);
                    admitted.fetch_add(1, Ordering::SeqCst);
                    inside.fetch_sub(1, Ordering::SeqCst);
                    let outcome = if thread == 0 { Outcome::Success } else { Outcome::Cancelled };
                    breaker.report(ticket, outcome, now);
                }
            });
        }
    });
    assert!(admitted.load(Ordering::SeqCst) > 5_000 / 2);
    assert_eq!(breaker.state(now).probes, 0);
}

#[test]
fn successes_of_all_threads_are_counted_and_end_streaks() {
    let breaker = SharedBreaker::new(Config::default(), 1, START);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for request in 0..10_000 {
                    breaker.report(breaker.admit(request, START).unwrap(), Outcome::Success, START);
                }
            });
        }
    });
    assert_eq!(breaker.state(START).counts.calls, 40_000);
    for request in 0..100 {
        let outcome = if request % 5 == 4 { Outcome::Success } else { DOWN };
        breaker.report(breaker.admit(request, START).unwrap(), outcome, START);
    }
    assert_eq!(breaker.state(START).phase, Phase::Closed);
    assert_eq!(breaker.state(START).counts.failures, 80);
}

#[test]
fn a_success_from_before_the_trip_is_a_straggler() {
    let breaker = SharedBreaker::new(Config::default(), 1, START);
    let early: Vec<Ticket> = (0..10).map(|request| breaker.admit(request, START).unwrap()).collect();
    trip(&breaker, START);
    breaker.release(START);
    for ticket in early {
        breaker.report(ticket, Outcome::Success, START);
    }
    let view = breaker.state(START);
    assert_eq!((view.counts.calls, view.stragglers), (0, 10));
}

#[test]
fn a_lost_probe_and_an_expired_order_need_no_timer() {
    let breaker = SharedBreaker::new(Config::default(), 1, START);
    trip(&breaker, START);
    let half_open = START + Duration::from_secs(5);
    let lost = breaker.admit(1, half_open).unwrap();
    assert_eq!(breaker.admit(2, half_open).unwrap_err().why, Refusal::Probing);
    drop(lost);
    let lease_over = half_open + Duration::from_secs(30);
    for request in 0..3 {
        let ticket = breaker.admit(request, lease_over).unwrap();
        breaker.report(ticket, Outcome::Success, lease_over);
    }
    assert!(breaker.is_closed());
    breaker.force(Mode::Open, Some(lease_over + Duration::from_mins(1)), "maintenance", lease_over);
    let refused = breaker.admit(9, lease_over).unwrap_err();
    assert_eq!((refused.why, refused.retry_at), (Refusal::Forced, lease_over + Duration::from_mins(1)));
    assert!(breaker.admit(9, lease_over + Duration::from_mins(1)).is_ok());
    assert_eq!(std::iter::from_fn(|| breaker.poll_effect()).count(), 5);
}

#[tokio::test(start_paused = true)]
async fn hung_calls_through_the_layer_open_it() {
    let clock = Clock::anchored(START);
    let breaker = SharedBreaker::new(Config::default(), 1, clock.now());
    let service = BreakerLayer::new(breaker.clone(), clock, classify)
        .layer(service_fn(|()| std::future::pending::<Result<(), &'static str>>()));
    let calls: Vec<_> = (0..20).map(|_| tokio::spawn(service.clone().oneshot(()))).collect();
    tokio::time::sleep(Duration::from_millis(10_100)).await;
    assert_eq!(breaker.state(clock.now()).phase, Phase::Open);
    let Some(Effect::Transition(opened)) = breaker.poll_effect() else { panic!("no transition") };
    assert_eq!(opened.evidence.counts.slow, 20);
    for call in calls {
        call.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_calls_return_their_permit() {
    let clock = Clock::anchored(START);
    let breaker = SharedBreaker::new(Config::default(), 1, clock.now());
    trip(&breaker, clock.now());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut service = BreakerLayer::new(breaker.clone(), clock, classify)
        .layer(service_fn(|()| std::future::pending::<Result<(), &'static str>>()));
    service.ready().await.unwrap();
    assert_eq!(breaker.state(clock.now()).probes, 0, "a permit was taken before the call");
    let call = service.call(());
    assert_eq!(breaker.state(clock.now()).probes, 1);
    drop(call);
    assert_eq!(breaker.state(clock.now()).probes, 0);
    drop(Guard::admit(breaker.clone(), 1, clock).unwrap());
    assert_eq!((breaker.state(clock.now()).probes, breaker.state(clock.now()).phase), (0, Phase::HalfOpen));
}
