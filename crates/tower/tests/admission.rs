//! A limit that threads share decides as the core's machine of one thread does: the same random day for both.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mainstay_core::resilience::admission::{self, Admission, Place};
use mainstay_core::resilience::limiter::{Config, Sample};
use mainstay_core::resilience::queue::{Key, Shed};
use mainstay_core::rng::Rng;
use mainstay_core::route::Class;
use mainstay_core::time::Time;
use mainstay_tower::limit::{Acquire, Ask, Permit, SharedLimit};

/// Both machines, and who is where.
struct Pair {
    one: Admission<u32>,
    shared: std::sync::Arc<SharedLimit>,
    held: Vec<(Permit, Time)>,
    waiting: Vec<(u32, Key, Pin<Box<Acquire>>)>,
    next: u32,
}

impl Pair {
    fn ask(&mut self, rng: &mut Rng, shed: Shed, now: Time) {
        let class = Class::new(rng.below(4) as u8).expect("a class");
        let wait_until = now + Duration::from_millis(rng.below(80));
        let (route, queue_max) = (rng.below(2) as u32, 6);
        let place = self.one.handle_ask(self.next, admission::Ask { class, route, queue_max, shed, wait_until }, now);
        let mut asked = Box::pin(self.shared.acquire(Ask { class, route, queue_max, shed, wait_until }, now));
        match place {
            Place::Waits(key) => self.waiting.push((self.next, key, asked)),
            Place::Taken | Place::Refused(_) => match (poll(&mut asked), place) {
                (Poll::Ready(Ok(permit)), Place::Taken) => self.held.push((permit, now)),
                (Poll::Ready(Err(refused)), Place::Refused(reason)) => assert_eq!(refused.reason, reason),
                (other, place) => panic!("{other:?} and {place:?}"),
            },
        }
        self.next += 1;
    }

    fn end(&mut self, rng: &mut Rng, now: Time) {
        if self.held.is_empty() {
            return;
        }
        let (permit, began) = self.held.swap_remove(rng.below(self.held.len() as u64) as usize);
        let latency = now.since(began);
        let sample = if rng.below(20) == 0 { Sample::dropped(latency) } else { Sample::answered(latency) };
        self.one.handle_end(Some(&sample), false, now);
        permit.finish(sample, now);
    }

    fn give_up(&mut self, rng: &mut Rng) {
        if !self.waiting.is_empty() {
            let (_, key, asked) = self.waiting.swap_remove(rng.below(self.waiting.len() as u64) as usize);
            assert!(self.one.handle_give_up(key));
            drop(asked);
        }
    }

    /// Whoever one machine answered, the other answered the same; and nobody else.
    fn compare(&mut self, now: Time) {
        while let Some((who, called)) = self.one.poll_answer() {
            let at = self.waiting.iter().position(|(id, ..)| *id == who).expect("it waits");
            let (.., mut asked) = self.waiting.swap_remove(at);
            match poll(&mut asked) {
                Poll::Ready(Ok(permit)) if called => self.held.push((permit, now)),
                Poll::Ready(Err(_)) if !called => {}
                other => panic!("{who} is called: {called}, and {other:?}"),
            }
        }
        assert!(self.waiting.iter_mut().all(|(.., asked)| poll(asked).is_pending()));
        let view = self.shared.view();
        let one = (self.one.limit(), self.one.in_flight(), self.one.waiting());
        assert_eq!((view.limit, view.in_flight, view.waiting as usize), one);
    }
}

fn poll(asked: &mut Pin<Box<Acquire>>) -> Poll<<Acquire as Future>::Output> {
    asked.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn one_thread_and_many_decide_the_same() {
    // Time of the runtime stands still: whose wait is over is found when its turn comes, as in the core. Nothing runs on
    // it: a task of its own may poll only so often.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let _guard = runtime.enter();
    let mut changes = 0;
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let mut now = Time::from_secs(1_000 + seed);
        let config = [Config::Knee { initial: 4, min: 1, max: 40 }, Config::Fixed { max: 3 }][(seed % 2) as usize];
        let shed = if seed % 3 == 0 { Shed::THRESHOLDS } else { Shed::Queue };
        let (one, shared) = (Admission::new(config, now), SharedLimit::new(config, now));
        let mut pair = Pair { one, shared, held: Vec::new(), waiting: Vec::new(), next: 0 };
        for _ in 0..3_000 {
            now = now + Duration::from_micros(rng.below(4_000));
            match rng.below(16) {
                0..8 => pair.ask(&mut rng, shed, now),
                8..14 => pair.end(&mut rng, now),
                14 => pair.give_up(&mut rng),
                _ => {
                    pair.one.handle_timeout(now);
                    pair.shared.settle(now);
                }
            }
            pair.compare(now);
        }
        changes += u32::from(pair.one.poll_change().is_some());
        // Permits that are dropped would call others.
        pair.waiting.clear();
    }
    assert!(changes > 10, "the limit moved in {changes} days");
}
