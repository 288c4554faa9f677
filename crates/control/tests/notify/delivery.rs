//! What answers mean, limits, and what is never told.

use std::time::Duration;

use mainstay_control::notify::{ANSWER_MAX, Outcome, Sender};
use mainstay_core::incident::notice::Purpose;
use mainstay_core::plan::{ChannelBy, Heartbeat, Secret, SecretSource};
use tokio::net::TcpListener;

use crate::support::{ID, NOW, Receiver, Says, by_http, channel, flying, notice, page, raw, secret, webhook};

#[tokio::test]
async fn statuses_are_delivered_later_or_refused() {
    for status in [200, 201, 202, 204] {
        let receiver = Receiver::status(status).await;
        assert_eq!(page(&webhook(&receiver.url)).await, Outcome::Delivered { provider: None }, "{status}");
    }
    for status in [408, 425, 429, 500, 502, 503, 504, 599] {
        let receiver = Receiver::status(status).await;
        let why = format!("team: answered {status}");
        assert_eq!(page(&webhook(&receiver.url)).await, Outcome::Later { after: None, why });
        assert_eq!(receiver.heard().len(), 1, "a sender tries once");
    }
    for status in [400, 401, 403, 404, 405, 410, 413, 422] {
        let receiver = Receiver::status(status).await;
        let why = format!("team: answered {status}");
        assert_eq!(page(&webhook(&receiver.url)).await, Outcome::Refused { why });
    }
}

