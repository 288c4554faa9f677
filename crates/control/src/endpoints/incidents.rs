//! Incidents: what is wrong, who has it, what is done, and what was learned.

use std::time::Duration;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use mainstay_core::incident::kind::Severity;
use mainstay_core::incident::metrics::{Paged, measure};
use mainstay_core::incident::oncall::Schedule;
use mainstay_core::incident::record::Incident;
use mainstay_core::plan::Role;
use mainstay_core::response::delivery::{Delivery, State as Sent};
use mainstay_core::response::desk::{Asked, Desk, Refused};
use mainstay_core::response::signature::UNCLASSIFIED;
use mainstay_core::time::Time;

use super::read::{read_json, readable};
use super::{Answer, Endpoint, finished, json};
use crate::access::Caller;
use crate::incidents::{DeskError, Incidents, impact};
use crate::problem::{Kind, Problem};
use crate::review::Review;
use crate::site::Site;
use crate::wire;

/// Incidents in one answer, unless the query says otherwise, and at most.
const LISTED: (usize, usize) = (50, 1_000);
/// The window of metrics, unless the query says otherwise, and the longest.
const WINDOW: Duration = Duration::from_hours(30 * 24);
const WINDOW_MAX: Duration = Duration::from_hours(3_660 * 24);
/// A page at these hours of somebody's day is one at night.
const NIGHT: (i8, i8) = (22, 7);
/// Bootstrap intervals are the same for the same incidents.
const SEED: u64 = 1;

pub(super) fn endpoints() -> Vec<Endpoint> {
    const ASKED: &[u16] = &[400, 404, 408, 409, 413, 415, 422, 503];
    let whole = || json::<wire::Incident>();
    let role = Role::Responder;
    vec![
        Endpoint::get("/api/v1/incidents", "incidents", "Incidents, the last first", json::<wire::Incidents>(), list)
            .problems(&[400, 503]),
        Endpoint::post("/api/v1/incidents", "open_incident", "Open an incident that somebody saw", whole(), open)
            .takes::<wire::NewIncident>()
            .problems(&[400, 408, 413, 415, 422, 503])
            .for_role(role),
        Endpoint::get(
            "/api/v1/incidents/metrics",
            "incident_metrics",
            "How often, how fast, how much: of the incidents of a window",
            Answer::Object,
            metrics,
        )
        .problems(&[400, 422, 503]),
        Endpoint::get("/api/v1/incidents/{id}", "incident", "An incident, with everything that is known", whole(), one)
            .problems(&[400, 404, 503]),
        Endpoint::post(
            "/api/v1/incidents/{id}/ack",
            "acknowledge",
            "Take an incident: nobody else is paged",
            whole(),
            ack,
        )
        .problems(ASKED)
        .for_role(role),
        Endpoint::post("/api/v1/incidents/{id}/notes", "note", "Write something on the timeline", whole(), note)
            .takes::<wire::NoteRequest>()
            .problems(ASKED)
            .for_role(role),
        Endpoint::post(
            "/api/v1/incidents/{id}/status",
            "set_incident",
            "Say where it stands, how bad it is, what type it is, or what it is a part of",
            whole(),
            set,
        )
        .takes::<wire::StandingRequest>()
        .problems(ASKED)
        .for_role(role),
        Endpoint::post("/api/v1/incidents/{id}/actions", "act", "Approve an action that mainstay takes", whole(), act)
            .takes::<wire::ActionRequest>()
            .problems(ASKED),
        Endpoint::delete("/api/v1/incidents/{id}/actions/{action}", "undo", "Undo an action", undo)
            .problems(&[400, 404, 422, 503]),
        Endpoint::get(
            "/api/v1/incidents/{id}/review",
            "incident_review",
            "The review, filled with what is known",
            Answer::Text(&["text/markdown", "text/html", "application/json"]),
            review,
        )
        .parameters(&[super::Parameter { name: "format", about: "md (default), html or json" }])
        .problems(&[400, 404, 503]),
        Endpoint::put("/api/v1/incidents/{id}/review", "write_review", "Write what was found", whole(), write)
            .takes::<wire::FindingsRequest>()
            .problems(ASKED)
            .for_role(role),
    ]
}

