//! The five kinds of objective.

use std::time::Duration;

use mainstay_core::route::Level;
use mainstay_core::slo::objective::{Category, Direction, FEATURES_STALE, Kind, LatencyOf};

use super::parts::{Parts, source};
use super::{Known, Placed, impossible, no_such};
use crate::code::Code;
use crate::finding::Finding;
use crate::lower::{check_name, no_effect, value_or};
use crate::raw::slo as raw;
use crate::read::{Entry, Reader};
use crate::span::{At, Span};

/// By how much a quality metric may be worse.
const ALLOWED_DEGRADATION: f64 = 0.05;

/// The fastest pair of burn rates that wakes a person; where it cannot occur, nothing pages within the hour.
const PAGE_BURN: f64 = 14.4;

/// The parts of a section whose fields carry their names.
macro_rules! parts {
    ($raw:expr, $($field:ident),*) => {{
        let mut parts = Parts::default();
        $( parts.$field = $raw.$field.as_ref(); )*
        parts
    }};
}

pub(super) fn availability(at: &At<raw::Availability>, known: &Known<'_>, reader: &mut Reader<'_>) -> Vec<Placed> {
    let raw = &at.value;
    let parts = parts!(raw, name, description, route, class, model, filter, window, budgeting, policy);
    parts.check(known, reader);
    let target = raw.target.as_ref().and_then(|target| share(target, reader));
    let kind = if raw.given.contains("source") {
        let spans = [
            raw.min_confidence.as_ref().map(|key| key.span),
            raw.confidence_required.as_ref().map(|key| key.span),
            raw.good_levels.as_ref().map(|key| key.span),
        ];
        for span in spans.into_iter().flatten() {
            no_effect(span, "the `source` says what is good", reader);
        }
        let source = raw.source.as_ref().and_then(|at| source(at, reader));
        target.zip(source).map(|(target, source)| Kind::External { target, category: Category::Availability, source })
    } else {
        target.map(|target| Kind::Availability {
            target,
            min_confidence: value_or(raw.min_confidence.as_ref(), 0.0),
            confidence_required: value_or(raw.confidence_required.as_ref(), false),
            good_levels: value_or(raw.good_levels.as_ref(), good_levels()),
        })
    };
    kind.map(|kind| (place(&parts, at.span), parts.objective(kind, None, known))).into_iter().collect()
}

fn good_levels() -> Level {
    Level::new(2).expect("2 is a level")
}

fn place(parts: &Parts<'_>, item: Span) -> Span {
    parts.name.map_or(item, |name| name.span)
}

/// A share of events that can be kept and can be missed.
fn share(target: &At<f64>, reader: &mut Reader<'_>) -> Option<f64> {
    if target.value >= 1.0 {
        impossible(target.span, "100% leaves no budget: one bad request misses it for ever", "such as `99.9%`", reader);
        return None;
    }
    if target.value <= 0.0 {
        impossible(target.span, "0% is met by answering nothing", "such as `99.9%`", reader);
        return None;
    }
    let highest = 1.0 / (1.0 - target.value);
    if highest < PAGE_BURN {
        let message =
            format!("this burns at {highest:.1} when everything fails, and the fastest page is at {PAGE_BURN}");
        let help = "above 93.1% that page can fire; below, only slower ones";
        reader.report(Finding::new(Code::BurnUnreachable, target.span, message).help(help));
    }
    Some(target.value)
}

pub(super) fn latency(at: &At<raw::LatencyObjective>, known: &Known<'_>, reader: &mut Reader<'_>) -> Vec<Placed> {
    let raw = &at.value;
    let parts = parts!(raw, name, description, route, class, model, filter, window, budgeting, policy);
    parts.check(known, reader);
    let of = value_or(raw.of.as_ref(), LatencyOf::EndToEnd);
    let mut kinds = percentiles(raw, of, reader);
    kinds.extend(limits(at, of, reader));
    let several = kinds.len() > 1;
    let finish = |kind: Kind| {
        let suffix = kind.suffix();
        let suffix = suffix.strip_prefix("latency_").unwrap_or(&suffix);
        (place(&parts, at.span), parts.objective(kind, several.then_some(suffix), known))
    };
    kinds.into_iter().map(finish).collect()
}

