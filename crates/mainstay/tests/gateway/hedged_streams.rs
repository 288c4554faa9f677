//! Language models' streams whose first token is late: another model is asked beside the first, and the caller sees one of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use tokio::sync::mpsc::UnboundedSender;

use crate::support::upstream::parts;
use crate::support::{Answer, Caller, Plane, Upstream, ask, fill, post, soon, until};

const CONFIG: &str = r"
trust: { from: [127.0.0.0/8], headers: [] }
backends:
  one: { url: 'http://$one', protocol: openai, model: big, limit: none, retry: { attempts: 1 }, breaker: { consecutive: 2, open: 1h, open_max: 1h } }
  two: { url: 'http://$two', protocol: openai, model: big, limit: none, retry: { attempts: 1 }, breaker: { consecutive: 2, open: 1h, open_max: 1h } }
routes:
  - name: chat
    path: /v1/chat/completions
    deadline: 60s
    stream: { headers: 50s, first_token: 50s, gap: 50s, buffer: { tokens: 1 } }
    hedge: true
    ladder:
      - { level: 0, backend: one }
      - { level: 0, backend: two }
      - { level: 4, respond: { text: 'Later, please.' } }
";

const KNOWN: usize = 200;
const ROLE: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n";
const ENDS: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

type Pen = UnboundedSender<std::io::Result<Bytes>>;

fn token(text: &str) -> String {
    format!("data: {{\"model\":\"big\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
}

fn chat() -> http::Request<Full<Bytes>> {
    post("/v1/chat/completions", &[], r#"{"model":"any","stream":true,"messages":[{"role":"user","content":"Hi"}]}"#)
}

/// A model that says its name at once, until its streams are written by the test.
struct Model {
    upstream: Upstream,
    by_hand: Arc<AtomicBool>,
    pens: Arc<Mutex<BTreeMap<usize, Pen>>>,
}

impl Model {
    async fn start(name: &'static str) -> Model {
        let (by_hand, pens) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(BTreeMap::new())));
        let (is_by_hand, desk) = (Arc::clone(&by_hand), Arc::clone(&pens));
        let upstream = Upstream::start(move |seen| {
            let (pen, answer) = parts("text/event-stream");
            if is_by_hand.load(Ordering::SeqCst) {
                pen.send(Ok(ROLE.into())).expect("it is read");
                desk.lock().expect("nobody panics with it").insert(seen.number, pen);
            } else {
                pen.send(Ok(format!("{ROLE}{}{ENDS}", token(name)).into())).expect("it is read");
            }
            async move { answer }
        });
        Model { upstream: upstream.await, by_hand, pens }
    }

    fn by_hand(&self) {
        self.by_hand.store(true, Ordering::SeqCst);
    }

    /// The pen of the call of that number.
    async fn pen(&self, number: usize) -> Pen {
        until("a call", || self.pens.lock().expect("nobody panics with it").get(&number).cloned()).await
    }

    /// The gateway has closed a stream that the test holds the pen of.
    async fn was_left(&self, number: usize) {
        let pen = self.pen(number).await;
        soon("the end of a stream", pen.closed()).await;
    }
}

async fn bench() -> (Plane, Model, Model) {
    let (one, two) = (Model::start("one").await, Model::start("two").await);
    let plane = Plane::start(&fill(CONFIG, &[("one", &one.upstream.addr), ("two", &two.upstream.addr)]));
    let mut caller = Caller::connect(plane.addr()).await;
    for _ in 0..KNOWN {
        assert_eq!(said(&caller.ask(chat()).await), "one");
    }
    assert_eq!((one.upstream.count(), two.upstream.count()), (KNOWN, 0));
    (plane, one, two)
}

