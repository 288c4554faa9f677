//! Checks of answers: a moderation server of its own, patterns and expressions, before answers are shown and after.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mainstay_core::chaos::order::Order;
use mainstay_core::safety::Flag;
use serde_json::json;
use tokio::sync::{Notify, Semaphore};

use crate::support::experiment::{TOUCHED, order};
use crate::support::upstream::parts;
use crate::support::{Answer, Plane, Seen, Upstream, ask, dead, fill, json as whole, post, until};

const CONFIG: &str = r"
backends:
  big: { url: 'http://$llm', protocol: openai, model: big, limit: none, retry: { attempts: 1 } }
  small: { url: 'http://$llm', protocol: openai, model: small, limit: none, retry: { attempts: 1 } }
routes:
  - name: chat
    path: /v1/chat/completions
    deadline: 20s
    stream: { buffer: { tokens: 2, time: 10s }, after_commit: $policy }
    ladder:
      - { level: 0, backend: big }
      - { level: 2, backend: small }
      - { level: 4, respond: { text: 'Later, please.' } }
slos: [{ safety: { name: harm, max_rate: 0.01, route: chat } }]
safety: { checks: { $checks } }
";

const GUARD: &str = "guard: { moderation: { url: 'http://$guard', model: omni, key: env:GUARD_KEY, timeout: 300ms, at_once: 4 } $more }";

fn config(llm: &Upstream, policy: &str, checks: &str) -> String {
    fill(CONFIG, &[("llm", &llm.addr), ("policy", &policy), ("checks", &checks)])
}

fn guarded(llm: &Upstream, guard: &dyn std::fmt::Display, policy: &str, more: &str) -> String {
    config(llm, policy, &fill(GUARD, &[("guard", guard), ("more", &more)]))
}

/// What the request wants to hear: the small model has its own mind.
fn wanted(seen: &Seen) -> String {
    let body = seen.json();
    match body["model"].as_str() {
        Some("small") => "small says fine".to_owned(),
        _ => body["messages"][0]["content"].as_str().unwrap_or_default().to_owned(),
    }
}

fn token(text: &str) -> String {
    format!("data: {}\n\n", json!({ "choices": [{ "index": 0, "delta": { "content": text } }] }))
}

const STOPS: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// Says what it is told to: streams the first two words at once, and the rest when `more` rings.
async fn llm(more: Arc<Notify>) -> Upstream {
    Upstream::start(move |seen| {
        let (text, body, more) = (wanted(&seen), seen.json(), Arc::clone(&more));
        async move {
            if body["stream"] != true {
                let message = json!({ "role": "assistant", "content": text });
                let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
                return whole(200, json!({ "model": body["model"], "choices": [choice] }).to_string());
            }
            let (sender, answer) = parts("text/event-stream");
            let words: Vec<String> = text.split_inclusive(' ').map(token).collect();
            let (first, rest) = words.split_at(2.min(words.len()));
            sender.send(Ok(first.concat().into())).expect("it is read");
            let rest = rest.concat() + STOPS;
            tokio::spawn(async move {
                more.notified().await;
                let _ = sender.send(Ok(rest.into()));
            });
            answer
        }
    })
    .await
}

