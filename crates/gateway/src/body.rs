//! Bodies on their way through: what goes to a backend, and what goes back to the caller.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::protocol::FailureCause;
use crate::stream::Relay;

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
pub(crate) struct Upload(Rc<Cell<UploadState>>);

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
    /// What the caller did wrong, where an attempt that failed was `late` or not; `None`: nothing.
    pub(crate) fn fault(&self, late: bool) -> Option<UploadFault> {
        match self.0.get() {
            UploadState::Flowing => None,
            UploadState::Awaited => late.then_some(UploadFault::Late),
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
                upload.0.set(UploadState::Awaited);
                let frame = ready!(Pin::new(rest).poll_frame(cx));
                let length = frame.as_ref().and_then(|f| f.as_ref().ok()?.data_ref().map(Bytes::len)).unwrap_or(0);
                let Some(still) = left.checked_sub(length) else {
                    upload.0.set(UploadState::TooLong);
                    return Poll::Ready(Some(Err("the request's body is longer than `limits.body`".into())));
                };
                *left = still;
                let broken = matches!(frame, Some(Err(_)));
                upload.0.set(if broken { UploadState::Broken } else { UploadState::Flowing });
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
    /// An answer that is passed on as it comes.
    Relayed(Box<Relay>),
}

impl AnswerBody {
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
            AnswerBody::Relayed(relay) => Pin::new(relay).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            AnswerBody::Held(bytes) => bytes.is_none(),
            AnswerBody::Relayed(relay) => relay.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            AnswerBody::Held(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            AnswerBody::Relayed(relay) => relay.size_hint(),
        }
    }
}

/// How reading a body up to a bound ended.
pub(crate) enum ReadUpTo {
    /// All of it.
    Whole(Bytes),
    /// It is longer than the bound: what was read; the rest is still in the body.
    Longer(Bytes),
}

/// Reads `body` until it ends or holds more than `bound` bytes. Trailers are dropped.
pub(crate) async fn read_up_to(body: &mut Incoming, bound: usize) -> Result<ReadUpTo, hyper::Error> {
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
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
    Ok(ReadUpTo::Whole(joined(first, more)))
}

/// One frame is passed on as it is; several were copied together.
fn joined(first: Bytes, more: BytesMut) -> Bytes {
    if more.is_empty() { first } else { more.freeze() }
}
