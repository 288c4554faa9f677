//! Objectives as OpenSLO v1 documents.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mainstay_core::slo::objective::{Budgeting, Counted, Direction, Kind, Objective, Source};
use mainstay_core::slo::window::{Period, Window};
use serde_json::{Map, Value, json};

use super::duration::{shorthand, written};
use super::item::percent;
use super::{ITEM_KEY, NAME_KEY};

/// Documents, and what OpenSLO has no words for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exported {
    /// YAML documents: a Service, the DataSources, an SLO for each objective.
    pub text: String,
    /// Objectives that were left out, and why.
    pub left_out: Vec<(String, &'static str)>,
}

/// The objectives of a service as OpenSLO v1.
///
/// Each query counts mainstay's own metrics, so that any tool that reads Prometheus can evaluate the document; what
/// OpenSLO has no field for is kept in annotations, so that an import gives back the same objectives.
pub fn export(service: &str, objectives: &[Objective]) -> Exported {
    let service_name = label(service, &mut BTreeSet::new());
    let mut documents = vec![json!({
        "apiVersion": "openslo/v1", "kind": "Service",
        "metadata": { "name": service_name }, "spec": {},
    })];
    let sources = sources(objectives);
    documents.extend(sources.iter().map(|(url, name)| {
        json!({
            "apiVersion": "openslo/v1", "kind": "DataSource", "metadata": { "name": name },
            "spec": { "type": "Prometheus", "connectionDetails": { "url": url } },
        })
    }));
    let (mut taken, mut left_out) = (BTreeSet::new(), Vec::new());
    for objective in objectives {
        match body(objective, &sources) {
            Ok(mut spec) => {
                spec.insert("service".to_owned(), service_name.clone().into());
                documents.push(json!({
                    "apiVersion": "openslo/v1", "kind": "SLO",
                    "metadata": metadata(objective, &mut taken), "spec": spec,
                }));
            }
            Err(why) => left_out.push((objective.name.clone(), why)),
        }
    }
    let text = serde_saphyr::to_string_multiple(&documents).expect("JSON values are YAML");
    Exported { text, left_out }
}

fn sources(objectives: &[Objective]) -> BTreeMap<String, String> {
    let urls: BTreeSet<&str> = objectives
        .iter()
        .filter_map(|objective| match &objective.kind {
            Kind::External { source, .. } => Some(source.prometheus.as_str()),
            Kind::Availability { .. }
            | Kind::Latency { .. }
            | Kind::Quality { .. }
            | Kind::ModelFreshness { .. }
            | Kind::ReviewAge { .. }
            | Kind::FeatureFreshness { .. }
            | Kind::Safety { .. } => None,
        })
        .collect();
    urls.into_iter()
        .enumerate()
        .map(|(index, url)| {
            (url.to_owned(), if index == 0 { "prometheus".to_owned() } else { format!("prometheus-{}", index + 1) })
        })
        .collect()
}

fn metadata(objective: &Objective, taken: &mut BTreeSet<String>) -> Value {
    let name = label(&objective.name, taken);
    let mut annotations = Map::new();
    if name != objective.name {
        annotations.insert(NAME_KEY.to_owned(), objective.name.clone().into());
    }
    if let Some(own) = own(objective) {
        annotations.insert(ITEM_KEY.to_owned(), own.to_string().into());
    }
    let mut metadata = Map::from_iter([("name".to_owned(), name.into())]);
    if !annotations.is_empty() {
        metadata.insert("annotations".to_owned(), annotations.into());
    }
    metadata.into()
}

/// A name by RFC 1123 that no other document has.
fn label(name: &str, taken: &mut BTreeSet<String>) -> String {
    const LONGEST: usize = 63;
    let plain: String = name
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .take(LONGEST)
        .collect();
    let plain = plain.trim_matches('-');
    let plain = if plain.is_empty() { "slo" } else { plain };
    let numbered = (2..).map(|number| {
        let end = format!("-{number}");
        format!("{}{end}", &plain[..plain.len().min(LONGEST - end.len())])
    });
    let free = std::iter::once(plain.to_owned()).chain(numbered).find(|name| !taken.contains(name));
    let free = free.expect("numbers do not end");
    taken.insert(free.clone());
    free
}

