//! Game days: scenarios that are run, and what came of those that were.

use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use mainstay_core::chaos::gameday::Scenario;
use mainstay_core::chaos::gameday::record::{Finding, Mode, Outcome, Phase, Record};
use mainstay_core::plan::Role;
use maud::{Markup, html};

use super::experiment::journal;
use super::form::{self, Form};
use super::frame::{self, Part, Viewer};
use super::parts::{Asked, Tone, badge, brief, cut, empty, encoded, line, table, when, when_or};
use super::response::lacking;
use super::talk;
use crate::access::Caller;
use crate::endpoints::finished;
use crate::endpoints::read::readable;
use crate::gamedays::Head;
use crate::problem::{Kind, Problem, not_known};
use crate::review::text::Text;
use crate::site::Site;

pub(super) const PATH: &str = "/gamedays";
/// Steps of a scenario that a list names.
const STEPS: usize = 5;
/// Said once after a form was sent.
const DONE: [(&str, &str); 2] =
    [("stopped", "The game day is over: its fault is taken away."), ("said", "It is written down.")];

pub(super) async fn page(State(site): State<Site>, viewer: Viewer, asked: Asked) -> Result<Response, Problem> {
    let gamedays = site.gamedays()?;
    let (skip, limit) = asked.read_rows();
    let days = gamedays.days(skip, limit).await?;
    let pager = asked.read_pager(PATH, days.skipped, days.heads.len(), days.total);
    let mut findings = gamedays.findings().await?;
    findings.retain(|it| it.closed.is_none());
    let scenarios = gamedays.scenarios();
    let (some, more) = asked.others(PATH, ("known", "scenarios"), &scenarios);
    let (unmended, others) = asked.others(PATH, ("finding", "findings"), &findings);
    let content = html! {
        section { h2 { "Game days" } (listed(&days.heads)) (pager) }
        section { h2 { "Still to be mended" } (open(unmended)) (others) }
        section { h2 { "Scenarios" } (scenarios_of(&viewer, some)) (more) }
    };
    Ok(frame::page(&viewer, Part::Gamedays, "Game days", &content))
}

fn phase(phase: Phase, passed: Option<bool>) -> Markup {
    match (phase, passed) {
        (Phase::Running, _) => badge("running", Tone::Warn),
        (Phase::Aborted, _) => badge("aborted", Tone::Plain),
        (Phase::Ended, Some(true)) => badge("everything held", Tone::Good),
        (Phase::Ended, Some(false)) => badge("not everything held", Tone::Bad),
        (Phase::Ended, None) => badge("ended", Tone::Plain),
    }
}

const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Live => "run",
        Mode::Tabletop => "talked through",
    }
}

fn listed(days: &[Head]) -> Markup {
    let row = |it: &Head| {
        html! {
            td { a href={ (PATH) "/" (encoded(&it.id)) } { (it.id) } }
            td { (cut(if it.title.is_empty() { &it.scenario } else { &it.title })) }
            td { (mode(it.mode)) }
            td { (phase(it.phase, it.passed)) }
            td { (when(it.started)) br; span.note { "by " (cut(&it.by)) } }
        }
    };
    let rows: Vec<Markup> = days.iter().map(row).collect();
    html! {
        @if rows.is_empty() { (empty("There was no game day yet.")) }
        @else { (table("Game days, the last first", &["Game day", "Scenario", "How", "Result", "Began"], &rows)) }
    }
}

fn open(findings: &[Finding]) -> Markup {
    let row = |it: &Finding| {
        html! {
            td { (cut(&it.id)) }
            td { (cut(&it.scenario)) @if let Some(step) = &it.step { ", " (cut(step)) } }
            td { (brief(&it.criterion)) br; span.note { (brief(&it.holds)) } }
            td { (brief(&it.measured)) }
            td { a href={ (PATH) "/" (encoded(&it.last)) } { (it.last) } }
        }
    };
    let rows: Vec<Markup> = findings.iter().map(row).collect();
    html! {
        @if rows.is_empty() { (empty("No finding is open.")) }
        @else { (table("Open findings", &["Finding", "Where", "Criterion", "Measured", "Last seen"], &rows)) }
    }
}

fn scenarios_of(viewer: &Viewer, scenarios: &[Scenario]) -> Markup {
    let row = |it: &Scenario| {
        html! {
            th scope="row" { (cut(if it.title.is_empty() { &it.name } else { &it.title })) br; span.note { (cut(&it.name)) } }
            td { (brief(&it.purpose)) }
            td {
                @for step in it.step_names().iter().take(STEPS) { (cut(step)) br; }
                @if it.steps.len() > STEPS { "and " (it.steps.len() - STEPS) " more" }
            }
            td {
                @if viewer.may(Role::Operator) {
                    div.actions {
                        (begun(viewer, it, "live", "Start"))
                        (begun(viewer, it, "tabletop", "Talk it through"))
                    }
                }
            }
        }
    };
    let rows: Vec<Markup> = scenarios.iter().map(row).collect();
    html! {
        @if rows.is_empty() { (empty("The config has no scenarios.")) }
        @else { (table("Scenarios", &["Scenario", "Purpose", "Steps", "Do"], &rows)) }
        @if !viewer.may(Role::Operator) { (lacking(Role::Operator)) }
    }
}

