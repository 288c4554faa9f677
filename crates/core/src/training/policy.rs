//! Whether and when there is another attempt.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::class::Class;
use crate::rng::Rng;

/// How often is tried again.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Retries for crashes, and for each class that has no own number here.
    pub retries: u32,
    /// Attempts in a row without a newly verified checkpoint, of whatever class but preemption, after which the run ends.
    pub without_progress: u32,
    /// Preemptions in a row without a newly verified checkpoint.
    pub preemptions: u32,
    /// The first pause.
    pub backoff: Duration,
    /// The longest pause.
    pub backoff_max: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            retries: 3,
            without_progress: 5,
            preemptions: 100,
            backoff: Duration::from_secs(1),
            backoff_max: Duration::from_mins(5),
        }
    }
}

impl Settings {
    /// So many retries; without any progress the run ends no earlier than they are spent.
    pub fn with_retries(retries: u32) -> Settings {
        let usual = Settings::default();
        Settings { retries, without_progress: usual.without_progress.max(retries.saturating_add(1)), ..usual }
    }
}

/// What follows an attempt that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Another attempt after a pause.
    Retry(Duration),
    /// None; why.
    Stop(String),
}

/// Counts attempts. Only a newly verified checkpoint, further than any before, gives them back.
#[derive(Clone, Debug)]
pub struct Policy {
    settings: Settings,
    spent: Spent,
}

/// What is used of the budgets: all that a policy knows, to go on with in the next supervisor.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Spent {
    used: BTreeMap<Class, u32>,
    in_vain: u32,
    best: Option<u64>,
    oom_peaks: Vec<u64>,
}

impl Policy {
    /// With nothing used.
    pub fn new(settings: Settings) -> Policy {
        Policy::resume(settings, Spent::default())
    }

    /// Goes on with what was used before.
    pub const fn resume(settings: Settings, spent: Spent) -> Policy {
        Policy { settings, spent }
    }

    /// What is used.
    pub const fn spent(&self) -> &Spent {
        &self.spent
    }

    /// A checkpoint was verified. One that is not further than the best before proves no progress.
    pub fn handle_verified(&mut self, step: u64) {
        if self.spent.best.is_none_or(|best| step > best) {
            self.spent.best = Some(step);
            self.spent.used.clear();
            self.spent.in_vain = 0;
            self.spent.oom_peaks.clear();
        }
    }

    /// An attempt failed; `peak` is the memory that an [`Class::Oom`] had reached, in bytes.
    pub fn handle_failure(&mut self, class: Class, peak: u64, rng: &mut Rng) -> Verdict {
        let used = self.spent.used.entry(class).or_default();
        *used += 1;
        let used = *used;
        if class != Class::Preempted {
            self.spent.in_vain += 1;
        }
        let why = match class {
            Class::UserFatal => Some("the command itself is wrong; another attempt would end the same way".to_owned()),
            Class::Oom if self.same_peak(peak) => Some("out of memory twice at the same size".to_owned()),
            Class::Preempted if used > self.settings.preemptions => {
                Some(format!("preempted {used} times without a new checkpoint"))
            }
            Class::Preempted => None,
            _ if used > self.settings.retries => Some(format!("{}: {used} attempts failed", class.as_str())),
            _ if self.spent.in_vain >= self.settings.without_progress => {
                Some(format!("no_progress: {} attempts without a new checkpoint", self.spent.in_vain))
            }
            _ => None,
        };
        match why {
            Some(why) => Verdict::Stop(why),
            None if class == Class::Preempted => Verdict::Retry(Duration::ZERO),
            None => Verdict::Retry(self.pause(rng)),
        }
    }

    /// Exponential with full jitter, as in "Exponential Backoff And Jitter" (AWS, 2015).
    fn pause(&self, rng: &mut Rng) -> Duration {
        let doubled = self.settings.backoff.saturating_mul(1 << self.spent.in_vain.saturating_sub(1).min(20));
        doubled.min(self.settings.backoff_max).mul_f64(rng.unit())
    }

    /// Whether an out-of-memory before this one had reached the same size within 10 %.
    fn same_peak(&mut self, peak: u64) -> bool {
        let same = self.spent.oom_peaks.iter().any(|earlier| earlier.abs_diff(peak) <= peak / 10);
        self.spent.oom_peaks.push(peak);
        same
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> (Policy, Rng) {
        (Policy::new(Settings::default()), Rng::new(7))
    }

    fn stops(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Stop(_))
    }

    #[test]
    fn a_wrong_command_is_not_tried_again() {
        let (mut policy, mut rng) = policy();
        assert!(stops(&policy.handle_failure(Class::UserFatal, 0, &mut rng)));
    }

    #[test]
    fn only_a_checkpoint_further_than_all_before_gives_attempts_back() {
        let (mut policy, mut rng) = policy();
        for step in 1..50 {
            policy.handle_verified(step);
            assert!(!stops(&policy.handle_failure(Class::Crash, 0, &mut rng)));
        }
        let attempts = (0..).take_while(|_| {
            policy.handle_verified(10);
            !stops(&policy.handle_failure(Class::Crash, 0, &mut rng))
        });
        assert_eq!(attempts.count(), 2, "three retries, one of them used");
    }

    #[test]
    fn alternating_failures_without_progress_stop() {
        let (mut policy, mut rng) = policy();
        let classes = [Class::Crash, Class::Hang, Class::Storage, Class::Data, Class::Incomplete];
        let last = classes.map(|class| policy.handle_failure(class, 0, &mut rng));
        assert!(last[..4].iter().all(|verdict| !stops(verdict)));
        assert!(matches!(&last[4], Verdict::Stop(why) if why.starts_with("no_progress")));
    }

    #[test]
    fn what_was_used_counts_in_the_next_supervisor() {
        let (mut policy, mut rng) = policy();
        for _ in 0..3 {
            assert!(!stops(&policy.handle_failure(Class::Crash, 0, &mut rng)));
            let kept = serde_json::to_string(policy.spent()).unwrap();
            policy = Policy::resume(Settings::default(), serde_json::from_str(&kept).unwrap());
        }
        assert!(stops(&policy.handle_failure(Class::Crash, 0, &mut rng)));
    }

    #[test]
    fn fifty_preemptions_cost_nothing() {
        let (mut policy, mut rng) = policy();
        for _ in 0..50 {
            assert_eq!(policy.handle_failure(Class::Preempted, 0, &mut rng), Verdict::Retry(Duration::ZERO));
        }
        assert!(!stops(&policy.handle_failure(Class::Crash, 0, &mut rng)));
    }

    #[test]
    fn memory_that_ends_twice_at_the_same_size_stops() {
        let (mut policy, mut rng) = policy();
        assert!(!stops(&policy.handle_failure(Class::Oom, 1_000, &mut rng)));
        assert!(!stops(&policy.handle_failure(Class::Oom, 2_000, &mut rng)));
        assert!(stops(&policy.handle_failure(Class::Oom, 2_050, &mut rng)));
    }
}
