//! Whether a script moves.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::Time;

/// Bounds of what is learned.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Shorter waits are never called a hang.
    pub floor: Duration,
    /// Longer waits always are, and waits of a phase that nothing is known of.
    pub ceiling: Duration,
    /// How many times the longest wait seen so far a wait may last.
    pub factor: f64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { floor: Duration::from_secs(30), ceiling: Duration::from_mins(30), factor: 5.0 }
    }
}

/// Distinct phases that are remembered.
const PHASES_MAX: usize = 32;
/// Ranks that are looked after.
const RANKS_MAX: usize = 65_536;
/// Waits of a phase before its longest one says anything.
const SEEN_MIN: u32 = 5;

/// Looks at progress: the step or the phase changed. A heartbeat changes neither, and is not told to this.
#[derive(Clone, Debug)]
pub struct Watch {
    settings: Settings,
    learned: BTreeMap<String, (u32, Duration)>,
    phase: String,
    budget: Option<Duration>,
    step: Option<u64>,
    began: Time,
    moved: Time,
    ranks: BTreeMap<u64, Rank>,
}

/// A rank beyond the first: all that is asked of it is that it says something.
#[derive(Clone, Copy, Debug)]
struct Rank {
    seen: u32,
    longest: Duration,
    heard: Time,
}

impl Watch {
    /// Nothing learned yet.
    pub fn new(settings: Settings, now: Time) -> Watch {
        let phase = "start".to_owned();
        Watch {
            settings,
            learned: BTreeMap::new(),
            phase,
            budget: None,
            step: None,
            began: now,
            moved: now,
            ranks: BTreeMap::new(),
        }
    }

    /// How long phases took, to go on with in the next supervisor: how many waits were seen, and the longest.
    pub const fn learned(&self) -> &BTreeMap<String, (u32, Duration)> {
        &self.learned
    }

    /// Goes on with what was learned before.
    pub fn handle_learned(&mut self, learned: BTreeMap<String, (u32, Duration)>) {
        self.learned = learned.into_iter().take(PHASES_MAX).collect();
    }

    /// A new attempt; what was learned stays.
    pub fn handle_start(&mut self, now: Time) {
        "start".clone_into(&mut self.phase);
        (self.budget, self.step, self.began, self.moved) = (None, None, now, now);
        self.ranks.clear();
    }

    /// A step was told. The same step again is no progress.
    pub fn handle_step(&mut self, step: u64, now: Time) {
        if self.step == Some(step) {
            return;
        }
        if self.phase == "step" && self.step.is_some() {
            self.learn(now);
        }
        if self.phase == "start" {
            "step".clone_into(&mut self.phase);
        }
        (self.step, self.moved) = (Some(step), now);
    }

    /// A phase begins, with the time that the script gives it. The same phase again is no progress.
    pub fn handle_phase(&mut self, name: &str, budget: Option<Duration>, now: Time) {
        if self.phase == name {
            return;
        }
        if self.phase != "step" {
            self.learn(now);
        }
        name.clone_into(&mut self.phase);
        (self.budget, self.began, self.moved) = (budget, now, now);
        self.step = None;
    }

    /// When the wait of this moment becomes a hang.
    pub fn poll_timeout(&self) -> Time {
        let (seen, longest) = self.learned.get(&self.phase).copied().unwrap_or_default();
        let hang = self.moved + self.allowed(seen, longest);
        // A script that says how long a phase may last knows better, unless steps show how fast it goes.
        match self.budget {
            Some(budget) if self.step.is_none() => hang.max(self.began + budget),
            Some(_) | None => hang,
        }
    }

    /// A rank beyond the first said something.
    pub fn handle_rank(&mut self, rank: u64, now: Time) {
        let known = self.ranks.get(&rank).copied();
        if known.is_none() && self.ranks.len() >= RANKS_MAX {
            return;
        }
        let mut known = known.unwrap_or(Rank { seen: 0, longest: Duration::ZERO, heard: now });
        if self.is_stepping() {
            known.seen = known.seen.saturating_add(1);
            known.longest = known.longest.max(now.since(known.heard.max(self.began)));
        }
        known.heard = now;
        self.ranks.insert(rank, known);
    }

    /// A rank is done, or gone: what becomes of the others shows whether it was missed.
    pub fn handle_rank_gone(&mut self, rank: u64) {
        self.ranks.remove(&rank);
    }

    /// A rank that said nothing for too long, and for how long. While the first one evaluates, saves or loads, the others
    /// wait for it.
    pub fn silent(&self, now: Time) -> Option<(u64, Duration)> {
        let quiet = |rank: &Rank| now.since(rank.heard.max(self.began));
        let is_silent = |rank: &Rank| quiet(rank) >= self.allowed(rank.seen, rank.longest);
        let mut ranks = self.ranks.iter().filter(|_| self.is_stepping());
        ranks.find(|(_, rank)| is_silent(rank)).map(|(number, rank)| (*number, quiet(rank)))
    }

