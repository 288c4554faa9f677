//! What callers bring upon themselves is held against no backend, and told to no other caller.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::time::Duration;

use http::Request;
use http_body_util::Full;
use serde_json::json;

use crate::rescues::{Break, CHAT, TEXT, first, read, second, words};
use crate::support::upstream::{parts, predicts};
use crate::support::{Answer, Caller, Flow, Plane, Upstream, ask, fill, infer, json as whole, post};

const SPENT: &str = r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#;
const LIMITED: &str = r#"{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}"#;
const REFUSED: &str =
    r#"{"error":{"message":"Incorrect API key provided","type":"invalid_request_error","code":"invalid_api_key"}}"#;

/// A model that callers ask with their own keys.
const OWN_KEYS: &str = r"
backends:
  chat: { url: 'http://$chat', protocol: openai, limit: { knee: {} }, retry: { attempts: 1 }, breaker: { consecutive: 3, open: 1h, open_max: 1h } }
routes:
  - name: chat
    path: /v1/chat/completions
    deadline: 10s
    stream: { buffer: { tokens: 1 } }
    ladder:
      - { level: 0, backend: chat }
      - { level: 4, respond: { text: 'Later, please.' } }
";

fn chat(stream: bool, headers: &[(&str, &str)]) -> Request<Full<bytes::Bytes>> {
    let body = json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "Hi"}]});
    post("/v1/chat/completions", headers, body.to_string())
}

fn good() -> http::Response<Flow> {
    whole(
        200,
        r#"{"id":"c","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}"#,
    )
}

#[tokio::test]
async fn what_is_wrong_with_a_callers_own_key_is_no_other_callers_affair() {
    for (status, body) in [(429, LIMITED), (429, SPENT), (402, SPENT), (401, REFUSED), (403, REFUSED)] {
        for stream in [false, true] {
            for name in ["authorization", "x-api-key", "api-key"] {
                let chat_server = Upstream::start(move |seen| async move {
                    if !seen.header(name).ends_with("bad") {
                        return good();
                    }
                    if stream {
                        let (sender, answer) = parts("text/event-stream");
                        sender.send(Ok(format!("data: {body}\n\n").into())).unwrap();
                        return answer;
                    }
                    let mut answer = whole(status, body);
                    answer.headers_mut().insert("retry-after", "300".parse().unwrap());
                    answer
                })
                .await;
                let plane = Plane::start(&fill(OWN_KEYS, &[("chat", &chat_server.addr)]));
                for call in 1..=5 {
                    let answer = ask(plane.addr(), chat(stream, &[(name, "Bearer bad")])).await;
                    assert_eq!(
                        answer.header("x-mainstay-attempts"),
                        "1",
                        "call {call}: {status} {body} {stream} {name}"
                    );
                }
                assert_eq!(plane.backend("chat").breaker, "closed", "{status} {body} {stream} {name}");
                let answer = ask(plane.addr(), chat(false, &[(name, "Bearer good")])).await;
                assert_eq!(answer.facts(), (200, "0", "false", "1", ""), "{status} {body} {stream} {name}");
                plane.close().await;
            }
        }
    }
}

/// Where nobody's key is sent, a limit is the server's own.
#[tokio::test]
async fn a_limit_that_no_key_explains_is_the_servers() {
    let chat_server = Upstream::start(|_| async {
        let mut answer = whole(429, LIMITED);
        answer.headers_mut().insert("retry-after", "300".parse().unwrap());
        answer
    })
    .await;
    let plane = Plane::start(&fill(OWN_KEYS, &[("chat", &chat_server.addr)]));
    assert_eq!(ask(plane.addr(), chat(false, &[])).await.facts(), (200, "4", "true", "1", "throttled"));
    plane.backend_is("chat", "an open breaker", |b| b.breaker == "open").await;
    plane.close().await;
}

#[tokio::test]
async fn a_streams_caller_in_a_hurry_is_not_its_backends_failure() {
    // Nothing in time, or the beginning of an answer and no more.
    for begins in [false, true] {
        let slow = Upstream::start(move |_| async move {
            let (sender, answer) = parts("text/event-stream");
            if begins {
                sender.send(Ok(words("m", "one two three ").into())).unwrap();
            }
            tokio::spawn(async move { sender.closed().await });
            answer
        })
        .await;
        let config = fill(OWN_KEYS, &[("chat", &slow.addr)]).replace("deadline: 10s", "deadline: 600ms");
        let plane = Plane::start(&config);
        for _ in 0..6 {
            let answer = ask(plane.addr(), chat(true, &[("x-mainstay-deadline-ms", "60")])).await;
            assert_eq!(answer.header("x-mainstay-attempts"), "1");
        }
        assert_eq!(plane.backend("chat").breaker, "closed", "{begins}");
        for _ in 0..3 {
            ask(plane.addr(), chat(true, &[])).await;
        }
        plane.backend_is("chat", "a breaker that those who wait opened", |b| b.breaker == "open").await;
        plane.close().await;
    }
}

