//! What checks of answers found.

use std::collections::BTreeMap;
use std::mem::take;
use std::time::Duration;

use mainstay_core::metric::{Family, Histogram, Kind, SECONDS, Sample, Value};
use mainstay_core::plan::Plan;
use mainstay_core::safety::Finding;

/// The counts of one worker: by route and check.
pub(crate) type Checks = BTreeMap<(usize, usize), Checked>;

/// The counts of all workers, by the names of both.
pub(super) type CheckTotals = BTreeMap<(String, String), Checked>;

/// What one check found on one route.
#[derive(Debug)]
pub(crate) struct Checked {
    clear: u64,
    flagged: u64,
    /// By why it could not tell.
    unknown: BTreeMap<&'static str, u64>,
    took: Histogram,
}

impl Default for Checked {
    fn default() -> Checked {
        Checked { clear: 0, flagged: 0, unknown: BTreeMap::new(), took: Histogram::new(SECONDS) }
    }
}

impl Checked {
    pub(crate) fn count(&mut self, finding: &Finding, took: Duration) {
        self.took.observe(took.as_secs_f64());
        match finding {
            Finding::Clear => self.clear += 1,
            Finding::Flagged { .. } => self.flagged += 1,
            Finding::Unknown(why) => *self.unknown.entry(why.word()).or_default() += 1,
        }
    }

    fn absorb(&mut self, counted: &mut Checked) {
        self.clear += take(&mut counted.clear);
        self.flagged += take(&mut counted.flagged);
        super::add_all(&mut self.unknown, &mut counted.unknown);
        self.took.absorb(&mut counted.took);
    }
}

/// Takes over what a worker counted under `plan`, and leaves it empty.
pub(super) fn absorb(all: &mut CheckTotals, plan: &Plan, counted: &mut Checks) {
    for ((route, check), counted) in counted {
        let names = (plan.routes[*route].name.clone(), plan.checks[*check].name.clone());
        all.entry(names).or_default().absorb(counted);
    }
}

fn sample((route, check): &(String, String), more: Option<(&'static str, &str)>, value: Value) -> Sample {
    let mut labels = vec![("route", route.clone()), ("check", check.clone())];
    labels.extend(more.map(|(name, word)| (name, word.to_owned())));
    Sample { labels, value }
}

/// All families about checks.
pub(super) fn families(all: &CheckTotals) -> [Family; 3] {
    let results = all.iter().flat_map(|(names, checked)| {
        let unknown = checked.unknown.values().sum();
        let results = [("clear", checked.clear), ("flagged", checked.flagged), ("unknown", unknown)];
        results.map(|(result, count)| sample(names, Some(("result", result)), Value::Count(count)))
    });
    let unknown = all.iter().flat_map(|(names, checked)| {
        let reasons = checked.unknown.iter();
        reasons.map(|(reason, count)| sample(names, Some(("reason", reason)), Value::Count(*count)))
    });
    let took = all.iter().map(|(names, checked)| sample(names, None, Value::Histogram(checked.took.clone())));
    [
        Family {
            name: "mainstay_checks",
            help: "Answers that a check looked at, by what it found.",
            kind: Kind::Counter,
            samples: results.collect(),
        },
        Family {
            name: "mainstay_checks_unknown",
            help: "Answers of which a check could not tell, by reason.",
            kind: Kind::Counter,
            samples: unknown.collect(),
        },
        Family {
            name: "mainstay_check_duration_seconds",
            help: "How long a check took.",
            kind: Kind::Histogram,
            samples: took.collect(),
        },
    ]
}
