//! When a run may end, and how far it is.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Time;

/// Steps that were seen, for a rate that neither a save nor a restart bends.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    seen: VecDeque<(Time, u64)>,
}

/// Least time between two steps that are remembered.
const EVERY: Duration = Duration::from_millis(500);
/// Steps that are remembered.
const SEEN_MAX: usize = 128;

impl Pace {
    /// A new attempt; between attempts there is no pace.
    pub fn handle_start(&mut self) {
        self.seen.clear();
    }

    /// A step was told.
    pub fn handle_step(&mut self, step: u64, now: Time) {
        match self.seen.back() {
            Some((at, _)) if now.since(*at) < EVERY => return,
            Some((_, before)) if step < *before => self.seen.clear(),
            Some(_) | None => {}
        }
        self.seen.push_back((now, step));
        if self.seen.len() > SEEN_MAX {
            self.seen.pop_front();
        }
    }

    /// Steps per second: the median over the pieces that are remembered.
    pub fn rate(&self) -> Option<f64> {
        let pieces = self.seen.iter().zip(self.seen.iter().skip(1));
        let mut rates: Vec<f64> =
            pieces.map(|((from, a), (to, b))| (b - a) as f64 / to.since(*from).as_secs_f64()).collect();
        if rates.is_empty() {
            return None;
        }
        let middle = rates.len() / 2;
        Some(*rates.select_nth_unstable_by(middle, f64::total_cmp).1)
    }
}

/// Wall time until `total` steps are made at `rate` steps a second, when only a share `goodput` of wall time goes into steps
/// that are kept: restarts as there were so far are expected to go on.
pub fn remaining(step: u64, total: u64, rate: f64, goodput: f64) -> Option<Duration> {
    let left = total.saturating_sub(step) as f64;
    Duration::try_from_secs_f64(left / (rate * goodput)).ok()
}

/// Whole percent of the way. It never goes back, and 100 is for what is done.
pub fn percent(before: u8, step: u64, total: u64, done: bool) -> u8 {
    if done {
        return 100;
    }
    let now = u128::from(step) * 100 / u128::from(total.max(1));
    before.max(now.min(99) as u8)
}

/// What a line of progress says.
#[derive(Clone, Debug, Default)]
pub struct Line<'a> {
    /// What is trained.
    pub name: &'a str,
    /// Where it stands.
    pub state: &'a str,
    /// Whole percent.
    pub percent: Option<u8>,
    /// The last step.
    pub step: Option<u64>,
    /// All steps.
    pub total: Option<u64>,
    /// Steps per second.
    pub rate: Option<f64>,
    /// Wall time that is left.
    pub remaining: Option<Duration>,
    /// Times that the command was started.
    pub attempt: u32,
    /// Steps that were made and lost.
    pub lost: u64,
}

impl Line<'_> {
    /// The line, without its end.
    pub fn text(&self) -> String {
        let mut parts = vec![format!("{}: {}", self.name, self.state)];
        parts.extend(self.percent.map(|percent| format!("{percent} %")));
        parts.extend(self.step.map(|step| match self.total {
            Some(total) => format!("step {step} of {total}"),
            None => format!("step {step}"),
        }));
        parts.extend(self.rate.map(|rate| format!("{rate:.1} step/s")));
        parts.extend(self.remaining.map(|left| format!("{} left", rough(left))));
        if self.attempt > 1 {
            parts.push(format!("attempt {}", self.attempt));
        }
        if self.lost > 0 {
            parts.push(format!("{} steps lost", self.lost));
        }
        parts.join("  ")
    }
}

/// The two greatest units.
fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        (_, _, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_save_does_not_bend_the_rate_and_restarts_lengthen_what_is_left() {
        let mut pace = Pace::default();
        assert_eq!(pace.rate(), None);
        for second in 0..60 {
            // Every tenth second a save takes half a minute.
            pace.handle_step(10 * second, Time::from_secs(second + 30 * (second / 10)));
        }
        assert_eq!(pace.rate(), Some(10.0));
        assert_eq!(remaining(600, 1600, 10.0, 0.5), Some(Duration::from_secs(200)));
        assert_eq!(remaining(600, 1600, 0.0, 0.5), None);
        pace.handle_start();
        assert_eq!(pace.rate(), None);
    }

    #[test]
    fn the_line_says_what_matters() {
        let line = Line {
            name: "digits",
            state: "running",
            percent: Some(42),
            step: Some(840),
            total: Some(2000),
            rate: Some(118.24),
            remaining: Some(Duration::from_secs(3725)),
            attempt: 2,
            lost: 30,
        };
        assert_eq!(
            line.text(),
            "digits: running  42 %  step 840 of 2000  118.2 step/s  1 h 2 min left  attempt 2  30 steps lost"
        );
        assert_eq!(Line { name: "x", state: "starting", attempt: 1, ..Line::default() }.text(), "x: starting");
    }

    proptest! {
        #[test]
        fn percent_never_goes_back(steps in prop::collection::vec(0u64..2000, 1..50), total in 0u64..1500) {
            let mut last = 0;
            for step in steps {
                let now = percent(last, step, total, false);
                prop_assert!(now >= last && now <= 99);
                last = now;
            }
            prop_assert_eq!(percent(last, 0, total, true), 100);
        }
    }
}
