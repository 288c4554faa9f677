//! Levels that answer from what is at hand, and what becomes of them when that is missing, old, broken or full.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json as value};

use crate::support::{Answer, Plane, Upstream, ask, dead, fill, json, post, until};

/// A directory of this test's own.
fn dir(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-answers-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("a directory can be made");
    path
}

fn write(path: &Path, content: impl AsRef<[u8]>) {
    let aside = path.with_extension("aside");
    std::fs::write(&aside, content).expect("a file can be written");
    std::fs::rename(&aside, path).expect("a file can be renamed");
}

#[expect(clippy::needless_pass_by_value, reason = "calls read better with a literal")]
fn oip(parameters: Value, data: &[&str]) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    let body = value!({
        "id": "caller-1",
        "parameters": parameters,
        "inputs": [{ "name": "x", "shape": [data.len()], "datatype": "BYTES", "data": data }],
    });
    post("/v2/models/risk/infer", &[], body.to_string())
}

fn data(answer: &Answer, output: usize) -> Value {
    let body = answer.json();
    assert_eq!(body["id"], "caller-1", "{body}");
    let output = &body["outputs"][output];
    let length = output["data"].as_array().expect("data").len() as u64;
    let shape: u64 = output["shape"].as_array().expect("a shape").iter().filter_map(Value::as_u64).product();
    assert_eq!(length, shape, "{body}");
    output["data"].clone()
}

const TABLE: &str = r"
routes:
  - name: risk
    path: /v2/models/risk/infer
    deadline: 5s
    ladder:
      - { level: 1, table: { file: $dir/scores.csv, key: /parameters/card, max_age: 1h } }
      - { level: 4, respond: { outputs: [{ name: decision, value: review }] } }
";

fn failures(plane: &Plane, route: &str, kind: &str) -> Vec<(String, u64)> {
    let entries = plane.route(route).entries;
    let of_kind = entries.iter().filter(|entry| entry.kind == kind).flat_map(|entry| &entry.failures);
    of_kind.map(|(why, count)| ((*why).to_owned(), *count)).collect()
}

#[tokio::test]
async fn a_table_answers_by_key_for_one_request_and_for_a_batch() {
    let dir = dir("table");
    write(&dir.join("scores.csv"), "card,score,label\n007,0.25,low\nb,1,\"hi,gh\"\n");
    let plane = Plane::start(&fill(TABLE, &[("dir", &dir.display())]));

    let answer = ask(plane.addr(), oip(value!({ "card": "007" }), &["x"])).await;
    assert_eq!(answer.facts(), (200, "1", "true", "0", "level"));
    assert_eq!(answer.header("x-mainstay-backend"), "table");
    let body = answer.json();
    assert_eq!((&body["outputs"][0]["name"], &body["outputs"][0]["datatype"]), (&value!("label"), &value!("BYTES")));
    assert_eq!((data(&answer, 0), data(&answer, 1)), (value!(["low"]), value!([0.25])));

    let batch = ask(plane.addr(), oip(value!({ "card": ["b", "007"] }), &["x", "y"])).await;
    assert_eq!((data(&batch, 0), data(&batch, 1)), (value!(["hi,gh", "low"]), value!([1, 0.25])));
    assert_eq!(batch.json()["outputs"][1]["datatype"], "FP64", "the column has real numbers");

    for (parameters, why) in [
        (value!({ "card": "nobody" }), "key_not_found"),
        (value!({ "card": ["b", "nobody"] }), "key_not_found"),
        (value!({}), "pointer_found_nothing"),
        (value!({ "card": null }), "pointer_found_nothing"),
        (value!({ "card": [] }), "pointer_found_nothing"),
        (value!({ "card": { "x": 1 } }), "pointer_wrong_type"),
    ] {
        let answer = ask(plane.addr(), oip(parameters, &["x"])).await;
        assert_eq!(answer.facts(), (200, "4", "true", "0", why));
        assert_eq!(data(&answer, 0), value!(["review"]));
    }
    let counted = |why| [("route", "risk"), ("level", "1"), ("kind", "table"), ("reason", why)];
    plane.counted("mainstay_answer_failures", &counted("pointer_found_nothing"), 3).await;
    plane.counted("mainstay_answer_failures", &counted("key_not_found"), 2).await;
    assert_eq!(failures(&plane, "risk", "table").len(), 3, "status tells the causes");
    plane.close().await;
}

