//! What somebody does about an incident: forms, the runbook's buttons, the review.

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use mainstay_core::incident::kind::{Severity, Status};
use mainstay_core::incident::record::{Act, Action, ActionState, Incident};
use mainstay_core::plan::Role;
use mainstay_core::response::desk::{Asked, Desk, told};
use maud::{Markup, html};
use serde_json::{Value, json};

use super::form::{self, Form};
use super::frame::Viewer;
use super::incidents::PATH;
use super::parts::{Tone, badge, beyond, cut, empty, encoded, line, table, when, when_or};
use crate::access::Caller;
use crate::endpoints::incidents::ask;
use crate::endpoints::read::readable;
use crate::problem::{Kind, Problem};
use crate::site::Site;
use crate::wire;

type Id = Result<Path<String>, PathRejection>;

async fn asked(site: &Site, caller: Caller, id: String, asked: Vec<Asked>, done: &str) -> Result<Response, Problem> {
    let to = format!("{PATH}/{}?done={done}", encoded(&id));
    let _ = ask(site, caller, id, asked).await?;
    Ok(Redirect::to(&to).into_response())
}

pub(super) async fn ack(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    id: Id,
    _: Form,
) -> Result<Response, Problem> {
    asked(&site, caller, readable(id)?, vec![Asked::Acknowledge], "ack").await
}

pub(super) async fn note(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    id: Id,
    form: Form,
) -> Result<Response, Problem> {
    asked(&site, caller, readable(id)?, vec![Asked::Note(form.get("text").to_owned())], "note").await
}

pub(super) async fn status(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    id: Id,
    form: Form,
) -> Result<Response, Problem> {
    let standing: wire::StandingRequest = form::read_as(form.json(&["status", "severity", "into", "reason"]))?;
    let wanted = standing.asked().map_err(|why| Problem::new(Kind::Invalid, why))?;
    asked(&site, caller, readable(id)?, wanted, "status").await
}

pub(super) async fn act(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    id: Id,
    form: Form,
) -> Result<Response, Problem> {
    let mut body = form.json(&["action", "route", "model", "pattern", "run", "for"]);
    if let Some(level) = form.some("level") {
        let level: u8 = level.parse().map_err(|_| Problem::new(Kind::Invalid, "a level is a number from 0 to 4"))?;
        body.insert("level".to_owned(), json!(level));
    }
    let action: wire::ActionRequest = form::read_as(body)?;
    let wanted = action.asked().map_err(|why| Problem::new(Kind::Invalid, why))?;
    asked(&site, caller, readable(id)?, vec![wanted], "act").await
}

pub(super) async fn undo(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    id: Id,
    form: Form,
) -> Result<Response, Problem> {
    let action = form.get("id").parse().map_err(|_| Problem::new(Kind::Invalid, "which action is not said"))?;
    asked(&site, caller, readable(id)?, vec![Asked::Undo(action)], "undo").await
}

pub(super) async fn write(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    id: Id,
    form: Form,
) -> Result<Response, Problem> {
    let mut body = form.json(&["root_cause"]);
    for (name, _) in LISTS {
        body.insert(name.to_owned(), json!(form.lines(name)));
    }
    if let (Some(text), Some(owner)) = (form.some("item"), form.some("owner")) {
        let mut item = json!({ "text": text, "owner": owner });
        if let Some(due) = form.some("due") {
            item["due"] = json!(due);
        }
        body.insert("items".to_owned(), json!([item]));
    }
    let findings: wire::FindingsRequest = form::read_as(body)?;
    asked(&site, caller, readable(id)?, vec![Asked::Review(Box::new(findings.findings()))], "review").await
}

/// Lists of a review, a line an item.
const LISTS: [(&str, &str); 6] = [
    ("contributing", "What helped it along"),
    ("went_well", "What went well"),
    ("could_improve", "What could improve"),
    ("lucky", "Where luck helped"),
    ("detection", "How it could be found sooner"),
    ("prevention", "How it could be prevented"),
];

