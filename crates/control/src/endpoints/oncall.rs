//! Who is on call, exceptions from it, and what nobody is paged for.

use std::time::Duration;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use mainstay_core::incident::oncall::{Override, Schedule};
use mainstay_core::plan::Role;
use mainstay_core::response::desk::Silence;
use mainstay_core::time::Time;

use super::read::{read_json, readable};
use super::{Endpoint, finished, json};
use crate::access::Caller;
use crate::problem::{Kind, Problem, not_known};
use crate::site::Site;
use crate::wire;

/// What a schedule shows, unless the query says otherwise, and at most.
const SHOWN: Duration = Duration::from_hours(14 * 24);
const SHOWN_MAX: Duration = Duration::from_hours(366 * 24);
/// Longest silence.
const SILENCE_MAX: Duration = Duration::from_hours(30 * 24);

pub(super) fn endpoints() -> Vec<Endpoint> {
    const MADE: &[u16] = &[400, 404, 408, 413, 415, 422, 503];
    vec![
        Endpoint::get("/api/v1/oncall", "oncall", "Who is on call, and who is next", json::<wire::OnCall>(), who)
            .problems(&[400, 503]),
        Endpoint::get(
            "/api/v1/oncall/{schedule}",
            "schedule",
            "The shifts of a schedule, and where nobody is on call",
            json::<wire::Shifts>(),
            shifts,
        )
        .problems(&[400, 404, 503]),
        Endpoint::get(
            "/api/v1/overrides",
            "overrides",
            "Exceptions from who is on call",
            json::<wire::Overrides>(),
            overrides,
        )
        .problems(&[503]),
        Endpoint::post(
            "/api/v1/overrides",
            "override",
            "Put somebody else on call for a while",
            json::<wire::Override>(),
            add,
        )
        .takes::<wire::OverrideRequest>()
        .problems(MADE)
        .for_role(Role::Responder),
        Endpoint::delete("/api/v1/overrides/{id}", "end_override", "Take an exception back", end)
            .problems(&[404, 503])
            .for_role(Role::Responder),
        Endpoint::get("/api/v1/silences", "silences", "What nobody is paged for", json::<wire::Silences>(), silences)
            .problems(&[503]),
        Endpoint::post(
            "/api/v1/silences",
            "silence",
            "Page nobody for something, for a while",
            json::<wire::Silence>(),
            hush,
        )
        .takes::<wire::SilenceRequest>()
        .problems(MADE)
        .for_role(Role::Responder),
        Endpoint::delete("/api/v1/silences/{id}", "end_silence", "End a silence early", unhush)
            .problems(&[404, 503])
            .for_role(Role::Responder),
    ]
}

fn invalid(why: impl Into<String>) -> Problem {
    Problem::new(Kind::Invalid, why)
}

/// A time of a query: the one that is written, or another.
fn time(written: Option<&String>, or: Time) -> Result<Time, Problem> {
    let Some(written) = written else { return Ok(or) };
    let read = mainstay_core::event::parse_time(written);
    read.ok_or_else(|| {
        Problem::new(Kind::BadRequest, format!("`{written}` is not a time such as 2026-03-01T12:00:00Z"))
    })
}

async fn who(
    State(site): State<Site>,
    query: Result<Query<wire::AtQuery>, QueryRejection>,
) -> Result<Json<wire::OnCall>, Problem> {
    let Query(query) = query.map_err(|rejection| Problem::new(Kind::BadRequest, rejection.body_text()))?;
    let incidents = site.incidents()?;
    let at = time(query.at.as_ref(), incidents.now())?;
    let desk = incidents.desk().await;
    let schedules = desk.terms().incidents.schedules.iter();
    let schedules = schedules.map(|schedule| wire::ScheduleNow::of(schedule, desk.overrides(), at)).collect();
    Ok(Json(wire::OnCall { at: mainstay_core::event::format_time(at), schedules }))
}

async fn shifts(
    State(site): State<Site>,
    name: Result<Path<String>, PathRejection>,
    query: Result<Query<wire::StretchQuery>, QueryRejection>,
) -> Result<Json<wire::Shifts>, Problem> {
    let name = readable(name)?;
    let Query(query) = query.map_err(|rejection| Problem::new(Kind::BadRequest, rejection.body_text()))?;
    let incidents = site.incidents()?;
    let from = time(query.from.as_ref(), incidents.now())?;
    let until = time(query.until.as_ref(), from + SHOWN)?;
    if until <= from || until.since(from) > SHOWN_MAX {
        return Err(Problem::new(Kind::BadRequest, "`until` must be after `from`, by a year at most"));
    }
    let desk = incidents.desk().await;
    let schedule = find(&desk.terms().incidents.schedules, &name)?;
    Ok(Json(wire::Shifts::of(schedule, desk.overrides(), from, until)))
}