impl From<DeskError> for Problem {
    fn from(error: DeskError) -> Problem {
        let refused = match error {
            DeskError::Store(error) => return error.into(),
            DeskError::Refused(refused) => refused,
        };
        let kind = match refused {
            Refused::Unknown(_) => Kind::NotFound,
            Refused::Illegal { .. } | Refused::TooLate { .. } | Refused::NoRootCause | Refused::NotOpen(_) => {
                Kind::Conflict
            }
            Refused::Invalid(_) => Kind::Invalid,
        };
        Problem::new(kind, refused.to_string())
    }
}

fn queried<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    query.map(|Query(query)| query).map_err(|rejection| Problem::new(Kind::BadRequest, rejection.body_text()))
}

async fn list(
    State(site): State<Site>,
    query: Result<Query<wire::IncidentsQuery>, QueryRejection>,
) -> Result<Json<wire::Incidents>, Problem> {
    let query = queried(query)?;
    let wanted = query.checked().map_err(|why| Problem::new(Kind::BadRequest, why))?;
    let incidents = site.incidents()?;
    let all: Vec<Incident> = if query.is_open() {
        // What is open is at hand.
        incidents.desk().await.incidents().values().rev().cloned().collect()
    } else {
        incidents.all().await?
    };
    let found = all.iter().filter(|it| wanted(it)).take(query.limit.unwrap_or(LISTED.0).min(LISTED.1));
    Ok(Json(wire::Incidents { incidents: found.map(wire::IncidentLine::of).collect() }))
}

async fn open(State(site): State<Site>, caller: Extension<Caller>, request: Request) -> Result<Response, Problem> {
    let incidents = site.incidents()?.clone();
    let asked: wire::NewIncident = read_json(request).await?;
    let new = asked.checked(UNCLASSIFIED, Severity::Sev3).map_err(|why| Problem::new(Kind::Invalid, why))?;
    finished(async move {
        let id = incidents.decide(|desk, now| desk.handle_opened(new.clone(), &caller.name, now)).await?;
        Ok((StatusCode::CREATED, whole(&incidents, &id).await?).into_response())
    })
    .await
}

