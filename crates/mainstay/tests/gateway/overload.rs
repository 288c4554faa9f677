//! More requests than a backend takes: who is served first, who goes deeper, who is turned away.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::support::upstream::predicts;
use crate::support::{Answer, Plane, Upstream, ask, fill, infer, until};

const FULL: &str = r#"
trust: { headers: [x-class] }
backends:
  primary: { url: 'http://$primary', protocol: open-inference, limit: { fixed: { max: 4 } }, retry: { attempts: 1 } }
  small: { url: 'http://$small', protocol: open-inference, limit: none }
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 30s
    priority:
      - { class: 0, when: 'header("x-class") == "0"' }
      - { class: 1, when: 'header("x-class") == "1"' }
      - { class: 2, when: 'header("x-class") == "2"' }
    queue: { max: $queue, wait: $wait }
    $more
    ladder:
      - { level: 0, backend: primary }
      $small_entry
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
"#;

struct Place {
    plane: Plane,
    primary: Upstream,
    small: Upstream,
    gate: Arc<Semaphore>,
}

/// A gateway in front of a primary that answers only as `gate` lets it, and four requests that keep it busy.
async fn place(queue: u32, wait: &str, more: &str, small_entry: &str) -> Place {
    let gate = Arc::new(Semaphore::new(0));
    let hold = Arc::clone(&gate);
    let primary = Upstream::start(move |seen| {
        let hold = Arc::clone(&hold);
        async move {
            hold.acquire().await.expect("it is never closed").forget();
            predicts(&seen, "fraud", 0.5)
        }
    })
    .await;
    let small = Upstream::predicting("small", 0.5).await;
    let config = fill(
        FULL,
        &[
            ("primary", &primary.addr),
            ("small_entry", &small_entry),
            ("small", &small.addr),
            ("queue", &queue),
            ("wait", &wait),
            ("more", &more),
        ],
    );
    Place { plane: Plane::start(&config), primary, small, gate }
}

impl Place {
    fn ask(&self, class: &str, name: &str) -> JoinHandle<Answer> {
        let (addr, class, name) = (self.plane.addr(), class.to_owned(), name.to_owned());
        tokio::spawn(async move { ask(addr, infer(&[("x-class", &class), ("x-request-id", &name)])).await })
    }

    /// Sends a request and waits until it is in the line.
    async fn ask_and_wait(&self, class: &str, name: &str, waiting: u32) -> JoinHandle<Answer> {
        let asking = self.ask(class, name);
        self.plane.backend_is("primary", "the line", |b| b.waiting == waiting).await;
        asking
    }

    async fn keep_busy(&self, n: usize) -> Vec<JoinHandle<Answer>> {
        let mut busy = Vec::new();
        for at in 1..=n {
            busy.push(self.ask("0", "busy"));
            until("a call", || (self.primary.under_way() == at).then_some(())).await;
        }
        busy
    }

    /// Lets the primary answer one call and waits until the next is there.
    async fn next(&self) -> String {
        let before = self.primary.count();
        self.gate.add_permits(1);
        until("the next call", || (self.primary.count() > before).then_some(())).await;
        self.primary.seen()[before].header("x-request-id").to_owned()
    }

    async fn finish(self, running: Vec<JoinHandle<Answer>>) -> Vec<Answer> {
        self.gate.add_permits(1000);
        let mut answers = Vec::new();
        for one in running {
            answers.push(one.await.expect("an answer"));
        }
        assert_eq!(self.primary.most(), 4, "the limit holds");
        self.plane.close().await;
        answers
    }
}

#[tokio::test]
async fn a_better_class_is_served_before_a_worse_one_that_came_first() {
    let place = place(64, "20s", "", "").await;
    let mut running = place.keep_busy(4).await;
    for (at, (class, name)) in [("3", "d"), ("2", "c"), ("1", "b"), ("0", "a"), ("0", "a2")].into_iter().enumerate() {
        running.push(place.ask_and_wait(class, name, at as u32 + 1).await);
    }
    let mut order = Vec::new();
    for _ in 0..5 {
        order.push(place.next().await);
    }
    // Class 0 has been waiting without a break for long by then or not: its own order may be either.
    order[..2].sort();
    assert_eq!(order, ["a", "a2", "b", "c", "d"]);
    let answers = place.finish(running).await;
    assert!(answers.iter().all(|a| a.facts() == (200, "0", "false", "1", "")), "everybody was served");
}