fn find<'a>(schedules: &'a [Schedule], name: &str) -> Result<&'a Schedule, Problem> {
    let names = schedules.iter().map(|it| it.name.as_str());
    let missing = || Problem::new(Kind::NotFound, not_known("schedule", name, names));
    schedules.iter().find(|it| it.name == name).ok_or_else(missing)
}

async fn overrides(State(site): State<Site>) -> Result<Json<wire::Overrides>, Problem> {
    let desk = site.incidents()?.desk().await;
    Ok(Json(wire::Overrides { overrides: desk.overrides().iter().map(wire::Override::of).collect() }))
}

async fn add(State(site): State<Site>, request: Request) -> Result<Response, Problem> {
    let incidents = site.incidents()?;
    let wire::OverrideRequest { schedule, person, from, until } = read_json(request).await?;
    let desk = incidents.desk().await;
    find(&desk.terms().incidents.schedules, &schedule)?;
    if desk.terms().incidents.people.iter().all(|it| it.name != person) {
        return Err(invalid(format!("there is no person `{person}` in the config")));
    }
    let read = |text: &String| {
        time(Some(text), Time::ZERO).map_err(|_| invalid(format!("`{text}` is not a time of RFC 3339 since 1970")))
    };
    let (from, until) = (read(&from)?, read(&until)?);
    if until <= from {
        return Err(invalid("`until` must be after `from`"));
    }
    let made = Override { id: fresh(incidents.now()), schedule, person, from, until };
    let incidents = incidents.clone();
    finished(async move {
        incidents.put_override(made.clone()).await?;
        Ok((StatusCode::CREATED, Json(wire::Override::of(&made))).into_response())
    })
    .await
}

/// Ids grow with time; two in one nanosecond do not occur, as clocks go.
fn fresh(now: Time) -> String {
    format!("{:016x}", now.as_nanos())
}

async fn end(State(site): State<Site>, id: Result<Path<String>, PathRejection>) -> Result<StatusCode, Problem> {
    let (incidents, id) = (site.incidents()?.clone(), readable(id)?);
    finished(async move {
        incidents.end_override(&id).await?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

async fn silences(State(site): State<Site>) -> Result<Json<wire::Silences>, Problem> {
    let incidents = site.incidents()?;
    let (desk, now) = (incidents.desk().await, incidents.now());
    Ok(Json(wire::Silences { silences: desk.silences().iter().map(|it| wire::Silence::of(it, now)).collect() }))
}

async fn hush(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    let incidents = site.incidents()?;
    let asked: wire::SilenceRequest = read_json(request).await?;
    let now = incidents.now();
    let (from, until) = asked.stretch(now).map_err(invalid)?;
    if until <= from.max(now) || until.since(from) > SILENCE_MAX {
        return Err(invalid("a silence ends in the future, and lasts 30 days at most"));
    }
    let wire::SilenceRequest { kind, route, incident, reason, .. } = asked;
    if reason.trim().is_empty() || reason.chars().count() > 500 {
        return Err(invalid("`reason` has 1 to 500 characters"));
    }
    let desk = incidents.desk().await;
    if let Some(kind) = kind.as_ref().filter(|kind| desk.catalogue().get(kind).is_none()) {
        return Err(invalid(format!("there is no type `{kind}`")));
    }
    if let Some(route) = route.as_ref().filter(|route| !desk.terms().reach.routes.contains(*route)) {
        return Err(invalid(format!("there is no route `{route}`")));
    }
    if let Some(id) = &incident
        && incidents.find(id).await?.is_none()
    {
        return Err(invalid(format!("there is no incident `{id}`")));
    }
    let made = Silence { id: fresh(now), kind, route, incident, from, until, by: caller.name, reason };
    let incidents = incidents.clone();
    finished(async move {
        incidents.put_silence(made.clone()).await?;
        Ok((StatusCode::CREATED, Json(wire::Silence::of(&made, now))).into_response())
    })
    .await
}

async fn unhush(State(site): State<Site>, id: Result<Path<String>, PathRejection>) -> Result<StatusCode, Problem> {
    let (incidents, id) = (site.incidents()?.clone(), readable(id)?);
    finished(async move {
        incidents.end_silence(&id).await?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}
