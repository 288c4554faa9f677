//! The groups of one objective.

use std::fmt::Write as _;
use std::time::Duration;

use crate::openslo::percent;

use super::{BUCKET, GROUP_RULES_MAX, Group, Rule, Sli, Target, Tier, promql};

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
        ((1.0 - self.target) * 1e12).round() / 1e12
    }

    fn target(&self) -> f64 {
        ((self.target * 1e12).round()) / 1e12
    }
}

fn group(kind: &str, interval: Option<Duration>, rules: Vec<Rule>, ids: &Ids) -> Group {
    Group { name: format!("sloth-slo-{kind}-{}", ids.id), interval: interval.map(promql::duration), rules }
}

/// The windows that alerts look at, shortest first.
fn windows(tiers: &[Tier]) -> Vec<Duration> {
    let mut windows: Vec<Duration> = tiers.iter().flat_map(|tier| [tier.short, tier.long]).collect();
    windows.sort_unstable();
    windows.dedup();
    windows
}

fn sli(target: &Target<'_>, ids: &Ids) -> Vec<Rule> {
    let of = |window: Duration| {
        let written = promql::duration(window);
        let expr = promql::error_ratio(&target.sli, target.name, window, target.budget());
        record(ratio_name(&written), expr, ids.with("sloth_window", written))
    };
    windows(&target.tiers).into_iter().filter(|window| *window != target.window).map(of).collect()
}

fn ratio_name(window: &str) -> String {
    format!("slo:sli_error:ratio_rate{window}")
}

const BAD_EVENTS: &str = "slo:sli_bad_events:increase5m";
const ALL_EVENTS: &str = "slo:sli_total_events:increase5m";

/// The whole window. Its events are added up from buckets: a range of 30 days over raw samples would cost minutes.
fn period(target: &Target<'_>, ids: &Ids) -> Vec<Rule> {
    let written = promql::duration(target.window);
    let ratio = |expr: String| record(ratio_name(&written), expr, ids.with("sloth_window", written.clone()));
    match target.sli {
        Sli::Gauges => {
            let slo = promql::quoted(target.name);
            let expr = format!("(1 - max(mainstay_slo_budget_remaining_ratio{{slo={slo}}})) * {}", target.budget());
            vec![ratio(expr)]
        }
        Sli::Counters | Sli::Good { .. } | Sli::Bad { .. } => {
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
    }
}

/// Buckets lie side by side only if they are taken as often as they are long.
fn period_interval(target: &Target<'_>) -> Option<Duration> {
    match target.sli {
        Sli::Gauges => None,
        Sli::Counters | Sli::Good { .. } | Sli::Bad { .. } => Some(BUCKET),
    }
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
        let shortest = windows(&target.tiers).first().copied().unwrap_or(target.window);
        rules.push(plain("slo:current_burn_rate:ratio", burn(&promql::duration(shortest))));
        rules.push(plain("slo:period_burn_rate:ratio", burn(&promql::duration(target.window))));
        let remaining = format!("1 - slo:period_burn_rate:ratio{selector}");
        rules.push(plain("slo:period_error_budget_remaining:ratio", remaining));
    } else {
        let expr = format!("max(mainstay_slo_budget_remaining_ratio{{slo={}}})", promql::quoted(target.name));
        rules.push(plain("slo:period_error_budget_remaining:ratio", expr));
    }
    let mut labels = ids.with("sloth_mode", "mainstay");
    labels.extend([
        ("sloth_objective", percent(target.target).trim_end_matches('%').to_owned()),
        ("sloth_spec", "prometheus/v1".to_owned()),
        ("sloth_version", env!("CARGO_PKG_VERSION").to_owned()),
    ]);
    rules.push(record("sloth_slo_info".to_owned(), "vector(1)".to_owned(), labels));
    rules
}

fn alerts(target: &Target<'_>, ids: &Ids) -> Vec<Rule> {
    if target.budget() > 0.0 {
        return [true, false].into_iter().filter_map(|page| burning(target, ids, page)).collect();
    }
    let expr = format!("max(mainstay_slo_budget_remaining_ratio{{slo={}}}) <= 0", promql::quoted(target.name));
    let what = "has no budget left: it allows no bad event, and there was one";
    vec![alert(target, ids, true, expr, what)]
}

/// One alert for all pairs of a severity: that they hold at once is one cause.
fn burning(target: &Target<'_>, ids: &Ids, page: bool) -> Option<Rule> {
    let mut expr = String::new();
    for tier in target.tiers.iter().filter(|tier| tier.page == page) {
        if !expr.is_empty() {
            expr.push_str("\nor ignoring (sloth_window)\n");
        }
        let _ = write!(expr, "{}", pair(target, ids, tier));
    }
    let what = "burns its error budget too fast";
    (!expr.is_empty()).then(|| alert(target, ids, page, expr, what))
}

fn pair(target: &Target<'_>, ids: &Ids, tier: &Tier) -> String {
    let selector = &ids.selector;
    let above = |window: Duration| {
        let name = ratio_name(&promql::duration(window));
        format!("({name}{selector} > ({} * {}))", tier.factor, target.budget())
    };
    let guard = match target.sli {
        // mainstay's own alerts know how many events there were; a burn rate does not say it.
        Sli::Gauges => String::new(),
        Sli::Counters | Sli::Good { .. } | Sli::Bad { .. } => {
            let bad = promql::bad(&target.sli, target.name, tier.long);
            format!("\n    and on ()\n    ({bad} >= {})", target.min_bad)
        }
    };
    format!("(\n    {}\n    and ignoring (sloth_window)\n    {}{guard}\n)", above(tier.short), above(tier.long))
}

fn record(name: String, expr: String, labels: Vec<(&'static str, String)>) -> Rule {
    Rule { record: Some(name), alert: None, expr, labels, annotations: Vec::new() }
}

fn alert(target: &Target<'_>, ids: &Ids, page: bool, expr: String, what: &str) -> Rule {
    let severity = if page { "page" } else { "ticket" };
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