fn body(objective: &Objective, sources: &BTreeMap<String, String>) -> Result<Map<String, Value>, &'static str> {
    let target = target(&objective.kind)?;
    let mut numbers = Map::from_iter([("target".to_owned(), number(target))]);
    let method = match objective.budgeting {
        Budgeting::Occurrences => "Occurrences",
        Budgeting::TimeSlices { slice, good_from, .. } => {
            numbers.insert("timeSliceTarget".to_owned(), number(good_from));
            numbers.insert("timeSliceWindow".to_owned(), slice_window(slice)?);
            "Timeslices"
        }
        Budgeting::RatioTimeSlices { slice } => {
            numbers.insert("timeSliceWindow".to_owned(), slice_window(slice)?);
            "RatioTimeslices"
        }
    };
    let mut spec = Map::new();
    spec.insert("description".to_owned(), objective.description.chars().take(1050).collect::<String>().into());
    let name = label(&format!("{}-sli", objective.name.chars().take(59).collect::<String>()), &mut BTreeSet::new());
    spec.insert(
        "indicator".to_owned(),
        json!({ "metadata": { "name": name }, "spec": { "ratioMetric": ratio(objective, sources) } }),
    );
    spec.insert("timeWindow".to_owned(), json!([window(&objective.window)?]));
    spec.insert("budgetingMethod".to_owned(), method.into());
    spec.insert("objectives".to_owned(), json!([numbers]));
    Ok(spec)
}

/// The share of good events or slices. OpenSLO's targets are below 1.
fn target(kind: &Kind) -> Result<f64, &'static str> {
    match kind {
        Kind::Safety { max_rate } => Ok(1.0 - max_rate),
        Kind::ModelFreshness { .. } => Err("OpenSLO cannot express an objective that tolerates nothing"),
        Kind::Availability { .. }
        | Kind::Latency { .. }
        | Kind::Quality { .. }
        | Kind::ReviewAge { .. }
        | Kind::FeatureFreshness { .. }
        | Kind::External { .. } => Ok(1.0 - kind.allowed_bad()),
    }
}

fn slice_window(slice: Duration) -> Result<Value, &'static str> {
    shorthand(slice).map(Value::from).ok_or("OpenSLO has no time slices of less than a minute")
}

fn window(window: &Window) -> Result<Value, &'static str> {
    match window {
        Window::Rolling(length) => {
            let duration = shorthand(*length).ok_or("OpenSLO has no windows of seconds")?;
            Ok(json!({ "duration": duration, "isRolling": true }))
        }
        Window::Calendar(calendar) => {
            // Any beginning that lies in the past says the same; the first of January 2024 was a Monday.
            let duration = match calendar.period() {
                Period::Day => "1d",
                Period::Week => "1w",
                Period::Month => "1M",
                Period::Quarter => "1Q",
                Period::Year => "1Y",
            };
            let start = json!({ "startTime": "2024-01-01 00:00:00", "timeZone": calendar.zone_name() });
            Ok(json!({ "duration": duration, "isRolling": false, "calendar": start }))
        }
    }
}

fn ratio(objective: &Objective, sources: &BTreeMap<String, String>) -> Value {
    let Kind::External { source, .. } = &objective.kind else {
        let slo = crate::rules::quoted(&objective.name);
        let good = format!("sum(mainstay_slo_good_total{{slo={slo}}})");
        let bad = format!("sum(mainstay_slo_bad_total{{slo={slo}}})");
        let metric = |query: String| json!({ "metricSource": { "type": "Prometheus", "spec": { "query": query } } });
        return json!({ "counter": true, "good": metric(good.clone()), "total": metric(format!("{good} + {bad}")) });
    };
    let metric = |query: &str| {
        json!({ "metricSource": {
            "metricSourceRef": sources.get(&source.prometheus), "type": "Prometheus", "spec": { "query": query },
        } })
    };
    let (key, part) = match &source.counted {
        Counted::Good(good) => ("good", good),
        Counted::Bad(bad) => ("bad", bad),
    };
    let counter = !crate::lower::has_window(part) && !crate::lower::has_window(&source.total);
    json!({ "counter": counter, key: metric(part), "total": metric(&source.total) })
}

