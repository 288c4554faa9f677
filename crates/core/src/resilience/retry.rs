//! Whether an attempt is made again, and when.
//!
//! A retry needs all of: an outcome that may end otherwise, an attempt left, time before the deadline, and room in the
//! [`RetryBudget`]. The wait is drawn at random up to a bound that doubles ("full jitter"); a wait that the backend
//! asked for wins over it.

mod budget;

pub use budget::{BudgetConfig, RetryBudget};

use crate::resilience::deadline::Deadline;
use crate::resilience::outcome::{FailureKind, Outcome};
use crate::rng::Rng;
use crate::time::Time;
use std::time::Duration;

/// How often and how fast attempts are repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Attempts in all, the first included. Default 3.
    pub attempts: u32,
    /// The bound of the first wait. Default 50 ms.
    pub backoff: Duration,
    /// The bound that waits grow to. Default 5 s.
    pub backoff_max: Duration,
    /// An attempt is pointless when less time than this would be left for it. Default 10 ms.
    pub attempt_min: Duration,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            attempts: 3,
            backoff: Duration::from_millis(50),
            backoff_max: Duration::from_secs(5),
            attempt_min: Duration::from_millis(10),
        }
    }
}

/// What to do after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Make another attempt at that time.
    Retry {
        /// When.
        at: Time,
    },
    /// Answer with what there is.
    Stop(Stop),
}

/// Why no further attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It would end the same way, or it went well.
    Final,
    /// All attempts were made.
    Attempts,
    /// It could not end before the deadline.
    Deadline,
    /// The budget is spent.
    Budget,
}

/// The attempts of one request. The request keeps it over all its levels, so that they do not multiply.
///
/// ```
/// use mainstay_core::resilience::deadline::Deadline;
/// use mainstay_core::resilience::outcome::{FailureKind, Outcome};
/// use mainstay_core::resilience::retry::{BudgetConfig, Decision, Policy, Retry, RetryBudget};
/// use mainstay_core::time::Time;
///
/// let now = Time::from_secs(100);
/// let mut budget = RetryBudget::new(BudgetConfig::default(), now);
/// let mut retry = Retry::new(Policy::default(), 1.0, 7);
/// let refused = Outcome::failure(FailureKind::Transport);
/// assert!(matches!(retry.handle_outcome(refused, Deadline::NEVER, &mut budget, now), Decision::Retry { .. }));
/// ```
#[derive(Clone, Debug)]
pub struct Retry {
    policy: Policy,
    cost: f64,
    attempts: u32,
    rng: Rng,
}

impl Retry {
    /// Before the first attempt of a request of that cost; `seed` decides the jitter.
    pub const fn new(policy: Policy, cost: f64, seed: u64) -> Retry {
        Retry { policy, cost, attempts: 0, rng: Rng::new(seed) }
    }

    /// An attempt has ended.
    pub fn handle_outcome(
        &mut self,
        outcome: Outcome,
        deadline: Deadline,
        budget: &mut RetryBudget,
        now: Time,
    ) -> Decision {
        self.attempts += 1;
        if !outcome.is_retryable() {
            return Decision::Stop(Stop::Final);
        }
        if self.attempts >= self.policy.attempts {
            return Decision::Stop(Stop::Attempts);
        }
        let at = now + outcome.retry_after().unwrap_or_else(|| self.wait());
        if at + self.policy.attempt_min > deadline.at {
            return Decision::Stop(Stop::Deadline);
        }
        if self.is_granted(outcome, budget, now) { Decision::Retry { at } } else { Decision::Stop(Stop::Budget) }
    }

    /// Attempts that have ended.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Uniform up to `backoff * 2^(attempts - 1)`, capped.
    fn wait(&mut self) -> Duration {
        let doublings = (self.attempts - 1).min(31);
        let bound = self.policy.backoff.saturating_mul(1 << doublings).min(self.policy.backoff_max);
        bound.mul_f64(self.rng.unit())
    }

