//! One caller's connection: TLS, HTTP/1.1 or HTTP/2, and its orderly end.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::error::Error as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::first_bytes::FirstBytes;
use crate::local::LocalExecutor;
use crate::pipeline;
use crate::stalled::{STALL_MAX, Stalled};
use crate::worker::Worker;

/// How long a caller may take to shake hands.
const TLS_HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Requests that one HTTP/2 connection may have under way.
const H2_STREAMS_MAX: u32 = 256;

/// Tells the connections of a worker that it is time to end.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    begun: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl Drain {
    /// Running requests are finished; idle connections close.
    pub(crate) fn begin(&self) {
        self.begun.set(true);
        self.waiting.take().into_iter().for_each(Waker::wake);
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.get()
    }

    /// What comes of `work`; `None` where the end began first.
    async fn unless_begun<F: Future>(&self, work: F) -> Option<F::Output> {
        let mut work = std::pin::pin!(work);
        let mut waker: Option<Waker> = None;
        let done = std::future::poll_fn(|cx| {
            if self.has_begun() {
                return Poll::Ready(None);
            }
            if waker.is_none() {
                self.register(cx.waker());
                waker = Some(cx.waker().clone());
            }
            work.as_mut().poll(cx).map(Some)
        })
        .await;
        if let Some(waker) = waker {
            self.forget(&waker);
        }
        done
    }

    fn register(&self, waker: &Waker) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.retain(|w| !w.will_wake(waker));
        waiting.push(waker.clone());
    }

    fn forget(&self, waker: &Waker) {
        self.waiting.borrow_mut().retain(|w| !w.will_wake(waker));
    }
}

/// Serves a connection until either side ends it.
pub(crate) async fn serve(worker: Rc<Worker>, stream: TcpStream, peer: SocketAddr) {
    let _ = stream.set_nodelay(true);
    let tls = worker.state().shared.tls.clone();
    let Some(config) = tls else {
        return exchange(worker, stream, peer).await;
    };
    let handshake = tokio::time::timeout(TLS_HANDSHAKE_MAX, TlsAcceptor::from(config).accept(stream));
    let Some(shaken) = worker.drain.unless_begun(handshake).await else { return };
    match shaken {
        Ok(Ok(stream)) => exchange(worker, stream, peer).await,
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "a caller's TLS handshake failed");
            worker.state().counters.borrow_mut().refuse("tls_handshake");
        }
        Err(_) => worker.state().counters.borrow_mut().refuse("tls_handshake_timeout"),
    }
}

async fn exchange<S>(worker: Rc<Worker>, stream: S, peer: SocketAddr)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let limits = worker.state().shared.plan.limits.clone();
    let mut builder = auto::Builder::new(LocalExecutor);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_bytes.max(8192));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    let for_requests = Rc::clone(&worker);
    let service = service_fn(move |request| {
        let state = for_requests.state();
        async move { Ok::<_, Infallible>(pipeline::handle(state, peer, request).await) }
    });
    let stream = FirstBytes::new(Stalled::new(stream, STALL_MAX), limits.head_timeout);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let drain = &worker.drain;
    let mut waker: Option<Waker> = None;
    let mut told = false;
    let ended = std::future::poll_fn(|cx| {
        if waker.is_none() {
            drain.register(cx.waker());
            waker = Some(cx.waker().clone());
        }
        if drain.has_begun() && !told {
            told = true;
            Pin::as_mut(&mut connection).graceful_shutdown();
        }
        match Pin::as_mut(&mut connection).poll(cx) {
            Poll::Ready(ended) => Poll::Ready(ended),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    if let Some(waker) = waker {
        drain.forget(&waker);
    }
    if let Err(error) = ended {
        note(&worker, peer, &*error);
    }
}

/// Counts what ended a connection against the caller's or our wish.
fn note(worker: &Worker, peer: SocketAddr, error: &(dyn std::error::Error + 'static)) {
    let is_late = |e: &std::io::Error| e.kind() == std::io::ErrorKind::TimedOut;
    let reason = match error.downcast_ref::<hyper::Error>() {
        None if error.downcast_ref().is_some_and(is_late) => "head_timeout",
        Some(e) if e.is_parse_too_large() => "head_too_large",
        Some(e) if e.is_parse() => "malformed_http",
        Some(e) if e.is_timeout() => "head_timeout",
        Some(e) if e.source().and_then(|source| source.downcast_ref()).is_some_and(is_late) => "caller_stalled",
        Some(e) if e.is_incomplete_message() || e.is_canceled() => "caller_gone",
        _ => "connection_error",
    };
    tracing::debug!(%peer, reason, %error, "a caller's connection ended early");
    worker.state().counters.borrow_mut().refuse(reason);
}
