//! Logs on stderr: JSON for machines, lines for a terminal. Events are logged as fields.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use mainstay_core::event::{Event, EventKind};
use tracing_subscriber::EnvFilter;

/// Starts logging; `filter` is a level or a list of directives.
pub(crate) fn start(filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::builder().parse(filter).with_context(|| format!("--log {filter} is not a filter"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if std::io::stderr().is_terminal() { builder.try_init() } else { builder.json().try_init() };
    started.map_err(|error| anyhow::anyhow!(error))
}

/// Logs one event. A change that users feel is `info`, one that may call a person is `warn`.
pub(crate) fn event(event: &Event) {
    match &event.kind {
        EventKind::Starting {} => tracing::debug!("service starting"),
        EventKind::Started { service, build } => tracing::info!(%service, %build, "service started"),
        EventKind::Draining {} => tracing::info!("service draining"),
        EventKind::Stopped {} => tracing::info!("service stopped"),
        EventKind::ConfigReloaded {} => tracing::info!("config reloaded"),
        EventKind::ConfigRefused { findings } => tracing::warn!(findings = findings.len(), "config refused"),
        EventKind::LevelChanged { route, from, to, reason } if to > from => {
            tracing::warn!(%route, %from, %to, %reason, "level changed");
        }
        EventKind::LevelChanged { route, from, to, reason } => {
            tracing::info!(%route, %from, %to, %reason, "level changed");
        }
        EventKind::LevelPinned { route, level, until, by, reason } => {
            let until = until.map(mainstay_core::event::format_time);
            tracing::warn!(%route, %level, until, %by, %reason, "level pinned");
        }
        EventKind::LevelReleased { route, reason } => tracing::info!(%route, %reason, "level released"),
        EventKind::BreakerChanged { backend, from, to, reason } => {
            tracing::warn!(%backend, %from, %to, %reason, "breaker changed");
        }
        EventKind::GroupChanged { group, from, to, reason, members: _ } => {
            tracing::warn!(%group, %from, %to, %reason, "group changed");
        }
        EventKind::LimitChanged { backend, from, to, reason } => {
            tracing::debug!(%backend, from, to, %reason, "limit changed");
        }
        EventKind::EndpointEjected { backend, endpoint } => tracing::warn!(%backend, %endpoint, "endpoint ejected"),
        EventKind::KeyRests { backend, key, reason, until } => {
            tracing::warn!(%backend, key, %reason, until = %mainstay_core::event::format_time(*until), "key left out");
        }
        EventKind::KeyReturned { backend, key } => tracing::info!(%backend, key, "key used again"),
        EventKind::EndpointReturned { backend, endpoint } => tracing::info!(%backend, %endpoint, "endpoint returned"),
        EventKind::HealthChanged { component, healthy, reason } => {
            tracing::warn!(%component, healthy, %reason, "health changed");
        }
        EventKind::SloStatusChanged { slo, from, to, remaining, event } => {
            tracing::warn!(%slo, %from, %to, remaining, event, "budget status changed");
        }
        EventKind::SloAlertFired(alert) if alert.severity == "page" => {
            tracing::error!(slo = %alert.slo, why = %alert.why, burn = alert.burn, "budget alert fires");
        }
        EventKind::SloAlertFired(alert) => {
            tracing::warn!(slo = %alert.slo, why = %alert.why, burn = alert.burn, "budget alert fires");
        }
        EventKind::SloAlertResolved(alert) => {
            tracing::info!(slo = %alert.slo, why = %alert.why, "budget alert resolved");
        }
        EventKind::DriftStatusChanged(it) => {
            tracing::warn!(name = %it.name, from = %it.from, to = %it.to, value = it.value, "drift verdict changed");
        }
        EventKind::DriftAlarmRaised { name, detector, .. } => tracing::warn!(%name, %detector, "drift alarm"),
        EventKind::QualityStatusChanged(it) => {
            tracing::warn!(route = %it.route, metric = %it.metric, from = %it.from, to = %it.to, value = it.value, "quality changed");
        }
        EventKind::SignalChanged { name, from, to, value, bound } => {
            tracing::warn!(%name, %from, %to, value, bound, "signal changed");
        }
        EventKind::IncidentOpened(it) => {
            tracing::warn!(id = %it.incident, kind = %it.kind, severity = %it.severity, title = %it.title, "incident opened");
        }
        EventKind::IncidentChanged(it) => {
            tracing::warn!(id = %it.incident, severity = %it.severity, status = %it.status, by = %it.by, "incident changed");
        }
        EventKind::IncidentNotified { incident, notice, channel, purpose, outcome } => {
            tracing::info!(%incident, %notice, %channel, %purpose, %outcome, "notice ended");
        }
        EventKind::TrainingFailed(run) => {
            tracing::warn!(run = %run.run, name = %run.name, state = %run.state, reason = %run.reason, "training run failed");
        }
        EventKind::TrainingFinished(run) => {
            tracing::info!(run = %run.run, name = %run.name, attempts = run.attempts, "training run finished");
        }
        EventKind::ModelPromoted(it) => {
            tracing::info!(model = %it.model, version = %it.model_version, rollback = it.rollback, "model promoted");
        }
        EventKind::ModelPromotionFailed { model, model_version, outcome, reason } => {
            tracing::error!(%model, %model_version, %outcome, %reason, "model not promoted");
        }
        EventKind::ExperimentChanged(it) => {
            tracing::warn!(run = %it.run, experiment = %it.experiment, phase = %it.phase, reason = it.reason.as_deref(), by = %it.by, "experiment");
        }
        EventKind::ExperimentEnded { run, experiment, verdict, reason, .. } => {
            tracing::warn!(%run, %experiment, %verdict, %reason, "experiment ended");
        }
        EventKind::HaltChanged { halted, by, reason } => tracing::warn!(halted, %by, %reason, "halt of all faults"),
        EventKind::GamedayChanged { gameday, to, what, .. } => tracing::info!(%gameday, %to, %what, "game day"),
        EventKind::RequestFinished(request) => tracing::trace!(
            request_id = %request.request_id,
            route = %request.route,
            class = %request.class,
            level = request.level.map(mainstay_core::route::Level::number),
            code = request.code,
            attempts = request.attempts,
            duration_us = request.duration.as_micros() as u64,
            "request finished"
        ),
    }
}