    fn is_stepping(&self) -> bool {
        matches!(self.phase.as_str(), "start" | "step")
    }

    fn allowed(&self, seen: u32, longest: Duration) -> Duration {
        let Settings { floor, ceiling, factor } = self.settings;
        let allowed = if seen >= SEEN_MIN { longest.mul_f64(factor) } else { ceiling };
        allowed.clamp(floor, ceiling.max(floor))
    }

    /// The phase and its budget, where the script gave it one and that is used up.
    pub fn overrun(&self, now: Time) -> Option<(&str, Duration)> {
        let budget = self.budget.filter(|budget| now >= self.began + *budget)?;
        Some((&self.phase, budget))
    }

    /// The phase, and how long nothing moved, where that is a hang.
    pub fn hang(&self, now: Time) -> Option<(&str, Duration)> {
        (now >= self.poll_timeout()).then(|| (self.phase.as_str(), now.since(self.moved)))
    }

    /// The phase of this moment.
    pub fn phase(&self) -> &str {
        &self.phase
    }

    fn learn(&mut self, now: Time) {
        if self.learned.len() >= PHASES_MAX && !self.learned.contains_key(&self.phase) {
            return;
        }
        let (seen, longest) = self.learned.entry(self.phase.clone()).or_default();
        *seen += 1;
        *longest = (*longest).max(now.since(self.moved));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Time {
        Time::from_secs(secs)
    }

    #[test]
    fn the_same_step_again_is_no_progress() {
        let mut watch = Watch::new(Settings::default(), at(0));
        for second in 1..100 {
            watch.handle_step(second, at(second));
        }
        for second in 100..129 {
            watch.handle_step(99, at(second));
            assert_eq!(watch.hang(at(second)), None);
        }
        assert_eq!(watch.hang(at(129)), Some(("step", Duration::from_secs(30))));
    }

    #[test]
    fn a_long_evaluation_is_no_hang() {
        let mut watch = Watch::new(Settings::default(), at(0));
        for second in 1..100 {
            watch.handle_step(second, at(second));
        }
        watch.handle_phase("eval", None, at(100));
        assert_eq!(watch.hang(at(1000)), None, "nothing is known of this phase");
        watch.handle_phase("step", None, at(1000));
        watch.handle_step(100, at(1001));
        assert_eq!(watch.hang(at(1030)), None);
        assert!(watch.hang(at(1031)).is_some());
    }

    #[test]
    fn a_phase_may_last_as_long_as_its_budget_and_no_longer() {
        let mut watch = Watch::new(Settings::default(), at(0));
        watch.handle_phase("eval", Some(Duration::from_hours(2)), at(0));
        assert_eq!((watch.hang(at(7199)), watch.overrun(at(7199))), (None, None));
        assert_eq!(watch.overrun(at(7200)), Some(("eval", Duration::from_hours(2))));
        watch.handle_phase("step", None, at(7201));
        assert_eq!(watch.overrun(at(100_000)), None);
    }

    #[test]
    fn a_rank_that_is_silent_is_found_and_one_that_is_gone_is_not() {
        let mut watch = Watch::new(Settings::default(), at(0));
        for second in 1..20 {
            watch.handle_step(second, at(second));
            watch.handle_rank(1, at(second));
            watch.handle_rank(2, at(second));
        }
        for second in 20..100 {
            watch.handle_step(second, at(second));
            watch.handle_rank(1, at(second));
        }
        assert_eq!(watch.hang(at(100)), None, "the first rank moves");
        assert_eq!(watch.silent(at(48)), None);
        assert_eq!(watch.silent(at(49)), Some((2, Duration::from_secs(30))));
        watch.handle_phase("eval", None, at(49));
        assert_eq!(watch.silent(at(1000)), None, "it waits for the first");
        watch.handle_phase("step", None, at(1000));
        assert_eq!(watch.silent(at(1029)), None);
        assert_eq!(watch.silent(at(1030)), Some((1, Duration::from_secs(30))));
        watch.handle_rank_gone(1);
        watch.handle_rank_gone(2);
        assert_eq!(watch.silent(at(1030)), None);
    }

    #[test]
    fn what_was_learned_stays_for_the_next_attempt() {
        let mut watch = Watch::new(Settings::default(), at(0));
        for n in 0..10 {
            watch.handle_step(n, at(20 * n));
        }
        watch.handle_start(at(1000));
        assert_eq!(watch.poll_timeout(), at(1000 + 1800));
        watch.handle_step(0, at(1001));
        assert_eq!(watch.poll_timeout(), at(1001 + 100));
    }
}
