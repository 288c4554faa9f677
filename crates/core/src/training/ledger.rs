//! Where the time of a run went: every second of wall time in exactly one bucket.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// What a second was spent on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bucket {
    /// Steps that are kept.
    Productive,
    /// Steps that were lost, or made again.
    Discarded,
    /// Starting: until the first step.
    Startup,
    /// Saving, while steps wait.
    Saving,
    /// Evaluating.
    Eval,
    /// Not moving, until it was noticed.
    Hang,
    /// Ending.
    Shutdown,
    /// Waiting before an attempt.
    Backoff,
    /// Gates.
    Gate,
    /// The script ran and nobody was watching.
    Unknown,
    /// Nothing of the run ran: between two supervisors.
    Away,
}

impl Bucket {
    /// Every bucket.
    pub const ALL: [Bucket; 11] = [
        Bucket::Productive,
        Bucket::Discarded,
        Bucket::Startup,
        Bucket::Saving,
        Bucket::Eval,
        Bucket::Hang,
        Bucket::Shutdown,
        Bucket::Backoff,
        Bucket::Gate,
        Bucket::Unknown,
        Bucket::Away,
    ];

    /// The word in `status.json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Bucket::Productive => "productive",
            Bucket::Discarded => "discarded",
            Bucket::Startup => "startup",
            Bucket::Saving => "saving",
            Bucket::Eval => "eval",
            Bucket::Hang => "hang",
            Bucket::Shutdown => "shutdown",
            Bucket::Backoff => "backoff",
            Bucket::Gate => "gate",
            Bucket::Unknown => "unknown",
            Bucket::Away => "away",
        }
    }
}

const PRIOR: Duration = Duration::from_mins(1);

/// Books time. The sum of all buckets is the time since the start, always.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ledger {
    start: Time,
    at: Time,
    current: Bucket,
    spent: [Duration; Bucket::ALL.len()],
    /// Productive time since the last checkpoint that is kept.
    at_risk: Duration,
    failures: u32,
    lost_steps: u64,
}

impl Ledger {
    /// Starts booking.
    pub fn new(now: Time) -> Ledger {
        let spent = [Duration::ZERO; Bucket::ALL.len()];
        Ledger {
            start: now,
            at: now,
            current: Bucket::Startup,
            spent,
            at_risk: Duration::ZERO,
            failures: 0,
            lost_steps: 0,
        }
    }

    /// From now on time goes into another bucket.
    pub fn switch(&mut self, bucket: Bucket, now: Time) {
        self.settle(now);
        self.current = bucket;
    }

    /// Another supervisor took over, and books from now on. The script ran meanwhile, or nothing did.
    pub fn handle_return(&mut self, ran: bool, now: Time) {
        self.switch(if ran { Bucket::Unknown } else { Bucket::Away }, self.at);
        self.switch(Bucket::Startup, now);
    }

    /// What was productive until now is kept: there is a checkpoint.
    pub fn handle_kept(&mut self, now: Time) {
        self.settle(now);
        self.at_risk = Duration::ZERO;
    }

    /// An attempt ended; what was productive since the last checkpoint is discarded, and `steps` with it.
    pub fn handle_lost(&mut self, steps: u64, failed: bool, now: Time) {
        self.settle(now);
        let at_risk = std::mem::take(&mut self.at_risk);
        self.rebook(Bucket::Productive, Bucket::Discarded, at_risk);
        self.lost_steps += steps;
        self.failures += u32::from(failed);
    }

    /// Steps waited for the last `duration` because of a save.
    pub fn handle_blocked(&mut self, duration: Duration, now: Time) {
        self.settle(now);
        if self.current == Bucket::Productive {
            let moved = duration.min(self.at_risk);
            self.at_risk -= moved;
            self.rebook(Bucket::Productive, Bucket::Saving, moved);
        }
    }

    /// The last `duration` was a hang.
    pub fn handle_hang(&mut self, duration: Duration, now: Time) {
        self.settle(now);
        if self.current == Bucket::Productive {
            self.at_risk = self.at_risk.saturating_sub(duration);
        }
        self.rebook(self.current, Bucket::Hang, duration);
    }

    /// Time in a bucket, until the last input.
    pub fn spent(&self, bucket: Bucket) -> Duration {
        self.spent[bucket as usize]
    }

