//! The protocols that the stand-ins speak: Open Inference Protocol v2, Feast's online serving, OpenAI's chat.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

/// A model: the outputs for a request, or what is wrong with the request.
pub(crate) type Model = Arc<dyn Fn(&Value) -> Result<Vec<Value>, String> + Send + Sync>;

/// Serves one model under its name.
pub(crate) fn open_inference(name: &'static str, model: Model) -> Router {
    let infer = async |Path(asked): Path<String>, State((name, model)): State<(&'static str, Model)>, body: Bytes| {
        if asked != name {
            return problem(StatusCode::NOT_FOUND, &json!({ "error": format!("this server has the model {name}") }));
        }
        // As model servers do: whatever the content type says, or where there is none.
        let request: Value = match serde_json::from_slice(&body) {
            Ok(request) => request,
            Err(error) => return problem(StatusCode::BAD_REQUEST, &json!({ "error": error.to_string() })),
        };
        match model(&request) {
            Ok(outputs) => {
                let mut answer = json!({ "model_name": name, "model_version": "1", "outputs": outputs });
                if let Some(id) = request.get("id") {
                    answer["id"] = id.clone();
                }
                Json(answer).into_response()
            }
            Err(error) => problem(StatusCode::BAD_REQUEST, &json!({ "error": error })),
        }
    };
    Router::new()
        .route("/v2/models/{name}/infer", post(infer))
        .route("/v2/models/{name}/ready", get(async || Json(json!({}))))
        .route("/v2/health/{kind}", get(async || Json(json!({}))))
        .with_state((name, model))
}

/// A tensor of texts: one row of several.
pub(crate) fn row_of_texts(name: &str, data: &[String]) -> Value {
    json!({ "name": name, "datatype": "BYTES", "shape": [1, data.len()], "data": data })
}

/// A tensor of numbers: one row of several.
pub(crate) fn row_of_numbers(name: &str, data: &[f64]) -> Value {
    json!({ "name": name, "datatype": "FP64", "shape": [1, data.len()], "data": data })
}

/// A tensor of texts, one a row.
pub(crate) fn texts(name: &str, data: &[String]) -> Value {
    json!({ "name": name, "datatype": "BYTES", "shape": [data.len()], "data": data })
}

/// A tensor of numbers, one a row.
pub(crate) fn numbers(name: &str, data: &[f64]) -> Value {
    json!({ "name": name, "datatype": "FP64", "shape": [data.len()], "data": data })
}

/// The data of a request's input.
pub(crate) fn input<'a>(request: &'a Value, name: &str) -> Result<&'a Vec<Value>, String> {
    let inputs = request["inputs"].as_array().ok_or("`inputs` is missing")?;
    let input = inputs.iter().find(|input| input["name"] == name).ok_or(format!("the input {name} is missing"))?;
    input["data"].as_array().ok_or(format!("the input {name} has no data"))
}

/// The data of a request's input, as texts.
pub(crate) fn input_texts(request: &Value, name: &str) -> Result<Vec<String>, String> {
    let text =
        |value: &Value| value.as_str().map(str::to_owned).ok_or(format!("{name} holds something other than text"));
    input(request, name)?.iter().map(text).collect()
}

/// The data of a request's input, as numbers.
pub(crate) fn input_numbers(request: &Value, name: &str) -> Result<Vec<f64>, String> {
    let number = |value: &Value| value.as_f64().ok_or(format!("{name} holds something other than numbers"));
    input(request, name)?.iter().map(number).collect()
}

/// What a feature store holds: features by entity.
pub(crate) struct Features {
    pub(crate) view: &'static str,
    pub(crate) entity: &'static str,
    pub(crate) names: &'static [&'static str],
    pub(crate) values: BTreeMap<String, Vec<f64>>,
}

/// Serves features as Feast does: a column per feature, a value per entity.
pub(crate) fn feast(features: Features) -> Router {
    Router::new()
        .route("/get-online-features", post(online))
        .route("/health", get(async || Json(json!({}))))
        .with_state(Arc::new(features))
}

async fn online(State(features): State<Arc<Features>>, Json(request): Json<Value>) -> Response {
    match columns(&features, &request) {
        Ok(answer) => Json(answer).into_response(),
        Err(detail) => problem(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "detail": detail })),
    }
}

fn columns(features: &Features, request: &Value) -> Result<Value, String> {
    let keys = request["entities"][features.entity].as_array();
    let keys = keys.ok_or(format!("the entity {} is missing", features.entity))?;
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let stamps = vec![now; keys.len()];
    let mut names = vec![features.entity.to_owned()];
    let mut results =
        vec![json!({ "values": keys, "statuses": vec!["PRESENT"; keys.len()], "event_timestamps": stamps })];
    for reference in request["features"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let short = reference.strip_prefix(features.view).and_then(|rest| rest.strip_prefix(':')).unwrap_or(reference);
        let column =
            features.names.iter().position(|name| *name == short).ok_or(format!("{reference} is not known"))?;
        let value = |key: &Value| features.values.get(key.as_str().unwrap_or_default()).map(|row| row[column]);
        let values: Vec<Option<f64>> = keys.iter().map(value).collect();
        let status = |value: &Option<f64>| if value.is_some() { "PRESENT" } else { "NOT_FOUND" };
        let statuses: Vec<&str> = values.iter().map(status).collect();
        names.push(if request["full_feature_names"] == true {
            format!("{}__{short}", features.view)
        } else {
            short.to_owned()
        });
        results.push(json!({ "values": values, "statuses": statuses, "event_timestamps": stamps }));
    }
    Ok(json!({ "metadata": { "feature_names": names }, "results": results }))
}

fn problem(status: StatusCode, body: &Value) -> Response {
    (status, Json(body.clone())).into_response()
}
