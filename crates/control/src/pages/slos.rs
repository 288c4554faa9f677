//! All objectives: which budgets are spent, which burn.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use mainstay_core::slo::budget::Status;
use mainstay_core::slo::burn::Severity;
use maud::{Markup, html};

use super::frame::{self, Part, Viewer};
use super::parts::{Asked, Tone, badge, choice, cut, empty, encoded, filter, spelled, table, text_field};
use crate::problem::Problem;
use crate::review::text::{number, percent, spoken};
use crate::site::Site;

const PATH: &str = "/slos";
/// The burn that is shown in lists.
const HOUR: Duration = Duration::from_hours(1);

/// How an objective stands, in short.
pub(super) struct Standing {
    name: String,
    category: &'static str,
    route: Option<String>,
    status: Status,
    remaining: f64,
    burn: Option<f64>,
    exhausted_in: Option<Duration>,
    alert: Option<Severity>,
}

/// All of them; none where there is no engine.
pub(super) fn standings(site: &Site) -> Vec<Standing> {
    let Ok(engine) = site.engine() else { return Vec::new() };
    let (now, budgets) = (engine.now(), engine.budgets());
    let of = |(id, objective): (_, &mainstay_core::slo::objective::Objective)| {
        let answer = budgets.core.answer(id, now);
        let burn = answer.burn.iter().find(|burn| burn.window >= HOUR).and_then(|burn| burn.rate);
        Standing {
            name: objective.name.clone(),
            category: objective.category().name(),
            route: objective.scope.route.clone(),
            status: answer.budget.status,
            remaining: answer.budget.remaining,
            burn,
            exhausted_in: answer.forecast.exhausted_in,
            alert: answer.alerts.iter().map(|alert| alert.severity).max(),
        }
    };
    budgets.core.objectives().map(of).collect()
}

/// Objectives of which a quarter of the budget is left, or less.
pub(super) fn count_bad(standings: &[Standing]) -> usize {
    standings.iter().filter(|it| matches!(it.status, Status::Critical | Status::Exhausted)).count()
}

/// Those with the least left, and the way to the others.
pub(super) fn worst(mut standings: Vec<Standing>, shown: usize) -> Markup {
    sort(&mut standings);
    let total = standings.len();
    standings.truncate(shown);
    html! {
        (listed(&standings))
        @if total > shown { p { a href=(PATH) { "All " (total) " objectives" } } }
    }
}

/// The least left first; those without data last.
fn sort(standings: &mut [Standing]) {
    let key = |it: &Standing| if it.status == Status::NoData { f64::INFINITY } else { it.remaining };
    standings.sort_by(|a, b| key(a).total_cmp(&key(b)).then_with(|| a.name.cmp(&b.name)));
}

pub(super) async fn page(State(site): State<Site>, viewer: Viewer, asked: Asked) -> Result<Response, Problem> {
    site.engine()?;
    let mut all = standings(&site);
    let total = all.len();
    let same = |name: &str, value: &str| asked.get(name).is_none_or(|wanted| wanted == value);
    all.retain(|it| {
        asked.get("q").is_none_or(|part| it.name.contains(part))
            && same("status", it.status.name())
            && same("category", it.category)
            && same("route", it.route.as_deref().unwrap_or_default())
    });
    sort(&mut all);
    let (rows, pager) = asked.rows_by(PATH, &all, |it| spelled(&it.name));
    let fields = [
        text_field(&asked, "q", "Name holds"),
        choice(&asked, "status", "Status", "any", &["no_data", "healthy", "warning", "critical", "exhausted"]),
        choice(&asked, "category", "Category", "any", &["availability", "latency", "quality", "freshness", "safety"]),
        text_field(&asked, "route", "Route"),
    ];
    let content = html! {
        (filter(PATH, &fields))
        p.note { (all.len()) " of " (total) " objectives, the least left first." }
        (listed(rows))
        (pager)
    };
    Ok(frame::page(&viewer, Part::Slos, "SLOs", &content))
}

/// The colour of a status.
pub(super) fn tone(status: Status) -> Tone {
    match status {
        Status::NoData => Tone::Plain,
        Status::Healthy => Tone::Good,
        Status::Warning => Tone::Warn,
        Status::Critical | Status::Exhausted => Tone::Bad,
    }
}

/// The colour of an alert.
pub(super) fn alert_tone(severity: Severity) -> Tone {
    match severity {
        Severity::Page => Tone::Bad,
        Severity::Ticket => Tone::Warn,
    }
}

fn listed(standings: &[Standing]) -> Markup {
    let row = |it: &Standing| {
        html! {
            th scope="row" { a href={ (PATH) "/" (encoded(&it.name)) } { (cut(&it.name)) } }
            td { (it.category) @if let Some(route) = &it.route { br; span.note { (cut(route)) } } }
            td { (badge(it.status.name(), tone(it.status))) }
            td.number { @if it.status == Status::NoData { span.unknown { "no data" } } @else { (percent(it.remaining)) } }
            td.number { @if let Some(burn) = it.burn { (number(burn)) } @else { span.unknown { "none" } } }
            td { @if let Some(left) = it.exhausted_in { "in " (spoken(left)) } @else { span.unknown { "not in sight" } } }
            td { @if let Some(alert) = it.alert { (badge(alert.name(), alert_tone(alert))) } @else { span.unknown { "none" } } }
        }
    };
    let rows: Vec<Markup> = standings.iter().map(row).collect();
    let head = ["Objective", "Category", "Status", "Budget left", "Burn, 1 h", "Spent", "Alert"];
    html! {
        @if rows.is_empty() { (empty("There are no such objectives.")) } @else { (table("Objectives", &head, &rows)) }
    }
}
