//! Bodies on their way through: what goes to a backend, and what goes back to the caller.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::protocol::{FailureCause, grpc};
use crate::stream::Relay;
use crate::streamed::Streamed;

/// What is sent to a backend.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// A body that is held, and can be sent again.
    Held(Option<Bytes>),
    /// A body too long to hold: its start, and the rest as it arrives. It can be sent once.
    Once {
        /// What was read already.
        start: Option<Bytes>,
        /// What is still to come.
        rest: Incoming,
        /// How many bytes may still come.
        left: usize,
        /// How it goes.
        upload: Upload,
    },
}

/// How a body that is passed on as it comes stands with its caller; copies tell of the same body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Upload {
    state: Rc<Cell<UploadState>>,
    /// Requests and answers go by turns: a caller that sends nothing waits for an answer.
    by_turns: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum UploadState {
    /// It is the backend's turn, or it has all of it.
    #[default]
    Flowing,
    /// It is the caller's turn.
    Awaited,
    Broken,
    TooLong,
}

/// What a caller did wrong with its body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum UploadFault {
    /// It broke off.
    Broken,
    /// It is longer than `limits.body`.
    TooLong,
    /// It did not come in time.
    Late,
}

impl Upload {
    /// Of a body whose sender waits for answers in between.
    pub(crate) fn by_turns() -> Upload {
        Upload { by_turns: true, ..Upload::default() }
    }

    /// What the caller did wrong, where an attempt that failed was `late` or not; `None`: nothing.
    pub(crate) fn fault(&self, late: bool) -> Option<UploadFault> {
        match self.state.get() {
            UploadState::Flowing => None,
            UploadState::Awaited => (late && !self.by_turns).then_some(UploadFault::Late),
            UploadState::Broken => Some(UploadFault::Broken),
            UploadState::TooLong => Some(UploadFault::TooLong),
        }
    }
}

impl UploadFault {
    /// What the caller is told.
    pub(crate) const fn cause(self) -> FailureCause {
        match self {
            UploadFault::Broken => FailureCause::BadRequest,
            UploadFault::TooLong => FailureCause::TooLarge,
            UploadFault::Late => FailureCause::BodyTimeout,
        }
    }
}

impl Outgoing {
    pub(crate) fn held(bytes: Bytes) -> Outgoing {
        Outgoing::Held(Some(bytes).filter(|b| !b.is_empty()))
    }

