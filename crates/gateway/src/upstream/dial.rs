//! Opens a connection to an endpoint and shakes hands on it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Endpoint, SendError};
use crate::body::Outgoing;
use crate::local::LocalExecutor;

/// What requests are sent through.
pub(crate) enum Sender {
    /// One request at a time.
    H1(http1::SendRequest<Outgoing>),
    /// Many at once.
    H2(http2::SendRequest<Outgoing>),
}

/// Opens a connection within `limit`. The connection's task runs on the calling worker.
pub(crate) async fn dial(
    endpoint: &Endpoint,
    tls: Option<&Arc<rustls::ClientConfig>>,
    limit: Duration,
) -> Result<Sender, SendError> {
    match tokio::time::timeout(limit, connect(endpoint, tls)).await {
        Ok(sender) => sender,
        Err(_) => Err(SendError::ConnectTimeout),
    }
}

async fn connect(endpoint: &Endpoint, tls: Option<&Arc<rustls::ClientConfig>>) -> Result<Sender, SendError> {
    let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await.map_err(SendError::Connect)?;
    stream.set_nodelay(true).map_err(SendError::Connect)?;
    let Some(config) = tls.filter(|_| endpoint.tls) else {
        return handshake(stream, endpoint.h2c).await;
    };
    let name = ServerName::try_from(endpoint.host.clone())
        .map_err(|_| SendError::Tls(io::Error::other("the host is neither a name nor an address")))?;
    let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await.map_err(SendError::Tls)?;
    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    handshake(stream, h2).await
}

async fn handshake<S>(stream: S, h2: bool) -> Result<Sender, SendError>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let io = TokioIo::new(stream);
    if h2 {
        let (sender, connection) = http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .handshake(io)
            .await
            .map_err(SendError::Http)?;
        tokio::task::spawn_local(connection_task(connection));
        return Ok(Sender::H2(sender));
    }
    let (sender, connection) = http1::handshake(io).await.map_err(SendError::Http)?;
    tokio::task::spawn_local(connection_task(connection));
    Ok(Sender::H1(sender))
}

/// Drives a connection until it ends. What went wrong is told to the request that was on it.
async fn connection_task<C>(connection: C)
where
    C: Future<Output = Result<(), hyper::Error>>,
{
    if let Err(error) = connection.await {
        tracing::trace!(%error, "a backend's connection ended");
    }
}