/// The objective as a key of an item and what OpenSLO has no field for; `None` where its fields say everything.
fn own(objective: &Objective) -> Option<Value> {
    let mut keys = scope(objective);
    let kind = match &objective.kind {
        Kind::Availability { min_confidence, confidence_required, good_levels, .. } => {
            keys.insert("min_confidence".to_owned(), number(*min_confidence));
            keys.insert("confidence_required".to_owned(), (*confidence_required).into());
            keys.insert("good_levels".to_owned(), good_levels.number().into());
            "availability"
        }
        Kind::Latency { threshold, of, .. } => {
            keys.insert("within".to_owned(), written(*threshold).into());
            keys.insert("of".to_owned(), of.name().into());
            "latency"
        }
        Kind::Quality { metric, direction, baseline, allowed_degradation, label_delay } => {
            let better = match direction {
                Direction::HigherIsBetter => "higher",
                Direction::LowerIsBetter => "lower",
            };
            keys.insert("metric".to_owned(), metric.clone().into());
            keys.insert("direction".to_owned(), better.into());
            keys.insert("baseline".to_owned(), number(*baseline));
            keys.insert("allowed_degradation".to_owned(), percent(*allowed_degradation).into());
            keys.insert(
                "label_delay".to_owned(),
                if label_delay.is_zero() { "0s".into() } else { written(*label_delay).into() },
            );
            "quality"
        }
        Kind::ModelFreshness { max_age } => {
            keys.insert("model".to_owned(), written(*max_age).into());
            "freshness"
        }
        Kind::ReviewAge { max_age, queue: None, .. } => {
            keys.insert("reviews".to_owned(), written(*max_age).into());
            "freshness"
        }
        Kind::ReviewAge { max_age, queue: Some(queue), .. } => {
            keys.insert("queues".to_owned(), json!({ queue.as_str(): written(*max_age) }));
            "freshness"
        }
        Kind::FeatureFreshness { max_age, view: None, .. } => {
            keys.insert("features".to_owned(), written(*max_age).into());
            "freshness"
        }
        Kind::FeatureFreshness { max_age, view: Some(view), .. } => {
            keys.insert("views".to_owned(), json!({ view.as_str(): written(*max_age) }));
            "freshness"
        }
        Kind::Safety { .. } => "safety",
        Kind::External { category, source, .. } => return external(category.name(), source, keys),
    };
    Some(json!({ kind: keys }))
}

fn external(category: &str, source: &Source, mut keys: Map<String, Value>) -> Option<Value> {
    const USUAL: Duration = Duration::from_mins(1);
    if category == "availability" && keys.is_empty() && source.every == USUAL {
        return None;
    }
    keys.insert("source".to_owned(), json!({ "every": written(source.every) }));
    Some(json!({ category: keys }))
}

fn scope(objective: &Objective) -> Map<String, Value> {
    let scope = &objective.scope;
    let mut keys = Map::new();
    let texts = [
        ("route", scope.route.as_deref()),
        ("model", scope.model.as_deref()),
        ("filter", scope.filter.as_ref().map(mainstay_core::expr::Program::source)),
        ("policy", objective.policy.as_deref()),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            keys.insert(key.to_owned(), text.into());
        }
    }
    if let Some(class) = scope.class {
        keys.insert("class".to_owned(), class.number().into());
    }
    if let Budgeting::TimeSlices { empty, events_least, .. } = objective.budgeting
        && !matches!(objective.kind, Kind::Quality { .. })
    {
        use mainstay_core::slo::objective::EmptySlice;
        let empty = match empty {
            EmptySlice::Ignored => "ignore",
            EmptySlice::Good => "good",
            EmptySlice::Bad => "bad",
        };
        keys.insert("slices".to_owned(), json!({ "empty": empty, "min_events": events_least }));
    }
    keys
}

/// Without the digits that binary fractions add.
fn number(value: f64) -> Value {
    let rounded: f64 = format!("{value:.12}").parse().unwrap_or(value);
    json!(rounded)
}
