//! Experiments: what may be run, what runs, what was run; and the lever that halts all of it.

use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use mainstay_core::chaos::experiment::Experiment;
use mainstay_core::chaos::record::{Approval, Halt, Phase, Run};
use mainstay_core::chaos::run::Start;
use mainstay_core::plan::Role;
use maud::{Markup, html};

use super::form::{self, Form};
use super::frame::{self, Part, Viewer};
use super::parts::{Asked, Tone, badge, choice, cut, empty, encoded, filter, line, table, text_field, when};
use super::response::lacking;
use crate::access::Caller;
use crate::chaos::{Experiments, plan_hash};
use crate::endpoints::experiments::unknown;
use crate::endpoints::finished;
use crate::endpoints::read::readable;
use crate::problem::{Kind, Problem};
use crate::review::text::spoken;
use crate::site::Site;

pub(super) const PATH: &str = "/experiments";
/// Said once after a form was sent.
const DONE: [(&str, &str); 4] = [
    ("halted", "Faults are halted: every fault is taken away, and none begins."),
    ("resumed", "Experiments may begin again."),
    ("approved", "The plan is approved."),
    ("stopped", "The run is stopped: its fault is taken away."),
];
/// What a run can show.
const VERDICTS: [&str; 7] =
    ["tolerated", "degraded", "violated", "inconclusive", "invalid", "aborted", "not_recovered"];

/// A run in a list.
struct Row {
    id: String,
    name: String,
    route: String,
    fault: &'static str,
    by: String,
    gameday: Option<String>,
    started: mainstay_core::time::Time,
    phase: Phase,
    verdict: Option<&'static str>,
}

impl Row {
    fn of(run: &Run) -> Row {
        Row {
            id: run.id.clone(),
            name: run.experiment.name.clone(),
            route: run.experiment.route.clone(),
            fault: run.experiment.fault.name(),
            by: run.by.clone(),
            gameday: run.gameday.clone(),
            started: run.started,
            phase: run.phase,
            verdict: run.assessment.as_ref().map(|it| it.verdict.name()),
        }
    }
}

pub(super) async fn page(State(site): State<Site>, viewer: Viewer, asked: Asked) -> Result<Response, Problem> {
    let experiments = site.experiments()?;
    let halt = experiments.halt().await;
    let approvals = experiments.approvals().await;
    let part = asked.or_empty("q");
    let (route, verdict) = (asked.get("route"), asked.get("verdict"));
    let wanted = |it: &Row| {
        it.name.contains(part)
            && route.is_none_or(|route| it.route == route)
            && verdict.is_none_or(|verdict| it.verdict == Some(verdict))
    };
    let rows = experiments.each(|run| Some(Row::of(run)).filter(|row| wanted(row))).await?;
    let (shown, pager) = asked.rows(PATH, &rows);
    let known = experiments.known();
    let (some, more) = asked.others(PATH, ("known", "what may be run"), &known);
    let fields = [
        text_field(&asked, "q", "Name holds"),
        text_field(&asked, "route", "Route"),
        choice(&asked, "verdict", "Verdict", "any", &VERDICTS),
    ];
    let content = html! {
        (asked.done(&DONE))
        section { h2 { "The lever" } (lever(&viewer, halt.as_ref())) }
        section { h2 { "Runs" } (filter(PATH, &fields)) (listed(shown)) (pager) }
        section { h2 { "What may be run" } (catalogue(&viewer, experiments, some, &approvals)) (more) }
    };
    Ok(frame::page(&viewer, Part::Experiments, "Experiments", &content))
}

/// The colour of a verdict.
pub(super) fn verdict_tone(verdict: &str) -> Tone {
    match verdict {
        "tolerated" => Tone::Good,
        "degraded" | "aborted" => Tone::Warn,
        "violated" | "not_recovered" => Tone::Bad,
        _ => Tone::Plain,
    }
}

fn listed(rows: &[Row]) -> Markup {
    let row = |it: &Row| {
        html! {
            td { a href={ (PATH) "/" (encoded(&it.id)) } { (it.id) } }
            td { (cut(&it.name)) @if let Some(day) = &it.gameday { br; a href={ "/gamedays/" (encoded(day)) } { (day) } } }
            td { (cut(&it.route)) }
            td { (it.fault) }
            td { (when(it.started)) @if !it.by.is_empty() { br; span.note { "by " (cut(&it.by)) } } }
            td {
                @match it.verdict {
                    Some(verdict) => (badge(verdict, verdict_tone(verdict))),
                    None => (badge(it.phase.name(), if it.phase == Phase::Ended { Tone::Plain } else { Tone::Warn })),
                }
            }
        }
    };
    let rows: Vec<Markup> = rows.iter().map(row).collect();
    html! {
        @if rows.is_empty() { (empty("There are no such runs.")) }
        @else { (table("Runs, the last first", &["Run", "Experiment", "Route", "Fault", "Began", "Shows"], &rows)) }
    }
}

