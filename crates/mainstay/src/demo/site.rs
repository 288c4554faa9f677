//! An HTTP server on a loopback port that can be killed and brought back.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Most connections at once; further ones wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 512;

/// How often a killed site tries to get its port back.
const REBIND_EVERY: Duration = Duration::from_millis(50);

/// An answer whose whole body is known.
pub(super) type Answer = Response<Full<Bytes>>;

/// What a site does with a request.
pub(super) trait Handler: Send + Sync + 'static {
    /// Answers one request.
    fn handle(self: Arc<Self>, request: Request<Incoming>) -> Pin<Box<dyn Future<Output = Answer> + Send>>;
}

/// The handle of a running site.
#[derive(Debug)]
pub(super) struct Site {
    /// Where it listens while it lives.
    pub(super) address: SocketAddr,
    alive: watch::Sender<bool>,
}

impl Site {
    /// Opens a port that the system picks, and serves it as a task of `tasks`.
    pub(super) async fn open(handler: Arc<dyn Handler>, tasks: &mut JoinSet<()>) -> io::Result<Site> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (alive, watched) = watch::channel(true);
        tasks.spawn(live(listener, address, handler, watched));
        Ok(Site { address, alive })
    }

    /// Kills it, which closes the listener and every connection, requests under way included, as a crash does; or
    /// lets it listen again, on the same port.
    pub(super) fn set_alive(&self, alive: bool) {
        self.alive.send_replace(alive);
    }
}

async fn live(listener: TcpListener, address: SocketAddr, handler: Arc<dyn Handler>, mut alive: watch::Receiver<bool>) {
    let mut open = Some(listener);
    loop {
        let listener = match open.take() {
            Some(listener) => listener,
            None => rebind(address).await,
        };
        tokio::select! {
            () = serve(listener, &handler) => {}
            gone = alive.wait_for(|alive| !alive) => if gone.is_err() { return },
        }
        if alive.wait_for(|alive| *alive).await.is_err() {
            return;
        }
    }
}

/// Serves until dropped; dropping it closes the listener and aborts every connection.
async fn serve(listener: TcpListener, handler: &Arc<dyn Handler>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => { connections.spawn(converse(stream, Arc::clone(handler))); }
                // Out of descriptors, or the peer was gone already: a breath, then the next one.
                Err(_) => tokio::time::sleep(REBIND_EVERY).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn converse(stream: TcpStream, handler: Arc<dyn Handler>) {
    // Small answers must not wait for an acknowledgement; a socket that refuses the option still works.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let answer = Arc::clone(&handler).handle(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    // An error here is the peer's end of the connection: nothing to do and nobody to tell.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// A port that was just closed can be taken by another process for a moment, so this tries until it has it.
async fn rebind(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(_) => tokio::time::sleep(REBIND_EVERY).await,
        }
    }
}

/// An answer with a JSON body.
pub(super) fn json(status: StatusCode, body: &serde_json::Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    answer
}
