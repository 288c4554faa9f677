//! Failures as problem documents (RFC 9457).

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mainstay_core::answer::review::Refused;
use mainstay_core::chaos::refusal::Refusal;
use mainstay_core::suggest::nearest;
use mainstay_store::StoreError;
use schemars::JsonSchema;
use serde::Serialize;

use crate::data_plane::{ControlError, Finding};
use crate::engine::EngineError;
use crate::ingest::LineFault;
use crate::registry::ModelError;
use crate::review::text::Text;
use crate::reviews::ReviewProblem;
use crate::wire;

/// When to come back where too much waits to be stored.
const BUSY_RETRY: Duration = Duration::from_secs(1);

/// What every failure looks like. `type` is a stable name; `detail` is for people and may change.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Problem {
    /// `urn:mainstay:problem:` and a stable word.
    #[serde(rename = "type")]
    kind: Box<str>,
    /// The kind of failure in words, the same for each occurrence.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// This occurrence in words.
    detail: Box<str>,
    /// What is wrong with a config that was refused.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    findings: Box<[Finding]>,
    /// What is wrong with a body, line by line.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    lines: Box<[LineFault]>,
    /// What is in the way of an experiment.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    refusals: Box<[wire::Refusal]>,
    /// When to come back.
    #[serde(skip)]
    retry_after: Option<Duration>,
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    BadRequest,
    Unauthorized,
    Forbidden,
    TooManyFailures,
    ForeignHost,
    ForeignOrigin,
    NotFound,
    UnknownRoute,
    MethodNotAllowed,
    Conflict,
    Timeout,
    TooLarge,
    MediaType,
    Invalid,
    ConfigRefused,
    UnknownModel,
    UnknownRun,
    VersionTaken,
    PromotionRefused,
    PromotionFailed,
    ExperimentRefused,
    Unavailable,
}

impl Kind {
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Kind::BadRequest => (StatusCode::BAD_REQUEST, "bad-request", "The request cannot be read"),
            Kind::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "A bearer token is required"),
            Kind::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "The token's role does not allow this"),
            Kind::TooManyFailures => {
                (StatusCode::TOO_MANY_REQUESTS, "too-many-failures", "Too many wrong tokens came from this address")
            }
            Kind::ForeignHost => (StatusCode::MISDIRECTED_REQUEST, "foreign-host", "This host is not served here"),
            Kind::ForeignOrigin => (StatusCode::FORBIDDEN, "foreign-origin", "Another site may not change anything"),
            Kind::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is nothing at this path"),
            Kind::UnknownRoute => (StatusCode::NOT_FOUND, "unknown-route", "There is no such route"),
            Kind::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "This path has other methods")
            }
            Kind::Conflict => (StatusCode::CONFLICT, "conflict", "Something else is there already"),
            Kind::Timeout => (StatusCode::REQUEST_TIMEOUT, "timeout", "The request took too long to arrive"),
            Kind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large"),
            Kind::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", "The body is of another media type"),
            Kind::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", "The body says something impossible"),
            Kind::ConfigRefused => {
                (StatusCode::UNPROCESSABLE_ENTITY, "config-refused", "The config was refused; nothing changed")
            }
            Kind::UnknownModel => (StatusCode::NOT_FOUND, "unknown-model", "There is no such model"),
            Kind::UnknownRun => (StatusCode::NOT_FOUND, "unknown-run", "There is no such run"),
            Kind::VersionTaken => (StatusCode::CONFLICT, "version-taken", "This version has other files"),
            Kind::PromotionRefused => {
                (StatusCode::CONFLICT, "promotion-refused", "The version may not become champion; nothing changed")
            }
            Kind::PromotionFailed => {
                (StatusCode::BAD_GATEWAY, "promotion-failed", "The change of champion did not hold")
            }
            Kind::ExperimentRefused => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "experiment-refused",
                "This may not be done with experiments; nothing changed",
            ),
            Kind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The service cannot do this"),
        }
    }
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Problem {
        let (status, name, title) = kind.parts();
        let kind = format!("urn:mainstay:problem:{name}");
        Problem {
            kind: kind.into(),
            title,
            status: status.as_u16(),
            detail: detail.into().into(),
            findings: Box::default(),
            lines: Box::default(),
            refusals: Box::default(),
            retry_after: None,
        }
    }

    /// Whether it is of this kind.
    pub(crate) fn is(&self, kind: Kind) -> bool {
        self.title == kind.parts().2
    }

    /// The HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Says when to come back.
    pub(crate) fn with_retry_after(self, wait: Duration) -> Problem {
        Problem { retry_after: Some(wait), ..self }
    }

    /// Says what is wrong line by line.
    pub(crate) fn with_lines(self, lines: Vec<LineFault>) -> Problem {
        Problem { lines: lines.into(), ..self }
    }

    /// A change of champion that did not hold: what became of it, and where the pointer was read to stand.
    pub(crate) fn promotion_failed(promotion: &wire::Promotion) -> Problem {
        Problem::new(Kind::PromotionFailed, promotion.to_string())
    }

    /// An experiment that may not be run, or something else that may not be done with it.
    pub(crate) fn experiment_refused(kind: Kind, refusals: &[Refusal]) -> Problem {
        let detail = match refusals {
            [only] => only.text.clone(),
            many => format!("{} things are in the way", many.len()),
        };
        Problem { refusals: refusals.iter().map(wire::Refusal::from).collect(), ..Problem::new(kind, detail) }
    }

    pub(crate) fn refused(findings: Vec<Finding>) -> Problem {
        let detail = match findings.as_slice() {
            [only] => only.message.clone(),
            many => format!("{} findings", many.len()),
        };
        Problem { findings: findings.into(), ..Problem::new(Kind::ConfigRefused, detail) }
    }
}

