//! Where the routes are, and pins that hold them somewhere.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use mainstay_core::plan::Role;

use super::read::{read_json, readable};
use super::{Endpoint, json};
use crate::data_plane::{ControlError, DataPlane, Plane};
use crate::problem::{Kind, Problem, not_known};
use crate::wire;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/api/v1/levels", "levels", "Where the routes are", json::<wire::Levels>(), levels),
        Endpoint::put(
            "/api/v1/levels/{route}",
            "pin_level",
            "Hold a route at a level",
            json::<wire::RouteLevel>(),
            pin_level,
        )
        .takes::<wire::PinRequest>()
        .problems(&[400, 404, 408, 413, 415, 422, 503])
        .for_role(Role::Responder),
        Endpoint::delete("/api/v1/levels/{route}", "release_level", "Take a pin back", release_level)
            .problems(&[404, 503])
            .for_role(Role::Responder),
    ]
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
    hold(&*plane, &route, read_json(request).await?)?;
    let routes = plane.status().routes.into_iter().map(wire::RouteLevel::from);
    let pinned = routes.into_iter().find(|status| status.route == route);
    pinned.map(Json).ok_or_else(|| Problem::new(Kind::UnknownRoute, "the route went away"))
}

async fn release_level(
    State(plane): State<Plane>,
    route: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    release(&*plane, &readable(route)?)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Holds a route at a level.
pub(crate) fn hold(plane: &dyn DataPlane, route: &str, asked: wire::PinRequest) -> Result<(), Problem> {
    let (level, hold) = asked.checked().map_err(|detail| Problem::new(Kind::Invalid, detail))?;
    let until = hold.map(|hold| plane.now() + hold);
    plane.pin(route, level, until, asked.reason).map_err(|error| refused(plane, route, error))?;
    tracing::info!(route, level = level.number(), "level pinned");
    Ok(())
}

/// Takes a pin back.
pub(crate) fn release(plane: &dyn DataPlane, route: &str) -> Result<(), Problem> {
    plane.unpin(route).map_err(|error| refused(plane, route, error))?;
    tracing::info!(route, "level released");
    Ok(())
}

fn refused(plane: &dyn DataPlane, route: &str, error: ControlError) -> Problem {
    if error == ControlError::UnknownRoute { unknown(plane, route) } else { error.into() }
}

/// There is no such route; one of nearly this name is named.
pub(crate) fn unknown(plane: &dyn DataPlane, route: &str) -> Problem {
    let routes = plane.status().routes;
    let names = routes.iter().map(|it| it.name.as_str());
    Problem::new(Kind::UnknownRoute, not_known("route", route, names))
}
