//! The listener: connections within bounds, and an orderly end.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef as _;
use axum::http::Request;
use axum::middleware;
use axum::{Extension, Router};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mainstay_core::plan::Token;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower_service::Service as _;

use crate::access::{Peer, Tokens};
use crate::data_plane::Plane;
use crate::guard::{self, Guard};
use crate::site::Site;
use crate::{endpoints, pages};

/// Most connections at once; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 256;
/// How long a request's head may take, and how long a connection may idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest head of a request, in bytes.
const HEAD_MAX: usize = 32 << 10;
/// How long running requests may take once the shutdown began.
const DRAIN: Duration = Duration::from_secs(5);
/// How long to wait after an `accept` that failed, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The admin API, bound to its address.
pub struct Admin {
    listener: TcpListener,
    local_addr: SocketAddr,
    guard: Guard,
    site: Site,
}

/// Why the admin API cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is reachable from elsewhere and nothing would protect it.
    #[error("tokens are required where the address {0} is not a loopback address")]
    TokensRequired(SocketAddr),
    /// A token without a value would let everybody in.
    #[error("a token is empty")]
    EmptyToken,
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Admin {
    /// Listens on `addr`. With `tokens`, every request but probes must carry one of them; without, `addr` must be a
    /// loopback address. Nothing is answered before [`Admin::serve`].
    pub async fn bind(addr: SocketAddr, tokens: &[Token], site: Site) -> Result<Admin, BindError> {
        let loopback_only = addr.ip().to_canonical().is_loopback();
        if tokens.is_empty() && !loopback_only {
            return Err(BindError::TokensRequired(addr));
        }
        let tokens = Tokens::new(tokens).ok_or(BindError::EmptyToken)?;
        let listen = |source| BindError::Listen { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(listen)?;
        let local_addr = listener.local_addr().map_err(listen)?;
        let open = endpoints::open_paths().into_iter().chain(pages::OPEN).collect();
        let plane = Plane::from_ref(&site);
        let guard = Guard { tokens, plane, open, loopback_only, hosts: Vec::new() };
        Ok(Admin { listener, local_addr, guard, site })
    }

    /// Serves these host names, without ports, besides the loopback names: those of a proxy in front, for instance.
    pub fn with_hosts(mut self, hosts: impl IntoIterator<Item = String>) -> Admin {
        self.guard.hosts.extend(hosts.into_iter().map(|host| host.to_ascii_lowercase()));
        self
    }

    /// Believes sessions and forms of browsers, made with this key: it must be a secret that no other start has. Without it the
    /// dashboard can be read with a token in every request, and nothing can be done in it.
    pub fn with_key(mut self, key: [u8; 32]) -> Admin {
        self.guard.tokens.set_key(&key);
        self
    }

    /// Where it listens; with the port that port 0 became.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Answers until `shutdown` completes; then finishes what runs, for at most 5 s.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let guard = Arc::new(self.guard);
        let checked = middleware::from_fn_with_state(Arc::clone(&guard), guard::check);
        let routes = endpoints::router(self.site).layer(checked).layer(Extension(guard));
        let router = routes.layer(middleware::from_fn(pages::dress));
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let (stop, stopped) = watch::channel(());
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                (stream, peer, permit) = next_connection(&self.listener, &permits) => {
                    let (router, stopped) = (router.clone(), stopped.clone());
                    connections.spawn(async move {
                        serve_connection(stream, peer, router, stopped).await;
                        drop(permit);
                    });
                }
                Some(_) = connections.join_next() => {}
            }
        }
        drop(self.listener);
        drop(stop);
        let drained = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!("admin connections were cut off");
        }
    }
}

/// Completes when the admin API is to end: for answers that would go on for ever.
#[derive(Clone)]
pub(crate) struct Stopping(watch::Receiver<()>);

impl Stopping {
    /// Resolves when it does.
    pub(crate) async fn wait(&mut self) {
        // An error says the same: whoever would tell is gone.
        let _ = self.0.changed().await;
    }
}

/// The next connection, once there is room for it.
async fn next_connection(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> (TcpStream, Peer, tokio::sync::OwnedSemaphorePermit) {
    let permit = Arc::clone(permits).acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, Peer(peer.ip()), permit),
            Err(error) => {
                tracing::debug!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection to its end, or to the end of the request that runs when `stopped` closes.
async fn serve_connection(stream: TcpStream, peer: Peer, router: Router, mut stopped: watch::Receiver<()>) {
    let stopping = Stopping(stopped.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(stopping.clone());
        router.clone().call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "admin connection ended");
    }
}
