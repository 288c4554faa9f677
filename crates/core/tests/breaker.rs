//! What a circuit breaker does, case by case.

use mainstay_core::resilience::breaker::{Breaker, Config, Effect, Mode, Phase, Refusal, Ticket, Transition, Why};
use mainstay_core::resilience::outcome::{FailureKind, Outcome};
use mainstay_core::time::Time;
use std::time::Duration;

const START: Time = Time::from_secs(1_000_000);
const DOWN: Outcome = Outcome::failure(FailureKind::Server);

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn new(config: Config) -> Breaker {
    Breaker::new(config, 7, START)
}

fn call(breaker: &mut Breaker, request: u64, outcome: Outcome, now: Time) {
    let ticket = breaker.handle_admit(request, now).expect("admitted");
    breaker.handle_outcome(ticket, outcome, now);
}

/// Opens a breaker by five failures.
fn trip(breaker: &mut Breaker, now: Time) {
    for request in 0..5 {
        call(breaker, request, DOWN, now);
    }
    assert_eq!(breaker.phase(), Phase::Open);
}

/// The changes of state that nobody polled yet.
fn transitions(breaker: &mut Breaker) -> Vec<Transition> {
    std::iter::from_fn(|| breaker.poll_effect())
        .map(|effect| match effect {
            Effect::Transition(transition) => transition,
            Effect::WouldOpen { why, .. } => panic!("would open: {why:?}"),
        })
        .collect()
}

fn until(breaker: &Breaker) -> Time {
    breaker.poll_timeout().expect("open breakers close again")
}

/// Lets an open breaker become half-open and one probe fail.
fn fail_probe(breaker: &mut Breaker) -> Duration {
    let now = until(breaker);
    call(breaker, 1, DOWN, now);
    until(breaker).since(now)
}

#[test]
fn total_outage_after_a_million_good_calls_opens_in_ten_failures() {
    let mut breaker = new(Config::default());
    let mut now = START;
    for request in 0..1_000_000u64 {
        now = START + millis(request);
        breaker.handle_successes(1, now);
    }
    let mut failures = 0;
    while breaker.phase() == Phase::Closed {
        now = now + millis(1);
        failures += 1;
        call(&mut breaker, failures, DOWN, now);
    }
    assert_eq!(failures, 5);
}

#[test]
fn the_attempts_of_one_request_open_nothing() {
    let mut breaker = new(Config::default());
    for attempt in 0..12 {
        call(&mut breaker, 42, DOWN, START + millis(attempt));
    }
    assert_eq!(breaker.phase(), Phase::Closed);
    call(&mut breaker, 43, DOWN, START + millis(20));
    assert_eq!(breaker.phase(), Phase::Open);
}

#[test]
fn failures_weeks_apart_are_no_streak() {
    let mut breaker = new(Config::default());
    for week in 0..20 {
        call(&mut breaker, week, DOWN, START + secs(week * 7 * 86_400));
    }
    assert_eq!(breaker.phase(), Phase::Closed);
}

#[test]
fn the_callers_faults_and_cancelled_calls_never_count() {
    let mut breaker = new(Config::default());
    for request in 0..1_000 {
        let outcome = [Outcome::Caller { status: 400 }, Outcome::Cancelled][request as usize % 2];
        call(&mut breaker, request, outcome, START);
    }
    assert_eq!(breaker.phase(), Phase::Closed);
    assert_eq!(breaker.view(START).counts.calls, 0);
}