/// That nothing of this name is there, and which one may be meant.
pub(crate) fn not_known<'a>(what: &str, written: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let shown = Text::short(written);
    match nearest(written, known) {
        Some(name) => {
            format!("there is no {what} `{}`: did you mean `{}`?", shown.as_str(), Text::short(name).as_str())
        }
        None => format!("there is no {what} `{}`", shown.as_str()),
    }
}

impl From<ReviewProblem> for Problem {
    fn from(error: ReviewProblem) -> Problem {
        let kind = match &error {
            ReviewProblem::NoQueue(_) | ReviewProblem::Refused(Refused::NoSuch | Refused::NothingWaits) => {
                Kind::NotFound
            }
            ReviewProblem::Refused(Refused::Claimed { .. } | Refused::Decided(_)) => Kind::Conflict,
            ReviewProblem::Unwritable => Kind::Unavailable,
        };
        Problem::new(kind, error.to_string())
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Problem {
        let kind = match error {
            ControlError::UnknownRoute => Kind::UnknownRoute,
            ControlError::UnknownLevel => Kind::Invalid,
            ControlError::Unavailable(_) => Kind::Unavailable,
        };
        Problem::new(kind, error.to_string())
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Problem {
        match error {
            EngineError::Busy => Problem::new(Kind::Unavailable, error.to_string()).with_retry_after(BUSY_RETRY),
            EngineError::Stopped => Problem::new(Kind::Unavailable, error.to_string()),
            EngineError::Store(error) => Problem::from(error),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        let kind = match &error {
            StoreError::Busy => {
                return Problem::new(Kind::Unavailable, error.to_string()).with_retry_after(BUSY_RETRY);
            }
            StoreError::TooLarge { .. } | StoreError::Invalid(_) | StoreError::Io { .. } => Kind::Invalid,
            StoreError::Conflict { .. } => Kind::Conflict,
            StoreError::Unknown(_) => Kind::NotFound,
            StoreError::Closed | StoreError::Full | StoreError::Corrupt(_) | StoreError::Database(_) => {
                Kind::Unavailable
            }
        };
        Problem::new(kind, error.to_string())
    }
}

impl From<ModelError> for Problem {
    fn from(error: ModelError) -> Problem {
        let kind = match &error {
            ModelError::Unknown(_) => Kind::UnknownModel,
            ModelError::Refused(_) => Kind::PromotionRefused,
            ModelError::Store(StoreError::Conflict { .. }) => Kind::VersionTaken,
            ModelError::Store(StoreError::TooLarge { .. } | StoreError::Invalid(_)) => Kind::Invalid,
            ModelError::Store(
                StoreError::Busy
                | StoreError::Closed
                | StoreError::Full
                | StoreError::Corrupt(_)
                | StoreError::Unknown(_)
                | StoreError::Io { .. }
                | StoreError::Database(_),
            )
            | ModelError::BrokenOff => Kind::Unavailable,
        };
        Problem::new(kind, error.to_string())
    }
}

/// What went wrong, for a page that says so to a person; a response carries it beside its document.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// The kind of failure in words.
    pub(crate) title: &'static str,
    /// This occurrence in words.
    pub(crate) detail: Box<str>,
    /// What it is made of.
    pub(crate) more: Vec<String>,
}

impl Problem {
    fn told(&self, status: StatusCode) -> Told {
        let findings = self.findings.iter().map(|it| it.message.clone());
        let more = findings.chain(self.refusals.iter().map(|it| it.text.clone())).collect();
        Told { status, title: self.title, detail: self.detail.clone(), more }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = (status, axum::Json(&self)).into_response();
        response.extensions_mut().insert(self.told(status));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs_f64().ceil() as u64));
        }
        response
    }
}
