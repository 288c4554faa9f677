//! What the runner hears: of the injector, and of how the service is.

use std::collections::BTreeMap;

use super::Runner;
use super::course::Why;
use super::slices;
use super::watched::{GUARDED, Watched};
use crate::chaos::arms::{Beat, Counts};
use crate::chaos::gates::{self, BURN_PAGES, Situation};
use crate::chaos::order::Arm;
use crate::chaos::record::Phase;
use crate::chaos::written::format_share;
use crate::time::Time;

/// Requests below which nothing is said of an arm's last minute.
const GUARDED_LEAST: u64 = 10;

impl Runner {
    /// What the injector says of its orders; to be called each second, with nothing where it says nothing.
    pub fn handle_beats(&mut self, beats: &[Beat], now: Time) {
        for id in self.runs.keys().cloned().collect::<Vec<_>>() {
            let Some(watched) = self.runs.get_mut(&id) else { continue };
            let mine: Vec<&Beat> = beats.iter().filter(|beat| beat.run == id).collect();
            for beat in &mine {
                watched.count(beat, now);
            }
            if !watched.goes_on() {
                watched.listen(&mine, now);
                self.see_to_recovery(&id, now);
                continue;
            }
            let current = watched.run.generation;
            let fell = mine.iter().any(|beat| beat.generation == current && !beat.stands);
            if fell && watched.is_nearly_over(now) {
                self.recover(&id, super::course::RUNNER, now);
            } else if fell {
                self.stop(&id, Why::new("lease_lost", "the injector says that the order does not stand any more"), now);
            } else if let Some(why) = watched.guarded().or_else(|| watched.errors_stop()) {
                self.stop(&id, why, now);
            }
        }
    }

    /// How the service is; to be called each second.
    pub fn handle_situation(&mut self, situation: &Situation, now: Time) {
        for id in self.runs.keys().cloned().collect::<Vec<_>>() {
            let Some(watched) = self.runs.get_mut(&id) else { continue };
            watched.told = now;
            if watched.run.phase == Phase::LeadIn {
                watched.unsteady = gates::unsteady(&self.terms, &watched.run.experiment, situation);
            }
            let unexpected = watched.incidents(situation, now);
            if watched.goes_on() {
                let why = watched.why(situation, unexpected);
                watched.recovery.burning = burning(situation, &watched.run.experiment.route);
                if let Some(why) = why {
                    self.stop(&id, why, now);
                }
            } else {
                watched.recovery.wrong = watched.wrong(situation);
                watched.recovery.told = true;
                self.see_to_recovery(&id, now);
            }
        }
    }
}

/// How fast the objectives of a route burn.
fn burning(situation: &Situation, route: &str) -> BTreeMap<String, f64> {
    situation.budgets_of(route).filter_map(|it| Some((it.slo.clone(), it.burn_short?))).collect()
}

impl Watched {
    /// Counts what a beat says.
    fn count(&mut self, beat: &Beat, now: Time) {
        let phase = self.phase_of(beat.generation).unwrap_or(self.run.phase);
        slices::add(&mut self.run, phase, beat);
        for (heard, counts) in self.heard.iter_mut().zip(&beat.arms) {
            if counts.requests > 0 {
                *heard = Some(now);
            }
        }
        if beat.generation == self.run.generation && beat.stands {
            self.beat = now;
        }
        let touched = &beat.arms[Arm::Experiment.index()];
        if self.goes_on() {
            self.minute.push_back((now, touched.clone()));
            while self.minute.front().is_some_and(|(at, _)| *at + GUARDED <= now) {
                self.minute.pop_front();
            }
        }
        if phase == Phase::Injecting {
            self.errors.push(beat);
        }
        if phase == Phase::Recovering && !self.goes_on() {
            let arm = |counts: &Counts| (counts.unanswered, counts.requests);
            self.recovery.lately.push_back((now, [arm(&beat.arms[0]), arm(touched)]));
        }
    }

