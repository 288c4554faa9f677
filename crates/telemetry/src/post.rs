//! A POST over HTTP/1.1 that ends in time.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Longest answer that is read.
const ANSWER_MAX: usize = 64 << 10;

/// Why a body was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It may be taken later.
    Later(String),
    /// It will not.
    Never(String),
}

/// Sends a body of protobuf; whatever it takes, it ends within `longest`.
pub(crate) async fn protobuf(
    url: &str,
    headers: &[(String, String)],
    body: Vec<u8>,
    longest: Duration,
) -> Result<(), Refused> {
    match tokio::time::timeout(longest, exchange(url, headers, body)).await {
        Ok(answer) => answer,
        Err(_) => Err(Refused::Later(format!("no answer within {longest:?}"))),
    }
}

async fn exchange(url: &str, headers: &[(String, String)], body: Vec<u8>) -> Result<(), Refused> {
    let never = |error: &dyn std::fmt::Display| Refused::Never(error.to_string());
    let later = |error: &dyn std::fmt::Display| Refused::Later(error.to_string());
    let uri: Uri = url.parse().map_err(|error| never(&error))?;
    let authority = uri.authority().ok_or_else(|| never(&"no host in the endpoint"))?;
    let address = (authority.host(), authority.port_u16().unwrap_or(80));
    let stream = TcpStream::connect(address).await.map_err(|error| later(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| later(&error))?;
    let mut request = Request::post(uri.path())
        .header(header::HOST, authority.as_str())
        .header(header::CONTENT_TYPE, "application/x-protobuf");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(Bytes::from(body))).map_err(|error| never(&error))?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(|error| later(&error))?;
        let status = answer.status();
        let read = Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
        drop(read.map_err(|error| later(&error))?);
        Ok(status)
    };
    // A server may close as soon as it has answered: the answer counts all the same.
    let (mut answer, mut connection) = (std::pin::pin!(answer), std::pin::pin!(connection));
    let mut is_open = true;
    let status: StatusCode = loop {
        tokio::select! {
            biased;
            status = &mut answer => break status?,
            _ = &mut connection, if is_open => is_open = false,
        }
    };
    match status {
        status if status.is_success() => Ok(()),
        StatusCode::TOO_MANY_REQUESTS => Err(later(&status)),
        status if status.is_server_error() => Err(later(&status)),
        status => Err(never(&status)),
    }
}
