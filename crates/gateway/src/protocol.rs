//! What is spoken with callers and backends: facts of requests, classes of answers, errors and local answers in each
//! protocol's own shape. Bytes in, bytes out.
//!
//! | protocol | facts | classes | errors | local answers |
//! |---|---|---|---|---|
//! | Open Inference | `id`, `parameters.priority`, `parameters.timeout` | "is not ready yet" is transient | `{"error": text}` | tensors |
//! | the same over gRPC | `id`, `parameters.priority`, `parameters.timeout` | by `grpc-status` | `grpc-status` | tensors, `ModelInfer` |
//! | OpenAI | `model`, `stream`, `stream_options` | spent quota is not retried | `{"error": {..}}` | chats, completions, responses, streamed too |
//! | Anthropic | `model`, `stream` | spent quota is not retried | `{"type": "error", ..}` | a message, streamed too |
//! | plain HTTP | none | by status | RFC 9457 | the JSON as it is |

mod anthropic;
mod classify;
mod confidence;
mod context;
mod error;
pub mod grpc;
mod hints;
mod key_fault;
mod open_inference;
mod open_inference_grpc;
mod openai;
mod responses;
mod retry_after;
mod stream_errors;
mod success;

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};
use mainstay_core::plan::Answer;
use mainstay_core::route::{Class, Protocol};
use memchr::memmem::Finder;

pub(crate) use self::classify::QUOTA_PAUSE;
pub use self::classify::{classify, needs_body};
pub use self::confidence::{ConfidenceReader, Predicted, PredictionReader};
pub use self::context::{ContextError, body_with_context};
pub use self::error::{Failure, FailureCause, error};
pub use self::hints::{Hints, hints};
pub use self::key_fault::key_fault;
pub(crate) use self::key_fault::of_kind as key_fault_of_kind;
pub(crate) use self::open_inference::datatype;
pub use self::open_inference_grpc::{Rpc, is_other_version as is_other_version_over_grpc, request_with_model};
pub(crate) use self::open_inference_grpc::{answer_with_id, can_be_kept, identity, question, says_yes, yes};
pub use self::retry_after::{MAX_RETRY_AFTER, retry_after};
pub(crate) use self::stream_errors::StreamErrors;
pub use self::success::{is_error, is_other_version};

use crate::body::AnswerBody;
use crate::json::{self, JsonError};

/// What the gateway needs to know of a request's body.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// The request's own id (Open Inference).
    pub id: Option<String>,
    /// The model that the body names (OpenAI, Anthropic); Open Inference names it in the path, see [`model_in_path`].
    pub model: Option<String>,
    /// Whether the answer shall be streamed.
    pub stream: bool,
    /// Whether a streamed answer shall end with a chunk about usage.
    pub include_usage: bool,
    /// How many choices are asked for (OpenAI); 0 where it says nothing of it.
    pub choices: u32,
    /// The class that `parameters.priority` asks for (Triton): 1, 2, 3, from 4 on are the classes 0, 1, 2, 3.
    pub priority: Option<Class>,
    /// How long the caller wants to wait (Triton's `parameters.timeout`, in microseconds there).
    pub timeout: Option<Duration>,
}

/// Why a request is refused before anything is tried.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadRequest {
    /// The body is not JSON.
    #[error("the request's body is {0}")]
    Json(#[from] JsonError),
    /// The body is no message of the protocol that could be read.
    #[error("the request's body is not a message of this protocol, or compressed where it has to be read")]
    Protobuf,
    /// The header that splits JSON from binary data is no number, or larger than the body.
    #[error("the header inference-header-content-length does not fit the body")]
    BinaryHeader,
    /// The body lacks what the change needs.
    #[error("the request's body has no {0}")]
    Missing(&'static str),
}

/// An answer that is ready to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rendered {
    /// Its status.
    pub status: StatusCode,
    /// Its content type.
    pub content_type: &'static str,
    /// Its body.
    pub body: Bytes,
}

