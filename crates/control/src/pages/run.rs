//! A training run: how far it is, and its curves.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use maud::html;
use serde_json::Value;

use super::frame::{self, Part, Viewer};
use super::json::{answer, figure, items, members, moment, text};
use super::models::state_tone;
use super::parts::{badge, beyond, cut, empty};
use crate::endpoints::read::readable;
use crate::plot::Drawn;
use crate::problem::{Kind, Problem};
use crate::registry::ModelError;
use crate::review;
use crate::review::text::percent;
use crate::site::Shelf;

/// Metrics that are listed.
const METRICS: usize = 100;
/// Curves that are drawn.
const CURVES: usize = 6;

pub(super) async fn page(
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
            dt { "Started" } dd { (moment(&it, "started")) }
            @if it["ended"].is_string() { dt { "Ended" } dd { (moment(&it, "ended")) } }
            dt { "Heard of" } dd { (moment(&it, "updated")) }
            dt { "Steps kept" } dd { (figure(&it, "step")) @if it["total"].is_number() { " of " (figure(&it, "total")) } }
            dt { "Attempts" } dd { (figure(&it, "attempts")) }
            @if let Some(share) = it["goodput"].as_f64() { dt { "Kept work" } dd { (percent(share)) " of its time" } }
        }
        @let curves = curves(&it);
        @if !curves.is_empty() {
            section {
                h2 { "Curves" }
                p.note { "Over steps." }
                div.columns { @for curve in curves.iter().take(CURVES) { (review::html::figure(curve)) } }
                (beyond(curves.len(), CURVES))
            }
        }
        section {
            h2 { "Metrics" }
            @if members(&it["metrics"]).next().is_none() { (empty("None were reported.")) }
            dl { @for (name, _) in members(&it["metrics"]).take(METRICS) { dt { (cut(name)) } dd { (figure(&it["metrics"], name)) } } }
            (beyond(members(&it["metrics"]).count(), METRICS))
        }
    };
    Ok(frame::page(&viewer, Part::Models, &format!("Training run {id}"), &content))
}

/// What the supervisor keeps of each metric: steps and values.
fn curves(run: &Value) -> Vec<Drawn> {
    let pair = |pair: &Value| Some((pair[0].as_f64()?, pair[1].as_f64()?));
    let points = |of: &Value| items(of).iter().filter_map(pair).collect::<Vec<_>>();
    let known = members(&run["status"]["curves"]).map(|(name, of)| Drawn::over_numbers(name, "", &points(of)));
    known.filter(|curve| curve.span().is_some()).collect()
}
