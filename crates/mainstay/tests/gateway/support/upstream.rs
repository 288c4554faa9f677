//! Upstreams that speak HTTP well and answer what a test tells them to.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// A request as the upstream saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The how manieth request of this upstream, from 0.
    pub(crate) number: usize,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().expect("a printable header"))
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// A body that is whole, or comes as a test sends it.
pub(crate) enum Flow {
    Whole(Option<Bytes>),
    Parts(mpsc::UnboundedReceiver<std::io::Result<Bytes>>),
    /// Frames in a row, the last of which may be trailers.
    Frames(std::collections::VecDeque<Frame<Bytes>>),
}

impl Body for Flow {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Flow::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Flow::Parts(parts) => parts.poll_recv(cx).map(|part| part.map(|part| part.map(Frame::data))),
            Flow::Frames(frames) => Poll::Ready(frames.pop_front().map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Flow::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Flow::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Flow::Parts(_) | Flow::Frames(_) => SizeHint::default(),
        }
    }
}

/// A JSON answer.
pub(crate) fn json(status: u16, body: impl Into<Bytes>) -> Response<Flow> {
    let body = Flow::Whole(Some(body.into()));
    Response::builder().status(status).header("content-type", "application/json").body(body).expect("an answer")
}

/// An answer whose body a test sends part by part.
pub(crate) fn parts(content_type: &str) -> (mpsc::UnboundedSender<std::io::Result<Bytes>>, Response<Flow>) {
    let (sender, parts) = mpsc::unbounded_channel();
    let answer = Response::builder().header("content-type", content_type).body(Flow::Parts(parts));
    (sender, answer.expect("an answer"))
}

/// An inference answer of `model` that echoes the request's id and is this sure.
pub(crate) fn predicts(seen: &Seen, model: &str, probability: f64) -> Response<Flow> {
    let request: serde_json::Value = serde_json::from_slice(&seen.body).unwrap_or_default();
    let outputs = serde_json::json!([{ "name": "p", "shape": [1], "datatype": "FP64", "data": [probability] }]);
    let mut answer = serde_json::json!({ "model_name": model, "outputs": outputs });
    if let Some(id) = request.get("id") {
        answer["id"] = id.clone();
    }
    json(200, answer.to_string())
}

/// A running upstream. It ends when dropped.
pub(crate) struct Upstream {
    pub(crate) addr: SocketAddr,
    record: Arc<Record>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Record {
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    under_way: AtomicUsize,
    most: AtomicUsize,
    cancelled: AtomicUsize,
}

/// Counts a call until dropped; one that was dropped before its answer was cancelled.
struct UnderWay {
    record: Arc<Record>,
    answered: bool,
}

impl UnderWay {
    fn begin(record: &Arc<Record>) -> UnderWay {
        let now = record.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        record.most.fetch_max(now, Ordering::SeqCst);
        UnderWay { record: Arc::clone(record), answered: false }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.record.under_way.fetch_sub(1, Ordering::SeqCst);
        if !self.answered {
            self.record.cancelled.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Upstream {
    /// Answers HTTP/1.1 and HTTP/2 with what `answer` gives.
    pub(crate) async fn start<F, R>(answer: F) -> Upstream
    where
        F: Fn(Seen) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<Flow>> + Send + 'static,
    {
        Upstream::start_tls(None, answer).await
    }

    /// The same over TLS.
    #[expect(clippy::unused_async, reason = "all stand-ins are awaited, whether or not opening their port takes time")]
    pub(crate) async fn start_tls<F, R>(tls: Option<Arc<rustls::ServerConfig>>, answer: F) -> Upstream
    where
        F: Fn(Seen) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<Flow>> + Send + 'static,
    {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        // Room for a crowd: what does not fit is dropped by the kernel and tried again a second later.
        let listener = socket.listen(4096).expect("a listener");
        let addr = listener.local_addr().expect("an address");
        let record = Arc::<Record>::default();
        let accepting = tokio::spawn(accept(listener, tls, Arc::clone(&record), answer));
        Upstream { addr, record, accepting }
    }

    /// One that predicts this probability.
    pub(crate) async fn predicting(model: &'static str, probability: f64) -> Upstream {
        Upstream::start(move |seen| async move { predicts(&seen, model, probability) }).await
    }

    /// One that never answers.
    pub(crate) async fn hanging() -> Upstream {
        Upstream::start(|_| std::future::pending()).await
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.record.seen.lock().expect("no test panics in here").clone()
    }

    /// The only request so far.
    pub(crate) fn only(&self) -> Seen {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1);
        seen.remove(0)
    }

    pub(crate) fn count(&self) -> usize {
        self.record.seen.lock().expect("no test panics in here").len()
    }

    pub(crate) fn connections(&self) -> usize {
        self.record.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn under_way(&self) -> usize {
        self.record.under_way.load(Ordering::SeqCst)
    }

    /// Most calls at once.
    pub(crate) fn most(&self) -> usize {
        self.record.most.load(Ordering::SeqCst)
    }

    /// Calls whose caller left before the answer.
    pub(crate) fn cancelled(&self) -> usize {
        self.record.cancelled.load(Ordering::SeqCst)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept<F, R>(listener: TcpListener, tls: Option<Arc<rustls::ServerConfig>>, record: Arc<Record>, answer: F)
where
    F: Fn(Seen) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<Flow>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        record.connections.fetch_add(1, Ordering::SeqCst);
        let (record, answer, tls) = (Arc::clone(&record), answer.clone(), tls.clone());
        connections.spawn(async move {
            let service = service_fn(move |request| handle(Arc::clone(&record), answer.clone(), request));
            let builder = auto::Builder::new(TokioExecutor::new());
            match tls {
                None => drop(builder.serve_connection(TokioIo::new(stream), service).await),
                Some(config) => {
                    if let Ok(stream) = TlsAcceptor::from(config).accept(stream).await {
                        drop(builder.serve_connection(TokioIo::new(stream), service).await);
                    }
                }
            }
        });
    }
}

async fn handle<F, R>(record: Arc<Record>, answer: F, request: Request<Incoming>) -> Result<Response<Flow>, Infallible>
where
    F: Fn(Seen) -> R,
    R: Future<Output = Response<Flow>>,
{
    let mut call = UnderWay::begin(&record);
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let path = head.uri.path_and_query().map_or("", |path| path.as_str()).to_owned();
    let seen = {
        let mut all = record.seen.lock().expect("no test panics in here");
        let number = all.len();
        let seen = Seen { method: head.method, path, version: head.version, headers: head.headers, body, number };
        all.push(seen.clone());
        seen
    };
    let answer = answer(seen).await;
    call.answered = true;
    Ok(answer)
}
