//! The groups of one objective.

use std::time::Duration;

use mainstay_core::slo::burn::{Pair, Severity};
use mainstay_core::slo::window;

use crate::openslo::percent;

use super::{BUCKET, GROUP_RULES_MAX, Group, Rule, Sli, Target, promql};

pub(super) fn groups(target: &Target<'_>) -> Vec<Group> {
    let ids = Ids::new(target);
    let mut groups = Vec::new();
    if target.budget() > 0.0 {
        groups.push(group("sli-recordings", None, sli(target, &ids), &ids));
        groups.push(group("period-recordings", period_interval(target), period(target, &ids), &ids));
    }
    groups.push(group("meta-recordings", None, meta(target, &ids), &ids));
    groups.push(group("alerts", None, alerts(target, &ids), &ids));
    groups.retain(|group| !group.rules.is_empty());
    debug_assert!(groups.iter().all(|group| group.rules.len() <= GROUP_RULES_MAX));
    groups
}

/// What tells an objective's series from those of others.
struct Ids {
    id: String,
    labels: Vec<(&'static str, String)>,
    selector: String,
}

impl Ids {
    fn new(target: &Target<'_>) -> Ids {
        let id = format!("{}-{}", target.service, target.name);
        let labels = vec![
            ("sloth_id", id.clone()),
            ("sloth_service", target.service.to_owned()),
            ("sloth_slo", target.name.to_owned()),
        ];
        let matchers: Vec<String> =
            labels.iter().map(|(key, value)| format!("{key}={}", promql::quoted(value))).collect();
        Ids { id, labels, selector: format!("{{{}}}", matchers.join(", ")) }
    }

    fn with(&self, key: &'static str, value: impl Into<String>) -> Vec<(&'static str, String)> {
        let mut labels = self.labels.clone();
        labels.push((key, value.into()));
        labels
    }
}

impl Target<'_> {
    /// The share of events that may be bad; digits that binary fractions add are left out.
    fn budget(&self) -> f64 {
        (self.allowed * 1e12).round() / 1e12
    }

    fn target(&self) -> f64 {
        ((1.0 - self.allowed) * 1e12).round() / 1e12
    }
}

fn group(kind: &str, interval: Option<Duration>, rules: Vec<Rule>, ids: &Ids) -> Group {
    Group { name: format!("sloth-slo-{kind}-{}", ids.id), interval: interval.map(window::written), rules }
}

/// The windows that alerts look at, shortest first.
fn windows(pairs: &[Pair]) -> Vec<Duration> {
    let mut windows: Vec<Duration> = pairs.iter().flat_map(|pair| [pair.short, pair.long]).collect();
    windows.sort_unstable();
    windows.dedup();
    windows
}

fn sli(target: &Target<'_>, ids: &Ids) -> Vec<Rule> {
    let of = |window: Duration| {
        let written = window::written(window);
        let expr = promql::error_ratio(&target.sli, target.name, window, target.budget());
        record(ratio_name(&written), expr, ids.with("sloth_window", written))
    };
    windows(&target.pairs).into_iter().filter(|window| *window != target.window).map(of).collect()
}

fn ratio_name(window: &str) -> String {
    format!("slo:sli_error:ratio_rate{window}")
}

/// By how much the roots of bad events and of allowed ones must differ, that chance brings it once in 100,000 looks: half
/// the normal quantile. The root of a Poisson count has a deviation of a half (Anscombe 1948); with few events this asks
/// for a little more than the exact bound that mainstay's own alerts use.
const BEYOND_CHANCE: f64 = 2.1325;

const BAD_EVENTS: &str = "slo:sli_bad_events:increase5m";
const ALL_EVENTS: &str = "slo:sli_total_events:increase5m";

/// The whole window. Its events are added up from buckets: a range of 30 days over raw samples would cost minutes.
fn period(target: &Target<'_>, ids: &Ids) -> Vec<Rule> {
    let written = window::written(target.window);
    let ratio = |expr: String| record(ratio_name(&written), expr, ids.with("sloth_window", written.clone()));
    match target.sli {
        Sli::Counters | Sli::Good { .. } | Sli::Bad { .. } if target.is_rolling => {
            let bad = promql::bad(&target.sli, target.name, BUCKET);
            let all = promql::total(&target.sli, target.name, BUCKET);
            let sums = format!(
                "sum_over_time({BAD_EVENTS}{0}[{written}])\n/\n(sum_over_time({ALL_EVENTS}{0}[{written}]) > 0)",
                ids.selector
            );
            // A bucket without events is a bucket: it adds nothing, and keeps the sum from ending.
            let all = format!("({all}) or vector(0)");
            vec![
                record(BAD_EVENTS.to_owned(), bad, ids.labels.clone()),
                record(ALL_EVENTS.to_owned(), all, ids.labels.clone()),
                ratio(sums),
            ]
        }
        Sli::Counters | Sli::Good { .. } | Sli::Bad { .. } | Sli::Gauges => {
            let slo = promql::quoted(target.name);
            let expr = format!("(1 - max(mainstay_slo_budget_remaining_ratio{{slo={slo}}})) * {}", target.budget());
            vec![ratio(expr)]
        }
    }
}

