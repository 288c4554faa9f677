//! An incident: what is wrong, what to do, what was done, and the way to its review.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use mainstay_core::event::format_time;
use mainstay_core::incident::record::{Entry, Held, Incident, Ranked};
use mainstay_core::response::delivery::{Delivery, State as Sent};
use mainstay_core::time::Time;
use maud::{Markup, html};

use super::frame::{self, Part, Viewer};
use super::incidents::{PATH, status_tone};
use super::overview::severity_tone;
use super::parts::{Asked, Tone, badge, beyond, cut, empty, encoded, line, table, when, when_or};
use super::response;
use crate::endpoints::read::readable;
use crate::incidents::impact;
use crate::plot::Drawn;
use crate::problem::{Kind, Problem};
use crate::review::html::figure;
use crate::review::text::{percent, spoken};
use crate::review::{Impact, Plot};
use crate::site::Site;

/// Entries of the timeline that are shown: the last ones.
const ENTRIES: usize = 100;
/// Rows of every other table.
const ROWS: usize = 30;
/// Plots that are shown.
const PLOTS: usize = 4;
/// Said once after a form was sent.
const DONE: [(&str, &str); 7] = [
    ("opened", "The incident is open."),
    ("ack", "You have it: nobody else is paged."),
    ("note", "It is on the timeline."),
    ("status", "It stands there now."),
    ("act", "The action is being taken."),
    ("undo", "The action is being undone."),
    ("review", "It is in the review."),
];

