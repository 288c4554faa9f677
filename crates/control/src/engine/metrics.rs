//! Budgets and the store as metrics.

use std::time::Duration;

use mainstay_core::drift::verdict::Status;
use mainstay_core::metric::{Family, Kind, Sample, Value};
use mainstay_core::quality::slices::slice_of;
use mainstay_core::slo::window::written;

use super::Engine;

type Labels = Vec<(&'static str, String)>;

pub(super) fn families(engine: &Engine) -> Vec<Family> {
    let mut all = budgets(engine);
    all.extend(drift(engine));
    all.extend(quality(engine));
    all.extend(store(engine));
    all
}

fn budgets(engine: &Engine) -> Vec<Family> {
    let now = engine.now();
    let budgets = engine.budgets();
    let ids: Vec<_> = budgets.core.objectives().map(|(id, objective)| (id, objective.name.clone())).collect();
    let answers: Vec<_> = ids.into_iter().map(|(id, name)| (name, budgets.core.answer(id, now))).collect();
    let label = |name: &String| vec![("slo", name.clone())];
    let remaining = answers.iter().map(|(name, answer)| (label(name), answer.budget.remaining));
    let since_start = |name: &String| budgets.since_start(name);
    let good = answers.iter().map(|(name, _)| (label(name), since_start(name).good));
    let bad = answers.iter().map(|(name, _)| (label(name), since_start(name).bad));
    let burn = answers.iter().flat_map(|(name, answer)| {
        let rates = answer.burn.iter().filter_map(|burn| Some((burn.window, burn.rate?)));
        rates.map(move |(window, rate)| (vec![("slo", name.clone()), ("window", written(window))], rate))
    });
    let firing = answers.iter().flat_map(|(name, answer)| {
        let labels = |severity: &str| vec![("slo", name.clone()), ("severity", severity.to_owned())];
        let count = |severity: &str| answer.alerts.iter().filter(|alert| alert.severity.name() == severity).count();
        ["page", "ticket"].map(|severity| (labels(severity), count(severity) as f64))
    });
    vec![
        gauges(
            "mainstay_slo_budget_remaining_ratio",
            "The share of the budget that is left; below 0: overspent.",
            remaining,
        ),
        gauges("mainstay_slo_burn_rate", "The bad share of a look-back over what is allowed.", burn),
        counters("mainstay_slo_good", "Good events that were counted since the start.", good),
        counters("mainstay_slo_bad", "Bad events that were counted since the start.", bad),
        gauges("mainstay_slo_alerts_firing", "Alerts on how the budget burns that fire.", firing),
    ]
}

fn store(engine: &Engine) -> Vec<Family> {
    let stats = engine.store().stats();
    let one = |value: f64| std::iter::once((Labels::new(), value));
    vec![
        counter("mainstay_store_commits", "Transactions of the store.", stats.commits),
        counter("mainstay_store_refused", "Writes that were turned away because too many waited.", stats.refused),
        counter("mainstay_store_failed", "Writes that failed.", stats.failed),
        gauges("mainstay_store_queued", "Writes that wait.", one(stats.queued as f64)),
        gauges("mainstay_store_bytes", "The size of the store's file.", one(stats.size_bytes as f64)),
    ]
}

/// How long back quality is measured for the page of metrics.
const QUALITY_WINDOW: Duration = Duration::from_hours(24);

fn quality(engine: &Engine) -> Vec<Family> {
    let from = slice_of(engine.now() - QUALITY_WINDOW);
    let quality = engine.quality();
    let (mut values, mut low, mut high, mut coverage) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (route, task) in quality.measured() {
        let summary = quality.slices.together(route, from);
        if summary.predicted > 0 {
            let share = summary.labelled as f64 / summary.predicted as f64;
            coverage.push((vec![("route", route.to_owned())], share));
        }
        for metric in task.metrics() {
            let Some(estimate) = summary.metric(task, metric).filter(|it| it.value.is_finite()) else { continue };
            let labels = || vec![("route", route.to_owned()), ("metric", (*metric).to_owned())];
            values.push((labels(), estimate.value));
            low.push((labels(), estimate.interval.low));
            high.push((labels(), estimate.interval.high));
        }
    }
    let counted = quality.counted;
    let labels = [
        ("joined", counted.joined),
        ("superseded", counted.superseded),
        ("unreadable", counted.unreadable),
        ("not_sampled", counted.not_sampled),
        ("expired", counted.expired),
    ];
    vec![
        gauges("mainstay_quality", "A measure over predictions of a day.", values.into_iter()),
        gauges("mainstay_quality_low", "The lower end of its 95 % interval.", low.into_iter()),
        gauges("mainstay_quality_high", "The upper end of its 95 % interval.", high.into_iter()),
        gauges("mainstay_label_coverage_ratio", "The share of predictions that has a label.", coverage.into_iter()),
        counter("mainstay_quality_slices_dropped", "Slices that gave way to later ones.", quality.slices.dropped()),
        gauges(
            "mainstay_labels_waiting",
            "Labels without their predictions.",
            std::iter::once((Labels::new(), quality.waiting() as f64)),
        ),
        counters(
            "mainstay_labels",
            "What became of labels.",
            labels.into_iter().map(|(outcome, count)| (vec![("outcome", outcome.to_owned())], count)),
        ),
    ]
}

fn drift(engine: &Engine) -> Vec<Family> {
    let watching = engine.watching();
    let label = |name: &str| vec![("name", name.to_owned())];
    let status = |status: Status| match status {
        Status::NoData => 0.0,
        Status::InsufficientData => 1.0,
        Status::Ok => 2.0,
        Status::DriftDetected => 3.0,
        Status::Alert => 4.0,
    };
    let statuses: Vec<_> = watching.monitors().map(|(_, _, m)| (label(&m.name), status(m.status()))).collect();
    let alarms: Vec<_> = watching
        .monitors()
        .map(|(_, _, monitor)| (label(&monitor.name), f64::from(u8::from(monitor.alarm().is_some()))))
        .collect();
    let scores = watching.monitors().flat_map(|(_, _, monitor)| {
        let scores = monitor.last().map_or(&[][..], |(_, outcome)| &outcome.scores);
        let of = |method: &str| vec![("name", monitor.name.clone()), ("method", method.to_owned())];
        scores.iter().filter(|score| score.value.is_finite()).map(move |score| (of(score.method.name()), score.value))
    });
    let scores: Vec<_> = scores.collect();
    vec![
        gauges("mainstay_drift_score", "What a method said of the last window.", scores.into_iter()),
        gauges(
            "mainstay_drift_status",
            "Of the last window: 0 no data, 1 too little, 2 ok, 3 drift detected, 4 alert.",
            statuses.into_iter(),
        ),
        gauges("mainstay_drift_alarm", "1 while an alarm of a monitor holds.", alarms.into_iter()),
    ]
}

fn gauges(name: &'static str, help: &'static str, of: impl Iterator<Item = (Labels, f64)>) -> Family {
    let samples = of.map(|(labels, value)| Sample { labels, value: Value::Gauge(value) }).collect();
    Family { name, help, kind: Kind::Gauge, samples }
}

fn counters(name: &'static str, help: &'static str, of: impl Iterator<Item = (Labels, u64)>) -> Family {
    let samples = of.map(|(labels, count)| Sample { labels, value: Value::Count(count) }).collect();
    Family { name, help, kind: Kind::Counter, samples }
}

fn counter(name: &'static str, help: &'static str, count: u64) -> Family {
    counters(name, help, std::iter::once((Labels::new(), count)))
}
