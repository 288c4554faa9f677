//! Models and the training runs that make them.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use mainstay_store::record::RunQuery;
use maud::{Markup, html};
use serde_json::Value;

use super::frame::{self, Part, Viewer};
use super::json::{answer, figure, items, moment, text};
use super::parts::{Asked, Tone, badge, choice, cut, empty, encoded, filter, spelled, table, text_field};
use crate::problem::Problem;
use crate::registry::{ModelError, Registry};
use crate::review::text::{percent, spoken};
use crate::site::Shelf;
use crate::wire::{self, RunState, Shelved};

pub(super) const PATH: &str = "/models";
/// Runs that are listed.
const RUNS: usize = 200;

pub(super) async fn page(State(shelf): State<Shelf>, viewer: Viewer, asked: Asked) -> Result<Response, Problem> {
    let registry = shelf.open()?;
    let mut models = registry.shelved(None).await?;
    models.retain(|it| it.name.contains(asked.or_empty("model")));
    let owned = |name: &str| asked.get(name).map(str::to_owned);
    let query = RunQuery { name: owned("name"), state: owned("state"), limit: RUNS };
    let runs = registry.runs_at_rest(query).await.map_err(ModelError::from)?;
    let (shown, pager) = asked.rows_by(PATH, &runs, |it| spelled(&it.id));
    let shown: Vec<wire::Run> = shown.iter().filter_map(wire::Run::read).collect();
    let (some, more) = asked.others_by(PATH, ("models", "models"), &models, |it| spelled(&it.name));
    let models: Vec<Known> = some.iter().map(|it| Known::of(registry, it)).collect();
    let fields = [
        text_field(&asked, "name", "Runs of the name"),
        choice(&asked, "state", "State of the run", "any", &RunState::ALL.map(RunState::as_str)),
        text_field(&asked, "model", "Model's name holds"),
    ];
    let content = html! {
        (filter(PATH, &fields))
        section {
            h2 { "Training runs" }
            (listed(items(&answer(&shown)))) (pager)
            @if runs.len() == RUNS { p.note { "These are the last " (RUNS) ": a name leads to others." } }
        }
        section { h2 { "Models" } (known(&models)) (more) }
    };
    Ok(frame::page(&viewer, Part::Models, "Training and models", &content))
}

pub(super) fn state_tone(state: &str) -> Tone {
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
            td { (moment(it, "updated")) }
        }
    };
    let rows: Vec<Markup> = runs.iter().map(row).collect();
    html! {
        @if rows.is_empty() { (empty("No training run was reported: `mainstay train` does, where it reaches this service.")) }
        @else { (table("Training runs, the last changed first", &["Run", "Name", "State", "Step", "Attempts", "Kept work", "Heard of"], &rows)) }
    }
}

/// The colour of what a version's gates said.
pub(super) fn gates_tone(gates: &str) -> Tone {
    match gates {
        "passed" => Tone::Good,
        "failed" => Tone::Bad,
        _ => Tone::Plain,
    }
}

/// Which version is served, since when, and how old what it learned from is.
pub(super) fn standing(it: &Value) -> Markup {
    let champion = text(it, "champion");
    let age = it["data_age_s"].as_f64().and_then(|age| Duration::try_from_secs_f64(age).ok());
    html! {
        "Champion: " @if champion.is_empty() { "none" } @else { (cut(champion)) ", since " (moment(it, "promoted_at")) }
        @if let Some(age) = age { "; its data is " (spoken(age)) " old" }
    }
}

/// A model in the list: of its versions the newest alone is told.
struct Known {
    told: Value,
    versions: usize,
}

impl Known {
    fn of(registry: &Registry, it: &Shelved) -> Known {
        let newest = &it.versions[..it.versions.len().min(1)];
        Known { told: answer(&registry.told(it, newest)), versions: it.versions.len() }
    }
}

fn known(models: &[Known]) -> Markup {
    let row = |it: &Known| {
        let name = text(&it.told, "name");
        html! {
            th scope="row" { a href={ (PATH) "/" (encoded(name)) } { (cut(name)) } }
            td { (standing(&it.told)) }
            td.number { (it.versions) }
            td {
                @if let Some(newest) = items(&it.told["versions"]).first() {
                    (cut(text(newest, "version"))) " " (badge(text(newest, "gates"), gates_tone(text(newest, "gates"))))
                    br; span.note { (moment(newest, "created")) }
                }
            }
        }
    };
    let rows: Vec<Markup> = models.iter().map(row).collect();
    html! {
        @if rows.is_empty() { (empty("No version of a model was registered yet.")) }
        @else { (table("Models", &["Model", "Served", "Versions", "The newest"], &rows)) }
    }
}
