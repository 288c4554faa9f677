//! The JSON of the admin API. Domain types are converted here, by hand: what leaves is decided here and nowhere else.

mod answers;
mod corrections;
mod drift;
mod experiments;
mod formats;
mod gamedays;
mod incidents;
mod levels;
mod maintenance;
mod reviews;
mod models;
mod oncall;
mod quality;
mod runs;
mod service;
mod slos;
mod store;

use std::time::Duration;

pub(crate) use corrections::{Correction, CorrectionRequest, Corrections};
pub(crate) use drift::{AllDrift, CheckRequest as DriftCheckRequest, Checked as DriftChecked, Drift};
pub(crate) use experiments::{
    ApprovalRequest, ChaosHalt, ExperimentApproval, ExperimentCatalogue, ExperimentLine, ExperimentRequest,
    ExperimentRun, ExperimentRuns, ExperimentStarted, ExperimentStopRequest, ExperimentsQuery, HaltRequest,
    KnownExperiment, Refusal,
};
pub(crate) use formats::{ExportForm, ExportQuery, ImportQuery, Imported};
pub(crate) use gamedays::{
    GamedayAnswers, GamedayFindingsQuery, GamedayRequest, GamedayStopRequest, Gamedays, GamedaysQuery,
};
pub(crate) use incidents::{
    ActionRequest, AlertsTaken, AlertsWebhook, FindingsRequest, Incident, IncidentLine, Incidents, IncidentsQuery,
    MetricsQuery, NewIncident, NoteRequest, ReviewQuery, Runbook, RunbookLine, Runbooks, StandingRequest,
};
pub(crate) use levels::{Levels, PinRequest, RouteLevel};
pub(crate) use maintenance::{AllMaintenance, Maintenance, MaintenanceRequest};
pub(crate) use models::{
    GateResult, Lineage, Model, Models, NewVersion, PromoteRequest, Promotion, RollbackRequest, Shelved, shelved,
};
pub(crate) use oncall::{
    AtQuery, OnCall, Override, OverrideRequest, Overrides, ScheduleNow, Shifts, Silence, SilenceRequest, Silences,
    StretchQuery,
};
pub(crate) use quality::{BaselineRequest, Quality, QualityQuery};
pub(crate) use reviews::{Review, ReviewAction, ReviewRequest, Reviews, ReviewsQuery};
pub(crate) use runs::{Reported, Run, RunReport, RunState, Runs, RunsQuery};
pub(crate) use service::{BudgetStatus, Probe, Status};
pub(crate) use slos::{Slo, Slos};
pub(crate) use store::{Accepted, Backup, BackupRequest, EventPage, LoggedEvent, Requests};

/// A whole number and its unit.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.checked_mul(millis)?))
}
