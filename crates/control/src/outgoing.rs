//! Requests that go out: one request, one connection, one answer. They are few.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};

/// Why a URL names no place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PlaceError {
    /// It is no URL, or has no host.
    Shape,
    /// Another scheme than `http` and `https`.
    Scheme,
    /// It holds credentials.
    Credentials,
}

/// Where a request goes.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// A name or an address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// As the `Host` header says it.
    pub(crate) authority: String,
    /// The path and the query, as they were written; begins with a slash.
    pub(crate) path: String,
    pub(crate) https: bool,
}

impl Place {
    pub(crate) fn parse(url: &str) -> Result<Place, PlaceError> {
        let uri: Uri = url.parse().map_err(|_| PlaceError::Shape)?;
        let authority = uri.authority().filter(|it| !it.host().is_empty()).ok_or(PlaceError::Shape)?;
        if authority.as_str().contains('@') {
            return Err(PlaceError::Credentials);
        }
        let https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) | None => return Err(PlaceError::Scheme),
        };
        Ok(Place {
            host: authority.host().trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: authority.port_u16().unwrap_or(if https { 443 } else { 80 }),
            authority: authority.to_string(),
            path: uri.path_and_query().map_or("/", |it| it.as_str()).to_owned(),
            https,
        })
    }
}

/// TLS that trusts the public roots, and `more`.
pub(crate) fn tls(more: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for certificate in more {
        roots.add(certificate.clone())?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Sends a request on a fresh connection, and reads the answer as `read` does.
pub(crate) async fn exchange<S, R, F>(
    stream: S,
    request: Request<Full<Bytes>>,
    read: R,
) -> Result<F::Output, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    R: FnOnce(Response<Incoming>) -> F,
    F: Future,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let conversation = async {
        let answer = sender.send_request(request).await?;
        Ok(read(answer).await)
    };
    let (mut conversation, mut connection) = (std::pin::pin!(conversation), std::pin::pin!(connection));
    let mut is_open = true;
    // The connection works while the conversation waits. It may end first: a server may close as soon as it has
    // answered, and the conversation tells what became of it.
    loop {
        tokio::select! {
            biased;
            answer = &mut conversation => return answer,
            _ = &mut connection, if is_open => is_open = false,
        }
    }
}