/// Missing, half written, wrong, stale: the last good version serves while it is young enough, then the next level does.
#[tokio::test]
async fn a_bad_table_never_answers_and_the_last_good_one_does() {
    let dir = dir("bad-table");
    let path = dir.join("scores.csv");
    let plane = Plane::start(&fill(TABLE, &[("dir", &dir.display())]));
    let level = async |card: &str| {
        let answer = ask(plane.addr(), oip(value!({ "card": card }), &["x"])).await;
        (answer.header("x-mainstay-level").to_owned(), answer.header("x-mainstay-reason").to_owned())
    };
    let of = |level: &str, why: &str| (level.to_owned(), why.to_owned());
    let fault = |fault: &'static str| {
        let plane = &plane;
        async move {
            let holds = |status: &mainstay_core::status::Status| {
                status.files[0].fault.as_ref().is_some_and(|(told, _)| told.contains(fault))
            };
            plane.status(fault, holds).await
        }
    };
    fault("no such file").await;
    assert_eq!(level("a").await, of("4", "file_not_usable"));

    write(&path, "card,score\na,0.5\n");
    plane.status("the table", |status| status.files[0].entries == 1 && status.files[0].fault.is_none()).await;
    assert_eq!(level("a").await, of("1", "level"));

    for (content, told) in [
        (&b"card,score\na,0.7\nb,0"[..], "half written"),
        (b"card,score\na,0.7,9\n", "line 2: 3 cells where the first line has 2"),
        (b"card,score\n\xff,0.7\n", "line 2: not UTF-8"),
        (b"card,score\n", "no rows"),
        (b"", "no rows"),
    ] {
        write(&path, content);
        let status = fault(told).await;
        assert_eq!(status.files[0].entries, 1, "the last good version serves on");
        assert_eq!(level("a").await, of("1", "level"));
    }
    std::fs::remove_file(&path).unwrap();
    fault("no such file").await;
    assert_eq!(level("a").await, of("1", "level"));

    write(&path, "card,score\na,0.5\n");
    let old = SystemTime::now() - Duration::from_hours(2);
    std::fs::File::options().append(true).open(&path).unwrap().set_modified(old).unwrap();
    until("a stale table", || {
        let status = plane.gateway.status();
        status.files[0].modified.filter(|at| plane.clock.now().since(*at) > Duration::from_hours(1))
    })
    .await;
    assert_eq!(level("a").await, of("4", "file_too_old"));
    assert!(plane.metric("mainstay_answer_file_age_seconds", &[]) > 7000.0);
    plane.close().await;
}

