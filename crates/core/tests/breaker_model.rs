//! A circuit breaker against a model that remembers every call and adds all up anew at each step.

use mainstay_core::resilience::breaker::{Breaker, Config, Counts, Phase, Ticket, streak_needed};
use mainstay_core::resilience::outcome::{FailureKind, Outcome};
use mainstay_core::stats::{Z_95, wilson};
use mainstay_core::time::Time;
use proptest::prelude::*;
use std::time::Duration;

const START: Time = Time::from_secs(1_000_000);

#[derive(Clone, Copy, Debug)]
enum Input {
    Admit { request: u64 },
    End { which: usize, outcome: Outcome },
    Slow { which: usize },
    Lose { which: usize },
    Wait { ms: u64 },
}

fn input() -> impl Strategy<Value = Input> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Success),
        6 => Just(Outcome::failure(FailureKind::Server)),
        2 => Just(Outcome::failure(FailureKind::Timeout)),
        2 => Just(Outcome::failure(FailureKind::Transport)),
        1 => Just(Outcome::failure(FailureKind::BrokenStream)),
        1 => Just(Outcome::Cancelled),
        1 => Just(Outcome::Caller { status: 404 }),
    ];
    prop_oneof![
        10 => (0..6u64).prop_map(|request| Input::Admit { request }),
        10 => (any::<usize>(), outcome).prop_map(|(which, outcome)| Input::End { which, outcome }),
        2 => any::<usize>().prop_map(|which| Input::Slow { which }),
        1 => any::<usize>().prop_map(|which| Input::Lose { which }),
        4 => (0..2_000u64).prop_map(|ms| Input::Wait { ms }),
        1 => (0..40_000u64).prop_map(|ms| Input::Wait { ms }),
    ]
}

#[derive(Clone, Copy)]
struct Call {
    at: Time,
    failed: bool,
    slow: bool,
}

/// A closed breaker that forgets nothing.
#[derive(Default)]
struct Model {
    /// For the window: every call at its time.
    calls: Vec<Call>,
    /// For the last calls: every call in order. The two differ in a slow call that fails after it has left one of them
    /// only: there it is a call of that moment.
    recent: Vec<Call>,
    history: u64,
    /// Failures since the last success: their requests, and how many it takes.
    streak: Vec<u64>,
    /// Calls that broke off which were under way when it began.
    broke_off: u32,
    streak_began: Time,
    streak_last: Time,
    needed: u32,
    /// Slow calls that began after the last success: their requests.
    silent: Vec<u64>,
    answered: Time,
}

/// A call that ends, as the model sees it.
struct Ending {
    request: u64,
    began: Time,
    outcome: Outcome,
    slow_at: Option<Time>,
}

impl Model {
    fn add(&mut self, config: &Config, ending: &Ending, now: Time) -> bool {
        let Ending { request, began, outcome, slow_at } = *ending;
        let failed = outcome.is_failure();
        let mut together = false;
        if failed {
            if self.streak.is_empty() || now.since(self.streak_last) >= config.window * 30 {
                self.streak.clear();
                self.broke_off = 0;
                self.needed = streak_needed(config, self.counts(config, now, false), self.history);
                self.streak_began = now;
            }
            // Of those that were under way together and ran out of time one counts; of those that broke off every second one.
            let was_under_way = !self.streak.is_empty() && began < self.streak_began;
            let late = outcome == Outcome::failure(FailureKind::Timeout);
            let told = outcome == Outcome::failure(FailureKind::Server);
            if was_under_way && !late && !told {
                self.broke_off += 1;
            }
            together = was_under_way && (late || !told && self.broke_off % 2 == 1);
            if !together {
                self.streak.push(request);
            }
            self.streak_last = now;
        } else {
            self.streak.clear();
            self.silent.clear();
            self.answered = now;
        }
        match slow_at {
            Some(slow_at) if failed => self.fail_slow(config, slow_at, now),
            Some(_) => {}
            // The others that broke off together say nothing more.
            None if together && outcome != Outcome::failure(FailureKind::Timeout) => {}
            None => self.count(Call { at: now, failed, slow: false }),
        }
        let streak = self.streak.len() as u32 >= self.needed && self.streak.iter().any(|&r| r != self.streak[0]);
        let counts = self.counts(config, now, true);
        failed && (streak || (counts.calls >= 20 && wilson(counts.failures, counts.calls, Z_95).low >= 0.4))
    }

