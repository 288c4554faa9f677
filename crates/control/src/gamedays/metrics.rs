//! Numbers of game days.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_core::chaos::gameday::facts::Facts;
use mainstay_core::chaos::gameday::record::{Finding, Phase, Record};
use mainstay_core::metric::{Family, Kind, Sample, Value};

/// Most scenarios whose last times are shown.
const SCENARIOS_MAX: usize = 100;

/// What was counted since the start, and what is so now.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// The scenario that goes on.
    active: Option<String>,
    /// The last game day that was counted: its record comes to rest more than once.
    last: Option<String>,
    ended: BTreeMap<&'static str, u64>,
    open: BTreeSet<String>,
    /// What the last game day of a scenario measured.
    times: BTreeMap<String, Facts>,
}

impl Counted {
    /// Findings that are open at the start.
    pub(super) fn of(findings: &[Finding]) -> Counted {
        let mut counted = Counted::default();
        for finding in findings {
            counted.finding(finding);
        }
        counted
    }

    pub(super) fn finding(&mut self, finding: &Finding) {
        if finding.closed.is_none() {
            self.open.insert(finding.id.clone());
        } else {
            self.open.remove(&finding.id);
        }
    }

    /// A game day as it rests.
    pub(super) fn see(&mut self, record: &Record) {
        if record.phase == Phase::Running {
            self.active = Some(record.scenario.name.clone());
            return;
        }
        self.active = None;
        if self.last.as_ref() == Some(&record.id) {
            return;
        }
        self.last = Some(record.id.clone());
        let result = match (record.phase, record.passed) {
            (Phase::Aborted | Phase::Running, _) => "aborted",
            (Phase::Ended, Some(true)) => "passed",
            (Phase::Ended, Some(false)) => "failed",
            (Phase::Ended, None) => "inconclusive",
        };
        *self.ended.entry(result).or_default() += 1;
        let name = &record.scenario.name;
        if let Some(facts) = &record.facts
            && (self.times.contains_key(name) || self.times.len() < SCENARIOS_MAX)
        {
            self.times.insert(name.clone(), facts.clone());
        }
    }

    pub(super) fn families(&self) -> Vec<Family> {
        let sample = |labels, value| Sample { labels, value };
        let active = self.active.iter().map(|name| sample(vec![("scenario", name.clone())], Value::Gauge(1.0)));
        let ended = self.ended.iter();
        let ended = ended.map(|(result, count)| sample(vec![("result", (*result).to_owned())], Value::Count(*count)));
        let times = self.times.iter().flat_map(|(name, facts)| {
            let all = [
                ("detect", facts.detected_s),
                ("page", facts.paged_s),
                ("acknowledge", facts.acknowledged_s),
                ("mitigate", facts.mitigated_s),
                ("recover", facts.recovered_s),
            ];
            all.into_iter().filter_map(|(until, seconds)| {
                let labels = vec![("scenario", name.clone()), ("until", until.to_owned())];
                Some(Sample { labels, value: Value::Gauge(seconds?) })
            })
        });
        let open = vec![sample(Vec::new(), Value::Gauge(self.open.len() as f64))];
        let family = |name, help, kind, samples: Vec<Sample>| Family { name, help, kind, samples };
        vec![
            family("mainstay_gameday_active", "Game days that go on", Kind::Gauge, active.collect()),
            family("mainstay_gamedays", "Game days that ended, by what came of them", Kind::Counter, ended.collect()),
            family(
                "mainstay_gameday_seconds",
                "How long the last game day of a scenario took from the fault on",
                Kind::Gauge,
                times.collect(),
            ),
            family("mainstay_gameday_findings_open", "Findings whose re-test has not passed", Kind::Gauge, open),
        ]
    }
}