    fn is_granted(&self, outcome: Outcome, budget: &mut RetryBudget, now: Time) -> bool {
        if matches!(outcome, Outcome::Failure { kind: FailureKind::Timeout, .. }) {
            budget.handle_retry_after_timeout(self.cost, now)
        } else {
            budget.handle_retry(self.cost, now)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time::from_secs(1_000);

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_total_outage_is_amplified_by_a_tenth_at_most() {
        let mut budget = RetryBudget::new(BudgetConfig::default(), START);
        let (mut first, mut again) = (0u32, 0u32);
        for i in 0..60_000u64 {
            let now = START + ms(i);
            budget.handle_admitted(1.0, now);
            first += 1;
            let mut retry = Retry::new(Policy::default(), 1.0, i);
            let refused = Outcome::failure(FailureKind::Transport);
            while let Decision::Retry { .. } = retry.handle_outcome(refused, Deadline::NEVER, &mut budget, now) {
                again += 1;
            }
        }
        // A tenth, the floor of 1/s over 60 s, and one window's head start.
        assert!(again <= first / 10 + 60 + 20, "{again} retries of {first} calls");
        assert!(again >= first / 10, "{again} retries of {first} calls");
    }

    #[test]
    fn timeouts_cost_twice_and_the_window_forgets() {
        let mut budget = RetryBudget::new(BudgetConfig::default(), START);
        let timeout = Outcome::failure(FailureKind::Timeout);
        let granted = |budget: &mut RetryBudget, now| {
            (0..100)
                .filter(|&i| {
                    let mut retry = Retry::new(Policy::default(), 1.0, i);
                    matches!(retry.handle_outcome(timeout, Deadline::NEVER, budget, now), Decision::Retry { .. })
                })
                .count()
        };
        assert_eq!(granted(&mut budget, START), 5);
        assert_eq!(granted(&mut budget, START + ms(5_000)), 0);
        assert_eq!(granted(&mut budget, START + ms(10_000)), 5);
    }

    #[test]
    fn waits_are_spread_bounded_and_give_way_to_the_backends_wish() {
        let mut budget = RetryBudget::new(BudgetConfig { floor_per_s: 1e6, ..BudgetConfig::default() }, START);
        let policy = Policy { attempts: 12, ..Policy::default() };
        let mut longest = Duration::ZERO;
        for seed in 0..200 {
            let mut retry = Retry::new(policy.clone(), 1.0, seed);
            for attempt in 0..11u32 {
                let refused = Outcome::failure(FailureKind::Server);
                let Decision::Retry { at } = retry.handle_outcome(refused, Deadline::NEVER, &mut budget, START) else {
                    panic!("attempt {attempt} was the last");
                };
                assert!(at.since(START) <= ms(50 << attempt).min(ms(5_000)));
                longest = longest.max(at.since(START));
            }
        }
        assert!(longest > ms(4_900));
        let wish = Outcome::Throttled { retry_after: Some(ms(7_000)) };
        let mut ask = |deadline| Retry::new(policy.clone(), 1.0, 1).handle_outcome(wish, deadline, &mut budget, START);
        assert_eq!(ask(Deadline::NEVER), Decision::Retry { at: START + ms(7_000) });
        assert_eq!(ask(Deadline::after(ms(7_000), START)), Decision::Stop(Stop::Deadline));
    }

    #[test]
    fn only_outcomes_that_may_end_otherwise_are_tried_again() {
        let again = |outcome| {
            let mut budget = RetryBudget::new(BudgetConfig::default(), START);
            let mut retry = Retry::new(Policy::default(), 1.0, 1);
            retry.handle_outcome(outcome, Deadline::NEVER, &mut budget, START) != Decision::Stop(Stop::Final)
        };
        let statuses: Vec<u16> =
            (100..600).filter(|&status| again(Outcome::from_status(status, None))).take(6).collect();
        assert_eq!(statuses, [408, 409, 425, 429, 500, 501]);
        assert!(!again(Outcome::failure(FailureKind::BrokenStream)));
        assert!(!again(Outcome::Cancelled));
    }
}
