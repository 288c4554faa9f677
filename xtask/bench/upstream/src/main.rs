//! A model server and feature store stand-in that costs next to nothing: one thread, fixed replies.
//!
//! POST /v2/models/{m}/infer     Open Inference Protocol reply, about 200 bytes
//! POST /v1/chat/completions     OpenAI reply, about 400 bytes; 20 server-sent events where the body has "stream":true
//! POST /get-online-features     Feast reply: two features of one entity
//! GET  /v1/models, health paths
//!
//! env: UPSTREAM_ADDR (127.0.0.1:9001)

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

type Body = UnsyncBoxBody<Bytes, Infallible>;

const INFER: &str = r#"{"model_name":"m","model_version":"1","id":"00000000-0000-4000-8000-000000000000","outputs":[{"name":"predict","shape":[1,4],"datatype":"FP64","data":[0.125,0.25,0.5,0.125],"parameters":{"c":"np"}}]}"#;
const CHAT: &str = r#"{"id":"chatcmpl-0123456789abcdef","object":"chat.completion","created":1700000000,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"The quick brown fox jumps over the lazy dog, and then it rests for a while under the old oak tree by the river."},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":26,"total_tokens":38},"system_fingerprint":"fp_0"}"#;
const MODELS: &str = r#"{"object":"list","data":[{"id":"m","object":"model","created":1700000000,"owned_by":"bench"}]}"#;
const CHUNKS: usize = 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let address = std::env::var("UPSTREAM_ADDR").unwrap_or_else(|_| "127.0.0.1:9001".to_owned());
    let address: SocketAddr = address.parse().map_err(std::io::Error::other)?;
    let listener = listen(address)?;
    let features = Bytes::from(features());
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let features = features.clone();
        tokio::spawn(async move {
            // Without Nagle's delay; a socket that refuses is as good as closed.
            if socket.set_nodelay(true).is_ok() {
                let service = service_fn(move |request| handle(request, features.clone()));
                let connection = http1::Builder::new().pipeline_flush(true).serve_connection(TokioIo::new(socket), service);
                // A peer that went away is no error of this server.
                connection.await.ok();
            }
        });
    }
}

fn listen(address: SocketAddr) -> std::io::Result<tokio::net::TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    tokio::net::TcpListener::from_std(socket.into())
}

async fn handle(request: Request<Incoming>, features: Bytes) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let Ok(body) = request.into_body().collect().await else {
        return Ok(json(StatusCode::BAD_REQUEST, r#"{"error":"body"}"#));
    };
    let body = body.to_bytes();
    Ok(match path.as_str() {
        "/get-online-features" => json(StatusCode::OK, features),
        "/v1/chat/completions" if streams(&body) => events(),
        "/v1/chat/completions" => json(StatusCode::OK, CHAT),
        "/v1/models" => json(StatusCode::OK, MODELS),
        "/health" | "/healthz" => json(StatusCode::OK, "{}"),
        path if path.starts_with("/v2/health") => json(StatusCode::OK, "{}"),
        path if path.starts_with("/v2/models/") && path.ends_with("/infer") => json(StatusCode::OK, INFER),
        _ => json(StatusCode::NOT_FOUND, r#"{"error":"no such path"}"#),
    })
}

fn streams(body: &[u8]) -> bool {
    let text = std::str::from_utf8(body).unwrap_or_default();
    text.contains(r#""stream":true"#) || text.contains(r#""stream": true"#)
}

fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn events() -> Response<Body> {
    let frames = (0..=CHUNKS).map(|n| Ok::<_, Infallible>(Frame::data(Bytes::from(event(n)))));
    let mut response = Response::new(BodyExt::boxed_unsync(StreamBody::new(stream::iter(frames))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

fn event(n: usize) -> String {
    if n == CHUNKS {
        return "data: [DONE]\n\n".to_owned();
    }
    let finish = if n + 1 == CHUNKS { r#""stop""# } else { "null" };
    let choice = format!(r#"{{"index":0,"delta":{{"role":"assistant","content":"tok{n} "}},"finish_reason":{finish}}}"#);
    format!(
        "data: {{\"id\":\"chatcmpl-0\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"m\",\"choices\":[{choice}]}}\n\n"
    )
}

/// As Feast writes it: one column for each name, the entity among them, in an order of its own. The features were
/// written when this server started.
fn features() -> String {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let at = rfc3339(at);
    let column = |value: &str| format!(r#"{{"values":[{value}],"statuses":["PRESENT"],"event_timestamps":["{at}"]}}"#);
    let columns = [column("7"), column("12.5"), column("3")].join(",");
    format!(r#"{{"results":[{columns}],"metadata":{{"feature_names":["account_id","amount_avg_7d","tx_count_24h"]}}}}"#)
}

/// Seconds since 1970 as RFC 3339; the calendar is Howard Hinnant's `civil_from_days`.
fn rfc3339(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn times_are_written_in_the_civil_calendar() {
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_795_403_702), "2026-11-23T03:15:02Z");
    }
}
