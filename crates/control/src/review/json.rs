//! A review as JSON: the incident as it is, and what was put beside it.

use serde::Serialize;
use serde_json::Value;

use mainstay_core::event::written;
use mainstay_core::incident::record::Incident;
use mainstay_core::time::Time;

use super::content::{PREAMBLE, between};
use super::text::Text;
use super::{Impact, PLOTS_MAX, Review};
use crate::plot::Drawn;

/// Grows when an older reader would misread what is written.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    #[serde(with = "written")]
    prepared: Time,
    preamble: &'static str,
    service: &'a str,
    type_title: &'a str,
    incident: &'a Incident,
    durations: Durations,
    impact: &'a [Impact],
    plots: Vec<Figure>,
    questions: &'a [String],
    prevention_ideas: &'a [String],
    unwritten: Vec<&'static str>,
}

/// By the names of both clocks; null where one of them is not known.
#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "they are the names in the JSON, with their unit")]
struct Durations {
    onset_to_detected_s: Option<f64>,
    detected_to_acknowledged_s: Option<f64>,
    onset_to_mitigated_s: Option<f64>,
    onset_to_resolved_s: Option<f64>,
}

#[derive(Serialize)]
struct Figure {
    title: String,
    unit: String,
    bound: Option<f64>,
    points: Vec<Point>,
    points_given: usize,
    marks: Vec<Mark>,
}

#[derive(Serialize)]
struct Point {
    #[serde(with = "written")]
    at: Time,
    value: Option<f64>,
}

#[derive(Serialize)]
struct Mark {
    #[serde(with = "written")]
    at: Time,
    text: String,
}

pub(super) fn write(review: &Review) -> Value {
    let it = review.incident;
    let seconds = |start, end| between(start, end).map(|it| it.as_secs_f64());
    let durations = Durations {
        onset_to_detected_s: seconds(Some(it.onset), Some(it.detected)),
        detected_to_acknowledged_s: seconds(Some(it.detected), it.acknowledged),
        onset_to_mitigated_s: seconds(Some(it.onset), it.mitigated),
        onset_to_resolved_s: seconds(Some(it.onset), review.resolved()),
    };
    let clocks = review.clocks();
    let document = Document {
        version: VERSION,
        prepared: review.prepared,
        preamble: PREAMBLE,
        service: &review.service,
        type_title: &review.type_title,
        incident: it,
        durations,
        impact: &review.impact,
        plots: review.plots.iter().take(PLOTS_MAX).map(|plot| figure(&Drawn::of(plot, &clocks))).collect(),
        questions: &review.questions,
        prevention_ideas: &review.prevention,
        unwritten: unwritten(it),
    };
    serde_json::to_value(document).expect("its keys are strings")
}

/// The names of the findings that nobody has written yet.
fn unwritten(incident: &Incident) -> Vec<&'static str> {
    let of = &incident.review;
    let empty = |texts: &[String]| texts.iter().all(|text| text.trim().is_empty());
    let all = [
        ("root_cause", of.root_cause.trim().is_empty()),
        ("contributing", empty(&of.contributing)),
        ("went_well", empty(&of.went_well)),
        ("could_improve", empty(&of.could_improve)),
        ("lucky", empty(&of.lucky)),
        ("detection", empty(&of.detection)),
        ("prevention", empty(&of.prevention)),
        ("items", of.items.is_empty()),
    ];
    all.into_iter().filter(|(_, empty)| *empty).map(|(name, _)| name).collect()
}

fn figure(plot: &Drawn) -> Figure {
    let point = |&(at, value): &(Time, f64)| Point { at, value: value.is_finite().then_some(value) };
    let mark = |(at, text): &(Time, Text)| Mark { at: *at, text: text.as_str().to_owned() };
    Figure {
        title: plot.title.as_str().to_owned(),
        unit: plot.unit.as_str().to_owned(),
        bound: plot.bound,
        points: plot.points.iter().map(point).collect(),
        points_given: plot.given,
        marks: plot.marks.iter().map(mark).collect(),
    }
}
