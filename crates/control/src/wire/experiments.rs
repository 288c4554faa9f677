//! Experiments, their runs, approvals and the halt.

pub(super) mod schema;

use mainstay_core::chaos::experiment::Experiment;
use mainstay_core::chaos::gates::Checked;
use mainstay_core::chaos::record::{Approval, Halt, Phase, Run};
use mainstay_core::chaos::refusal;
use mainstay_core::event::{format_time, parse_time};
use mainstay_core::time::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `GET /api/v1/experiments`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ExperimentRuns {
    /// The last first.
    pub(crate) runs: Vec<ExperimentLine>,
}

/// A run in a list.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct ExperimentLine {
    /// `EXP-YYYY-NNNN`.
    pub(crate) id: String,
    /// The experiment's name.
    pub(crate) experiment: String,
    /// The route.
    pub(crate) route: String,
    /// The fault's type.
    pub(crate) fault: &'static str,
    /// `limited`, `moderate` or `full`.
    blast: &'static str,
    /// `lead_in`, `injecting`, `recovering` or `ended`.
    pub(crate) phase: &'static str,
    /// Who runs it; empty: nobody knows.
    pub(crate) by: String,
    /// The game day that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    gameday: Option<String>,
    /// When it was started.
    pub(crate) started: String,
    /// When the fault came into force.
    #[serde(skip_serializing_if = "Option::is_none")]
    injected: Option<String>,
    /// When the fault was taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawn: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<String>,
    /// Why it was ended early.
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped: Option<String>,
    /// What it showed: `tolerated`, `degraded`, `violated`, `inconclusive`, `invalid`, `aborted` or `not_recovered`.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'static str>,
}

impl ExperimentLine {
    pub(crate) fn of(run: &Run) -> ExperimentLine {
        ExperimentLine {
            id: run.id.clone(),
            experiment: run.experiment.name.clone(),
            route: run.experiment.route.clone(),
            fault: run.experiment.fault.name(),
            blast: run.experiment.blast.name(),
            phase: run.phase.name(),
            by: run.by.clone(),
            gameday: run.gameday.clone(),
            started: format_time(run.started),
            injected: run.injected.map(format_time),
            withdrawn: run.withdrawn.map(format_time),
            ended: run.ended.map(format_time),
            stopped: run.stopped.as_ref().map(|it| it.reason.to_string()),
            verdict: run.assessment.as_ref().map(|it| it.verdict.name()),
        }
    }
}

/// Which runs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExperimentsQuery {
    status: Option<String>,
    experiment: Option<String>,
    route: Option<String>,
    verdict: Option<String>,
    pub(crate) limit: Option<usize>,
}

impl ExperimentsQuery {
    /// Whether it asks for what runs alone.
    pub(crate) fn is_running(&self) -> bool {
        self.status.as_deref() == Some("running")
    }

    /// Whether a run is wanted, or what is wrong with the question.
    pub(crate) fn checked(&self) -> Result<impl Fn(&Run) -> bool + use<>, String> {
        if let Some(other) = self.status.as_deref().filter(|it| !matches!(*it, "all" | "running")) {
            return Err(format!("`status` is all or running, not `{other}`"));
        }
        let (running, verdict) = (self.is_running(), self.verdict.clone());
        let (experiment, route) = (self.experiment.clone(), self.route.clone());
        Ok(move |run: &Run| {
            let shown = run.assessment.as_ref().map(|it| it.verdict.name());
            (!running || run.phase != Phase::Ended)
                && experiment.as_ref().is_none_or(|name| run.experiment.name == *name)
                && route.as_ref().is_none_or(|route| run.experiment.route == *route)
                && verdict.as_deref().is_none_or(|verdict| shown == Some(verdict))
        })
    }
}

/// The body of `POST /api/v1/experiments`: one of `name` and `experiment`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExperimentRequest {
    /// An experiment of the catalogue.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// An experiment of its own.
    #[serde(default)]
    #[schemars(with = "Option<schema::Experiment>")]
    pub(crate) experiment: Option<Box<Experiment>>,
    /// Whoever starts it says `hold` at least so often, in seconds, or it is stopped.
    #[serde(default)]
    pub(crate) hold_s: Option<u64>,
    /// The game day that it belongs to.
    #[serde(default)]
    pub(crate) gameday: Option<String>,
    /// Only says what is in the way.
    #[serde(default)]
    pub(crate) dry_run: bool,
}