#[test]
fn a_straggler_decides_nothing() {
    let mut breaker = new(Config::default());
    let mut closed: Vec<Ticket> = (0..40).map(|request| breaker.handle_admit(request, START).unwrap()).collect();
    trip(&mut breaker, START);
    let now = until(&breaker);
    let probe = breaker.handle_admit(100, now).unwrap();
    let before = (breaker.generation(), breaker.probes());
    for (i, ticket) in closed.drain(..20).enumerate() {
        breaker.handle_outcome(ticket, [Outcome::Success, DOWN][i % 2], now);
    }
    assert_eq!((breaker.phase(), breaker.generation(), breaker.probes()), (Phase::HalfOpen, before.0, before.1));

    for request in 101..104 {
        if breaker.phase() == Phase::HalfOpen {
            breaker.handle_release(now);
        }
        call(&mut breaker, request, Outcome::Success, now);
    }
    assert_eq!(breaker.phase(), Phase::Closed);
    breaker.handle_outcome(probe, DOWN, now);
    for mut ticket in closed.drain(..) {
        breaker.handle_slow(&mut ticket, now);
        breaker.handle_outcome(ticket, DOWN, now);
    }
    assert_eq!(breaker.phase(), Phase::Closed);
    let view = breaker.view(now);
    assert_eq!((view.counts.calls, view.counts.failures, view.stragglers), (3, 0, 41));
}

#[test]
fn half_open_admits_only_the_configured_number() {
    let mut breaker = new(Config { successes: 10, half_open_max: 5, ..Config::default() });
    trip(&mut breaker, START);
    let mut now = until(&breaker);
    let mut admitted = Vec::new();
    for _ in 0..4 {
        let mut probes: Vec<Ticket> = (0..10_000).filter_map(|r| breaker.handle_admit(r, now).ok()).collect();
        admitted.push(probes.len());
        let rejected = breaker.handle_admit(1, now).unwrap_err();
        assert_eq!(rejected.why, Refusal::Probing);
        now = now + millis(1);
        breaker.handle_outcome(probes.pop().unwrap(), Outcome::Success, now);
        for probe in probes {
            breaker.handle_outcome(probe, Outcome::Cancelled, now);
        }
    }
    assert_eq!(admitted, [1, 2, 4, 5]);
}

#[test]
fn three_successes_in_a_row_close_and_anything_ill_reopens() {
    let mut breaker = new(Config::default());
    trip(&mut breaker, START);
    for ill in [DOWN, Outcome::Throttled { retry_after: None }] {
        let now = until(&breaker);
        call(&mut breaker, 1, Outcome::Success, now);
        call(&mut breaker, 2, Outcome::Success, now);
        call(&mut breaker, 3, ill, now);
        assert_eq!(breaker.phase(), Phase::Open);
    }
    let now = until(&breaker);
    let mut probe = breaker.handle_admit(4, now).unwrap();
    breaker.handle_slow(&mut probe, now + secs(10));
    assert_eq!(breaker.phase(), Phase::Open);
    let now = until(&breaker);
    for request in 5..8 {
        call(&mut breaker, request, Outcome::Success, now);
    }
    assert_eq!(breaker.phase(), Phase::Closed);
    let whys: Vec<Why> = transitions(&mut breaker).into_iter().map(|t| t.why).collect();
    assert_eq!(
        whys,
        [
            Why::Streak,
            Why::Elapsed,
            Why::ProbeFailed,
            Why::Elapsed,
            Why::ProbeThrottled,
            Why::Elapsed,
            Why::ProbeSlow,
            Why::Elapsed,
            Why::Recovered
        ]
    );
}

#[test]
fn what_is_tried_and_answers_well_carries_requests() {
    let mut breaker = new(Config::default());
    assert!(breaker.carries());
    trip(&mut breaker, START);
    assert!(!breaker.carries());
    let now = until(&breaker);
    breaker.handle_timeout(now);
    assert!(!breaker.carries(), "nobody knows yet");
    call(&mut breaker, 1, Outcome::Success, now);
    assert!((breaker.phase(), breaker.carries()) == (Phase::HalfOpen, true) && breaker.view(now).carries);
    call(&mut breaker, 2, DOWN, now);
    assert!((breaker.phase(), breaker.carries()) == (Phase::Open, false));
    for (mode, carries) in [(Mode::Open, false), (Mode::Closed, true), (Mode::MetricsOnly, true)] {
        breaker.handle_force(mode, None, "an order", now);
        assert_eq!(breaker.carries(), carries, "{mode:?}");
    }
}