/// What somebody can do with the incident itself.
pub(super) fn doing(viewer: &Viewer, incident: &Incident) -> Markup {
    let to = |what: &str| format!("{PATH}/{}/{what}", encoded(&incident.id));
    let next = incident.status.next().iter().filter(|it| **it != Status::Merged);
    html! {
        @if viewer.may(Role::Responder) {
            div.actions {
                @if incident.status.is_open() {
                    form method="post" action=(to("ack")) { (form::hidden(viewer)) button.main type="submit" { "Take it" } }
                }
            }
            details.block {
                summary { "Write a note, or say where it stands" }
                form method="post" action=(to("notes")) {
                    (form::hidden(viewer))
                    p { label.above for="text" { "Note" } textarea #text name="text" required {} }
                    p { button type="submit" { "Write the note" } }
                }
                form method="post" action=(to("status")) {
                    (form::hidden(viewer))
                    p {
                        label.above for="status" { "Status" }
                        select #status name="status" {
                            option value="" { "as it is" }
                            @for it in next { option value=(it.as_str()) { (it.as_str().replace('_', " ")) } }
                        }
                    }
                    p {
                        label.above for="severity" { "Severity" }
                        select #severity name="severity" {
                            option value="" { "as it is" }
                            @for it in Severity::ALL { option value=(it.as_str()) { (it.as_str()) } }
                        }
                    }
                    p { label.above for="reason" { "Why" } input #reason name="reason"; }
                    p { button type="submit" { "Set" } }
                }
            }
        } @else { (lacking(Role::Responder)) }
    }
}

/// What stands in place of a form that somebody may not send.
pub(super) fn lacking(role: Role) -> Markup {
    html! { p.note { "To do something here needs a token with the role " (role.name()) "." } }
}

/// What is known of the type, with buttons for what mainstay can do itself.
pub(super) fn runbook(viewer: &Viewer, incident: &Incident, desk: &Desk) -> Markup {
    let Some(known) = desk.catalogue().get(&incident.kind) else {
        return empty("Its type has no runbook.");
    };
    let proposals = if incident.status.is_open() { desk.proposals(incident) } else { Vec::new() };
    let list = |title: &str, items: &[String]| {
        html! { @if !items.is_empty() { h3 { (title) } ol { @for it in items { li { (line(it)) } } } } }
    };
    html! {
        p { strong { (line(&known.title)) } ". " (line(&known.about)) }
        @if !proposals.is_empty() {
            h3 { "What mainstay can do at once" }
            @if viewer.may(Role::Operator) {
                div.actions { @for act in &proposals { (button(viewer, incident, act)) } }
            } @else {
                ul { @for act in &proposals { li { (line(&told(act))) } } }
                (lacking(Role::Operator))
            }
        }
        h3 { "Do at once" }
        ol { @for it in &known.actions { li { (line(&it.text)) } } }
        div.columns { div { (list("Find the cause", &known.steps)) } div { (list("Usual causes", &known.causes)) } }
        @if incident.status.is_open() && viewer.may(Role::Operator) { (other(viewer, incident)) }
    }
}

fn button(viewer: &Viewer, incident: &Incident, act: &Act) -> Markup {
    let fields = serde_json::to_value(act).unwrap_or_default();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    html! {
        form method="post" action={ (PATH) "/" (encoded(&incident.id)) "/actions" } {
            (form::hidden(viewer))
            @for (name, value) in fields.as_object().into_iter().flatten() {
                input type="hidden" name=(name) value=(text(value));
            }
            button.danger type="submit" { (line(&told(act))) }
        }
    }
}

