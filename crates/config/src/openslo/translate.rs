//! From documents to items of `slos:`, each value at the place that it comes from.

use super::documents::{Documents, SloDocument, SloSpec, check_metadata};
use super::duration::{Stretch, written};
use super::metric;
use super::wire::{self, Budgeting};
use super::{ITEM_KEY, NAME_KEY, alerts, alpha, item};
use mainstay_core::slo::objective::QUALITY_SLICES_BAD;

use crate::code::Code;
use crate::finding::Finding;
use crate::lower::no_such;
use crate::read::Reader;
use crate::span::{At, Span};
use crate::tree::{Node, Value};

/// What all targets of one document share.
struct Common<'d> {
    document: &'d SloDocument,
    window: Node,
    /// What is measured, as keys of an item: of which kind it is, and what it is measured by.
    kind: &'static str,
    keys: Vec<(&'static str, Node)>,
}

/// The items of `slos:` that the documents stand for.
pub(super) fn items(documents: &Documents, reader: &mut Reader<'_>) -> Vec<Node> {
    alerts::check(documents, reader);
    for (name, sli) in documents.slis.iter().filter_map(|(name, sli)| Some((name, sli.spec.as_ref()?))) {
        let used = documents.slos.iter().any(|slo| refers(slo, name));
        if !used {
            // What no objective refers to is checked all the same.
            metric::of_sli(sli, documents.slis[name].at, documents, reader);
        }
    }
    documents.slos.iter().flat_map(|slo| of_document(slo, documents, reader)).collect()
}

fn refers(slo: &SloDocument, name: &str) -> bool {
    match &slo.spec {
        SloSpec::V1(spec) => spec.indicatorRef.as_ref().is_some_and(|reference| reference.value == name),
        SloSpec::V1Alpha(_) => false,
    }
}

fn of_document(document: &SloDocument, documents: &Documents, reader: &mut Reader<'_>) -> Vec<Node> {
    let service = match &document.spec {
        SloSpec::V1(spec) => &spec.service,
        SloSpec::V1Alpha(spec) => &spec.service,
    };
    if let Some(service) = service
        .as_ref()
        .filter(|service| !documents.services.is_empty() && !documents.services.contains_key(&service.value))
    {
        let known: Vec<&str> = documents.services.keys().map(String::as_str).collect();
        no_such(service, "Service", &known, reader);
    }
    match &document.spec {
        SloSpec::V1(spec) => v1(document, spec, documents, reader),
        SloSpec::V1Alpha(spec) => v1alpha(document, spec, documents, reader),
    }
}

fn v1(document: &SloDocument, spec: &wire::Slo, documents: &Documents, reader: &mut Reader<'_>) -> Vec<Node> {
    let objectives = spec.objectives.as_ref().map_or(&[][..], |objectives| &objectives.value);
    if let Some(list) = spec.objectives.as_ref().filter(|list| list.value.is_empty()) {
        crate::lower::empty(list.span, "`objectives`", reader);
    }
    let targets: Vec<Option<At<f64>>> = objectives.iter().map(|objective| target(objective, reader)).collect();
    let least = targets.iter().flatten().map(|target| 1.0 - target.value).fold(1.0, f64::min);
    let policies = spec.alertPolicies.as_ref().map_or(&[][..], |policies| &policies.value);
    alerts::of_slo(policies, least, documents, reader);
    let composite: Vec<&At<wire::Objective>> = objectives
        .iter()
        .filter(|objective| ["indicator", "indicatorRef"].iter().any(|key| objective.value.given.contains(key)))
        .collect();
    if let Some(part) = composite.first() {
        unsupported(part.span, "composite objectives are not read", "write an SLO for each part", reader);
        return Vec::new();
    }
    let window = window(spec.timeWindow.as_ref(), document.name.span, reader);
    let measured = measured(document, spec, documents, reader);
    let method = spec.budgetingMethod.as_ref().map(|method| method.value);
    let Some(method) = method else { return Vec::new() };
    let budgeting: Vec<Option<Node>> = objectives
        .iter()
        .map(|objective| {
            comparison_is_absent(objective, reader);
            budgeting(method, &objective.value, objective.span, reader)
        })
        .collect();
    let (Some(window), Some((kind, keys))) = (window, measured) else { return Vec::new() };
    let common = Common { document, window, kind, keys };
    let many = objectives.len() > 1;
    let parts = targets.into_iter().zip(budgeting).enumerate();
    parts
        .filter_map(|(index, (target, budgeting))| common.item(many.then_some(index + 1), &target?, budgeting?, reader))
        .collect()
}

