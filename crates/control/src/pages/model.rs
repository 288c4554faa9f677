//! A model: its versions, and which of them is served.

use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use mainstay_core::plan::Role;
use mainstay_store::registry::Version;
use maud::{Markup, html};
use serde_json::Value;

use super::form::{self, Form};
use super::frame::{self, Part, Viewer};
use super::json::{answer, figure, items, members, moment, text};
use super::models::{PATH, gates_tone, standing};
use super::parts::{Asked, Tone, badge, cut, encoded, room_for, spelled, table};
use super::response::lacking;
use crate::access::Caller;
use crate::endpoints::models::{promoted, rolled_back};
use crate::endpoints::read::readable;
use crate::problem::Problem;
use crate::review::text::Text;
use crate::site::Shelf;
use crate::wire::{self, Shelved};

/// Said once after a form was sent.
const DONE: [(&str, &str); 2] = [
    ("promoted", "It is the champion: everybody who serves the model was told."),
    ("rolled-back", "The earlier champion is the champion again."),
];
/// Measures of a version.
const MEASURES: usize = 6;
/// Gates of a version that did not pass.
const GATES: usize = 3;
/// Longest address of a run that a row leads to.
const LINKED_MAX: usize = 256;
/// Earlier champions that can be chosen.
const EARLIER: usize = 50;

pub(super) async fn page(
    State(shelf): State<Shelf>,
    viewer: Viewer,
    asked: Asked,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let name = readable(name)?;
    let registry = shelf.open()?;
    let found = registry.shelved(Some(&name)).await?;
    let all = found.first().map_or(&[][..], |it| &it.versions);
    let earlier = registry.earlier(&name).await?;
    let here = format!("{PATH}/{}", encoded(&name));
    // Each row that can be promoted has a form, to the model, with the champion and the version.
    let fixed = here.len() + found.first().and_then(Shelved::champion).map_or(0, spelled);
    let in_full = |it: &Version| fixed + spelled(&it.version);
    let (some, pager) = asked.others_by(&here, ("page", "this list"), all, in_full);
    let it = answer(&found.first().map(|it| registry.told(it, some)));
    let content = html! {
        (asked.done(&DONE))
        p.note { (standing(&it)) }
        @if !earlier.is_empty() { section { h2 { "The way back" } (way_back(&viewer, &here, &it, &earlier)) } }
        section { h2 { "Versions" } (versions(&viewer, &here, &it, items(&it["versions"]))) (pager) }
    };
    Ok(frame::page(&viewer, Part::Models, &format!("Model {name}"), &content))
}

/// The champion that whoever sends a form has seen: where it is another by then, nothing is done.
fn seen(it: &Value) -> Markup {
    html! { input type="hidden" name="expect" value=(text(it, "champion")); }
}

fn way_back(viewer: &Viewer, here: &str, it: &Value, earlier: &[String]) -> Markup {
    html! {
        @if viewer.may(Role::Operator) {
            form method="post" action={ (here) "/rollback" } {
                (form::hidden(viewer)) (seen(it))
                p {
                    label.above for="to" { "To which champion" }
                    select #to name="to" {
                        option value="" { "the one before" }
                        @for version in room_for(earlier, EARLIER) {
                            option value=(version) { (Text::short(version).as_str()) }
                        }
                    }
                }
                p { label.above for="back" { "Why" } input #back name="reason" maxlength="500"; }
                p { button.danger type="submit" { "Go back" } }
            }
        } @else { (lacking(Role::Operator)) }
    }
}

fn versions(viewer: &Viewer, here: &str, model: &Value, some: &[Value]) -> Markup {
    let row = |(n, it): (usize, &Value)| {
        let (version, gates, lineage) = (text(it, "version"), text(it, "gates"), &it["lineage"]);
        let is_champion = version == text(model, "champion");
        let failed = items(&it["gate_results"]).iter().filter(|gate| gate["passed"] == false);
        html! {
            th scope="row" { (cut(version)) @if is_champion { " " (badge("champion", Tone::Good)) } }
            td { (cut(text(it, "stage"))) br; span.note { (moment(it, "created")) } }
            td {
                (badge(gates, gates_tone(gates)))
                @for gate in failed.take(GATES) { br; span.note { (cut(text(gate, "gate"))) } }
            }
            td { @for (name, _) in members(&it["metrics"]).take(MEASURES) { (cut(name)) " " (figure(&it["metrics"], name)) br; } }
            td { (of_run(text(lineage, "run"))) }
            td { @if !is_champion && viewer.may(Role::Operator) { (promotion(viewer, here, model, it, n)) } }
        }
    };
    let rows: Vec<Markup> = some.iter().enumerate().map(row).collect();
    html! {
        (table("Versions, the newest first", &["Version", "Stage", "Gates", "Measures", "Run", "Do"], &rows))
        @if !viewer.may(Role::Operator) { (lacking(Role::Operator)) }
    }
}

/// The run that made a version; one of a name beyond reason has a page, and no link in each row.
fn of_run(id: &str) -> Markup {
    html! { @if spelled(id) > LINKED_MAX { (cut(id)) } @else if !id.is_empty() { a href={ "/runs/" (encoded(id)) } { (cut(id)) } } }
}

fn promotion(viewer: &Viewer, here: &str, model: &Value, it: &Value, n: usize) -> Markup {
    let version = Text::short(text(it, "version"));
    html! {
        details {
            summary { "Make it the champion" span.hidden { ": " (version.as_str()) } }
            form method="post" action={ (here) "/promote" } {
                (form::hidden(viewer)) (seen(model))
                input type="hidden" name="version" value=(text(it, "version"));
                p { label.above for={ "why-" (n) } { "Why" } input id={ "why-" (n) } name="reason" maxlength="500"; }
                @if text(it, "gates") != "passed" {
                    p.note { "Its gates have not passed: only what passes over them makes it the champion." }
                }
                p {
                    label.above for={ "force-" (n) } { "Gates and budget" }
                    select id={ "force-" (n) } name="force" {
                        option value="" { "must allow it" }
                        option value="yes" { "are passed over, for the reason above" }
                    }
                }
                p { button.danger type="submit" { "Promote" } }
            }
        }
    }
}

pub(super) async fn promote(
    State(shelf): State<Shelf>,
    Extension(caller): Extension<Caller>,
    name: Result<Path<String>, PathRejection>,
    form: Form,
) -> Result<Response, Problem> {
    let model = readable(name)?;
    let asked = wire::PromoteRequest {
        version: form.get("version").to_owned(),
        expect: Some(form.get("expect").to_owned()),
        force: form.yes_or_no("force") == Some(true),
        reason: form.get("reason").to_owned(),
    };
    promoted(&shelf, &model, asked, Some(Extension(caller))).await?;
    Ok(back(&model, "promoted"))
}

pub(super) async fn roll_back(
    State(shelf): State<Shelf>,
    Extension(caller): Extension<Caller>,
    name: Result<Path<String>, PathRejection>,
    form: Form,
) -> Result<Response, Problem> {
    let model = readable(name)?;
    let asked = wire::RollbackRequest {
        to: form.some("to"),
        expect: Some(form.get("expect").to_owned()),
        reason: form.get("reason").to_owned(),
    };
    rolled_back(&shelf, &model, asked, Some(Extension(caller))).await?;
    Ok(back(&model, "rolled-back"))
}

fn back(model: &str, done: &str) -> Response {
    Redirect::to(&format!("{PATH}/{}?done={done}", encoded(model))).into_response()
}
