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
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Most connections at once; further ones wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 512;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: u32 = 1024;

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

async fn live(
    mut listener: TcpListener,
    address: SocketAddr,
    handler: Arc<dyn Handler>,
    mut alive: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            () = serve(listener, &handler) => {}
            gone = alive.wait_for(|alive| !alive) => if gone.is_err() { return },
        }
        let mut reserved = reserve(address).await;
        if alive.wait_for(|alive| *alive).await.is_err() {
            return;
        }
        listener = loop {
            match reserved.listen(BACKLOG) {
                Ok(listener) => break listener,
                Err(_) => reserved = reserve(address).await,
            }
        };
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

/// Holds the port of a killed site without listening: callers are refused, as by a port that is free, but the
/// system gives it to nobody else meanwhile. Somebody may have it for a moment, so this tries until it has it.
async fn reserve(address: SocketAddr) -> TcpSocket {
    let bind = || {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        io::Result::Ok(socket)
    };
    loop {
        match bind() {
            Ok(socket) => return socket,
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

#[cfg(test)]
mod tests {
    use super::*;

    struct Hello;

    impl Handler for Hello {
        fn handle(self: Arc<Self>, _: Request<Incoming>) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
            Box::pin(async { json(StatusCode::OK, &serde_json::json!({})) })
        }
    }

    /// The status of a fresh request; `None`: the connection is refused or breaks.
    async fn ask(address: SocketAddr) -> Option<StatusCode> {
        let stream = TcpStream::connect(address).await.ok()?;
        let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        let request = Request::get("/").body(Full::<Bytes>::default()).ok()?;
        tokio::select! {
            answer = sender.send_request(request) => Some(answer.ok()?.status()),
            _ = driver => None,
        }
    }

    #[tokio::test]
    async fn a_killed_site_refuses_and_comes_back_on_its_port() {
        let mut tasks = JoinSet::new();
        let site = Site::open(Arc::new(Hello), &mut tasks).await.unwrap();
        assert_eq!(ask(site.address).await, Some(StatusCode::OK));

        site.set_alive(false);
        while ask(site.address).await.is_some() {
            tokio::task::yield_now().await;
        }
        let refused = TcpStream::connect(site.address).await;
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);

        site.set_alive(true);
        while ask(site.address).await.is_none() {
            tokio::task::yield_now().await;
        }
    }
}
