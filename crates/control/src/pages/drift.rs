//! A monitored name: how its values are spread beside how they were, and who they come from.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;

use super::frame::{self, Part, Viewer};
use super::json::{answer, figure, items, members, moment, text};
use super::parts::{ROWS, badge, beyond, cut, empty, encoded, table};
use super::quality::drift_tone;
use crate::endpoints::drift::unknown;
use crate::endpoints::read::readable;
use crate::plot::bars::{self, Pair};
use crate::problem::Problem;
use crate::review::text::percent;
use crate::site::Site;
use crate::wire;

/// Requests that are named for a bin.
const EXAMPLES: usize = 3;

pub(super) async fn page(
    State(site): State<Site>,
    viewer: Viewer,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let name = readable(name)?;
    let engine = site.engine()?;
    let it = {
        let backends = engine.budgets().terms.backends.clone();
        let watching = engine.watching();
        let found = watching.monitors().find(|(_, _, monitor)| monitor.name == name);
        let unknown = || unknown(&watching, &name);
        answer(&wire::Drift::of(&watching, found.ok_or_else(unknown)?, &backends))
    };
    let window = &it["window"];
    let content = html! {
        p { (badge(text(&it, "status"), drift_tone(text(&it, "status")))) " " (text(&it, "kind")) " of " (cut(text(&it, "route"))) }
        (reference(&it))
        @if window.is_null() { (empty("No window has ended yet.")) } @else {
            p.note { "The window ended at " (moment(window, "to")) " with " (figure(window, "count")) " values, " (figure(window, "missing")) " missing." }
            section { h2 { "Side by side" } (spread(window)) }
            section { h2 { "What moved" } (bins(window)) }
            section { h2 { "By method" } (methods(window)) }
            section { h2 { "Where it comes from" } (segments(window)) }
        }
    };
    Ok(frame::page(&viewer, Part::Quality, &format!("Drift of {name}"), &content))
}

fn reference(it: &Value) -> Markup {
    let of = &it["reference"];
    html! {
        @if of.is_object() {
            p.note {
                "Compared with " (figure(of, "count")) " values (" (text(of, "source")) ")"
                @if of["model"].is_string() { ", of " (cut(text(of, "model"))) " " (cut(text(of, "model_version"))) }
                "."
            }
        } @else if it["learning"].is_object() {
            p.note { "Its reference is learned: " (figure(&it["learning"], "values")) " of " (figure(&it["learning"], "of")) " values." }
        }
        @if it["fault"].is_string() { p.alert { (cut(text(it, "fault"))) } }
    }
}

fn spread(window: &Value) -> Markup {
    let share = |bin: &Value, name: &str| bin[name].as_f64().unwrap_or(0.0);
    let pair = |bin: &Value| Pair {
        label: text(bin, "bin").to_owned(),
        before: share(bin, "reference"),
        now: share(bin, "current"),
    };
    let pairs: Vec<Pair> = items(&window["bins"]).iter().map(pair).collect();
    html! {
        @if pairs.is_empty() { (empty("These values have no bins.")) }
        @else { (bars::write("Shares of values", ("as they were", "in the last window"), &pairs)) }
    }
}

fn bins(window: &Value) -> Markup {
    let row = |bin: &Value| {
        let share = |name: &str| percent(bin[name].as_f64().unwrap_or(f64::NAN));
        html! {
            th scope="row" { (cut(text(bin, "bin"))) }
            td.number { (share("reference")) } td.number { (share("current")) } td.number { (figure(bin, "psi")) }
            td {
                @for id in items(&bin["examples"]).iter().filter_map(Value::as_str).take(EXAMPLES) {
                    a href={ "/explore?id=" (encoded(id)) } { (cut(id)) } " "
                }
            }
        }
    };
    let all = items(&window["bins"]);
    let rows: Vec<Markup> = all.iter().take(ROWS).map(row).collect();
    html! {
        (table("What moved, the most first", &["Values", "Were", "Are", "Index", "Requests"], &rows))
        (beyond(all.len(), rows.len()))
    }
}

fn methods(window: &Value) -> Markup {
    let row = |(name, it): (&String, &Value)| {
        html! {
            th scope="row" { (name.replace('_', " ")) }
            td.number { (figure(it, "value")) }
            td.number { @if it["p_value"].is_number() { (figure(it, "p_value")) } }
            td { @if it["drifted"] == true { "drift" } @else { "none" } }
        }
    };
    let rows: Vec<Markup> = members(&window["methods"]).map(row).collect();
    table("By method", &["Method", "Value", "Chance without drift", "Finds"], &rows)
}

fn segments(window: &Value) -> Markup {
    let row = |(name, it): (&String, &Value)| {
        html! {
            th scope="row" { (cut(name)) }
            td.number { (figure(it, "count")) }
            td.number { (percent(it["share"].as_f64().unwrap_or(f64::NAN))) }
            td.number { @if it["moves_mean_by"].is_number() { (figure(it, "moves_mean_by")) } }
        }
    };
    let rows: Vec<Markup> = members(&window["segments"]).take(ROWS).map(row).collect();
    html! {
        @if rows.is_empty() { (empty("No segments are known.")) }
        @else { (table("By class and by backend", &["Segment", "Values", "Share", "Moves the mean by"], &rows)) }
        (beyond(members(&window["segments"]).count(), rows.len()))
    }
}
