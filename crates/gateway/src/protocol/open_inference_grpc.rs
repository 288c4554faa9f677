//! Open Inference Protocol v2 over gRPC: as much of its messages as is needed. Tensors stay as they are.
//!
//! Fields 1, 2 and 3 of a request for an inference are the model, its version and the request's id, and so they are of an answer; requests
//! about a model have the first two of them as well.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use prost::encoding::{DecodeContext, decode_key, skip_field, string};
use prost::{DecodeError, Message};
use serde_json::Value;

use super::open_inference::{MAX_ROWS, Tensor, class, tensor};
use super::{AnswerContext, BadRequest, Facts, RenderError, Rendered, grpc};

const MODEL: u32 = 1;
const VERSION: u32 = 2;
const ID: u32 = 3;
/// A request's `raw_input_contents`.
const RAW: u32 = 7;

/// What is asked, by a path's method.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rpc {
    /// `ModelInfer`: one request, one answer.
    Infer,
    /// `ModelStreamInfer`: requests and answers as they come.
    StreamInfer,
    /// About a model: `ModelReady`, `ModelMetadata`, `ModelConfig`, `ModelStatistics`.
    OfModel,
    /// Anything else: one request, one answer, passed on as it is.
    Other,
}

impl Rpc {
    /// The method that a path ends in.
    ///
    /// ```
    /// use mainstay_gateway::protocol::Rpc;
    ///
    /// assert_eq!(Rpc::of("/inference.GRPCInferenceService/ModelInfer"), Rpc::Infer);
    /// assert_eq!(Rpc::of("/inference.GRPCInferenceService/ServerLive"), Rpc::Other);
    /// ```
    pub fn of(path: &str) -> Rpc {
        match path.rsplit('/').next().unwrap_or_default() {
            "ModelInfer" => Rpc::Infer,
            "ModelStreamInfer" => Rpc::StreamInfer,
            "ModelReady" | "ModelMetadata" | "ModelConfig" | "ModelStatistics" => Rpc::OfModel,
            _ => Rpc::Other,
        }
    }

    /// Whether its requests name a model.
    pub const fn names_model(self) -> bool {
        match self {
            Rpc::Infer | Rpc::StreamInfer | Rpc::OfModel => true,
            Rpc::Other => false,
        }
    }
}

/// What is read of a request; prost steps over all else.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, tag = "1")]
    model_name: String,
    #[prost(string, tag = "3")]
    id: String,
    #[prost(btree_map = "string, message", tag = "4")]
    parameters: BTreeMap<String, Parameter>,
    #[prost(message, repeated, tag = "5")]
    inputs: Vec<Input>,
}

#[derive(Clone, PartialEq, Message)]
struct Parameter {
    #[prost(int64, optional, tag = "2")]
    int64: Option<i64>,
    #[prost(uint64, optional, tag = "5")]
    uint64: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct Input {
    #[prost(int64, repeated, tag = "3")]
    shape: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(string, tag = "1")]
    model_name: String,
    #[prost(string, tag = "2")]
    model_version: String,
    #[prost(string, tag = "3")]
    id: String,
    #[prost(message, repeated, tag = "5")]
    outputs: Vec<Output>,
    #[prost(bytes = "vec", repeated, tag = "6")]
    raw: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Output {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    datatype: String,
    #[prost(int64, repeated, tag = "3")]
    shape: Vec<i64>,
    #[prost(message, optional, tag = "5")]
    contents: Option<Contents>,
}

#[derive(Clone, PartialEq, Message)]
struct Contents {
    #[prost(bool, repeated, tag = "1")]
    bools: Vec<bool>,
    #[prost(int32, repeated, tag = "2")]
    ints: Vec<i32>,
    #[prost(int64, repeated, tag = "3")]
    int64s: Vec<i64>,
    #[prost(uint32, repeated, tag = "4")]
    uints: Vec<u32>,
    #[prost(uint64, repeated, tag = "5")]
    uint64s: Vec<u64>,
    #[prost(float, repeated, tag = "6")]
    floats: Vec<f32>,
    #[prost(double, repeated, tag = "7")]
    doubles: Vec<f64>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    texts: Vec<Vec<u8>>,
}

/// The answer to "which version gave this".
#[derive(Clone, PartialEq, Message)]
struct Said {
    #[prost(string, tag = "2")]
    model_version: String,
}

/// The facts of a request for an inference; of a stream, of its first one. A compressed message keeps them to itself.
pub(super) fn facts(body: &[u8]) -> Result<Facts, BadRequest> {
    let Some(message) = grpc::first_message(body) else { return Ok(Facts::default()) };
    let request = Request::decode(message).map_err(|_| BadRequest::Protobuf)?;
    let number = |name: &str| {
        let parameter = request.parameters.get(name)?;
        parameter.uint64.or_else(|| parameter.int64.and_then(|number| u64::try_from(number).ok()))
    };
    Ok(Facts {
        priority: number("priority").and_then(class),
        timeout: number("timeout").filter(|micros| *micros > 0).map(Duration::from_micros),
        id: Some(request.id).filter(|id| !id.is_empty()),
        ..Facts::default()
    })
}

/// The fields of a message whose numbers are not among `left_out`, as they are.
fn fields<'a>(message: &'a [u8], left_out: &[u32]) -> Result<Vec<&'a [u8]>, DecodeError> {
    let mut rest = message;
    let mut kept = Vec::new();
    while !rest.is_empty() {
        let from = rest;
        let (tag, wire) = decode_key(&mut rest)?;
        skip_field(wire, tag, &mut rest, DecodeContext::default())?;
        if !left_out.contains(&tag) {
            kept.push(&from[..from.len() - rest.len()]);
        }
    }
    Ok(kept)
}

