//! Criteria of steps and of the day are judged, and open and close findings.

use std::time::Duration;

use super::{Effect, Gameday, Stage};
use crate::chaos::gameday::Criterion;
use crate::chaos::gameday::criterion::{Compiled, Within};
use crate::chaos::gameday::facts::{self, Facts};
use crate::chaos::gameday::record::{Finding, Outcome, Phase};
use crate::time::Time;

impl Gameday {
    /// A step's criteria are left open.
    pub(super) fn judge_nothing(&mut self, why: &str, now: Time) {
        let Some(step) = self.record.scenario.steps.get(self.record.steps.len().wrapping_sub(1)) else { return };
        let outcomes = step.criteria.iter().map(|it| unjudged(it, why)).collect();
        let step = self.step();
        if step.ended.is_none() {
            (step.results, step.ended) = (outcomes, Some(now));
        }
    }

    pub(super) fn judge_step(&mut self, now: Time) {
        let Some(run) = self.run.take() else { return };
        let counted = self.tally.map(|last| self.before.map_or(last, |before| last.since(&before)));
        let mut events = std::mem::take(&mut self.events);
        events.sort_by_key(|it| it.at);
        let facts = facts::measure(&run, &events, counted.as_ref().filter(|_| self.before.is_some()));
        if let (Some(at), Some(after)) = (run.injected, facts.mitigated_s.filter(|it| *it > 0.0)) {
            self.record.tell(
                at + Duration::from_secs_f64(after),
                "mitigate",
                "the experiment's arm was answered again",
            );
        }
        let verdict = facts.verdict.clone().unwrap_or_else(|| "no verdict".to_owned());
        let reason = run.assessment.map(|it| format!(": {}", it.reason)).unwrap_or_default();
        self.step().facts = Some(facts);
        let index = self.record.steps.len() - 1;
        let step = &self.record.scenario.steps[index];
        let (name, criteria) = (step.name().to_owned(), step.criteria.clone());
        self.record.tell(now, "verdict", format!("{name}: {verdict}{reason}"));
        let facts = self.record.steps[index].facts.clone().unwrap_or_default();
        let results = self.judge(&criteria, &facts, Some(&name), now);
        let step = self.step();
        (step.results, step.ended) = (results, Some(now));
        self.enter("", format!("{name}: {verdict}"));
        self.begin_step(now);
    }

    /// Judges criteria, and opens and closes findings by them.
    fn judge(&mut self, criteria: &[Criterion], facts: &Facts, step: Option<&str>, now: Time) -> Vec<Outcome> {
        let names = self.record.scenario.step_names();
        let within = if step.is_some() { Within::Step } else { Within::Day };
        let of_steps: Vec<(&str, &Facts)> =
            self.record.steps.iter().filter_map(|it| Some((it.name.as_str(), it.facts.as_ref()?))).collect();
        let document = facts.document(&of_steps);
        let outcomes: Vec<Outcome> = criteria
            .iter()
            .map(|it| match Compiled::new(&it.holds, &names, within) {
                Ok(compiled) => {
                    let said = compiled.ask(&document);
                    let (name, holds) = (it.name.clone(), it.holds.clone());
                    Outcome { name, holds, held: Some(said.held), measured: said.measured }
                }
                Err(error) => unjudged(it, &error.to_string()),
            })
            .collect();
        for outcome in &outcomes {
            let word = match outcome.held {
                Some(true) => "held",
                Some(false) => "did not hold",
                None => "was not judged",
            };
            self.record.tell(now, "criterion", format!("{} {word}: {}", outcome.name, outcome.measured));
            self.find(outcome, step, now);
        }
        outcomes
    }

    fn find(&mut self, outcome: &Outcome, step: Option<&str>, now: Time) {
        let (id, scenario) = (self.record.id.clone(), self.record.scenario.name.clone());
        let open =
            self.findings.iter_mut().find(|it| it.closed.is_none() && it.is_about(&scenario, step, &outcome.name));
        let finding = match (outcome.held, open) {
            (Some(true), Some(finding)) => {
                (finding.closed, finding.retest) = (Some(now), Some(id));
                self.record.closed.push(finding.id.clone());
                finding.clone()
            }
            (Some(false), Some(finding)) => {
                finding.times += 1;
                finding.last = id;
                finding.holds.clone_from(&outcome.holds);
                finding.measured.clone_from(&outcome.measured);
                self.record.again.push(finding.id.clone());
                finding.clone()
            }
            (Some(false), None) => {
                let number = self.record.opened.len() + 1;
                let finding = Finding {
                    id: format!("{id}-F{number}"),
                    scenario,
                    step: step.map(str::to_owned),
                    criterion: outcome.name.clone(),
                    holds: outcome.holds.clone(),
                    measured: outcome.measured.clone(),
                    opened: now,
                    gameday: id.clone(),
                    last: id,
                    times: 1,
                    closed: None,
                    retest: None,
                };
                self.record.opened.push(finding.id.clone());
                self.findings.push(finding.clone());
                finding
            }
            (Some(true) | None, None) | (None, Some(_)) => return,
        };
        self.effects.push(Effect::RestFinding(finding));
    }

    pub(super) fn end(&mut self, now: Time) {
        let criteria = self.record.scenario.criteria.clone();
        let all: Option<Vec<&Facts>> = self.record.steps.iter().map(|it| it.facts.as_ref()).collect();
        match all {
            Some(steps) => {
                let facts = Facts::of_day(&steps);
                self.record.facts = Some(facts.clone());
                self.record.results = self.judge(&criteria, &facts, None, now);
            }
            None => {
                let why = "not all experiments ran";
                self.record.results = criteria.iter().map(|it| unjudged(it, why)).collect();
            }
        }
        let held: Option<Vec<bool>> = self.record.outcomes().map(|(_, it)| it.held).collect();
        let ran = self.record.steps.iter().all(|it| it.run.is_some());
        self.record.passed = held.filter(|_| ran).map(|all| all.into_iter().all(|it| it));
        let failed = self.record.outcomes().filter(|(_, it)| it.held != Some(true)).count();
        let all = self.record.outcomes().count();
        (self.record.phase, self.record.ended, self.stage) = (Phase::Ended, Some(now), Stage::Over);
        let text = format!("{} of {all} criteria held", all - failed);
        self.record.tell(now, "end", text.clone());
        self.enter("", text);
    }
}

fn unjudged(criterion: &Criterion, why: &str) -> Outcome {
    Outcome { name: criterion.name.clone(), holds: criterion.holds.clone(), held: None, measured: why.to_owned() }
}