    fn add_slow(&mut self, config: &Config, request: u64, began: Time, now: Time) -> bool {
        self.count(Call { at: now, failed: false, slow: true });
        if began > self.answered {
            self.silent.push(request);
        }
        let counts = self.counts(config, now, true);
        let silent = self.silent.len() >= 5 && self.silent.iter().any(|&r| r != self.silent[0]);
        silent || counts.calls >= 20 && counts.slow * 5 >= counts.calls * 4
    }

    fn count(&mut self, call: Call) {
        self.history += 1;
        self.calls.push(call);
        self.recent.push(call);
    }

    fn fail_slow(&mut self, config: &Config, slow_at: Time, now: Time) {
        let failed = Call { at: now, failed: true, slow: false };
        let still_open = |c: &&mut Call| c.slow && !c.failed && c.at == slow_at;
        let in_window = |c: &&mut Call| bucket(config, c.at) + 10 > bucket(config, now);
        match self.calls.iter_mut().find(|c| still_open(c) && in_window(c)) {
            Some(call) => call.failed = true,
            None => self.calls.push(failed),
        }
        let last = self.recent.len().saturating_sub(30);
        match self.recent[last..].iter_mut().find(still_open) {
            Some(call) => call.failed = true,
            None => self.recent.push(failed),
        }
    }

    fn counts(&self, config: &Config, now: Time, only_recent: bool) -> Counts {
        let in_window = |c: &Call| bucket(config, c.at) + 10 > bucket(config, now);
        let window: Vec<Call> = self.calls.iter().copied().filter(in_window).collect();
        let oldest = if only_recent { now - config.window * 30 } else { Time::ZERO };
        let last = self.recent.iter().rev().take(30).copied().filter(|c| c.at >= oldest).collect();
        let judged: Vec<Call> = if window.len() >= 30 { window } else { last };
        Counts {
            calls: judged.len() as u64,
            failures: judged.iter().filter(|c| c.failed).count() as u64,
            slow: judged.iter().filter(|c| c.slow).count() as u64,
        }
    }
}

fn bucket(config: &Config, time: Time) -> u64 {
    time.as_nanos() / (config.window.as_nanos() as u64 / 10)
}

/// What the test knows of a call under way.
struct Held {
    ticket: Ticket,
    request: u64,
    began: Time,
    slow_at: Option<Time>,
}