/// Flags what is bad, and fails as the text says.
async fn guard(asked: Arc<Notify>) -> Upstream {
    Upstream::start(move |seen| {
        let asked = Arc::clone(&asked);
        async move {
            asked.notify_one();
            let text = seen.json()["input"].as_str().expect("a text").to_owned();
            let judged = |flagged: bool| {
                let categories = json!({ "hate": false, "violence": flagged });
                json!({ "id": "m-1", "model": "omni", "results": [{ "flagged": flagged, "categories": categories }] })
            };
            match text.as_str() {
                "slow" => std::future::pending().await,
                "status" => whole(503, judged(false).to_string()),
                "garbage" => whole(200, r#"{"results":[{"verdict":"fine"}]}"#),
                "endless" => whole(200, vec![b' '; 300 << 10]),
                "cut" => {
                    let (sender, answer) = parts("application/json");
                    sender.send(Ok("{\"results\":[{\"flagged\":false".into())).expect("it is read");
                    sender.send(Err(std::io::Error::other("the server breaks"))).expect("it is read");
                    answer
                }
                text => whole(200, judged(text.contains("bad")).to_string()),
            }
        }
    })
    .await
}

async fn say(plane: &Plane, text: &str, stream: bool) -> Answer {
    say_at(plane.addr(), text, stream).await
}

async fn say_at(addr: SocketAddr, text: &str, stream: bool) -> Answer {
    let body = json!({ "model": "m", "stream": stream, "messages": [{ "role": "user", "content": text }] });
    ask(addr, post("/v1/chat/completions", &[], body.to_string())).await
}

fn heard(answer: &Answer) -> String {
    answer.json()["choices"][0]["message"]["content"].as_str().expect("a text").to_owned()
}

/// What the engine was given: good and bad answers of the safety objective, and flags.
#[derive(Default, Debug)]
struct Taken {
    good: u64,
    bad: u64,
    flags: Vec<Flag>,
}

impl Taken {
    async fn until(&mut self, plane: &Plane, good: u64, flags: usize) {
        until("what was counted", || {
            let taken = plane.gateway.take_sums();
            for (_, _, counts) in taken.counts.iter().filter(|(name, ..)| name == "harm") {
                self.good += counts.good;
                self.bad += counts.bad;
            }
            self.flags.extend(taken.flags);
            assert!(self.good <= good && self.flags.len() <= flags && self.bad == 0, "{self:?}");
            (self.good == good && self.flags.len() == flags).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_flagged_answer_is_kept_from_its_caller_and_a_harmless_one_is_not() {
    let (llm, guard) = (llm(Arc::default()).await, guard(Arc::default()).await);
    let plane = Plane::start(&guarded(&llm, &guard.addr, "fail", ""));
    let answer = say(&plane, "hello", false).await;
    assert_eq!((answer.facts(), heard(&answer).as_str()), ((200, "0", "false", "1", ""), "hello"));
    let asked = guard.only();
    assert_eq!((asked.path.as_str(), asked.header("authorization")), ("/v1/moderations", "Bearer GUARD_KEY"));
    assert_eq!(asked.json(), json!({ "input": "hello", "model": "omni" }));

    let answer = say(&plane, "a bad word", false).await;
    assert_eq!((answer.facts(), heard(&answer).as_str()), ((200, "2", "true", "2", "flagged"), "small says fine"));
    let of_guard = |result| [("route", "chat"), ("check", "guard"), ("result", result)];
    plane.counted("mainstay_checks", &of_guard("flagged"), 1).await;
    plane.counted("mainstay_checks", &of_guard("clear"), 2).await;
    plane.counted("mainstay_answer_failures", &[("route", "chat"), ("level", "0"), ("reason", "flagged")], 1).await;
    // Nobody saw what was blocked: both answers were harmless.
    let mut taken = Taken::default();
    taken.until(&plane, 2, 0).await;

    // The level at which the request goes on may be given.
    let asked = llm.count();
    plane.reload(&guarded(&llm, &guard.addr, "fail", ", level: 4")).expect("it loads");
    let answer = say(&plane, "a bad word", false).await;
    assert_eq!((answer.facts(), heard(&answer).as_str()), ((200, "4", "true", "1", "flagged"), "Later, please."));
    assert_eq!(llm.count(), asked + 1, "the model of level 2 is not asked");
    plane.close().await;
}

#[tokio::test]
async fn a_check_that_cannot_tell_never_makes_an_answer_safe() {
    let (llm, guard) = (llm(Arc::default()).await, guard(Arc::default()).await);
    let plane = Plane::start(&guarded(&llm, &guard.addr, "fail", ", longest: 1KiB"));
    let long = "long ".repeat(300);
    let kinds = [
        ("slow", "timeout"),
        ("status", "status"),
        ("garbage", "bad_answer"),
        ("endless", "bad_answer"),
        ("cut", "unreachable"),
        (&long, "too_long"),
    ];
    let mut taken = Taken::default();
    for (served, (text, reason)) in (1_usize..).zip(kinds) {
        let answer = say(&plane, text, false).await;
        assert_eq!(
            (answer.facts(), heard(&answer).as_str()),
            ((200, "2", "true", "2", "unchecked"), "small says fine")
        );
        let before = kinds[..served].iter().filter(|(_, why)| *why == reason).count() as u32;
        plane.counted("mainstay_checks_unknown", &[("check", "guard"), ("reason", reason)], before).await;
        taken.until(&plane, served as u64, 0).await;
    }
    plane.counted("mainstay_checks", &[("check", "guard"), ("result", "unknown")], 6).await;
    plane.counted("mainstay_checks", &[("check", "guard"), ("result", "clear")], 6).await;

    // Where they are to be served all the same, they are, and are in nobody's total.
    plane.reload(&guarded(&llm, &guard.addr, "fail", ", on_unknown: serve")).expect("it loads");
    for text in ["garbage", "status"] {
        let answer = say(&plane, text, false).await;
        assert_eq!((answer.facts(), heard(&answer).as_str()), ((200, "0", "false", "1", ""), text));
    }
    say(&plane, "hello", false).await;
    taken.until(&plane, 7, 0).await;
    plane.close().await;

    // One that is down is soon not asked any more, and what nobody checked is not shown.
    let (down, _socket) = dead();
    let plane = Plane::start(&guarded(&llm, &down, "fail", ""));
    for _ in 0..6 {
        let answer = say(&plane, "hello", false).await;
        assert_eq!((answer.facts(), heard(&answer).as_str()), ((200, "4", "true", "2", "unchecked"), "Later, please."));
    }
    let reason = |reason| [("check", "guard"), ("reason", reason)];
    let unreachable = until("all of them", || {
        let seen = ["unreachable", "breaker_open"].map(|why| plane.metric("mainstay_checks_unknown", &reason(why)));
        (seen[0] + seen[1] >= 12.0).then_some(seen[0])
    });
    assert!((5.0..12.0).contains(&unreachable.await), "the breaker opens");
    plane.close().await;
}

#[tokio::test]
async fn of_a_stream_what_is_held_can_be_kept_back_and_the_rest_is_flagged() {
    let more = Arc::new(Notify::new());
    let (llm, guard) = (llm(Arc::clone(&more)).await, guard(Arc::clone(&more)).await);

    // All of it is held: the guard is asked once it is there.
    let plane = Plane::start(&guarded(&llm, &guard.addr, "atomic", ", level: 4"));
    more.notify_one();
    let answer = say(&plane, "one two three bad", true).await;
    assert_eq!(answer.facts(), (200, "4", "true", "1", "flagged"));
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(text.contains("Later") && !text.contains("bad") && text.ends_with("data: [DONE]\n\n"), "{text}");
    assert_eq!(guard.only().json()["input"], "one two three bad");
    plane.close().await;

    // The beginning is held. The guard's question about it lets the rest come.
    let more = Arc::new(Notify::new());
    let (llm, guard) = (self::llm(Arc::clone(&more)).await, self::guard(more).await);
    let plane = Plane::start(&guarded(&llm, &guard.addr, "fail", ", level: 4"));
    let answer = say(&plane, "bad two three", true).await;
    assert_eq!(answer.facts(), (200, "4", "true", "1", "flagged"));
    assert!(!String::from_utf8_lossy(&answer.body).contains("bad"), "{:?}", answer.body);
    let answer = say(&plane, "one two three bad", true).await;
    assert_eq!(answer.facts(), (200, "0", "false", "1", ""));
    assert!(answer.body.ends_with(b"data: [DONE]\n\n") && String::from_utf8_lossy(&answer.body).contains("bad"));
    let mut taken = Taken::default();
    // The template's answer, and the one that was flagged: of the two answers that were given one is bad.
    taken.until(&plane, 2, 1).await;
    let flag = &taken.flags[0];
    assert_eq!((flag.by.as_str(), flag.kind.as_deref(), flag.confirmed), ("guard", Some("violence"), true));
    assert_eq!((flag.route.as_str(), flag.model.as_deref()), ("chat", Some("big")));
    assert_eq!(flag.request_id, answer.header("x-request-id"));
    let texts: Vec<_> = guard.seen().iter().map(|seen| seen.json()["input"].clone()).collect();
    assert_eq!(texts, ["bad two ", "one two ", "one two three bad"]);
    plane.close().await;
}

#[tokio::test]
async fn answers_that_were_shown_are_looked_at_afterwards_but_for_those_that_were_touched_on_purpose() {
    let llm = llm(Arc::default()).await;
    let checks = r#"secrets: { patterns: ['(?i)sk-[0-9]{4}', 'never'], when: after },
      angry: { cel: 'answer.text.contains("!") && answer.body.model == "big" && request.model == "m"', when: after, verdict: suspected },
      none: { patterns: ['.'], when: after, share: 0% }"#;
    let plane = Plane::start(&config(&llm, "fail", checks));
    let flagged = say(&plane, "SK-1234", false).await;
    assert_eq!((flagged.facts(), heard(&flagged).as_str()), ((200, "0", "false", "1", ""), "SK-1234"));
    let mut taken = Taken::default();
    taken.until(&plane, 1, 1).await;
    let suspected = say(&plane, "Hey!", false).await;
    taken.until(&plane, 1, 2).await;
    let flags: Vec<_> = taken.flags.iter().map(|f| (f.request_id.as_str(), f.by.as_str(), f.confirmed)).collect();
    let ids = [&flagged, &suspected].map(|answer| answer.header("x-request-id"));
    assert_eq!(flags, [(ids[0], "secrets", true), (ids[1], "angry", false)]);

    let latency = Order {
        route: "chat".to_owned(),
        target: Some("big".to_owned()),
        ..order(r#"{"model_latency":{"fixed":"1ms"}}"#)
    };
    plane.gateway.inject(latency).expect("it is injected");
    let touched = say(&plane, "sk-1111", false).await;
    assert_eq!(touched.header(TOUCHED), "EXP-2026-0001");
    plane.counted("mainstay_checks", &[("check", "secrets"), ("result", "flagged")], 2).await;
    plane.gateway.withdraw_fault("EXP-2026-0001", 1);
    say(&plane, "sk-2222", false).await;
    // What nobody was to look at is not known to be harmless: a third check looks at no answer, and none but the flagged are counted.
    say(&plane, "fine", false).await;
    plane.counted("mainstay_checks", &[("check", "angry"), ("result", "clear")], 4).await;
    plane.counted("mainstay_checks", &[("check", "none")], 0).await;
    taken.until(&plane, 2, 3).await;
    plane.close().await;
}

#[tokio::test]
async fn an_answer_that_was_flagged_is_not_given_again() {
    let down = Arc::new(AtomicBool::new(false));
    let is_down = Arc::clone(&down);
    let web = Upstream::start(move |seen: Seen| {
        let is_down = is_down.load(Ordering::SeqCst);
        async move { if is_down { whole(500, "{}") } else { whole(200, seen.body) } }
    })
    .await;
    let text = fill(
        r"
backends: { web: { url: 'http://$web', protocol: http, limit: none, retry: { attempts: 1 }, breaker: { consecutive: 1000 } } }
routes:
  - name: web
    path: /web
    deadline: 10s
    ladder: [{ level: 0, backend: web }, { level: 1, cache: { max_age: 1h } }, { level: 4, respond: { body: {} } }]
safety: { checks: { words: { patterns: [bad], when: after } } }
",
        &[("web", &web.addr)],
    );
    let plane = Plane::start(&text);
    let bodies = [r#"{"say":"good"}"#, r#"{"say":"b\u0061d"}"#];
    for body in bodies {
        assert_eq!(ask(plane.addr(), post("/web", &[], body)).await.facts(), (200, "0", "false", "1", ""));
    }
    plane.counted("mainstay_checks", &[("check", "words"), ("result", "flagged")], 1).await;
    down.store(true, Ordering::SeqCst);
    let levels = [("good", "1"), ("flagged", "4")];
    for (body, (what, level)) in bodies.into_iter().zip(levels) {
        assert_eq!(ask(plane.addr(), post("/web", &[], body)).await.header("x-mainstay-level"), level, "{what}");
    }
    plane.close().await;
}

#[tokio::test]
async fn a_server_has_no_more_calls_at_once_than_it_may_and_one_that_hangs_holds_nobody() {
    let llm = llm(Arc::default()).await;
    let open = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&open);
    let guard = Upstream::start(move |_| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.expect("it stays").forget();
            whole(200, r#"{"results":[{"flagged":false}]}"#)
        }
    })
    .await;
    let checks = |timeout: &str| {
        let server = format!("{{ url: 'http://{}', timeout: {timeout}, at_once: 2 }}", guard.addr);
        format!("guard: {{ moderation: {server}, level: 4 }}")
    };
    let plane = Plane::start(&config(&llm, "fail", &checks("15s")));
    let addr = plane.addr();
    let eight = || (0..8).map(|_| tokio::spawn(say_at(addr, "hello", false))).collect::<Vec<_>>();
    let asking = eight();
    until("all answers", || (llm.count() == 8 && guard.under_way() == 2).then_some(())).await;
    open.add_permits(8);
    for answer in asking {
        assert_eq!(answer.await.expect("it does not panic").facts(), (200, "0", "false", "1", ""));
    }
    assert_eq!((guard.count(), guard.most()), (8, 2));
    plane.counted("mainstay_checks", &[("check", "guard"), ("result", "clear")], 8).await;

    plane.reload(&config(&llm, "fail", &checks("200ms"))).expect("it loads");
    for answer in eight() {
        let answer = answer.await.expect("it does not panic");
        assert_eq!((answer.facts(), heard(&answer).as_str()), ((200, "4", "true", "1", "unchecked"), "Later, please."));
    }
    plane.counted("mainstay_checks", &[("check", "guard"), ("result", "unknown")], 8).await;
    // Which of them still had to wait for a place when their time was over is the machine's affair.
    let why = |reason| plane.metric("mainstay_checks_unknown", &[("reason", reason)]);
    let whys = ["timeout", "busy", "breaker_open"].map(why);
    assert!(whys[0] >= 1.0 && whys.iter().sum::<f64>() == 8.0, "{whys:?}");
    plane.close().await;
}