/// Without `clients` all callers have the same name; at the backend they do not.
#[tokio::test]
async fn answers_to_one_key_are_not_given_to_another() {
    let config = r"
backends: { primary: { url: 'http://$primary', protocol: open-inference, retry: { attempts: 1 } } }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 10s
    ladder:
      - { level: 0, backend: primary }
      - { level: 1, cache: { max_age: 5m, single_flight: true } }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
";
    let primary = Upstream::start(|seen| async move {
        if seen.number == 0 { predicts(&seen, "fraud", 0.75) } else { whole(503, "{}") }
    })
    .await;
    let plane = Plane::start(&fill(config, &[("primary", &primary.addr)]));
    let level =
        async |headers: &[(&str, &str)]| ask(plane.addr(), infer(headers)).await.header("x-mainstay-level").to_owned();
    assert_eq!(level(&[("authorization", "Bearer one")]).await, "0");
    for other in [&[("authorization", "Bearer two")][..], &[("x-api-key", "Bearer one")], &[]] {
        assert_eq!(level(other).await, "4", "{other:?}");
    }
    assert_eq!(level(&[("authorization", "Bearer one")]).await, "1");
    plane.close().await;
}

#[tokio::test]
async fn who_takes_over_is_told_the_how_manieth_it_is_and_pays_for_no_retry() {
    const STREAMS: usize = 100;
    const FAILING: usize = 45;
    let (first, second) = (first(Break::Errs).await, second().await);
    let failing = Upstream::start(|_| async { whole(503, "{}") }).await;
    let config = CHAT.replace(
        "retry: { attempts: 1 } }\n  second",
        "retry: { attempts: 1 }, breaker: { consecutive: 10000, min_calls: 1000000 } }\n  second",
    );
    let config = config.replace("routes:", "  failing: { url: 'http://$failing', protocol: openai, limit: none, retry: { attempts: 2 }, breaker: { consecutive: 10000, min_calls: 1000000 } }\nroutes:");
    let values: [(&str, &dyn std::fmt::Display); 5] = [
        ("first", &first.addr),
        ("second", &second.addr),
        ("failing", &failing.addr),
        ("prefill", &true),
        ("policy", &"continue"),
    ];
    let config = fill(&config, &values);
    let plane = Plane::start(&config);
    let (mut caller, began) = (Caller::connect(plane.addr()).await, std::time::Instant::now());
    for _ in 0..STREAMS {
        let answer = caller.ask(chat(true, &[])).await;
        assert_eq!(read(&answer.body).texts, [TEXT.to_owned()]);
    }
    assert!(second.seen().iter().all(|seen| seen.header("x-mainstay-attempt") == "2"));
    // The route's budget is the same after it was changed.
    plane.reload(&config.replace("level: 0, backend: first", "level: 0, backend: failing")).unwrap();
    let mut caller = Caller::connect(plane.addr()).await;
    for _ in 0..FAILING {
        caller.ask(chat(true, &[])).await;
    }
    let again = failing.count() - FAILING;
    // A tenth of the requests, and one for each second and ten before.
    let most = 10 + (STREAMS + FAILING) / 10 + began.elapsed().as_secs() as usize + 1;
    assert!(again <= most, "{again} of {most}");
    assert!(again >= 20 || began.elapsed() > Duration::from_secs(9), "{again}: what was paid in is not forgotten");
    plane.close().await;
}

#[tokio::test]
async fn a_reload_makes_nobody_richer() {
    let failing = Upstream::start(|_| async { whole(503, "{}") }).await;
    let config = fill(OWN_KEYS, &[("chat", &failing.addr)]).replace("attempts: 1", "attempts: 2");
    let config = config.replace("consecutive: 3", "consecutive: 10000, min_calls: 1000000");
    let plane = Plane::start(&config);
    let began = std::time::Instant::now();
    let mut requests = 0;
    for seconds in 11..15 {
        let mut caller = Caller::connect(plane.addr()).await;
        for _ in 0..20 {
            caller.ask(chat(false, &[])).await;
            requests += 1;
        }
        plane.reload(&config.replace("deadline: 10s", &format!("deadline: {seconds}s"))).unwrap();
    }
    let again = failing.count() - requests;
    let most = 10 + requests / 10 + began.elapsed().as_secs() as usize + 1;
    assert!(again <= most, "{again} of {most}");
    plane.close().await;
}

