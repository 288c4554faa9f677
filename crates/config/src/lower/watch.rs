//! `drift` and `labels`: what is watched is there to be found.

use mainstay_core::plan::{Drift, FeatureSet, Labels, Monitor, Route, ValueKind, ValueSource};

use mainstay_core::slo::objective::{Kind, Objective};

use super::{check_name, entries, no_effect, no_such, value, value_or};
use crate::code::Code;
use crate::finding::Finding;
use crate::raw::watch as raw;
use crate::read::{Entry, Reader};
use crate::span::At;

/// What watched values may be looked for in.
pub(super) struct Around<'a> {
    pub(super) routes: &'a [Route],
    pub(super) features: &'a [FeatureSet],
}

pub(super) fn drift(raw: Option<&At<raw::Drift>>, around: &Around<'_>, reader: &mut Reader<'_>) -> Drift {
    let default = Drift::default();
    let Some(At { value: raw, .. }) = raw else { return default };
    let window = raw.window.as_ref().map(|window| &window.value);
    let monitors = entries(raw.names.as_ref()).iter();
    Drift {
        window_values: value_or(window.and_then(|window| window.values.as_ref()), default.window_values),
        window_time: value_or(window.and_then(|window| window.time.as_ref()), default.window_time),
        false_alarm_every: value_or(raw.false_alarm_every.as_ref(), default.false_alarm_every),
        rate: value_or(raw.rate.as_ref(), default.rate),
        monitors: monitors.filter_map(|entry| monitor(entry, around, reader)).collect(),
    }
}

fn monitor(entry: &Entry<raw::Monitor>, around: &Around<'_>, reader: &mut Reader<'_>) -> Option<Monitor> {
    check_name(&entry.name, "a watched value", reader);
    let at = entry.value.as_ref()?;
    let raw = &at.value;
    let written = raw.route.as_ref()?;
    let Some(index) = around.routes.iter().position(|route| route.name == written.value) else {
        let names: Vec<&str> = around.routes.iter().map(|route| route.name.as_str()).collect();
        no_such(written, "route", &names, reader);
        return None;
    };
    let source = source(at, &around.routes[index], around, reader)?;
    let kind = value_or(raw.kind.as_ref(), ValueKind::Number);
    if let Some(told) = raw.kind.as_ref().filter(|kind| kind.value == ValueKind::Embedding) {
        if source == ValueSource::Confidence {
            no_effect(told.span, "a confidence is a number", reader);
        }
        if let Some(hours) = raw.hour_of_week.as_ref().filter(|hours| hours.value) {
            no_effect(hours.span, "embeddings are compared as a whole", reader);
        }
    }
    Some(Monitor {
        name: entry.name.value.clone(),
        route: index,
        source,
        kind,
        reference: value(raw.reference.clone()),
        learn: value_or(raw.learn.as_ref(), 10_000),
        hour_of_week: value_or(raw.hour_of_week.as_ref(), false),
    })
}

fn source(at: &At<raw::Monitor>, route: &Route, around: &Around<'_>, reader: &mut Reader<'_>) -> Option<ValueSource> {
    let raw = &at.value;
    let given = ["request", "answer", "feature", "of"].into_iter().filter(|key| raw.given.contains(*key)).count();
    if given != 1 {
        let message = "a watched value is found by exactly one of `request`, `answer`, `feature` and `of`";
        reader.report(Finding::new(Code::ExactlyOne, at.span, message).help("give one of them"));
        return None;
    }
    if let Some(feature) = &raw.feature {
        let sets = route.ladder.iter().filter_map(|entry| entry.answer.asked()?.features);
        let refs: Vec<&str> = sets
            .filter_map(|(set, _)| around.features.get(set.0))
            .flat_map(|set| &set.refs)
            .map(String::as_str)
            .collect();
        if !refs.contains(&feature.value.as_str()) {
            no_such(feature, "looked-up feature", &refs, reader);
            return None;
        }
        return Some(ValueSource::Feature(feature.value.clone()));
    }
    if let Some(told) = &raw.of {
        let (source, there, key) = match told.value {
            raw::Tells::Prediction => (ValueSource::Prediction, route.prediction.is_some(), "prediction"),
            raw::Tells::Confidence => (ValueSource::Confidence, route.confidence.is_some(), "confidence"),
        };
        if !there {
            let message = format!("the route `{}` does not say where its `{key}` is found", route.name);
            reader.report(Finding::new(Code::NoSuch, told.span, message).help(format!("give the route `{key}:`")));
            return None;
        }
        return Some(source);
    }
    if route.protocol.is_grpc() {
        super::grpc::refuse("a watched value of a request or an answer", at.span, reader);
        return None;
    }
    let request = raw.request.as_ref().map(|pointer| ValueSource::Request(pointer.value.clone()));
    request.or_else(|| raw.answer.as_ref().map(|pointer| ValueSource::Answer(pointer.value.clone())))
}

/// An objective for quality needs labels, whether the config speaks of them or not.
pub(super) fn labels(raw: Option<&At<raw::Labels>>, slos: &[Objective]) -> Option<Labels> {
    let default = Labels::default();
    let Some(At { value: raw, .. }) = raw else {
        return slos.iter().any(|slo| matches!(slo.kind, Kind::Quality { .. })).then_some(default);
    };
    Some(Labels {
        share: value_or(raw.share.as_ref(), default.share),
        keep: value_or(raw.keep.as_ref(), default.keep),
        first_wins: value_or(raw.duplicates.as_ref(), default.first_wins),
    })
}