/// Buckets lie side by side only if they are taken as often as they are long.
fn period_interval(target: &Target<'_>) -> Option<Duration> {
    let summed = target.is_rolling && target.sli != Sli::Gauges;
    summed.then_some(BUCKET)
}

fn meta(target: &Target<'_>, ids: &Ids) -> Vec<Rule> {
    let budget = target.budget();
    let plain = |name: &str, expr: String| record(name.to_owned(), expr, ids.labels.clone());
    let mut rules = vec![
        plain("slo:objective:ratio", format!("vector({})", target.target())),
        plain("slo:error_budget:ratio", format!("vector({budget})")),
        plain("slo:time_period:days", format!("vector({})", target.window.as_secs_f64() / 86_400.0)),
    ];
    let selector = &ids.selector;
    if budget > 0.0 {
        let burn = |window: &str| {
            format!(
                "{}{selector}\n/ on(sloth_id, sloth_slo, sloth_service) group_left\nslo:error_budget:ratio{selector}",
                ratio_name(window)
            )
        };
        let shortest = windows(&target.pairs).first().copied().unwrap_or(target.window);
        rules.push(plain("slo:current_burn_rate:ratio", burn(&window::written(shortest))));
        rules.push(plain("slo:period_burn_rate:ratio", burn(&window::written(target.window))));
        let remaining = format!("1 - slo:period_burn_rate:ratio{selector}");
        rules.push(plain("slo:period_error_budget_remaining:ratio", remaining));
    } else {
        let expr = format!("max(mainstay_slo_budget_remaining_ratio{{slo={}}})", promql::quoted(target.name));
        rules.push(plain("slo:period_error_budget_remaining:ratio", expr));
    }
    let mut labels = ids.with("sloth_mode", "mainstay");
    labels.extend([
        ("sloth_objective", percent(target.target()).trim_end_matches('%').to_owned()),
        ("sloth_spec", "prometheus/v1".to_owned()),
        ("sloth_version", env!("CARGO_PKG_VERSION").to_owned()),
    ]);
    rules.push(record("sloth_slo_info".to_owned(), "vector(1)".to_owned(), labels));
    rules
}

fn alerts(target: &Target<'_>, ids: &Ids) -> Vec<Rule> {
    if target.budget() > 0.0 {
        return [Severity::Page, Severity::Ticket]
            .into_iter()
            .filter_map(|severity| burning(target, ids, severity))
            .collect();
    }
    let expr = format!("max(mainstay_slo_budget_remaining_ratio{{slo={}}}) <= 0", promql::quoted(target.name));
    let what = "has no budget left: it allows no bad event, and there was one";
    vec![alert(target, ids, Severity::Page, expr, what)]
}

/// One alert for all pairs of a severity: that they hold at once is one cause.
fn burning(target: &Target<'_>, ids: &Ids, severity: Severity) -> Option<Rule> {
    let mut expr = String::new();
    for pair in target.pairs.iter().filter(|pair| pair.severity == severity) {
        if !expr.is_empty() {
            expr.push_str("\nor\n");
        }
        expr.push_str(&both(target, ids, pair));
    }
    let what = "burns its error budget too fast";
    (!expr.is_empty()).then(|| alert(target, ids, severity, expr, what))
}

fn both(target: &Target<'_>, ids: &Ids, pair: &Pair) -> String {
    let (selector, budget) = (&ids.selector, target.budget());
    let factor = (pair.factor * 1e6).round() / 1e6;
    let above = |window: Duration| {
        let name = ratio_name(&window::written(window));
        // Without its window, an alert stays the same one while its pairs take turns.
        format!("max({name}{selector} > ({factor} * {budget})) without (sloth_window)")
    };
    let guard = match target.sli {
        // What has no counters has no number of events; mainstay's own alerts know it.
        Sli::Gauges => String::new(),
        Sli::Counters | Sli::Good { .. } | Sli::Bad { .. } => {
            let bad = promql::bad(&target.sli, target.name, pair.long);
            let all = promql::total(&target.sli, target.name, pair.long);
            format!("\n    and on ()\n    (sqrt({bad}) - sqrt({budget} * ({all})) > {BEYOND_CHANCE})")
        }
    };
    format!("(\n    {}\n    and\n    {}{guard}\n)", above(pair.short), above(pair.long))
}

fn record(name: String, expr: String, labels: Vec<(&'static str, String)>) -> Rule {
    Rule { record: Some(name), alert: None, expr, labels, annotations: Vec::new() }
}

fn alert(target: &Target<'_>, ids: &Ids, severity: Severity, expr: String, what: &str) -> Rule {
    let severity = severity.name();
    let summary = format!("{} of {} {what}", target.name, target.service);
    let mut annotations =
        vec![("summary", summary), ("title", format!("({severity}) {} {}", target.service, target.name))];
    if !target.description.is_empty() {
        // Prometheus would take two braces for a template.
        annotations.push(("description", target.description.replace("{{", "{ {")));
    }
    Rule {
        record: None,
        alert: Some("MainstayErrorBudgetBurn".to_owned()),
        expr,
        labels: {
            let mut labels = ids.with("severity", severity);
            labels.push(("sloth_severity", severity.to_owned()));
            labels
        },
        annotations,
    }
}
