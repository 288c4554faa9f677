//! Maintenance that comes again.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;

use super::read::{read_json, readable};
use super::{Endpoint, finished, json};
use crate::access::Caller;
use crate::engine::maintenance::{self, Added};
use crate::problem::{Kind, Problem};
use crate::site::Site;
use crate::wire;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get(
            "/api/v1/maintenance",
            "maintenance",
            "Maintenance that budgets leave out whenever it comes again",
            json::<wire::AllMaintenance>(),
            all,
        )
        .problems(&[503]),
        Endpoint::post(
            "/api/v1/maintenance",
            "maintain",
            "Leave maintenance out of budgets whenever it comes again",
            json::<wire::Maintenance>(),
            add,
        )
        .takes::<wire::MaintenanceRequest>()
        .problems(&[400, 404, 408, 409, 413, 415, 422, 503]),
        Endpoint::delete("/api/v1/maintenance/{name}", "end_maintenance", "End maintenance that was added", end)
            .problems(&[404, 409, 503]),
    ]
}

async fn all(State(site): State<Site>) -> Result<Json<wire::AllMaintenance>, Problem> {
    let budgets = site.engine()?.budgets();
    let of_config = budgets.terms.maintenance.iter().map(|made| wire::Maintenance::of(made, None));
    let added = budgets.maintenance().iter();
    let added = added.filter_map(|it| Some(wire::Maintenance::of(&it.made()?, Some((&it.request, &it.author)))));
    Ok(Json(wire::AllMaintenance { maintenance: of_config.chain(added).collect() }))
}

async fn add(
    State(site): State<Site>,
    axum::Extension(caller): axum::Extension<Caller>,
    request: Request,
) -> Result<Json<wire::Maintenance>, Problem> {
    let engine = site.engine()?.clone();
    let request: wire::MaintenanceRequest = read_json(request).await?;
    let made = request.checked().map_err(|why| Problem::new(Kind::Invalid, why))?;
    {
        let budgets = engine.budgets();
        if let Some(name) = made.objectives.iter().find(|name| budgets.core.id(name).is_none()) {
            return Err(super::slos::unknown(&budgets, name));
        }
        refuse_of_config(&budgets.terms, &made.name)?;
    }
    let added = Added { request, author: caller.name };
    finished(async move {
        engine.store().change(vec![maintenance::change(&added)], engine.now()).await?;
        let answer = wire::Maintenance::of(&made, Some((&added.request, &added.author)));
        engine.budgets().maintain(added);
        Ok(Json(answer))
    })
    .await
}

async fn end(State(site): State<Site>, name: Result<Path<String>, PathRejection>) -> Result<StatusCode, Problem> {
    let name = readable(name)?;
    let engine = site.engine()?.clone();
    refuse_of_config(&engine.budgets().terms, &name)?;
    if engine.budgets().maintenance().iter().all(|added| added.request.name != name) {
        return Err(Problem::new(Kind::NotFound, format!("there is no maintenance `{name}`")));
    }
    finished(async move {
        engine.store().change(vec![maintenance::end(&name)], engine.now()).await?;
        engine.budgets().end_maintenance(&name);
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

fn refuse_of_config(terms: &crate::engine::Terms, name: &str) -> Result<(), Problem> {
    let of_config = terms.maintenance.iter().any(|made| made.name == name);
    let refusal = || Problem::new(Kind::Conflict, format!("`{name}` is in the config: change it there and reload"));
    if of_config { Err(refusal()) } else { Ok(()) }
}
