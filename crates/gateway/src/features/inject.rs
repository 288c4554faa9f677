//! Feature values into the model's request, by splicing: every other byte of it stays as it was.

use std::io::Write;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Map, Value};

use super::retrieved::Retrieved;
use crate::json::{self, JsonError, Pointer};
use crate::protocol::is_binary;

/// Why values cannot be put into a request.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InjectError {
    /// Triton's binary extension: the body's lengths are fixed by a header.
    #[error("features cannot be put into a request with binary data")]
    Binary,
    /// The request is not JSON.
    #[error("the request's body is {0}")]
    Json(#[from] JsonError),
    /// The request has no place for them.
    #[error("the request has no {what} at {place} to put features into")]
    NoPlace {
        /// `object` or `array`.
        what: &'static str,
        /// A JSON pointer.
        place: String,
    },
    /// A value is missing.
    #[error("feature `{0}` has no value")]
    Missing(String),
    /// A value is not of the tensor's datatype.
    #[error("feature `{reference}` has the value {value}, which does not fit {datatype}")]
    Datatype {
        /// The reference.
        reference: String,
        /// The value's start.
        value: String,
        /// The tensor's datatype.
        datatype: &'static str,
    },
}

/// Where the values go.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Tensor { input: String, datatype: Datatype },
    Member { parent: Pointer, whole: Pointer, key: String },
}

impl Target {
    pub(super) fn tensor(input: &str, datatype: &str) -> Option<Target> {
        Some(Target::Tensor { input: input.to_owned(), datatype: Datatype::parse(datatype)? })
    }

    pub(super) fn pointer(pointer: &Pointer) -> Option<Target> {
        let (parent, key) = pointer.split_last()?;
        Some(Target::Member { parent, whole: pointer.clone(), key: key.to_owned() })
    }

    pub(super) fn inject(&self, headers: &HeaderMap, body: &Bytes, features: &Retrieved) -> Result<Bytes, InjectError> {
        if is_binary(headers) {
            return Err(InjectError::Binary);
        }
        match self {
            Target::Tensor { input, datatype } => put_tensor(body, &tensor(input, *datatype, features)?, input),
            Target::Member { parent, whole, key } => {
                let object = Value::Object(by_reference(features)).to_string();
                put_member(body, parent, whole, key, &object)
            }
        }
    }
}

/// Replaces the input of that name, or puts the tensor behind the others.
fn put_tensor(body: &[u8], tensor: &[u8], input: &str) -> Result<Bytes, InjectError> {
    let no_place = || InjectError::NoPlace { what: "array", place: "/inputs".to_owned() };
    let [inputs] = json::fields(body, ["inputs"])?;
    let inputs = inputs.ok_or_else(no_place)?;
    for element in json::elements(inputs.get().as_bytes())?.ok_or_else(no_place)? {
        let [name] = json::fields(element.get().as_bytes(), ["name"])?;
        if name.and_then(json::string).is_some_and(|name| name == input) {
            return Ok(json::splice(body, json::span(body, element), &[tensor]));
        }
    }
    let end = json::span(body, inputs).end - 1;
    let is_empty = json::front(inputs.get().as_bytes()).is_none_or(|(_, is_empty)| is_empty);
    let comma: &[u8] = if is_empty { b"" } else { b"," };
    Ok(json::splice(body, end..end, &[comma, tensor]))
}

/// Replaces the member, or puts it before the others of its parent.
fn put_member(body: &[u8], parent: &Pointer, whole: &Pointer, key: &str, object: &str) -> Result<Bytes, InjectError> {
    if let Some(old) = json::find(body, whole)? {
        return Ok(json::splice(body, json::span(body, old), &[object.as_bytes()]));
    }
    let holder = json::find(body, parent)?.filter(|holder| holder.get().starts_with('{'));
    let holder = holder.ok_or_else(|| InjectError::NoPlace { what: "object", place: parent.to_string() })?;
    let (front, is_empty) = json::front(holder.get().as_bytes()).unwrap_or((1, true));
    let at = json::span(body, holder).start + front;
    let comma: &[u8] = if is_empty { b"" } else { b"," };
    let key = Value::from(key).to_string();
    Ok(json::splice(body, at..at, &[key.as_bytes(), b":", object.as_bytes(), comma]))
}

/// `{ref: value}`, for a batch `{ref: [value, ..]}`.
fn by_reference(features: &Retrieved) -> Map<String, Value> {
    let columns = features.refs().iter().enumerate();
    let value = |column: usize| {
        let values = features.values().iter().skip(column).step_by(features.refs().len());
        let mut values: Vec<Value> = values.map(|value| value.clone().unwrap_or_default()).collect();
        if features.rows() == 1 { values.pop().unwrap_or_default() } else { Value::Array(values) }
    };
    columns.map(|(column, name)| (name.clone(), value(column))).collect()
}

