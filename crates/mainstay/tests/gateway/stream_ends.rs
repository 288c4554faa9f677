//! How streams end that are not simply whole: late ends, resets of HTTP/2, backends that become too slow, callers that leave.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use serde_json::json;
use tokio::sync::Notify;

use crate::rescues::{ASKED, Break, CHAT, TEXT, chunk, first, read, second, words};
use crate::support::upstream::parts;
use crate::support::{Answer, Caller, Plane, Upstream, ask, fill, post, soon, until};

/// All of an answer, whose body is open still.
fn whole(model: &str) -> String {
    words(model, TEXT) + &chunk(model, &json!({}), Some("stop")) + "data: [DONE]\n\n"
}

fn config(first: &Upstream, second: &Upstream, policy: &str) -> String {
    let addresses = [("first", &first.addr as &dyn std::fmt::Display), ("second", &second.addr)];
    fill(CHAT, &[addresses[0], addresses[1], ("prefill", &true), ("policy", &policy)])
}

/// The end of a body often comes in a packet of its own, after its caller has all of the answer.
#[tokio::test]
async fn a_connection_is_used_again_where_the_end_of_its_body_comes_late() {
    let (hold, mut held) = tokio::sync::mpsc::unbounded_channel();
    let first = Upstream::start(move |_| {
        let (sender, answer) = parts("Text/Event-Stream");
        sender.send(Ok(whole("big").into())).unwrap();
        hold.send(sender).unwrap();
        async move { answer }
    })
    .await;
    let plane = Plane::start(&config(&first, &first, "fail"));
    let mut caller = Caller::connect(plane.addr()).await;
    // The first one or two may come before the end of those before them was read.
    for turn in 1.. {
        let answer = caller.ask(post("/v1/chat/completions", &[], ASKED)).await;
        assert_eq!((answer.header("x-mainstay-level"), read(&answer.body).ends), ("0", 1));
        drop(held.recv().await.unwrap());
        if first.connections() < first.count() {
            break;
        }
        assert!(turn < 50, "each of {turn} streams took a connection of its own");
    }
    plane.close().await;
}

#[tokio::test]
async fn a_stream_that_is_reset_in_the_middle_takes_nothing_from_others_on_its_connection() {
    let (both, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (came, released) = (Arc::clone(&both), Arc::clone(&go_on));
    let first = Upstream::start(move |seen| {
        let (came, released) = (Arc::clone(&came), Arc::clone(&released));
        async move {
            let (sender, answer) = parts("text/event-stream");
            sender.send(Ok(words("big", "one two three four ").into())).unwrap();
            tokio::spawn(async move {
                if seen.number == 0 {
                    came.notified().await;
                    let _ = sender.send(Err(std::io::Error::other("RST_STREAM")));
                    return;
                }
                came.notify_one();
                released.notified().await;
                let rest = words("big", "five six ") + &chunk("big", &json!({}), Some("stop")) + "data: [DONE]\n\n";
                let _ = sender.send(Ok(rest.into()));
            });
            answer
        }
    })
    .await;
    let second = second().await;
    let h2 = config(&first, &second, "fail").replacen("limit: none", "h2c: true, limit: none", 1);
    let plane = Plane::start(&format!("limits: {{ workers: 1 }}{h2}"));
    let begin = async || {
        let mut caller = Caller::connect(plane.addr()).await;
        (soon("a head", caller.begin(post("/v1/chat/completions", &[], ASKED))).await.unwrap(), caller)
    };
    let ((reset, _one), (stays, _other)) = (begin().await, begin().await);
    let broken = read(&soon("the error", Answer::read(reset)).await.body);
    assert_eq!((broken.errors.as_slice(), broken.ends), (["stream_cut".to_owned()].as_slice(), 0), "{broken:?}");
    go_on.notify_one();
    let answered = read(&soon("the rest", Answer::read(stays)).await.body);
    assert_eq!((answered.texts.as_slice(), answered.ends), ([TEXT.to_owned()].as_slice(), 1), "{answered:?}");
    assert_eq!((first.connections(), second.count()), (1, 0), "one connection, and nobody else was asked");
    assert!(first.seen().iter().all(|seen| seen.version == http::Version::HTTP_2));
    plane.close().await;
}

#[tokio::test]
async fn a_reset_of_http_2_is_a_failed_attempt_before_the_first_token_and_a_rescue_after_it() {
    let second = second().await;
    let early = Upstream::start(|_| async {
        let (sender, answer) = parts("text/event-stream");
        sender.send(Ok(words("big", "").into())).unwrap();
        // What was written has left before the stream is reset: otherwise there is not even a head.
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let _ = sender.send(Err(std::io::Error::other("RST_STREAM")));
        });
        answer
    })
    .await;
    let h2 = |first: &Upstream| config(first, &second, "continue").replacen("limit: none", "h2c: true, limit: none", 1);
    let plane = Plane::start(&h2(&early));
    let answer = ask(plane.addr(), post("/v1/chat/completions", &[], ASKED)).await;
    assert_eq!(answer.facts(), (200, "2", "true", "2", "stream_cut"));
    plane.close().await;

    let late = first(Break::Cut).await;
    let plane = Plane::start(&h2(&late));
    let answer = ask(plane.addr(), post("/v1/chat/completions", &[], ASKED)).await;
    let read = read(&answer.body);
    assert_eq!((read.texts.as_slice(), read.ends, read.errors.len()), ([TEXT.to_owned()].as_slice(), 1, 0), "{read:?}");
    assert_eq!(late.only().version, http::Version::HTTP_2);
    plane.close().await;
}