/// A request for another model; every other byte as it was. Without a version the backend chooses.
pub fn request_with_model(body: &[u8], model: &str, version: Option<&str>) -> Result<Bytes, BadRequest> {
    let message = grpc::first_message(body).filter(|_| grpc::is_one_message(body)).ok_or(BadRequest::Protobuf)?;
    let kept = fields(message, &[MODEL, VERSION]).map_err(|_| BadRequest::Protobuf)?;
    let mut changed = Vec::with_capacity(message.len() + model.len() + version.map_or(0, str::len) + 16);
    string::encode(MODEL, &model.to_owned(), &mut changed);
    if let Some(version) = version {
        string::encode(VERSION, &version.to_owned(), &mut changed);
    }
    for field in kept {
        changed.extend_from_slice(field);
    }
    Ok(grpc::frame(&changed))
}

/// A question about a model, or about a server that has none.
pub(crate) fn question(model: Option<&str>, version: Option<&str>) -> Bytes {
    let mut asked = Vec::new();
    for (tag, value) in [(MODEL, model), (VERSION, version)] {
        if let Some(value) = value {
            string::encode(tag, &value.to_owned(), &mut asked);
        }
    }
    grpc::frame(&asked)
}

/// The answer yes to "is it live", "is it ready".
pub(crate) fn yes() -> Bytes {
    grpc::frame(&[YES_KEY, 1])
}

/// Field 1, a number.
const YES_KEY: u8 = 1 << 3;

/// Whether an answer says yes. That of gRPC's own health protocol says so with the same bytes: 1 is SERVING.
pub(crate) fn says_yes(body: &[u8]) -> bool {
    grpc::first_message(body).is_some_and(|message| message.starts_with(&[YES_KEY, 1]))
}

/// What of a request makes it the same as another: all but its id. `None`: it cannot be told.
pub(crate) fn identity(body: &[u8]) -> Option<Vec<u8>> {
    let message = grpc::first_message(body).filter(|_| grpc::is_one_message(body))?;
    Some(fields(message, &[ID]).ok()?.concat())
}

/// An answer under another id.
pub(crate) fn answer_with_id(body: &Bytes, id: Option<&str>) -> Bytes {
    let Some(message) = grpc::first_message(body) else { return body.clone() };
    let Ok(kept) = fields(message, &[ID]) else { return body.clone() };
    let mut changed = kept.concat();
    if let Some(id) = id {
        string::encode(ID, &id.to_owned(), &mut changed);
    }
    grpc::frame(&changed)
}

/// Whether an answer can be kept and given under another id.
pub(crate) fn can_be_kept(body: &[u8]) -> bool {
    grpc::is_one_message(body) && grpc::first_message(body).is_some_and(|message| fields(message, &[]).is_ok())
}

/// Whether an answer to an inference says that another version of the model gave it. One that names none is believed.
pub fn is_other_version(body: &[u8], version: &str) -> bool {
    let said = grpc::first_message(body).and_then(|message| Said::decode(message).ok());
    said.is_some_and(|said| !said.model_version.is_empty() && said.model_version != version)
}

/// Renders a local answer to `ModelInfer`. Who sends raw contents gets them (Triton's client reads nothing else), others `contents`. There
/// are no 16-bit floats in either.
pub(super) fn render(outputs: &[Value], context: &AnswerContext<'_>) -> Result<Rendered, RenderError> {
    // A local answer is given to whatever the request is: one that cannot be read has no id and one row.
    let message = grpc::first_message(context.request_body).unwrap_or_default();
    let request = Request::decode(message).unwrap_or_default();
    let is_raw = fields(message, &[RAW])
        .is_ok_and(|others| others.iter().map(|field| field.len()).sum::<usize>() < message.len());
    let rows = batch_rows(&request.inputs, context.request_body.len()).unwrap_or(1);
    if rows > MAX_ROWS {
        return Err(RenderError::TooManyRows { max: MAX_ROWS });
    }
    let mut raw = Vec::new();
    let mut into = |output| written(output, rows, is_raw.then_some(&mut raw));
    let outputs = outputs.iter().enumerate().map(|(index, output)| into(output).ok_or(RenderError::Output { index }));
    let outputs: Vec<Output> = outputs.collect::<Result<_, _>>()?;
    let model = if request.model_name.is_empty() { context.model.to_owned() } else { request.model_name };
    let response = Response {
        model_name: model,
        model_version: context.version.unwrap_or_default().to_owned(),
        id: request.id,
        outputs,
        raw,
    };
    let body = grpc::frame(&response.encode_to_vec());
    Ok(Rendered { status: StatusCode::OK, content_type: grpc::CONTENT_TYPE, body })
}

