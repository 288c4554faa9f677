//! What a breaker remembers of its calls: ten exact time buckets, and the last thirty calls for slow traffic.

use crate::time::Time;
use std::time::Duration;

/// Buckets in a window.
const BUCKETS: u64 = 10;
/// How many calls are judged when the window holds fewer. With 20, a backend that fails 20 % of the time and is
/// called once a second would be cut off about 0.6 times a day; with 30, about 0.07 times.
pub(super) const RECENT: usize = 30;
/// The last calls are judged only if they are not older than this many windows.
pub(super) const RECENT_WINDOWS: u32 = 30;

/// Calls and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls that ended, or became slow.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// Those that were slow.
    pub slow: u64,
}

impl Counts {
    fn add(&mut self, other: Counts) {
        self.calls += other.calls;
        self.failures += other.failures;
        self.slow += other.slow;
    }

    fn subtract(&mut self, other: Counts) {
        self.calls -= other.calls;
        self.failures -= other.failures;
        self.slow -= other.slow;
    }
}

/// One of the last calls.
#[derive(Clone, Copy, Debug, Default)]
struct Call {
    at: Time,
    failed: bool,
    slow: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Window {
    bucket_nanos: u64,
    /// Number of the newest bucket since the epoch of time.
    newest: u64,
    buckets: [Counts; BUCKETS as usize],
    sum: Counts,
    recent: [Call; RECENT],
    recent_len: usize,
    recent_next: usize,
}

impl Window {
    pub(super) fn new(length: Duration, now: Time) -> Window {
        let bucket_nanos = (u64::try_from(length.as_nanos()).unwrap_or(u64::MAX) / BUCKETS).max(1);
        Window {
            bucket_nanos,
            newest: now.as_nanos() / bucket_nanos,
            buckets: [Counts::default(); BUCKETS as usize],
            sum: Counts::default(),
            recent: [Call::default(); RECENT],
            recent_len: 0,
            recent_next: 0,
        }
    }

    /// `n` calls that ended well and in time.
    pub(super) fn add_successes(&mut self, n: u64, now: Time) {
        self.add(Counts { calls: n, ..Counts::default() }, now);
        for _ in 0..n.min(RECENT as u64) {
            self.push(Call { at: now, failed: false, slow: false });
        }
    }

    /// A call that failed.
    pub(super) fn add_failure(&mut self, now: Time) {
        self.add(Counts { calls: 1, failures: 1, slow: 0 }, now);
        self.push(Call { at: now, failed: true, slow: false });
    }

    /// A call that became slow; it may still be under way.
    pub(super) fn add_slow(&mut self, now: Time) {
        self.add(Counts { calls: 1, failures: 0, slow: 1 }, now);
        self.push(Call { at: now, failed: false, slow: true });
    }

    /// The call that became slow at `slow_at` has failed: marks it where it is counted, so that it stays one call.
    /// Where it has left the window it is a call of this moment.
    pub(super) fn fail_slow(&mut self, slow_at: Time, now: Time) {
        self.roll(now);
        let bucket = slow_at.as_nanos() / self.bucket_nanos;
        if bucket + BUCKETS > self.newest && bucket <= self.newest {
            self.buckets[(bucket % BUCKETS) as usize].failures += 1;
            self.sum.failures += 1;
        } else {
            self.add(Counts { calls: 1, failures: 1, slow: 0 }, now);
        }
        // Of several that became slow in the same moment the oldest is marked.
        let (newer, older) = self.recent[..self.recent_len].split_at_mut(self.recent_next.min(self.recent_len));
        let marked = older.iter_mut().chain(newer).find(|c| c.slow && !c.failed && c.at == slow_at);
        match marked {
            Some(call) => call.failed = true,
            None => self.push(Call { at: now, failed: true, slow: false }),
        }
    }

    /// The calls to judge by: those of the window, or the last thirty where it holds fewer.
    pub(super) fn judged(&mut self, now: Time) -> Counts {
        self.roll(now);
        if self.sum.calls >= RECENT as u64 {
            return self.sum;
        }
        let age_max = self.bucket_nanos.saturating_mul(BUCKETS * u64::from(RECENT_WINDOWS));
        self.last(now - Duration::from_nanos(age_max))
    }

    /// What is known of the backend in general: as [`Window::judged`], however old the last calls are.
    pub(super) fn known(&mut self, now: Time) -> Counts {
        self.roll(now);
        if self.sum.calls >= RECENT as u64 { self.sum } else { self.last(Time::ZERO) }
    }

    fn last(&self, oldest: Time) -> Counts {
        let mut counts = Counts::default();
        for call in self.recent[..self.recent_len].iter().filter(|c| c.at >= oldest) {
            counts.add(Counts { calls: 1, failures: u64::from(call.failed), slow: u64::from(call.slow) });
        }
        counts
    }

    fn add(&mut self, counts: Counts, now: Time) {
        self.roll(now);
        self.buckets[(self.newest % BUCKETS) as usize].add(counts);
        self.sum.add(counts);
    }

    fn push(&mut self, call: Call) {
        self.recent[self.recent_next] = call;
        self.recent_next = (self.recent_next + 1) % RECENT;
        self.recent_len = (self.recent_len + 1).min(RECENT);
    }

    /// Empties the buckets that have left the window. Threads may report out of order by a little: a time before the
    /// newest bucket counts in the newest.
    fn roll(&mut self, now: Time) {
        let bucket = now.as_nanos() / self.bucket_nanos;
        if bucket <= self.newest {
            return;
        }
        for passed in 1..=(bucket - self.newest).min(BUCKETS) {
            let old = std::mem::take(&mut self.buckets[((self.newest + passed) % BUCKETS) as usize]);
            self.sum.subtract(old);
        }
        self.newest = bucket;
    }
}
