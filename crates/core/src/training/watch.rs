//! Whether a run moves. A heartbeat proves nothing: a thread that beats while the loop is stuck is a hang all the same.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::Time;

/// Bounds of what is learned about a phase.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// The longest pause that is allowed before anything is known.
    pub first: Duration,
    /// Never less than this.
    pub least: Duration,
    /// Never more than this.
    pub most: Duration,
    /// The longest pause seen, times this.
    pub factor: u32,
}

impl Default for Bounds {
    /// 30 minutes at first, then five times the longest pause seen, between 30 s and 2 h.
    fn default() -> Bounds {
        Bounds {
            first: Duration::from_mins(30),
            least: Duration::from_secs(30),
            most: Duration::from_hours(2),
            factor: 5,
        }
    }
}

/// Names of phases that are remembered; more share the last one's bounds.
const PHASES_MAX: usize = 32;

/// Watches one attempt after another; what was learned stays.
///
/// ```
/// use std::time::Duration;
/// use mainstay_core::time::Time;
/// use mainstay_core::training::watch::{Bounds, Watch};
///
/// let mut watch = Watch::new(Bounds { least: Duration::from_secs(1), ..Bounds::default() });
/// let at = |seconds| Time::from_secs(1_000 + seconds);
/// watch.handle_started(at(0));
/// for second in 1..=10 {
///     watch.handle_progress(second, at(second));
/// }
/// assert_eq!(watch.due(), Some(at(15)), "five times the longest step");
/// watch.handle_progress(10, at(14));
/// assert_eq!(watch.due(), Some(at(15)), "the same step again is no progress");
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Watch {
    bounds: Bounds,
    longest: BTreeMap<String, Duration>,
    phase: String,
    budget: Option<Duration>,
    since: Option<Time>,
    step: u64,
}

/// The phase of an attempt that has said nothing.
pub const INIT: &str = "init";
/// The phase in which steps are made.
pub const STEP: &str = "step";

impl Watch {
    /// Nothing learned.
    pub fn new(bounds: Bounds) -> Watch {
        Watch { bounds, longest: BTreeMap::new(), phase: INIT.to_owned(), budget: None, since: None, step: 0 }
    }

    /// An attempt started.
    pub fn handle_started(&mut self, now: Time) {
        INIT.clone_into(&mut self.phase);
        self.budget = None;
        self.step = 0;
        self.since = Some(now);
    }

    /// The attempt ended: nothing is watched.
    pub fn handle_ended(&mut self) {
        self.since = None;
    }

    /// The attempt says where it is. Only another step, or the first one, is progress.
    pub fn handle_progress(&mut self, step: u64, now: Time) {
        if self.phase != STEP {
            self.learn(now);
            STEP.clone_into(&mut self.phase);
            self.budget = None;
        } else if step == self.step {
            return;
        } else {
            self.learn(now);
        }
        self.step = step;
        self.since = Some(now);
    }

    /// The attempt enters a phase; `budget` is how long it says that takes.
    pub fn handle_phase(&mut self, name: &str, budget: Option<Duration>, now: Time) {
        if name == self.phase {
            return;
        }
        self.learn(now);
        name.clone_into(&mut self.phase);
        self.budget = budget;
        self.since = Some(now);
    }

    /// The phase that it is in.
    pub fn phase(&self) -> &str {
        &self.phase
    }

    /// From when on it hangs.
    pub fn due(&self) -> Option<Time> {
        Some(self.since? + self.allowed())
    }

    /// How long it hangs at `now`, or `None`.
    pub fn hangs(&self, now: Time) -> Option<Duration> {
        let since = self.since?;
        (now >= since + self.allowed()).then(|| now.since(since))
    }

    fn allowed(&self) -> Duration {
        if let Some(budget) = self.budget {
            return budget.saturating_mul(2).clamp(self.bounds.least, self.bounds.most);
        }
        let learned = self.longest.get(&self.phase).map(|longest| longest.saturating_mul(self.bounds.factor));
        learned.map_or(self.bounds.first, |learned| learned.max(self.bounds.least)).min(self.bounds.most)
    }

    fn learn(&mut self, now: Time) {
        let Some(since) = self.since else { return };
        let took = now.since(since);
        if self.longest.len() < PHASES_MAX || self.longest.contains_key(&self.phase) {
            let longest = self.longest.entry(self.phase.clone()).or_default();
            *longest = took.max(*longest);
        }
    }
}