/// The first dimension of the inputs where all of them agree on it. A dimension that claims more rows than the body has bytes is a lie
/// and counts as none.
fn batch_rows(inputs: &[Input], body_length: usize) -> Option<usize> {
    let first = inputs.first()?.shape.first().copied()?;
    let same = inputs.iter().all(|input| input.shape.first() == Some(&first));
    usize::try_from(first).ok().filter(|rows| same && *rows <= body_length)
}

/// An output with its values; with `raw` they go there.
fn written(output: &Value, rows: usize, raw: Option<&mut Vec<Vec<u8>>>) -> Option<Output> {
    let (name, datatype, shape, data): (&str, &str, Vec<i64>, Vec<&Value>) = match tensor(output, rows)? {
        Tensor::AsWritten(whole) => {
            let shape = whole.get("shape")?.as_array()?.iter().map(Value::as_i64).collect::<Option<_>>()?;
            let mut data = Vec::new();
            flatten(whole.get("data")?, &mut data);
            (whole.get("name")?.as_str()?, whole.get("datatype")?.as_str()?, shape, data)
        }
        Tensor::PerRow { name, shape, datatype, data } => {
            (name, datatype, shape.into_iter().map(i64::try_from).collect::<Result<_, _>>().ok()?, data)
        }
    };
    let contents = match raw {
        Some(raw) => {
            raw.push(little_endian(datatype, &data)?);
            None
        }
        None => Some(contents(datatype, &data)?),
    };
    Some(Output { name: name.to_owned(), datatype: datatype.to_owned(), shape, contents })
}

/// The values of nested lists, row by row.
fn flatten<'a>(value: &'a Value, into: &mut Vec<&'a Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| flatten(item, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => into.push(value),
    }
}

fn contents(datatype: &str, data: &[&Value]) -> Option<Contents> {
    fn all<T>(data: &[&Value], read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
        data.iter().map(|value| read(value)).collect()
    }
    let mut contents = Contents::default();
    match datatype {
        "BOOL" => contents.bools = all(data, Value::as_bool)?,
        "INT8" | "INT16" | "INT32" => contents.ints = all(data, |value| value.as_i64()?.try_into().ok())?,
        "INT64" => contents.int64s = all(data, Value::as_i64)?,
        "UINT8" | "UINT16" | "UINT32" => contents.uints = all(data, |value| value.as_u64()?.try_into().ok())?,
        "UINT64" => contents.uint64s = all(data, Value::as_u64)?,
        "FP32" => contents.floats = all(data, |value| Some(value.as_f64()? as f32))?,
        "FP64" => contents.doubles = all(data, Value::as_f64)?,
        "BYTES" => contents.texts = all(data, |value| Some(value.as_str()?.as_bytes().to_vec()))?,
        _ => return None,
    }
    Some(contents)
}

/// Values one after the other, as raw contents have them; texts after their length in four bytes.
fn little_endian(datatype: &str, data: &[&Value]) -> Option<Vec<u8>> {
    fn all<const N: usize>(data: &[&Value], read: impl Fn(&Value) -> Option<[u8; N]>) -> Option<Vec<u8>> {
        let each: Option<Vec<[u8; N]>> = data.iter().map(|value| read(value)).collect();
        Some(each?.concat())
    }
    match datatype {
        "BOOL" => all(data, |value| Some([u8::from(value.as_bool()?)])),
        "INT8" => all(data, |value| Some(i8::try_from(value.as_i64()?).ok()?.to_le_bytes())),
        "INT16" => all(data, |value| Some(i16::try_from(value.as_i64()?).ok()?.to_le_bytes())),
        "INT32" => all(data, |value| Some(i32::try_from(value.as_i64()?).ok()?.to_le_bytes())),
        "INT64" => all(data, |value| Some(value.as_i64()?.to_le_bytes())),
        "UINT8" => all(data, |value| Some(u8::try_from(value.as_u64()?).ok()?.to_le_bytes())),
        "UINT16" => all(data, |value| Some(u16::try_from(value.as_u64()?).ok()?.to_le_bytes())),
        "UINT32" => all(data, |value| Some(u32::try_from(value.as_u64()?).ok()?.to_le_bytes())),
        "UINT64" => all(data, |value| Some(value.as_u64()?.to_le_bytes())),
        "FP32" => all(data, |value| Some((value.as_f64()? as f32).to_le_bytes())),
        "FP64" => all(data, |value| Some(value.as_f64()?.to_le_bytes())),
        "BYTES" => {
            let mut texts = Vec::new();
            for value in data {
                let text = value.as_str()?.as_bytes();
                texts.extend_from_slice(&u32::try_from(text.len()).ok()?.to_le_bytes());
                texts.extend_from_slice(text);
            }
            Some(texts)
        }
        _ => None,
    }
}