    /// Time since the start, until the last input.
    pub fn wall(&self) -> Duration {
        self.at.since(self.start)
    }

    /// Time until now that the run was at work, or waited to be: all but what passed while nothing of it ran.
    pub fn at_work(&self, now: Time) -> Duration {
        now.max(self.at).since(self.start).saturating_sub(self.spent(Bucket::Away))
    }

    /// Share of the time that went into steps that are kept.
    pub fn goodput(&self) -> f64 {
        let wall = self.wall().as_secs_f64();
        if wall > 0.0 { self.spent(Bucket::Productive).as_secs_f64() / wall } else { 0.0 }
    }

    /// Share of the time to come that may go into steps that are kept: as it was so far, with a minute of the best added, so that a
    /// start weighs little once it is over.
    pub fn expected_goodput(&self) -> f64 {
        let (kept, worked) = (self.spent(Bucket::Productive) + PRIOR, self.at_work(self.at) + PRIOR);
        kept.as_secs_f64() / worked.as_secs_f64()
    }

    /// Mean time between failures; `None`: there was none.
    pub fn mtbf(&self) -> Option<Duration> {
        (self.failures > 0).then(|| self.at_work(self.at) / self.failures)
    }

    /// Attempts that failed.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Steps that were made and lost.
    pub const fn lost_steps(&self) -> u64 {
        self.lost_steps
    }

    /// Books until now.
    pub fn settle(&mut self, now: Time) {
        let passed = now.since(self.at);
        self.spent[self.current as usize] += passed;
        if self.current == Bucket::Productive {
            self.at_risk += passed;
        }
        self.at = self.at.max(now);
    }

    fn rebook(&mut self, from: Bucket, to: Bucket, amount: Duration) {
        let amount = amount.min(self.spent[from as usize]);
        self.spent[from as usize] -= amount;
        self.spent[to as usize] += amount;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_crash_loses_is_no_longer_productive() {
        let at = Time::from_secs;
        let mut ledger = Ledger::new(at(0));
        ledger.switch(Bucket::Productive, at(10));
        ledger.handle_kept(at(40));
        ledger.handle_lost(7, true, at(60));
        assert_eq!(ledger.spent(Bucket::Productive), Duration::from_secs(30));
        assert_eq!(ledger.spent(Bucket::Discarded), Duration::from_secs(20));
        assert_eq!(ledger.goodput(), 0.5);
        assert_eq!((ledger.lost_steps(), ledger.mtbf()), (7, Some(Duration::from_mins(1))));
    }

    #[test]
    fn time_in_which_nothing_ran_is_no_work_and_the_books_go_on_in_the_next_supervisor() {
        let at = Time::from_secs;
        let mut ledger = Ledger::new(at(0));
        ledger.switch(Bucket::Productive, at(10));
        ledger.settle(at(40));
        for (ran, back, at_work) in [(false, 1_000, 40), (true, 1_100, 140)] {
            ledger = serde_json::from_str(&serde_json::to_string(&ledger).unwrap()).unwrap();
            ledger.handle_return(ran, at(back));
            assert_eq!(ledger.at_work(at(back)), Duration::from_secs(at_work));
        }
        assert_eq!(ledger.spent(Bucket::Productive), Duration::from_secs(30));
        assert_eq!(ledger.wall(), Duration::from_secs(1_100));
    }

    proptest! {
        #[test]
        fn the_buckets_sum_to_the_wall_time(inputs in prop::collection::vec((0usize..17, 0u64..1000), 0..200)) {
            let mut now = 0;
            let mut ledger = Ledger::new(Time::ZERO);
            for (what, passed) in inputs {
                // Now and then a clock goes back.
                now = if what == 14 { now / 2 } else { now + passed };
                let at = Time::from_millis(now);
                match what {
                    11 => ledger.handle_kept(at),
                    12 => ledger.handle_lost(passed, true, at),
                    13 => ledger.handle_hang(Duration::from_millis(passed), at),
                    14 => ledger.settle(at),
                    15 => ledger.handle_blocked(Duration::from_millis(passed), at),
                    16 => ledger.handle_return(passed % 2 == 0, at),
                    bucket => ledger.switch(Bucket::ALL[bucket], at),
                }
                let sum: Duration = Bucket::ALL.into_iter().map(|bucket| ledger.spent(bucket)).sum();
                prop_assert_eq!(sum, ledger.wall());
            }
        }
    }
}