/// What an answer says, which must be whole.
fn said(answer: &Answer) -> String {
    let text = std::str::from_utf8(&answer.body).expect("text");
    assert!(answer.status == 200 && text.ends_with("data: [DONE]\n\n") && !text.contains("\"error\""), "{text}");
    let data = text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    let read = data.map(|data| serde_json::from_str::<serde_json::Value>(data).expect("JSON"));
    read.map(|event| event["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()).collect()
}

async fn outcome(plane: &Plane, outcome: &str, times: u32) {
    plane.counted("mainstay_hedges", &[("route", "chat"), ("outcome", outcome)], times).await;
}

#[tokio::test]
async fn a_stream_without_a_first_token_is_beaten_and_closed() {
    let (plane, one, two) = bench().await;
    one.by_hand();
    for nth in 0..3 {
        let answer = ask(plane.addr(), chat()).await;
        assert_eq!((said(&answer).as_str(), answer.facts()), ("two", (200, "0", "false", "2", "")));
        assert_eq!(answer.header("x-mainstay-backend"), "two");
        one.was_left(KNOWN + nth).await;
    }
    outcome(&plane, "won", 3).await;
    assert_eq!((plane.backend("one").breaker, two.upstream.count()), ("closed", 3));
    plane.close().await;
}

#[tokio::test]
async fn the_first_stream_may_still_be_sooner() {
    let (plane, one, two) = bench().await;
    one.by_hand();
    two.by_hand();
    let asked = tokio::spawn(ask(plane.addr(), chat()));
    let second = two.pen(0).await;
    let first = one.pen(KNOWN).await;
    first.send(Ok((token("first") + ENDS).into())).unwrap();
    assert_eq!(said(&soon("an answer", asked).await.unwrap()), "first");
    soon("the end of the second stream", second.closed()).await;
    outcome(&plane, "lost", 1).await;
    plane.close().await;
}

#[tokio::test]
async fn a_caller_that_leaves_closes_both_streams() {
    let (plane, one, two) = bench().await;
    one.by_hand();
    two.by_hand();
    let mut caller = Caller::connect(plane.addr()).await;
    let asked = tokio::spawn(async move { caller.begin(chat()).await.map(|response| (response, caller)) });
    let (first, second) = (one.pen(KNOWN).await, two.pen(0).await);
    asked.abort();
    soon("the end of the first stream", first.closed()).await;
    soon("the end of the second stream", second.closed()).await;
    outcome(&plane, "cancelled", 1).await;
    assert_eq!((plane.backend("one").breaker, plane.backend("two").breaker), ("closed", "closed"));
    plane.close().await;
}

#[tokio::test]
async fn one_that_breaks_off_leaves_the_answer_to_the_other() {
    let (plane, one, two) = bench().await;
    one.by_hand();
    two.by_hand();
    for first_breaks in [true, false] {
        let (first, second) = (one.upstream.count(), two.upstream.count());
        let mut caller = Caller::connect(plane.addr()).await;
        let asked = tokio::spawn(async move { (caller.begin(chat()).await, caller) });
        let (first, second) = (one.pen(first).await, two.pen(second).await);
        let (broken, whole, left) = if first_breaks { (first, second, "one") } else { (second, first, "two") };
        broken.send(Err(std::io::Error::other("cut"))).unwrap();
        until("the failure", || (plane.backend(left).in_flight == 0).then_some(())).await;
        whole.send(Ok((token("whole") + ENDS).into())).unwrap();
        let (response, caller) = soon("the head", asked).await.unwrap();
        let body = soon("the end", response.unwrap().into_body().collect()).await.unwrap().to_bytes();
        assert!(std::str::from_utf8(&body).unwrap().contains("whole"));
        drop(caller);
    }
    plane.close().await;
}

/// Its first token has come, and is not shown yet: from then on it is an answer, however slow.
#[tokio::test]
async fn a_stream_is_not_asked_for_twice_after_its_first_token() {
    let (pens, two) = (Arc::new(Mutex::new(Vec::new())), Model::start("two").await);
    let desk = Arc::clone(&pens);
    let one = Upstream::start(move |seen| {
        let (pen, answer) = parts("text/event-stream");
        if seen.number < KNOWN {
            pen.send(Ok(format!("{ROLE}{}{ENDS}", token("one")).into())).expect("it is read");
        } else {
            pen.send(Ok(format!("{ROLE}{}", token("slow ")).into())).expect("it is read");
            desk.lock().expect("nobody panics with it").push(pen);
        }
        async move { answer }
    })
    .await;
    let config = CONFIG.replace("buffer: { tokens: 1 }", "buffer: { tokens: 8, time: 40s }");
    let plane = Plane::start(&fill(&config, &[("one", &one.addr), ("two", &two.upstream.addr)]));
    let mut caller = Caller::connect(plane.addr()).await;
    for _ in 0..KNOWN {
        assert_eq!(said(&caller.ask(chat()).await), "one");
    }
    let asked = tokio::spawn(ask(plane.addr(), chat()));
    until("the stream", || (one.count() > KNOWN).then_some(())).await;
    // Far longer than any of those that the delay is learned from.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(two.upstream.count(), 0);
    let pen = pens.lock().unwrap().pop().expect("it waits");
    pen.send(Ok((token("and whole") + ENDS).into())).unwrap();
    drop(pen);
    assert_eq!(said(&soon("an answer", asked).await.unwrap()), "slow and whole");
    assert_eq!((plane.metric("mainstay_hedges", &[]), two.upstream.count()), (0.0, 0));
    plane.close().await;
}
