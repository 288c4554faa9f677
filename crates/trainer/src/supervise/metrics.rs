//! A run's numbers as OpenMetrics, for whoever scrapes files (node_exporter's textfile collector).

use std::sync::atomic::AtomicU64;

use mainstay_core::training::State;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use super::Summary;

type Labels = Vec<(String, String)>;

/// The text of a summary's numbers.
pub(super) fn exposition(summary: &Summary) -> String {
    let labels = [("name", &summary.name), ("run", &summary.run)];
    let labels = labels.map(|(name, value)| (name.into(), value.clone().into()));
    let mut registry = Registry::with_prefix_and_labels("mainstay_training", labels.into_iter());
    let seconds = |millis: u64| millis as f64 / 1e3;
    let is_active = match summary.state {
        State::Starting | State::Running | State::Waiting | State::Stopping => 1.0,
        State::Succeeded | State::Failed | State::TimedOut | State::Preempted | State::ValidationFailed => 0.0,
    };
    let succeeded = (summary.state == State::Succeeded).then(|| seconds(summary.updated_ms));
    let gauges: [(&str, &str, Option<f64>); 14] = [
        ("active_runs", "Whether the run is under way", Some(is_active)),
        ("step", "The last step", summary.step.map(|step| step as f64)),
        ("total_steps", "All steps", summary.total.map(|total| total as f64)),
        ("attempts", "Times that the command was started", Some(f64::from(summary.attempts))),
        ("goodput_ratio", "Share of time that went into steps that are kept", Some(summary.goodput)),
        ("progress_ratio", "Share of all steps", summary.progress_percent.map(|percent| f64::from(percent) / 100.0)),
        ("steps_per_second", "Steps per second", summary.steps_per_second),
        (
            "estimated_remaining_seconds",
            "Time that is left, restarts as so far included",
            summary.estimated_remaining_seconds.map(|left| left as f64),
        ),
        (
            "checkpoint_interval_seconds",
            "Time between checkpoints that the script was told",
            summary.checkpoint_interval_s,
        ),
        ("mean_time_between_failures_seconds", "Mean time between failures", summary.mtbf_s),
        ("start_timestamp_seconds", "When the run began", Some(seconds(summary.started_ms))),
        ("update_timestamp_seconds", "When this was written", Some(seconds(summary.updated_ms))),
        ("last_success_timestamp_seconds", "When the run succeeded", succeeded),
        ("warnings", "What people should know, see status.json", Some(summary.warnings.len() as f64)),
    ];
    for (name, help, value) in gauges {
        if let Some(value) = value {
            registry.register(name, help, ConstGauge::new(value));
        }
    }
    registry.register("lost_steps", "Steps that were made and lost", ConstCounter::new(summary.lost_steps));
    registry.register("checkpoints", "Checkpoints that were committed", ConstCounter::new(summary.checkpoints));
    let spent = Family::<Labels, Gauge<f64, AtomicU64>>::default();
    for (bucket, seconds) in &summary.seconds {
        spent.get_or_create(&vec![("bucket".to_owned(), (*bucket).to_owned())]).set(*seconds);
    }
    registry.register("spent_seconds", "Where the time went", spent);
    let mut text = String::new();
    encode(&mut text, &registry).expect("a string takes all");
    text
}
