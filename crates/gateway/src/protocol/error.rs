//! Errors in each protocol's own shape.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderName, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use mainstay_core::route::Protocol;
use serde::Serialize;

use super::Rendered;

/// An error that the gateway itself answers with.
#[derive(Clone, PartialEq, Debug)]
pub struct Failure<'a> {
    /// What went wrong.
    pub cause: FailureCause,
    /// What the caller may read: no secrets, no backend's address.
    pub message: Cow<'a, str>,
    /// When it makes sense to come back.
    pub retry_after: Option<Duration>,
    /// Whether the caller shall try again; `None` leaves that to its own rules.
    pub should_retry: Option<bool>,
}

impl<'a> Failure<'a> {
    /// A failure with the advice on retries that its cause has by default: 503, 504 and what is blocked say no, the others nothing.
    pub fn new(cause: FailureCause, message: impl Into<Cow<'a, str>>) -> Failure<'a> {
        let should_retry = match cause {
            FailureCause::Exhausted | FailureCause::Deadline | FailureCause::Blocked | FailureCause::Veiled => {
                Some(false)
            }
            FailureCause::BadRequest
            | FailureCause::Unauthenticated
            | FailureCause::Forbidden
            | FailureCause::NotFound
            | FailureCause::MethodNotAllowed
            | FailureCause::BodyTimeout
            | FailureCause::TooLarge
            | FailureCause::HeadTooLarge
            | FailureCause::NotGrpc
            | FailureCause::Shed
            | FailureCause::RateLimited
            | FailureCause::Internal
            | FailureCause::Upstream => None,
        };
        Failure { cause, message: message.into(), retry_after: None, should_retry }
    }

    /// Adds advice on retries.
    pub fn with_retry(self, after: Duration, should: bool) -> Failure<'a> {
        Failure { retry_after: Some(after), should_retry: Some(should), ..self }
    }

    /// The same, and in gRPC its status; who does not speak gRPC is told by HTTP's own.
    pub fn write_headers_of(&self, protocol: Protocol, headers: &mut HeaderMap) {
        self.write_headers(headers);
        if protocol.is_grpc() && self.cause != FailureCause::NotGrpc {
            super::grpc::write_failure(self, headers);
        }
    }

    /// Writes `retry-after` (whole seconds, rounded up), `retry-after-ms` and `x-should-retry`.
    pub fn write_headers(&self, headers: &mut HeaderMap) {
        if let Some(after) = self.retry_after {
            let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            headers.insert(RETRY_AFTER, HeaderValue::from(millis.div_ceil(1000)));
            headers.insert(HeaderName::from_static("retry-after-ms"), HeaderValue::from(millis));
        }
        if let Some(should) = self.should_retry {
            let value = HeaderValue::from_static(if should { "true" } else { "false" });
            headers.insert(HeaderName::from_static("x-should-retry"), value);
        }
    }
}

/// What went wrong, as the caller sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailureCause {
    /// 400: the request cannot be read.
    BadRequest,
    /// 401: no key, or an unknown one.
    Unauthenticated,
    /// 403: not allowed.
    Forbidden,
    /// 403: it holds what the operator blocks at the moment.
    Blocked,
    /// 404: no route takes the path.
    NotFound,
    /// 405: the route takes another method.
    MethodNotAllowed,
    /// 408: the request's body did not arrive in time.
    BodyTimeout,
    /// 413: the body is too long.
    TooLarge,
    /// 415: the body is no plain text, and has to be looked through.
    Veiled,
    /// 415: gRPC is spoken here, and the request is none.
    NotGrpc,
    /// 431: the head is too long.
    HeadTooLarge,
    /// 429: no capacity at any level that may serve.
    Shed,
    /// 429: the client's own rate is spent.
    RateLimited,
    /// 500: a fault of the gateway.
    Internal,
    /// 502: the backend's answer cannot be used.
    Upstream,
    /// 503: every level of the ladder failed.
    Exhausted,
    /// 504: the deadline passed.
    Deadline,
}