    /// Whether more requests of the experiment's arm are unanswered.
    fn errors_stop(&self) -> Option<Why<'static>> {
        self.run.experiment.stop.errors.then(|| self.errors.why())?
    }

    /// Whether the last minute of the experiment's arm is beyond a bound.
    fn guarded(&self) -> Option<Why<'static>> {
        let guards = self.run.experiment.stop.guards;
        if guards.unanswered.is_none() && guards.p99.is_none() {
            return None;
        }
        let mut lately = Counts::default();
        for (_, counts) in &self.minute {
            lately.add(counts);
        }
        if lately.requests < GUARDED_LEAST {
            return None;
        }
        let share = lately.unanswered as f64 / lately.requests as f64;
        if let Some(bound) = guards.unanswered.filter(|bound| share > *bound) {
            let (share, bound) = (format_share(share), format_share(bound));
            let text = format!("{share} of the experiment's arm were unanswered in the last minute, above {bound}");
            return Some(Why::new("guard", text));
        }
        let (p99, bound) = (lately.latency.quantile(0.99)?, guards.p99?);
        (p99 > bound).then(|| {
            let text =
                format!("the 99% quantile of the experiment's arm was {p99:.1?} in the last minute, above {bound:?}");
            Why::new("guard", text)
        })
    }

    /// Takes in incidents of its route that opened since; the first that is not expected.
    fn incidents(&mut self, situation: &Situation, now: Time) -> Option<String> {
        let experiment = &self.run.experiment;
        let mut lines = Vec::new();
        let mut first = None;
        for incident in situation.incidents_of(&experiment.route) {
            if !self.known.insert(incident.id.clone()) {
                continue;
            }
            let text = format!("{} ({})", incident.id, incident.kind);
            if experiment.expect.incidents.contains(&incident.kind) {
                lines.push(format!("{text} opened, as expected"));
            } else {
                self.unexpected.insert(incident.id.clone());
                lines.push(format!("{text} opened, and was not expected"));
                first.get_or_insert(text);
            }
        }
        for line in lines {
            self.note("incident", line, now);
        }
        first
    }

    /// Why it stops, by how the service is.
    fn why(&self, situation: &Situation, unexpected: Option<String>) -> Option<Why<'static>> {
        let experiment = &self.run.experiment;
        let (stop, route) = (&experiment.stop, &experiment.route);
        if let Some(revision) = self.revision.filter(|revision| *revision != situation.config_revision) {
            let now = situation.config_revision;
            return Some(Why::new("config", format!("the config was changed, from revision {revision} to {now}")));
        }
        if let Some(budget) = situation.budgets_of(route).find(|it| it.burns(stop.burn)) {
            let text = format!("the error budget of `{}` burns faster than {} times", budget.slo, stop.burn);
            return Some(Why::new("burn_rate", text));
        }
        let incident = unexpected.filter(|_| stop.incidents)?;
        Some(Why::new("incident", format!("{incident} opened, and was not expected")))
    }

    /// What is not as it was, by how the service is.
    ///
    /// A window that looks back holds the fault for as long as it is itself: an objective is as before where it does not burn too fast,
    /// or no faster than when the fault was taken away. That nobody is failed now the arms themselves show.
    fn wrong(&mut self, situation: &Situation) -> Option<String> {
        let experiment = &self.run.experiment;
        let route = &experiment.route;
        if let Some(level) = situation.level_of(route) {
            return Some(format!("`{route}` answers from level {level}"));
        }
        if let Some(incident) = situation.incidents_of(route).find(|it| self.unexpected.contains(&it.id)) {
            return Some(format!("incident {} ({}) is open", incident.id, incident.kind));
        }
        if !self.recovery.told && self.recovery.burning.is_empty() {
            self.recovery.burning = burning(situation, route);
        }
        let before = |slo: &str| self.recovery.burning.get(slo).copied().unwrap_or(0.0);
        let mut budgets = situation.budgets_of(route).filter(|it| it.burns(experiment.stop.burn.min(BURN_PAGES)));
        let faster = budgets.find(|it| it.burn_short.is_some_and(|burn| burn > before(&it.slo)))?;
        Some(format!("the error budget of `{}` burns faster than when the fault was taken away", faster.slo))
    }
}
