//! What has to hold before an experiment begins. All that does not is told at once.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Serialize;

use super::blocks;
use super::evaluate::detectable;
use super::experiment::{Blast, Cohort, Design, Experiment, Traffic as Whom};
use super::record::{Approval, Halt, Run};
use super::refusal::Refusal;
use super::start::Start;
use super::window::Windows;
use super::written;
use crate::slo::budget::Status;
use crate::time::Time;

/// How long whoever holds a run may be silent.
const HOLD: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_hours(1);
/// Requests of an arm below which nothing is said of the slowest hundredth of them: ten of those.
const P99_LEAST: f64 = 1_000.0;

/// The rate at which an error budget burns when somebody is paged (the fast rule of the SRE workbook, chapter 5: 2 % in an hour of
/// thirty days).
pub(super) const BURN_PAGES: f64 = 14.4;

/// Longest name of the game day that a run is part of, in bytes.
const GAMEDAY_MAX: usize = 200;

/// What experiments of a service are bound by.
#[derive(Clone, PartialEq, Debug)]
pub struct Safety {
    /// When they may run.
    pub windows: Windows,
    /// From which blast on somebody has to agree; `None`: never.
    pub approval: Option<Blast>,
    /// How long an approval counts, unless whoever gives it says otherwise.
    pub approval_for: Duration,
    /// How long a fault stands without being renewed.
    pub lease: Duration,
    /// The share of the error budget that must be left on each objective of the route.
    pub min_budget: f64,
}

/// Where a service runs, for what is asked of its experiments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rigour {
    /// Real users: whoever starts an experiment does not approve it.
    Production,
    /// A rehearsal.
    Staging,
    /// No windows and no approvals.
    Demo,
}

/// What a runner goes by.
#[derive(Clone, PartialEq, Debug)]
pub struct Terms {
    /// What is asked of experiments.
    pub rigour: Rigour,
    /// What bounds them.
    pub safety: Safety,
}

/// How the service is, as the runner is told each second.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Situation {
    /// Every objective.
    pub budgets: Vec<BudgetOf>,
    /// Every open incident.
    pub incidents: Vec<OpenIncident>,
    /// Routes that do not answer from their best entry, and the level that they are at.
    pub degraded: Vec<(String, u8)>,
    /// What routes have to do, where that is known.
    pub traffic: Vec<Traffic>,
    /// The number of the config that is in force.
    pub config_revision: u64,
}

/// How an objective stands.
#[derive(Clone, PartialEq, Debug)]
pub struct BudgetOf {
    /// The objective's name.
    pub slo: String,
    /// Its route; `None`: it is about all of them.
    pub route: Option<String>,
    /// The share of the error budget that is left; `None`: unknown.
    pub remaining: Option<f64>,
    /// How fast it burns, in a short window; `None`: unknown.
    pub burn_short: Option<f64>,
    /// How fast it burns, in the long window of the same rule; `None`: unknown.
    pub burn_long: Option<f64>,
    /// Its status, such as `healthy` or `exhausted`.
    pub status: String,
}

/// An open incident.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenIncident {
    /// Its id.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// The routes that it touches; none: all.
    pub routes: Vec<String>,
    /// When it was opened.
    pub opened: Time,
}

/// What a route has to do.
#[derive(Clone, PartialEq, Debug)]
pub struct Traffic {
    /// The route.
    pub route: String,
    /// Requests each second.
    pub rate: f64,
    /// The share of them that nobody answers.
    pub unanswered: f64,
}

/// What the gates say of an experiment.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Checked {
    /// Why it may not begin; none: it may.
    pub refusals: Vec<Refusal>,
    /// What it should be known for nevertheless.
    pub warnings: Vec<Refusal>,
    /// The least additional share of unanswered requests that it would see four times out of five; `None`: unknown.
    pub detectable: Option<f64>,
}

impl Default for Safety {
    fn default() -> Safety {
        Safety {
            windows: Windows::default(),
            approval: Some(Blast::Moderate),
            approval_for: Duration::from_hours(7 * 24),
            lease: Duration::from_secs(5),
            min_budget: 0.2,
        }
    }
}

impl Situation {
    /// Objectives of a route, those of all routes among them.
    pub(super) fn budgets_of(&self, route: &str) -> impl Iterator<Item = &BudgetOf> {
        self.budgets.iter().filter(move |it| it.route.as_ref().is_none_or(|its| its == route))
    }

    /// Open incidents that touch a route.
    pub(super) fn incidents_of(&self, route: &str) -> impl Iterator<Item = &OpenIncident> {
        self.incidents.iter().filter(move |it| it.routes.is_empty() || it.routes.iter().any(|its| its == route))
    }

