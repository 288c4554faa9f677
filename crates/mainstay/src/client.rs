//! A small client for the admin API: one request, one connection, one answer.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::cli::Global;
use crate::exit::Stop;
use crate::words;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Most of what somebody else says about a failure.
const SAID_CHARS_MAX: usize = 200;

/// What is kept of a line of an answer that does not end.
const LINE_BYTES_MAX: usize = 4_096;

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Sends one request to the admin API and reads its JSON; an empty answer is `null`. Whatever is not a success stops
/// the command, with what the server said about it.
pub(crate) fn call(global: &Global, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Stop::bug)?;
    runtime.block_on(ask(global, method, path, body))
}

/// The same with a body of text.
pub(crate) fn send_text(global: &Global, path: &str, media: &'static str, text: String) -> Result<Value, Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Stop::bug)?;
    runtime.block_on(send(global, Method::POST, path, Some((media, Bytes::from(text)))))
}

/// Reads what is no JSON: the answer's text, as it is.
pub(crate) fn text(global: &Global, path: &str) -> Result<String, Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Stop::bug)?;
    runtime.block_on(ask_text(global, path))
}

/// The same where a runtime runs already.
pub(crate) async fn ask_text(global: &Global, path: &str) -> Result<String, Stop> {
    let (status, body) = converse(global, Method::GET, path, None).await?;
    if !status.is_success() {
        return Err(refused(status, &body));
    }
    let text = String::from_utf8(body.to_vec());
    text.map_err(|_| Stop::unreachable(anyhow!("what answers at {} does not speak UTF-8", global.url)))
}

/// Reads JSON that not every service has: `None` where nothing is at the path, or what is there is off.
pub(crate) fn call_if_there(global: &Global, path: &str) -> Result<Option<Value>, Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Stop::bug)?;
    runtime.block_on(ask_if_there(global, path))
}

/// The same where a runtime runs already.
pub(crate) async fn ask_if_there(global: &Global, path: &str) -> Result<Option<Value>, Stop> {
    let (status, body) = converse(global, Method::GET, path, None).await?;
    if matches!(status, StatusCode::NOT_FOUND | StatusCode::SERVICE_UNAVAILABLE) {
        return Ok(None);
    }
    read(status, &body, &global.url).map(Some)
}

/// Asks a probe: whether the answer is yes, and if it is not, why.
pub(crate) fn probe(global: &Global, path: &str) -> Result<(bool, Option<String>), Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Stop::bug)?;
    let (status, body) = runtime.block_on(converse(global, Method::GET, path, None))?;
    match status {
        StatusCode::SERVICE_UNAVAILABLE => Ok((false, Some(detail(&body)))),
        _ => read(status, &body, &global.url).map(|_| (true, None)),
    }
}

/// Follows an answer that does not end, and tells each of its lines, until it ends after all.
pub(crate) async fn follow(global: &Global, path: &str, mut each: impl FnMut(&str)) -> anyhow::Result<()> {
    let base = Base::parse(&global.url)?;
    let request = base.request(Method::GET, path, global.token.as_deref(), None)?;
    let stream = tokio::time::timeout(TIMEOUT, TcpStream::connect(&base.address)).await??;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let listening = async {
        let answer = tokio::time::timeout(TIMEOUT, sender.send_request(request)).await??;
        anyhow::ensure!(answer.status().is_success(), "{}", answer.status());
        let mut body = answer.into_body();
        let mut line = Vec::new();
        while let Some(frame) = body.frame().await {
            for byte in frame?.into_data().unwrap_or_default() {
                match byte {
                    b'\n' => {
                        each(&String::from_utf8_lossy(&line));
                        line.clear();
                    }
                    // The start of a line is enough to know it by.
                    byte if line.len() < LINE_BYTES_MAX => line.push(byte),
                    _ => {}
                }
            }
        }
        anyhow::Ok(())
    };
    tokio::pin!(listening);
    tokio::select! {
        ended = &mut listening => ended,
        ended = connection => { ended?; listening.await }
    }
}

/// The same body without what is not said.
pub(crate) fn without_nulls(mut body: Value) -> Value {
    if let Some(fields) = body.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    body
}

