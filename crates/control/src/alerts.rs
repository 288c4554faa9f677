//! Alerts from elsewhere: the body of Alertmanager's webhook, version 4.
//!
//! Fields that are not known are passed over: Alertmanager adds some from time to time. A body is taken whole or not
//! at all; an error says which alert and which field. Times before 1970 are 1970: Go writes the year 1 for "none".

use std::collections::BTreeMap;

use mainstay_core::time::Time;
use serde_json::{Map, Value};

/// Longest body, in bytes.
pub const BODY_MAX: usize = 1 << 20;
/// Most alerts of a body.
pub const ALERTS_MAX: usize = 10_000;
/// Most labels, and most annotations, of an alert.
pub const LABELS_MAX: usize = 64;
/// Longest name of a label or an annotation, and longest fingerprint, in bytes. Longer ones are refused.
pub const NAME_MAX: usize = 256;
/// Longest value, in bytes. Longer ones of labels are refused: labels say which alert it is. Other texts are clipped.
pub const VALUE_MAX: usize = 4 << 10;

/// What Alertmanager tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Webhook {
    /// What its alerts were grouped by.
    pub group_key: String,
    /// Whether any of its alerts fires.
    pub status: Status,
    /// The receiver's name in Alertmanager's config.
    pub receiver: String,
    /// The alerts.
    pub alerts: Vec<Alert>,
    /// How many more there are that Alertmanager left out.
    pub truncated: u64,
}

/// Whether a group of alerts fires.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// At least one of them does.
    Firing,
    /// None does any more.
    Resolved,
}

/// One alert.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alert {
    /// Whether it fires.
    pub firing: bool,
    /// What it is about: they say which alert it is.
    pub labels: BTreeMap<String, String>,
    /// What is said about it.
    pub annotations: BTreeMap<String, String>,
    /// Since when it fires.
    pub starts_at: Time,
    /// Until when it fires, or fired.
    pub ends_at: Option<Time>,
    /// The same for all alerts with the same labels: Alertmanager's own, or computed as Alertmanager does.
    pub fingerprint: String,
    /// Where it came from, as a link.
    pub generator: Option<String>,
}

/// Why a body is none of Alertmanager's webhook.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AlertsError {
    /// Longer than [`BODY_MAX`].
    #[error("the body is longer than {BODY_MAX} bytes")]
    TooLong,
    /// It is no JSON.
    #[error("the body is no JSON: {0}")]
    Json(String),
    /// It is another version's.
    #[error("`version` must be \"4\"")]
    Version,
    /// A field of the body is not as it must be.
    #[error("`{field}` {what}")]
    Field {
        /// The field.
        field: String,
        /// What is wrong with it.
        what: String,
    },
    /// A field of an alert is not as it must be.
    #[error("alert {alert}: `{field}` {what}")]
    Alert {
        /// Which alert, from 1.
        alert: usize,
        /// The field.
        field: String,
        /// What is wrong with it.
        what: String,
    },
}

/// A field, and what is wrong with it.
struct Fault(String, String);

fn fault<T>(field: &str, what: impl Into<String>) -> Result<T, Fault> {
    Err(Fault(field.to_owned(), what.into()))
}

/// Reads a body.
///
/// ```
/// let body = br#"{"version":"4","groupKey":"{}:{}","status":"firing","receiver":"mainstay","alerts":[
///   {"status":"firing","labels":{"alertname":"Slow"},"startsAt":"2026-03-01T12:00:00Z","endsAt":"0001-01-01T00:00:00Z"}]}"#;
/// let webhook = mainstay_control::alerts::read(body).unwrap();
/// assert!(webhook.alerts[0].firing && webhook.alerts[0].ends_at.is_none());
/// ```
pub fn read(body: &[u8]) -> Result<Webhook, AlertsError> {
    if body.len() > BODY_MAX {
        return Err(AlertsError::TooLong);
    }
    let value: Value = serde_json::from_slice(body).map_err(|error| AlertsError::Json(error.to_string()))?;
    if value.get("version").and_then(Value::as_str) != Some("4") {
        return Err(AlertsError::Version);
    }
    webhook(&value)
}

fn webhook(value: &Value) -> Result<Webhook, AlertsError> {
    let whole = |Fault(field, what)| AlertsError::Field { field, what };
    let empty = Map::new();
    let object = value.as_object().unwrap_or(&empty);
    let list = match object.get("alerts") {
        Some(Value::Array(list)) if list.len() <= ALERTS_MAX => Ok(list),
        Some(Value::Array(list)) => fault("alerts", format!("has {} alerts; at most {ALERTS_MAX}", list.len())),
        Some(_) => fault("alerts", "is no list"),
        None => fault("alerts", "is missing"),
    };
    let truncated = match object.get("truncatedAlerts") {
        None | Some(Value::Null) => Ok(0),
        Some(number) => number.as_u64().map_or_else(|| fault("truncatedAlerts", "is no whole number"), Ok),
    };
    let mut alerts = Vec::new();
    for (n, value) in list.map_err(whole)?.iter().enumerate() {
        let alert = alert(value).map_err(|Fault(field, what)| AlertsError::Alert { alert: n + 1, field, what })?;
        alerts.push(alert);
    }
    Ok(Webhook {
        group_key: clipped(text(object, "groupKey").map_err(whole)?),
        status: if firing(object).map_err(whole)? { Status::Firing } else { Status::Resolved },
        receiver: clipped(text(object, "receiver").map_err(whole)?),
        alerts,
        truncated: truncated.map_err(whole)?,
    })
}