    /// The level that a route is at, where that is not its best.
    pub(super) fn level_of(&self, route: &str) -> Option<u8> {
        self.degraded.iter().filter(|(its, level)| its == route && *level > 0).map(|(_, level)| *level).max()
    }
}

impl BudgetOf {
    /// Whether it burns faster than a rate in both windows; unknown: no.
    pub(super) fn burns(&self, rate: f64) -> bool {
        self.burn_short.is_some_and(|burn| burn > rate) && self.burn_long.is_some_and(|burn| burn > rate)
    }
}

/// What the gates know besides.
pub(super) struct Known<'a> {
    pub terms: &'a Terms,
    pub halt: Option<&'a Halt>,
    pub running: Option<&'a Run>,
    pub approvals: &'a [Approval],
}

/// Checks every gate.
pub(super) fn check(known: &Known<'_>, start: &Start, situation: &Situation, now: Time) -> Checked {
    let mut checked = Checked::default();
    let experiment = &start.experiment;
    let refusals = &mut checked.refusals;
    if let Some(halt) = known.halt {
        let text = format!("`{}` halted every experiment ({}): release the halt first", halt.by, halt.reason);
        refusals.push(Refusal::new("halted", text));
    }
    definition(start, refusals);
    if known.terms.rigour != Rigour::Demo {
        let end = now + experiment.lead_in + experiment.duration + experiment.recovery;
        refusals.extend(known.terms.safety.windows.check(experiment.blast, now, end).err());
        refusals.extend(approval(known, start, now));
    }
    if let Some(run) = known.running {
        let text = format!("{} (`{}`) is not over, and one runs at a time: wait for it", run.id, run.experiment.name);
        refusals.push(Refusal::new("busy", text));
    }
    steady(known.terms, experiment, situation, refusals);
    traffic(experiment, situation, &mut checked);
    if known.terms.rigour == Rigour::Demo {
        checked.warnings.extend(checked.refusals.extract_if(.., |it| is_spared(it)));
    }
    checked
}

fn definition(start: &Start, refusals: &mut Vec<Refusal>) {
    let experiment = &start.experiment;
    let beyond = experiment.cohort.share > experiment.blast.share_max();
    for text in experiment.check() {
        let is_cap = beyond && text.starts_with("`cohort.share` is ") && text.contains("`blast: ");
        refusals.push(Refusal::new(if is_cap { "caps" } else { "definition" }, text));
    }
    if experiment.design() == Design::Switchback && experiment.duration < blocks::SHORTEST {
        let least = written::format_duration(blocks::SHORTEST);
        let text = format!("arms that are blocks of time need six of them: `duration` is at least {least}");
        refusals.push(Refusal::new("definition", text));
    }
    if start.gameday.as_ref().is_some_and(|gameday| gameday.len() > GAMEDAY_MAX) {
        refusals.push(Refusal::new("definition", format!("`gameday` has at most {GAMEDAY_MAX} bytes")));
    }
    if start.hold.is_some_and(|hold| !HOLD.contains(&hold)) {
        refusals.push(Refusal::new("definition", "whoever holds a run is heard of every 2 s to 1 h: set `hold_s` so"));
    }
}

/// Whether somebody agreed to this very plan.
fn approval(known: &Known<'_>, start: &Start, now: Time) -> Option<Refusal> {
    let experiment = &start.experiment;
    let least = known.terms.safety.approval?;
    if experiment.blast < least {
        return None;
    }
    let of_name = known.approvals.iter().filter(|it| it.experiment == experiment.name);
    let (same, other): (Vec<_>, Vec<_>) = of_name.partition(|it| it.plan == start.plan);
    let counts = |it: &&&Approval| it.at <= now && now < it.until;
    let is_own = |it: &Approval| known.terms.rigour == Rigour::Production && !start.by.is_empty() && it.by == start.by;
    let (name, blast) = (&experiment.name, experiment.blast.name());
    let refusal = if same.iter().filter(counts).any(|it| !is_own(it)) {
        return None;
    } else if same.iter().any(|it| counts(&it)) {
        let text =
            format!("`{}` starts `{name}` and approved it: in production somebody else has to approve it", start.by);
        Refusal::new("own_approval", text)
    } else if !same.is_empty() {
        Refusal::new(
            "approval_expired",
            format!("the approval of `{name}` does not count any more: have it approved again"),
        )
    } else if !other.is_empty() {
        let text = format!("`{name}` was changed after it was approved: have plan {} approved", start.plan);
        Refusal::new("approval_other_plan", text)
    } else {
        let text = format!("`blast: {blast}` needs an approval: have plan {} of `{name}` approved", start.plan);
        Refusal::new("approval_missing", text)
    };
    Some(refusal)
}

