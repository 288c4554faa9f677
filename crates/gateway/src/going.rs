//! An answer on its way to a caller that may stop reading it.
//!
//! No more of a body is asked for than can be written: while a caller reads nothing, no timer within the body runs. Here its deadline has a
//! task of its own, which takes the backend's connection and place away from whoever sits on them.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Instant;

use crate::body::AnswerBody;
use crate::protocol::grpc::{self, Code};
use crate::stream::Broken;

/// A body that is read has ended itself by then.
const GRACE: Duration = Duration::from_millis(100);

/// An answer on its way.
#[derive(Debug)]
pub(crate) enum Going {
    /// It is held in whole, and holds nothing of a backend.
    Whole(AnswerBody),
    /// It comes from a backend yet.
    Watched {
        /// How far it is.
        stage: Rc<RefCell<Stage>>,
        /// What gives it up.
        _watch: Watch,
    },
}

/// How far it is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// It is passed on as it comes.
    Flows(AnswerBody),
    /// What is left of it was given up; these trailers say so where there are any.
    GivenUp(Option<HeaderMap>),
    /// The caller has been told.
    Over,
}

/// Ends its task when dropped.
#[derive(Debug)]
pub(crate) struct Watch(AbortHandle);

impl Going {
    pub(crate) fn new(body: AnswerBody) -> Going {
        let Some(deadline) = body.deadline() else { return Going::Whole(body) };
        let stage = Rc::new(RefCell::new(Stage::Flows(body)));
        let task = tokio::task::spawn_local(give_up(Rc::downgrade(&stage), deadline + GRACE));
        Going::Watched { stage, _watch: Watch::over(&task) }
    }
}

/// Gives up what is left of the answer at that time.
async fn give_up(stage: Weak<RefCell<Stage>>, at: Instant) {
    tokio::time::sleep_until(at).await;
    if let Some(stage) = stage.upgrade() {
        stage.borrow_mut().give_up();
    }
}

impl Stage {
    fn give_up(&mut self) {
        let Stage::Flows(body) = self else { return };
        if body.is_end_stream() {
            return;
        }
        match body {
            AnswerBody::Streamed(streamed) => streamed.give_up_unread(),
            AnswerBody::Relayed(relay) => {
                let why = "the deadline passed during the answer";
                let trailers = relay.is_grpc().then(|| grpc::trailers(Code::DeadlineExceeded, why));
                *self = Stage::GivenUp(trailers);
            }
            AnswerBody::Held(_) | AnswerBody::Message(_) => {}
        }
    }
}

impl Body for Going {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let stage = match self.get_mut() {
            Going::Whole(body) => return Pin::new(body).poll_frame(cx),
            Going::Watched { stage, .. } => &mut *stage.borrow_mut(),
        };
        match stage {
            Stage::Flows(body) => Pin::new(body).poll_frame(cx),
            Stage::GivenUp(trailers) => {
                let told = trailers.take().map_or(Err(Broken::Deadline), |trailers| Ok(Frame::trailers(trailers)));
                *stage = Stage::Over;
                Poll::Ready(Some(told))
            }
            Stage::Over => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Going::Whole(body) => body.is_end_stream(),
            Going::Watched { stage, .. } => match &*stage.borrow() {
                Stage::Flows(body) => body.is_end_stream(),
                Stage::GivenUp(_) => false,
                Stage::Over => true,
            },
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Going::Whole(body) => body.size_hint(),
            Going::Watched { stage, .. } => match &*stage.borrow() {
                Stage::Flows(body) => body.size_hint(),
                Stage::GivenUp(_) | Stage::Over => SizeHint::default(),
            },
        }
    }
}

impl Watch {
    pub(crate) fn over<T>(task: &JoinHandle<T>) -> Watch {
        Watch(task.abort_handle())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}