#[tokio::test]
async fn a_wish_to_be_left_alone_is_told() {
    let at = |header: &str, body: &str| {
        let headers = if header.is_empty() { Vec::new() } else { vec![("retry-after", header.to_owned())] };
        Says(429, headers, body.to_owned())
    };
    // A minute after NOW.
    let date = "Sun, 01 Mar 2026 12:02:00 GMT";
    let cases = [
        (at("30", ""), Some(30.0)),
        (at(date, ""), Some(60.0)),
        (at("soon", ""), None),
        (at("", r#"{"message":"You are being rate limited.","retry_after":0.65,"global":false}"#), Some(0.65)),
        // The longer one, where both are there: Discord rounds its header.
        (at("1", r#"{"retry_after":1.4}"#), Some(1.4)),
        (at("", r#"{"retry_after":-3}"#), None),
        (at("99999999", ""), Some(86_400.0)),
        (Says(503, vec![("retry-after", "7".to_owned())], String::new()), Some(7.0)),
    ];
    for (says, expected) in cases {
        let receiver = Receiver::saying(says).await;
        let Outcome::Later { after, .. } = page(&webhook(&receiver.url)).await else { panic!("not later") };
        assert_eq!(after, expected.map(Duration::from_secs_f64));
    }
}

#[tokio::test]
async fn what_was_said_is_told_in_a_short_line() {
    let said = "invalid\u{1b}[31m_payload\r\n\u{202e}".to_owned() + &"x".repeat(2 * ANSWER_MAX);
    let receiver = Receiver::saying(Says(400, Vec::new(), said)).await;
    let Outcome::Refused { why } = page(&webhook(&receiver.url)).await else { panic!("not refused") };
    assert!(why.starts_with("team: answered 400: invalid_payload xxx") && why.ends_with('…'), "{why}");
    assert!(why.chars().count() < 400);
    // A long answer is cut, and what it means is clear all the same.
    let receiver = Receiver::saying(Says(200, Vec::new(), "x".repeat(4 << 20))).await;
    assert_eq!(page(&webhook(&receiver.url)).await, Outcome::Delivered { provider: None });
}

#[tokio::test]
async fn what_breaks_is_tried_again() {
    for text in ["", "not HTTP\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-le", "HTTP/1.1 banana\r\n\r\n"] {
        let outcome = page(&webhook(&raw(text, false).await.0)).await;
        assert!(matches!(&outcome, Outcome::Later { after: None, .. }), "{text:?}: {outcome:?}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    assert!(matches!(page(&webhook(&url)).await, Outcome::Later { .. }));
    assert!(matches!(page(&webhook("http://nobody.invalid/x")).await, Outcome::Later { .. }));
    // No TLS there.
    let receiver = Receiver::status(200).await;
    let outcome = page(&webhook(&receiver.url.replace("http:", "https:"))).await;
    assert!(matches!(&outcome, Outcome::Later { why, .. } if why.starts_with("team: no TLS")), "{outcome:?}");
}

#[tokio::test]
async fn silence_ends_a_try() {
    let why = "team: no answer within 15 s".to_owned();
    let (url, answered) = raw("", true).await;
    let outcome = flying(async move { page(&webhook(&url)).await }, answered.notified()).await;
    assert_eq!(outcome, Outcome::Later { after: None, why });
    let (url, answered) = raw("", true).await;
    let beat = flying(async move { Sender::new().beat(&beating(&url)).await }, answered.notified()).await;
    assert_eq!(beat.unwrap_err(), "no answer within 15 s");
    // The status is there: a body that never comes changes nothing.
    let (url, answered) = raw("HTTP/1.1 202 Accepted\r\ncontent-length: 9\r\n\r\n", true).await;
    let outcome = flying(async move { page(&webhook(&url)).await }, answered.notified()).await;
    assert_eq!(outcome, Outcome::Delivered { provider: None });
}

#[tokio::test]
async fn no_secret_is_told() {
    let own: [&[&str]; 6] = [
        &["0123456789abcdef"],
        &[],
        &["t0ab1", "xyzzy"],
        &["xyzzy", "plugh"],
        &["123456", "xyzzy"],
        &["xyzzy", "c2hhcm"],
    ];
    // Answers that repeat what was sent, or a part of it.
    let answers = [
        "no /services/T0AB1/xyzzy",
        "no sig PLUGH-1",
        "routing_key 0123456789abcdef0123456789abcdef",
        "/hook/xyzzy whsec_c2hhcmVkIHNlY3JldA==",
        "\u{1b}[1mxy\u{200b}zzy 123456",
    ];
    for (status, answer) in [400, 500].into_iter().flat_map(|status| answers.map(|answer| (status, answer))) {
        let receiver = Receiver::saying(Says(status, Vec::new(), answer.to_owned())).await;
        for (by, own) in by_http(&receiver.url).into_iter().zip(own) {
            let shown = format!("{by:?}").to_lowercase();
            let (Outcome::Later { why, .. } | Outcome::Refused { why }) = page(&channel(by)).await else {
                panic!("delivered")
            };
            for word in own {
                assert!(!why.to_lowercase().contains(word) && !shown.contains(word), "{why}");
            }
            // What holds no secret is told.
            let hidden = why == format!("team: answered {status}: (it repeats a secret)");
            assert!(hidden || why.starts_with(&format!("team: answered {status}: ")) && why.len() > 30, "{why}");
            assert!(!own.is_empty() || !hidden);
        }
    }
    for url in ["https://user:xyzzy@host/", "ftp://xyzzy/x", "xyzzy", "http://", "https://xyzzy host/"] {
        let Outcome::Refused { why } = page(&webhook(url)).await else { panic!("not refused: {url}") };
        assert!(why.starts_with("team: the URL ") && !why.contains("xyzzy"), "{why}");
    }
    let unresolved = Secret::unresolved(SecretSource::Env("SLACK_URL".to_owned()));
    let why = "team: the secret env:SLACK_URL has no value".to_owned();
    assert_eq!(page(&channel(ChannelBy::Slack { url: unresolved })).await, Outcome::Refused { why });
    let by = ChannelBy::Webhook { url: secret("http://127.0.0.1:1/"), secret: Some(secret("whsec_$$$")) };
    let why = "team: the secret begins with whsec_ and is no base64".to_owned();
    assert_eq!(page(&channel(by)).await, Outcome::Refused { why });
}

fn beating(url: &str) -> Heartbeat {
    Heartbeat { url: secret(url), every: Duration::from_mins(1) }
}

#[tokio::test]
async fn a_heartbeat_is_a_get() {
    let receiver = Receiver::status(200).await;
    Sender::new().beat(&beating(&format!("{}/ping/xyzzy?a=b", receiver.url))).await.unwrap();
    let heard = receiver.only();
    assert_eq!((heard.method.as_str(), heard.path.as_str(), heard.body.len()), ("GET", "/ping/xyzzy?a=b", 0));
    let receiver = Receiver::saying(Says(404, Vec::new(), "no check xyzzy".to_owned())).await;
    let error = Sender::new().beat(&beating(&format!("{}/ping/xyzzy", receiver.url))).await.unwrap_err();
    assert_eq!(error, "answered 404: (it repeats a secret)");
    let moved = Receiver::saying(Says(307, vec![("location", receiver.url.clone())], String::new())).await;
    let error = Sender::new().beat(&beating(&moved.url)).await.unwrap_err();
    assert_eq!(error, "redirected to what is not a public address: 127.0.0.1");
    assert_eq!(receiver.heard().len(), 1);
}

#[tokio::test]
async fn a_sender_serves_many_at_once() {
    let receiver = Receiver::status(200).await;
    let sender = std::sync::Arc::new(Sender::new());
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (sender, channel) = (std::sync::Arc::clone(&sender), webhook(&receiver.url));
            tokio::spawn(async move { sender.send(&channel, ID, &notice(Purpose::Page), NOW).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Outcome::Delivered { provider: None });
    }
    assert_eq!(receiver.heard().len(), 20);
}
