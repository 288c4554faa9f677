//! The shared limit: permits are conserved, the line is fair to classes, nothing is lost on cancellation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use mainstay_core::resilience::limiter::{Config, Sample};
use mainstay_core::resilience::queue::{LoadReason, Shed};
use mainstay_core::rng::Rng;
use mainstay_core::route::Class;
use mainstay_core::time::Time;
use mainstay_tower::clock::Clock;
use mainstay_tower::limit::{Ask, LimitError, LimitLayer, Permit, Refused, SharedLimit, Why};
use tower::{Layer, ServiceExt, service_fn};

const START: Time = Time::from_secs(1_800_000_000);

fn fixed(max: u32) -> Arc<SharedLimit> {
    SharedLimit::new(Config::Fixed { max }, START)
}

fn ask(class: u8, queue_max: u32, wait_ms: u64) -> Ask {
    Ask {
        class: Class::new(class).expect("0 to 3"),
        route: 0,
        queue_max,
        shed: Shed::Queue,
        wait_until: START + Duration::from_millis(wait_ms),
    }
}

/// The result, if the future has one already.
async fn now_or_never<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    std::future::poll_fn(|cx| match std::pin::Pin::new(&mut future).poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

async fn take(limit: &Arc<SharedLimit>) -> Permit {
    let at_once = now_or_never(limit.acquire(ask(3, 0, 0), START)).await;
    at_once.expect("there is room, so nobody waits").expect("there is room")
}

#[tokio::test(start_paused = true)]
async fn the_best_class_is_called_first_and_the_worst_evicted() {
    let limit = fixed(1);
    let held = take(&limit).await;
    let mut third = limit.acquire(ask(3, 2, 100), START);
    let second = limit.acquire(ask(2, 2, 100), START);
    let first = limit.acquire(ask(0, 2, 100), START);
    let refused = now_or_never(&mut third).await.unwrap().unwrap_err();
    assert_eq!((refused.why, refused.reason), (Why::Evicted, LoadReason::Extreme));
    assert_eq!(now_or_never(limit.acquire(ask(3, 2, 100), START)).await.unwrap().unwrap_err().why, Why::Full);
    assert_eq!((limit.view().waiting, limit.view().saturation), (2, 1.0));

    held.finish(Sample::answered(Duration::from_millis(5)), START);
    let permit = first.await.unwrap();
    assert!(limit.try_acquire(Class::BEST, START).is_err());
    drop(permit);
    drop(second.await.unwrap());
    assert_eq!((limit.view().in_flight, limit.view().waiting), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_in_time_and_leaves_no_trace() {
    let limit = fixed(1);
    let held = take(&limit).await;
    let began = tokio::time::Instant::now();
    let refused = limit.acquire(ask(0, 8, 50), START).await.unwrap_err();
    assert_eq!((refused.why, began.elapsed().as_millis() / 5), (Why::Timeout, 10));

    // One gives up before it is called, one after: the permit goes on to the next.
    let gone = limit.acquire(ask(0, 8, 500), START);
    let called = limit.acquire(ask(0, 8, 500), START);
    let next = limit.acquire(ask(3, 8, 500), START);
    drop(gone);
    assert_eq!(limit.view().waiting, 2);
    drop(held);
    assert_eq!((limit.view().in_flight, limit.view().waiting), (1, 1));
    drop(called);
    drop(next.await.unwrap());
    assert_eq!((limit.view().in_flight, limit.view().waiting), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn each_route_has_its_own_share_of_the_line() {
    let limit = fixed(1);
    let _held = take(&limit).await;
    let _own: Vec<_> = (0..3).map(|_| limit.acquire(ask(3, 3, 100), START)).collect();
    let other = Ask { route: 1, ..ask(3, 1, 100) };
    let _waits = limit.acquire(other, START);
    assert_eq!(limit.view().waiting, 4);
    assert_eq!(limit.acquire(other, START).await.unwrap_err().why, Why::Full);
    // A better request of the other route evicts its own, not the first route's.
    let _better = limit.acquire(Ask { class: Class::BEST, ..other }, START);
    assert_eq!(limit.view().waiting, 4);
}

#[tokio::test(start_paused = true)]
async fn thresholds_turn_classes_away_early() {
    let limit = fixed(10);
    let shed = |class| Ask { shed: Shed::THRESHOLDS, ..ask(class, 0, 0) };
    let mut held = Vec::new();
    for _ in 0..7 {
        held.push(take(&limit).await);
    }
    let outcome = async |class| now_or_never(limit.acquire(shed(class), START)).await.unwrap().map(drop);
    let Refused { reason, saturation, why } = outcome(3).await.unwrap_err();
    assert_eq!((reason, saturation, why), (LoadReason::Moderate, 0.7, Why::Threshold));
    assert_eq!(outcome(2).await, Ok(()));
    held.push(take(&limit).await);
    held.push(take(&limit).await);
    assert_eq!(outcome(2).await.unwrap_err().reason, LoadReason::High);
    assert_eq!(outcome(1).await, Ok(()));
    assert_eq!(outcome(0).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_raised_limit_calls_who_waits() {
    let limit = SharedLimit::new(Config::TTFT, START);
    let mut held: Vec<_> = (0..20).map(|_| limit.try_acquire(Class::BEST, START).unwrap()).collect();
    let waits = limit.acquire(ask(3, 1, 60_000), START);
    for permit in &mut held {
        permit.first_byte(Duration::from_millis(10), START);
    }
    limit.settle(START + Duration::from_secs(1));
    let change = limit.poll_change().unwrap();
    assert_eq!((change.from, change.to, limit.poll_change()), (20, 21, None));
    let _called = waits.await.unwrap();
    assert_eq!((limit.view().in_flight, limit.view().waiting), (21, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn permits_are_conserved_under_races() {
    let limit = fixed(3);
    let inside = Arc::new(AtomicU32::new(0));
    let tasks: Vec<_> = (0..16u64)
        .map(|seed| {
            let (limit, inside) = (limit.clone(), inside.clone());
            tokio::spawn(async move {
                let mut rng = Rng::new(seed);
                for _ in 0..500 {
                    let ask = ask(rng.below(4) as u8, 6, 1 + rng.below(3));
                    let asked = limit.acquire(ask, START);
                    if rng.below(8) == 0 {
                        tokio::task::yield_now().await;
                        drop(asked);
                        continue;
                    }
                    let Ok(permit) = asked.await else { continue };
                    assert!(inside.fetch_add(1, Ordering::SeqCst) < 3, "over the limit");
                    if rng.below(2) == 0 {
                        tokio::task::yield_now().await;
                    }
                    inside.fetch_sub(1, Ordering::SeqCst);
                    match rng.below(3) {
                        0 => drop(permit),
                        _ => permit.finish(Sample::answered(Duration::from_micros(50)), START),
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!((limit.view().in_flight, limit.view().waiting), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn first_bytes_reach_the_limiter_before_the_answer_ends() {
    let limit = SharedLimit::new(Config::TTFT, START);
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(limit.try_acquire(Class::BEST, START).unwrap());
    }
    assert!(limit.try_acquire(Class::BEST, START).is_err());
    for (i, permit) in held.iter_mut().enumerate() {
        let waited = Duration::from_millis(if i < 4 { 10 } else { 2000 });
        permit.first_byte(waited, START + Duration::from_millis(100));
        permit.first_byte(Duration::ZERO, START + Duration::from_millis(100));
    }
    limit.settle(START + Duration::from_secs(2));
    assert!(limit.view().limit < 20, "the wait is too long: fewer at once");
    assert_eq!(limit.view().in_flight, 20);
}

#[tokio::test(start_paused = true)]
async fn the_layer_refuses_what_finds_no_room() {
    let limit = fixed(2);
    let layer = LimitLayer::new(limit.clone(), Clock::anchored(START), |_: &u32, _| ask(3, 1, 100));
    let slow = layer.layer(service_fn(|n: u32| async move {
        tokio::time::sleep(Duration::from_millis(80)).await;
        Ok::<_, std::io::Error>(n)
    }));
    let calls: Vec<_> = (0..5).map(|n| tokio::spawn(slow.clone().oneshot(n))).collect();
    let mut outcomes = Vec::new();
    for call in calls {
        outcomes.push(match call.await.unwrap() {
            Ok(n) => format!("{n}"),
            Err(LimitError::Refused(refused)) => format!("{:?}", refused.why),
            Err(LimitError::Inner(error)) => panic!("{error}"),
        });
    }
    assert_eq!(outcomes, ["0", "1", "2", "Full", "Full"]);
    assert_eq!(limit.view().in_flight, 0);
}
