//! Lists of what the service is made of: routes, backends and features, whatever is not as it should be first.

use axum::extract::State;
use axum::response::Response;
use mainstay_core::status::{BackendStatus, FeatureStatus, GroupStatus, RouteStatus, Status};
use maud::{Markup, html};

use super::frame::{self, Part, Viewer};
use super::parts::{
    Asked, Tone, badge, brief, choice, cut, empty, encoded, filter, spelled, table, text_field, when, when_or,
};
use crate::data_plane::Plane;

pub(super) const ROUTES: &str = "/routes";
pub(super) const BACKENDS: &str = "/backends";
pub(super) const FEATURES: &str = "/features";
/// Routes that start below their best level.
pub(super) const BELOW_THEIR_BEST: &str = "/routes?level=below";

/// States of a breaker.
const BREAKERS: [&str; 6] = ["closed", "open", "half_open", "forced_open", "forced_closed", "disabled"];
/// What a health check can have said.
const HEALTH: [&str; 3] = ["healthy", "unhealthy", "not_asked"];

pub(super) async fn routes_page(State(plane): State<Plane>, viewer: Viewer, asked: Asked) -> Response {
    let mut status = plane.status();
    worst_first(&mut status);
    let (part, total) = (asked.or_empty("q"), status.routes.len());
    let at = |level: u8| match asked.get("level") {
        None => true,
        Some("below") => level > 0,
        Some(wanted) => wanted.parse() == Ok(level),
    };
    let held = |it: &RouteStatus| asked.yes_or_no("held").is_none_or(|held| held == it.pin.is_some());
    status.routes.retain(|it| it.name.contains(part) && at(it.level.number()) && held(it));
    let (shown, pager) = asked.rows_by(ROUTES, &status.routes, |it| spelled(&it.name));
    let fields = [
        text_field(&asked, "q", "Name holds"),
        choice(&asked, "level", "Level", "any", &["below", "0", "1", "2", "3", "4"]),
        choice(&asked, "held", "Held by hand", "either", &["yes", "no"]),
    ];
    let content = html! {
        (filter(ROUTES, &fields))
        p.note { (status.routes.len()) " of " (total) " routes, the furthest below their best first." }
        (routes(shown))
        (pager)
    };
    frame::page(&viewer, Part::Overview, "Routes", &content)
}

pub(super) async fn backends_page(State(plane): State<Plane>, viewer: Viewer, asked: Asked) -> Response {
    let mut status = plane.status();
    worst_first(&mut status);
    let (wanted, total) = (wanted(&asked), status.backends.len());
    status.backends.retain(|it| wanted(&it.name, it.breaker, it.healthy));
    let (shown, pager) = asked.rows(BACKENDS, &status.backends);
    let content = html! {
        (filter(BACKENDS, &fields(&asked)))
        p.note { (status.backends.len()) " of " (total) " backends, those that are not well first." }
        (backends(shown))
        (pager)
    };
    frame::page(&viewer, Part::Overview, "Backends", &content)
}

pub(super) async fn features_page(State(plane): State<Plane>, viewer: Viewer, asked: Asked) -> Response {
    let mut status = plane.status();
    worst_first(&mut status);
    let (wanted, total) = (wanted(&asked), status.features.len());
    status.features.retain(|it| wanted(&it.name, it.breaker, it.healthy));
    let (shown, pager) = asked.rows(FEATURES, &status.features);
    let content = html! {
        (filter(FEATURES, &fields(&asked)))
        p.note { (status.features.len()) " of " (total) " feature sets, those whose store is not well first." }
        (features(shown))
        (pager)
    };
    frame::page(&viewer, Part::Overview, "Features", &content)
}

fn fields(asked: &Asked) -> [Markup; 3] {
    [
        text_field(asked, "q", "Name holds"),
        choice(asked, "breaker", "Breaker", "any", &BREAKERS),
        choice(asked, "health", "Health", "any", &HEALTH),
    ]
}

/// Whether one of this name, breaker and health is asked for.
fn wanted(asked: &Asked) -> impl Fn(&str, &str, Option<bool>) -> bool {
    |name, breaker, healthy| {
        name.contains(asked.or_empty("q"))
            && asked.get("breaker").is_none_or(|wanted| wanted == breaker)
            && asked.get("health").is_none_or(|wanted| wanted == word(healthy))
    }
}

/// Puts whatever is not as it should be first; what is equally well stays in the config's order.
pub(super) fn worst_first(status: &mut Status) {
    status.routes.sort_by_key(|route| std::cmp::Reverse(route.level.number()));
    status.backends.sort_by_key(|it| {
        let all_are_used = it.endpoints.iter().all(|endpoint| !endpoint.ejected);
        (it.healthy != Some(false), !is_broken(it.breaker), all_are_used)
    });
    status.groups.sort_by_key(|it| (!is_broken(it.breaker), it.open == 0));
    status.features.sort_by_key(|it| (it.healthy != Some(false), !is_broken(it.breaker)));
}

