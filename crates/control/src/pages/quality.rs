//! How good predictions are, and whether what they are made of is what it was.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;

use super::frame::{self, Part, Viewer};
use super::json::{answer, figure, items, members, moment, text};
use super::parts::{Asked, ROWS, Tone, badge, beyond, cut, empty, encoded, table};
use crate::problem::{Kind, Problem};
use crate::review::text::{Text, percent};
use crate::site::Site;
use crate::wire;

const PATH: &str = "/quality";

pub(super) async fn page(State(site): State<Site>, viewer: Viewer, asked: Asked) -> Result<Response, Problem> {
    let engine = site.engine()?;
    let query = wire::QualityQuery { window: asked.get("window").map(str::to_owned) };
    let window = query.window().map_err(|why| Problem::new(Kind::BadRequest, why))?;
    let quality = answer(&wire::Quality::of(&mut engine.quality(), engine.now(), window));
    let backends = engine.budgets().terms.backends.clone();
    let drift = answer(&wire::AllDrift::of(&engine.watching(), &backends));
    let monitors = items(&drift["monitors"]);
    let (shown, pager) = asked.rows(PATH, monitors);
    let routes = items(&quality["routes"]);
    let content = html! {
        section { h2 { "Drift" } (monitored(shown)) (pager) }
        section {
            h2 { "Quality of predictions" }
            p.note { "Of predictions since " (moment(&quality, "from")) ". In brackets: 95 % intervals." }
            @if routes.is_empty() { (empty("No route says where its predictions are found: see `prediction:` in the config.")) }
            @for route in routes { (of_route(route)) }
        }
        section { h2 { "Labels since the start" } (labels(&quality["labels"])) }
        @if members(&quality["signals"]).next().is_some() { section { h2 { "Signals of the last day" } (signals(&quality["signals"])) } }
    };
    Ok(frame::page(&viewer, Part::Quality, "Quality and drift", &content))
}

/// The colour of a drift status.
pub(super) fn drift_tone(status: &str) -> Tone {
    match status {
        "ok" => Tone::Good,
        "drift_detected" => Tone::Warn,
        "alert" => Tone::Bad,
        _ => Tone::Plain,
    }
}

fn monitored(monitors: &[Value]) -> Markup {
    let row = |it: &Value| {
        let name = text(it, "name");
        html! {
            th scope="row" { a href={ "/drift/" (encoded(name)) } { (cut(name)) } }
            td { (cut(text(it, "route"))) br; span.note { (text(it, "kind")) } }
            td {
                (badge(text(it, "status"), drift_tone(text(it, "status"))))
                @if it["alarm"].is_object() { " " (badge(text(&it["alarm"], "detector"), Tone::Bad)) }
            }
            td.number { (figure(&it["window"], "count")) }
            td { @for bin in items(&it["window"]["bins"]) { (moved(bin)) br; } }
        }
    };
    let rows: Vec<Markup> = monitors.iter().map(row).collect();
    html! {
        @if rows.is_empty() { (empty("Nothing is watched: see `drift:` in the config.")) }
        @else { (table("Monitored names", &["Name", "Of", "Status", "Values in the window", "What moved most"], &rows)) }
    }
}

fn moved(bin: &Value) -> Markup {
    let share = |name: &str| percent(bin[name].as_f64().unwrap_or(f64::NAN));
    html! { (cut(text(bin, "bin"))) ": " (share("reference")) " to " (share("current")) }
}

/// A measure with its interval.
fn measure(it: &Value) -> Markup {
    html! {
        (figure(it, "value"))
        @if it["low"].is_number() || it["high"].is_number() { " (" (figure(it, "low")) " to " (figure(it, "high")) ")" }
    }
}

fn of_route(it: &Value) -> Markup {
    let metric = |(name, it): (&String, &Value)| {
        html! { th scope="row" { (name.replace('_', " ")) } td { (measure(it)) } td { "labels" } td.number { (figure(it, "n")) } }
    };
    let estimate = |(name, it): (&String, &Value)| {
        html! {
            th scope="row" { (name.replace('_', " ")) } td { (figure(it, "value")) }
            td { "an estimate without labels, " (text(it, "validity")) } td {}
        }
    };
    let proxy = |(name, it): (&String, &Value)| {
        let tone = match text(it, "status") {
            "likely_healthy" => Tone::Good,
            "potential_issue" => Tone::Warn,
            "likely_violated" => Tone::Bad,
            _ => Tone::Plain,
        };
        html! {
            th scope="row" { (name.replace('_', " ")) } td { (figure(it, "mean")) }
            td { "known at once: " (badge(text(it, "status"), tone)) } td.number { (figure(it, "count")) }
        }
    };
    let mut rows: Vec<Markup> = members(&it["metrics"]).map(metric).collect();
    rows.extend(members(&it["estimates"]).map(estimate));
    rows.extend(members(&it["proxies"]).map(proxy));
    let coverage = it["coverage"].as_f64().map_or_else(|| "none".to_owned(), percent);
    html! {
        h3 { (cut(text(it, "route"))) }
        p.note {
            (text(it, "task")) ", " (figure(it, "predicted")) " predictions remembered, " (figure(it, "labelled"))
            " labelled: " (coverage)
        }
        @if rows.is_empty() { (empty("Nothing was measured in this time.")) }
        @else { (table(&format!("Measures of {}", Text::short(text(it, "route")).as_str()), &["Measure", "Value", "From", "Of"], &rows)) }
    }
}

fn labels(labels: &Value) -> Markup {
    html! { dl { @for (name, count) in members(labels) { dt { (name.replace('_', " ")) } dd { (count) } } } }
}

fn signals(signals: &Value) -> Markup {
    let row = |(name, it): (&String, &Value)| {
        html! {
            th scope="row" { (cut(name)) }
            td { (measure(&it["mean"])) }
            td { @for (arm, it) in members(&it["arms"]).take(6) { (cut(if arm.is_empty() { "no arm" } else { arm })) ": " (measure(it)) br; } }
        }
    };
    let rows: Vec<Markup> = members(signals).take(ROWS).map(row).collect();
    html! { (table("Signals", &["Signal", "Mean", "By arm"], &rows)) (beyond(members(signals).count(), rows.len())) }
}
