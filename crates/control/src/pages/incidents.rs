//! Incidents: which there are and were.

use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Redirect, Response};
use mainstay_core::incident::kind::{Severity, Status};
use mainstay_core::incident::record::Incident;
use mainstay_core::plan::Role;
use mainstay_core::response::signature::UNCLASSIFIED;
use maud::{Markup, html};
use serde_json::json;

use super::form::{self, Form};
use super::frame::{self, Part, Viewer};
use super::overview::severity_tone;
use super::parts::{
    Asked, ROWS, Tone, badge, brief, choice, cut, empty, encoded, filter, table, text_field, when, when_or,
};
use crate::access::Caller;
use crate::endpoints::finished;
use crate::problem::{Kind, Problem};
use crate::site::Site;
use crate::wire;

pub(super) const PATH: &str = "/incidents";
/// Incidents that are read for one page of the list at most; the way to older ones goes on from there.
const LOOKED_AT: usize = 2_000;

pub(super) async fn page(State(site): State<Site>, viewer: Viewer, asked: Asked) -> Result<Response, Problem> {
    let incidents = site.incidents()?;
    let query = wire::IncidentsQuery {
        status: asked.get("status").map(str::to_owned),
        kind: asked.get("type").map(str::to_owned),
        severity: asked.get("severity").map(str::to_owned),
        route: asked.get("route").map(str::to_owned),
        limit: None,
    };
    let fits = query.checked().map_err(|why| Problem::new(Kind::BadRequest, why))?;
    let part = asked.or_empty("q").to_lowercase();
    let wanted = |it: &Incident| fits(it) && (part.is_empty() || it.title.to_lowercase().contains(&part));
    let (rows, next) = if query.is_open() {
        // What is open is at hand.
        let mut open = incidents.open_ones(Clone::clone).await;
        open.retain(|it| wanted(it));
        open.reverse();
        (open, None)
    } else {
        incidents.before(asked.or_empty("before"), (ROWS, LOOKED_AT), wanted).await?
    };
    let (shown, pager) = asked.rows(PATH, &rows);
    let mut statuses = vec!["open"];
    statuses.extend(Status::ALL.map(Status::as_str));
    let types: Vec<String> = incidents.desk().await.catalogue().types().iter().map(|it| it.kind.clone()).collect();
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    let fields = [
        text_field(&asked, "q", "Title holds"),
        choice(&asked, "status", "Status", "any", &statuses),
        choice(&asked, "severity", "Severity", "any", &Severity::ALL.map(Severity::as_str)),
        choice(&asked, "type", "Type", "any", &types),
        text_field(&asked, "route", "Route"),
    ];
    let content = html! {
        (filter(PATH, &fields))
        (listed(shown))
        (pager)
        @if let Some(next) = &next {
            nav.pager aria-label="Older incidents" { a rel="next" href=(asked.with(PATH, "before", next)) { "Older" } }
        }
        (opening(&viewer))
    };
    Ok(frame::page(&viewer, Part::Incidents, "Incidents", &content))
}

fn listed(incidents: &[Incident]) -> Markup {
    let row = |it: &Incident| {
        html! {
            td { (badge(it.severity.as_str(), severity_tone(it.severity))) }
            td { a href={ (PATH) "/" (encoded(&it.id)) } { (it.id) } }
            td { (brief(&it.title)) br; span.note { (cut(&it.kind.replace('_', " "))) } }
            td { (badge(it.status.as_str(), status_tone(it.status))) }
            td { (when(it.detected)) }
            td { @if let Some(by) = &it.acknowledged_by { (cut(by)) } @else { span.unknown { "nobody" } } }
            td { (when_or(it.resolved, "not yet")) }
        }
    };
    let rows: Vec<Markup> = incidents.iter().map(row).collect();
    let head = ["Severity", "Incident", "What", "Status", "Found", "Taken by", "Resolved"];
    html! {
        @if rows.is_empty() { (empty("There are no such incidents.")) } @else { (table("Incidents", &head, &rows)) }
    }
}

/// The colour of a status.
pub(super) fn status_tone(status: Status) -> Tone {
    match status {
        Status::Detected => Tone::Bad,
        Status::Investigating | Status::Mitigating => Tone::Warn,
        Status::Resolved | Status::PostMortem => Tone::Good,
        Status::Cancelled | Status::Merged => Tone::Plain,
    }
}

/// A form by which somebody opens an incident that nothing has found.
fn opening(viewer: &Viewer) -> Markup {
    html! {
        @if viewer.may(Role::Responder) {
            details {
                summary { "Open an incident" }
                form method="post" action={ (PATH) "/open" } {
                    (form::hidden(viewer))
                    p { label.above for="title" { "What is wrong, in a line" } input #title name="title" required maxlength="200"; }
                    p {
                        label.above for="severity-new" { "Severity" }
                        select #severity-new name="severity" {
                            @for it in Severity::ALL { option selected[it == Severity::Sev3] { (it.as_str()) } }
                        }
                    }
                    p { label.above for="route-new" { "Route, if it is one" } input #route-new name="route"; }
                    p { label.above for="note-new" { "What is known" } textarea #note-new name="note" {} }
                    p { button.main type="submit" { "Open" } }
                }
            }
        }
    }
}

pub(super) async fn open(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    form: Form,
) -> Result<Response, Problem> {
    let incidents = site.incidents()?.clone();
    let routes: Vec<String> = form.some("route").into_iter().collect();
    let mut body = form.json(&["title", "severity", "note"]);
    body.insert("routes".to_owned(), json!(routes));
    let asked: wire::NewIncident = form::read_as(body)?;
    let new = asked.checked(UNCLASSIFIED, Severity::Sev3).map_err(|why| Problem::new(Kind::Invalid, why))?;
    finished(async move {
        let id = incidents.decide(|desk, now| desk.handle_opened(new.clone(), &caller.name, now)).await?;
        Ok(Redirect::to(&format!("{PATH}/{}?done=opened", encoded(&id))).into_response())
    })
    .await
}
