//! What can be asked. One table makes the router and `openapi.json`, so that neither knows what the other does not.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{self, MethodRouter};
use axum::{Json, Router};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

use crate::data_plane::{DataPlane, ReloadReport};
use crate::exposition::{self, OPENMETRICS_TYPE, PROMETHEUS_TYPE};
use crate::problem::{Kind, Problem};
use crate::{openapi, wire};

/// Longest body of a request, in bytes.
pub(crate) const BODY_MAX: usize = 1 << 20;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// What the handlers share.
pub(crate) type Plane = Arc<dyn DataPlane>;

/// One thing that can be asked.
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    /// The path, with parameters in braces.
    pub(crate) path: &'static str,
    pub(crate) operation: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) request: Option<MakeSchema>,
    pub(crate) answer: Answer,
    /// The failures that it has beyond those that all have.
    pub(crate) problems: &'static [u16],
    handler: MethodRouter<Plane>,
}

/// Makes the schema of a type.
pub(crate) type MakeSchema = fn(&mut SchemaGenerator) -> Schema;

/// What an endpoint answers with.
pub(crate) enum Answer {
    /// JSON of a type.
    Json(MakeSchema),
    /// Any JSON object.
    Object,
    /// Text of these media types.
    Text(&'static [&'static str]),
    /// Nothing: 204.
    Nothing,
}

/// Everything that can be asked, in the order of the documentation.
pub(crate) fn all() -> Vec<Endpoint> {
    vec![
        get("/healthz", "healthz", "The process is alive", json::<wire::Probe>(), routing::get(healthz)),
        Endpoint {
            problems: &[503],
            ..get("/readyz", "readyz", "The service answers requests", json::<wire::Probe>(), routing::get(readyz))
        },
        get(
            "/metrics",
            "metrics",
            "Metrics as OpenMetrics or Prometheus text",
            Answer::Text(&[OPENMETRICS_TYPE, PROMETHEUS_TYPE]),
            routing::get(metrics),
        ),
        get("/openapi.json", "openapi", "This document", Answer::Object, routing::get(describe)),
        get("/api/v1/status", "status", "The service at this moment", json::<wire::Status>(), routing::get(status)),
        get("/api/v1/levels", "levels", "Where the routes are", json::<wire::Levels>(), routing::get(levels)),
        Endpoint {
            method: Method::PUT,
            request: Some(schema::<wire::PinRequest>),
            problems: &[400, 404, 408, 413, 415, 422, 503],
            ..get(
                "/api/v1/levels/{route}",
                "pin_level",
                "Hold a route at a level",
                json::<wire::RouteLevel>(),
                routing::put(pin_level),
            )
        },
        Endpoint {
            method: Method::DELETE,
            problems: &[404, 503],
            ..get(
                "/api/v1/levels/{route}",
                "release_level",
                "Take a pin back",
                Answer::Nothing,
                routing::delete(release_level),
            )
        },
        Endpoint {
            method: Method::POST,
            problems: &[422],
            ..get(
                "/api/v1/config/reload",
                "reload_config",
                "Read the config again",
                json::<ReloadReport>(),
                routing::post(reload),
            )
        },
    ]
}

fn get(
    path: &'static str,
    operation: &'static str,
    summary: &'static str,
    answer: Answer,
    handler: MethodRouter<Plane>,
) -> Endpoint {
    Endpoint { method: Method::GET, path, operation, summary, request: None, answer, problems: &[], handler }
}

