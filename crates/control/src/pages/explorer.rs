//! Single requests that were kept: from what went wrong to what it was.

use axum::extract::State;
use axum::response::Response;
use mainstay_core::event::{Event, EventKind, RequestFinished, Scalar, parse_time};
use mainstay_core::route::Level;
use mainstay_core::time::Time;
use maud::{Markup, html};

use super::frame::{self, Part, Viewer};
use super::parts::{Asked, Tone, badge, beyond, choice, cut, empty, filter, line, table, text_field, when};
use crate::data_plane::Plane;
use crate::problem::{Kind, Problem};
use crate::review::text::{number, percent};

const PATH: &str = "/explore";
/// Requests that are looked through.
const HELD_MAX: usize = 1_000_000;
/// Requests that are listed.
const LISTED_MAX: usize = 1_000;
/// Requests that are shown in full, where an id is asked for.
const WHOLE_MAX: usize = 10;
/// Features of a request.
const FEATURES: usize = 50;
/// Deeper levels than this are no good answers, unless an objective says otherwise.
const GOOD_LEVEL: u8 = 2;

/// Which requests.
struct Wanted<'a> {
    asked: &'a Asked,
    from: Time,
    until: Time,
    bad: bool,
}

impl<'a> Wanted<'a> {
    fn of(asked: &'a Asked) -> Result<Wanted<'a>, Problem> {
        let at = |name: &str, or: Time| match asked.get(name) {
            None => Ok(or),
            Some(text) => parse_time(text).ok_or_else(|| {
                Problem::new(Kind::BadRequest, format!("`{name}` is a time of RFC 3339, such as 2026-03-01T12:00:00Z"))
            }),
        };
        let bad = asked.yes_or_no("bad") == Some(true);
        Ok(Wanted { asked, from: at("from", Time::ZERO)?, until: at("until", Time::MAX)?, bad })
    }

    fn holds(&self, at: Time, it: &RequestFinished) -> bool {
        let same = |name: &str, of: &str| self.asked.get(name).is_none_or(|wanted| wanted == of);
        (self.from <= at && at <= self.until)
            && (!self.bad || is_bad(it))
            && same("id", &it.request_id)
            && same("route", &it.route)
            && same("class", &it.class.number().to_string())
            && same("code", &it.code.to_string())
            && same("level", &it.level.map_or_else(|| "none".to_owned(), |level| level.number().to_string()))
            && self.asked.get("model").is_none_or(|wanted| it.model.as_deref() == Some(wanted))
            && self.asked.get("why").is_none_or(|why| it.kept.iter().any(|kept| kept.why == why))
    }
}

/// Whether an objective of the usual kind counts it as bad.
fn is_bad(it: &RequestFinished) -> bool {
    it.code == 429 || it.code >= 500 || it.level.is_none_or(|level| level.number() > GOOD_LEVEL)
}

pub(super) async fn page(State(plane): State<Plane>, viewer: Viewer, asked: Asked) -> Result<Response, Problem> {
    let wanted = Wanted::of(&asked)?;
    let fits = |event: Event| match event.kind {
        EventKind::RequestFinished(request) if wanted.holds(event.at, &request) => Some((event.at, request)),
        _ => None,
    };
    let found: Vec<_> = plane.kept(HELD_MAX).into_iter().filter_map(fits).take(LISTED_MAX).collect();
    let (shown, pager) = asked.rows(PATH, &found);
    let fields = [
        choice(&asked, "bad", "Which", "all that were kept", &["yes"]),
        text_field(&asked, "id", "Request id"),
        text_field(&asked, "route", "Route"),
        choice(&asked, "class", "Class", "any", &["0", "1", "2", "3"]),
        choice(&asked, "level", "Level", "any", &["0", "1", "2", "3", "4", "none"]),
        text_field(&asked, "code", "Status"),
        text_field(&asked, "model", "Model"),
        text_field(&asked, "why", "Kept for"),
        text_field(&asked, "from", "From (UTC)"),
        text_field(&asked, "until", "Until (UTC)"),
    ];
    let content = html! {
        (filter(PATH, &fields))
        p.note {
            "These are the requests that were kept, a sample in which failures and rarities are more frequent than they are. "
            "Of those that were not kept, counts are known and nothing else."
        }
        (listed(&asked, shown))
        (pager)
        @if found.len() == LISTED_MAX { p.note { "Older ones are not listed: choose more narrowly." } }
        @if asked.get("id").is_some() {
            @for (at, request) in found.iter().take(WHOLE_MAX) { (whole(*at, request)) }
        }
    };
    Ok(frame::page(&viewer, Part::Explorer, "Requests", &content))
}

fn level(level: Option<Level>) -> Markup {
    match level.map(Level::number) {
        None => badge("none", Tone::Bad),
        Some(0) => badge("0", Tone::Good),
        Some(number) if number <= GOOD_LEVEL => badge(&number.to_string(), Tone::Warn),
        Some(number) => badge(&number.to_string(), Tone::Bad),
    }
}

fn listed(asked: &Asked, requests: &[(Time, Box<RequestFinished>)]) -> Markup {
    let row = |(at, it): &(Time, Box<RequestFinished>)| {
        html! {
            td { (when(*at)) }
            td { a href=(asked.with(PATH, "id", &it.request_id)) { (cut(&it.request_id)) } }
            td { (cut(&it.route)) br; span.note { "class " (it.class.number()) } }
            td { (level(it.level)) }
            td.number { (it.code) }
            td { (line(it.reason.as_deref().unwrap_or_default())) }
            td.number { (number(it.duration.as_secs_f64() * 1e3)) " ms" }
            td.number { @if let Some(confidence) = it.confidence { (percent(confidence)) } }
            td { @if let Some(prediction) = &it.prediction { (scalar(prediction)) } }
        }
    };
    let rows: Vec<Markup> = requests.iter().map(row).collect();
    let head = ["Ended", "Request", "Route", "Level", "Status", "Why", "Took", "Confidence", "Prediction"];
    html! {
        @if rows.is_empty() { (empty("No such request was kept.")) }
        @else { (table("Requests, the last first", &head, &rows)) }
    }
}

fn scalar(value: &Scalar) -> Markup {
    match value {
        Scalar::Flag(flag) => html! { (flag) },
        Scalar::Number(value) => html! { (number(*value)) },
        Scalar::Word(word) => cut(word),
    }
}

fn whole(at: Time, it: &RequestFinished) -> Markup {
    let backend = it.backend.as_deref().unwrap_or("none");
    let model = [it.model.as_deref(), it.model_version.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let kept =
        it.kept.iter().map(|it| format!("{} ({})", it.why, percent(it.probability))).collect::<Vec<_>>().join(", ");
    html! {
        section.block {
            h2 { "Request " (cut(&it.request_id)) }
            dl {
                dt { "Ended" } dd { (when(at)) }
                @if let Some(client) = &it.client { dt { "Client" } dd { (cut(client)) } }
                dt { "Answered by" } dd { (cut(backend)) @if !model.is_empty() { ", " (cut(&model)) } ", after " (it.attempts) " calls" }
                dt { "Took" } dd {
                    (number(it.duration.as_secs_f64() * 1e3)) " ms, of which the gateway " (number(it.overhead.as_secs_f64() * 1e3)) " ms"
                    @if let Some(model) = it.inference { ", the model " (number(model.as_secs_f64() * 1e3)) " ms" }
                }
                dt { "Kept for" } dd { (line(&kept)) }
                @if let Some(run) = &it.experiment { dt { "Met the fault of" } dd { a href={ "/experiments/" (super::parts::encoded(run)) } { (cut(run)) } } }
                @if let Some(trace) = &it.trace_id { dt { "Trace" } dd { code { (cut(trace)) } } }
                @if it.stale_features > 0 { dt { "Stale features" } dd { (it.stale_features) } }
            }
            @if !it.features.is_empty() {
                h3 { "Features" }
                dl { @for (name, value) in it.features.iter().take(FEATURES) { dt { (cut(name)) } dd { (scalar(value)) } } }
                (beyond(it.features.len(), FEATURES))
            }
        }
    }
}