impl FailureCause {
    /// The HTTP status.
    pub const fn status(self) -> StatusCode {
        match self {
            FailureCause::BadRequest => StatusCode::BAD_REQUEST,
            FailureCause::Unauthenticated => StatusCode::UNAUTHORIZED,
            FailureCause::Forbidden | FailureCause::Blocked => StatusCode::FORBIDDEN,
            FailureCause::NotFound => StatusCode::NOT_FOUND,
            FailureCause::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            FailureCause::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            FailureCause::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            FailureCause::Veiled | FailureCause::NotGrpc => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            FailureCause::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            FailureCause::Shed | FailureCause::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            FailureCause::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            FailureCause::Upstream => StatusCode::BAD_GATEWAY,
            FailureCause::Exhausted => StatusCode::SERVICE_UNAVAILABLE,
            FailureCause::Deadline => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// A stable name, the same in every protocol that has a place for it.
    pub const fn code(self) -> &'static str {
        match self {
            FailureCause::BadRequest => "bad_request",
            FailureCause::Unauthenticated => "invalid_api_key",
            FailureCause::Forbidden => "forbidden",
            FailureCause::Blocked => "blocked",
            FailureCause::NotFound => "not_found",
            FailureCause::MethodNotAllowed => "method_not_allowed",
            FailureCause::BodyTimeout => "body_timeout",
            FailureCause::TooLarge => "request_too_large",
            FailureCause::Veiled => "unsupported_encoding",
            FailureCause::HeadTooLarge => "head_too_large",
            FailureCause::NotGrpc => "not_grpc",
            FailureCause::Shed => "overloaded",
            FailureCause::RateLimited => "rate_limit_exceeded",
            FailureCause::Internal => "internal_error",
            FailureCause::Upstream => "upstream_error",
            FailureCause::Exhausted => "all_levels_failed",
            FailureCause::Deadline => "deadline_exceeded",
        }
    }

    const fn openai_type(self) -> &'static str {
        match self {
            FailureCause::BadRequest
            | FailureCause::NotFound
            | FailureCause::MethodNotAllowed
            | FailureCause::BodyTimeout
            | FailureCause::TooLarge
            | FailureCause::Veiled
            | FailureCause::HeadTooLarge
            | FailureCause::NotGrpc => "invalid_request_error",
            FailureCause::Unauthenticated => "authentication_error",
            FailureCause::Forbidden | FailureCause::Blocked => "permission_error",
            FailureCause::Shed | FailureCause::RateLimited => "rate_limit_error",
            FailureCause::Internal | FailureCause::Upstream | FailureCause::Exhausted | FailureCause::Deadline => {
                "server_error"
            }
        }
    }

    const fn anthropic_type(self) -> &'static str {
        match self {
            FailureCause::BadRequest
            | FailureCause::MethodNotAllowed
            | FailureCause::BodyTimeout
            | FailureCause::Veiled
            | FailureCause::HeadTooLarge
            | FailureCause::NotGrpc => "invalid_request_error",
            FailureCause::Unauthenticated => "authentication_error",
            FailureCause::Forbidden | FailureCause::Blocked => "permission_error",
            FailureCause::NotFound => "not_found_error",
            FailureCause::TooLarge => "request_too_large",
            FailureCause::Shed | FailureCause::RateLimited => "rate_limit_error",
            FailureCause::Internal | FailureCause::Upstream => "api_error",
            FailureCause::Exhausted => "overloaded_error",
            FailureCause::Deadline => "timeout_error",
        }
    }
}

/// Renders a failure in the protocol's own shape; the headers come from [`Failure::write_headers`].
pub fn error(protocol: Protocol, failure: &Failure<'_>, request_id: &str) -> Rendered {
    let status = failure.cause.status();
    let message = &*failure.message;
    let cause = failure.cause;
    match protocol {
        Protocol::OpenInference => Rendered::json(status, to_json(&OpenInferenceError { error: message })),
        // The status is in the headers, and there is no body; who does not speak gRPC could not read that.
        Protocol::OpenInferenceGrpc if cause == FailureCause::NotGrpc => error(Protocol::Http, failure, request_id),
        Protocol::OpenInferenceGrpc => Rendered { status, content_type: super::grpc::CONTENT_TYPE, body: Bytes::new() },
        Protocol::Openai => {
            let error = OpenaiDetail { message, r#type: cause.openai_type(), param: None, code: cause.code() };
            Rendered::json(status, to_json(&OpenaiError { error }))
        }
        Protocol::Anthropic => {
            let error = AnthropicDetail { r#type: cause.anthropic_type(), message };
            Rendered::json(status, to_json(&AnthropicError { r#type: "error", error, request_id }))
        }
        Protocol::Http => Rendered {
            content_type: "application/problem+json",
            ..Rendered::json(status, to_json(&Problem::new(failure, request_id)))
        },
    }
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings and numbers are always JSON")
}

#[derive(Serialize)]
struct OpenInferenceError<'a> {
    error: &'a str,
}

#[derive(Serialize)]
struct OpenaiError<'a> {
    error: OpenaiDetail<'a>,
}

#[derive(Serialize)]
struct OpenaiDetail<'a> {
    message: &'a str,
    r#type: &'static str,
    param: Option<&'static str>,
    code: &'static str,
}

#[derive(Serialize)]
struct AnthropicError<'a> {
    r#type: &'static str,
    error: AnthropicDetail<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct AnthropicDetail<'a> {
    r#type: &'static str,
    message: &'a str,
}

/// RFC 9457. `about:blank` says that the title is the status's own; `code` and `request_id` are extensions.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    request_id: &'a str,
}

impl<'a> Problem<'a> {
    fn new(failure: &'a Failure<'_>, request_id: &'a str) -> Problem<'a> {
        let status = failure.cause.status();
        Problem {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail: &failure.message,
            code: failure.cause.code(),
            request_id,
        }
    }
}
