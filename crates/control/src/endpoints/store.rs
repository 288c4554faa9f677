//! The store itself.

use std::path::PathBuf;

use axum::Json;
use axum::extract::{Request, State};

use super::read::read_json;
use super::{Endpoint, json};
use crate::problem::{Kind, Problem};
use crate::site::Site;
use crate::wire;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post(
            "/api/v1/backup",
            "backup",
            "Copy the store to a new file, while everything goes on",
            json::<wire::Backup>(),
            backup,
        )
        .takes::<wire::BackupRequest>()
        .problems(&[400, 408, 413, 415, 422, 503]),
    ]
}

/// The file is written on the machine that serves, by the user that serves.
async fn backup(State(site): State<Site>, request: Request) -> Result<Json<wire::Backup>, Problem> {
    let asked: wire::BackupRequest = read_json(request).await?;
    let path = PathBuf::from(&asked.path);
    if !path.is_absolute() {
        return Err(Problem::new(Kind::Invalid, "`path` must be absolute: it is a place on the machine that serves"));
    }
    let bytes = site.engine()?.store().backup(&path).await?;
    tracing::info!(path = asked.path, bytes, "the store was copied");
    Ok(Json(wire::Backup { path: asked.path, bytes }))
}
