//! HTTP to a channel: with limits, and with redirects that cannot lead inside.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, header};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::answer::Answer;
use super::hush::Hush;
use super::target::is_public;
use super::{ANSWER_MAX, CONNECT_LIMIT};
use crate::outgoing::{self, Place, PlaceError};

/// Most redirects that are followed.
const REDIRECTS_MAX: usize = 3;
/// How long an answer's body is waited for once its status is known: the status says what became of the request.
const BODY_LIMIT: Duration = Duration::from_secs(3);

/// What is sent.
pub(super) struct Outgoing {
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why nothing was answered.
#[derive(Debug)]
pub(super) struct Fault {
    /// Whether it may be answered another time.
    pub(super) is_temporary: bool,
    /// What is wrong, in words of ours.
    pub(super) what: String,
    /// What others said of it; it may hold anything.
    pub(super) detail: String,
}

impl Fault {
    fn later(what: &str, detail: &impl ToString) -> Fault {
        Fault { is_temporary: true, what: what.to_owned(), detail: detail.to_string() }
    }

    pub(super) fn late(what: &str, limit: Duration) -> Fault {
        Fault { is_temporary: true, what: format!("{what} within {} s", limit.as_secs()), detail: String::new() }
    }

    pub(super) fn never(what: impl Into<String>) -> Fault {
        Fault { is_temporary: false, what: what.into(), detail: String::new() }
    }

    /// In a line.
    pub(super) fn why(&self, hush: &Hush) -> String {
        if self.detail.is_empty() { self.what.clone() } else { format!("{}: {}", self.what, hush.shown(&self.detail)) }
    }
}

/// Sends to a URL, and on where it is told to. No fault holds a part of the URL.
pub(super) async fn send(
    tls: &Arc<ClientConfig>,
    url: &str,
    outgoing: &Outgoing,
    private_redirects: bool,
) -> Result<Answer, Fault> {
    let mut place = Place::parse(url).map_err(|error| Fault::never(unusable(error)))?;
    let mut only_public = false;
    for _ in 0..=REDIRECTS_MAX {
        let stream = connect(&place, only_public);
        let stream = tokio::time::timeout(CONNECT_LIMIT, stream).await;
        let stream = stream.map_err(|_| Fault::late("no connection", CONNECT_LIMIT))??;
        let answer = exchange(tls, &place, stream, outgoing).await?;
        let Some(next) = next(&place, &answer)? else { return Ok(answer) };
        (place, only_public) = (next, !private_redirects);
    }
    Err(Fault::never(format!("redirected more than {REDIRECTS_MAX} times")))
}

const fn unusable(error: PlaceError) -> &'static str {
    match error {
        PlaceError::Shape => "the URL is not one such as https://host/path",
        PlaceError::Scheme => "the URL is neither http nor https",
        PlaceError::Credentials => "the URL holds credentials",
    }
}

/// Connects to the very addresses that were looked at: nothing is looked up twice.
async fn connect(place: &Place, only_public: bool) -> Result<TcpStream, Fault> {
    let found = tokio::net::lookup_host((place.host.as_str(), place.port)).await;
    let found: Vec<SocketAddr> = found.map_err(|error| unreachable(&error))?.collect();
    if only_public && !found.iter().all(|address| is_public(address.ip())) {
        let what = "redirected to what is not a public address".to_owned();
        return Err(Fault { is_temporary: false, what, detail: place.host.clone() });
    }
    TcpStream::connect(found.as_slice()).await.map_err(|error| unreachable(&error))
}

fn unreachable(error: &io::Error) -> Fault {
    Fault::later("no connection", error)
}

async fn exchange(
    tls: &Arc<ClientConfig>,
    place: &Place,
    stream: TcpStream,
    outgoing: &Outgoing,
) -> Result<Answer, Fault> {
    if !place.https {
        return converse(stream, place, outgoing).await;
    }
    let name = ServerName::try_from(place.host.clone());
    let name = name.map_err(|_| Fault::never("the host is neither a name nor an address"))?;
    let stream = tokio::time::timeout(CONNECT_LIMIT, TlsConnector::from(Arc::clone(tls)).connect(name, stream)).await;
    let stream = stream.map_err(|_| Fault::late("no TLS", CONNECT_LIMIT))?;
    converse(stream.map_err(|error| Fault::later("no TLS", &error))?, place, outgoing).await
}

async fn converse<S>(stream: S, place: &Place, outgoing: &Outgoing) -> Result<Answer, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = Request::new(Full::new(outgoing.body.clone()));
    *request.method_mut() = outgoing.method.clone();
    *request.uri_mut() = place.path.parse().map_err(|_| Fault::never(unusable(PlaceError::Shape)))?;
    *request.headers_mut() = outgoing.headers.clone();
    let host = header::HeaderValue::from_str(&place.authority);
    request.headers_mut().insert(header::HOST, host.map_err(|_| Fault::never(unusable(PlaceError::Shape)))?);
    let answer = outgoing::exchange(stream, request, read).await;
    answer.map_err(|error| Fault::later("the exchange broke", &error))
}

/// Reads a body as far as it comes: a part of it is enough.
async fn read(answer: Response<Incoming>) -> Answer {
    let (head, mut rest) = answer.into_parts();
    let mut body = BytesMut::new();
    let reading = async {
        while let Some(Ok(frame)) = rest.frame().await {
            let Some(data) = frame.data_ref() else { continue };
            let room = ANSWER_MAX - body.len();
            body.extend_from_slice(&data[..data.len().min(room)]);
            if data.len() >= room {
                break;
            }
        }
    };
    // What was read until then is kept.
    let _ = tokio::time::timeout(BODY_LIMIT, reading).await;
    Answer { status: head.status, headers: head.headers, body: body.freeze() }
}

/// Where an answer sends on to; `None` where it is no redirect.
fn next(from: &Place, answer: &Answer) -> Result<Option<Place>, Fault> {
    if !answer.status.is_redirection() {
        return Ok(None);
    }
    let status = answer.status.as_u16();
    if !matches!(answer.status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT) {
        return Err(Fault::never(format!("redirected with {status}: only 307 and 308 are followed")));
    }
    let location = answer.headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
    let location = location.and_then(|it| it.split('#').next()).filter(|it| !it.is_empty());
    let location = location.ok_or_else(|| Fault::never(format!("redirected with {status} to nowhere")))?;
    let scheme = if from.https { "https" } else { "http" };
    let url = if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{}{location}", from.authority)
    } else {
        location.to_owned()
    };
    let place = Place::parse(&url).map_err(|_| Fault::never(format!("redirected with {status} to no usable URL")))?;
    if from.https && !place.https {
        return Err(Fault::never("redirected from https to http"));
    }
    Ok(Some(place))
}
