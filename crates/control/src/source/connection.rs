//! One request, one connection, one answer: a source is asked a few times a minute.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, header};
use mainstay_core::time::Time;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{ANSWER_BYTES_MAX, QueryError};
use crate::outgoing::{self, Place, PlaceError};
use crate::percent::encoded;

/// Why a URL is no source.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// It is no URL, or has no host.
    #[error("the source's URL is not one such as http://127.0.0.1:9090")]
    Shape,
    /// Another scheme than `http` and `https`.
    #[error("the source's URL is neither http nor https")]
    Scheme,
    /// Credentials in the URL: they would reach logs.
    #[error("the source's URL holds credentials")]
    Credentials,
    /// TLS cannot be set up.
    #[error("set TLS up")]
    Tls(#[source] rustls::Error),
}

/// Where a source is.
#[derive(Debug)]
pub(super) struct Address {
    host: String,
    port: u16,
    authority: String,
    prefix: String,
    tls: Option<Arc<ClientConfig>>,
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Address, UrlError> {
        let place = Place::parse(url).map_err(|error| match error {
            PlaceError::Shape => UrlError::Shape,
            PlaceError::Scheme => UrlError::Scheme,
            PlaceError::Credentials => UrlError::Credentials,
        })?;
        let tls = if place.https { Some(outgoing::tls(&[]).map_err(UrlError::Tls)?) } else { None };
        let path = place.path.split('?').next().unwrap_or_default();
        let prefix = path.trim_end_matches('/').to_owned();
        Ok(Address { host: place.host, port: place.port, authority: place.authority, prefix, tls })
    }

    /// Asks for an expression's value at a time.
    pub(super) async fn query(&self, expression: &str, at: Time) -> Result<(u16, Bytes), QueryError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(QueryError::Connect)?;
        let Some(config) = &self.tls else { return self.exchange(stream, expression, at).await };
        let name =
            ServerName::try_from(self.host.clone()).map_err(|error| QueryError::Connect(io::Error::other(error)))?;
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await.map_err(QueryError::Connect)?;
        self.exchange(stream, expression, at).await
    }

    async fn exchange<S>(&self, stream: S, expression: &str, at: Time) -> Result<(u16, Bytes), QueryError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let read = |answer: hyper::Response<hyper::body::Incoming>| async {
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| QueryError::Body(error.to_string()))?;
            Ok((status, body.to_bytes()))
        };
        outgoing::exchange(stream, self.request(expression, at), read).await.map_err(QueryError::Http)?
    }

    /// A form in the body: expressions grow longer than what intermediaries take in a path.
    fn request(&self, expression: &str, at: Time) -> Request<Full<Bytes>> {
        let form = format!("query={}&time={}.{:03}", encoded(expression), at.as_millis() / 1000, at.as_millis() % 1000);
        let mut request = Request::new(Full::new(Bytes::from(form)));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() =
            format!("{}/api/v1/query", self.prefix).parse().expect("the path of a URI, and a plain path");
        let headers = request.headers_mut();
        let authority = header::HeaderValue::from_str(&self.authority).expect("the authority of a URI");
        headers.insert(header::HOST, authority);
        headers.insert(header::ACCEPT, header::HeaderValue::from_static("application/json"));
        let form = header::HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, form);
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_bases() {
        let address = Address::parse("http://[::1]:9090/mimir/").unwrap();
        let parts = (address.host.as_str(), address.port, address.prefix.as_str());
        assert_eq!(parts, ("::1", 9090, "/mimir"));
        let address = Address::parse("https://prometheus.example").unwrap();
        assert_eq!((address.port, address.tls.is_some()), (443, true));
        assert!(matches!(Address::parse("ftp://x"), Err(UrlError::Scheme)));
        assert!(matches!(Address::parse("http://a:b@x"), Err(UrlError::Credentials)));
        assert!(matches!(Address::parse("/x"), Err(UrlError::Shape)));
    }

    #[test]
    fn expressions_become_forms() {
        assert_eq!(encoded("a{b=\"c\"}+1"), "a%7Bb%3D%22c%22%7D%2B1");
    }
}