impl Rendered {
    /// The body that is sent. A message of gRPC is followed by its status; without a message that stands in the headers.
    pub(crate) fn into_body(self) -> AnswerBody {
        if self.content_type == grpc::CONTENT_TYPE && !self.body.is_empty() {
            return AnswerBody::message(self.body, grpc::ok());
        }
        AnswerBody::held(self.body)
    }

    pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Rendered {
        Rendered { status, content_type: JSON, body: body.into() }
    }
}

pub(crate) const JSON: &str = "application/json";

/// What a local answer is rendered for.
#[derive(Clone, Copy, Debug)]
pub struct AnswerContext<'a> {
    /// The request's path.
    pub path: &'a str,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// The request's body.
    pub request_body: &'a [u8],
    /// The name of what answers.
    pub model: &'a str,
    /// Its version.
    pub version: Option<&'a str>,
    /// When the answer is made, in seconds since the Unix epoch.
    pub created: u64,
    /// The request's id at the gateway.
    pub request_id: &'a str,
}

/// Why a local answer cannot be given.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RenderError {
    /// The answer is of a kind that the protocol, or this path of it, does not know.
    #[error("an answer of kind `{kind}` cannot be given over {protocol} at {path}")]
    Kind {
        /// `outputs`, `text` or `body`.
        kind: &'static str,
        /// The protocol's name.
        protocol: &'static str,
        /// The request's path.
        path: String,
    },
    /// An output that is neither `{name, value}` nor a tensor.
    #[error("output {index} of the answer is neither a name with a value nor a tensor")]
    Output {
        /// Its place, from 0.
        index: usize,
    },
    /// The batch has more rows than a local answer is given for.
    #[error("the request's batch has more than {max} rows")]
    TooManyRows {
        /// The bound.
        max: usize,
    },
    /// The request cannot be read.
    #[error(transparent)]
    Request(#[from] BadRequest),
}

/// Reads the facts of a request. A body without any of the names that matter is not parsed, so that `Ok` does not
/// mean that it is JSON. With Triton's binary extension only the JSON header is read.
pub fn facts(protocol: Protocol, headers: &HeaderMap, body: &[u8]) -> Result<Facts, BadRequest> {
    match protocol {
        Protocol::OpenInference => open_inference::facts(json_part(headers, body)?),
        Protocol::OpenInferenceGrpc => open_inference_grpc::facts(body),
        Protocol::Openai | Protocol::Anthropic => openai::facts(body),
        Protocol::Http => Ok(Facts::default()),
    }
}

/// Renders a local answer; request ids and batch sizes are taken from the request.
pub fn render(protocol: Protocol, answer: &Answer, context: &AnswerContext<'_>) -> Result<Rendered, RenderError> {
    match (protocol, answer) {
        (Protocol::OpenInference, Answer::Outputs(outputs)) => open_inference::render(outputs, context),
        (Protocol::OpenInferenceGrpc, Answer::Outputs(outputs)) if Rpc::of(context.path) == Rpc::Infer => {
            open_inference_grpc::render(outputs, context)
        }
        (Protocol::Openai, Answer::Text(text)) if openai::is_chat(context.path) => Ok(openai::render(text, context)),
        (Protocol::Openai, Answer::Text(text)) if openai::is_completions(context.path) => {
            Ok(openai::completion(text, context))
        }
        (Protocol::Openai, Answer::Text(text)) if responses::is_responses(context.path) => {
            Ok(responses::render(text, context))
        }
        (Protocol::Anthropic, Answer::Text(text)) if anthropic::is_messages(context.path) => {
            Ok(anthropic::render(text, context))
        }
        (Protocol::OpenInference | Protocol::Openai | Protocol::Anthropic | Protocol::Http, Answer::Body(body)) => {
            Ok(Rendered::json(StatusCode::OK, body.to_string()))
        }
        (Protocol::OpenInference, Answer::Text(_))
        | (Protocol::OpenInferenceGrpc, Answer::Text(_) | Answer::Outputs(_) | Answer::Body(_))
        | (Protocol::Openai | Protocol::Anthropic | Protocol::Http, Answer::Text(_) | Answer::Outputs(_)) => {
            Err(RenderError::Kind {
                kind: kind_name(answer),
                protocol: protocol.name(),
                path: context.path.chars().take(200).collect(),
            })
        }
    }
}

