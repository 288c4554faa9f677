//! A feature store that speaks Feast's `/get-online-features`: column-major, with statuses and event timestamps.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::data::{MEASUREMENTS, Patient};
use super::site::{self, Answer, Handler};

/// The feature view that holds the worst values.
pub(super) const VIEW: &str = "tumour";

/// The entity key.
pub(super) const ENTITY: &str = "patient_id";

/// Longest body that is read.
const BODY_BYTES_MAX: usize = 64 << 10;

/// How long a healthy store takes.
const SERVICE_TIME: Duration = Duration::from_millis(1);

/// How long ago the values were computed.
const AGE: Duration = Duration::from_mins(15);

/// Feature references, `view:feature`, in the order of the stored values.
pub(super) fn references() -> impl Iterator<Item = String> {
    MEASUREMENTS.iter().map(|name| format!("{VIEW}:{name}_worst"))
}

/// The store: values by patient, and a switch that makes it slow.
pub(super) struct FeatureStore {
    values: BTreeMap<i64, Vec<f64>>,
    computed_at: String,
    delay_ms: AtomicU64,
}

#[derive(Deserialize)]
struct OnlineRequest {
    features: Vec<String>,
    entities: BTreeMap<String, Vec<Value>>,
    #[serde(default)]
    full_feature_names: bool,
}

impl FeatureStore {
    /// A store that holds the worst values of the given rows.
    pub(super) fn new<'a>(patients: impl Iterator<Item = &'a Patient>) -> FeatureStore {
        let computed_at = jiff::Timestamp::now() - jiff::SignedDuration::try_from(AGE).unwrap_or_default();
        FeatureStore {
            values: patients.map(|patient| (patient.id as i64, patient.stored().to_vec())).collect(),
            computed_at: computed_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            delay_ms: AtomicU64::new(0),
        }
    }

    /// Adds a delay to every answer, health checks included; zero takes it back.
    pub(super) fn slow_down(&self, delay: Duration) {
        self.delay_ms.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        tokio::time::sleep(SERVICE_TIME + Duration::from_millis(self.delay_ms.load(Ordering::Relaxed))).await;
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/health") => site::json(StatusCode::OK, &json!({})),
            (&Method::POST, "/get-online-features") => match self.online(request).await {
                Ok(body) => site::json(StatusCode::OK, &body),
                // Feast's errors are a JSON string under `detail`.
                Err(text) => site::json(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "detail": text })),
            },
            _ => site::json(StatusCode::NOT_FOUND, &json!({ "detail": "Not Found" })),
        }
    }

    async fn online(&self, request: Request<Incoming>) -> Result<Value, String> {
        let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await.map_err(|e| e.to_string())?;
        let request: OnlineRequest = serde_json::from_slice(&body.to_bytes()).map_err(|e| e.to_string())?;
        let keys = request.entities.get(ENTITY).ok_or(format!("the entity {ENTITY} is missing"))?;
        let mut names = vec![Value::from(ENTITY)];
        let mut columns = vec![self.column(keys.len(), keys, "PRESENT")];
        for reference in &request.features {
            let (name, position) = locate(reference).ok_or(format!("{reference} is not known"))?;
            names.push(if request.full_feature_names { format!("{VIEW}__{name}").into() } else { name.into() });
            columns.push(self.feature(keys, position));
        }
        Ok(json!({ "metadata": { "feature_names": names }, "results": columns }))
    }

    /// One feature's values, one per entity.
    fn feature(&self, keys: &[Value], position: usize) -> Value {
        let values: Vec<Option<f64>> = keys
            .iter()
            .map(|key| key.as_i64().and_then(|id| self.values.get(&id)).map(|stored| stored[position]))
            .collect();
        let statuses: Vec<&str> =
            values.iter().map(|value| if value.is_some() { "PRESENT" } else { "NOT_FOUND" }).collect();
        json!({ "values": values, "statuses": statuses, "event_timestamps": vec![&self.computed_at; keys.len()] })
    }

    fn column(&self, rows: usize, values: &[Value], status: &str) -> Value {
        json!({ "values": values, "statuses": vec![status; rows], "event_timestamps": vec![&self.computed_at; rows] })
    }
}

/// The short name of a reference and its position among the stored values.
fn locate(reference: &str) -> Option<(&str, usize)> {
    let name = reference.strip_prefix(VIEW)?.strip_prefix(':')?;
    let measurement = name.strip_suffix("_worst")?;
    Some((name, MEASUREMENTS.iter().position(|known| *known == measurement)?))
}

impl Handler for FeatureStore {
    fn handle(self: Arc<Self>, request: Request<Incoming>) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        Box::pin(async move { self.answer(request).await })
    }
}
