//! Game days: scenarios that are run or talked through, what came of them, and what is still to be mended.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use mainstay_core::chaos::gameday::record::{Answer as Said, Record};
use mainstay_core::plan::Role;

use super::read::{read_json, readable};
use super::{Answer, Endpoint, Parameter, finished, json};
use crate::access::Caller;
use crate::gamedays::{GamedayError, Gamedays};
use crate::problem::{Kind, Problem};
use crate::site::Site;
use crate::wire;

/// Most game days in one answer.
const LISTED_MAX: usize = 1_000;

pub(super) fn endpoints() -> Vec<Endpoint> {
    const ASKED: &[u16] = &[400, 404, 408, 409, 413, 415, 422, 503];
    let role = Role::Responder;
    vec![
        Endpoint::get(
            "/api/v1/gamedays",
            "gamedays",
            "Game days, the last first, and scenarios that can be run by their names",
            json::<wire::Gamedays>(),
            list,
        )
        .parameters(&[Parameter { name: "limit", about: "how many game days: 1000, which is also the most" }])
        .problems(&[400, 503]),
        Endpoint::post(
            "/api/v1/gamedays",
            "start_gameday",
            "Run a scenario, or keep one that is talked through",
            Answer::Object,
            start,
        )
        .takes::<wire::GamedayRequest>()
        .problems(ASKED),
        Endpoint::get(
            "/api/v1/gamedays/findings",
            "gameday_findings",
            "Criteria that did not hold, the last first",
            Answer::Object,
            findings,
        )
        .parameters(&[Parameter { name: "state", about: "all (default), open or closed" }])
        .problems(&[400, 503]),
        Endpoint::get("/api/v1/gamedays/{id}", "gameday", "A game day, as it is now", Answer::Object, one)
            .problems(&[400, 404, 503]),
        Endpoint::post(
            "/api/v1/gamedays/{id}/stop",
            "stop_gameday",
            "End a game day and its run: the fault is taken away",
            Answer::Object,
            stop,
        )
        .takes::<wire::GamedayStopRequest>()
        .problems(ASKED)
        .for_role(role),
        Endpoint::post(
            "/api/v1/gamedays/{id}/answers",
            "answer_gameday",
            "Write down what was said when it was talked through",
            Answer::Object,
            answer,
        )
        .takes::<wire::GamedayAnswers>()
        .problems(ASKED)
        .for_role(role),
        Endpoint::get(
            "/api/v1/gamedays/{id}/report",
            "gameday_report",
            "What came of a game day",
            Answer::Text(&["text/markdown", "text/html", "application/json"]),
            report,
        )
        .parameters(&[Parameter { name: "format", about: "md (default), html or json" }])
        .problems(&[400, 404, 503]),
    ]
}

impl From<GamedayError> for Problem {
    fn from(error: GamedayError) -> Problem {
        let kind = match error {
            GamedayError::Store(error) => return error.into(),
            GamedayError::Unknown(_) => Kind::NotFound,
            GamedayError::Busy(_) | GamedayError::Over(_) => Kind::Conflict,
            GamedayError::Invalid(_) => Kind::Invalid,
        };
        Problem::new(kind, error.to_string())
    }
}

async fn list(
    State(site): State<Site>,
    query: Result<Query<wire::GamedaysQuery>, QueryRejection>,
) -> Result<Json<wire::Gamedays>, Problem> {
    let Query(query) = query.map_err(|rejection| Problem::new(Kind::BadRequest, rejection.body_text()))?;
    let gamedays = site.gamedays()?;
    let listed = gamedays.days(0, query.limit.unwrap_or(LISTED_MAX).min(LISTED_MAX)).await?;
    Ok(Json(wire::Gamedays::of(&listed.heads, &gamedays.scenarios())))
}

async fn start(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    let gamedays = site.gamedays()?.clone();
    let asked: wire::GamedayRequest = read_json(request).await?;
    let invalid = |why: String| Problem::new(Kind::Invalid, why);
    let known = |name: &str| {
        let found = gamedays.scenario(name);
        found.ok_or_else(|| {
            let names: Vec<String> = gamedays.scenarios().iter().map(|it| it.name.clone()).collect();
            Problem::new(Kind::NotFound, format!("the config has no scenario `{name}`; it has {}", listed(&names)))
        })
    };
    let live = asked.is_live().map_err(invalid)?;
    let scenario = match (asked.name, asked.scenario) {
        (Some(name), None) => known(&name)?,
        (None, Some(scenario)) => {
            serde_json::from_value(scenario).map_err(|error| invalid(format!("`scenario`: {error}")))?
        }
        (_, _) => return Err(invalid("say either `name` or `scenario`".to_owned())),
    };
    finished(async move {
        let record = if live {
            gamedays.start(scenario, &caller.name).await?
        } else {
            gamedays.talk(scenario, &caller.name).await?
        };
        Ok((StatusCode::CREATED, Json(record)).into_response())
    })
    .await
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

async fn findings(
    State(site): State<Site>,
    query: Result<Query<wire::GamedayFindingsQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|rejection| Problem::new(Kind::BadRequest, rejection.body_text()))?;
    let wanted = query.checked().map_err(|why| Problem::new(Kind::BadRequest, why))?;
    let mut findings = site.gamedays()?.findings().await?;
    findings.retain(|it| wanted.is_none_or(|open| it.closed.is_none() == open));
    Ok(Json(serde_json::json!({ "findings": findings })).into_response())
}

async fn one(State(site): State<Site>, id: Result<Path<String>, PathRejection>) -> Result<Json<Record>, Problem> {
    Ok(Json(site.gamedays()?.day(&readable(id)?).await?))
}

async fn stop(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<Record>, Problem> {
    let (gamedays, id): (Gamedays, String) = (site.gamedays()?.clone(), readable(id)?);
    let asked: wire::GamedayStopRequest = read_json(request).await?;
    let reason = asked.checked().map_err(|why| Problem::new(Kind::Invalid, why))?;
    finished(async move { Ok(Json(gamedays.stop(&id, &caller.name, &reason).await?)) }).await
}

async fn answer(
    State(site): State<Site>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<Record>, Problem> {
    let (gamedays, id): (Gamedays, String) = (site.gamedays()?.clone(), readable(id)?);
    let asked: wire::GamedayAnswers = read_json(request).await?;
    let answers: Vec<Said> =
        asked.checked(&caller.name, gamedays.now()).map_err(|why| Problem::new(Kind::Invalid, why))?;
    finished(async move { Ok(Json(gamedays.answer(&id, answers).await?)) }).await
}

async fn report(
    State(site): State<Site>,
    id: Result<Path<String>, PathRejection>,
    query: Result<Query<wire::ReviewQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|rejection| Problem::new(Kind::BadRequest, rejection.body_text()))?;
    let report = site.gamedays()?.report(&readable(id)?).await?;
    let text = |media: &'static str, text: String| ([(header::CONTENT_TYPE, media)], text).into_response();
    match query.format.as_deref().unwrap_or("md") {
        "md" => Ok(text("text/markdown; charset=utf-8", report.markdown())),
        "html" => {
            let page = text("text/html; charset=utf-8", report.html());
            // What is on the page needs nothing from anywhere, and gets nothing.
            let policy = [(header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'")];
            Ok((policy, page).into_response())
        }
        "json" => Ok(Json(report.json()).into_response()),
        other => Err(Problem::new(Kind::BadRequest, format!("`format` is md, html or json, not `{other}`"))),
    }
}
