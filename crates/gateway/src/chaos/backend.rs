//! Faults at a backend: what a call comes to in its place.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use mainstay_core::chaos::fault::{Failing, Fault, How, Point, Shape, Version};
use mainstay_core::route::Protocol;

use super::met::Met;
use crate::protocol::{self, Failure, FailureCause, grpc};
use crate::worker::State;

/// JSON that no protocol's answer looks like.
const OTHER_SHAPE: &[u8] = br#"{"result":"ok"}"#;

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// What comes of a call that a fault came to.
pub(crate) enum CallFault {
    /// No connection, or a failed handshake.
    Unconnected,
    /// The connection breaks before the answer. The backend is not asked at all: it would do work for nobody.
    Reset,
    /// Another answer than the backend's, which is not asked.
    Answer(Made),
    /// The backend is asked later.
    Later(Duration),
}

/// An answer that no backend gave.
pub(crate) struct Made {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Met {
    /// What comes of a call to a backend.
    pub(crate) fn call_fault(&self, state: &State, route: usize, backend: usize) -> Option<CallFault> {
        let backend = &state.shared.plan.backends[backend];
        let fault = match self.fault_at(Point::Backend, &backend.name)? {
            Fault::ModelError(failing) => match failing.how {
                How::Connect | How::Tls => CallFault::Unconnected,
                How::Reset => CallFault::Reset,
                How::Status | How::ErrorBody => CallFault::Answer(Made::failure(backend.protocol, failing)),
            },
            Fault::ModelLatency(delay) => CallFault::Later(delay.draw(&mut self.rng.borrow_mut())),
            _ => return None,
        };
        self.touch(state, route).then_some(fault)
    }

    /// The version that is asked in the place of a backend's own. It counts as met with [`Met::touch`].
    pub(crate) fn other_version(&self, backend: &str) -> Option<&Version> {
        match self.fault_at(Point::Backend, backend)? {
            Fault::WrongVersion(version) => Some(version),
            _ => None,
        }
    }

    /// What is left of a backend's answer that was held in whole.
    pub(crate) fn spoiled(&self, state: &State, route: usize, backend: usize, answer: &Bytes) -> Option<Bytes> {
        let name = &state.shared.plan.backends[backend].name;
        let Fault::MalformedAnswer(malformed) = self.fault_at(Point::Backend, name)? else { return None };
        self.touch(state, route).then(|| match malformed.how {
            Shape::Broken => answer.slice(..answer.len() / 2),
            Shape::Empty => Bytes::new(),
            Shape::OtherShape => Bytes::from_static(OTHER_SHAPE),
        })
    }
}

impl Made {
    /// A failure by its status, or behind a status that says all is well.
    fn failure(protocol: Protocol, failing: &Failing) -> Made {
        let failure = Failure::new(FailureCause::Exhausted, "the model could not answer");
        let rendered = protocol::error(protocol, &failure, "");
        let status = if failing.how == How::ErrorBody { 200 } else { failing.status() };
        let mut headers = HeaderMap::with_capacity(2);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(rendered.content_type));
        if let Some(after) = failing.retry_after {
            if after.subsec_nanos() == 0 {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs()));
            } else {
                headers.insert(RETRY_AFTER_MS, HeaderValue::from(u64::try_from(after.as_millis()).unwrap_or(u64::MAX)));
            }
        }
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        if protocol.is_grpc() {
            headers.extend(grpc::trailers(grpc::Code::of_http(failing.status()), &failure.message));
            return Made { status: StatusCode::OK, headers, body: Bytes::new() };
        }
        Made { status, headers, body: rendered.body }
    }
}
