//! Callers that stop reading: what was asked for them is given back at their deadline.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::rescues::words;
use crate::support::upstream::parts;
use crate::support::{Plane, Upstream, fill, soon, until};

const CONFIG: &str = r"
backends:
  file: { url: 'http://$file', protocol: http, limit: { fixed: { max: 4 } }, breaker: { consecutive: 2 } }
  chat: { url: 'http://$chat', protocol: openai, limit: { fixed: { max: 4 } }, breaker: { consecutive: 2 } }
routes:
  - { name: file, path: /file, deadline: 1s, ladder: [{ level: 0, backend: file }, { level: 4, respond: { body: {} } }] }
  - name: chat
    path: /v1/chat/completions
    deadline: 1s
    ladder: [{ level: 0, backend: chat }, { level: 4, respond: { text: 'Later, please.' } }]
";

/// More than sockets and buffers on the way hold.
async fn flood(content_type: &'static str, chunk: Bytes) -> (Upstream, Arc<AtomicUsize>) {
    let left = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&left);
    let upstream = Upstream::start(move |_| {
        let (sender, answer) = parts(content_type);
        let count = Arc::clone(&count);
        for _ in 0..(64 << 20) / chunk.len() {
            sender.send(Ok(chunk.clone())).unwrap();
        }
        tokio::spawn(async move {
            sender.closed().await;
            count.fetch_add(1, Ordering::SeqCst);
        });
        async move { answer }
    });
    (upstream.await, left)
}

/// Asks, and reads the head's beginning and no more.
async fn ask_and_stop(plane: &Plane, path: &str, body: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(plane.addr()).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut start = [0; 12];
    soon("a head", stream.read_exact(&mut start)).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    stream
}

#[tokio::test]
async fn whoever_stops_reading_holds_its_backend_until_its_deadline_and_no_longer() {
    let (file, file_left) = flood("application/octet-stream", Bytes::from(vec![7; 1 << 20])).await;
    let event = words("m", &"word ".repeat(500));
    let (chat, chat_left) = flood("text/event-stream", event.into()).await;
    let plane = Plane::start(&fill(CONFIG, &[("file", &file.addr), ("chat", &chat.addr)]));
    let chat_body = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"Hi"}]}"#;
    let file = ("file", "/file", "{}", &file_left);
    let chat = ("chat", "/v1/chat/completions", chat_body, &chat_left);
    for (nth, (name, path, body, left)) in [(1, file), (2, file), (1, chat), (2, chat)] {
        let began = Instant::now();
        let mut stream = ask_and_stop(&plane, path, body).await;
        assert_eq!(plane.backend(name).in_flight, 1);
        until("its place given back", || (plane.backend(name).in_flight == 0).then_some(())).await;
        let took = began.elapsed();
        assert!((Duration::from_secs(1)..Duration::from_secs(4)).contains(&took), "{name}: {took:?}");
        until("its connection closed", || (left.load(Ordering::SeqCst) == nth).then_some(())).await;
        assert_eq!(plane.backend(name).breaker, "closed", "{name}: that it is not read is not its failure");
        // Who reads on after all is told that this is not all of it.
        let mut rest = Vec::new();
        let end = soon("the end", async {
            let mut part = vec![0; 64 << 10];
            loop {
                match stream.read(&mut part).await {
                    Ok(0) | Err(_) => break,
                    Ok(n) => rest.extend_from_slice(&part[..n]),
                }
                if rest.windows(7).rev().take(64 << 10).any(|end| end == b"\r\n0\r\n\r\n") {
                    break;
                }
            }
            String::from_utf8_lossy(&rest[rest.len().saturating_sub(600)..]).into_owned()
        })
        .await;
        match name {
            "chat" => assert!(end.contains(r#""code":"deadline""#), "{end}"),
            _ => assert!(!end.ends_with("\r\n0\r\n\r\n"), "it does not look whole"),
        }
    }
    plane.close().await;
}

#[tokio::test]
async fn whoever_is_shown_that_somebody_is_there_and_reads_nothing_holds_no_backend_beyond_its_deadline_either() {
    let silent = Upstream::start(|_| std::future::pending()).await;
    let config = CONFIG.replace("    deadline: 1s\n", "    deadline: 1s\n    stream: { heartbeat: 100ms }\n");
    let plane = Plane::start(&fill(&config, &[("file", &silent.addr), ("chat", &silent.addr)]));
    let io = hyper_util::rt::TokioIo::new(TcpStream::connect(plane.addr()).await.unwrap());
    // A caller that has no room for a single byte of an answer.
    let mut builder = hyper::client::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
    let (mut sender, connection) = builder.initial_stream_window_size(0).handshake(io).await.unwrap();
    let connection = tokio::spawn(connection);
    let body = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"Hi"}]}"#;
    let request = http::Request::post("http://x/v1/chat/completions").header("content-type", "application/json");
    let request = request.body(http_body_util::Full::new(Bytes::from(body))).unwrap();
    let answer = soon("a head", sender.send_request(request)).await.unwrap();
    assert_eq!((answer.status(), plane.backend("chat").in_flight), (http::StatusCode::OK, 1));
    until("its place given back", || (plane.backend("chat").in_flight == 0).then_some(())).await;
    // What it was too late for is counted, and shown once there is room.
    plane.counted("mainstay_requests", &[("route", "chat")], 1).await;
    drop((answer, sender));
    connection.abort();
    plane.close().await;
}
