//! An objective: how its budget went down, how fast it burns, and what consumed it.

use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use mainstay_core::engine::{Answer, ObjectiveId, Why};
use mainstay_core::event::format_time;
use mainstay_core::slo::objective::Objective;
use mainstay_core::slo::series::Counts;
use mainstay_core::slo::window::Stretch;
use mainstay_core::time::Time;
use maud::{Markup, html};

use super::frame::{self, Part, Viewer};
use super::parts::{badge, cut, empty, encoded, line, table, when};
use super::slos::{alert_tone, tone};
use crate::endpoints::read::readable;
use crate::endpoints::slos::unknown;
use crate::engine::Budgets;
use crate::plot::{Drawn, Plot};
use crate::problem::Problem;
use crate::review::html::figure;
use crate::review::text::{number, percent, spoken};
use crate::site::Site;

/// Points of a plot.
const POINTS: u32 = 96;
/// The shortest time between two points: counts rest in buckets of it.
const BUCKET: Duration = Duration::from_secs(10);
/// Stretches that are shown of those which consumed the most.
const CONSUMERS: usize = 8;

pub(super) async fn page(
    State(site): State<Site>,
    viewer: Viewer,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let name = readable(name)?;
    let engine = site.engine()?;
    let now = engine.now();
    let content = {
        let budgets = engine.budgets();
        let unknown = || unknown(&budgets, &name);
        let id = budgets.core.id(&name).ok_or_else(unknown)?;
        let objective = budgets.core.objective(id).ok_or_else(unknown)?;
        let answer = budgets.core.answer(id, now);
        let steps = steps(&budgets, id, &answer, now);
        content(objective, &answer, &steps)
    };
    Ok(frame::page(&viewer, Part::Slos, &name, &content))
}

/// Equal stretches of the window so far, with what was counted in each.
fn steps(budgets: &Budgets, id: ObjectiveId, answer: &Answer, now: Time) -> Vec<(Stretch, Counts)> {
    let from = answer.window.from;
    let step = (now.since(from) / POINTS).max(BUCKET);
    let starts = (0..POINTS).map(|n| from + step * n).take_while(|at| *at < now);
    let stretches = starts.map(|at| Stretch { from: at, to: (at + step).min(now) });
    stretches.map(|stretch| (stretch, budgets.core.counts(id, stretch))).collect()
}

fn content(objective: &Objective, answer: &Answer, steps: &[(Stretch, Counts)]) -> Markup {
    let allowed = objective.kind.allowed_bad();
    html! {
        p { (line(&objective.description)) }
        (standing(objective, answer))
        section { h2 { "Budget left" } (burn_down(answer, steps, allowed)) }
        section { h2 { "Burn by window" } (burn(answer)) }
        section { h2 { "What consumed it" } (consumers(objective, answer, steps)) }
        @if !answer.percentiles.is_empty() { section { h2 { "Latencies" } (percentiles(answer)) } }
    }
}

fn standing(objective: &Objective, answer: &Answer) -> Markup {
    let counts = answer.counts;
    html! {
        dl {
            dt { "Status" } dd { (badge(answer.budget.status.name(), tone(answer.budget.status))) }
            dt { "Signal" } dd { (answer.signal.name().replace('_', " ")) }
            dt { "Window" } dd { (spoken(answer.window.length())) ", from " (when(answer.window.from)) }
            @if let Some(route) = &objective.scope.route { dt { "Route" } dd { (cut(route)) } }
            dt { "Good" } dd { @if let Some(sli) = answer.sli { (share(sli)) ", " } (counts.good) " of " (counts.total()) }
            dt { "Budget" } dd {
                (percent(answer.budget.remaining)) " left: " (answer.budget.consumed) " bad of "
                (number(answer.budget.total)) " allowed"
                @if let Some(bounds) = answer.bounds {
                    "; between " (percent(bounds.low)) " and " (percent(bounds.high)) " once " (answer.pending)
                    " slices are judged"
                }
            }
            dt { "Forecast" } dd { (forecast(answer)) }
            @if let Some(claim) = &answer.claim {
                dt { "Rate" } dd {
                    "at most " (number(claim.at_most)) " with 95 % confidence"
                    @if claim.alarms { ", " strong { "above what is tolerable" } }
                }
            }
            @if let Some(first) = &answer.first_bad {
                dt { "First spent by" } dd { a href={ "/explore?id=" (encoded(&first.event)) } { (cut(&first.event)) } ", " (when(first.at)) }
            }
            dt { "Alerts" } dd {
                @if answer.alerts.is_empty() { span.unknown { "none fires" } }
                @for alert in &answer.alerts { (badge(alert.severity.name(), alert_tone(alert.severity))) " " (why(alert.why)) " " }
            }
        }
    }
}