#[test]
fn what_was_open_and_answers_well_has_recovered() {
    let mut breaker = new(Config::default());
    trip(&mut breaker, START);
    breaker.handle_release(START + secs(1));
    assert_eq!((breaker.phase(), breaker.recovered()), (Phase::Closed, None), "an order shows nothing");
    trip(&mut breaker, START + secs(2));
    let now = until(&breaker);
    for request in 0..3 {
        assert_eq!(breaker.recovered(), None);
        call(&mut breaker, request, Outcome::Success, now);
    }
    assert_eq!((breaker.phase(), breaker.recovered()), (Phase::Closed, Some(now)));
    trip(&mut breaker, now + secs(60));
    assert_eq!(breaker.recovered(), Some(now), "the last time, until there is another");
}

#[test]
fn a_lost_probe_gives_its_permit_back() {
    let mut breaker = new(Config::default());
    trip(&mut breaker, START);
    let now = until(&breaker);
    let lost = breaker.handle_admit(1, now).unwrap();
    assert!(breaker.handle_admit(2, now + secs(29)).is_err());
    let probe = breaker.handle_admit(3, now + secs(30)).unwrap();
    assert_eq!(breaker.probes(), 1);
    breaker.handle_outcome(probe, Outcome::Cancelled, now + secs(31));
    assert_eq!((breaker.probes(), breaker.phase()), (0, Phase::HalfOpen));
    drop(lost);
}

#[test]
fn time_open_is_exact_first_then_doubles_with_jitter_and_calms_down() {
    let mut breaker = new(Config::default());
    trip(&mut breaker, START);
    assert_eq!(until(&breaker).since(START), secs(5));
    for bound in [10, 20, 30, 30] {
        let length = fail_probe(&mut breaker);
        assert!(length >= secs(bound) / 2 && length < secs(bound), "{length:?} of {bound} s");
    }
    let mut now = until(&breaker);
    for request in 0..3 {
        call(&mut breaker, request, Outcome::Success, now);
    }
    // Five times ill; six calm minutes undo them all.
    now = now + secs(6 * 60);
    trip(&mut breaker, now);
    assert_eq!(until(&breaker).since(now), secs(5));
}

#[test]
fn throttling_is_no_failure_but_its_time_is_kept() {
    let mut breaker = new(Config::default());
    for request in 0..100 {
        call(&mut breaker, request, Outcome::Throttled { retry_after: None }, START);
    }
    assert_eq!(breaker.phase(), Phase::Closed);
    for (wish, kept) in [(20, 20), (4_000, 300)] {
        let now = START + secs(wish);
        call(&mut breaker, 1, Outcome::Throttled { retry_after: Some(secs(wish)) }, now);
        let rejected = breaker.handle_admit(2, now).unwrap_err();
        assert_eq!((rejected.why, rejected.retry_at), (Refusal::Open, now + secs(kept)));
        breaker.handle_release(now);
    }
    for request in 0..5 {
        let failure = Outcome::Failure { kind: FailureKind::Server, retry_after: Some(secs(60)) };
        call(&mut breaker, request, failure, START + secs(5_000));
    }
    assert_eq!(until(&breaker), START + secs(5_060));
}

/// How long after the backend hangs a breaker opens that had `healthy` of good calls before.
fn opens_when_hung(healthy: Duration, rate: u64, slow_after: Duration) -> Duration {
    let mut breaker = new(Config { slow_after, ..Config::default() });
    let step = secs(1) / rate as u32;
    let hung_at = START + healthy;
    let (mut now, mut waiting) = (START, std::collections::VecDeque::new());
    let mut request = 0;
    loop {
        now = now + step;
        request += 1;
        let ticket = breaker.handle_admit(request, now).expect("admitted");
        if now < hung_at {
            breaker.handle_outcome(ticket, Outcome::Success, now);
        } else {
            waiting.push_back(ticket);
        }
        while waiting.front().is_some_and(|t| now.since(t.admitted_at()) >= slow_after) {
            breaker.handle_slow(&mut waiting.pop_front().expect("admitted"), now);
        }
        if breaker.phase() == Phase::Open {
            return now.since(hung_at);
        }
    }
}