#[tokio::test]
async fn the_worst_of_a_full_line_goes_deeper_when_a_better_one_comes() {
    let place = place(2, "20s", "", "- { level: 2, backend: small }").await;
    let mut running = place.keep_busy(4).await;
    let evicted = place.ask_and_wait("3", "evicted", 1).await;
    running.push(place.ask_and_wait("2", "stays", 2).await);
    running.push(place.ask("0", "first"));
    let answer = evicted.await.unwrap();
    assert_eq!(answer.facts(), (200, "2", "true", "1", "extreme_load"), "a full backend passes to the next level");
    assert_eq!(place.small.only().header("x-request-id"), "evicted");
    // The line is full of better ones now: the next of the worst does not even wait.
    let answer = place.ask("3", "refused").await.unwrap();
    assert_eq!(answer.facts(), (200, "2", "true", "1", "extreme_load"));
    assert_eq!(place.next().await, "first");
    place.plane.counted("mainstay_shed", &[("class", "3"), ("reason", "extreme_load")], 2).await;
    let answers = place.finish(running).await;
    assert!(answers.iter().all(|a| a.header("x-mainstay-level") == "0"));
}

#[tokio::test]
async fn a_request_that_waited_in_vain_goes_deeper() {
    let place = place(4, "50ms", "", "- { level: 2, backend: small }").await;
    let running = place.keep_busy(4).await;
    let answer = place.ask("0", "late").await.unwrap();
    assert_eq!(answer.facts(), (200, "2", "true", "1", "normal_load"), "four of eight places were taken");
    place.finish(running).await;
}

#[tokio::test]
async fn a_429_is_given_only_where_the_route_says_so_and_tells_when_to_come_back() {
    let place = place(0, "20s", "shed_before: 4", "- { level: 2, backend: small }").await;
    let running = place.keep_busy(4).await;
    let deeper = place.ask("0", "deeper").await.unwrap();
    assert_eq!(deeper.facts(), (200, "2", "true", "1", "extreme_load"), "level 2 may still serve");
    place.finish(running).await;

    let place = self::place(0, "20s", "shed_before: 2", "- { level: 2, backend: small }").await;
    let running = place.keep_busy(4).await;
    let shed = place.ask("3", "shed").await.unwrap();
    assert_eq!(shed.facts(), (429, "0", "true", "0", "extreme_load"));
    assert_eq!(shed.header("x-request-id"), "shed");
    assert_eq!(shed.header("x-should-retry"), "true", "the retry budget is untouched");
    let millis: u64 = shed.header("retry-after-ms").parse().unwrap();
    assert!((500..=1500).contains(&millis), "{millis}");
    assert_eq!(shed.header("retry-after"), millis.div_ceil(1000).to_string());
    assert!(shed.json()["error"].is_string(), "{:?}", shed.body);
    assert_eq!(place.small.count(), 0);
    place.plane.counted("mainstay_requests", &[("class", "3"), ("level", "none"), ("code", "429")], 1).await;
    place.plane.counted("mainstay_shed", &[("class", "3"), ("reason", "extreme_load")], 1).await;
    assert_eq!(place.plane.route("score").shed, 1);
    place.finish(running).await;
}

#[tokio::test]
async fn thresholds_turn_the_worse_classes_away_before_it_is_full() {
    let thresholds = "shed: { thresholds: [0.70, 0.85, 0.95] }\n    shed_before: 1";
    let place = place(0, "20s", thresholds, "").await;
    let mut running = place.keep_busy(3).await;
    let shed = place.ask("3", "at 3 of 4").await.unwrap();
    assert_eq!(shed.facts(), (429, "0", "true", "0", "moderate_load"));
    running.push(place.ask("2", "still fits"));
    until("a call", || (place.primary.under_way() == 4).then_some(())).await;
    for class in ["0", "1", "2", "3"] {
        let shed = place.ask(class, "full").await.unwrap();
        assert_eq!(shed.facts(), (429, "0", "true", "0", "extreme_load"), "{class}");
    }
    place.plane.counted("mainstay_shed", &[("reason", "moderate_load")], 1).await;
    place.plane.counted("mainstay_shed", &[("reason", "extreme_load")], 4).await;
    place.finish(running).await;
}

#[tokio::test]
async fn a_caller_that_leaves_the_line_takes_no_place_in_it() {
    let place = place(64, "20s", "", "").await;
    let mut running = place.keep_busy(4).await;
    for at in 1..=10 {
        let gone = place.ask_and_wait("0", "gone", 1).await;
        gone.abort();
        place.plane.backend_is("primary", &format!("an empty line after {at}"), |b| b.waiting == 0).await;
    }
    running.push(place.ask_and_wait("3", "stays", 1).await);
    assert_eq!(place.next().await, "stays");
    place.finish(running).await;
}
