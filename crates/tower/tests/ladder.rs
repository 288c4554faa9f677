//! The ladder of services: one deadline, in paused time.

use std::convert::Infallible;
use std::time::Duration;

use mainstay_core::resilience::ladder::Entry;
use mainstay_core::route::Level;
use mainstay_core::time::Time;
use mainstay_tower::clock::Clock;
use mainstay_tower::ladder::Ladder;
use tower::{ServiceExt, service_fn};

const DEADLINE: Duration = Duration::from_millis(500);

fn level(number: u8) -> Level {
    Level::new(number).expect("0 to 4")
}

fn ladder() -> Ladder<(), &'static str> {
    Ladder::new(Clock::anchored(Time::from_secs(1_800_000_000)), DEADLINE)
}

async fn hang((): ()) -> Result<&'static str, Infallible> {
    std::future::pending().await
}

async fn fail((): ()) -> Result<&'static str, &'static str> {
    Err("broken")
}

async fn answer((): ()) -> Result<&'static str, Infallible> {
    Ok("sorry")
}

#[tokio::test(start_paused = true)]
async fn hanging_levels_leave_time_for_the_last() {
    let began = tokio::time::Instant::now();
    let mut ladder = ladder();
    for number in 0..4 {
        let entry = Entry { timeout: Some(Duration::from_millis(200)), ..Entry::remote(level(number), 0) };
        ladder = ladder.entry(entry, service_fn(hang));
    }
    let answer = ladder.entry(Entry::local(level(4)), service_fn(answer)).oneshot(()).await.unwrap();
    // 200 + 200 + what is left less the reserve; the fourth is not even tried.
    assert_eq!((answer.response, answer.level, answer.attempts), ("sorry", level(4), 4));
    assert!(began.elapsed() < DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn five_hanging_levels_end_by_the_deadline() {
    let began = tokio::time::Instant::now();
    let mut ladder = ladder();
    for number in 0..3 {
        ladder = ladder.entry(Entry::remote(level(number), 0), service_fn(hang));
    }
    for number in 3..5 {
        ladder = ladder.entry(Entry::local(level(number)), service_fn(hang));
    }
    let exhausted = ladder.oneshot(()).await.unwrap_err();
    assert_eq!((exhausted.attempts, exhausted.last.is_none()), (3, true));
    assert!(began.elapsed() <= DEADLINE + Duration::from_millis(2), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn failures_go_down_without_waiting() {
    let began = tokio::time::Instant::now();
    let ladder = ladder()
        .entry(Entry::remote(level(0), 0), service_fn(fail))
        .entry(Entry::remote(level(2), 1), service_fn(fail))
        .entry(Entry::local(level(4)), service_fn(answer));
    let served = ladder.clone().oneshot(()).await.unwrap();
    assert_eq!((served.entry, served.attempts, began.elapsed()), (2, 3, Duration::ZERO));

    ladder.set_level(level(2));
    assert_eq!(ladder.clone().oneshot(()).await.unwrap().attempts, 2);
}
