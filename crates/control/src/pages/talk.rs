//! A game day that is talked through: what is asked, and what was said.

use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use mainstay_core::chaos::gameday::Step;
use mainstay_core::chaos::gameday::record::{Answer, Phase, Record};
use mainstay_core::plan::Role;
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::form::{self, Form};
use super::frame::Viewer;
use super::gamedays::PATH;
use super::parts::{Asked, brief, cut, empty, encoded, line, table, when};
use super::response::lacking;
use crate::access::Caller;
use crate::endpoints::finished;
use crate::endpoints::read::readable;
use crate::problem::{Kind, Problem};
use crate::review::text::Text;
use crate::site::Site;
use crate::wire;

/// Most things that are expected or asked of all steps together that are shown; the report has them all.
const LINES: usize = 60;

/// Most questions that are offered to be chosen.
const OFFERED: usize = 20;

/// What is asked, step by step, what was said, and the form that writes it down.
pub(super) fn shown(viewer: &Viewer, asked: &Asked, it: &Record) -> Markup {
    let steps = &it.scenario.steps;
    let lines: usize = steps.iter().map(|step| step.expect.len() + step.questions.len()).sum();
    let mut left = LINES;
    html! {
        section {
            h2 { "Steps" }
            @for step in steps { (of_step(step, &mut left)) }
            @if lines > LINES { p.note { "And " (lines - LINES) " more: the report has them all." } }
        }
        (said(viewer, asked, it))
    }
}

fn of_step(step: &Step, left: &mut usize) -> Markup {
    let mut list = |title: &str, texts: &[String]| {
        let shown = &texts[..texts.len().min(*left)];
        *left -= shown.len();
        html! { @if !shown.is_empty() { h4 { (title) } ul { @for text in shown { li { (brief(text)) } } } } }
    };
    html! {
        h3 { (cut(step.name())) }
        (list("What should happen", &step.expect))
        (list("What is asked", &step.questions))
    }
}

/// What was said of a game day that is over.
pub(super) fn said(viewer: &Viewer, asked: &Asked, it: &Record) -> Markup {
    let row = |it: &Answer| {
        html! {
            td { (cut(it.step.as_deref().unwrap_or("the day"))) }
            td { (brief(&it.question)) }
            td { (line(&it.text)) }
            td { (cut(&it.by)) ", " (when(it.at)) }
        }
    };
    let last_first: Vec<&Answer> = it.answers.iter().rev().collect();
    let (some, pager) = asked.others(&format!("{PATH}/{}", encoded(&it.id)), ("said", "what was said"), &last_first);
    let rows: Vec<Markup> = some.iter().map(|it| row(it)).collect();
    html! {
        section {
            h2 { "What was said" }
            @if rows.is_empty() { (empty("Nothing was written down yet.")) }
            @else { (table("What was said, the last first", &["About", "Question", "Answer", "By"], &rows)) }
            (pager)
            @if it.phase == Phase::Running { p.note { "Answers are written down once it is over." } }
            @else if viewer.may(Role::Responder) { (writing(viewer, it)) }
            @else { (lacking(Role::Responder)) }
        }
    }
}

fn writing(viewer: &Viewer, it: &Record) -> Markup {
    let questions = it.scenario.steps.iter().flat_map(|step| &step.questions).take(OFFERED);
    html! {
        form method="post" action={ (PATH) "/" (encoded(&it.id)) "/answers" } {
            (form::hidden(viewer))
            p {
                label.above for="step" { "About" }
                select #step name="step" {
                    option value="" { "the day" }
                    @for name in it.scenario.step_names() { option value=(name) { (Text::short(name).as_str()) } }
                }
            }
            p {
                label.above for="question" { "What was asked" }
                input #question name="question" list="questions";
                datalist #questions { @for question in questions { option value=(Text::line(question).as_str()) {} } }
            }
            p { label.above for="text" { "What was said" } textarea #text name="text" required {} }
            p { button type="submit" { "Write it down" } }
        }
    }
}

pub(super) async fn answer(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    form: Form,
) -> Result<Response, Problem> {
    let (gamedays, id) = (site.gamedays()?.clone(), readable(id)?);
    let one = Value::Object(form.json(&["step", "question", "text"]));
    let body: Map<String, Value> = [("answers".to_owned(), json!([one]))].into_iter().collect();
    let invalid = |why: String| Problem::new(Kind::Invalid, why);
    if form.some("text").is_none() {
        return Err(invalid("say what was said".to_owned()));
    }
    let asked: wire::GamedayAnswers = form::read_as(body)?;
    let answers = asked.checked(&caller.name, gamedays.now()).map_err(invalid)?;
    finished(async move {
        gamedays.answer(&id, answers).await?;
        Ok(Redirect::to(&format!("{PATH}/{}?done=said", encoded(&id))).into_response())
    })
    .await
}