fn begun(viewer: &Viewer, it: &Scenario, mode: &str, label: &str) -> Markup {
    html! {
        form method="post" action={ (PATH) "/start" } {
            (form::hidden(viewer))
            input type="hidden" name="name" value=(it.name);
            input type="hidden" name="mode" value=(mode);
            button type="submit" aria-label={ (label) ": " (Text::short(&it.name).as_str()) } { (label) }
        }
    }
}

pub(super) async fn one(
    State(site): State<Site>,
    viewer: Viewer,
    asked: Asked,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let it = site.gamedays()?.day(&readable(id)?).await?;
    let report = format!("/api/v1/gamedays/{}/report?format=", encoded(&it.id));
    let outcomes: Vec<Markup> = it.outcomes().map(|(step, outcome)| criterion(step, outcome)).collect();
    let content = html! {
        (asked.done(&DONE))
        p { (phase(it.phase, it.passed)) " " (mode(it.mode)) @if !it.now.is_empty() { ", now " (it.now) } }
        p { (line(&it.scenario.purpose)) }
        dl {
            dt { "Led by" } dd { (cut(&it.by)) }
            dt { "Began" } dd { (when(it.started)) }
            dt { "Ended" } dd { (when_or(it.ended, "not yet")) }
            @if let Some(stopped) = &it.stopped { dt { "Stopped" } dd { "by " (cut(&stopped.by)) ": " (line(&stopped.text)) } }
            dt { "Report" } dd { a href={ (report) "html" } { "as a page" } ", as " a href={ (report) "md" } { "Markdown" } }
        }
        @if it.phase == Phase::Running { (form::ending(&viewer, &format!("{PATH}/{}/stop", encoded(&it.id)), "End this game day")) }
        @match it.mode {
            Mode::Live => {
                section { h2 { "Steps" } (steps(&it)) }
                section {
                    h2 { "Criteria" }
                    @if outcomes.is_empty() { (empty("No criterion was judged yet.")) }
                    @else { (table("Criteria", &["Step", "Criterion", "Held", "Measured"], &outcomes)) }
                }
                (talk::said(&viewer, &asked, &it))
            }
            Mode::Tabletop => (talk::shown(&viewer, &asked, &it)),
        }
        section { h2 { "Journal" } (journal(&it.timeline)) }
    };
    Ok(frame::page(&viewer, Part::Gamedays, &format!("{}: {}", it.id, it.scenario.name), &content))
}

fn criterion(step: Option<&str>, it: &Outcome) -> Markup {
    let (word, tone) = match it.held {
        Some(true) => ("held", Tone::Good),
        Some(false) => ("did not hold", Tone::Bad),
        None => ("not judged", Tone::Plain),
    };
    html! {
        td { (cut(step.unwrap_or("the day"))) }
        td { (line(&it.name)) br; span.note { (line(&it.holds)) } }
        td { (badge(word, tone)) }
        td { (line(&it.measured)) }
    }
}

fn steps(it: &Record) -> Markup {
    let row = |name: &str| {
        let step = it.steps.iter().find(|step| step.name == name);
        html! {
            th scope="row" { (cut(name)) }
            td { (when_or(step.map(|step| step.started), "not begun")) }
            td { (when_or(step.and_then(|step| step.ended), "not judged")) }
            td {
                @if let Some(run) = step.and_then(|step| step.run.as_ref()) {
                    a href={ "/experiments/" (encoded(run)) } { (run) }
                }
                @for why in step.into_iter().flat_map(|step| &step.refused) { (line(why)) br; }
            }
        }
    };
    let rows: Vec<Markup> = it.scenario.step_names().into_iter().map(row).collect();
    table("Steps", &["Step", "Began", "Judged", "Run"], &rows)
}

pub(super) async fn start(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    form: Form,
) -> Result<Response, Problem> {
    let gamedays = site.gamedays()?.clone();
    let name = form.get("name");
    let known = gamedays.scenarios();
    let unknown = || Problem::new(Kind::NotFound, not_known("scenario", name, known.iter().map(|it| it.name.as_str())));
    let scenario = known.iter().find(|it| it.name == name).ok_or_else(unknown)?.clone();
    let live = form.get("mode") != "tabletop";
    finished(async move {
        let record = if live {
            gamedays.start(scenario, &caller.name).await?
        } else {
            gamedays.talk(scenario, &caller.name).await?
        };
        Ok(Redirect::to(&format!("{PATH}/{}", encoded(&record.id))).into_response())
    })
    .await
}

pub(super) async fn stop(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    form: Form,
) -> Result<Response, Problem> {
    let (gamedays, id) = (site.gamedays()?.clone(), readable(id)?);
    let reason = form.some("reason").ok_or_else(|| Problem::new(Kind::Invalid, "say why"))?;
    finished(async move {
        gamedays.stop(&id, &caller.name, &reason).await?;
        Ok(Redirect::to(&format!("{PATH}/{}?done=stopped", encoded(&id))).into_response())
    })
    .await
}