fn v1alpha(document: &SloDocument, spec: &alpha::Slo, documents: &Documents, reader: &mut Reader<'_>) -> Vec<Node> {
    if let Some(indicator) = &spec.indicator {
        let message = "a threshold on a gauge has no events to count";
        unsupported(indicator.span, message, "`ratioMetrics` with `good` and `total`", reader);
        return Vec::new();
    }
    let windows = spec.timeWindows.as_ref();
    let window =
        windows.and_then(|windows| one(windows, "timeWindows", reader)).and_then(|at| alpha_window(at, reader));
    let objectives = spec.objectives.as_ref().map_or(&[][..], |objectives| &objectives.value);
    let many = objectives.len() > 1;
    let lowered: Vec<Option<Node>> = objectives
        .iter()
        .enumerate()
        .map(|(index, objective)| {
            let raw = &objective.value;
            let target = raw.target.clone().and_then(|target| share_below_one(&target, "target", reader));
            let Some(ratio) = &raw.ratioMetrics else {
                let message = "an objective needs `ratioMetrics`";
                reader.report(Finding::new(Code::MissingKey, objective.span, message));
                return None;
            };
            if let Some(op) = &raw.op {
                crate::lower::no_effect(op.span, "`op` is for threshold metrics, and this is a ratio", reader);
            }
            let events = metric::of_alpha(ratio, documents, reader);
            if let Some(Budgeting::Timeslices) = spec.budgetingMethod.as_ref().map(|method| method.value) {
                let message = "v1alpha has no length of a time slice";
                unsupported(objective.span, message, "write it as `openslo/v1` with `timeSliceWindow`", reader);
                return None;
            }
            spec.budgetingMethod.as_ref()?;
            let common = Common { document, window: window.clone()?, kind: "availability", keys: events?.keys() };
            common.item(many.then_some(index + 1), &target?, item::text("occurrences", objective.span), reader)
        })
        .collect();
    lowered.into_iter().flatten().collect()
}

impl Common<'_> {
    fn item(&self, number: Option<usize>, target: &At<f64>, budgeting: Node, reader: &mut Reader<'_>) -> Option<Node> {
        let at = self.document.name.span;
        let mut keys = vec![("name", item::text(self.name(number), at)), ("window", self.window.clone())];
        if let Some(description) = self.document.description() {
            keys.push(("description", item::text(description.value.clone(), description.span)));
        }
        let percentage = |share: f64| item::text(item::percent(share), target.span);
        let occurrences = matches!(&budgeting.value, Value::Text(_));
        match self.kind {
            "availability" | "latency" => {
                keys.extend([("target", percentage(target.value)), ("budgeting", self.with_slices(budgeting))]);
            }
            "quality" => {
                let holds = (target.value - (1.0 - QUALITY_SLICES_BAD)).abs() < 1e-9 && !occurrences;
                fixed(holds, target.span, "quality is judged by time slices of which 95 % are good", reader)?;
            }
            "freshness" => {
                fixed(occurrences, target.span, "freshness is judged by occurrences", reader)?;
                keys.push(("allowed_stale", percentage(1.0 - target.value)));
            }
            "safety" => {
                fixed(occurrences, target.span, "safety is judged by occurrences", reader)?;
                keys.push(("max_rate", percentage(1.0 - target.value)));
            }
            other => unreachable!("no kind of objective: {other}"),
        }
        keys.extend(self.keys.iter().filter(|(key, _)| *key != "slices").map(|(key, node)| (*key, node.clone())));
        Some(item::map([(self.kind, item::map(keys, at))], at))
    }

    fn name(&self, number: Option<usize>) -> String {
        let written = self.document.annotations.iter().find(|(key, _)| key == NAME_KEY);
        let name = written.map_or(&self.document.name.value, |(_, name)| &name.value);
        number.map_or_else(|| name.clone(), |number| format!("{name}-{number}"))
    }

    /// Details of slices that OpenSLO has no field for.
    fn with_slices(&self, mut budgeting: Node) -> Node {
        let details = self.keys.iter().find(|(key, _)| *key == "slices").map(|(_, node)| &node.value);
        if let (Some(Value::Map(details)), Value::Map(outer)) = (details, &mut budgeting.value)
            && let Some((key, Node { value: Value::Map(slices), .. })) = outer.first_mut()
            && key.value == "timeslices"
        {
            slices.extend(details.iter().cloned());
        }
        budgeting
    }
}

