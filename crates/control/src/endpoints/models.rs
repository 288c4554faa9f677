//! Models: versions, and which of them is served.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, Request, State};
use axum::http::StatusCode;
use axum::{Json, response::IntoResponse as _, response::Response};
use mainstay_core::plan::Role;
use mainstay_core::registry;

use super::read::{read_json, readable};
use super::{Endpoint, json};
use crate::access::Caller;
use crate::problem::{Kind, Problem, not_known};
use crate::registry::{By, ModelError};
use crate::site::Shelf;
use crate::wire;

/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 500;

pub(super) fn endpoints() -> Vec<Endpoint> {
    const CHANGES: &[u16] = &[400, 404, 408, 409, 413, 415, 422, 502, 503];
    vec![
        Endpoint::get("/api/v1/models", "models", "Models, versions, champions", json::<wire::Models>(), models)
            .problems(&[503]),
        Endpoint::get("/api/v1/models/{name}", "model", "One model", json::<wire::Model>(), model)
            .problems(&[400, 404, 503]),
        Endpoint::put(
            "/api/v1/models/{name}/versions/{version}",
            "register_version",
            "Register a version, or tell of it again",
            json::<wire::Model>(),
            register,
        )
        .takes::<wire::NewVersion>()
        .problems(&[400, 408, 409, 413, 415, 422, 503])
        .for_role(Role::Responder),
        Endpoint::post(
            "/api/v1/models/{name}/promote",
            "promote",
            "Make a version the champion, everywhere or not at all",
            json::<wire::Promotion>(),
            promote,
        )
        .takes::<wire::PromoteRequest>()
        .problems(CHANGES),
        Endpoint::post(
            "/api/v1/models/{name}/rollback",
            "roll_back",
            "Make an earlier champion the champion again",
            json::<wire::Promotion>(),
            roll_back,
        )
        .takes::<wire::RollbackRequest>()
        .problems(CHANGES),
    ]
}

async fn models(State(shelf): State<Shelf>) -> Result<Json<wire::Models>, Problem> {
    Ok(Json(wire::Models { models: shelf.open()?.models(None).await? }))
}

async fn model(
    State(shelf): State<Shelf>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<wire::Model>, Problem> {
    one(&shelf, &readable(name)?).await
}

async fn one(shelf: &Shelf, name: &str) -> Result<Json<wire::Model>, Problem> {
    let mut models = shelf.open()?.models(Some(name)).await?;
    models.pop().map(Json).ok_or_else(|| ModelError::Unknown(not_known("model", name, [])).into())
}

async fn register(
    State(shelf): State<Shelf>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let (model, version) = readable(path)?;
    let registry = shelf.open()?;
    let new: wire::NewVersion = read_json(request).await?;
    new.check().map_err(|detail| Problem::new(Kind::Invalid, detail))?;
    let is_new = registry.register(&model, &version, new).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, one(&shelf, &model).await?).into_response())
}

async fn promote(
    State(shelf): State<Shelf>,
    caller: Option<Extension<Caller>>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<wire::Promotion>, Problem> {
    let model = readable(name)?;
    let asked = read_json(request).await?;
    promoted(&shelf, &model, asked, caller).await.map(Json)
}

async fn roll_back(
    State(shelf): State<Shelf>,
    caller: Option<Extension<Caller>>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<wire::Promotion>, Problem> {
    let model = readable(name)?;
    let asked = read_json(request).await?;
    rolled_back(&shelf, &model, asked, caller).await.map(Json)
}

/// Makes a version the champion.
pub(crate) async fn promoted(
    shelf: &Shelf,
    model: &str,
    asked: wire::PromoteRequest,
    caller: Option<Extension<Caller>>,
) -> Result<wire::Promotion, Problem> {
    let registry = shelf.open()?;
    let wire::PromoteRequest { version, expect, force, reason } = asked;
    if force && reason.trim().is_empty() {
        return Err(Problem::new(Kind::Invalid, "`force` passes over gates and budget: say why in `reason`"));
    }
    let asked = registry::Request { version, expect, force, rollback: false };
    answer(Arc::clone(registry).promote(model, asked, by(caller, reason)?).await?)
}

/// Makes an earlier champion the champion again.
pub(crate) async fn rolled_back(
    shelf: &Shelf,
    model: &str,
    asked: wire::RollbackRequest,
    caller: Option<Extension<Caller>>,
) -> Result<wire::Promotion, Problem> {
    let registry = shelf.open()?;
    let wire::RollbackRequest { to, expect, reason } = asked;
    answer(Arc::clone(registry).roll_back(model, to, expect, by(caller, reason)?).await?)
}

fn by(caller: Option<Extension<Caller>>, reason: String) -> Result<By, Problem> {
    if reason.chars().count() > REASON_CHARS_MAX {
        let detail = format!("the reason has more than {REASON_CHARS_MAX} characters");
        return Err(Problem::new(Kind::Invalid, detail));
    }
    let actor = caller.map_or_else(|| "anyone".to_owned(), |Extension(caller)| caller.name);
    Ok(By { actor, reason })
}

/// A change that did not hold is a failure, and says where the pointer stands.
fn answer(promotion: wire::Promotion) -> Result<wire::Promotion, Problem> {
    if promotion.outcome == "promoted" { Ok(promotion) } else { Err(Problem::promotion_failed(&promotion)) }
}
