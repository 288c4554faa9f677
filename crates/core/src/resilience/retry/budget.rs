//! How much may be done again: a share of what was admitted.

use crate::time::Time;
use std::time::Duration;

/// Buckets in the sliding window.
const BUCKETS: usize = 10;

/// How much extra work a backend or a service accepts.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetConfig {
    /// Extra cost per admitted cost. Default 0.1.
    pub share: f64,
    /// Extra cost per second whatever was admitted, so that a quiet service can retry at all. Default 1.
    pub floor_per_s: f64,
    /// How far back both are added up. Default 10 s.
    pub window: Duration,
    /// The weight of a retry after a timeout, which held a place for long without an answer. Default 2.
    pub timeout_weight: f64,
}

impl Default for BudgetConfig {
    fn default() -> BudgetConfig {
        BudgetConfig { share: 0.1, floor_per_s: 1.0, window: Duration::from_secs(10), timeout_weight: 2.0 }
    }
}

/// A budget of extra work, in cost, over a sliding window. All hops and levels of a request and its hedges share one.
///
/// Within any window the extra cost is at most `share` of the admitted cost plus the floor, so retries can amplify a
/// total outage to 1.1 times the load at most, where three attempts without a budget triple it.
///
/// ```
/// use mainstay_core::resilience::retry::{BudgetConfig, RetryBudget};
/// use mainstay_core::time::Time;
///
/// let now = Time::from_secs(100);
/// let mut budget = RetryBudget::new(BudgetConfig::default(), now);
/// for _ in 0..1000 {
///     budget.handle_admitted(1.0, now);
/// }
/// let granted = (0..1000).filter(|_| budget.handle_retry(1.0, now)).count();
/// assert_eq!(granted, 110);
/// ```
#[derive(Clone, Debug)]
pub struct RetryBudget {
    config: BudgetConfig,
    bucket_nanos: u64,
    newest: u64,
    buckets: [Bucket; BUCKETS],
    sum: Bucket,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// Thousandths of cost: sums of whole numbers do not drift.
    admitted: u64,
    spent: u64,
}

impl RetryBudget {
    /// A full budget: the floor of one window.
    pub fn new(config: BudgetConfig, now: Time) -> RetryBudget {
        let bucket_nanos = (u64::try_from(config.window.as_nanos()).unwrap_or(u64::MAX) / BUCKETS as u64).max(1);
        RetryBudget {
            config,
            bucket_nanos,
            newest: now.as_nanos() / bucket_nanos,
            buckets: [Bucket::default(); BUCKETS],
            sum: Bucket::default(),
        }
    }

    /// A request of this cost was admitted for the first time.
    pub fn handle_admitted(&mut self, cost: f64, now: Time) {
        self.roll(now);
        let cost = thousandths(cost);
        self.newest_bucket().admitted += cost;
        self.sum.admitted += cost;
    }

    /// Asks for a retry or a hedge of this cost; spends it if it is granted.
    pub fn handle_retry(&mut self, cost: f64, now: Time) -> bool {
        self.roll(now);
        let cost = thousandths(cost);
        if self.sum.spent + cost > self.allowed() {
            return false;
        }
        self.newest_bucket().spent += cost;
        self.sum.spent += cost;
        true
    }

    /// A caller that was turned away asks whether to come back; spends one request's cost if it is granted.
    ///
    /// The floor does not come on top of the share here: many callers that are turned away at once would all be told to come back by it.
    pub fn handle_callers_retry(&mut self, now: Time) -> bool {
        self.roll(now);
        let cost = thousandths(1.0);
        if self.sum.spent + cost > self.share().max(self.floor()) {
            return false;
        }
        self.newest_bucket().spent += cost;
        self.sum.spent += cost;
        true
    }

    /// As [`RetryBudget::handle_retry`], after a timeout.
    pub fn handle_retry_after_timeout(&mut self, cost: f64, now: Time) -> bool {
        self.handle_retry(cost * self.config.timeout_weight, now)
    }

    /// The cost that would be granted at this moment.
    pub fn available(&mut self, now: Time) -> f64 {
        self.roll(now);
        self.allowed().saturating_sub(self.sum.spent) as f64 / 1e3
    }

    fn allowed(&self) -> u64 {
        self.share() + self.floor()
    }

    fn share(&self) -> u64 {
        (self.config.share * self.sum.admitted as f64) as u64
    }

    fn floor(&self) -> u64 {
        thousandths(self.config.floor_per_s * self.config.window.as_secs_f64())
    }

    fn newest_bucket(&mut self) -> &mut Bucket {
        &mut self.buckets[(self.newest % BUCKETS as u64) as usize]
    }

    fn roll(&mut self, now: Time) {
        let bucket = now.as_nanos() / self.bucket_nanos;
        if bucket <= self.newest {
            return;
        }
        for passed in 1..=(bucket - self.newest).min(BUCKETS as u64) {
            let old = std::mem::take(&mut self.buckets[((self.newest + passed) % BUCKETS as u64) as usize]);
            self.sum.admitted -= old.admitted;
            self.sum.spent -= old.spent;
        }
        self.newest = bucket;
    }
}

/// Negative and undefined costs count nothing.
fn thousandths(cost: f64) -> u64 {
    (cost * 1e3) as u64
}
