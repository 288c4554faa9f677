//! Prometheus as a source, against a server that answers whatever it is told to.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use mainstay_control::source::{ANSWER_BYTES_MAX, Counters, Prometheus, QueryError, Reading};
use mainstay_core::time::Time;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const MINUTE: Duration = Duration::from_mins(1);
const AT: Time = Time::from_secs(1_000_000);

/// Answers one connection after the other, each with the next text; gives back what was asked.
async fn answering(answers: Vec<String>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/prometheus/", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            asked.push(request(&mut stream).await);
            stream.write_all(answer.as_bytes()).await.ok();
        }
        asked
    });
    (url, asked)
}

async fn request(stream: &mut tokio::net::TcpStream) -> String {
    let mut read = Vec::new();
    loop {
        let mut part = [0; 4096];
        let n = stream.read(&mut part).await.unwrap();
        read.extend_from_slice(&part[..n]);
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() == length.map_or(0, |length| length.parse().unwrap()) {
            return text;
        }
    }
}

fn ok(body: &str) -> String {
    status("200 OK", body)
}

fn status(line: &str, body: &str) -> String {
    format!("HTTP/1.1 {line}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn one(value: &str) -> String {
    ok(&format!(
        r#"{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{{}},"value":[1,"{value}"]}}]}}}}"#
    ))
}

fn none() -> String {
    ok(r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#)
}

fn windowed() -> Counters {
    Counters::good("sum(increase(ok[$window]))", "sum(increase(all[$window]))")
}

async fn read(counters: &Counters, answers: Vec<String>) -> (Reading, Vec<String>) {
    let (url, asked) = answering(answers).await;
    let reading = Prometheus::new(&url).unwrap().read(counters, MINUTE, AT).await;
    (reading, asked.await.unwrap())
}

#[tokio::test]
async fn events_of_a_stretch_of_time_are_asked_for_at_its_end() {
    let (reading, asked) = read(&windowed(), vec![one("40"), one("39")]).await;
    assert!(matches!(reading, Reading::Events { good: 39.0, total: 40.0 }), "{reading:?}");
    assert!(asked[0].starts_with("POST /prometheus/api/v1/query HTTP/1.1\r\n"), "{}", asked[0]);
    assert!(asked[0].ends_with("query=sum%28increase%28all%5B60s%5D%29%29&time=1000000.000"), "{}", asked[0]);
}

#[tokio::test]
async fn bare_counters_are_asked_for_at_both_ends() {
    let answers = vec![one("140"), one("100"), one("12"), one("30")];
    let (reading, asked) = read(&Counters::bad("errors", "requests"), answers).await;
    // The second counter fell: it began again, and has counted 12 since.
    assert!(matches!(reading, Reading::Events { good: 28.0, total: 40.0 }), "{reading:?}");
    assert!(asked[1].ends_with("query=requests&time=999940.000"), "{}", asked[1]);
}

#[tokio::test]
async fn no_traffic_no_signal_and_a_failure_are_three_things() {
    let (reading, _) = read(&windowed(), vec![one("0"), one("0")]).await;
    assert!(matches!(reading, Reading::NoTraffic), "{reading:?}");
    let (reading, _) = read(&windowed(), vec![none()]).await;
    assert!(matches!(reading, Reading::NoSignal), "{reading:?}");
    let (reading, _) = read(&windowed(), vec![one("5"), none()]).await;
    assert!(matches!(reading, Reading::Events { good: 0.0, total: 5.0 }), "{reading:?}");
    let refused = status("400 Bad Request", r#"{"status":"error","errorType":"bad_data","error":"parse error at 4"}"#);
    let (reading, _) = read(&windowed(), vec![refused]).await;
    assert!(matches!(reading, Reading::Failed(QueryError::Refused { status: 400, .. })), "{reading:?}");
}

#[tokio::test]
async fn broken_answers_are_failures_and_bounded() {
    let (reading, _) = read(&windowed(), vec![ok(&"x".repeat(ANSWER_BYTES_MAX + 1))]).await;
    assert!(matches!(reading, Reading::Failed(QueryError::Body(_))), "{reading:?}");
    let (reading, _) = read(&windowed(), vec!["not HTTP".to_owned()]).await;
    assert!(matches!(reading, Reading::Failed(QueryError::Http(_))), "{reading:?}");
    let half = one("5").replace("content-length: ", "content-length: 9");
    let (reading, _) = read(&windowed(), vec![half]).await;
    assert!(matches!(reading, Reading::Failed(QueryError::Body(_))), "{reading:?}");
}

#[tokio::test]
async fn nobody_there_is_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let reading = Prometheus::new(&url).unwrap().read(&windowed(), MINUTE, AT).await;
    assert!(matches!(reading, Reading::Failed(QueryError::Connect(_))), "{reading:?}");
}

#[tokio::test(start_paused = true)]
async fn silence_is_a_failure_after_a_while() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let reading = Prometheus::new(&url).unwrap().read(&windowed(), MINUTE, AT).await;
    assert!(matches!(reading, Reading::Failed(QueryError::Timeout)), "{reading:?}");
}