/// A token now and then keeps `gap` content; what it does not keep is the least rate.
#[tokio::test]
async fn a_backend_that_becomes_too_slow_is_told_of_or_taken_over() {
    let drips = || async {
        Upstream::start(|_| async {
            let (sender, answer) = parts("text/event-stream");
            sender.send(Ok(words("big", "one two three ").into())).unwrap();
            tokio::spawn(async move {
                let token = chunk("big", &json!({"content": "four "}), None);
                while sender.send(Ok(token.clone().into())).is_ok() {
                    tokio::time::sleep(Duration::from_millis(700)).await;
                }
            });
            answer
        })
        .await
    };
    let answered = async |policy: &str| {
        let (first, second) = (drips().await, second().await);
        let plane = Plane::start(&config(&first, &second, policy).replace("gap: 1s", "gap: 2s, min_tokens: 5/s"));
        let began = Instant::now();
        let answer = ask(plane.addr(), post("/v1/chat/completions", &[], ASKED)).await;
        let took = began.elapsed();
        assert!((Duration::from_secs(4)..Duration::from_secs(12)).contains(&took), "it is judged after 5 s: {took:?}");
        plane.close().await;
        read(&answer.body)
    };
    let (told, again) = tokio::join!(answered("fail"), answered("restart"));
    assert_eq!((told.errors.as_slice(), told.ends), (["stream_slow".to_owned()].as_slice(), 0), "{told:?}");
    assert_eq!((again.texts.last().unwrap().as_str(), again.ends, again.errors.len()), (TEXT, 1, 0), "{again:?}");
    assert_eq!(again.models, ["big", "small"]);
}

#[tokio::test]
async fn a_caller_that_leaves_during_a_rescue_ends_all_of_it() {
    for begins in [false, true] {
        let (gone, mut left) = tokio::sync::mpsc::unbounded_channel();
        let (broken, second) = (first(Break::Ends).await, silent(begins, gone).await);
        let third = self::second().await;
        let more = fill(
            "  third: { url: 'http://$third', protocol: openai, prefill: true }\nroutes:",
            &[("third", &third.addr)],
        );
        let text = config(&broken, &second, "continue")
            .replace("first_token: 2s", "first_token: 15s")
            .replace("routes:", &more);
        let plane = Plane::start(
            &text.replace("      - { level: 4", "      - { level: 3, backend: third }\n      - { level: 4"),
        );
        let mut caller = Caller::connect(plane.addr()).await;
        let mut response = soon("a head", caller.begin(post("/v1/chat/completions", &[], ASKED))).await.unwrap();
        soon("a part", response.body_mut().frame()).await.unwrap().unwrap();
        until("the rescue", || (second.count() == 1).then_some(())).await;
        plane.backend_is("second", "the permit taken", |backend| backend.endpoints[0].in_flight == 1).await;
        drop((response, caller));
        let began = Instant::now();
        soon("the one that takes over to see it", left.recv()).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        plane.backend_is("second", "the permit back", |backend| backend.endpoints[0].in_flight == 0).await;
        plane.counted("mainstay_requests", &[("route", "chat"), ("code", "200")], 1).await;
        assert_eq!((broken.count(), second.count(), third.count()), (1, 1, 0), "nobody else is asked");
        assert!(plane.backend("second").breaker == "closed", "it is not to blame");
        plane.close().await;
    }
}

/// Takes a request and says nothing: no answer at all, or one that begins without a token. Tells once whoever asked is gone.
async fn silent(begins: bool, gone: tokio::sync::mpsc::UnboundedSender<()>) -> Upstream {
    /// Dropped with the future of an answer that nobody waits for any more.
    struct Tells(tokio::sync::mpsc::UnboundedSender<()>);
    impl Drop for Tells {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    Upstream::start(move |_| {
        let tells = Tells(gone.clone());
        async move {
            if !begins {
                return std::future::pending().await;
            }
            let (sender, answer) = parts("text/event-stream");
            sender.send(Ok(words("small", "").into())).unwrap();
            tokio::spawn(async move {
                sender.closed().await;
                drop(tells);
            });
            answer
        }
    })
    .await
}