/// The same where a runtime runs already.
pub(crate) async fn ask(global: &Global, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Stop> {
    send(global, method, path, body.map(|body| ("application/json", Bytes::from(body.to_string())))).await
}

/// A body and its media type.
type Body = (&'static str, Bytes);

async fn send(global: &Global, method: Method, path: &str, body: Option<Body>) -> Result<Value, Stop> {
    let (status, body) = converse(global, method, path, body).await?;
    read(status, &body, &global.url)
}

async fn converse(
    global: &Global,
    method: Method,
    path: &str,
    body: Option<Body>,
) -> Result<(StatusCode, Bytes), Stop> {
    let base = Base::parse(&global.url).map_err(Stop::usage)?;
    let request = base.request(method, path, global.token.as_deref(), body).map_err(Stop::usage)?;
    let answer = tokio::time::timeout(TIMEOUT, exchange(&base, request)).await;
    answer
        .unwrap_or_else(|_| Err(anyhow!("no answer within {} s", TIMEOUT.as_secs())))
        .with_context(|| {
            format!("cannot reach mainstay at {}; is `mainstay serve` running, and is --url right?", global.url)
        })
        .map_err(Stop::unreachable)
}

/// Tells somebody else something, by a POST of JSON; whatever is not a success within `longest` is an error that says why.
pub(crate) async fn tell(url: &str, body: &Value, longest: Duration) -> anyhow::Result<()> {
    let base = Base::parse(url)?;
    let request = base.request(Method::POST, "", None, Some(("application/json", Bytes::from(body.to_string()))))?;
    let answer = tokio::time::timeout(longest, exchange(&base, request)).await;
    let (status, body) = answer.map_err(|_| anyhow!("no answer within {longest:?}"))??;
    let said: String = String::from_utf8_lossy(&body).trim().chars().take(SAID_CHARS_MAX).collect();
    anyhow::ensure!(status.is_success(), "{status} {said}");
    Ok(())
}

/// Makes a path segment of a name.
pub(crate) fn segment(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// Where the admin API is.
struct Base {
    authority: String,
    address: String,
    prefix: String,
}

impl Base {
    fn parse(url: &str) -> anyhow::Result<Base> {
        let uri: Uri = url.parse().with_context(|| format!("--url {url} is not a URL"))?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http"));
        let authority = authority.ok_or_else(|| anyhow!("--url {url} must look like http://127.0.0.1:8090"))?;
        Ok(Base {
            authority: authority.to_string(),
            address: format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80)),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<Body>,
    ) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.prefix))
            .header(header::HOST, &self.authority)
            .header(header::ACCEPT, "application/json, text/*");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some((media, _)) = &body {
            request = request.header(header::CONTENT_TYPE, *media);
        }
        let body = body.map_or_else(Bytes::new, |(_, body)| body);
        request.body(Full::new(body)).context("the request cannot be written")
    }
}

async fn exchange(base: &Base, request: Request<Full<Bytes>>) -> anyhow::Result<(StatusCode, Bytes)> {
    let stream = TcpStream::connect(&base.address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let conversation = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body =
            Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|error| anyhow!(error))?;
        anyhow::Ok((status, body.to_bytes()))
    };
    tokio::pin!(conversation);
    tokio::select! {
        answer = &mut conversation => answer,
        // The connection may end before the answer's last bytes were read from it.
        ended = connection => { ended?; conversation.await }
    }
}

fn read(status: StatusCode, body: &[u8], url: &str) -> Result<Value, Stop> {
    if !status.is_success() {
        return Err(refused(status, body));
    }
    let parsed = if body.is_empty() { Some(Value::Null) } else { serde_json::from_slice(body).ok() };
    parsed.ok_or_else(|| Stop::unreachable(anyhow!("what answers at {url} does not speak JSON")))
}

/// What a problem document says about itself.
fn detail(body: &[u8]) -> String {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    words::lines(["detail", "title"].iter().find_map(|key| problem[key].as_str()).unwrap_or("no reason given"))
}

/// Why something is no success, as the server said it.
fn refused(status: StatusCode, body: &[u8]) -> Stop {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = detail(body);
    let findings = problem["findings"].as_array().into_iter().flatten().filter_map(|finding| {
        let line = finding["line"].as_u64().map_or_else(String::new, |line| format!("line {line}: "));
        Some(format!("\n  {line}{}", words::lines(finding["message"].as_str()?)))
    });
    let refusals = problem["refusals"].as_array().into_iter().flatten();
    let refusals: String =
        refusals.filter_map(|it| Some(format!("\n  {}", words::lines(it["text"].as_str()?)))).collect();
    let error = anyhow!("{status}: {text}{}{refusals}", findings.collect::<String>());
    let error = match status {
        StatusCode::UNAUTHORIZED => error.context("the admin API wants a token: --token or MAINSTAY_TOKEN"),
        _ => error,
    };
    // The service worked and decided against it.
    if ["promotion-refused", "promotion-failed", "experiment-refused"]
        .iter()
        .any(|kind| problem["type"].as_str().is_some_and(|it| it.ends_with(kind)))
    {
        let several = problem["refusals"].as_array().is_some_and(|list| list.len() > 1);
        return Stop::no(anyhow!("{text}{}", if several { refusals.as_str() } else { "" }));
    }
    if status.is_client_error() { Stop::usage(error) } else { Stop::unreachable(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_path_segments() {
        assert_eq!(segment("chat"), "chat");
        assert_eq!(segment("a/b c\u{e9}"), "a%2Fb%20c%C3%A9");
    }

    #[test]
    fn only_plain_http_urls_are_taken() {
        let base = Base::parse("http://localhost:1/x/").unwrap();
        assert_eq!((base.address.as_str(), base.prefix.as_str()), ("localhost:1", "/x"));
        for url in ["https://localhost", "localhost:8090", "/x", ""] {
            assert!(Base::parse(url).is_err(), "{url}");
        }
    }
}
