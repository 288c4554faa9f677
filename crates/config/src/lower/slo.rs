//! Objectives: their shape, and whether any service could meet or miss them.

use std::time::Duration;

use super::{check_distinct, no_such};
use crate::code::Code;
use crate::finding::Finding;
use crate::raw::{route, slo as raw};
use crate::read::Reader;
use crate::span::{At, Span};

pub(super) fn check(
    slos: Option<&At<Vec<At<raw::Slo>>>>,
    routes: Option<&At<Vec<At<route::Route>>>>,
    reader: &mut Reader<'_>,
) {
    let slos = slos.map_or(&[][..], |slos| &slos.value);
    let routes = routes.map_or(&[][..], |routes| &routes.value);
    let routes: Vec<&str> =
        routes.iter().filter_map(|route| route.value.name.as_ref()).map(|name| name.value.as_str()).collect();
    for slo in slos {
        objective(slo, reader);
        for route in routes_of(&slo.value).into_iter().flatten().filter(|route| !routes.contains(&route.value.as_str()))
        {
            no_such(route, "route", &routes, reader);
        }
    }
    check_distinct(slos.iter().flat_map(|slo| names_of(&slo.value)).flatten(), "an objective named", reader);
}

type Words<'a> = [Option<&'a At<String>>; 5];

fn routes_of(slo: &raw::Slo) -> Words<'_> {
    [
        slo.availability.as_ref().and_then(|slo| slo.value.route.as_ref()),
        slo.latency.as_ref().and_then(|slo| slo.value.route.as_ref()),
        slo.quality.as_ref().and_then(|slo| slo.value.route.as_ref()),
        slo.freshness.as_ref().and_then(|slo| slo.value.route.as_ref()),
        slo.safety.as_ref().and_then(|slo| slo.value.route.as_ref()),
    ]
}

fn names_of(slo: &raw::Slo) -> Words<'_> {
    [
        slo.availability.as_ref().and_then(|slo| slo.value.name.as_ref()),
        slo.latency.as_ref().and_then(|slo| slo.value.name.as_ref()),
        slo.quality.as_ref().and_then(|slo| slo.value.name.as_ref()),
        slo.freshness.as_ref().and_then(|slo| slo.value.name.as_ref()),
        slo.safety.as_ref().and_then(|slo| slo.value.name.as_ref()),
    ]
}

fn objective(slo: &At<raw::Slo>, reader: &mut Reader<'_>) {
    let raw = &slo.value;
    if raw.given.len() != 1 {
        let message = "an objective is exactly one of availability, latency, quality, freshness, safety";
        reader.report(Finding::new(Code::ExactlyOne, slo.span, message).help("write one list item for each"));
    }
    if let Some(availability) = &raw.availability {
        availability_holds(&availability.value, reader);
    }
    if let Some(latency) = &raw.latency {
        latency_holds(latency, reader);
    }
    if let Some(quality) = &raw.quality {
        quality_holds(&quality.value, reader);
    }
    if let Some(freshness) = &raw.freshness
        && freshness.value.given.is_disjoint(&["model", "features"].into())
    {
        reader.report(Finding::new(
            Code::ExactlyOne,
            freshness.span,
            "freshness is of the `model`, the `features`, or both",
        ));
    }
    if let Some(rate) = raw.safety.as_ref().and_then(|safety| safety.value.max_rate.as_ref())
        && (rate.value == 0.0 || rate.value == 1.0)
    {
        let help = "give the rate that is tolerable, such as 0.0001: every confirmed event counts besides";
        impossible(rate.span, "no number of requests shows a rate of exactly this", help, reader);
    }
}

fn impossible(span: Span, message: &str, help: &str, reader: &mut Reader<'_>) {
    reader.report(Finding::new(Code::Impossible, span, message).help(help));
}

fn availability_holds(raw: &raw::Availability, reader: &mut Reader<'_>) {
    let Some(target) = &raw.target else { return };
    if target.value >= 1.0 {
        impossible(target.span, "100% leaves no budget: one bad request misses it for ever", "such as `99.9%`", reader);
    } else if target.value <= 0.0 {
        impossible(target.span, "0% is met by answering nothing", "such as `99.9%`", reader);
    }
}

fn latency_holds(at: &At<raw::LatencyObjective>, reader: &mut Reader<'_>) {
    let raw = &at.value;
    let percentiles = [("p50", &raw.p50), ("p90", &raw.p90), ("p95", &raw.p95), ("p99", &raw.p99), ("p999", &raw.p999)];
    if !percentiles.iter().any(|(key, _)| raw.given.contains(key)) {
        let finding = Finding::new(Code::ExactlyOne, at.span, "a latency objective needs a percentile");
        reader.report(finding.help("such as `p99: 200ms`"));
    }
    let mut before: Option<(&str, Duration)> = None;
    for (key, at) in percentiles.iter().filter_map(|(key, field)| Some((*key, field.as_ref()?))) {
        if let Some((lower, longest)) = before.filter(|(_, longest)| at.value < *longest) {
            let message = format!("{key} cannot be shorter than {lower}, which is {longest:?}");
            impossible(at.span, &message, "a higher percentile is at least as long", reader);
        }
        before = Some((key, at.value));
    }
}

fn quality_holds(raw: &raw::Quality, reader: &mut Reader<'_>) {
    let (Some(baseline), Some(allowed)) = (&raw.baseline, &raw.allowed_degradation) else { return };
    if baseline.value <= 0.0 {
        impossible(baseline.span, "a baseline of zero cannot get worse", "what the metric was at acceptance", reader);
    }
    if allowed.value >= 1.0 {
        impossible(allowed.span, "this allows any quality at all", "such as `5%`", reader);
    }
}
