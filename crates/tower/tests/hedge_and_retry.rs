//! Retries and hedges as layers, in paused time.

use mainstay_core::resilience::deadline::Deadline;
use mainstay_core::resilience::hedge::{self, Capacity};
use mainstay_core::resilience::outcome::{FailureKind, Outcome};
use mainstay_core::resilience::retry::{BudgetConfig, Policy};
use mainstay_core::time::Time;
use mainstay_tower::clock::Clock;
use mainstay_tower::hedge::{HedgeLayer, SharedHedge};
use mainstay_tower::retry::{RetryLayer, SharedRetryBudget};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tower::{Layer, ServiceExt, service_fn};

const START: Time = Time::from_secs(1_000_000);

fn classify(result: &Result<(), Outcome>) -> Outcome {
    result.err().unwrap_or(Outcome::Success)
}

#[tokio::test(start_paused = true)]
async fn three_layers_of_retries_share_one_budget() {
    let clock = Clock::anchored(START);
    let budget = SharedRetryBudget::new(BudgetConfig::default(), clock.now());
    let attempts = Arc::new(AtomicU32::new(0));
    let backend = {
        let attempts = attempts.clone();
        service_fn(move |(): ()| {
            attempts.fetch_add(1, Ordering::SeqCst);
            async { Err::<(), _>(Outcome::failure(FailureKind::Server)) }
        })
    };
    let layer =
        |seed| RetryLayer::new(Policy::default(), budget.clone(), clock, seed, classify, |(): &()| Deadline::NEVER);
    let service = layer(1).layer(layer(2).layer(layer(3).layer(backend)));
    let calls: Vec<_> = (0..1_000).map(|_| tokio::spawn(service.clone().oneshot(()))).collect();
    for call in calls {
        assert!(call.await.unwrap().is_err());
    }
    let attempts = attempts.load(Ordering::SeqCst);
    // Each layer counts what it sends on as admitted, so that three layers may add a tenth each; without the budget
    // they would make 27,000 attempts.
    assert!((1_000..=1_000 + 3 * 110 + 60).contains(&attempts), "{attempts} attempts");
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_as_asked_and_never_past_the_deadline() {
    let clock = Clock::anchored(START);
    let budget = SharedRetryBudget::new(BudgetConfig::default(), clock.now());
    let attempts = Arc::new(AtomicU32::new(0));
    let service = {
        let attempts = attempts.clone();
        let asked = Outcome::Throttled { retry_after: Some(Duration::from_secs(3)) };
        let layer = RetryLayer::new(Policy::default(), budget, clock, 1, classify, |at: &Deadline| *at);
        layer.layer(service_fn(move |_: Deadline| {
            let answer = if attempts.fetch_add(1, Ordering::SeqCst) == 0 { Err(asked) } else { Ok(()) };
            async move { answer }
        }))
    };
    let asked_at = clock.now();
    service.clone().oneshot(Deadline::after(Duration::from_secs(4), asked_at)).await.unwrap();
    assert_eq!((attempts.load(Ordering::SeqCst), clock.now().since(asked_at).as_secs()), (2, 3));
    attempts.store(0, Ordering::SeqCst);
    let asked_at = clock.now();
    service.oneshot(Deadline::after(Duration::from_secs(2), asked_at)).await.unwrap_err();
    assert_eq!((attempts.load(Ordering::SeqCst), clock.now()), (1, asked_at));
}

#[tokio::test(start_paused = true)]
async fn a_stalled_call_is_overtaken_and_cancelled() {
    let clock = Clock::anchored(START);
    let hedge = SharedHedge::new(hedge::Config::default(), clock.now());
    let budget = SharedRetryBudget::new(BudgetConfig::default(), clock.now());
    let (calls, finished) = <(Arc<AtomicU32>, Arc<AtomicU32>)>::default();
    let service = {
        let (calls, finished) = (calls.clone(), finished.clone());
        HedgeLayer::new(hedge, budget, clock, || Capacity::Spare).layer(service_fn(move |(): ()| {
            let stalled = calls.fetch_add(1, Ordering::SeqCst) == 300;
            let finished = finished.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(if stalled { 60_000 } else { 10 })).await;
                finished.fetch_add(1, Ordering::SeqCst);
                Ok::<(), &'static str>(())
            }
        }))
    };
    for _ in 0..300 {
        service.clone().oneshot(()).await.unwrap();
    }
    let asked_at = clock.now();
    service.oneshot(()).await.unwrap();
    // Late is twice as late while little of the budget has been earned.
    assert!(clock.now().since(asked_at) < Duration::from_millis(40), "{:?}", clock.now().since(asked_at));
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!((calls.load(Ordering::SeqCst), finished.load(Ordering::SeqCst)), (302, 301));
}