fn alert(value: &Value) -> Result<Alert, Fault> {
    let Some(object) = value.as_object() else { return fault("alerts", "holds what is no object") };
    let labels = labels(object)?;
    if labels.is_empty() {
        return fault("labels", "is empty");
    }
    let fingerprint = match optional(object, "fingerprint")?.unwrap_or_default() {
        "" => fingerprint(&labels),
        text if text.len() <= NAME_MAX => text.to_owned(),
        _ => return fault("fingerprint", format!("is longer than {NAME_MAX} bytes")),
    };
    Ok(Alert {
        firing: firing(object)?,
        annotations: annotations(object)?,
        starts_at: time("startsAt", text(object, "startsAt")?)?.unwrap_or(Time::ZERO),
        ends_at: optional(object, "endsAt")?.filter(|it| !it.is_empty()).map_or(Ok(None), |it| time("endsAt", it))?,
        fingerprint,
        generator: optional(object, "generatorURL")?.filter(|it| !it.is_empty()).map(clipped),
        labels,
    })
}

fn firing(object: &Map<String, Value>) -> Result<bool, Fault> {
    match text(object, "status")? {
        "firing" => Ok(true),
        "resolved" => Ok(false),
        _ => fault("status", "is neither \"firing\" nor \"resolved\""),
    }
}

fn labels(object: &Map<String, Value>) -> Result<BTreeMap<String, String>, Fault> {
    let mut labels = BTreeMap::new();
    for (name, value) in pairs(object, "labels")? {
        if value.len() > VALUE_MAX {
            return fault(&format!("labels.{name}"), format!("is longer than {VALUE_MAX} bytes"));
        }
        // To Alertmanager an empty label is one that is not there.
        if !value.is_empty() {
            labels.insert(name, value.to_owned());
        }
    }
    Ok(labels)
}

fn annotations(object: &Map<String, Value>) -> Result<BTreeMap<String, String>, Fault> {
    if matches!(object.get("annotations"), None | Some(Value::Null)) {
        return Ok(BTreeMap::new());
    }
    Ok(pairs(object, "annotations")?.into_iter().map(|(name, value)| (name, clipped(value))).collect())
}

/// Names and texts of an object in a field, within the bounds of names.
fn pairs<'a>(object: &'a Map<String, Value>, field: &str) -> Result<Vec<(String, &'a str)>, Fault> {
    let map = match object.get(field) {
        Some(Value::Object(map)) => map,
        Some(_) => return fault(field, "is no object"),
        None => return fault(field, "is missing"),
    };
    if map.len() > LABELS_MAX {
        return fault(field, format!("has {} names; at most {LABELS_MAX}", map.len()));
    }
    let mut pairs = Vec::with_capacity(map.len());
    for (name, value) in map {
        if name.is_empty() || name.len() > NAME_MAX {
            return fault(field, format!("has a name that is empty or longer than {NAME_MAX} bytes"));
        }
        let Some(value) = value.as_str() else { return fault(&format!("{field}.{name}"), "is no text") };
        pairs.push((name.clone(), value));
    }
    Ok(pairs)
}

fn text<'a>(object: &'a Map<String, Value>, field: &str) -> Result<&'a str, Fault> {
    optional(object, field)?.map_or_else(|| fault(field, "is missing"), Ok)
}

fn optional<'a>(object: &'a Map<String, Value>, field: &str) -> Result<Option<&'a str>, Fault> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => fault(field, "is no text"),
    }
}

/// A time of RFC 3339; `None` for Go's zero time.
fn time(field: &str, text: &str) -> Result<Option<Time>, Fault> {
    let Ok(at) = text.parse::<jiff::Timestamp>() else { return fault(field, "is no time of RFC 3339") };
    if at == GO_ZERO.parse().expect("a time") {
        return Ok(None);
    }
    let nanos = at.as_nanosecond().max(0);
    Ok(Some(Time::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))))
}

/// What Go writes for no time.
const GO_ZERO: &str = "0001-01-01T00:00:00Z";

/// At most [`VALUE_MAX`] bytes, cut between characters, with an ellipsis where something is missing.
fn clipped(text: &str) -> String {
    if text.len() <= VALUE_MAX {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(VALUE_MAX - '…'.len_utf8())])
}

/// As Prometheus and Alertmanager compute it: FNV-1a in 64 bits over names in order, values, and 0xff after each.
fn fingerprint(labels: &BTreeMap<String, String>) -> String {
    let mut sum: u64 = 0xcbf2_9ce4_8422_2325;
    for (name, value) in labels {
        for byte in name.bytes().chain([0xff]).chain(value.bytes()).chain([0xff]) {
            sum = (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{sum:016x}")
}
