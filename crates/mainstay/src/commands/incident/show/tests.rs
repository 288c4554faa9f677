use expect_test::expect;
use serde_json::json;

use super::*;
use crate::words::is_hidden;

fn now() -> Timestamp {
    "2026-03-01T12:31:00Z".parse().unwrap()
}

fn answer() -> Value {
    json!({
        "incident": {
            "id": "AI-20260301-0001", "type": "serving_latency", "title": "Serving latency on score: the breaker of primary is open",
            "severity": "sev2", "status": "mitigating", "onset": "2026-03-01T11:58:20Z", "detected": "2026-03-01T12:00:00Z",
            "acknowledged": "2026-03-01T12:01:00Z", "acknowledged_by": "ada", "mitigated": "2026-03-01T12:10:00Z", "reopened": 1,
            "routes": ["score"], "places": ["backend:primary"],
            "facts": [
                { "key": "breaker/primary", "fact": "breaker_open", "labels": {}, "text": "the breaker of primary is open",
                  "since": "2026-03-01T11:58:20Z", "times": 3 },
                { "key": "degraded/score", "fact": "degraded", "labels": {}, "text": "score answers at level 2",
                  "since": "2026-03-01T11:59:00Z", "until": "2026-03-01T12:05:00Z", "times": 1 },
            ],
            "more_facts": 2, "proposed": "2026-03-01T12:30:00Z", "quiet_since": "2026-03-01T12:25:00Z",
            "ranking": [
                { "type": "serving_latency", "title": "Serving latency", "score": 3.0, "probability": 0.93,
                  "fired": [{ "name": "backend_breaker", "text": "the breaker of a backend opened", "weight": 2.077 }],
                  "silent": [{ "name": "change", "text": "something changed shortly before", "weight": -0.3 }] },
                { "type": "feature_pipeline", "title": "Feature pipeline", "score": 0.4, "probability": 0.07,
                  "fired": [{ "name": "degraded", "text": "t", "weight": 0.1 }],
                  "silent": [{ "name": "stale", "text": "t", "weight": -1.0 }, { "name": "latency", "text": "t", "weight": -1.0 }] },
            ],
            "timeline": [
                { "at": "2026-03-01T12:00:00Z", "actor": "mainstay", "source": "engine", "what": "opened", "text": "sev2 serving_latency" },
                { "at": "2026-03-01T12:01:00Z", "actor": "ada", "source": "api", "what": "acknowledged", "text": "ada has it" },
            ],
            "timeline_dropped": 4,
            "escalation": {
                "policy": { "name": "ml", "steps": [{ "after": "0s", "tell": [] }, { "after": "10m", "tell": [] }], "repeat": 2 },
                "step": 1, "round": 0, "next": "2026-03-01T12:40:00Z",
            },
            "told": [{ "channel": "pager", "person": "ada" }, { "channel": "chat" }],
            "actions": [
                { "id": 1, "action": "pin_level", "route": "score", "level": 2, "state": "active", "by": "ada", "at": "2026-03-01T12:09:00Z",
                  "taken": "2026-03-01T12:10:00Z", "until": "2026-03-01T13:09:00Z" },
                { "id": 2, "action": "previous_model", "model": "fraud", "state": "failed", "by": "ada", "at": "2026-03-01T12:11:00Z",
                  "ended": "2026-03-01T12:11:01Z", "error": "there is no version before" },
            ],
            "review": { "root_cause": "a full disk", "items": [
                { "id": 1, "text": "Watch disks", "owner": "bob", "due": "2026-03-31", "purpose": "prevent", "state": "open" },
                { "id": 2, "text": "Buy disks", "owner": "bob", "purpose": "prevent", "state": "done" },
            ] },
        },
        "proposals": [
            { "action": "pin_level", "route": "score", "level": 2, "text": "Answer with the simpler model." },
            { "action": "previous_model", "model": "fraud's", "text": "Serve the version before." },
        ],
        "notices": [
            { "id": "AI-20260301-0001-1", "channel": "pager", "notice": { "purpose": "page", "person": "ada" }, "state": "delivered",
              "attempts": 1, "made": "2026-03-01T12:00:00Z", "next": "2026-03-01T12:00:00Z", "ended": "2026-03-01T12:00:01Z" },
            { "id": "AI-20260301-0001-2", "channel": "chat", "notice": { "purpose": "notify" }, "state": "pending",
              "attempts": 3, "made": "2026-03-01T12:00:00Z", "next": "2026-03-01T12:32:00Z", "error": "503" },
        ],
    })
}

