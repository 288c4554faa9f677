//! A route: its ladder, where it stands on it, and the form that holds it somewhere.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use mainstay_core::plan::Role;
use mainstay_core::status::{EntryStatus, RouteStatus};
use maud::{Markup, html};
use serde_json::json;

use super::form::{self, Form};
use super::frame::{self, Part, Viewer};
use super::parts::{Asked, cut, empty, encoded, line, table};
use super::response::lacking;
use super::service::{ROUTES, level, pin};
use crate::data_plane::Plane;
use crate::endpoints::levels::{hold, release, unknown};
use crate::endpoints::read::readable;
use crate::problem::{Kind, Problem};
use crate::review::text::Text;
use crate::wire;

/// Said once after a form was sent.
const DONE: [(&str, &str); 2] =
    [("held", "The route is held there."), ("released", "The route follows its health again.")];

pub(super) async fn page(
    State(plane): State<Plane>,
    viewer: Viewer,
    asked: Asked,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let name = readable(name)?;
    let routes = plane.status().routes;
    let it = routes.iter().find(|it| it.name == name).ok_or_else(|| unknown(&*plane, &name))?;
    let content = html! {
        (asked.done(&DONE))
        p { (level(it)) " " (line(&it.reason)) (pin(it)) }
        dl {
            dt { "Path" } dd { (cut(&it.path)) }
            dt { "Shed" } dd { (it.shed) }
            dt { "No answer" } dd { (it.all_failed) }
            @if it.blocked > 0 { dt { "Patterns that are blocked" } dd { (it.blocked) } }
        }
        p {
            a href={ "/explore?route=" (encoded(&it.name)) } { "Its requests" } ", "
            a href={ "/slos?route=" (encoded(&it.name)) } { "its objectives" } "."
        }
        section { h2 { "Ladder" } (ladder(&it.entries)) }
        section { h2 { "Hold it by hand" } (holding(&viewer, it)) }
    };
    Ok(frame::page(&viewer, Part::Overview, &format!("Route {name}"), &content))
}

fn ladder(entries: &[EntryStatus]) -> Markup {
    let row = |it: &EntryStatus| {
        html! {
            th scope="row" { (it.level.number()) " " (cut(&it.name)) br; span.note { (it.kind) } }
            td { @if let Some(impact) = &it.quality_impact { (line(impact)) } @else { span.unknown { "not said" } } }
            td.number { (it.answered) }
            td.number { (it.late) }
            td { @for (why, count) in &it.failures { (why.replace('_', " ")) ": " (count) br; } }
        }
    };
    let rows: Vec<Markup> = entries.iter().map(row).collect();
    let head = ["Level", "What it costs in quality", "Answered", "Late", "No answer because of"];
    html! { @if rows.is_empty() { (empty("Its ladder is not known.")) } @else { (table("Ladder", &head, &rows)) } }
}

fn holding(viewer: &Viewer, it: &RouteStatus) -> Markup {
    let mut levels: Vec<(u8, &str)> = it.entries.iter().map(|it| (it.level.number(), it.name.as_str())).collect();
    levels.dedup_by_key(|(number, _)| *number);
    let route = html! { (form::hidden(viewer)) input type="hidden" name="route" value=(it.name); };
    html! {
        @if !viewer.may(Role::Responder) { (lacking(Role::Responder)) } @else {
            @if it.pin.is_some() {
                form method="post" action="/levels/auto" {
                    (route)
                    p { button.main type="submit" { "Let it follow its health" } }
                }
            }
            @if !levels.is_empty() {
                form method="post" action="/levels/pin" {
                    (route)
                    p {
                        label.above for="level" { "Level at which requests start" }
                        select #level name="level" {
                            @for (number, name) in levels { option value=(number) { (number) " " (Text::short(name).as_str()) } }
                        }
                    }
                    p {
                        label.above for="for" { "How long, such as 30m; empty: until it is taken back" }
                        input #for name="for";
                    }
                    p { label.above for="reason" { "Why" } input #reason name="reason" maxlength="500"; }
                    p { button.danger type="submit" { "Hold it there" } }
                }
            }
        }
    }
}

pub(super) async fn pin_it(State(plane): State<Plane>, form: Form) -> Result<Response, Problem> {
    let mut body = form.json(&["for", "reason"]);
    let level = form.get("level").parse::<u8>();
    body.insert(
        "level".to_owned(),
        json!(level.map_err(|_| Problem::new(Kind::Invalid, "a level is a number from 0 to 4"))?),
    );
    let asked: wire::PinRequest = form::read_as(body)?;
    hold(&*plane, form.get("route"), asked)?;
    Ok(back(form.get("route"), "held"))
}

pub(super) async fn release_it(State(plane): State<Plane>, form: Form) -> Result<Response, Problem> {
    release(&*plane, form.get("route"))?;
    Ok(back(form.get("route"), "released"))
}

fn back(route: &str, done: &str) -> Response {
    Redirect::to(&format!("{ROUTES}/{}?done={done}", encoded(route))).into_response()
}