const TOGETHER: &str = r"
backends: { primary: { url: 'http://$primary', protocol: open-inference, limit: none, retry: { attempts: 1 }, breaker: { consecutive: 100 } } }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 10s
    ladder:
      - { level: 0, backend: primary }
      - { level: 1, cache: { max_age: 5m, single_flight: true } }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
";

async fn together(plane: &Plane, n: usize) -> Vec<Answer> {
    let asked: Vec<_> = (0..n).map(|_| tokio::spawn(ask(plane.addr(), infer(&[])))).collect();
    let mut answers = Vec::new();
    for asked in asked {
        answers.push(asked.await.unwrap());
    }
    answers
}

#[tokio::test]
async fn those_that_wait_for_one_that_fails_do_not_all_call() {
    // How many calls fail, how many are made, and where the ten are answered.
    for (failing, calls, levels) in [(1, 2, [9, 1]), (usize::MAX, 2, [0, 10])] {
        let primary = Upstream::start(move |seen| async move {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if seen.number < failing { whole(503, "{}") } else { predicts(&seen, "fraud", 0.75) }
        })
        .await;
        let plane = Plane::start(&fill(TOGETHER, &[("primary", &primary.addr)]));
        let answers = together(&plane, 10).await;
        let at = |level: &str| answers.iter().filter(|answer| answer.header("x-mainstay-level") == level).count();
        assert_eq!(primary.count(), calls, "{failing} fail");
        // Who failed finds the answer of the next one in the cache, or is too early for it.
        assert_eq!((at("0") + at("1") + at("4"), at("0")), (10, levels[0]), "{failing} fail");
        plane.close().await;
    }
}