/// Plays the inputs at `scale` times their pace; returns the phase after each.
fn play(inputs: &[Input], scale: u32) -> Vec<Phase> {
    let base = Config::default();
    let config = Config {
        window: base.window * scale,
        slow_after: Duration::MAX,
        open: base.open * scale,
        open_max: base.open_max * scale,
        lease: base.lease * scale,
        calm: base.calm * scale,
        ..base
    };
    let mut now = Time::from_secs(1_000_000 * u64::from(scale));
    let mut breaker = Breaker::new(config, 3, now);
    let mut held: Vec<Ticket> = Vec::new();
    let mut phases = Vec::new();
    for input in inputs {
        match *input {
            Input::Admit { request } => held.extend(breaker.handle_admit(request, now)),
            Input::End { which, outcome } if !held.is_empty() => {
                breaker.handle_outcome(held.remove(which % held.len()), outcome, now);
            }
            Input::Slow { which } if !held.is_empty() => {
                let which = which % held.len();
                breaker.handle_slow(&mut held[which], now);
            }
            Input::Lose { which } if !held.is_empty() => drop(held.remove(which % held.len())),
            Input::End { .. } | Input::Slow { .. } | Input::Lose { .. } => {}
            Input::Wait { ms } => now = now + Duration::from_millis(ms) * scale,
        }
        phases.push(breaker.phase());
    }
    phases
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// While closed, the machine trips exactly when the model does.
    #[test]
    fn closed_trips_when_the_model_does(inputs in prop::collection::vec(input(), 1..300)) {
        let config = Config { slow_after: Duration::MAX, ..Config::default() };
        let (mut breaker, mut model, mut now) = (Breaker::new(config.clone(), 3, START), Model { answered: START, ..Model::default() }, START);
        let mut held: Vec<Held> = Vec::new();
        for input in inputs {
            let mut trips = false;
            match input {
                Input::Admit { request } => {
                    let ticket = breaker.handle_admit(request, now).unwrap();
                    held.push(Held { ticket, request, began: now, slow_at: None });
                }
                Input::End { which, outcome } if !held.is_empty() => {
                    let call = held.remove(which % held.len());
                    let Held { ticket, request, began, slow_at } = call;
                    breaker.handle_outcome(ticket, outcome, now);
                    if !matches!(outcome, Outcome::Cancelled | Outcome::Caller { .. }) {
                        trips = model.add(&config, &Ending { request, began, outcome, slow_at }, now);
                    }
                }
                Input::Slow { which } if !held.is_empty() => {
                    let which = which % held.len();
                    if held[which].slow_at.is_none() {
                        held[which].slow_at = Some(now);
                        breaker.handle_slow(&mut held[which].ticket, now);
                        trips = model.add_slow(&config, held[which].request, held[which].began, now);
                    }
                }
                Input::Lose { which } if !held.is_empty() => drop(held.remove(which % held.len())),
                Input::End { .. } | Input::Slow { .. } | Input::Lose { .. } => {}
                Input::Wait { ms } => now = now + Duration::from_millis(ms % 900),
            }
            prop_assert_eq!(breaker.phase() == Phase::Open, trips, "{:?}", model.counts(&config, now, true));
            if trips {
                break;
            }
        }
    }

    /// Ten times slower traffic under ten times longer figures is the same traffic.
    #[test]
    fn ten_times_scaled_time_gives_the_same_decisions(inputs in prop::collection::vec(input(), 1..300)) {
        prop_assert_eq!(play(&inputs, 1), play(&inputs, 10));
    }

    /// Whatever happens, half-open calls stay within their number, and a breaker never stops asking its backend.
    #[test]
    fn permits_are_conserved(inputs in prop::collection::vec(input(), 1..300)) {
        let (mut breaker, mut now) = (Breaker::new(Config::default(), 3, START), START);
        let mut held: Vec<Ticket> = Vec::new();
        for input in inputs {
            match input {
                Input::Admit { request } => held.extend(breaker.handle_admit(request, now)),
                Input::End { which, outcome } if !held.is_empty() => {
                    breaker.handle_outcome(held.remove(which % held.len()), outcome, now);
                }
                Input::Slow { which } if !held.is_empty() => {
                    let which = which % held.len();
                    breaker.handle_slow(&mut held[which], now);
                }
                Input::Lose { which } if !held.is_empty() => drop(held.remove(which % held.len())),
                Input::End { .. } | Input::Slow { .. } | Input::Lose { .. } => {}
                Input::Wait { ms } => now = now + Duration::from_millis(ms),
            }
            let leased = |t: &&Ticket| t.is_probe() && now.since(t.admitted_at()) < Duration::from_secs(30);
            let probes = held.iter().filter(leased).filter(|t| t.generation() == breaker.generation()).count();
            let view = breaker.view(now);
            prop_assert!(probes <= view.probes as usize, "{probes} probes under way, {view:?}");
            prop_assert!(view.probes <= view.probes_allowed && view.probes_allowed <= 8, "{view:?}");
        }
        held.clear();
        prop_assert!(breaker.handle_admit(99, now + Duration::from_mins(1)).is_ok(), "stuck in {:?}", breaker.phase());
    }
}