async fn one(
    State(site): State<Site>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<wire::Incident>, Problem> {
    whole(site.incidents()?, &readable(id)?).await
}

/// An incident, with what can be done about it and what was sent.
async fn whole(incidents: &Incidents, id: &str) -> Result<Json<wire::Incident>, Problem> {
    let found = incidents.find(id).await?;
    let incident = found.ok_or_else(|| Problem::new(Kind::NotFound, format!("there is no incident `{id}`")))?;
    let desk = incidents.desk().await;
    let proposals = if incident.status.is_open() { desk.proposals(&incident) } else { Vec::new() };
    let notices = incidents.notices(id).await?;
    Ok(Json(wire::Incident::of(&incident, &proposals, &notices)))
}

/// Asks the desk for something, on behalf of somebody; the incident as it is then.
pub(crate) async fn ask(
    site: &Site,
    caller: Caller,
    id: String,
    asked: Vec<Asked>,
) -> Result<Json<wire::Incident>, Problem> {
    let incidents = site.incidents()?.clone();
    finished(async move {
        let into =
            asked.iter().find_map(|it| if let Asked::Merge { into, .. } = it { Some(into.clone()) } else { None });
        let about: Vec<&str> = std::iter::once(id.as_str()).chain(into.as_deref()).collect();
        let decide = |desk: &mut Desk, now: Time| {
            asked.iter().try_for_each(|asked| desk.handle_asked(&id, asked.clone(), &caller.name, now))
        };
        incidents.decide_about(&about, decide).await?;
        whole(&incidents, &id).await
    })
    .await
}

async fn ack(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<wire::Incident>, Problem> {
    ask(&site, caller, readable(id)?, vec![Asked::Acknowledge]).await
}

async fn note(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<wire::Incident>, Problem> {
    let id = readable(id)?;
    let wire::NoteRequest { text } = read_json(request).await?;
    ask(&site, caller, id, vec![Asked::Note(text)]).await
}

async fn set(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<wire::Incident>, Problem> {
    let id = readable(id)?;
    let standing: wire::StandingRequest = read_json(request).await?;
    let asked = standing.asked().map_err(|why| Problem::new(Kind::Invalid, why))?;
    ask(&site, caller, id, asked).await
}

async fn act(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<wire::Incident>, Problem> {
    let id = readable(id)?;
    let action: wire::ActionRequest = read_json(request).await?;
    let asked = action.asked().map_err(|why| Problem::new(Kind::Invalid, why))?;
    ask(&site, caller, id, vec![asked]).await
}

async fn undo(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<(String, u32)>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let (id, action) = readable(path)?;
    let _ = ask(&site, caller, id, vec![Asked::Undo(action)]).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn write(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<wire::Incident>, Problem> {
    let id = readable(id)?;
    let findings: wire::FindingsRequest = read_json(request).await?;
    ask(&site, caller, id, vec![Asked::Review(Box::new(findings.findings()))]).await
}

async fn review(
    State(site): State<Site>,
    id: Result<Path<String>, PathRejection>,
    query: Result<Query<wire::ReviewQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let (id, query) = (readable(id)?, queried(query)?);
    let (incidents, engine) = (site.incidents()?, site.engine()?);
    let found = incidents.find(&id).await?;
    let incident = found.ok_or_else(|| Problem::new(Kind::NotFound, format!("there is no incident `{id}`")))?;
    let desk = incidents.desk().await;
    let now = incidents.now();
    let (impact, plots) = impact::of(engine, &incident, now);
    let signature = desk.catalogue().get(&incident.kind);
    let review = Review {
        incident: &incident,
        service: desk.terms().service.clone(),
        type_title: signature.map_or_else(|| incident.kind.clone(), |it| it.title.clone()),
        questions: signature.map(|it| it.questions.clone()).unwrap_or_default(),
        prevention: signature.map(|it| it.prevention.clone()).unwrap_or_default(),
        impact,
        plots,
        prepared: now,
    };
    let text = |media: &'static str, text: String| ([(header::CONTENT_TYPE, media)], text).into_response();
    match query.format.as_deref().unwrap_or("md") {
        "md" => Ok(text("text/markdown; charset=utf-8", review.markdown())),
        "html" => {
            let page = text("text/html; charset=utf-8", review.html());
            // What is on the page needs nothing from anywhere, and gets nothing.
            let policy = [(header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'")];
            Ok((policy, page).into_response())
        }
        "json" => Ok(Json(review.json()).into_response()),
        other => Err(Problem::new(Kind::BadRequest, format!("`format` is md, html or json, not `{other}`"))),
    }
}

async fn metrics(
    State(site): State<Site>,
    query: Result<Query<wire::MetricsQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let query = queried(query)?;
    let window = query.window(WINDOW, WINDOW_MAX).map_err(|why| Problem::new(Kind::BadRequest, why))?;
    let incidents = site.incidents()?;
    let all: Vec<Incident> = incidents.all().await?;
    let notices = incidents.all_notices().await?;
    let desk = incidents.desk().await;
    let pages: Vec<Paged> = notices.iter().filter_map(|it| paged(it, &desk)).collect();
    let now = incidents.now();
    Ok(Json(measure(&all, &pages, now - window, now, SEED)).into_response())
}

/// A page that reached somebody.
fn paged(delivery: &Delivery, desk: &Desk) -> Option<Paged> {
    let is_page = delivery.notice.purpose == mainstay_core::incident::notice::Purpose::Page;
    let at = delivery.ended.filter(|_| is_page && delivery.state == Sent::Delivered)?;
    let person = delivery.notice.person.clone().unwrap_or_else(|| delivery.channel.clone());
    let hour = hour_for(&person, at, desk);
    let incident = delivery.notice.incident.clone();
    Some(Paged { incident, person, at, night: hour >= NIGHT.0 || hour < NIGHT.1 })
}

/// The hour of the day in the zone of a schedule that somebody is in; of UTC where they are in none.
fn hour_for(person: &str, at: Time, desk: &Desk) -> i8 {
    let is_in = |it: &&Schedule| it.layers.iter().any(|layer| layer.people.iter().any(|name| name == person));
    let schedule = desk.terms().incidents.schedules.iter().find(is_in);
    let zone = schedule.map_or(jiff::tz::TimeZone::UTC, |it| it.zone.clone());
    let at = i128::from(at.as_nanos());
    jiff::Timestamp::from_nanosecond(at).map_or(12, |at| at.to_zoned(zone).hour())
}
