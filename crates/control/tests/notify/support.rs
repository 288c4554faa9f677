//! A notice, channels, and servers that answer what they are told to and keep what they heard.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, Response};
use mainstay_control::notify::{Outcome, Sender};
use mainstay_core::incident::kind::{Severity, Status};
use mainstay_core::incident::notice::{Notice, Purpose};
use mainstay_core::plan::{Channel, ChannelBy, Secret, SecretSource};
use mainstay_core::time::Time;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Notify;

pub(crate) const NOW: Time = Time::from_secs(1_772_366_460);
pub(crate) const ID: &str = "01JNB8-d.1";

pub(crate) fn notice(purpose: Purpose) -> Notice {
    Notice {
        purpose,
        incident: "i-42".to_owned(),
        service: "fraud".to_owned(),
        environment: "production".to_owned(),
        kind: "latency".to_owned(),
        severity: Severity::Sev2,
        status: Status::Detected,
        title: "p99 is 3 times its target".to_owned(),
        summary: "score answers in 600 ms\nsince the release of 11:58".to_owned(),
        signals: vec!["latency burns at 14.4".to_owned(), "breaker of primary opened".to_owned()],
        actions: vec!["pin score to level 2".to_owned()],
        route: Some("score".to_owned()),
        person: None,
        email: None,
        detected: Time::from_secs(1_772_366_400),
        resolved: None,
        link: Some("https://mainstay.example/incidents/i-42".to_owned()),
    }
}

pub(crate) fn secret(value: &str) -> Secret {
    let mut secret = Secret::unresolved(SecretSource::Env("HUSH".to_owned()));
    secret.resolve(value.to_owned());
    secret
}

pub(crate) fn channel(by: ChannelBy) -> Channel {
    let deadline = Duration::from_hours(1);
    Channel { name: "team".to_owned(), by, fallback: None, deadline, private_redirects: false }
}

/// Every channel that goes by HTTP, each at this address.
pub(crate) fn by_http(url: &str) -> Vec<ChannelBy> {
    vec![
        ChannelBy::PagerDuty { url: url.to_owned(), key: secret("0123456789abcdef0123456789abcdef") },
        ChannelBy::Alertmanager { url: url.to_owned() },
        ChannelBy::Slack { url: secret(&format!("{url}/services/T0AB1/xyzzy")) },
        ChannelBy::Teams { url: secret(&format!("{url}/workflows/xyzzy?sig=plugh-1")) },
        ChannelBy::Discord { url: secret(&format!("{url}/api/webhooks/123456/xyzzy")) },
        ChannelBy::Webhook {
            url: secret(&format!("{url}/hook/xyzzy")),
            secret: Some(secret("whsec_c2hhcmVkIHNlY3JldA==")),
        },
    ]
}

pub(crate) fn webhook(url: &str) -> Channel {
    channel(ChannelBy::Webhook { url: secret(url), secret: None })
}

pub(crate) async fn page(channel: &Channel) -> Outcome {
    Sender::new().send(channel, ID, &notice(Purpose::Page), NOW).await
}

/// One request that a receiver heard.
#[derive(Clone)]
pub(crate) struct Heard {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Heard {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

/// What a receiver answers: the status, headers and the body.
#[derive(Clone)]
pub(crate) struct Says(pub(crate) u16, pub(crate) Vec<(&'static str, String)>, pub(crate) String);

/// A real HTTP server that answers every request alike.
pub(crate) struct Receiver {
    pub(crate) url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Receiver {
    pub(crate) async fn saying(says: Says) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        let answer = move |request: Request<Body>| async move {
            let (head, body) = request.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
            let path = head.uri.to_string();
            kept.lock().unwrap().push(Heard { method: head.method, path, headers: head.headers, body });
            let mut answer = Response::builder().status(says.0);
            for (name, value) in &says.1 {
                answer = answer.header(*name, value);
            }
            answer.body(Body::from(says.2)).unwrap()
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        Receiver { url, heard }
    }

    pub(crate) async fn status(status: u16) -> Receiver {
        Receiver::saying(Says(status, Vec::new(), String::new())).await
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    pub(crate) fn only(&self) -> Heard {
        let heard = self.heard();
        assert_eq!(heard.len(), 1);
        heard[0].clone()
    }
}

/// Reads a request to its end, or as far as it comes.
pub(crate) async fn request(stream: &mut (impl AsyncRead + Unpin)) {
    let (mut read, mut part) = (Vec::new(), [0; 4096]);
    while let Ok(n @ 1..) = stream.read(&mut part).await {
        read.extend_from_slice(&part[..n]);
        let text = String::from_utf8_lossy(&read);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return;
        }
    }
}

/// A socket that reads a request, says this text, whatever it is, and keeps the connection or not; what it waits for
/// tells that it has answered.
pub(crate) async fn raw(text: &'static str, keep: bool) -> (String, Arc<Notify>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answered = Arc::new(Notify::new());
    let tells = Arc::clone(&answered);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            request(&mut stream).await;
            stream.write_all(text.as_bytes()).await.ok();
            tells.notify_one();
            if keep {
                tokio::spawn(async move { stream.read_to_end(&mut Vec::new()).await });
            }
        }
    });
    (url, answered)
}

/// What comes of `work` when time flies from the moment on that `reached` ends: before it, connections need real time.
pub(crate) async fn flying<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
    reached: impl Future<Output = ()>,
) -> T {
    let work = tokio::spawn(work);
    reached.await;
    tokio::time::pause();
    let done = work.await.unwrap();
    tokio::time::resume();
    done
}