pub(super) async fn page(
    State(site): State<Site>,
    viewer: Viewer,
    asked: Asked,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = readable(id)?;
    let incidents = site.incidents()?;
    let unknown = || Problem::new(Kind::NotFound, format!("there is no incident `{id}`"));
    let incident = incidents.find(&id).await?.ok_or_else(unknown)?;
    let notices = incidents.notices(&id).await?;
    let desk = incidents.desk().await;
    let (cost, plots) = match site.engine() {
        Ok(engine) => impact::of(engine, &incident, incidents.now()),
        Err(_) => (Vec::new(), Vec::new()),
    };
    let content = html! {
        (asked.done(&DONE))
        (standing(&incident, viewer.now))
        (response::doing(&viewer, &incident))
        section { h2 { "Runbook" } (response::runbook(&viewer, &incident, &desk)) }
        section { h2 { "Actions" } (response::actions(&viewer, &incident)) }
        section { h2 { "What is wrong" } (facts(&incident)) (ranking(&incident.ranking)) }
        section { h2 { "What it costs" } (costs(&cost, &plots, &incident)) }
        section { h2 { "Timeline" } (timeline(&incident)) }
        section { h2 { "Notices" } (sent(&notices)) }
        section { h2 #review { "Review" } (response::review(&viewer, &incident)) }
    };
    Ok(frame::page(&viewer, Part::Incidents, &format!("{}: {}", incident.id, incident.title), &content))
}

fn standing(it: &Incident, now: Time) -> Markup {
    let since = |at: Option<Time>| html! { @if let Some(at) = at { (when(at)) ", " (spoken(at.since(it.onset))) " after it began" } @else { span.unknown { "not yet" } } };
    html! {
        p {
            (badge(it.severity.as_str(), severity_tone(it.severity))) " "
            (badge(it.status.as_str(), status_tone(it.status))) " "
            (cut(&it.kind.replace('_', " ")))
        }
        dl {
            dt { "Began" } dd { (when(it.onset)) }
            dt { "Found" } dd { (since(Some(it.detected))) }
            dt { "Taken" } dd {
                (since(it.acknowledged))
                @if let Some(by) = &it.acknowledged_by { ", by " strong { (cut(by)) } }
            }
            dt { "Mitigated" } dd { (since(it.mitigated)) }
            dt { "Resolved" } dd { (since(it.resolved.filter(|_| !it.status.is_open()))) }
            @if it.status.is_open() { dt { "Lasts" } dd { (spoken(now.since(it.onset))) " so far" } }
            @if !it.routes.is_empty() { dt { "Routes" } dd { @for route in it.routes.iter().take(ROWS) { (cut(route)) " " } } }
            @if !it.places.is_empty() { dt { "About" } dd { @for place in it.places.iter().take(ROWS) { (cut(place)) " " } } }
            @if let Some(into) = &it.merged_into {
                dt { "Part of" } dd { a href={ (PATH) "/" (encoded(into)) } { (into) } }
            }
            @if let Some(proposed) = it.proposed {
                dt { "All is quiet" } dd { "since " (when_or(it.quiet_since, "a while")) "; proposed to resolve at " (when(proposed)) }
            }
            @if let Some(next) = it.escalation.as_ref().and_then(|it| it.next) {
                dt { "Next is told" } dd { (when(next)) }
            }
        }
    }
}

fn facts(incident: &Incident) -> Markup {
    let row = |it: &Held| {
        html! {
            td { (line(&it.text)) br; span.note { (cut(&it.fact.replace('_', " "))) } }
            td { (when(it.since)) }
            td { (when_or(it.until, "lasts")) }
            td.number { (it.times) }
            td { (behind(it)) }
        }
    };
    let rows: Vec<Markup> = incident.facts.iter().take(ROWS).map(row).collect();
    let more = incident.facts.len().saturating_sub(ROWS) as u64 + incident.more_facts;
    html! {
        @if rows.is_empty() { (empty("No facts are known: a person opened it.")) }
        @else { (table("What is wrong", &["Fact", "Since", "Until", "Times", "Behind it"], &rows)) }
        @if more > 0 { p.note { "And " (more) " more." } }
    }
}

/// Where a fact can be looked into.
fn behind(held: &Held) -> Markup {
    let slo = held.labels.get("slo").or_else(|| held.labels.get("objective"));
    let from = encoded(&format_time(held.since));
    html! {
        @if let Some(slo) = slo { a href={ "/slos/" (encoded(slo)) } { "Budget" } " " }
        @if let Some(route) = held.labels.get("route") {
            a href={ "/explore?bad=yes&route=" (encoded(route)) "&from=" (from) } { "Requests" }
        }
    }
}

fn ranking(ranking: &[Ranked]) -> Markup {
    let row = |it: &Ranked| {
        html! {
            th scope="row" { (line(&it.title)) }
            td.number { (percent(it.probability)) }
            td { @for sign in it.fired.iter().take(8) { (line(&sign.text)) br; } }
        }
    };
    let rows: Vec<Markup> = ranking.iter().take(5).map(row).collect();
    html! { @if !rows.is_empty() { h3 { "What it may be" } (table("Types by evidence", &["Type", "Chance", "Signals"], &rows)) } }
}

fn costs(cost: &[Impact], plots: &[Plot], incident: &Incident) -> Markup {
    let row = |it: &Impact| {
        html! {
            th scope="row" { a href={ "/slos/" (encoded(&it.slo)) } { (cut(&it.slo)) } }
            td.number { (it.bad) " of " (it.total) }
            td.number { (percent(it.budget_share)) }
        }
    };
    let rows: Vec<Markup> = cost.iter().take(ROWS).map(row).collect();
    let mut clocks = vec![(incident.onset, "onset"), (incident.detected, "detected")];
    let known =
        [(incident.acknowledged, "acknowledged"), (incident.mitigated, "mitigated"), (incident.resolved, "resolved")];
    clocks.extend(known.into_iter().filter_map(|(at, name)| Some((at?, name))));
    html! {
        @if rows.is_empty() { (empty("No objective has lost anything, as far as is counted.")) }
        @else { (table("What objectives lost", &["Objective", "Bad", "Of the whole budget"], &rows)) }
        (beyond(cost.len(), rows.len()))
        div.columns { @for plot in plots.iter().take(PLOTS) { (figure(&Drawn::of(plot, &clocks))) } }
    }
}

fn timeline(incident: &Incident) -> Markup {
    let all = &incident.timeline;
    let shown = &all[all.len().saturating_sub(ENTRIES)..];
    let before = (all.len() - shown.len()) as u64 + incident.timeline_dropped;
    let entry = |it: &Entry| {
        html! {
            li { (when(it.at)) " " (badge(&it.what, Tone::Plain)) " " strong { (cut(&it.actor)) } " " (line(&it.text)) }
        }
    };
    html! {
        @if before > 0 { p.note { (before) " older entries are not shown; the review and the API have those that are kept." } }
        ol.timeline reversed[false] { @for it in shown { (entry(it)) } }
    }
}

fn sent(notices: &[Delivery]) -> Markup {
    let row = |it: &Delivery| {
        let tone = match it.state {
            Sent::Delivered => Tone::Good,
            Sent::Dead => Tone::Bad,
            Sent::Pending => Tone::Warn,
            Sent::Cancelled => Tone::Plain,
        };
        html! {
            td { (when(it.made)) }
            td { (it.notice.purpose.as_str()) }
            td { (cut(it.notice.person.as_deref().unwrap_or("the channel"))) }
            td { (cut(&it.channel)) }
            td { (badge(it.state.as_str(), tone)) @if let Some(error) = &it.error { br; span.note { (line(error)) } } }
        }
    };
    let rows: Vec<Markup> = notices.iter().rev().take(ROWS).map(row).collect();
    html! {
        @if rows.is_empty() { (empty("Nobody was told: the config says nothing about whom, or it was not bad enough.")) }
        @else { (table("Notices, the last first", &["Made", "Why", "To", "By", "State"], &rows)) }
        (beyond(notices.len(), rows.len()))
    }
}
