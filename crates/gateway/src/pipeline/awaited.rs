//! A caller of a stream that waits for long before any of it may be shown: it is told that somebody is there (`stream: { heartbeat }`).
//!
//! Its head has to go out for that, so that its status is 200 whatever comes: what would have had another one ends the stream as an error event.

use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use http_body::{Body, Frame, SizeHint};
use mainstay_core::llm::Dialect;
use mainstay_core::llm::delta::Told;
use mainstay_core::llm::render::Renderer;
use mainstay_core::llm::translate;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep};

use crate::body::AnswerBody;
use crate::going::{Going, Watch};
use crate::headers;
use crate::identity::REQUEST_ID;
use crate::stream::Broken;

/// What is known of a request while it is answered: the dialect of the stream that it asks for, and its id.
pub(super) type Sign = Rc<RefCell<Option<(Dialect, HeaderValue)>>>;

/// The work on an answer.
pub(super) type Work = Pin<Box<dyn Future<Output = Response<AnswerBody>>>>;

/// What a caller reads.
#[derive(Debug)]
pub(crate) enum Shown {
    /// The answer.
    Now(Going),
    /// Signs of life until the answer's time has come.
    Awaited(Box<Awaited>),
}

/// An answer that is not there yet.
pub(crate) struct Awaited {
    work: Option<Tended>,
    answer: Option<Going>,
    renderer: Renderer,
    beat: Duration,
    timer: Pin<Box<Sleep>>,
}

/// The work on an answer as a task of its own, which ends when it is dropped: it goes on while its caller reads nothing, and so do its deadlines.
struct Tended {
    /// The answer, or what is told instead of it.
    answer: JoinHandle<Result<Going, Bytes>>,
    _watch: Watch,
}

impl fmt::Debug for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Awaited").field("beat", &self.beat).finish_non_exhaustive()
    }
}

/// The answer where it comes in time, or where nobody has asked for a stream; else the beginning of one.
pub(super) async fn answer(mut work: Work, sign: Sign, beat: Duration) -> Response<Shown> {
    loop {
        if let Ok(answer) = tokio::time::timeout(beat, &mut work).await {
            return answer.map(|body| Shown::Now(Going::new(body)));
        }
        let Some((dialect, id)) = sign.borrow().clone() else { continue };
        let renderer = Renderer::new(dialect, false, id.to_str().unwrap_or_default(), 0);
        // The first sign goes out with the head.
        let timer = Box::pin(tokio::time::sleep(Duration::ZERO));
        let work = Some(Tended::new(work, renderer.clone()));
        let awaited = Awaited { work, answer: None, renderer, beat, timer };
        let mut answer = Response::new(Shown::Awaited(Box::new(awaited)));
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(EVENTS));
        answer.headers_mut().insert(REQUEST_ID, id);
        return answer;
    }
}

const EVENTS: &str = "text/event-stream";

impl Tended {
    fn new(work: Work, renderer: Renderer) -> Tended {
        let answer = tokio::task::spawn_local(async move { taken(work.await, renderer).map(Going::new) });
        let watch = Watch::over(&answer);
        Tended { answer, _watch: watch }
    }
}

/// What goes on of an answer; an error: what is told instead.
fn taken(answer: Response<AnswerBody>, mut renderer: Renderer) -> Result<AnswerBody, Bytes> {
    let (head, body) = answer.into_parts();
    let is_stream =
        head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(EVENTS.as_bytes()));
    if head.status.is_success() && is_stream {
        return Ok(body);
    }
    let told = body.whole().and_then(|bytes| serde_json::from_slice(bytes).ok()).map(|body| translate::told(&body));
    let mut told = told.unwrap_or_else(|| Told { message: "there is no answer".into(), ..Told::default() });
    if told.kind.is_empty() {
        told.kind = "api_error".into();
    }
    if told.code.is_empty() {
        reason(&head.headers).unwrap_or(head.status.as_str()).clone_into(&mut told.code);
    }
    let mut bytes = Vec::new();
    renderer.error(&told, &mut bytes);
    Err(bytes.into())
}

fn reason(fields: &HeaderMap) -> Option<&str> {
    fields.get(headers::REASON)?.to_str().ok()
}

impl Body for Awaited {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let me = self.get_mut();
        loop {
            if let Some(answer) = &mut me.answer {
                return Pin::new(answer).poll_frame(cx);
            }
            let Some(work) = &mut me.work else { return Poll::Ready(None) };
            if let Poll::Ready(answer) = Pin::new(&mut work.answer).poll(cx) {
                me.work = None;
                match answer {
                    Ok(Ok(answer)) => me.answer = Some(answer),
                    Ok(Err(told)) => return Poll::Ready(Some(Ok(Frame::data(told)))),
                    // A panic is one as it would be without the task; it is ended from outside with its runtime alone.
                    Err(gone) => match gone.try_into_panic() {
                        Ok(panic) => std::panic::resume_unwind(panic),
                        Err(_) => return Poll::Ready(None),
                    },
                }
                continue;
            }
            ready!(me.timer.as_mut().poll(cx));
            me.timer.as_mut().reset(Instant::now() + me.beat);
            let mut bytes = Vec::new();
            me.renderer.heartbeat(&mut bytes);
            return Poll::Ready(Some(Ok(Frame::data(bytes.into()))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.work.is_none() && self.answer.as_ref().is_none_or(Going::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl Body for Shown {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Shown::Now(answer) => Pin::new(answer).poll_frame(cx),
            Shown::Awaited(awaited) => Pin::new(awaited).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Shown::Now(answer) => answer.is_end_stream(),
            Shown::Awaited(awaited) => awaited.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Shown::Now(answer) => answer.size_hint(),
            Shown::Awaited(awaited) => awaited.size_hint(),
        }
    }
}