/// A share with the digits that matter for promises of many nines.
fn share(share: f64) -> String {
    let text = format!("{:.4}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

fn why(why: Why) -> String {
    match why {
        Why::Burn { long, short, factor } => {
            format!("burns more than {} times too fast over {} and {}", number(factor), spoken(long), spoken(short))
        }
        Why::Trickle => "burns slowly, and for long".to_owned(),
        Why::Rate => "the rate is above what is tolerable".to_owned(),
        Why::Harm => "harm was confirmed".to_owned(),
    }
}

fn forecast(answer: &Answer) -> Markup {
    html! {
        @match answer.forecast.exhausted_in {
            Some(left) => { "spent in " strong { (spoken(left)) } " at the burn of the last hour" },
            None => span.unknown { "nothing burns, or nothing is left" },
        }
        @if let Some(projected) = &answer.forecast.projected {
            "; at the window's end " (percent(projected.remaining)) " would be left, at best " (percent(projected.remaining_at_best))
        }
    }
}

fn burn_down(answer: &Answer, steps: &[(Stretch, Counts)], allowed: f64) -> Markup {
    let budget = allowed * answer.counts.total() as f64;
    if budget <= 0.0 {
        return empty("Nothing was counted, or nothing may be bad: there is no budget that could go down.");
    }
    let mut bad = 0;
    let after = |(stretch, counts): &(Stretch, Counts)| {
        bad += counts.bad;
        (stretch.to, 100.0 * (1.0 - bad as f64 / budget))
    };
    let start = steps.first().map(|(stretch, _)| (stretch.from, 100.0));
    let points: Vec<_> = start.into_iter().chain(steps.iter().map(after)).collect();
    let title = "Budget left of what the window's events allow".to_owned();
    let plot = Plot { title, unit: "%".to_owned(), points, marks: Vec::new(), bound: Some(0.0) };
    figure(&Drawn::of(&plot, &[]))
}

fn burn(answer: &Answer) -> Markup {
    let row = |it: &mainstay_core::engine::Burn| {
        let over = answer.alerts.iter().any(|alert| match alert.why {
            Why::Burn { long, short, .. } => it.window == long || it.window == short,
            Why::Trickle | Why::Rate | Why::Harm => false,
        });
        html! {
            th scope="row" { (spoken(it.window)) }
            td.number { @if let Some(rate) = it.rate { (number(rate)) } @else { span.unknown { "nothing was counted" } } }
            td { @if over { "an alert fires" } }
        }
    };
    let rows: Vec<Markup> = answer.burn.iter().map(row).collect();
    html! {
        p.note { "1 spends the budget exactly by the window's end." }
        (table("Burn by window", &["Looking back", "Burn", "Alert"], &rows))
    }
}

fn consumers(objective: &Objective, answer: &Answer, steps: &[(Stretch, Counts)]) -> Markup {
    let mut worst: Vec<&(Stretch, Counts)> = steps.iter().filter(|(_, counts)| counts.bad > 0).collect();
    worst.sort_by_key(|(stretch, counts)| (std::cmp::Reverse(counts.bad), stretch.from));
    let all = answer.counts.bad.max(1) as f64;
    let route = objective.scope.route.as_deref().unwrap_or_default();
    let row = |(stretch, counts): &(Stretch, Counts)| {
        let (from, until) = (format_time(stretch.from), format_time(stretch.to));
        let href =
            format!("/explore?bad=yes&route={}&from={}&until={}", encoded(route), encoded(&from), encoded(&until));
        html! {
            td { (when(stretch.from)) " for " (spoken(stretch.length())) }
            td.number { (counts.bad) " of " (counts.total()) }
            td.number { (percent(counts.bad as f64 / all)) }
            td { a href=(href) { "Requests" } }
        }
    };
    let rows: Vec<Markup> = worst.into_iter().take(CONSUMERS).map(row).collect();
    html! {
        @if rows.is_empty() { (empty("Nothing bad was counted in this window.")) }
        @else { (table("When it was consumed", &["When", "Bad", "Of all that was bad", "Behind it"], &rows)) }
    }
}

fn percentiles(answer: &Answer) -> Markup {
    let row = |it: &mainstay_core::engine::Percentile| {
        html! { th scope="row" { "p" (number(it.q * 100.0)) } td.number { (number(it.value.as_secs_f64() * 1e3)) " ms" } }
    };
    let rows: Vec<Markup> = answer.percentiles.iter().map(row).collect();
    table("Latencies of the route", &["Percentile", "Latency"], &rows)
}