/// The way to take every fault away, and back.
pub(super) fn lever(viewer: &Viewer, halt: Option<&Halt>) -> Markup {
    let halted = halt.filter(|it| it.halted);
    html! {
        @if let Some(halt) = halted {
            p.alert { "Halted by " (cut(&halt.by)) " at " (when(halt.at)) ": " (line(&halt.reason)) }
            @if viewer.may(Role::Operator) {
                form method="post" action={ (PATH) "/resume" } {
                    (form::hidden(viewer))
                    p { label.above for="resume" { "Why faults may be injected again" } input #resume name="reason" required; }
                    p { button type="submit" { "Let experiments begin again" } }
                }
            } @else { (lacking(Role::Operator)) }
        } @else {
            p { "Faults may be injected." }
            @if viewer.may(Role::Responder) {
                form method="post" action={ (PATH) "/halt" } {
                    (form::hidden(viewer))
                    p { label.above for="halt" { "Why" } input #halt name="reason" required; }
                    p { button.danger type="submit" { "Halt every fault" } }
                }
            } @else { (lacking(Role::Responder)) }
        }
    }
}

fn catalogue(viewer: &Viewer, experiments: &Experiments, known: &[Experiment], approvals: &[Approval]) -> Markup {
    let row = |it: &Experiment| {
        let plan = plan_hash(it);
        let given: Vec<&Approval> =
            approvals.iter().filter(|given| given.experiment == it.name && given.plan == plan).collect();
        let needs = experiments.needs_approval(it);
        html! {
            th scope="row" { (cut(if it.title.is_empty() { &it.name } else { &it.title })) br; span.note { (cut(&it.name)) } }
            td { (line(&it.hypothesis)) }
            td { (cut(&it.route)) br; span.note { (it.fault.name()) ", " (it.blast.name()) ", " (spoken(it.duration)) } }
            td {
                @if !needs { "not needed" }
                @for given in &given { (cut(&given.by)) br; }
                @if needs && given.is_empty() { "needed" }
            }
            td {
                @if viewer.may(Role::Operator) {
                    div.actions {
                        (named(viewer, "start", it, &plan, "Start"))
                        @if needs { (named(viewer, "approve", it, &plan, "Approve")) }
                    }
                }
            }
        }
    };
    let rows: Vec<Markup> = known.iter().map(row).collect();
    let head = ["Experiment", "Hypothesis", "Where", "Approved by", "Do"];
    html! {
        @if rows.is_empty() { (empty("The config has no experiments.")) } @else { (table("Experiments", &head, &rows)) }
        @if !viewer.may(Role::Operator) { (lacking(Role::Operator)) }
    }
}

fn named(viewer: &Viewer, what: &str, it: &Experiment, plan: &str, label: &str) -> Markup {
    html! {
        form method="post" action={ (PATH) "/" (what) } {
            (form::hidden(viewer))
            input type="hidden" name="name" value=(it.name);
            input type="hidden" name="plan" value=(plan);
            button type="submit" aria-label={ (label) " " (cut(&it.name)) } { (label) }
        }
    }
}

/// The experiment of a form, if its plan is still the one that somebody saw.
fn seen(experiments: &Experiments, form: &Form) -> Result<(Experiment, String), Problem> {
    let name = form.get("name");
    let experiment = experiments.find(name).ok_or_else(|| unknown(experiments, name))?;
    let plan = plan_hash(&experiment);
    if plan != form.get("plan") {
        let detail = format!("the plan of `{name}` is another by now: look at it again");
        return Err(Problem::new(Kind::Conflict, detail));
    }
    Ok((experiment, plan))
}

pub(super) async fn start(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    form: Form,
) -> Result<Response, Problem> {
    let experiments = site.experiments()?.clone();
    let (experiment, plan) = seen(&experiments, &form)?;
    let start = Start { experiment, plan, by: caller.person().to_owned(), hold: None, gameday: None };
    finished(async move {
        let run = experiments.start(start, &caller.name).await?;
        Ok(Redirect::to(&format!("{PATH}/{}", encoded(&run.id))).into_response())
    })
    .await
}

pub(super) async fn approve(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    form: Form,
) -> Result<Response, Problem> {
    let experiments = site.experiments()?.clone();
    let (experiment, plan) = seen(&experiments, &form)?;
    finished(async move {
        let by = (caller.person(), caller.name.as_str());
        experiments.approve((&experiment.name, &plan), by, None).await?;
        Ok(Redirect::to(&format!("{PATH}?done=approved")).into_response())
    })
    .await
}

pub(super) async fn stop(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    form: Form,
) -> Result<Response, Problem> {
    let (experiments, id) = (site.experiments()?.clone(), readable(id)?);
    let reason = form.get("reason").to_owned();
    finished(async move {
        experiments.stop(&id, &caller.name, &reason).await?;
        Ok(Redirect::to(&format!("{PATH}/{}?done=stopped", encoded(&id))).into_response())
    })
    .await
}

pub(super) async fn halt(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    form: Form,
) -> Result<Response, Problem> {
    let experiments = site.experiments()?.clone();
    let reason = form.get("reason").to_owned();
    finished(async move {
        experiments.put_halt(&caller.name, &reason).await?;
        Ok(Redirect::to(&format!("{PATH}?done=halted")).into_response())
    })
    .await
}

pub(super) async fn resume(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    form: Form,
) -> Result<Response, Problem> {
    let experiments = site.experiments()?.clone();
    let reason = form.get("reason").to_owned();
    finished(async move {
        experiments.end_halt(&caller.name, &reason).await?;
        Ok(Redirect::to(&format!("{PATH}?done=resumed")).into_response())
    })
    .await
}