fn percentiles(raw: &raw::LatencyObjective, of: LatencyOf, reader: &mut Reader<'_>) -> Vec<Kind> {
    let written = [
        ("p50", 0.5, &raw.p50),
        ("p90", 0.9, &raw.p90),
        ("p95", 0.95, &raw.p95),
        ("p99", 0.99, &raw.p99),
        ("p999", 0.999, &raw.p999),
    ];
    let mut before: Option<(&str, Duration)> = None;
    let mut kinds = Vec::new();
    for (key, share, at) in written.into_iter().filter_map(|(key, share, at)| Some((key, share, at.as_ref()?))) {
        if let Some((lower, longest)) = before.filter(|(_, longest)| at.value < *longest) {
            let message = format!("{key} cannot be shorter than {lower}, which is {longest:?}");
            impossible(at.span, &message, "a higher percentile is at least as long", reader);
        }
        before = Some((key, at.value));
        kinds.push(Kind::Latency { share, threshold: at.value, of });
    }
    kinds
}

/// Limits whose share `target` says, and external latencies.
fn limits(at: &At<raw::LatencyObjective>, of: LatencyOf, reader: &mut Reader<'_>) -> Vec<Kind> {
    let raw = &at.value;
    let limits = [
        (raw.within.as_ref(), of),
        (raw.ttft.as_ref(), LatencyOf::FirstToken),
        (raw.tpot.as_ref(), LatencyOf::PerToken),
    ];
    let needs_target = ["within", "ttft", "tpot", "source"].iter().any(|key| raw.given.contains(key));
    let has_percentile = ["p50", "p90", "p95", "p99", "p999"].iter().any(|key| raw.given.contains(key));
    if !needs_target {
        if !has_percentile {
            let finding = Finding::new(Code::ExactlyOne, at.span, "a latency objective needs a percentile");
            reader.report(finding.help("such as `p99: 200ms`, or `within: 200ms` with `target: 99.5%`"));
        }
        if let Some(target) = &raw.target {
            no_effect(target.span, "a percentile is its own target", reader);
        }
        return Vec::new();
    }
    let Some(target) = &raw.target else {
        if !raw.given.contains("target") {
            let message = "`within`, `ttft`, `tpot` and `source` need `target`, the share that keeps them";
            reader.report(Finding::new(Code::MissingKey, at.span, message).help("such as `target: 99%`"));
        }
        return Vec::new();
    };
    let Some(share) = share(target, reader) else { return Vec::new() };
    let mut kinds: Vec<Kind> = limits
        .into_iter()
        .filter_map(|(limit, of)| Some(Kind::Latency { share, threshold: limit?.value, of }))
        .collect();
    if let Some(source) = raw.source.as_ref().and_then(|at| source(at, reader)) {
        kinds.push(Kind::External { target: share, category: Category::Latency, source });
    }
    kinds
}

pub(super) fn quality(at: &At<raw::Quality>, known: &Known<'_>, reader: &mut Reader<'_>) -> Vec<Placed> {
    let raw = &at.value;
    let parts = parts!(raw, name, description, route, class, model, filter, window, policy);
    parts.check(known, reader);
    let allowed = value_or(raw.allowed_degradation.as_ref(), ALLOWED_DEGRADATION);
    if let Some(allowed) = raw.allowed_degradation.as_ref().filter(|allowed| allowed.value >= 1.0) {
        impossible(allowed.span, "this allows any quality at all", "such as `5%`", reader);
    }
    if let Some(baseline) = raw.baseline.as_ref().filter(|baseline| baseline.value <= 0.0) {
        impossible(baseline.span, "a baseline of zero cannot get worse", "what the metric was at acceptance", reader);
    }
    let (Some(metric), Some(baseline)) = (&raw.metric, &raw.baseline) else { return Vec::new() };
    check_name(metric, "a metric", reader);
    let Some(direction) = direction(raw, metric, reader) else { return Vec::new() };
    let kind = Kind::quality(&metric.value, direction, baseline.value, allowed).map(|kind| match kind {
        Kind::Quality { metric, direction, baseline, allowed_degradation, .. } => Kind::Quality {
            metric,
            direction,
            baseline,
            allowed_degradation,
            label_delay: value_or(raw.label_delay.as_ref(), Duration::ZERO),
        },
        other => other,
    });
    kind.map(|kind| (place(&parts, at.span), parts.objective(kind, None, known))).into_iter().collect()
}