fn fixed(holds: bool, at: Span, message: &str, reader: &mut Reader<'_>) -> Option<()> {
    if !holds {
        unsupported(at, message, "leave the annotation out to count the queries' events", reader);
    }
    holds.then_some(())
}

/// What is measured: mainstay's own indicator where the document carries one, else events of a source.
fn measured(
    document: &SloDocument,
    spec: &wire::Slo,
    documents: &Documents,
    reader: &mut Reader<'_>,
) -> Option<(&'static str, Vec<(&'static str, Node)>)> {
    let sli = match (&spec.indicator, &spec.indicatorRef) {
        (Some(inline), None) => {
            if let Some(metadata) = &inline.value.metadata {
                check_metadata(&metadata.value, reader);
            }
            inline.value.spec.as_ref().map(|spec| (&spec.value, spec.span))
        }
        (None, Some(name)) => alerts::referred(&documents.slis, name, "SLI", reader).map(|sli| (sli, name.span)),
        (None, None) if spec.given.contains("indicator") || spec.given.contains("indicatorRef") => None,
        (Some(_), Some(_)) | (None, None) => {
            let message = "an SLO has either `indicator` or `indicatorRef`";
            reader.report(Finding::new(Code::ExactlyOne, document.name.span, message));
            None
        }
    };
    let (sli, at) = sli?;
    let Some((_, annotation)) = document.annotations.iter().find(|(key, _)| key == ITEM_KEY) else {
        let events = metric::of_sli(sli, at, documents, reader)?;
        return Some(("availability", events.keys()));
    };
    let (kind, mut keys) = item::own(annotation, reader)?;
    if let Some((_, source)) = keys.iter_mut().find(|(key, _)| *key == "source") {
        let events = metric::of_sli(sli, at, documents, reader)?;
        *source = events.with(source);
    }
    Some((kind, keys))
}

fn comparison_is_absent(objective: &At<wire::Objective>, reader: &mut Reader<'_>) {
    let spans = [objective.value.op.as_ref().map(|op| op.span), objective.value.value.as_ref().map(|value| value.span)];
    for span in spans.into_iter().flatten() {
        crate::lower::no_effect(span, "`op` and `value` are for threshold metrics, and this is a ratio", reader);
    }
}

/// `target`, or `targetPercent`.
fn target(objective: &At<wire::Objective>, reader: &mut Reader<'_>) -> Option<At<f64>> {
    let raw = &objective.value;
    match (&raw.target, &raw.targetPercent) {
        (Some(target), None) => share_below_one(target, "target", reader),
        (None, Some(percent)) => {
            if percent.value > 0.0 && percent.value < 1.0 {
                let message = format!("{} % is a very low target", percent.value);
                let help = format!("`target: {}` if a share is meant", percent.value);
                reader.report(Finding::new(Code::OpenSloTarget, percent.span, message).help(help));
            }
            share_below_one(&At::new(percent.value / 100.0, percent.span), "targetPercent", reader)
        }
        (None, None) if raw.given.contains("target") || raw.given.contains("targetPercent") => None,
        (Some(_), Some(_)) | (None, None) => {
            let message = "an objective has either `target` or `targetPercent`";
            reader.report(Finding::new(Code::ExactlyOne, objective.span, message).help("such as `target: 0.999`"));
            None
        }
    }
}

fn share_below_one(share: &At<f64>, key: &str, reader: &mut Reader<'_>) -> Option<At<f64>> {
    if (0.0..1.0).contains(&share.value) {
        return Some(share.clone());
    }
    let help = match key {
        "target" if share.value > 1.0 && share.value < 100.0 => format!("`targetPercent: {}`", share.value),
        _ => "OpenSLO has no targets of 100 %".to_owned(),
    };
    let message = format!("`{key}` is from 0 to below {}", if key == "target" { "1" } else { "100" });
    reader.report(Finding::new(Code::OutOfRange, share.span, message).help(help));
    None
}

fn budgeting(method: Budgeting, raw: &wire::Objective, at: Span, reader: &mut Reader<'_>) -> Option<Node> {
    let slice = raw.timeSliceWindow.as_ref();
    match method {
        Budgeting::Occurrences => {
            let spans = [slice.map(|slice| slice.span), raw.timeSliceTarget.as_ref().map(|target| target.span)];
            for span in spans.into_iter().flatten() {
                crate::lower::no_effect(span, "time slices have no part in `Occurrences`", reader);
            }
            Some(item::text("occurrences", at))
        }
        Budgeting::Timeslices => {
            let target = slice_target(raw, at, reader);
            let window = slice_window(slice, at, reader);
            let keys = [("window", window?), ("target", target?)];
            Some(item::map([("timeslices", item::map(keys, at))], at))
        }
        Budgeting::RatioTimeslices => {
            if let Some(target) = &raw.timeSliceTarget {
                let message = "`timeSliceTarget` has no part in `RatioTimeslices`";
                crate::lower::no_effect(target.span, message, reader);
            }
            let keys = [("window", slice_window(slice, at, reader)?)];
            Some(item::map([("ratio_timeslices", item::map(keys, at))], at))
        }
    }
}