fn kind_name(answer: &Answer) -> &'static str {
    match answer {
        Answer::Outputs(_) => "outputs",
        Answer::Text(_) => "text",
        Answer::Body(_) => "body",
    }
}

/// The header of Triton's binary extension: how many bytes of the body are JSON.
pub const BINARY_HEADER: &str = "inference-header-content-length";
const BINARY_NAME: HeaderName = HeaderName::from_static(BINARY_HEADER);

/// The part of an Open Inference body that is JSON: all of it, or with Triton's binary extension its start.
pub fn json_part<'a>(headers: &HeaderMap, body: &'a [u8]) -> Result<&'a [u8], BadRequest> {
    let Some(length) = headers.get(&BINARY_NAME) else { return Ok(body) };
    let length = length.to_str().ok().and_then(|text| text.trim().parse::<usize>().ok());
    length.and_then(|length| body.get(..length)).ok_or(BadRequest::BinaryHeader)
}

/// Whether a request or an answer uses Triton's binary extension.
pub fn is_binary(headers: &HeaderMap) -> bool {
    headers.contains_key(&BINARY_NAME)
}

/// The model and its version in an Open Inference path, `[prefix]/v2/models/{model}[/versions/{version}]/infer`.
///
/// ```
/// use mainstay_gateway::protocol::model_in_path;
///
/// assert_eq!(model_in_path("/v2/models/fraud/versions/3/infer"), Some(("fraud", Some("3"))));
/// assert_eq!(model_in_path("/v2/models/fraud/infer"), Some(("fraud", None)));
/// assert_eq!(model_in_path("/v2/health/ready"), None);
/// ```
pub fn model_in_path(path: &str) -> Option<(&str, Option<&str>)> {
    open_inference::split_path(path).map(|parts| (parts.model, parts.version))
}

/// The path with another model, for a backend whose model has another name; unchanged where it names none.
///
/// ```
/// use mainstay_gateway::protocol::path_with_model;
///
/// assert_eq!(path_with_model("/v2/models/fraud/versions/3/infer", "fraud-lite", None), "/v2/models/fraud-lite/infer");
/// ```
pub fn path_with_model(path: &str, model: &str, version: Option<&str>) -> String {
    open_inference::path_with_model(path, model, version)
}

/// The body with another `model` (OpenAI, Anthropic), everything else byte for byte the same; a body that names none
/// gets one. For the other protocols the body is unchanged.
pub fn body_with_model(protocol: Protocol, body: &Bytes, model: &str) -> Result<Bytes, BadRequest> {
    match protocol {
        Protocol::Openai | Protocol::Anthropic => openai::with_model(body, model),
        Protocol::OpenInference | Protocol::OpenInferenceGrpc | Protocol::Http => Ok(body.clone()),
    }
}

/// The body of a streamed request to OpenAI's protocol that asks for a last chunk about usage; everything else stays as it is.
pub fn body_with_usage(body: &Bytes) -> Result<Bytes, BadRequest> {
    openai::with_usage(body)
}

/// Quoted names that a body has to be parsed for.
struct Names(LazyLock<Vec<Finder<'static>>>);

impl Names {
    const fn new(finders: fn() -> Vec<Finder<'static>>) -> Names {
        Names(LazyLock::new(finders))
    }

    /// Whether any of them may be in the body; a body with escapes may hide them.
    fn may_be_in(&self, body: &[u8]) -> bool {
        self.0.iter().any(|name| name.find(body).is_some())
            || (memchr::memchr(b'\\', body).is_some() && memchr::memmem::find(body, br"\u").is_some())
    }
}

fn owned_string(raw: Option<&serde_json::value::RawValue>) -> Option<String> {
    raw.and_then(json::string).map(std::borrow::Cow::into_owned)
}