fn direction(raw: &raw::Quality, metric: &At<String>, reader: &mut Reader<'_>) -> Option<Direction> {
    let usual = Direction::of_metric(&metric.value);
    match (&raw.direction, usual) {
        (Some(written), Some(usual)) if written.value != usual => {
            let finding =
                Finding::new(Code::Order, written.span, format!("`{}` is better the other way", metric.value));
            reader.report(finding.help("leave `direction` out, or name another metric"));
            None
        }
        (Some(written), _) => Some(written.value),
        (None, Some(usual)) => Some(usual),
        (None, None) if raw.given.contains("direction") => None,
        (None, None) => {
            let message = format!("whether a higher `{}` is better is not known", metric.value);
            reader.report(Finding::new(Code::MissingKey, metric.span, message).help("`direction: higher` or `lower`"));
            None
        }
    }
}

pub(super) fn freshness(at: &At<raw::Freshness>, known: &Known<'_>, reader: &mut Reader<'_>) -> Vec<Placed> {
    let raw = &at.value;
    let parts = parts!(raw, name, description, route, window, policy);
    parts.check(known, reader);
    if !["model", "features", "views", "reviews", "queues"].iter().any(|key| raw.given.contains(key)) {
        let message = "freshness is of the `model`, the `features`, or `reviews`";
        reader.report(Finding::new(Code::ExactlyOne, at.span, message).help("such as `{ model: 7d, features: 1h }`"));
    }
    let stale = value_or(raw.allowed_stale.as_ref(), FEATURES_STALE);
    if let Some(stale) = raw.allowed_stale.as_ref().filter(|stale| stale.value >= 1.0) {
        impossible(stale.span, "this allows any age", "such as `1%`", reader);
    }
    let features = |max_age, view| Kind::FeatureFreshness { max_age, view, allowed_stale: stale };
    let reviews = |max_age, queue| Kind::ReviewAge { max_age, queue, allowed_late: stale };
    let mut kinds = Vec::new();
    if let Some(model) = &raw.model {
        kinds.push((Kind::ModelFreshness { max_age: model.value }, Suffix::Key("model")));
    }
    if let Some(age) = &raw.features {
        kinds.push((features(age.value, None), Suffix::Key("features")));
    }
    for (name, age) in named(raw.views.as_ref(), "feature set", known.views, reader) {
        kinds.push((features(age, Some(name.clone())), Suffix::Name(name)));
    }
    if let Some(age) = &raw.reviews {
        kinds.push((reviews(age.value, None), Suffix::Key("reviews")));
    }
    for (name, age) in named(raw.queues.as_ref(), "queue", known.queues, reader) {
        kinds.push((reviews(age, Some(name.clone())), Suffix::Name(name)));
    }
    let several = kinds.len() > 1;
    let finish = |(kind, suffix): (Kind, Suffix)| {
        let written = match &suffix {
            Suffix::Key(key) => *key,
            Suffix::Name(name) => name.as_str(),
        };
        let mut objective = parts.objective(kind, several.then_some(written), known);
        if let (Suffix::Name(name), None) = (&suffix, &parts.name) {
            objective.name = format!("{}_{name}", objective.name);
        }
        (place(&parts, at.span), objective)
    };
    kinds.into_iter().map(finish).collect()
}

/// What tells objectives apart that come from one item.
enum Suffix {
    Key(&'static str),
    /// A name that the config gave; it is always a part of the objective's.
    Name(String),
}

/// Ages by name, those whose name is not `known` reported.
fn named(
    ages: Option<&At<Vec<Entry<Duration>>>>,
    what: &str,
    known: Option<&[&str]>,
    reader: &mut Reader<'_>,
) -> Vec<(String, Duration)> {
    let mut found = Vec::new();
    for entry in ages.iter().flat_map(|ages| &ages.value) {
        if let Some(known) = known.filter(|known| !known.contains(&entry.name.value.as_str())) {
            no_such(&entry.name, what, known, reader);
        }
        found.extend(entry.value.as_ref().map(|age| (entry.name.value.clone(), age.value)));
    }
    found
}

pub(super) fn safety(at: &At<raw::Safety>, known: &Known<'_>, reader: &mut Reader<'_>) -> Vec<Placed> {
    let raw = &at.value;
    let parts = parts!(raw, name, description, route, class, model, filter, window, policy);
    parts.check(known, reader);
    let Some(rate) = &raw.max_rate else { return Vec::new() };
    if rate.value == 0.0 || rate.value == 1.0 {
        let help = "give the rate that is tolerable, such as 0.0001: every confirmed event counts besides";
        impossible(rate.span, "no number of requests shows a rate of exactly this", help, reader);
    }
    let objective = parts.objective(Kind::Safety { max_rate: rate.value }, None, known);
    vec![(place(&parts, at.span), objective)]
}
