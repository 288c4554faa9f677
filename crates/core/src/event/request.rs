//! A request that ended, as far as it is told.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Kept, Scalar, Word};
use crate::route::{Class, Level};

/// How a request ended, and what was predicted from what.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RequestFinished {
    /// The request's id; labels join on it and on the client.
    pub request_id: String,
    /// The client's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The route.
    pub route: String,
    /// The request's class.
    pub class: Class,
    /// The level that answered; absent where none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// The status that the caller got.
    pub code: u16,
    /// Why it was degraded, shed or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Word>,
    /// Calls to backends.
    pub attempts: u32,
    /// From the request's head to the answer's end.
    #[serde(rename = "duration_us", with = "micros")]
    pub duration: Duration,
    /// The part of the duration in which no backend or feature store was waited for.
    #[serde(rename = "overhead_us", with = "micros")]
    pub overhead: Duration,
    /// The answer's confidence, from 0 to 1, where it reports one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// The model that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_version: Option<String>,
    /// The backend that answered, or the kind of a local answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// How long the model took.
    #[serde(default, rename = "inference_us", skip_serializing_if = "Option::is_none", with = "optional_micros")]
    pub inference: Option<Duration>,
    /// When the first part of a streamed answer came, from the request's head on.
    #[serde(default, rename = "first_token_us", skip_serializing_if = "Option::is_none", with = "optional_micros")]
    pub first_token: Option<Duration>,
    /// What was predicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<Scalar>,
    /// Features by their reference, as they were given to the model; those that were missing are left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub features: BTreeMap<String, Scalar>,
    /// Features that were older than they may be.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stale_features: u32,
    /// Tokens of the request, where the answer says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Tokens of the answer, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// Why a language model stopped, in its own word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// What was asked of a language model, in the words of OpenTelemetry's conventions; absent where none was asked, or it is not known what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Who provides the language model that answered; absent where no model did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Whether the answer was passed on as it came.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stream: bool,
    /// Whether it was a probe of the operator's own.
    #[serde(default, skip_serializing_if = "is_false")]
    pub synthetic: bool,
    /// The run of an experiment whose fault it met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<String>,
    /// The trace that it belongs to: 32 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Its own span in the trace: 16 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span_id: Option<String>,
    /// The caller's span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_span_id: Option<String>,
    /// Why this event was kept, each with the chance that it had for that; empty where nobody decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Kept>,
}

impl RequestFinished {
    /// A request of which no more is known than its route, its class and the status that its caller got.
    pub const fn new(route: String, class: Class, code: u16) -> RequestFinished {
        RequestFinished {
            request_id: String::new(),
            client: None,
            route,
            class,
            level: None,
            code,
            reason: None,
            attempts: 0,
            duration: Duration::ZERO,
            overhead: Duration::ZERO,
            confidence: None,
            model: None,
            model_version: None,
            backend: None,
            inference: None,
            first_token: None,
            prediction: None,
            features: BTreeMap::new(),
            stale_features: 0,
            input_tokens: None,
            output_tokens: None,
            finish_reason: None,
            operation: None,
            provider: None,
            stream: false,
            synthetic: false,
            experiment: None,
            trace_id: None,
            span_id: None,
            parent_span_id: None,
            kept: Vec::new(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference to the field")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference to the field")]
fn is_false(flag: &bool) -> bool {
    !flag
}

mod optional_micros {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "serde calls it with a reference to the field")]
    pub(super) fn serialize<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::micros::serialize(duration, to),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_micros))
    }
}

mod micros {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_micros)
    }
}