/// Whether all is well before.
fn steady(terms: &Terms, experiment: &Experiment, situation: &Situation, refusals: &mut Vec<Refusal>) {
    let (route, least) = (&experiment.route, terms.safety.min_budget);
    for BudgetOf { slo, remaining, status, .. } in situation.budgets_of(route) {
        let status = Status::of_name(status);
        let known = remaining.filter(|left| !left.is_nan() && !matches!(status, None | Some(Status::NoData)));
        let refusal = match known {
            None => Refusal::new(
                "budget_unknown",
                format!(
                    "how much is left of the error budget of `{slo}` is not known: wait until requests were counted"
                ),
            ),
            Some(left) if left <= 0.0 || status == Some(Status::Exhausted) => Refusal::new(
                "budget_exhausted",
                format!("the error budget of `{slo}` is used up: wait until it has recovered"),
            ),
            Some(left) if left < least => {
                let (left, least) = (left * 100.0, written::format_share(least));
                let text = format!("{left:.1}% of the error budget of `{slo}` is left, below {least}: wait");
                Refusal::new("budget", text)
            }
            Some(_) => continue,
        };
        refusals.push(refusal);
    }
    for budget in situation.budgets_of(route).filter(|it| it.burns(experiment.stop.burn.min(BURN_PAGES))) {
        let text = format!("the error budget of `{}` burns too fast already: find out why first", budget.slo);
        refusals.push(Refusal::new("burning", text));
    }
    for OpenIncident { id, kind, .. } in situation.incidents_of(route) {
        let text = format!("incident {id} ({kind}) is open on `{route}`: resolve it first");
        refusals.push(Refusal::new("incident", text));
    }
    if let Some(level) = situation.level_of(route) {
        let text = format!("`{route}` answers from level {level} already: wait until it is at its best");
        refusals.push(Refusal::new("degraded", text));
    }
}

/// Why the fault of a run that has begun may not come into force now.
pub(super) fn unsteady(terms: &Terms, experiment: &Experiment, situation: &Situation) -> Option<String> {
    let mut refusals = Vec::new();
    steady(terms, experiment, situation, &mut refusals);
    let counts = |it: &&Refusal| terms.rigour != Rigour::Demo || !is_spared(it);
    refusals.iter().find(counts).map(|it| it.text.clone())
}

/// Whether a demo goes on nevertheless: minutes are too few for budgets, and for what a real experiment has to tell.
fn is_spared(refusal: &Refusal) -> bool {
    refusal.code.starts_with("budget") || matches!(refusal.code, "burning" | "traffic")
}

/// Whether enough requests will come to tell anything.
fn traffic(experiment: &Experiment, situation: &Situation, checked: &mut Checked) {
    let Some(traffic) = situation.traffic.iter().find(|it| it.route == experiment.route) else { return };
    let Some(n) = requests(experiment, traffic) else { return };
    let (least, margin) = (detectable(n, traffic.unanswered), experiment.margin.errors);
    checked.detectable = Some(least);
    if least > margin {
        let (least, margin) = (written::format_share(least.min(1.0)), written::format_share(margin));
        let text = format!(
            "about {n:.0} requests come to each arm, which tell {least} more unanswered ones at best, and `margin.errors` is {margin}: \
             run it for longer, with a larger share, or when there is more to do"
        );
        checked.refusals.push(Refusal::new("traffic", text));
    } else if n < P99_LEAST {
        let text = format!(
            "about {n:.0} requests come to each arm: too few for the 99% quantile of the latency to tell anything"
        );
        checked.warnings.push(Refusal::new("traffic", text));
    }
    let met = traffic.rate * experiment.cohort.share * experiment.dose * experiment.duration.as_secs_f64();
    if met > experiment.caps.total as f64 {
        let text =
            format!("about {met:.0} requests would meet the fault, and `caps.total` is {}", experiment.caps.total);
        checked.warnings.push(Refusal::new("caps", text));
    }
}

/// About how many requests come to each arm while the fault is in force; `None`: it is about a part of the route whose size is not
/// known.
fn requests(experiment: &Experiment, traffic: &Traffic) -> Option<f64> {
    let Cohort { classes, clients, headers, traffic: which, .. } = &experiment.cohort;
    let whole = classes.is_empty() && clients.is_empty() && headers.is_empty() && *which == Whom::All;
    let is_known = traffic.rate.is_finite() && traffic.rate >= 0.0;
    let all = traffic.rate * experiment.duration.as_secs_f64();
    let share = match experiment.design() {
        Design::Concurrent => experiment.cohort.share,
        // Half of the blocks, without their washout.
        Design::Switchback => experiment.cohort.share * 0.5 * blocks::COUNTED,
    };
    (whole && is_known).then_some(all * share)
}