#[tokio::test]
async fn tables_of_json_lines_render_as_bodies_and_say_how_old_a_row_is() {
    let dir = dir("jsonl");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    write(
        &dir.join("recs.jsonl"),
        format!(
            "{{\"user\":\"u1\",\"items\":[\"a\",\"b\"],\"at\":{now}}}\n\n{{\"user\":2,\"items\":[],\"at\":{}}}\n",
            now - 7200
        ),
    );
    let config = r"
routes:
  - name: recommend
    path: /recommend
    deadline: 5s
    request: { user: /user }
    ladder:
      - level: 1
        table: { file: $dir/recs.jsonl, column: user, max_age: 1h, updated: at, respond: { body: { for: { column: user }, items: { column: items } } } }
      - { level: 4, respond: { body: { items: [] } } }
";
    let plane = Plane::start(&fill(config, &[("dir", &dir.display())]));
    let answer = ask(plane.addr(), post("/recommend", &[], r#"{"user":"u1"}"#)).await;
    assert_eq!((answer.header("x-mainstay-level"), answer.json()), ("1", value!({ "for": "u1", "items": ["a", "b"] })));
    let old = ask(plane.addr(), post("/recommend", &[], r#"{"user":2}"#)).await;
    assert_eq!(old.facts(), (200, "4", "true", "0", "row_too_old"));
    let broken = ask(plane.addr(), post("/recommend", &[], r#"{"user":"#)).await;
    assert_eq!(broken.facts(), (200, "4", "true", "0", "request_not_json"));
    plane.close().await;
}

#[tokio::test]
async fn items_are_ranked_by_words_numbers_and_times() {
    let dir = dir("rank");
    write(
        &dir.join("items.csv"),
        "id,title,clicks,at\na,red coat,5,2026-01-01\nb,blue shoes,9,2024-01-01\nc,red shoes,1,2025-06-01\n",
    );
    let config = r"
routes:
  - name: search
    path: /v2/models/risk/infer
    deadline: 5s
    request: { items: /inputs/0/data, query: /parameters/query }
    ladder:
      - { level: 2, rank: { by: bm25, file: $dir/items.csv, fields: [title] } }
      - { level: 3, rank: { by: recency, file: $dir/items.csv, value: at } }
      - { level: 4, respond: { outputs: [{ name: ranking, value: 0 }] } }
  - name: shop
    path: /shop/*
    deadline: 5s
    ladder:
      - { level: 1, rank: { by: bm25, items: /items, query: /q, fields: [/title, /body] } }
      - { level: 2, rank: { by: popularity, file: $dir/items.csv, value: clicks, top: 2 } }
      - { level: 4, respond: { body: { items: [] } } }
";
    let plane = Plane::start(&fill(config, &[("dir", &dir.display())]));
    let answer = ask(plane.addr(), oip(value!({ "query": "red shoes" }), &["b", "unknown", "c", "a"])).await;
    assert_eq!(answer.header("x-mainstay-level"), "2");
    let ranking = data(&answer, 0);
    assert_eq!(ranking[0], 2, "red shoes fit best: {ranking}");
    assert_eq!(ranking[3], 1, "an item that the file lacks comes last");
    assert_eq!(data(&answer, 1)[1], 0.0);
    let recency = ask(plane.addr(), oip(value!({}), &["b", "unknown", "c", "a"])).await;
    assert_eq!(recency.facts(), (200, "3", "true", "0", "pointer_found_nothing"));
    assert_eq!(data(&recency, 0), value!([3, 2, 0, 1]));

    let items = r#"{"q":"blue suede","items":[{"title":"red coat"},{"title":"blue","body":"suede"},{"body":"blue"}]}"#;
    let ordered = ask(plane.addr(), post("/shop/search", &[], items)).await.json();
    assert_eq!(ordered["items"], value!([{"title":"blue","body":"suede"}, {"body":"blue"}, {"title":"red coat"}]));
    let popular = ask(plane.addr(), post("/shop/search", &[], r#"{"q":"x"}"#)).await;
    assert_eq!(popular.facts(), (200, "2", "true", "0", "pointer_found_nothing"));
    assert_eq!(popular.json(), value!({ "items": ["b", "a"], "scores": [9.0, 5.0] }));
    plane.close().await;
}

#[tokio::test]
async fn keywords_hit_miss_and_reload_and_a_file_with_bad_encodings_is_told_by_line() {
    let dir = dir("keywords");
    let path = dir.join("words.txt");
    write(&path, "# a list\nattack\tviolence\nfree money\tspam\n");
    let config = r#"
routes:
  - name: moderate
    path: /v2/models/risk/infer
    deadline: 5s
    request: { text: /inputs/0/data }
    ladder:
      - { level: 2, keywords: { file: $dir/words.txt, hit: { outputs: [{ name: verdict, value: block }, { name: why, value: { column: label } }] }, miss: { outputs: [{ name: verdict, value: pass }, { name: why, value: "" }] } } }
      - { level: 4, respond: { outputs: [{ name: verdict, value: block }] } }
  - name: chat
    path: /v1/chat/completions
    deadline: 5s
    ladder:
      - { level: 3, keywords: { file: $dir/words.txt, hit: { text: "About {keyword}: {label}." }, miss: next } }
      - { level: 4, respond: { text: "Sorry." } }
"#;
    let plane = Plane::start(&fill(config, &[("dir", &dir.display())]));
    let answer = ask(plane.addr(), oip(value!({}), &["hello", "FREE  m0ney!", "counterattacks"])).await;
    assert_eq!(data(&answer, 0), value!(["pass", "block", "pass"]), "one verdict per text");
    assert_eq!(data(&answer, 1), value!(["", "spam", ""]));

    let chat = |text: &str| {
        let body = value!({ "model": "m", "messages": [
            { "role": "user", "content": "attack" },
            { "role": "assistant", "content": "no" },
            { "role": "user", "content": [{ "type": "text", "text": text }] },
        ] });
        post("/v1/chat/completions", &[], body.to_string())
    };
    let hit = ask(plane.addr(), chat("is there free money?")).await;
    assert_eq!(hit.json()["choices"][0]["message"]["content"], "About free money: spam.");
    let miss = ask(plane.addr(), chat("hello")).await;
    assert_eq!(miss.facts(), (200, "4", "true", "0", "no_keyword"));
    assert_eq!(failures(&plane, "chat", "keywords"), [], "that nothing was found is no failure");

    write(&path, b"attack\n\xc3\x28\n***\nlast\n");
    let told = plane.status("the fault", |status| status.files[0].fault.is_some()).await;
    let fault = told.files[0].fault.clone().unwrap().0;
    assert!(fault.contains("line 2: not UTF-8") && fault.contains("line 3: nothing to look for"), "{fault}");
    assert_eq!(data(&ask(plane.addr(), oip(value!({}), &["attack"])).await, 0), value!(["block"]));

    write(&path, "other\n");
    plane.status("the new list", |status| status.files.iter().all(|f| f.entries == 1 && f.fault.is_none())).await;
    assert_eq!(data(&ask(plane.addr(), oip(value!({}), &["attack"])).await, 0), value!(["pass"]));
    plane.close().await;
}

/// Whichever level answers, a request counts; so the count is there when an outage begins.
#[tokio::test]
async fn velocities_count_requests_that_a_model_answered() {
    let primary = Upstream::predicting("risk", 0.25).await;
    let config = r"
backends: { primary: { url: 'http://$primary', protocol: open-inference, retry: { attempts: 1 } } }
routes:
  - name: risk
    path: /v2/models/risk/infer
    deadline: 5s
    request: { key: /parameters/card }
    ladder:
      - { level: 0, backend: primary }
      - { level: 3, velocity: { max: 2, per: 10m, over: { outputs: [{ name: p, value: 1.0 }, { name: n, value: { column: count } }] }, under: next } }
      - { level: 4, respond: { outputs: [{ name: p, value: 0.5 }, { name: n, value: 0 }] } }
";
    let plane = Plane::start(&fill(config, &[("primary", &primary.addr)]));
    for _ in 0..2 {
        assert_eq!(ask(plane.addr(), oip(value!({ "card": "c1" }), &["x"])).await.header("x-mainstay-level"), "0");
    }
    plane.gateway.pin("risk", mainstay_core::route::Level::new(3).unwrap(), None, "test").unwrap();
    let over = ask(plane.addr(), oip(value!({ "card": "c1" }), &["x"])).await;
    assert_eq!((over.header("x-mainstay-level"), data(&over, 0), data(&over, 1)), ("3", value!([1.0]), value!([3])));
    let under = ask(plane.addr(), oip(value!({ "card": "c2" }), &["x"])).await;
    assert_eq!(under.header("x-mainstay-level"), "4");
    let nothing = ask(plane.addr(), oip(value!({}), &["x"])).await;
    assert_eq!(nothing.header("x-mainstay-level"), "4");
    plane.counted("mainstay_answer_failures", &[("kind", "velocity"), ("reason", "pointer_found_nothing")], 1).await;
    plane.close().await;
}

const QUEUE: &str = r"
routes:
  - name: moderate
    path: /v2/models/risk/infer
    deadline: 5s
    ladder:
      - level: 4
        queue:
          name: risk
          file: $dir/risk.log
          max: 2
          respond: { outputs: [{ name: decision, value: held }, { name: review, value: { column: id } }] }
          otherwise: { outputs: [{ name: decision, value: block }] }
";

fn with_id(id: &str) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    let mut request = oip(value!({}), &["x"]);
    request.headers_mut().insert("x-request-id", id.parse().expect("a plain id"));
    request
}

#[tokio::test]
async fn a_queue_holds_what_it_can_decides_once_and_outlives_the_process() {
    let dir = dir("queue");
    let config = fill(QUEUE, &[("dir", &dir.display())]);
    let plane = Plane::start(&config);
    let first = ask(plane.addr(), with_id("r1")).await;
    assert_eq!((data(&first, 0), data(&first, 1)), (value!(["held"]), value!(["risk-1"])));
    let again = ask(plane.addr(), with_id("r1")).await;
    assert_eq!(data(&again, 1), value!(["risk-1"]), "sent again it is held once");
    assert_eq!(data(&ask(plane.addr(), with_id("r2")).await, 1), value!(["risk-2"]));
    let full = ask(plane.addr(), with_id("r3")).await;
    assert_eq!((full.header("x-mainstay-level"), data(&full, 0)), ("4", value!(["block"])));
    plane.counted("mainstay_answer_failures", &[("kind", "queue"), ("reason", "queue_full")], 1).await;
    plane.counted("mainstay_review_queue_size", &[("queue", "risk")], 2).await;

    let decision = |decision: &str| mainstay_core::answer::review::Decision {
        decision: decision.to_owned(),
        by: "ana".to_owned(),
        note: String::new(),
        at: mainstay_core::time::Time::ZERO,
    };
    for _ in 0..2 {
        let decided = plane.gateway.decide("risk", 1, decision("allow")).await.unwrap();
        assert_eq!(decided.state.name(), "decided");
    }
    assert!(plane.gateway.decide("risk", 1, decision("block")).await.is_err());
    plane.close().await;

    // A crash in the middle of a write leaves a part of a record.
    let path = dir.join("risk.log");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend_from_slice(b"12345678 {\"held\": 9, \"bod");
    std::fs::write(&path, &bytes).unwrap();
    let plane = Plane::start(&config);
    let reviews = plane.gateway.reviews("risk", None, 0, 10).unwrap();
    let states: Vec<_> = reviews.iter().map(|review| (review.id, review.state.name())).collect();
    assert_eq!(states, [(1, "decided"), (2, "waiting")]);
    assert!(reviews[1].held.body.contains("caller-1"));
    assert_eq!(data(&ask(plane.addr(), with_id("r4")).await, 1), value!(["risk-3"]), "numbers go on");
    plane.close().await;
}

#[tokio::test]
async fn a_body_that_a_queue_cannot_hold_is_answered_otherwise() {
    let dir = dir("queue-body");
    let plane = Plane::start(&fill(QUEUE, &[("dir", &dir.display())]));
    let long = format!(r#"{{"id":"caller-1","pad":"{}"}}"#, "x".repeat(300 << 10));
    let answer = ask(plane.addr(), post("/v2/models/risk/infer", &[], long)).await;
    assert_eq!(answer.json()["outputs"][0]["data"], value!(["block"]));
    plane.counted("mainstay_answer_failures", &[("reason", "body_not_text_or_too_long")], 1).await;
    plane.close().await;
}

/// A model that finds a chat too long is no dead end where a later entry leaves out old turns; elsewhere the caller learns it.
#[tokio::test]
async fn a_chat_too_long_for_the_model_goes_on_to_a_smaller_context() {
    let primary = Upstream::start(|seen| async move {
        let body: Value = serde_json::from_slice(&seen.body).unwrap();
        if body["messages"].as_array().unwrap().len() > 1 {
            return json(400, r#"{"error":{"code":"context_length_exceeded","message":"too long"}}"#);
        }
        json(200, r#"{"choices":[{"message":{"content":"yes"}}]}"#)
    })
    .await;
    let config = r"
backends:
  chat: { url: 'http://$primary', protocol: openai }
routes:
  - name: trims
    path: /v1/chat/completions
    deadline: 5s
    ladder:
      - { level: 0, backend: chat }
      - { level: 1, backend: chat, context: { max_tokens: 60 } }
      - { level: 4, respond: { text: Sorry. } }
  - name: tells
    path: /tells/v1/chat/completions
    deadline: 5s
    ladder:
      - { level: 0, backend: chat }
      - { level: 4, respond: { text: Sorry. } }
";
    let plane = Plane::start(&fill(config, &[("primary", &primary.addr)]));
    let body = value!({ "model": "m", "messages": [
        { "role": "user", "content": "long ago ".repeat(30) },
        { "role": "assistant", "content": "yes" },
        { "role": "user", "content": "and today?" },
    ] });
    let answer = ask(plane.addr(), post("/v1/chat/completions", &[], body.to_string())).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-mainstay-level"), "1");
    assert_eq!(answer.header("x-mainstay-reason"), "context_too_long");
    let told = ask(plane.addr(), post("/tells/v1/chat/completions", &[], body.to_string())).await;
    assert_eq!(told.status, 400);
    assert_eq!(told.json()["error"]["code"], "context_length_exceeded");
    plane.close().await;
}

#[tokio::test]
async fn a_smaller_context_leaves_out_the_oldest_turns() {
    let primary = Upstream::start(|seen| async move {
        let body: Value = serde_json::from_slice(&seen.body).unwrap();
        json(
            200,
            value!({ "choices": [{ "message": { "content": body["messages"].as_array().unwrap().len() } }] })
                .to_string(),
        )
    })
    .await;
    let (gone, _socket) = dead();
    let config = r#"
backends:
  gone: { url: 'http://$gone', protocol: openai, retry: { attempts: 1 } }
  chat: { url: 'http://$primary', protocol: openai, retry: { attempts: 1 } }
routes:
  - name: chat
    path: /v1/chat/completions
    deadline: 5s
    ladder:
      - { level: 0, backend: gone }
      - { level: 1, backend: chat, context: { max_tokens: 60 } }
      - { level: 4, respond: { text: "Sorry." } }
"#;
    let plane = Plane::start(&fill(config, &[("gone", &gone), ("primary", &primary.addr)]));
    let chat = |last: &str| {
        let body = value!({ "model": "m", "messages": [
            { "role": "system", "content": "be kind" },
            { "role": "user", "content": "long ago ".repeat(30) },
            { "role": "assistant", "content": "yes" },
            { "role": "user", "content": last },
        ] });
        post("/v1/chat/completions", &[], body.to_string())
    };
    let answer = ask(plane.addr(), chat("and today?")).await;
    assert_eq!(answer.header("x-mainstay-level"), "1");
    let seen: Value = serde_json::from_slice(&primary.only().body).unwrap();
    let roles: Vec<_> = seen["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user"]);
    assert_eq!(seen["messages"][1]["content"], "and today?");
    let too_long = ask(plane.addr(), chat(&"word ".repeat(100))).await;
    assert_eq!(too_long.header("x-mainstay-level"), "4");
    plane.counted("mainstay_answer_failures", &[("level", "1"), ("reason", "context_too_long")], 1).await;
    plane.close().await;
}

/// Ten at once, one call; the answers carry each request's own id.
#[tokio::test]
async fn equal_requests_at_the_same_time_wait_for_one_call() {
    let primary = Upstream::start(|_| async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        json(200, r#"{"id":"caller-1","outputs":[{"name":"p","shape":[1],"datatype":"FP64","data":[0.5]}]}"#)
    })
    .await;
    let config = r"
backends: { primary: { url: 'http://$primary', protocol: open-inference, limit: none } }
routes:
  - name: risk
    path: /v2/models/risk/infer
    deadline: 5s
    ladder:
      - { level: 0, backend: primary }
      - { level: 1, cache: { max_age: 5m, single_flight: true } }
      - { level: 4, respond: { outputs: [{ name: p, value: 0.1 }] } }
";
    let plane = Plane::start(&fill(config, &[("primary", &primary.addr)]));
    let asked = (0..10).map(|_| ask(plane.addr(), oip(value!({}), &["x"])));
    let answers = futures(asked).await;
    assert!(answers.iter().all(|a| a.header("x-mainstay-level") == "0" && data(a, 0) == value!([0.5])));
    assert_eq!(primary.seen().len(), 1);
    plane.close().await;
}

async fn futures<F: Future<Output = Answer> + Send + 'static>(asked: impl Iterator<Item = F>) -> Vec<Answer> {
    let tasks: Vec<_> = asked.map(tokio::spawn).collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.expect("no caller panics"));
    }
    answers
}