fn json<T: JsonSchema>() -> Answer {
    Answer::Json(schema::<T>)
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The endpoints as a service, without the guard.
pub(crate) fn router(plane: Plane) -> Router {
    let routes =
        all().into_iter().fold(Router::new(), |router, endpoint| router.route(endpoint.path, endpoint.handler));
    routes.fallback(nothing_here).method_not_allowed_fallback(other_methods).with_state(plane)
}

async fn nothing_here() -> Problem {
    Problem::new(Kind::NotFound, "see /openapi.json for what there is")
}

async fn other_methods(method: Method) -> Problem {
    Problem::new(Kind::MethodNotAllowed, format!("{method} is not one of them"))
}

async fn healthz() -> Json<wire::Probe> {
    Json(wire::Probe { status: "ok" })
}

async fn readyz(State(plane): State<Plane>) -> Result<Json<wire::Probe>, Problem> {
    match plane.ready() {
        Ok(()) => Ok(Json(wire::Probe { status: "ok" })),
        Err(why) => Err(Problem::new(Kind::Unavailable, why)),
    }
}

/// OpenMetrics for whoever accepts it, as Prometheus does.
async fn metrics(State(plane): State<Plane>, headers: HeaderMap) -> Response {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    let openmetrics = accepted.flat_map(|accept| accept.split(',')).any(accepts_openmetrics);
    let (media_type, page) = if openmetrics {
        (OPENMETRICS_TYPE, exposition::openmetrics(plane.metrics()))
    } else {
        (PROMETHEUS_TYPE, exposition::prometheus(plane.metrics()))
    };
    ([(header::CONTENT_TYPE, media_type)], page).into_response()
}

/// Whether one range of an `Accept` header names OpenMetrics, and does not refuse it.
fn accepts_openmetrics(range: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let names_it = parts.next().is_some_and(|media| media.eq_ignore_ascii_case("application/openmetrics-text"));
    let refuses = |part: &str| part.strip_prefix("q=").is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0));
    names_it && !parts.any(refuses)
}

async fn describe() -> Json<serde_json::Value> {
    Json(openapi::document())
}

async fn status(State(plane): State<Plane>) -> Json<wire::Status> {
    Json(plane.status().into())
}

async fn levels(State(plane): State<Plane>) -> Json<wire::Levels> {
    let levels = plane.status().routes.into_iter().map(wire::RouteLevel::from).collect();
    Json(wire::Levels { levels })
}

async fn pin_level(
    State(plane): State<Plane>,
    route: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<wire::RouteLevel>, Problem> {
    let route = readable(route)?;
    let body: wire::PinRequest = read_json(request).await?;
    let (level, hold) = body.checked().map_err(|detail| Problem::new(Kind::Invalid, detail))?;
    let until = hold.map(|hold| plane.now() + hold);
    plane.pin(&route, level, until, body.reason)?;
    tracing::info!(route, level = level.number(), "level pinned");
    let routes = plane.status().routes.into_iter().map(wire::RouteLevel::from);
    let pinned = routes.into_iter().find(|status| status.route == route);
    pinned.map(Json).ok_or_else(|| Problem::new(Kind::UnknownRoute, "the route went away"))
}

async fn release_level(
    State(plane): State<Plane>,
    route: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let route = readable(route)?;
    plane.unpin(&route)?;
    tracing::info!(route, "level released");
    Ok(StatusCode::NO_CONTENT)
}

async fn reload(State(plane): State<Plane>) -> Result<Json<ReloadReport>, Problem> {
    plane.reload().await.map(Json).map_err(Problem::refused)
}

fn readable(route: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    match route {
        Ok(Path(route)) => Ok(route),
        Err(rejection) => Err(Problem::new(Kind::BadRequest, rejection.body_text())),
    }
}

/// A body of JSON, within bounds. That its media type must be JSON also keeps plain HTML forms out.
async fn read_json<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.and_then(|value| value.split(';').next()).map(str::trim);
    if !media_type.is_some_and(|media| media.eq_ignore_ascii_case("application/json")) {
        return Err(Problem::new(Kind::NotJson, "set Content-Type: application/json"));
    }
    let body = read_body(request.into_body()).await?;
    serde_json::from_slice(&body).map_err(|error| {
        let kind = if error.is_data() { Kind::Invalid } else { Kind::BadRequest };
        Problem::new(kind, error.to_string())
    })
}

async fn read_body(body: Body) -> Result<axum::body::Bytes, Problem> {
    let whole = axum::body::to_bytes(body, BODY_MAX);
    match tokio::time::timeout(BODY_TIMEOUT, whole).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) if is_too_long(&error) => {
            Err(Problem::new(Kind::TooLarge, format!("at most {BODY_MAX} bytes are read")))
        }
        Ok(Err(_)) => Err(Problem::new(Kind::BadRequest, "the body ended early")),
        Err(_) => Err(Problem::new(Kind::Timeout, "the body did not arrive in time")),
    }
}

fn is_too_long(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.to_string().contains("length limit"))
}
