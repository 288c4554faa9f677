//! Rules, and when two requests are the same.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use mainstay_core::expr::Program;
use mainstay_core::plan::{Answer, AnswerRule, PriorityRule};
use mainstay_core::route::{Class, Level, Protocol};
use mainstay_core::time::Time;
use mainstay_gateway::answers::{
    AnswerCache, KeyParts, NotStored, RequestFacts, RequestKey, answer_by_rules, class_by_rules,
};

const NOW: Time = Time::from_secs(1_700_000_000);

fn key_for(client: &str, protocol: Protocol, body: &str) -> Option<RequestKey> {
    let headers = HeaderMap::new();
    RequestKey::new(&KeyParts {
        route: "score",
        protocol,
        client,
        target: "/x",
        headers: &headers,
        body: body.as_bytes(),
    })
}

fn key(body: &str) -> Option<RequestKey> {
    key_for("a", Protocol::OpenInference, body)
}

#[test]
fn the_same_request_however_written() {
    let plain = key(r#"{"id": "1", "inputs": [{"name": "a", "data": [1, 2]}], "parameters": {"k": "é"}}"#);
    assert!(plain.is_some());
    let other =
        r#" {"parameters":{"timeout":5,"k":"\u00e9","priority":1},"inputs":[{"data":[1,2],"name":"a"}],"id":"2"} "#;
    assert_eq!(plain, key(other));
}

#[test]
fn another_request_however_alike() {
    let bodies = [
        r#"{"inputs": [1, 2]}"#,
        r#"{"inputs": [2, 1]}"#,
        r#"{"inputs": [12]}"#,
        r#"{"inputs": ["1", "2"]}"#,
        r#"{"inputs": [[1], 2]}"#,
        r#"{"inputs": [18446744073709551617]}"#,
        r#"{"inputs": [18446744073709551618]}"#,
        r#"{"inputs": [1, 2], "parameters": {"id": 1}}"#,
        r#"{"inputs": {"id": 1}}"#,
        r#"{"inputs": {"id": 2}}"#,
        "{}",
        "",
    ];
    let mut keys: Vec<_> = bodies.iter().map(|body| key(body).unwrap()).collect();
    keys.push(key_for("b", Protocol::OpenInference, bodies[0]).unwrap());
    keys.push(key_for("a", Protocol::Http, bodies[0]).unwrap());
    let all = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), all);
    let chat = |user: &str| key_for("a", Protocol::Openai, &format!(r#"{{"messages": [], "user": "{user}"}}"#));
    assert_eq!(chat("x"), chat("y"));
}

#[test]
fn requests_without_a_key() {
    assert_eq!(key("{"), None);
    assert_eq!(key(&format!("{}{}", "[".repeat(65), "]".repeat(65))), None);
    assert_eq!(key(&format!("\"{}\"", "x".repeat(1 << 20))), None);
}

fn answer(status: u16, header: Option<(&'static str, &'static str)>, body: &'static str) -> Response<Bytes> {
    let builder = Response::builder().status(status).header("content-type", "application/json");
    let builder = header.into_iter().fold(builder, |builder, (name, value)| builder.header(name, value));
    builder.body(Bytes::from_static(body.as_bytes())).unwrap()
}

#[test]
fn only_good_answers_are_kept_and_get_old() {
    let cache = AnswerCache::new(1 << 16);
    let key = key("{}").unwrap();
    let store = |level: Level, answer: &Response<Bytes>| cache.store(key, Protocol::OpenInference, level, answer, NOW);
    let good = answer(200, None, "{}");
    assert_eq!(store(Level::STATIC, &good), Err(NotStored::NotGood));
    assert_eq!(store(Level::FULL, &answer(503, None, "{}")), Err(NotStored::NotGood));
    let forbidden = [
        ("set-cookie", "a=b"),
        ("cache-control", "max-age=1, No-Store"),
        ("content-encoding", "gzip"),
        ("inference-header-content-length", "2"),
    ];
    for header in forbidden {
        assert_eq!(store(Level::FULL, &answer(200, Some(header), "{}")), Err(NotStored::Headers), "{header:?}");
    }
    assert_eq!(store(Level::FULL, &answer(200, None, "[]")), Err(NotStored::Json));
    let long = Response::new(Bytes::from(vec![b' '; 1 << 13]));
    assert_eq!(store(Level::FULL, &long), Err(NotStored::TooLong));
    let minute = Duration::from_mins(1);
    assert!(cache.find(key, minute, NOW).is_none());
    assert_eq!(store(Level::FULL, &good), Ok(()));
    assert!(cache.find(key, minute, NOW + minute).is_some());
    assert!(cache.find(key, minute, NOW + minute + Duration::from_nanos(1)).is_none());
}

#[test]
fn replayed_answers_carry_the_new_id() {
    let cache = AnswerCache::new(1 << 16);
    let replay = |body: &'static str, id: Option<&str>| {
        let key = key(body).unwrap();
        cache.store(key, Protocol::OpenInference, Level::FULL, &answer(200, None, body), NOW).unwrap();
        let found = cache.find(key, Duration::from_secs(1), NOW).unwrap();
        String::from_utf8(found.body_for(id).to_vec()).unwrap()
    };
    assert_eq!(replay(r#"{"id": "old", "outputs": []}"#, Some("n\"w")), r#"{"id": "n\"w", "outputs": []}"#);
    assert_eq!(replay(r#"{"id": "old", "outputs": []}"#, None), r#"{"id": "", "outputs": []}"#);
    assert_eq!(replay(r#"{ "outputs": []}"#, Some("new")), r#"{"id":"new", "outputs": []}"#);
    assert_eq!(replay("{}", Some("new")), r#"{"id":"new"}"#);
    assert_eq!(replay(r#"{ "outputs": []}"#, None), r#"{ "outputs": []}"#);
}

fn program(text: &str) -> Program {
    Program::compile(text).unwrap()
}

#[test]
fn the_first_rule_that_holds() {
    let mut headers = HeaderMap::new();
    headers.insert("x-user-tier", "premium".parse().unwrap());
    let facts = RequestFacts::new("score", "checkout", &headers, br#"{"amount": 120}"#);
    let rule = |class: u8, when: &str| PriorityRule { class: Class::new(class).unwrap(), when: program(when) };
    let rules = [
        rule(0, r#"header("x-safety-critical") == "true""#),
        rule(0, "request.absent > 1"),
        rule(1, r#"header("x-user-tier") == "premium" && route == "score" && client == "checkout""#),
        rule(2, "true"),
    ];
    let decision = class_by_rules(&rules, &facts);
    assert_eq!((decision.decided, decision.errors), (Class::new(1), 1));
    assert_eq!(class_by_rules(&rules[..2], &facts).decided, None);

    let text = |text: &str| Answer::Text(text.to_owned());
    let rules = [AnswerRule { when: program("request.amount > 100"), respond: text("high") }];
    let otherwise = text("low");
    assert_eq!(answer_by_rules(&rules, Some(&otherwise), &facts).decided, Some(&text("high")));
    let garbage = RequestFacts::new("score", "", &headers, b"{");
    let decision = answer_by_rules(&rules, Some(&otherwise), &garbage);
    assert_eq!((decision.decided, decision.errors), (Some(&otherwise), 1));
    assert_eq!(answer_by_rules(&rules, None, &garbage).decided, None);
}