fn is_broken(breaker: &str) -> bool {
    matches!(breaker, "open" | "forced_open" | "half_open")
}

/// The colour of a level.
pub(super) fn level_tone(number: u8) -> Tone {
    match number {
        0 => Tone::Good,
        1 | 2 => Tone::Warn,
        _ => Tone::Bad,
    }
}

/// Where a route is, by number and name.
pub(super) fn level(route: &RouteStatus) -> Markup {
    badge(&format!("{} {}", route.level.number(), route.level_name), level_tone(route.level.number()))
}

/// By whom it is held, if it is.
pub(super) fn pin(route: &RouteStatus) -> Markup {
    html! {
        @if let Some(pin) = &route.pin {
            br; "held by hand until " (when_or(pin.until, "it is taken back"))
            @if !pin.reason.is_empty() { ": " (cut(&pin.reason)) }
        }
    }
}

pub(super) fn routes(routes: &[RouteStatus]) -> Markup {
    let row = |route: &RouteStatus| {
        html! {
            th scope="row" {
                a href={ (ROUTES) "/" (encoded(&route.name)) } { (cut(&route.name)) } br; span.note { (cut(&route.path)) }
            }
            td { (level(route)) }
            td {
                (brief(&route.reason)) (pin(route))
                @if route.blocked > 0 { br; (route.blocked) " patterns are blocked" }
            }
            @for served in route.served { td.number { (served) } }
            td.number { (route.shed) }
            td.number { (route.all_failed) }
        }
    };
    let rows: Vec<Markup> = routes.iter().map(row).collect();
    let head = ["Route", "Level", "Why", "Served at 0", "at 1", "at 2", "at 3", "at 4", "Shed", "No answer"];
    html! { @if rows.is_empty() { (empty("There are no such routes.")) } @else { (table("Routes", &head, &rows)) } }
}

fn word(healthy: Option<bool>) -> &'static str {
    HEALTH[healthy.map_or(2, |healthy| usize::from(!healthy))]
}

fn health(healthy: Option<bool>) -> Markup {
    badge(
        word(healthy),
        match healthy {
            Some(true) => Tone::Good,
            Some(false) => Tone::Bad,
            None => Tone::Plain,
        },
    )
}

fn breaker(state: &str) -> Markup {
    let tone = match state {
        "closed" | "forced_closed" => Tone::Good,
        "open" | "forced_open" => Tone::Bad,
        "half_open" => Tone::Warn,
        _ => Tone::Plain,
    };
    badge(state, tone)
}

pub(super) fn backends(backends: &[BackendStatus]) -> Markup {
    let row = |it: &BackendStatus| {
        let out = it.endpoints.iter().filter(|endpoint| endpoint.ejected).count();
        html! {
            th scope="row" { (cut(&it.name)) br; span.note { (it.protocol.name()) } }
            td { (health(it.healthy)) }
            td { (breaker(it.breaker)) @if let Some(at) = it.retry_at { br; "again at " (when(at)) } }
            td.number { (it.in_flight) " of " @if let Some(limit) = it.limit { (limit) } @else { "any" } }
            td.number { (it.waiting) }
            td.number { (it.endpoints.len() - out) " of " (it.endpoints.len()) }
            td { @if let Some(version) = &it.version { (cut(version)) } @else { span.unknown { "what is asked for" } } }
        }
    };
    let rows: Vec<Markup> = backends.iter().map(row).collect();
    let head = ["Backend", "Health", "Breaker", "Calls of limit", "Waiting", "Endpoints in use", "Version"];
    html! { @if rows.is_empty() { (empty("There are no such backends.")) } @else { (table("Backends", &head, &rows)) } }
}

pub(super) fn groups(groups: &[GroupStatus]) -> Markup {
    let row = |it: &GroupStatus| {
        html! {
            th scope="row" { (cut(&it.name)) }
            td { (breaker(it.breaker)) @if let Some(at) = it.retry_at { br; "again at " (when(at)) } }
            td.number { (it.open) " of " (it.members.len()) }
            td { (cut(&it.members.join(", "))) }
        }
    };
    let rows: Vec<Markup> = groups.iter().map(row).collect();
    table("Groups", &["Group", "Breaker", "Members left alone", "Members"], &rows)
}

pub(super) fn features(features: &[FeatureStatus]) -> Markup {
    let row = |it: &FeatureStatus| {
        html! {
            th scope="row" { (cut(&it.name)) }
            td { (health(it.healthy)) }
            td { (breaker(it.breaker)) }
            @for count in [it.cached, it.hits, it.misses, it.stale] { td.number { (count) } }
        }
    };
    let rows: Vec<Markup> = features.iter().map(row).collect();
    let head = ["Set", "Store", "Breaker", "Entities cached", "Hits", "Misses", "Stale"];
    html! { @if rows.is_empty() { (empty("There are no such feature sets.")) } @else { (table("Features", &head, &rows)) } }
}