#[test]
fn hung_calls_that_never_finish_open_it_within_slow_after_and_a_second() {
    for rate in [25, 100, 1_000] {
        assert!(opens_when_hung(Duration::ZERO, rate, secs(10)) <= secs(11), "{rate}/s from the start");
        assert!(opens_when_hung(Duration::ZERO, rate, secs(2)) <= secs(3), "{rate}/s from the start, 2 s");
    }
    for rate in [100, 1_000] {
        assert!(opens_when_hung(secs(300), rate, secs(10)) <= secs(11), "{rate}/s after a healthy time");
    }
}

#[test]
fn a_limit_that_lets_in_few_calls_does_not_hide_that_they_hang() {
    let mut breaker = new(Config { slow_after: secs(2), ..Config::default() });
    let good = |breaker: &mut Breaker, now: Time| (0..1_000).for_each(|n| call(breaker, n, Outcome::Success, now));
    good(&mut breaker, START);
    // Five calls are all that are let in; nobody is answered while they wait.
    let mut hung: Vec<_> =
        (0..5).map(|n| breaker.handle_admit(2_000 + n, START + millis(1 + n)).expect("admitted")).collect();
    for ticket in &mut hung[..4] {
        breaker.handle_slow(ticket, START + secs(2));
    }
    assert_eq!(breaker.phase(), Phase::Closed);
    breaker.handle_slow(&mut hung[4], START + millis(2_005));
    assert_eq!(breaker.phase(), Phase::Open);

    // One answer meanwhile, and they are judged among all calls.
    let mut breaker = new(Config { slow_after: secs(2), ..Config::default() });
    let hung: Vec<_> = (0..9).map(|n| breaker.handle_admit(n, START + millis(1)).expect("admitted")).collect();
    good(&mut breaker, START + millis(2));
    for mut ticket in hung {
        breaker.handle_slow(&mut ticket, START + secs(3));
    }
    assert_eq!(breaker.phase(), Phase::Closed);
}

#[test]
fn calls_that_ran_out_of_time_together_are_one_failure_in_a_row() {
    let late = Outcome::failure(FailureKind::Timeout);
    let mut breaker = new(Config::default());
    (0..1_000).for_each(|n| call(&mut breaker, n, Outcome::Success, START));
    let together: Vec<_> = (0..90).map(|n| breaker.handle_admit(2_000 + n, START).expect("admitted")).collect();
    for ticket in together {
        breaker.handle_outcome(ticket, late, START + millis(500));
    }
    assert_eq!(breaker.phase(), Phase::Closed, "too many were let in at once; that is the limit's business");
    for n in 0..4 {
        assert_eq!(breaker.phase(), Phase::Closed);
        let ticket = breaker.handle_admit(3_000 + n, START + millis(500 + n)).expect("admitted");
        breaker.handle_outcome(ticket, late, START + millis(1_000 + n));
    }
    assert_eq!(breaker.phase(), Phase::Open, "those that began since say the same");
}

#[test]
fn of_calls_that_broke_off_together_every_second_one_counts() {
    for broken in [FailureKind::Transport, FailureKind::BrokenStream] {
        let mut breaker = new(Config::default());
        (0..1_000).for_each(|n| call(&mut breaker, n, Outcome::Success, START));
        let together: Vec<_> = (0..8).map(|n| breaker.handle_admit(2_000 + n, START).expect("admitted")).collect();
        for ticket in together {
            breaker.handle_outcome(ticket, Outcome::failure(broken), START + millis(50));
        }
        assert_eq!(breaker.phase(), Phase::Closed, "one part of the backend may have gone");
        assert_eq!(breaker.view(START + millis(50)).counts.failures, 4);
        // Where the whole backend has gone, the next call says so.
        call(&mut breaker, 3_000, Outcome::failure(FailureKind::Transport), START + millis(51));
        assert_eq!(breaker.phase(), Phase::Open);
    }
    // More than a few are no part of it.
    let mut breaker = new(Config::default());
    (0..1_000).for_each(|n| call(&mut breaker, n, Outcome::Success, START));
    let together: Vec<_> = (0..60).map(|n| breaker.handle_admit(2_000 + n, START).expect("admitted")).collect();
    let mut failed = 0;
    for ticket in together {
        failed += u32::from(breaker.phase() == Phase::Closed);
        breaker.handle_outcome(ticket, Outcome::failure(FailureKind::Transport), START + millis(50));
    }
    assert_eq!((breaker.phase(), failed), (Phase::Open, 9));
    // Each of these was told by the backend that it is at fault.
    let mut breaker = new(Config::default());
    let together: Vec<_> = (0..5).map(|n| breaker.handle_admit(n, START).expect("admitted")).collect();
    for ticket in together {
        breaker.handle_outcome(ticket, Outcome::failure(FailureKind::Server), START + millis(50));
    }
    assert_eq!(breaker.phase(), Phase::Open);
}

