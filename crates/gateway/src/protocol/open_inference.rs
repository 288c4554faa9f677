//! Open Inference Protocol v2 over REST.

use std::time::Duration;

use http::StatusCode;
use mainstay_core::route::Class;
use memchr::memmem::Finder;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{AnswerContext, BadRequest, Facts, Names, RenderError, Rendered, json_part, owned_string};
use crate::json;

/// Most rows of a batch that a local answer is given for.
pub(super) const MAX_ROWS: usize = 100_000;

pub(super) fn facts(body: &[u8]) -> Result<Facts, BadRequest> {
    static NAMES: Names = Names::new(|| vec![Finder::new("\"id\""), Finder::new("\"parameters\"")]);
    if !NAMES.may_be_in(body) {
        return Ok(Facts::default());
    }
    let [id, parameters] = json::fields(body, ["id", "parameters"])?;
    let [priority, timeout] = match parameters {
        Some(parameters) => json::fields(parameters.get().as_bytes(), ["priority", "timeout"])?,
        None => [None, None],
    };
    Ok(Facts {
        id: owned_string(id),
        priority: priority.and_then(json::unsigned).and_then(class),
        timeout: timeout.and_then(json::unsigned).filter(|micros| *micros > 0).map(Duration::from_micros),
        ..Facts::default()
    })
}

/// Triton's priorities start at 1, the highest; 0 means the model's default.
pub(super) fn class(priority: u64) -> Option<Class> {
    let number = priority.checked_sub(1)?.min(u64::from(Class::WORST.number()));
    Class::new(u8::try_from(number).ok()?)
}

pub(super) struct PathParts<'a> {
    head: &'a str,
    pub(super) model: &'a str,
    pub(super) version: Option<&'a str>,
    tail: &'a str,
}

/// `head/v2/models/` `model` [`/versions/` `version`] `/tail`.
pub(super) fn split_path(path: &str) -> Option<PathParts<'_>> {
    const MODELS: &str = "/v2/models/";
    let head_end = path.find(MODELS)? + MODELS.len();
    let (head, rest) = path.split_at(head_end);
    let (model, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (version, tail) = match rest.strip_prefix("/versions/") {
        Some(rest) => {
            let (version, tail) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            (Some(version), tail)
        }
        None => (None, rest),
    };
    Some(PathParts { head, model, version, tail })
}

pub(super) fn path_with_model(path: &str, model: &str, version: Option<&str>) -> String {
    match (split_path(path), version) {
        (Some(PathParts { head, tail, .. }), Some(version)) => format!("{head}{model}/versions/{version}{tail}"),
        (Some(PathParts { head, tail, .. }), None) => format!("{head}{model}{tail}"),
        (None, _) => path.to_owned(),
    }
}

pub(super) fn render(outputs: &[Value], context: &AnswerContext<'_>) -> Result<Rendered, RenderError> {
    let request = json_part(context.headers, context.request_body)?;
    // A local answer is given to whatever the request is: one that cannot be read has no id and one row.
    let [id, inputs] = json::fields(request, ["id", "inputs"]).unwrap_or_default();
    let rows = inputs.and_then(|inputs| batch_rows(inputs, context.request_body.len())).unwrap_or(1);
    if rows > MAX_ROWS {
        return Err(RenderError::TooManyRows { max: MAX_ROWS });
    }
    let outputs = outputs.iter().enumerate();
    let outputs = outputs.map(|(index, output)| tensor(output, rows).ok_or(RenderError::Output { index }));
    let response = Response {
        model_name: context.model,
        model_version: context.version,
        // An id with half a surrogate pair in it is a string to the letter, and none that could be given back.
        id: id.filter(|id| json::string(id).is_some()),
        outputs: outputs.collect::<Result<_, _>>()?,
    };
    let body = serde_json::to_vec(&response).expect("strings and JSON values are always JSON");
    Ok(Rendered::json(StatusCode::OK, body))
}

/// The first dimension of the inputs where all of them agree on it. A dimension that claims more rows than the body
/// has bytes is a lie and counts as none.
fn batch_rows(inputs: &RawValue, body_length: usize) -> Option<usize> {
    let mut rows = None;
    for input in json::elements(inputs.get().as_bytes()).ok()?? {
        let [shape] = json::fields(input.get().as_bytes(), ["shape"]).ok()?;
        let first = json::elements(shape?.get().as_bytes()).ok()??.first().copied().and_then(json::unsigned)?;
        if rows.is_some_and(|rows| rows != first) {
            return None;
        }
        rows = Some(first);
    }
    rows.and_then(|rows| usize::try_from(rows).ok()).filter(|rows| *rows <= body_length)
}

#[derive(Serialize)]
struct Response<'a> {
    model_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    outputs: Vec<Tensor<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Tensor<'a> {
    AsWritten(&'a Value),
    PerRow { name: &'a str, shape: Vec<usize>, datatype: &'a str, data: Vec<&'a Value> },
}

/// A full tensor as it is; `{name, value}` once per row. A value that is a list makes a matrix.
pub(super) fn tensor(output: &Value, rows: usize) -> Option<Tensor<'_>> {
    let output_fields = output.as_object()?;
    let name = output_fields.get("name")?.as_str()?;
    let Some(value) = output_fields.get("value") else {
        let whole = ["shape", "datatype", "data"].into_iter().all(|field| output_fields.contains_key(field));
        return whole.then_some(Tensor::AsWritten(output));
    };
    let row = match value {
        Value::Array(row) => row.as_slice(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            std::slice::from_ref(value)
        }
    };
    let datatype = match output_fields.get("datatype") {
        Some(datatype) => datatype.as_str()?,
        None => datatype(row)?,
    };
    let shape = if value.is_array() { vec![rows, row.len()] } else { vec![rows] };
    let length = row.len().checked_mul(rows).filter(|length| *length <= MAX_ROWS * 16)?;
    Some(Tensor::PerRow { name, shape, datatype, data: row.iter().cycle().take(length).collect() })
}

/// The datatype of some values; `None` where they have no common one.
pub(crate) fn datatype(row: &[Value]) -> Option<&'static str> {
    let all = |holds: fn(&Value) -> bool| !row.is_empty() && row.iter().all(holds);
    if all(Value::is_string) {
        Some("BYTES")
    } else if all(Value::is_boolean) {
        Some("BOOL")
    } else if all(Value::is_i64) {
        Some("INT64")
    } else if all(Value::is_number) {
        Some("FP64")
    } else {
        None
    }
}