#[test]
fn all_that_a_responder_needs_is_on_one_screen() {
    expect![[r"
        AI-20260301-0001  sev2  mitigating  serving_latency
        Serving latency on score: the breaker of primary is open

        onset         2026-03-01 11:58:20
        detected      2026-03-01 12:00:00  1m 40s after onset
        acknowledged  2026-03-01 12:01:00  2m 40s after onset
        mitigated     2026-03-01 12:10:00  11m 40s after onset
        resolved      -
        goes on       for 32m 40s

        taken by      ada
        paging        by the policy ml, round 1 of 3: step 2 of 2 at 2026-03-01 12:40:00
        told          ada by pager, chat
        routes        score
        places        backend:primary
        opened again  once
        seems over    since 2026-03-01 12:25:00; mainstay incident status AI-20260301-0001 resolved
        root cause    a full disk
        to do         1: Watch disks (bob until 2026-03-31)

        types, by what is seen
           93.0 %  serving_latency (Serving latency)
                   fired   +2.08  the breaker of a backend opened
                   silent  -0.30  something changed shortly before
            7.0 %  feature_pipeline (Feature pipeline)
                   fired   degraded
                   silent  stale, latency

        facts that last: 1; over: 1
        not kept one by one: 2
        since                until  fact          times  what
        -------------------  -----  ------------  -----  ------------------------------
        2026-03-01 11:58:20      -  breaker_open      3  the breaker of primary is open

        to do at once
          Answer with the simpler model.
            mainstay incident action AI-20260301-0001 pin_level --route score --level 2
          Serve the version before.
            mainstay incident action AI-20260301-0001 previous_model --model 'fraud'\''s'

        action  what                     state   by   asked for            took effect          until                ended                error
        ------  -----------------------  ------  ---  -------------------  -------------------  -------------------  -------------------  --------------------------
             1  pin_level score level 2  active  ada  2026-03-01 12:09:00  2026-03-01 12:10:00  2026-03-01 13:09:00  -                    -
             2  previous_model fraud     failed  ada  2026-03-01 12:11:00  -                    -                    2026-03-01 12:11:01  there is no version before
        mainstay incident undo AI-20260301-0001 1

        notice              made                 why     channel  person  state      tries  next or ended        error
        ------------------  -------------------  ------  -------  ------  ---------  -----  -------------------  -----
        AI-20260301-0001-1  2026-03-01 12:00:00  page    pager    ada     delivered      1  2026-03-01 12:00:01      -
        AI-20260301-0001-2  2026-03-01 12:00:00  notify  chat     -       pending        3  2026-03-01 12:32:00    503

        at                   who       what          timeline
        -------------------  --------  ------------  --------------------
        2026-03-01 12:00:00  mainstay  opened        sev2 serving_latency
        2026-03-01 12:01:00  ada       acknowledged  ada has it
        entries that had no room: 4"]].assert_eq(&screen(&answer(), false, USUAL_URL, now()));
}

#[test]
fn what_nobody_has_says_how_to_take_it() {
    let incident = json!({
        "id": "AI-1", "type": "unclassified", "title": "t", "severity": "sev3", "status": "detected", "kind_chosen": true,
        "onset": "2026-03-01T12:00:00Z", "detected": "2026-03-01T12:00:00Z",
    });
    expect![[r"
        AI-1  sev3  detected  unclassified (chosen)
        t

        onset         2026-03-01 12:00:00
        detected      2026-03-01 12:00:00  0s after onset
        acknowledged  -
        mitigated     -
        resolved      -
        goes on       for 31m

        taken by      nobody; mainstay incident ack AI-1 --url http://10.0.0.1:8090
        routes        -"]]
    .assert_eq(&screen(&json!({ "incident": incident }), false, "http://10.0.0.1:8090", now()));
}

#[test]
fn long_ones_are_cut_unless_all_is_asked_for() {
    let mut answer = answer();
    let many = |one: &Value| Value::Array(vec![one.clone(); 25]);
    answer["incident"]["timeline"] = many(&answer["incident"]["timeline"][1]);
    answer["incident"]["facts"] = many(&answer["incident"]["facts"][0]);
    answer["notices"] = many(&answer["notices"][0]);
    let (cut, whole) = (screen(&answer, false, USUAL_URL, now()), screen(&answer, true, USUAL_URL, now()));
    for (what, per_line) in [("ada has it", 1), ("the breaker of primary is open", 1), ("delivered", 1)] {
        let count = |text: &str| text.lines().skip(2).filter(|line| line.contains(what)).count() * per_line;
        assert_eq!((count(&cut), count(&whole)), (20, 25), "{what}");
    }
    assert_eq!(cut.matches("5 before: --all").count() + cut.matches("5 more: --all").count(), 3, "{cut}");
    assert!(!whole.contains("--all"), "{whole}");
}

/// Puts a text into every text of an answer.
fn spoil(value: &mut Value, text: &str) {
    match value {
        Value::String(own) => own.push_str(text),
        Value::Array(all) => all.iter_mut().for_each(|value| spoil(value, text)),
        Value::Object(all) => all.values_mut().for_each(|value| spoil(value, text)),
        _ => {}
    }
}

#[test]
fn no_text_moves_the_terminal_or_makes_a_line() {
    let mut hostile = answer();
    spoil(&mut hostile, "\u{1b}]0;gone\u{7}\u{9b}2J\u{202e}\r\nAI-1  sev1  detected\u{2066}\u{200b}\u{0}");
    let shown = screen(&hostile, true, USUAL_URL, now());
    let hidden: Vec<char> = shown.chars().filter(|c| *c != '\n' && is_hidden(*c)).collect();
    assert!(hidden.is_empty(), "{hidden:?}");
    assert!(!shown.lines().any(|line| line.starts_with("AI-1 ")), "{shown}");
    assert!(!shown.contains("mainstay incident"), "nothing of it can be typed: {shown}");
}

#[test]
fn words_are_typed_as_a_shell_takes_them() {
    let typed = Typed::new(&json!("AI-1"), USUAL_URL);
    let line = |word: &str| typed.line("action", &["block_pattern"], &[("route", word)]);
    let start = "mainstay incident action AI-1 block_pattern --route ";
    assert_eq!(line("score"), Some(format!("{start}score")));
    assert_eq!(line("a b"), Some(format!("{start}'a b'")));
    assert_eq!(line("$(rm -r ~)"), Some(format!("{start}'$(rm -r ~)'")));
    assert_eq!(line("it's; x"), Some(format!(r"{start}'it'\''s; x'")));
    for word in ["", "-x", "--level", "a\nb", "a\u{1b}[m", "two  spaces"] {
        assert_eq!(line(word), None, "{word:?}");
    }
}