fn slice_window(window: Option<&At<String>>, at: Span, reader: &mut Reader<'_>) -> Option<Node> {
    let Some(window) = window else {
        reader.report(Finding::new(Code::MissingKey, at, "time slices need `timeSliceWindow`").help("such as `1m`"));
        return None;
    };
    Some(item::text(written(Stretch::read_fixed(window, reader)?), window.span))
}

fn slice_target(raw: &wire::Objective, at: Span, reader: &mut Reader<'_>) -> Option<Node> {
    let Some(target) = &raw.timeSliceTarget else {
        reader.report(Finding::new(Code::MissingKey, at, "time slices need `timeSliceTarget`").help("such as 0.95"));
        return None;
    };
    if target.value > 0.0 && target.value <= 1.0 {
        return Some(item::text(item::percent(target.value), target.span));
    }
    reader.report(Finding::new(Code::OutOfRange, target.span, "`timeSliceTarget` is from above 0 to 1"));
    None
}

fn window(windows: Option<&At<Vec<At<wire::TimeWindow>>>>, at: Span, reader: &mut Reader<'_>) -> Option<Node> {
    let Some(windows) = windows else {
        reader.report(Finding::new(Code::MissingKey, at, "an SLO needs `timeWindow`"));
        return None;
    };
    let window = one(windows, "timeWindow", reader)?;
    let raw = &window.value;
    let rolling = raw.isRolling.as_ref().map_or(raw.calendar.is_none(), |rolling| rolling.value);
    let duration = raw.duration.as_ref()?;
    stretch(duration, rolling, raw.calendar.as_ref(), window.span, reader)
}

fn alpha_window(window: &At<alpha::TimeWindow>, reader: &mut Reader<'_>) -> Option<Node> {
    let raw = &window.value;
    let rolling = raw.isRolling.as_ref().map_or(raw.calendar.is_none(), |rolling| rolling.value);
    let (count, unit) = (raw.count.as_ref()?, raw.unit.as_ref()?);
    if unit.value == "s" {
        unsupported(unit.span, "a window of seconds is too short for a budget", "`Hour`, `Day` or longer", reader);
        return None;
    }
    let duration = At::new(format!("{}{}", count.value, unit.value), unit.span);
    stretch(&duration, rolling, raw.calendar.as_ref(), window.span, reader)
}

/// A window of ours: a duration, or a part of the calendar.
fn stretch(
    duration: &At<String>,
    rolling: bool,
    calendar: Option<&At<wire::Calendar>>,
    at: Span,
    reader: &mut Reader<'_>,
) -> Option<Node> {
    match (rolling, calendar) {
        (true, None) => Some(item::text(written(Stretch::read_fixed(duration, reader)?), duration.span)),
        (false, Some(calendar)) => {
            let stretch = Stretch::read(duration, reader)?;
            item::calendar(duration, stretch, calendar, reader)
        }
        (true, Some(calendar)) => {
            let message = "a rolling window has no calendar";
            reader.report(Finding::new(Code::ExactlyOne, calendar.span, message).help("`isRolling: false`"));
            None
        }
        (false, None) => {
            let finding = Finding::new(Code::MissingKey, at, "a window that does not roll needs `calendar`");
            reader.report(finding.help("`isRolling: true`, or `startTime` and `timeZone`"));
            None
        }
    }
}

/// The one window that there is.
fn one<'w, T>(windows: &'w At<Vec<At<T>>>, key: &str, reader: &mut Reader<'_>) -> Option<&'w At<T>> {
    if let [window] = windows.value.as_slice() {
        return Some(window);
    }
    let message = format!("`{key}` has exactly one window, not {}", windows.value.len());
    reader.report(Finding::new(Code::ExactlyOne, windows.span, message).help("write an SLO for each"));
    None
}

pub(super) fn unsupported(at: Span, message: &str, help: &str, reader: &mut Reader<'_>) {
    reader.report(Finding::new(Code::OpenSloUnsupported, at, message).help(help));
}
