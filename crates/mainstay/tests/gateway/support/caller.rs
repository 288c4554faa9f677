//! Callers that speak HTTP well.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::{soon, until};

/// An answer that has been read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) async fn read(response: Response<Incoming>) -> Answer {
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("the answer's body arrives in whole").to_bytes();
        Answer { status: head.status.as_u16(), version: head.version, headers: head.headers, body }
    }

    /// The value of a header; "" where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().expect("a printable header"))
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }

    /// Status, level, degraded, attempts, reason.
    pub(crate) fn facts(&self) -> (u16, &str, &str, &str, &str) {
        let header = |name| self.header(name);
        (
            self.status,
            header("x-mainstay-level"),
            header("x-mainstay-degraded"),
            header("x-mainstay-attempts"),
            header("x-mainstay-reason"),
        )
    }
}

/// A connection that is kept.
pub(crate) enum Caller {
    H1(http1::SendRequest<Full<Bytes>>),
    H2(http2::SendRequest<Full<Bytes>>),
}

impl Caller {
    /// HTTP/1.1.
    pub(crate) async fn connect(addr: SocketAddr) -> Caller {
        Caller::h1(TcpStream::connect(addr).await.expect("the gateway accepts")).await
    }

    /// HTTP/2 with prior knowledge.
    pub(crate) async fn connect_h2(addr: SocketAddr) -> Caller {
        Caller::h2(TcpStream::connect(addr).await.expect("the gateway accepts")).await
    }

    pub(crate) async fn h1(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Caller {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a connection");
        tokio::spawn(connection);
        Caller::H1(sender)
    }

    pub(crate) async fn h2(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Caller {
        let shake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = shake.await.expect("a connection");
        tokio::spawn(connection);
        Caller::H2(sender)
    }

    /// Sends a request; the answer's head, with its body still to come.
    pub(crate) async fn begin(&mut self, mut request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        match self {
            Caller::H1(sender) => {
                request.headers_mut().insert("host", HeaderValue::from_static("gateway.test"));
                sender.ready().await?;
                sender.send_request(request).await
            }
            Caller::H2(sender) => {
                let path = request.uri().path_and_query().expect("a path").as_str();
                *request.uri_mut() = format!("http://gateway.test{path}").parse().expect("a URI");
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }

    pub(crate) async fn ask(&mut self, request: Request<Full<Bytes>>) -> Answer {
        let answer = async { Answer::read(self.begin(request).await.expect("an answer")).await };
        soon("an answer", answer).await
    }

    fn is_closed(&self) -> bool {
        match self {
            Caller::H1(sender) => sender.is_closed(),
            Caller::H2(sender) => sender.is_closed(),
        }
    }

    /// Waits until the other side has closed.
    pub(crate) async fn closed(&self) {
        until("the end of a connection", || self.is_closed().then_some(())).await;
    }
}

/// One request on a connection of its own.
pub(crate) async fn ask(addr: SocketAddr, request: Request<Full<Bytes>>) -> Answer {
    Caller::connect(addr).await.ask(request).await
}

/// A JSON request.
pub(crate) fn post(path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let builder = Request::post(path).header("content-type", "application/json");
    let builder = headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
    builder.body(Full::new(body.into())).expect("a request")
}

/// An inference request for the model `fraud`.
pub(crate) fn infer(headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    post("/v2/models/fraud/infer", headers, INFER)
}

/// The body of [`infer`].
pub(crate) const INFER: &str =
    r#"{"id":"caller-1","inputs":[{"name":"x","shape":[1,2],"datatype":"FP64","data":[1.5,2.5]}]}"#;
