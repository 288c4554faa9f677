//! Objectives in the forms of others.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::read::{expect_media, read_body};
use super::{Answer, Endpoint, Parameter, finished, json};
use crate::engine::imported;
use crate::formats::Form;
use crate::problem::{Kind, Problem};
use crate::site::Site;
use crate::wire;

/// Longest documents, in bytes.
const DOCUMENTS_MAX: usize = 1 << 20;
const YAML: &str = "application/yaml";
const MEDIA: &[&str] = &[YAML, "application/x-yaml", "text/yaml", "application/json"];

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::post(
            "/api/v1/slos/import",
            "import_slos",
            "Put OpenSLO documents in force, in place of those that were imported before",
            json::<wire::Imported>(),
            import,
        )
        .takes_text(MEDIA)
        .parameters(&[Parameter { name: "dry_run", about: "`true`: say what they become, and change nothing" }])
        .problems(&[400, 408, 413, 415, 422, 503]),
        Endpoint::get(
            "/api/v1/slos/export",
            "export_slos",
            "The objectives in force, in the form of others",
            Answer::Text(&[YAML, "application/json"]),
            export,
        )
        .parameters(&[Parameter { name: "format", about: "`openslo` (default), `prometheus` or `grafana`" }])
        .problems(&[400, 503]),
    ]
}

/// What was acknowledged is in force after a restart.
async fn import(
    State(site): State<Site>,
    query: Result<Query<wire::ImportQuery>, QueryRejection>,
    request: Request,
) -> Result<Json<wire::Imported>, Problem> {
    let Query(query) = query.map_err(|rejection| Problem::new(Kind::BadRequest, rejection.body_text()))?;
    expect_media(request.headers(), MEDIA)?;
    let body = read_body(request.into_body(), DOCUMENTS_MAX).await?;
    let documents = String::from_utf8(body.into());
    let documents = documents.map_err(|_| Problem::new(Kind::BadRequest, "the documents are not UTF-8"))?;
    let formats = site.formats()?.clone();
    if query.dry_run {
        let checked = formats.all.check(&documents).map_err(Problem::refused)?;
        return Ok(Json(wire::Imported::of(checked, false)));
    }
    let engine = site.engine()?.clone();
    finished(async move {
        let _one_at_a_time = formats.importing.lock().await;
        formats.all.check(&documents).map_err(Problem::refused)?;
        engine.store().change(vec![imported::change(&documents)], engine.now()).await?;
        let applied = formats.all.apply(&documents).map_err(Problem::refused)?;
        Ok(Json(wire::Imported::of(applied, true)))
    })
    .await
}

async fn export(
    State(site): State<Site>,
    query: Result<Query<wire::ExportQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|rejection| Problem::new(Kind::BadRequest, rejection.body_text()))?;
    let (form, media) = match query.format {
        wire::ExportForm::Openslo => (Form::OpenSlo, YAML),
        wire::ExportForm::Prometheus => (Form::Prometheus, YAML),
        wire::ExportForm::Grafana => (Form::Grafana, "application/json"),
    };
    Ok(([(header::CONTENT_TYPE, media)], site.formats()?.all.export(form)).into_response())
}
