//! Models and the training runs that make them.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use mainstay_store::record::RunQuery;
use maud::{Markup, html};
use serde_json::Value;

use super::frame::{self, Part, Viewer};
use super::json::{answer, figure, items, members, text};
use super::parts::{Asked, Tone, badge, cut, empty, encoded, filter, table, text_field};
use crate::endpoints::read::readable;
use crate::problem::{Kind, Problem};
use crate::registry::ModelError;
use crate::review::text::{Text, percent, spoken};
use crate::site::Shelf;

const PATH: &str = "/models";
/// Runs that are listed.
const RUNS: usize = 200;
/// Versions that are shown of a model.
const VERSIONS: usize = 10;

pub(super) async fn page(State(shelf): State<Shelf>, viewer: Viewer, asked: Asked) -> Result<Response, Problem> {
    let registry = shelf.open()?;
    let models = answer(&registry.models(None).await?);
    let query = RunQuery { name: asked.get("name").map(str::to_owned), state: None, limit: RUNS };
    let runs = answer(&registry.runs(query).await.map_err(ModelError::from)?);
    let (shown, pager) = asked.rows(PATH, items(&runs));
    let content = html! {
        section { h2 { "Training runs" } (filter(PATH, &[text_field(&asked, "name", "Name")])) (listed(shown)) (pager) }
        section {
            h2 { "Models" }
            @if items(&models).is_empty() { (empty("No version of a model was registered yet.")) }
            @for model in items(&models).iter().take(super::parts::ROWS) { (of_model(model)) }
        }
    };
    Ok(frame::page(&viewer, Part::Models, "Training and models", &content))
}

fn state_tone(state: &str) -> Tone {
    match state {
        "succeeded" => Tone::Good,
        "failed" | "timed_out" | "validation_failed" | "quarantined" => Tone::Bad,
        "preempted" | "cancelled" => Tone::Plain,
        _ => Tone::Warn,
    }
}

fn listed(runs: &[Value]) -> Markup {
    let row = |it: &Value| {
        let id = text(it, "id");
        html! {
            td { a href={ "/runs/" (encoded(id)) } { (cut(id)) } }
            td { (cut(text(it, "name"))) }
            td { (badge(text(it, "state"), state_tone(text(it, "state")))) @if it["reason"].is_string() { br; (cut(text(it, "reason"))) } }
            td.number { (figure(it, "step")) @if it["total"].is_number() { " of " (figure(it, "total")) } }
            td.number { (figure(it, "attempts")) }
            td.number { @if let Some(share) = it["goodput"].as_f64() { (percent(share)) } }
            td { (text(it, "updated")) }
        }
    };
    let rows: Vec<Markup> = runs.iter().map(row).collect();
    html! {
        @if rows.is_empty() { (empty("No training run was reported: `mainstay train` does, where it reaches this service.")) }
        @else { (table("Training runs, the last changed first", &["Run", "Name", "State", "Step", "Attempts", "Kept work", "Heard of"], &rows)) }
    }
}

fn of_model(it: &Value) -> Markup {
    let champion = text(it, "champion");
    let row = |it: &Value| {
        let gates = text(it, "gates");
        let tone = match gates {
            "passed" => Tone::Good,
            "failed" => Tone::Bad,
            _ => Tone::Plain,
        };
        html! {
            th scope="row" { (cut(text(it, "version"))) @if text(it, "version") == champion { " " (badge("champion", Tone::Good)) } }
            td { (cut(text(it, "stage"))) }
            td { (badge(gates, tone)) }
            td { (text(it, "created")) }
            td { @for (name, _) in members(&it["metrics"]).take(6) { (cut(name)) " " (figure(&it["metrics"], name)) br; } }
            td { @if it["lineage"]["run"].is_string() { a href={ "/runs/" (encoded(text(&it["lineage"], "run"))) } { (cut(text(&it["lineage"], "run"))) } } }
        }
    };
    let versions = items(&it["versions"]);
    let rows: Vec<Markup> = versions.iter().rev().take(VERSIONS).map(row).collect();
    let age = it["data_age_s"].as_f64().and_then(|age| std::time::Duration::try_from_secs_f64(age).ok());
    html! {
        h3 { (cut(text(it, "name"))) }
        p.note {
            "Champion: " @if champion.is_empty() { "none" } @else { (cut(champion)) ", since " (text(it, "promoted_at")) }
            @if let Some(age) = age { "; its data is " (spoken(age)) " old" }
        }
        (table(&format!("Versions of {}", Text::short(text(it, "name")).as_str()), &["Version", "Stage", "Gates", "Made", "Measures", "Run"], &rows))
        @if versions.len() > rows.len() { p.note { "And " (versions.len() - rows.len()) " more." } }
    }
}

pub(super) async fn run(
    State(shelf): State<Shelf>,
    viewer: Viewer,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let id = readable(id)?;
    let found = shelf.open()?.run(&id).await.map_err(ModelError::from)?;
    let it = answer(&found.ok_or_else(|| Problem::new(Kind::UnknownRun, format!("no run `{id}` was reported")))?);
    let content = html! {
        p { (badge(text(&it, "state"), state_tone(text(&it, "state")))) " " (cut(text(&it, "reason"))) }
        dl {
            dt { "Name" } dd { (cut(text(&it, "name"))) }
            dt { "Started" } dd { (text(&it, "started")) }
            @if it["ended"].is_string() { dt { "Ended" } dd { (text(&it, "ended")) } }
            dt { "Heard of" } dd { (text(&it, "updated")) }
            dt { "Steps kept" } dd { (figure(&it, "step")) @if it["total"].is_number() { " of " (figure(&it, "total")) } }
            dt { "Attempts" } dd { (figure(&it, "attempts")) }
            @if let Some(share) = it["goodput"].as_f64() { dt { "Kept work" } dd { (percent(share)) " of its time" } }
        }
        section {
            h2 { "Metrics" }
            @if members(&it["metrics"]).next().is_none() { (empty("None were reported.")) }
            dl { @for (name, _) in members(&it["metrics"]).take(100) { dt { (cut(name)) } dd { (figure(&it["metrics"], name)) } } }
        }
    };
    Ok(frame::page(&viewer, Part::Models, &format!("Training run {id}"), &content))
}
