//! A run of an experiment: how it goes, what it showed, and the way to stop it.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use mainstay_core::chaos::record::{Line, Phase, Run};
use mainstay_core::chaos::verdict::Assessment;
use maud::{Markup, html};

use super::experiments::{PATH, verdict_tone};
use super::form;
use super::frame::{self, Part, Viewer};
use super::parts::{Asked, Tone, badge, cut, empty, encoded, line, when, when_or};
use crate::endpoints::read::readable;
use crate::gamedays::figures;
use crate::plot::Drawn;
use crate::problem::{Kind, Problem};
use crate::review::html::figure;
use crate::review::text::{percent, spoken};
use crate::site::Site;

/// Lines of the journal that are shown: the last ones.
const LINES: usize = 100;

pub(super) async fn page(
    State(site): State<Site>,
    viewer: Viewer,
    asked: Asked,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = readable(id)?;
    let experiments = site.experiments()?;
    let unknown = || Problem::new(Kind::NotFound, format!("there is no run `{id}`"));
    let run = experiments.run(&id).await?.ok_or_else(unknown)?;
    let plots = figures::of(&run, &figures::marks(&run, None));
    let content = html! {
        (asked.done(&[("stopped", "The run is stopped: its fault is taken away.")]))
        (standing(&run))
        @if run.phase != Phase::Ended { (form::ending(&viewer, &format!("{PATH}/{}/stop", encoded(&run.id)), "Stop this run")) }
        @if let Some(assessment) = &run.assessment { section { h2 { "What it showed" } (shown(assessment)) } }
        section {
            h2 { "How it goes" }
            @if plots.is_empty() { (empty("Nothing was counted yet.")) }
            div.columns { @for plot in &plots { (figure(&Drawn::of(plot, &[]))) } }
        }
        section { h2 { "Journal" } (journal(&run.journal)) }
    };
    Ok(frame::page(&viewer, Part::Experiments, &format!("{}: {}", run.id, run.experiment.name), &content))
}

fn standing(run: &Run) -> Markup {
    let it = &run.experiment;
    let tone = if run.phase == Phase::Ended { Tone::Plain } else { Tone::Warn };
    html! {
        p {
            (badge(run.phase.name(), tone)) " "
            @if let Some(found) = &run.assessment { (badge(found.verdict.name(), verdict_tone(found.verdict.name()))) }
        }
        p { (line(&it.hypothesis)) }
        dl {
            dt { "Route" } dd { (cut(&it.route)) }
            @if let Some(target) = &it.target { dt { "Target" } dd { (cut(target)) } }
            dt { "Fault" } dd { (it.fault.name()) ", " (it.blast.name()) ", for " (spoken(it.duration)) ", " (percent(it.dose)) " of the arm" }
            dt { "By" } dd { @if run.by.is_empty() { span.unknown { "nobody knows" } } @else { (cut(&run.by)) } }
            @if let Some(day) = &run.gameday { dt { "Game day" } dd { a href={ "/gamedays/" (encoded(day)) } { (day) } } }
            dt { "Started" } dd { (when(run.started)) }
            dt { "Injected" } dd { (when_or(run.injected, "not yet")) }
            dt { "Taken away" } dd { (when_or(run.withdrawn, "not yet")) }
            dt { "Ended" } dd { (when_or(run.ended, "not yet")) }
            @if let Some(stopped) = &run.stopped { dt { "Stopped" } dd { "by " (cut(&stopped.by)) ": " (line(&stopped.text)) } }
        }
    }
}

fn shown(it: &Assessment) -> Markup {
    html! {
        p { (badge(it.verdict.name(), verdict_tone(it.verdict.name()))) " " (line(&it.reason)) }
        @if !it.recommendations.is_empty() { ul { @for text in &it.recommendations { li { (line(text)) } } } }
    }
}

/// What happened, in order.
pub(super) fn journal(lines: &[Line]) -> Markup {
    let shown = &lines[lines.len().saturating_sub(LINES)..];
    html! {
        @if shown.is_empty() { (empty("Nothing happened yet.")) }
        @if lines.len() > shown.len() { p.note { (lines.len() - shown.len()) " older lines are not shown." } }
        ol.timeline {
            @for it in shown { li { (when(it.at)) " " (badge(&it.what, Tone::Plain)) " " (line(&it.text)) } }
        }
    }
}