#[tokio::test]
async fn those_that_wait_for_one_that_leaves_are_led_by_another() {
    let primary = Upstream::start(|seen| async move {
        if seen.number == 0 {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        predicts(&seen, "fraud", 0.75)
    })
    .await;
    let plane = Plane::start(&fill(TOGETHER, &[("primary", &primary.addr)]));
    let leader = tokio::spawn(ask(plane.addr(), infer(&[])));
    crate::support::until("the first call", || (primary.count() == 1).then_some(())).await;
    let asked: Vec<_> = (0..10).map(|_| tokio::spawn(ask(plane.addr(), infer(&[])))).collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    leader.abort();
    for asked in asked {
        assert_eq!(asked.await.unwrap().header("x-mainstay-level"), "0");
    }
    assert_eq!(primary.count(), 2);
    plane.close().await;
}

/// A model that says a word every 100 ms, once it began after so long; in the middle it pauses for so long.
async fn speaking(begins: Duration, pause: Duration) -> Upstream {
    Upstream::start(move |_| {
        let (sender, answer) = parts("text/event-stream");
        tokio::spawn(async move {
            tokio::time::sleep(begins).await;
            for (nth, word) in ["one ", "two ", "three ", "four ", "five ", "six "].into_iter().enumerate() {
                tokio::time::sleep(if nth == 3 { pause } else { Duration::from_millis(100) }).await;
                let choice = json!({"index": 0, "delta": {"content": word}, "finish_reason": null});
                let event = json!({"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice]});
                let _ = sender.send(Ok(format!("data: {event}\n\n").into()));
            }
            let end = r#"data: {"id":"c","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
            let _ = sender.send(Ok(format!("{end}\n\ndata: [DONE]\n\n").into()));
        });
        async move { answer }
    })
    .await
}

#[tokio::test]
async fn a_callers_patience_with_a_stream_ends_while_it_hears_nothing() {
    let millis = Duration::from_millis;
    for name in ["x-stainless-read-timeout", "x-stainless-timeout"] {
        let speaker = speaking(Duration::ZERO, millis(900)).await;
        let plane = Plane::start(&fill(OWN_KEYS, &[("chat", &speaker.addr)]));
        let answer = ask(plane.addr(), chat(true, &[(name, "0.4")])).await;
        assert_eq!(read(&answer.body).texts, [TEXT.to_owned()], "{name}: longer than that in all, but heard in time");
        let signs = std::str::from_utf8(&answer.body).unwrap().lines().filter(|line| line.starts_with(':')).count();
        assert!(signs >= 3, "{name}: {signs} signs of life in a pause of 900 ms");
        plane.close().await;
    }
    // What does not begin in time is answered by somebody else, in time.
    for header in [("x-stainless-read-timeout", "0.3"), ("x-slo-ttft-ms", "300")] {
        let speaker = speaking(Duration::from_secs(2), millis(100)).await;
        let plane = Plane::start(&fill(OWN_KEYS, &[("chat", &speaker.addr)]));
        for _ in 0..4 {
            let began = std::time::Instant::now();
            let answer = ask(plane.addr(), chat(true, &[header])).await;
            assert_eq!(answer.facts(), (200, "4", "true", "1", "timeout"), "{header:?}");
            assert!(began.elapsed() < millis(900), "{header:?}: {:?}", began.elapsed());
        }
        assert_eq!(plane.backend("chat").breaker, "closed", "{header:?}");
        plane.close().await;
    }
    // Who waits for a whole answer hears nothing before it.
    let slow = Upstream::start(|_| async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        good()
    })
    .await;
    let plane = Plane::start(&fill(OWN_KEYS, &[("chat", &slow.addr)]));
    let answer = ask(plane.addr(), chat(false, &[("x-stainless-timeout", "0.2")])).await;
    assert_eq!(answer.facts(), (200, "4", "true", "1", "timeout"));
    plane.close().await;
}

#[tokio::test]
async fn a_backend_that_says_so_is_not_asked_again() {
    let busy = Upstream::start(|_| async {
        let mut answer = whole(503, "{}");
        answer.headers_mut().insert("x-should-retry", "false".parse().unwrap());
        answer
    })
    .await;
    let plane = Plane::start(&fill(OWN_KEYS, &[("chat", &busy.addr)]).replace("attempts: 1", "attempts: 3"));
    assert_eq!(ask(plane.addr(), chat(false, &[])).await.facts(), (200, "4", "true", "1", "backend_error"));
    assert_eq!(busy.count(), 1);
    plane.close().await;
}

#[tokio::test]
async fn a_streamed_answer_is_kept_and_given_again_either_way() {
    let config = r"
backends: { chat: { url: 'http://$chat', protocol: openai, limit: none, retry: { attempts: 1 } } }
routes:
  - name: chat
    path: /v1/chat/completions
    deadline: 10s
    stream: { buffer: { tokens: 1 } }
    ladder:
      - { level: 0, backend: chat }
      - { level: 1, cache: { max_age: 5m } }
      - { level: 4, respond: { text: 'Later, please.' } }
";
    let asked = |stream: bool, question: &str| {
        let messages = json!([{"role": "user", "content": question}]);
        post("/v1/chat/completions", &[], json!({"model": "m", "stream": stream, "messages": messages}).to_string())
    };
    for streamed in [true, false] {
        let server = Upstream::start(move |seen| async move {
            let (sender, answer) = parts("text/event-stream");
            let usage = r#"data: {"id":"c","model":"m","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":6,"total_tokens":15}}"#;
            let end = r#"data: {"id":"c","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
            match (seen.number, streamed) {
                (0, true) => {
                    let body = words("m", TEXT) + &format!("{end}\n\n{usage}\n\ndata: [DONE]\n\n");
                    sender.send(Ok(body.into())).unwrap();
                    answer
                }
                // Cut before its end: that is nothing to give again.
                (1, true) => {
                    sender.send(Ok(words("m", TEXT).into())).unwrap();
                    answer
                }
                (0, false) => {
                    let message = json!({"role": "assistant", "content": TEXT});
                    let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
                    whole(200, json!({"id": "c", "model": "m", "choices": [choice]}).to_string())
                }
                _ => whole(503, "{}"),
            }
        })
        .await;
        let plane = Plane::start(&fill(config, &[("chat", &server.addr)]));
        assert_eq!(ask(plane.addr(), asked(streamed, "Count.")).await.facts().1, "0");
        ask(plane.addr(), asked(streamed, "What is cut?")).await;
        let stream = ask(plane.addr(), asked(true, "Count.")).await;
        assert_eq!((stream.facts().1, stream.header("content-type")), ("1", "text/event-stream"), "{streamed}");
        let said = read(&stream.body);
        assert_eq!((said.texts.as_slice(), said.ends), ([TEXT.to_owned()].as_slice(), 1), "{streamed}: {said:?}");
        let at_once = ask(plane.addr(), asked(false, "Count.")).await;
        assert_eq!((at_once.facts().1, at_once.header("content-type")), ("1", "application/json"), "{streamed}");
        assert_eq!(at_once.json()["choices"][0]["message"]["content"], TEXT);
        for other in ["What else?", "What is cut?"] {
            assert_eq!(ask(plane.addr(), asked(true, other)).await.facts().1, "4", "{streamed}: {other}");
        }
        plane.close().await;
    }
}