#[test]
fn a_slow_call_is_one_call_however_it_ends() {
    let mut breaker = new(Config::default());
    for (request, outcome) in [(1, Outcome::Success), (2, DOWN), (3, Outcome::Cancelled)] {
        let mut ticket = breaker.handle_admit(request, START).unwrap();
        breaker.handle_slow(&mut ticket, START + secs(10));
        breaker.handle_slow(&mut ticket, START + secs(11));
        breaker.handle_outcome(ticket, outcome, START + secs(12));
    }
    // Nobody reported this one while it was under way.
    call_for(&mut breaker, 4, secs(10), false);
    // The answer of this one began in time.
    call_for(&mut breaker, 5, secs(10), true);
    let counts = breaker.view(START + secs(12)).counts;
    assert_eq!((counts.calls, counts.failures, counts.slow), (5, 1, 4));
}

fn call_for(breaker: &mut Breaker, request: u64, length: Duration, answer_began: bool) {
    let mut ticket = breaker.handle_admit(request, START).expect("admitted");
    if answer_began {
        ticket.answer_began();
    }
    breaker.handle_outcome(ticket, Outcome::Success, START + length);
}

#[test]
fn orders_win_over_rules_until_they_expire() {
    let mut breaker = new(Config::default());
    breaker.handle_force(Mode::Closed, Some(START + secs(60)), "load test", START);
    for request in 0..100 {
        call(&mut breaker, request, DOWN, START);
    }
    assert_eq!(breaker.phase(), Phase::ForcedClosed);
    breaker.handle_timeout(START + secs(60));
    assert_eq!(breaker.phase(), Phase::Closed);

    breaker.handle_force(Mode::Open, None, "maintenance", START + secs(61));
    assert_eq!(breaker.handle_admit(1, START + secs(9_999)).unwrap_err().why, Refusal::Forced);
    breaker.handle_release(START + secs(10_000));
    let whys: Vec<Why> = transitions(&mut breaker).into_iter().map(|t| t.why).collect();
    let forced = |reason: &str| Why::Forced(reason.to_owned());
    assert_eq!(whys, [forced("load test"), Why::Expired, forced("maintenance"), Why::Released]);

    breaker.handle_force(Mode::MetricsOnly, None, "trial", START + secs(10_000));
    let _ = breaker.poll_effect();
    for request in 0..5 {
        call(&mut breaker, request, DOWN, START + secs(10_001));
    }
    assert_eq!(breaker.phase(), Phase::MetricsOnly);
    assert!(matches!(breaker.poll_effect(), Some(Effect::WouldOpen { why: Why::Streak, .. })));
}

#[test]
fn a_transition_carries_the_figures_it_was_made_on() {
    let mut breaker = new(Config { consecutive: 1_000, ..Config::default() });
    let mut request = 0;
    while breaker.phase() == Phase::Closed {
        request += 1;
        let outcome = if request % 3 == 0 { Outcome::Success } else { DOWN };
        call(&mut breaker, request, outcome, START);
    }
    let opened = transitions(&mut breaker).remove(0);
    assert_eq!((opened.from, opened.to, opened.why), (Phase::Closed, Phase::Open, Why::FailureShare));
    assert_eq!((opened.evidence.counts.calls, opened.evidence.counts.failures), (20, 14));
    assert!(opened.evidence.failure_low >= 0.4);
    assert_eq!(opened.until, Some(START + secs(5)));
}
