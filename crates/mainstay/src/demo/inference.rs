//! A model server that speaks the Open Inference Protocol v2 and has a finite number of worker slots.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::data::COLUMNS;
use super::model::Model;
use super::site::{self, Answer, Handler};

/// Longest body that is read.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Most rows of one request.
const ROWS_MAX: usize = 64;

/// How much work a server takes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capacity {
    /// Requests served at once.
    pub(super) slots: usize,
    /// How long a slot is taken by one request.
    pub(super) service_time: Duration,
    /// Requests that may wait for a slot; further ones are refused with 503.
    pub(super) waiting_max: usize,
}

/// One model behind one port.
pub(super) struct ModelServer {
    name: &'static str,
    version: &'static str,
    model: Model,
    /// The inputs that make up a row, in order, and their widths.
    inputs: &'static [(&'static str, usize)],
    capacity: Capacity,
    slots: Semaphore,
    waiting: AtomicUsize,
}

#[derive(Deserialize)]
struct InferRequest {
    id: Option<String>,
    inputs: Vec<Input>,
}

#[derive(Deserialize)]
struct Input {
    name: String,
    shape: Vec<usize>,
    data: Vec<f64>,
}

/// Why a request got no answer: status and text.
type Refusal = (StatusCode, String);

impl ModelServer {
    /// A server for `model`, known as `name`.
    pub(super) fn new(
        name: &'static str,
        model: Model,
        inputs: &'static [(&'static str, usize)],
        capacity: Capacity,
    ) -> ModelServer {
        ModelServer {
            name,
            version: "1",
            model,
            inputs,
            capacity,
            slots: Semaphore::new(capacity.slots),
            waiting: AtomicUsize::new(0),
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let path: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
        match (request.method(), path.as_slice()) {
            (&Method::GET, ["v2", "health", "live" | "ready"]) => site::json(StatusCode::OK, &json!({})),
            (&Method::GET, ["v2", "models", name, "ready"]) if *name == self.name => {
                site::json(StatusCode::OK, &json!({ "name": self.name, "ready": true }))
            }
            (&Method::GET, ["v2", "models", name]) if *name == self.name => {
                site::json(StatusCode::OK, &self.metadata())
            }
            (&Method::POST, ["v2", "models", name, rest @ .., "infer"])
                if *name == self.name && matches!(rest, [] | ["versions", _]) =>
            {
                // The same model under every version that it was registered as.
                let version = rest.last().map_or_else(|| self.version.to_owned(), |version| (*version).to_owned());
                match self.infer(request, &version).await {
                    Ok(body) => site::json(StatusCode::OK, &body),
                    Err((status, text)) => site::json(status, &json!({ "error": text })),
                }
            }
            _ => site::json(
                StatusCode::NOT_FOUND,
                &json!({ "error": format!("{} serves {}", self.name, "no such path") }),
            ),
        }
    }

    fn metadata(&self) -> Value {
        let inputs: Vec<Value> = self
            .inputs
            .iter()
            .map(|(name, width)| json!({ "name": name, "datatype": "FP64", "shape": [-1, width] }))
            .collect();
        json!({
            "name": self.name, "versions": [self.version], "platform": "mainstay-demo", "inputs": inputs,
            "outputs": [{ "name": "malignant", "datatype": "FP64", "shape": [-1] }],
        })
    }

    async fn infer(&self, request: Request<Incoming>, version: &str) -> Result<Value, Refusal> {
        let body = Limited::new(request.into_body(), BODY_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?
            .to_bytes();
        let request: InferRequest =
            serde_json::from_slice(&body).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
        let rows = self.rows(&request.inputs).map_err(|text| (StatusCode::BAD_REQUEST, text))?;
        self.work().await?;
        let probabilities: Vec<f64> = rows.iter().map(|row| self.model.probability(row)).collect();
        let mut answer = json!({
            "model_name": self.name, "model_version": version,
            "outputs": [{
                "name": "malignant", "datatype": "FP64", "shape": [probabilities.len()], "data": probabilities,
            }],
        });
        if let Some(id) = request.id {
            answer["id"] = Value::String(id);
        }
        Ok(answer)
    }

    /// Puts the named inputs side by side, one full row per row of the request.
    fn rows(&self, inputs: &[Input]) -> Result<Vec<[f64; COLUMNS]>, String> {
        let mut rows = Vec::new();
        let mut column = 0;
        for (name, width) in self.inputs {
            let input =
                inputs.iter().find(|input| input.name == *name).ok_or(format!("the input {name} is missing"))?;
            let count = input.shape.first().copied().unwrap_or(0);
            if !(1..=ROWS_MAX).contains(&count) || input.shape != [count, *width] || input.data.len() != count * width {
                return Err(format!("the input {name} must have the shape [1 to {ROWS_MAX}, {width}]"));
            }
            if column == 0 {
                rows = vec![[0.0; COLUMNS]; count];
            } else if rows.len() != count {
                return Err("the inputs have different numbers of rows".to_owned());
            }
            for (row, values) in rows.iter_mut().zip(input.data.chunks_exact(*width)) {
                row[column..column + width].copy_from_slice(values);
            }
            column += width;
        }
        Ok(rows)
    }

    /// Takes a slot for the service time, or refuses because too many wait already.
    async fn work(&self) -> Result<(), Refusal> {
        let place = Place::take(&self.waiting, self.capacity.waiting_max)
            .ok_or((StatusCode::SERVICE_UNAVAILABLE, "all workers are busy".to_owned()))?;
        let slot = self.slots.acquire().await;
        drop(place);
        tokio::time::sleep(self.capacity.service_time).await;
        drop(slot);
        Ok(())
    }
}

impl Handler for ModelServer {
    fn handle(self: Arc<Self>, request: Request<Incoming>) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        Box::pin(async move { self.answer(request).await })
    }
}

/// A place in the waiting line, given back when dropped: a caller that hangs up frees its place.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, most: usize) -> Option<Place<'a>> {
        waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < most).then_some(count + 1))
            .ok()
            .map(|_| Place(waiting))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
