//! How long a run may take, and when its script is asked to end.

use std::time::Duration;

use crate::time::Time;

/// What was allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    /// Time at work over all attempts, whoever supervised them.
    pub total: Option<Duration>,
    /// Time of one attempt.
    pub attempt: Option<Duration>,
    /// By then nothing of the run is left.
    pub deadline: Option<Time>,
    /// From the request to end until the kill.
    pub grace: Duration,
}

/// Which time is up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// That of the run.
    Total,
    /// That of the attempt: another one may follow.
    Attempt,
    /// That of the clock.
    Deadline,
}

impl Limit {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Limit::Total => "the run's time is up",
            Limit::Attempt => "the attempt's time is up",
            Limit::Deadline => "the deadline is near",
        }
    }
}

impl Settings {
    /// When an attempt is asked to end, and why then: the earliest of all limits. A deadline leaves room for the grace.
    pub fn ends(&self, at_work: Duration, began: Time, now: Time) -> Option<(Time, Limit)> {
        let total = self.total.map(|most| (now + most.saturating_sub(at_work), Limit::Total));
        let attempt = self.attempt.map(|most| (began + most, Limit::Attempt));
        let deadline = self.deadline.map(|at| (at - self.grace, Limit::Deadline));
        [total, deadline, attempt].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Whether the run's own time is up.
    pub fn is_over(&self, at_work: Duration, now: Time) -> bool {
        let run = Settings { attempt: None, ..*self };
        run.ends(at_work, now, now).is_some_and(|(at, _)| now >= at)
    }

    /// How long before the end a checkpoint is asked for: twice as long as one has taken so far, or the grace where none
    /// was seen; at most half of what the shortest limit allows.
    pub fn lead(&self, longest_save: Option<Duration>) -> Duration {
        let wanted = longest_save.map_or(self.grace, |save| 2 * save + Duration::from_secs(1));
        let shortest = [self.total, self.attempt].into_iter().flatten().min();
        shortest.map_or(wanted, |most| wanted.min(most / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_limit_ends_an_attempt() {
        let (at, secs) = (Time::from_secs, Duration::from_secs);
        let all =
            Settings { total: Some(secs(100)), attempt: Some(secs(50)), deadline: Some(at(1000)), grace: secs(30) };
        assert_eq!(all.ends(secs(0), at(10), at(10)), Some((at(60), Limit::Attempt)));
        assert_eq!(all.ends(secs(80), at(10), at(10)), Some((at(30), Limit::Total)));
        assert_eq!(all.ends(secs(0), at(960), at(960)), Some((at(970), Limit::Deadline)));
        assert_eq!(Settings::default().ends(secs(1 << 40), at(0), at(1 << 30)), None);
        assert!(!all.is_over(secs(99), at(60)), "an attempt's time is not the run's");
        assert!(all.is_over(secs(100), at(60)) && all.is_over(secs(0), at(970)));
    }

    #[test]
    fn a_checkpoint_is_asked_for_in_time() {
        let secs = Duration::from_secs;
        let settings = Settings { grace: secs(30), ..Settings::default() };
        assert_eq!((settings.lead(None), settings.lead(Some(secs(60)))), (secs(30), secs(121)));
        assert_eq!(Settings { attempt: Some(secs(20)), ..settings }.lead(None), secs(10));
    }
}
