//! The service at a glance.

use axum::extract::State;
use axum::response::Response;
use mainstay_core::incident::kind::Severity;
use mainstay_core::incident::record::Incident;
use mainstay_core::metric::{Family, Value};
use mainstay_core::route::Class;
use mainstay_core::time::Time;
use maud::{Markup, html};

use super::frame::{self, Part, Viewer};
use super::parts::{Tone, badge, brief, empty, encoded, table, tile, when};
use super::{service, slos};
use crate::data_plane::Plane;
use crate::problem::Problem;
use crate::site::Site;

/// Rows of each table here; those beyond are counted, and a page away.
const SHOWN: usize = 15;

pub(super) async fn page(
    State(site): State<Site>,
    State(plane): State<Plane>,
    viewer: Viewer,
) -> Result<Response, Problem> {
    let mut status = plane.status();
    let incidents = open_incidents(&site).await;
    let standings = slos::standings(&site);
    let (running, halt) = match site.experiments() {
        Ok(experiments) => (experiments.running().await.len(), experiments.halt().await.is_some_and(|it| it.halted)),
        Err(_) => (0, false),
    };
    let degraded = status.routes.iter().filter(|route| route.level.number() > 0).count();
    let bad = slos::count_bad(&standings);
    service::worst_first(&mut status);
    let (routes, backends, features) = (&status.routes, &status.backends, &status.features);
    let content = html! {
        @if status.draining { p.alert role="status" { "The service finishes what runs and takes nothing new." } }
        @if halt { p.alert role="status" { "Faults are halted: no experiment runs." } }
        ul.tiles {
            (tile("open incidents", incidents.total, worst(&incidents.shown), "/incidents?status=open"))
            (tile("budgets critical or spent", bad, if bad > 0 { Tone::Bad } else { Tone::Good }, "/slos"))
            (tile("routes below their best level", degraded, if degraded > 0 { Tone::Warn } else { Tone::Good }, service::BELOW_THEIR_BEST))
            (tile("experiments under way", running, if running > 0 { Tone::Warn } else { Tone::Plain }, "/experiments"))
        }
        section {
            h2 { "Routes" }
            (service::routes(first(routes)))
            (more(routes.len(), service::ROUTES))
        }
        section { h2 { "Traffic by class" } (traffic(&plane.metrics())) }
        section {
            h2 { "Backends" }
            (service::backends(first(backends)))
            (more(backends.len(), service::BACKENDS))
        }
        @if !status.groups.is_empty() {
            section { h2 { "Groups of backends" } (service::groups(first(&status.groups))) }
        }
        @if !features.is_empty() {
            section {
                h2 { "Features" }
                (service::features(first(features)))
                (more(features.len(), service::FEATURES))
            }
        }
        section { h2 { "Budgets with the least left" } (slos::worst(standings, 8)) }
        section { h2 { "Open incidents" } (open(&incidents)) }
    };
    Ok(frame::page(&viewer, Part::Overview, "Overview", &content))
}

/// Incidents that are open: the worst of them, and how many there are.
struct Open {
    shown: Vec<(Severity, String, String, &'static str, Time, bool)>,
    total: usize,
}

async fn open_incidents(site: &Site) -> Open {
    let Ok(incidents) = site.incidents() else { return Open { shown: Vec::new(), total: 0 } };
    let read = |it: &Incident| {
        let taken = it.acknowledged.is_some();
        (it.severity, it.id.clone(), it.title.clone(), it.status.as_str(), it.detected, taken)
    };
    let mut shown = incidents.open_ones(read).await;
    let total = shown.len();
    shown.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| b.4.cmp(&a.4)));
    shown.truncate(SHOWN);
    Open { shown, total }
}

fn worst(open: &[(Severity, String, String, &'static str, Time, bool)]) -> Tone {
    open.first().map_or(Tone::Good, |(severity, ..)| severity_tone(*severity))
}

/// The colour of a severity.
pub(super) fn severity_tone(severity: Severity) -> Tone {
    match severity {
        Severity::Sev1 | Severity::Sev2 => Tone::Bad,
        Severity::Sev3 => Tone::Warn,
        Severity::Sev4 => Tone::Plain,
    }
}

fn open(open: &Open) -> Markup {
    let row =
        |(severity, id, title, status, detected, taken): &(Severity, String, String, &'static str, Time, bool)| {
            html! {
                td { (badge(severity.as_str(), severity_tone(*severity))) }
                td { a href={ "/incidents/" (encoded(id)) } { (id) } }
                td { (brief(title)) }
                td { (badge(status, Tone::Plain)) }
                td { (when(*detected)) }
                td { @if *taken { "yes" } @else { "no" } }
            }
        };
    let rows: Vec<Markup> = open.shown.iter().map(row).collect();
    html! {
        @if rows.is_empty() { (empty("No incident is open.")) }
        @else { (table("Open incidents", &["Severity", "Incident", "What", "Status", "Found", "Taken"], &rows)) }
        (more(open.total, "/incidents?status=open"))
    }
}

fn first<T>(all: &[T]) -> &[T] {
    &all[..all.len().min(SHOWN)]
}

/// The way to those that are not shown here.
fn more(total: usize, href: &str) -> Markup {
    html! { @if total > SHOWN { p { a href=(href) { "And " (total - SHOWN) " more" } } } }
}

/// Answers of a class since the start.
#[derive(Clone, Copy, Default)]
struct Traffic {
    good: u64,
    degraded: u64,
    shed: u64,
    refused: u64,
    failed: u64,
}

fn traffic(families: &[Family]) -> Markup {
    let mut classes = [Traffic::default(); Class::COUNT];
    let samples = families.iter().filter(|family| family.name == "mainstay_requests").flat_map(|it| &it.samples);
    for sample in samples {
        let label =
            |wanted: &str| sample.labels.iter().find(|(name, _)| *name == wanted).map_or("", |(_, of)| of.as_str());
        let (Some(class), Value::Count(count)) = (label("class").parse().ok().and_then(Class::new), &sample.value)
        else {
            continue;
        };
        let traffic = &mut classes[class.index()];
        match (label("code"), label("level")) {
            ("429", _) => traffic.shed += count,
            (code, "0") if code.starts_with(['2', '3']) => traffic.good += count,
            (code, _) if code.starts_with(['2', '3']) => traffic.degraded += count,
            (code, _) if code.starts_with('4') => traffic.refused += count,
            _ => traffic.failed += count,
        }
    }
    let row = |(class, it): (usize, &Traffic)| {
        html! {
            th scope="row" { "Class " (class) }
            @for count in [it.good, it.degraded, it.shed, it.refused, it.failed] { td.number { (count) } }
        }
    };
    let rows: Vec<Markup> = classes.iter().enumerate().map(row).collect();
    table(
        "Answers by class since the start",
        &["Class", "At the best level", "Degraded", "Shed (429)", "Other 4xx", "5xx"],
        &rows,
    )
}