    /// How it stands with the caller, where its body is passed on as it comes.
    pub(crate) fn upload(&self) -> Option<Upload> {
        match self {
            Outgoing::Held(_) => None,
            Outgoing::Once { upload, .. } => Some(upload.clone()),
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Outgoing::Held(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Outgoing::Once { start, rest, left, upload } => {
                if let Some(bytes) = start.take() {
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                upload.state.set(UploadState::Awaited);
                let frame = ready!(Pin::new(rest).poll_frame(cx));
                let length = frame.as_ref().and_then(|f| f.as_ref().ok()?.data_ref().map(Bytes::len)).unwrap_or(0);
                let Some(still) = left.checked_sub(length) else {
                    upload.state.set(UploadState::TooLong);
                    return Poll::Ready(Some(Err("the request's body is longer than `limits.body`".into())));
                };
                *left = still;
                let broken = matches!(frame, Some(Err(_)));
                upload.state.set(if broken { UploadState::Broken } else { UploadState::Flowing });
                Poll::Ready(frame.map(|f| f.map_err(Into::into)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Outgoing::Held(bytes) => bytes.is_none(),
            Outgoing::Once { start, rest, .. } => start.is_none() && rest.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Outgoing::Held(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Outgoing::Once { start, rest, .. } => {
                let first = start.as_ref().map_or(0, |b| b.len() as u64);
                let hint = rest.size_hint();
                match hint.exact() {
                    Some(n) => SizeHint::with_exact(n + first),
                    None => SizeHint::default(),
                }
            }
        }
    }
}

/// What goes back to the caller.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    /// An answer that is held in whole.
    Held(Option<Bytes>),
    /// A message of gRPC that is held in whole, and what comes after it.
    Message(Box<Message>),
    /// An answer that is passed on as it comes.
    Relayed(Box<Relay>),
    /// A language model's answer that is read, and passed on as it may be shown.
    Streamed(Box<Streamed>),
}

/// A held message and its trailers.
#[derive(Debug)]
pub(crate) struct Message {
    bytes: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl AnswerBody {
    /// A message; what says how the call ended comes after it.
    pub(crate) fn message(bytes: Bytes, trailers: HeaderMap) -> AnswerBody {
        let bytes = Some(bytes).filter(|bytes| !bytes.is_empty());
        AnswerBody::Message(Box::new(Message { bytes, trailers: Some(trailers) }))
    }

    /// All of it, where it is held.
    pub(crate) fn whole(&self) -> Option<&Bytes> {
        match self {
            AnswerBody::Held(bytes) => bytes.as_ref(),
            AnswerBody::Message(message) => message.bytes.as_ref(),
            AnswerBody::Relayed(_) | AnswerBody::Streamed(_) => None,
        }
    }

    /// When it must have come from its backend; `None`: it has.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            AnswerBody::Held(_) | AnswerBody::Message(_) => None,
            AnswerBody::Relayed(relay) => relay.ends_by(),
            AnswerBody::Streamed(streamed) => Some(streamed.ends_by()),
        }
    }

    pub(crate) fn held(bytes: Bytes) -> AnswerBody {
        AnswerBody::Held(Some(bytes).filter(|b| !b.is_empty()))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = crate::stream::Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            AnswerBody::Held(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            AnswerBody::Message(message) => Poll::Ready(match message.bytes.take() {
                Some(bytes) => Some(Ok(Frame::data(bytes))),
                None => message.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))),
            }),
            AnswerBody::Relayed(relay) => Pin::new(relay).poll_frame(cx),
            AnswerBody::Streamed(streamed) => Pin::new(streamed).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            AnswerBody::Held(bytes) => bytes.is_none(),
            AnswerBody::Message(message) => message.bytes.is_none() && message.trailers.is_none(),
            AnswerBody::Relayed(relay) => relay.is_end_stream(),
            AnswerBody::Streamed(streamed) => streamed.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            AnswerBody::Held(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            AnswerBody::Message(_) => SizeHint::default(),
            AnswerBody::Relayed(relay) => relay.size_hint(),
            AnswerBody::Streamed(streamed) => streamed.size_hint(),
        }
    }
}

/// How reading a body up to a bound ended.
pub(crate) enum ReadUpTo {
    /// All of it, and its trailers.
    Whole(Bytes, Option<HeaderMap>),
    /// It is longer than the bound: what was read; the rest is still in the body.
    Longer(Bytes),
}

/// Reads `body` until it ends or holds more than `bound` bytes. Trailers that come before the bound are kept.
pub(crate) async fn read_up_to(body: &mut Incoming, bound: usize) -> Result<ReadUpTo, hyper::Error> {
    let mut trailers = None;
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let data = match frame?.into_data() {
            Ok(data) => data,
            Err(frame) => {
                trailers = frame.into_trailers().ok();
                continue;
            }
        };
        if first.is_empty() && more.is_empty() {
            first = data;
        } else {
            if more.is_empty() {
                more.extend_from_slice(&first);
            }
            more.extend_from_slice(&data);
        }
        if first.len().max(more.len()) > bound {
            return Ok(ReadUpTo::Longer(joined(first, more)));
        }
        if body.is_end_stream() {
            break;
        }
    }
    Ok(ReadUpTo::Whole(joined(first, more), trailers))
}

/// Reads `body` until the first message of a stream is there, or as much of it as `bound` allows.
pub(crate) async fn read_first_message(body: &mut Incoming, bound: usize) -> Result<ReadUpTo, hyper::Error> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        read.extend_from_slice(&data);
        if body.is_end_stream() {
            break;
        }
        if read.len() > bound || grpc::first_frame_end(&read).is_some() {
            return Ok(ReadUpTo::Longer(read.freeze()));
        }
    }
    Ok(ReadUpTo::Whole(read.freeze(), None))
}

/// One frame is passed on as it is; several were copied together.
fn joined(first: Bytes, more: BytesMut) -> Bytes {
    if more.is_empty() { first } else { more.freeze() }
}