/// What became of it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ExperimentStarted {
    /// The plan's hash, which an approval is bound to.
    plan: String,
    /// The run, as it begins; null: nothing was started.
    #[schemars(with = "Option<schema::Run>")]
    run: Option<Run>,
    /// Why it may not be started.
    refusals: Vec<Refusal>,
    /// What it should be known for nevertheless.
    warnings: Vec<Refusal>,
    /// The least additional share of unanswered requests that it would see four times out of five; null: unknown.
    detectable: Option<f64>,
}

impl ExperimentStarted {
    pub(crate) fn is(run: &Run) -> ExperimentStarted {
        ExperimentStarted {
            plan: run.plan.clone(),
            run: Some(run.clone()),
            refusals: Vec::new(),
            warnings: Vec::new(),
            detectable: None,
        }
    }

    pub(crate) fn would(plan: &str, checked: &Checked) -> ExperimentStarted {
        ExperimentStarted {
            plan: plan.to_owned(),
            run: None,
            refusals: checked.refusals.iter().map(Refusal::from).collect(),
            warnings: checked.warnings.iter().map(Refusal::from).collect(),
            detectable: checked.detectable,
        }
    }
}

/// Something that is in the way of an experiment.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Refusal {
    /// In a stable word, such as `halted`.
    code: &'static str,
    /// What it is, and what to do.
    pub(crate) text: String,
}

impl From<&refusal::Refusal> for Refusal {
    fn from(from: &refusal::Refusal) -> Refusal {
        Refusal { code: from.code, text: from.text.clone() }
    }
}

/// A run with everything that is known of it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ExperimentRun {
    /// The run.
    #[schemars(with = "schema::Run")]
    pub(crate) run: Run,
}

/// `GET /api/v1/experiments/catalogue`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ExperimentCatalogue {
    /// The config's own first.
    pub(crate) experiments: Vec<KnownExperiment>,
}

/// An experiment that is known by name.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct KnownExperiment {
    /// Its plan's hash.
    pub(crate) plan: String,
    /// Whether somebody has to agree to it before it is run.
    pub(crate) needs_approval: bool,
    /// Who agreed to this plan, as far as it still counts.
    pub(crate) approvals: Vec<ExperimentApproval>,
    /// The experiment.
    #[schemars(with = "schema::Experiment")]
    pub(crate) experiment: Box<Experiment>,
}

/// The body of `POST /api/v1/experiments/{id}/approve`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApprovalRequest {
    /// The hash of the plan that was looked at.
    pub(crate) plan: String,
    /// The experiment itself, where the catalogue does not have it.
    #[serde(default)]
    #[schemars(with = "Option<schema::Experiment>")]
    pub(crate) experiment: Option<Box<Experiment>>,
    /// Until when it counts. Default: as the config says.
    #[serde(default)]
    until: Option<String>,
}

impl ApprovalRequest {
    pub(crate) fn until(&self) -> Result<Option<Time>, String> {
        let Some(text) = &self.until else { return Ok(None) };
        let until = parse_time(text).ok_or_else(|| format!("`until` {text} is not a time of RFC 3339 since 1970"))?;
        Ok(Some(until))
    }
}

/// Somebody's yes to a plan.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ExperimentApproval {
    /// The experiment's name.
    experiment: String,
    /// The plan's hash.
    plan: String,
    /// Who; empty: nobody knows.
    by: String,
    /// When.
    at: String,
    /// Until when it counts.
    until: String,
}

impl From<&Approval> for ExperimentApproval {
    fn from(from: &Approval) -> ExperimentApproval {
        ExperimentApproval {
            experiment: from.experiment.clone(),
            plan: from.plan.clone(),
            by: from.by.clone(),
            at: format_time(from.at),
            until: format_time(from.until),
        }
    }
}

/// The body of `POST /api/v1/experiments/{id}/stop`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExperimentStopRequest {
    /// Why.
    #[serde(default)]
    pub(crate) reason: String,
}

/// The body of `PUT` and `DELETE /api/v1/chaos/halt`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HaltRequest {
    /// Why.
    pub(crate) reason: String,
}

/// Whether faults are halted.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ChaosHalt {
    /// No fault may be injected.
    pub(crate) halted: bool,
    /// Who said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<String>,
}

impl ChaosHalt {
    pub(crate) fn of(halt: Option<&Halt>) -> ChaosHalt {
        ChaosHalt {
            halted: halt.is_some(),
            by: halt.map(|it| it.by.clone()),
            reason: halt.map(|it| it.reason.clone()),
            at: halt.map(|it| format_time(it.at)),
        }
    }
}