/// A form for what is not proposed.
fn other(viewer: &Viewer, incident: &Incident) -> Markup {
    let words =
        ["pin_level", "cached_features", "previous_model", "raise_sampling", "block_pattern", "stop_experiment"];
    html! {
        details.block {
            summary { "Another action" }
            form method="post" action={ (PATH) "/" (encoded(&incident.id)) "/actions" } {
                (form::hidden(viewer))
                p {
                    label.above for="action" { "Action" }
                    select #action name="action" { @for word in words { option value=(word) { (word.replace('_', " ")) } } }
                }
                @for (name, label) in [
                    ("route", "Route"), ("level", "Level, to pin one"), ("model", "Model, to go back"),
                    ("pattern", "What requests must not hold, to block them"), ("run", "Run, to stop an experiment"),
                    ("for", "How long, such as 30m"),
                ] {
                    p { label.above for={ "other-" (name) } { (label) } input id={ "other-" (name) } name=(name); }
                }
                p { button.danger type="submit" { "Take the action" } }
            }
        }
    }
}

/// What was done, and what can be undone.
pub(super) fn actions(viewer: &Viewer, incident: &Incident) -> Markup {
    let row = |it: &Action| {
        html! {
            td { (line(&told(&it.act))) @if let Some(error) = &it.error { br; span.note { (line(error)) } } }
            td { (state(it.state)) }
            td { (cut(&it.by)) ", " (when(it.at)) }
            td { (when_or(it.until, "it is undone")) }
            td {
                @if it.state == ActionState::Active && viewer.may(Role::Operator) {
                    form method="post" action={ (PATH) "/" (encoded(&incident.id)) "/undo" } {
                        (form::hidden(viewer))
                        input type="hidden" name="id" value=(it.id);
                        button type="submit" aria-label={ "Undo: " (line(&told(&it.act))) } { "Undo" }
                    }
                }
            }
        }
    };
    let rows: Vec<Markup> = incident.actions.iter().rev().take(30).map(row).collect();
    html! {
        @if rows.is_empty() { (empty("Nothing was done yet.")) }
        @else { (table("Actions, the last first", &["Action", "State", "By", "Until", "Undo"], &rows)) }
        (beyond(incident.actions.len(), rows.len()))
    }
}

fn state(state: ActionState) -> Markup {
    match state {
        ActionState::Pending => badge("being taken", Tone::Warn),
        ActionState::Active => badge("has effect", Tone::Good),
        ActionState::Undoing => badge("being undone", Tone::Warn),
        ActionState::Undone => badge("undone", Tone::Plain),
        ActionState::Expired => badge("expired", Tone::Plain),
        ActionState::Failed => badge("failed", Tone::Bad),
    }
}

/// The way to the review, and a form for what people know.
pub(super) fn review(viewer: &Viewer, incident: &Incident) -> Markup {
    let api = format!("/api/v1/incidents/{}/review?format=", encoded(&incident.id));
    let found = &incident.review;
    html! {
        p { a href={ (api) "html" } { "The review" } ", as " a href={ (api) "md" } { "Markdown" } " and " a href={ (api) "json" } { "JSON" } "." }
        @if !found.root_cause.is_empty() { p { strong { "Root cause: " } (line(&found.root_cause)) } }
        @if viewer.may(Role::Responder) {
            details.block {
                summary { "Write what was found" }
                form method="post" action={ (PATH) "/" (encoded(&incident.id)) "/review" } {
                    (form::hidden(viewer))
                    p { label.above for="root_cause" { "Root cause" } textarea #root_cause name="root_cause" { (found.root_cause) } }
                    @for (name, label) in LISTS {
                        p { label.above for=(name) { (label) ", a line each" } textarea id=(name) name=(name) {} }
                    }
                    p { label.above for="item" { "Something to be done" } input #item name="item"; }
                    p { label.above for="owner" { "Who does it" } input #owner name="owner"; }
                    p { label.above for="due" { "Until when" } input #due type="date" name="due"; }
                    p.note { "What is left empty stays as it is." }
                    p { button type="submit" { "Write" } }
                }
            }
        }
    }
}
