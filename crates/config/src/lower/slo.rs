//! Objectives: what they promise, and whether any service could keep it or break it.

mod category;
mod parts;

use std::collections::BTreeMap;

use mainstay_core::slo::objective::Objective;

use super::{line_of, no_such};
use crate::code::Code;
use crate::finding::Finding;
use crate::raw::{Root, slo as raw};
use crate::read::Reader;
use crate::span::{At, Span};

/// What objectives may refer to. Names that are `None` are not known here and not checked.
#[derive(Clone, Copy, Default)]
pub(crate) struct Known<'a> {
    /// The service's name.
    pub(crate) service: &'a str,
    /// Routes.
    pub(crate) routes: Option<&'a [&'a str]>,
    /// Feature sets.
    pub(crate) views: Option<&'a [&'a str]>,
    /// Queues in which requests wait for a person.
    pub(crate) queues: Option<&'a [&'a str]>,
}

/// An objective, and where its item is.
pub(crate) type Placed = (Span, Objective);

/// The objectives of a config.
pub(super) fn objectives(root: &Root, service: &str, reader: &mut Reader<'_>) -> Vec<Objective> {
    let items = root.slos.as_ref().map_or(&[][..], |slos| &slos.value);
    let routes = root.routes.as_ref().map_or(&[][..], |routes| &routes.value);
    let queues: Vec<&str> = routes.iter().flat_map(|route| queues(&route.value)).collect();
    let routes: Vec<&str> =
        routes.iter().filter_map(|route| route.value.name.as_ref()).map(|name| name.value.as_str()).collect();
    let views: Vec<&str> =
        super::entries(root.features.as_ref()).iter().map(|entry| entry.name.value.as_str()).collect();
    let known = Known { service, routes: Some(&routes), views: Some(&views), queues: Some(&queues) };
    lower(items, &known, reader).into_iter().map(|(_, objective)| objective).collect()
}

fn queues(route: &crate::raw::route::Route) -> impl Iterator<Item = &str> {
    let entries = route.ladder.iter().flat_map(|ladder| &ladder.value);
    let names = entries.filter_map(|entry| entry.value.queue.as_ref()?.value.name.as_ref());
    names.map(|name| name.value.as_str())
}

/// The objectives of items. Several come from one item: each percentile is its own.
pub(crate) fn lower(items: &[At<raw::Slo>], known: &Known<'_>, reader: &mut Reader<'_>) -> Vec<Placed> {
    let mut placed = Vec::new();
    for item in items {
        placed.extend(of_item(item, known, reader));
    }
    distinct(&placed, reader);
    placed
}

fn of_item(item: &At<raw::Slo>, known: &Known<'_>, reader: &mut Reader<'_>) -> Vec<Placed> {
    let raw = &item.value;
    if raw.given.len() != 1 {
        let message = "an objective is exactly one of availability, latency, quality, freshness, safety";
        reader.report(Finding::new(Code::ExactlyOne, item.span, message).help("write one list item for each"));
    }
    let mut objectives = Vec::new();
    if let Some(at) = &raw.availability {
        objectives.extend(category::availability(at, known, reader));
    }
    if let Some(at) = &raw.latency {
        objectives.extend(category::latency(at, known, reader));
    }
    if let Some(at) = &raw.quality {
        objectives.extend(category::quality(at, known, reader));
    }
    if let Some(at) = &raw.freshness {
        objectives.extend(category::freshness(at, known, reader));
    }
    if let Some(at) = &raw.safety {
        objectives.extend(category::safety(at, known, reader));
    }
    objectives
}

/// The policies that objectives name.
pub(super) fn policies_named(root: &Root) -> impl Iterator<Item = &At<String>> {
    root.slos.iter().flat_map(|slos| &slos.value).flat_map(|item| {
        let raw = &item.value;
        [
            raw.availability.as_ref().and_then(|slo| slo.value.policy.as_ref()),
            raw.latency.as_ref().and_then(|slo| slo.value.policy.as_ref()),
            raw.quality.as_ref().and_then(|slo| slo.value.policy.as_ref()),
            raw.freshness.as_ref().and_then(|slo| slo.value.policy.as_ref()),
            raw.safety.as_ref().and_then(|slo| slo.value.policy.as_ref()),
        ]
        .into_iter()
        .flatten()
    })
}

/// Names tell objectives apart in metrics, in the store and in the API.
fn distinct(placed: &[Placed], reader: &mut Reader<'_>) {
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    for (span, objective) in placed {
        if let Some(first) = seen.insert(&objective.name, *span) {
            let line = if reader.is_full() { 0 } else { line_of(reader.text, first) };
            let message = format!("an objective named `{}` exists already, on line {line}", objective.name);
            reader.report(Finding::new(Code::Duplicate, *span, message).help("give each its own `name`"));
        }
    }
}

/// Reports an objective that is always kept or always broken.
fn impossible(span: Span, message: &str, help: &str, reader: &mut Reader<'_>) {
    reader.report(Finding::new(Code::Impossible, span, message).help(help));
}
