//! Bodies and parameters, within bounds.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;

use crate::problem::{Kind, Problem};

/// Longest body of a request, in bytes.
const BODY_MAX: usize = 1 << 20;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The parameters of a path.
pub(crate) fn readable<T>(path: Result<Path<T>, PathRejection>) -> Result<T, Problem> {
    match path {
        Ok(Path(value)) => Ok(value),
        Err(rejection) => Err(Problem::new(Kind::BadRequest, rejection.body_text())),
    }
}

/// A body of JSON. That its media type must be JSON also keeps plain HTML forms out.
pub(crate) async fn read_json<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    expect_media(request.headers(), &["application/json"])?;
    let body = read_body(request.into_body(), BODY_MAX).await?;
    serde_json::from_slice(&body).map_err(|error| {
        let kind = if error.is_data() { Kind::Invalid } else { Kind::BadRequest };
        Problem::new(kind, error.to_string())
    })
}

/// Refuses a body of another media type than these; says which of them it is.
pub(crate) fn expect_media(headers: &HeaderMap, known: &'static [&'static str]) -> Result<&'static str, Problem> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.and_then(|value| value.split(';').next()).map(str::trim).unwrap_or_default();
    let found = known.iter().find(|known| media_type.eq_ignore_ascii_case(known));
    found.copied().ok_or_else(|| Problem::new(Kind::MediaType, format!("set Content-Type: {}", known.join(" or "))))
}

/// A body of at most `longest` bytes.
pub(crate) async fn read_body(body: Body, longest: usize) -> Result<Bytes, Problem> {
    let whole = axum::body::to_bytes(body, longest);
    match tokio::time::timeout(BODY_TIMEOUT, whole).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) if is_too_long(&error) => {
            Err(Problem::new(Kind::TooLarge, format!("at most {longest} bytes are read")))
        }
        Ok(Err(_)) => Err(Problem::new(Kind::BadRequest, "the body ended early")),
        Err(_) => Err(Problem::new(Kind::Timeout, "the body did not arrive in time")),
    }
}

fn is_too_long(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.to_string().contains("length limit"))
}