fn tensor(input: &str, datatype: Datatype, features: &Retrieved) -> Result<Vec<u8>, InjectError> {
    let (rows, columns) = (features.rows(), features.refs().len());
    let mut out = Vec::with_capacity(96 + features.values().len() * 20);
    let written: std::io::Result<()> = (|| {
        out.write_all(b"{\"name\":")?;
        serde_json::to_writer(&mut out, input)?;
        write!(out, ",\"shape\":[{rows},{columns}],\"datatype\":\"{}\",\"data\":[", datatype.name())
    })();
    written.expect("writing to memory does not fail");
    for (at, value) in features.values().iter().enumerate() {
        let reference = &features.refs()[at % columns];
        let value = value.as_ref().ok_or_else(|| InjectError::Missing(reference.clone()))?;
        if at > 0 {
            out.push(b',');
        }
        if !datatype.write(value, &mut out) {
            let value = value.to_string().chars().take(40).collect();
            return Err(InjectError::Datatype { reference: reference.clone(), value, datatype: datatype.name() });
        }
    }
    out.extend_from_slice(b"]}");
    Ok(out)
}

/// The datatypes of the Open Inference Protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Datatype {
    Bool,
    Bytes,
    Signed(u8),
    Unsigned(u8),
    Float(Float),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Float {
    Half,
    Brain,
    Single,
    Double,
}

impl Datatype {
    const ALL: [Datatype; 14] = [
        Datatype::Bool,
        Datatype::Bytes,
        Datatype::Signed(8),
        Datatype::Signed(16),
        Datatype::Signed(32),
        Datatype::Signed(64),
        Datatype::Unsigned(8),
        Datatype::Unsigned(16),
        Datatype::Unsigned(32),
        Datatype::Unsigned(64),
        Datatype::Float(Float::Half),
        Datatype::Float(Float::Brain),
        Datatype::Float(Float::Single),
        Datatype::Float(Float::Double),
    ];

    fn parse(name: &str) -> Option<Datatype> {
        Datatype::ALL.into_iter().find(|datatype| datatype.name() == name)
    }

    const fn name(self) -> &'static str {
        match self {
            Datatype::Bool => "BOOL",
            Datatype::Bytes => "BYTES",
            Datatype::Signed(8) => "INT8",
            Datatype::Signed(16) => "INT16",
            Datatype::Signed(32) => "INT32",
            Datatype::Signed(_) => "INT64",
            Datatype::Unsigned(8) => "UINT8",
            Datatype::Unsigned(16) => "UINT16",
            Datatype::Unsigned(32) => "UINT32",
            Datatype::Unsigned(_) => "UINT64",
            Datatype::Float(Float::Half) => "FP16",
            Datatype::Float(Float::Brain) => "BF16",
            Datatype::Float(Float::Single) => "FP32",
            Datatype::Float(Float::Double) => "FP64",
        }
    }

    /// Writes the value as JSON; `false` where it does not fit.
    fn write(self, value: &Value, out: &mut Vec<u8>) -> bool {
        match (self, value) {
            (Datatype::Bool, Value::Bool(_)) | (Datatype::Bytes, Value::String(_)) => put(out, value),
            (Datatype::Signed(bits), Value::Number(number)) => match whole(number) {
                Some(number) if (-(1i128 << (bits - 1))..1i128 << (bits - 1)).contains(&number) => put(out, &number),
                Some(_) | None => false,
            },
            (Datatype::Unsigned(bits), Value::Number(number)) => match whole(number) {
                Some(number) if (0..1i128 << bits).contains(&number) => put(out, &number),
                Some(_) | None => false,
            },
            (Datatype::Float(float), Value::Number(number)) => {
                number.as_f64().is_some_and(|number| number.abs() <= float.max()) && put(out, value)
            }
            (
                Datatype::Bool | Datatype::Bytes | Datatype::Signed(_) | Datatype::Unsigned(_) | Datatype::Float(_),
                _,
            ) => false,
        }
    }
}

impl Float {
    const fn max(self) -> f64 {
        match self {
            Float::Half => 65504.0,
            Float::Brain => 3.389_531_389_251_535_5e38,
            Float::Single => f32::MAX as f64,
            Float::Double => f64::MAX,
        }
    }
}

/// The number where it is whole: `3` and `3.0`.
fn whole(number: &serde_json::Number) -> Option<i128> {
    let exact = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    // Below 2^63 in magnitude, so that the cast is exact for a whole number.
    let float =
        || number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9.2e18).map(|float| float as i128);
    exact.or_else(float)
}

fn put(out: &mut Vec<u8>, value: &impl serde::Serialize) -> bool {
    serde_json::to_writer(out, value).is_ok()
}
