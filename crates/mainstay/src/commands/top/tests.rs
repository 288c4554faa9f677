//! The screen as it is drawn, from what a service says.

use expect_test::{Expect, expect};
use jiff::Timestamp;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::{Color, Modifier};
use serde_json::{Value, json};
use std::time::Duration;

use super::feed::Heard;
use super::model::{Flow, Input, Model, Over, Pane};
use super::{input, screen};

fn now() -> Timestamp {
    "2026-03-01T12:10:30Z".parse().unwrap()
}

/// What is on a screen of this size, line by line.
fn drawn(model: &mut Model, width: u16, height: u16) -> String {
    let terminal = painted(model, width, height);
    let buffer = terminal.backend().buffer();
    let lines = (0..height).map(|y| {
        let mut line = String::new();
        let mut x = 0;
        while x < width {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            x += super::text::width(symbol).max(1) as u16;
        }
        format!("{}\n", line.trim_end())
    });
    lines.collect()
}

fn painted(model: &mut Model, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| screen::draw(frame, model, now())).unwrap();
    terminal
}

fn route(name: &str, level: u8, pin: &Value) -> Value {
    let names = ["full_service", "cached_features", "simpler_model"];
    json!({
        "name": name, "path": "/v1/score", "level": level, "level_name": names[usize::from(level)],
        "reason": if level == 0 { "healthy" } else { "backend primary is open" }, "pin": pin, "served": [900, 0, 20, 0, 1],
        "all_failed": 0, "shed": 12, "blocked": 0, "entries": [
            { "level": 0, "name": "full_service", "kind": "backend", "answered": 900, "late": 0, "failures": { "timeout": 3 } },
            { "level": 4, "name": "static_fallback", "kind": "respond", "answered": 1, "late": 0, "failures": {} },
        ],
    })
}

fn status() -> Value {
    let pin = json!({ "level": 2, "until": "2026-03-01T12:40:00Z", "reason": "rehearsal" });
    json!({
        "service": "fraud", "at": "2026-03-01T12:10:00Z", "draining": false, "halt": { "halted": false },
        "routes": [route("score", 0, &Value::Null), route("chat", 2, &pin)],
        "backends": [
            { "name": "primary", "protocol": "open-inference", "version": "3", "healthy": false, "breaker": "open", "retry_at": "2026-03-01T12:10:05Z",
              "limit": 64, "in_flight": 12, "waiting": 3, "endpoints": [{ "url": "http://127.0.0.1:9001", "ejected": true, "in_flight": 12 }, { "url": "http://127.0.0.1:9002", "ejected": false, "in_flight": 0 }] },
            { "name": "llm", "protocol": "openai", "version": null, "healthy": null, "breaker": "closed", "retry_at": null, "limit": null, "in_flight": 0, "waiting": 0, "endpoints": [] },
        ],
        "budgets": [], "experiments": [
            { "id": "EXP-2026-0001", "experiment": "score-model-latency", "route": "score", "fault": "model_latency", "phase": "injecting", "by": "ana", "started": "2026-03-01T12:08:00Z" },
        ],
    })
}

fn slo(name: &str, left: f64, status: &str, alerts: &Value) -> Value {
    json!({ "name": name, "description": "99.9 % of requests answered", "status": status, "signal": "present", "good": 10, "bad": 1, "budget": { "remaining": left },
            "burn": [{ "seconds": 300, "rate": 20.0 }, { "seconds": 3600, "rate": 3.25 }], "forecast": { "exhausted_in_seconds": 7_300.0 }, "alerts": alerts })
}

fn heard() -> Heard {
    let page = json!([{ "severity": "page", "why": "burn" }]);
    Heard {
        at: Duration::ZERO,
        status: status(),
        incidents: json!({ "incidents": [
            { "id": "AI-20260301-0002", "type": "serving_latency", "title": "score is slow", "severity": "sev3", "status": "detected", "detected": "2026-03-01T12:09:00Z", "onset": "2026-03-01T12:08:00Z", "routes": ["score"] },
            { "id": "AI-20260301-0001", "type": "model_down", "title": "primary does not answer", "severity": "sev1", "status": "mitigating", "detected": "2026-03-01T11:00:00Z", "onset": "2026-03-01T10:58:00Z",
              "acknowledged_by": "bo", "proposed": "2026-03-01T12:00:00Z", "routes": ["score", "chat"] },
        ] }),
        slos: json!({ "slos": [slo("fraud_latency", 0.9, "healthy", &json!([])), slo("fraud_availability", -0.25, "exhausted", &page)] }),
        runs: json!({ "runs": [
            { "id": "run-7", "name": "fraud", "state": "running", "started": "2026-03-01T10:10:00Z", "step": 400, "total": 1000, "attempts": 2, "goodput": 0.93, "metrics": { "loss": 0.25 } },
            { "id": "run-6", "name": "fraud", "state": "succeeded", "started": "2026-03-01T08:10:00Z", "ended": "2026-03-01T09:00:00Z" },
        ] }),
        gamedays: json!({ "gamedays": [{ "id": "GD-2026-0001", "scenario": "friday", "mode": "live", "phase": "running", "by": "ana", "started": "2026-03-01T12:05:00Z" }] }),
        metrics: metrics(100, 50),
    }
}

fn metrics(requests: u64, fast: u64) -> String {
    format!(
        "mainstay_requests_total{{route=\"score\",class=\"0\",level=\"0\",code=\"200\"}} {requests}\n\
         mainstay_shed_total{{route=\"score\",class=\"3\",reason=\"full\"}} {}\n\
         mainstay_request_duration_seconds_bucket{{route=\"score\",le=\"0.1\"}} {fast}\n\
         mainstay_request_duration_seconds_bucket{{route=\"score\",le=\"+Inf\"}} {requests}\n\
         mainstay_key_up{{backend=\"llm\",key=\"0\"}} 1\nmainstay_key_up{{backend=\"llm\",key=\"1\"}} 0\n",
        requests / 10
    )
}

/// A model that heard twice, two seconds apart.
fn model() -> Model {
    let mut model = Model::new(false);
    model.hear(&heard());
    model.hear(&Heard { at: Duration::from_secs(2), metrics: metrics(200, 150), ..heard() });
    model
}

fn check(actual: &str, expected: &Expect) {
    expected.assert_eq(actual);
}

#[test]
fn a_plain_terminal_shows_everything_that_matters() {
    check(
        &drawn(&mut model(), 80, 24),
        &expect![[r"
        mainstay top  fraud  2026-03-01 12:10:00 UTC
        » route (2) level           pin  0/s 1/s 2/s 3/s shed/s  p50  p99 why
        > score     0 full_service  -   50.0   0   0   0    5.0 50ms 99ms healthy
          chat      2 simpler_model 30m    -   -   -   -      -    -    - backend prima…

          backend (2) healthy breaker in flight limit waiting keys   endpoints version
          primary     NO      open           12    64       3 -      1 of 2    3
          llm         -       closed          0     -       0 1 of 2 0 of 0    -

          objective (2)         left status    alert burn 1h lasts promise
          fraud_availability -25.0 % exhausted page     3.2x    2h 99.9 % of requests a…
          fraud_latency       90.0 % healthy   -        3.2x    2h 99.9 % of requests a…

          incident (2)     sev  status        since taken by title              routes
          AI-20260301-0001 sev1 mitigating, …    1h bo       primary does not … score, …
          AI-20260301-0002 sev3 detected         1m -        score is slow      score

          running (3)   what                phase     since on                  by
          EXP-2026-0001 score-model-latency injecting    2m model_latency of s… ana
          GD-2026-0001  friday              running      5m game day, live      ana
          run-7         fraud               running      2h step 400 of 1000    training


        q quit  Tab table  j k row  Enter details  p pause  ? help
    "]],
    );
}

#[test]
fn a_wide_one_shows_more() {
    check(
        &drawn(&mut model(), 200, 16),
        &expect![[r"
        mainstay top  fraud  2026-03-01 12:10:00 UTC
        » route (2) level           pin  0/s 1/s 2/s 3/s shed/s  p50  p99 why                     failed                  objective (2)         left status    alert burn 1h lasts promise
        > score     0 full_service  -   50.0   0   0   0    5.0 50ms 99ms healthy                      0                  fraud_availability -25.0 % exhausted page     3.2x    2h 99.9 % of requests answered
          chat      2 simpler_model 30m    -   -   -   -      -    -    - backend primary is open      0                  fraud_latency       90.0 % healthy   -        3.2x    2h 99.9 % of requests answered

          backend (2) healthy breaker in flight limit waiting keys   endpoints version protocol                           incident (2)     sev  status           since taken by title                   routes
          primary     NO      open           12    64       3 -      1 of 2    3       open-inference                     AI-20260301-0001 sev1 mitigating, see…    1h bo       primary does not answer score, …
          llm         -       closed          0     -       0 1 of 2 0 of 0    -       openai                             AI-20260301-0002 sev3 detected            1m -        score is slow           score

                                                                                                                          running (3)   what                phase     since on                     by
                                                                                                                          EXP-2026-0001 score-model-latency injecting    2m model_latency of score ana
                                                                                                                          GD-2026-0001  friday              running      5m game day, live         ana
                                                                                                                          run-7         fraud               running      2h step 400 of 1000       training


        q quit  Tab table  j k row  Enter details  p pause  ? help
    "]],
    );
}

#[test]
fn a_row_tells_all_that_is_known_of_it() {
    let mut model = model();
    assert_eq!(model.handle(Input::Open), Flow::GoOn);
    check(
        &drawn(&mut model, 80, 24),
        &expect![[r"
        mainstay top  fraud  2026-03-01 12:10:00 UTC
        route            score
        path             /v1/score
        level            0 full_service
        why              healthy
        last minute      p50 50ms, p99 99ms
        served by level  900 at 0, 0 at 1, 20 at 2, 0 at 3, 1 at 4
        shed             12
        no answer        0
        entry            0 full_service (backend): answered 900, timeout 3
        entry            4 static_fallback (respond): answered 1












        q quit  j k move  Esc back  p pause
    "]],
    );
    model.handle(Input::Close);
    model.handle(Input::NextPane);
    model.handle(Input::Down(1));
    model.handle(Input::Open);
    check(
        &drawn(&mut model, 60, 16),
        &expect![[r"
        mainstay top  fraud  2026-03-01 12:10:00 UTC
        backend    llm
        protocol   openai
        breaker    closed
        in flight  0
        waiting    0
        key        0: used, calls 0, faults 0
        key        1: rests, calls 0, faults 0







        q quit  j k move  Esc back  p pause
    "]],
    );
}

#[test]
fn no_table_and_no_size_is_too_small_or_too_large() {
    let long = "x".repeat(10_000);
    let names = [
        "",
        "plain",
        "\u{1b}[2J\u{7}\u{202e}\r\nx",
        "東京都千代田区👨\u{200d}👩\u{200d}👧",
        "e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}",
        &long,
    ];
    let mut said = heard();
    for name in names {
        said.status["service"] = json!(name);
        said.status["routes"] = (0..40).map(|_| route(name, 0, &json!({ "level": 0, "reason": name }))).collect();
        said.status["backends"][0]["name"] = json!(name);
        said.status["backends"][0]["endpoints"][0]["url"] = json!(name);
        said.incidents["incidents"][0]["title"] = json!(name);
        said.slos["slos"][0]["name"] = json!(name);
        said.runs["runs"][0]["metrics"] = json!({ name: 1 });
        said.metrics = format!("mainstay_requests_total{{route=\"{name}\",class=\"0\"}} 1\n");
        for over in [Over::Nothing, Over::Details(0), Over::Help(0)] {
            let mut model = Model::new(true);
            model.hear(&said);
            model.lose(name.to_owned(), now());
            for pane in Pane::ALL {
                model.pane = pane;
                model.over = over;
                for (width, height) in [(0, 0), (1, 1), (2, 3), (7, 4), (20, 6), (80, 24), (151, 20), (300, 90)] {
                    let terminal = painted(&mut model, width, height);
                    let cells = &terminal.backend().buffer().content;
                    let hidden = |symbol: &str| symbol.chars().any(|c| c.is_control() || c == '\u{202e}');
                    assert!(!cells.iter().any(|cell| hidden(cell.symbol()) || cell.symbol().chars().count() > 8));
                }
            }
        }
    }
    let mut model = Model::new(true);
    model.hear(&Heard { status: json!("what is this"), ..Heard::default() });
    assert!(drawn(&mut model, 80, 24).contains("the config has no routes"));
}

#[test]
fn what_is_lost_is_said_and_the_last_of_it_stays() {
    let mut model = model();
    model.lose(
        "cannot reach mainstay at http://127.0.0.1:8090\u{1b}[0m".to_owned(),
        "2026-03-01T12:10:10Z".parse().unwrap(),
    );
    model.lose("no answer within 10 s".to_owned(), "2026-03-01T12:10:25Z".parse().unwrap());
    let shown = drawn(&mut model, 80, 24);
    assert!(shown.contains("LOST since 12:10:10 UTC (20s), trying again: no answer within 10 s"), "{shown}");
    assert!(shown.contains("primary does not") && model.ages(), "{shown}");
    model.hear(&heard());
    assert!(!drawn(&mut model, 80, 24).contains("LOST") && !model.ages());
}

#[test]
fn a_pause_keeps_what_is_shown() {
    let mut model = model();
    model.handle(Input::Pause);
    let mut later = heard();
    later.status["service"] = json!("renamed");
    model.hear(&later);
    let shown = drawn(&mut model, 80, 24);
    assert!(shown.contains("[PAUSED]") && shown.contains("fraud") && !shown.contains("renamed"), "{shown}");
    model.handle(Input::Pause);
    let shown = drawn(&mut model, 80, 24);
    assert!(!shown.contains("[PAUSED]") && shown.contains("renamed"), "{shown}");
}

#[test]
fn what_is_chosen_stays_chosen_wherever_it_goes() {
    let mut model = model();
    model.handle(Input::Down(1));
    assert_eq!(model.chosen().unwrap().key, "chat");
    let mut turned = heard();
    turned.status["routes"].as_array_mut().unwrap().reverse();
    model.hear(&turned);
    assert_eq!(model.chosen().unwrap().key, "chat");
    model.handle(Input::Down(usize::MAX));
    assert_eq!(model.chosen().unwrap().key, "score");
    model.handle(Input::Open);
    turned.status["routes"] = json!([]);
    model.hear(&turned);
    assert_eq!((model.chosen(), model.over), (None, Over::Nothing));
    model.handle(Input::Open);
    assert_eq!(model.over, Over::Nothing, "there is nothing to open");
    model.handle(Input::PreviousPane);
    assert_eq!(model.pane, Pane::Running);
    model.handle(Input::Help);
    model.handle(Input::Down(usize::MAX));
    assert!(drawn(&mut model, 80, 24).contains("Ctrl-C"));
    assert_eq!((model.over, model.handle(Input::Quit)), (Over::Help(0), Flow::End));
}

#[test]
fn colours_only_help() {
    let styles = |colours| {
        let mut model = model();
        model.colours = colours;
        let terminal = painted(&mut model, 80, 24);
        terminal.backend().buffer().content.iter().map(|cell| (cell.fg, cell.modifier)).collect::<Vec<_>>()
    };
    assert!(styles(false).iter().all(|(colour, _)| *colour == Color::Reset));
    assert!(styles(true).iter().any(|(colour, _)| *colour == Color::Red));
    assert!(styles(false).iter().any(|(_, modifier)| modifier.contains(Modifier::REVERSED)));
}

#[test]
fn keys_mean_what_the_help_says() {
    use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
    let press = |code, modifiers| input(&Event::Key(KeyEvent::new(code, modifiers)));
    let none = KeyModifiers::NONE;
    assert_eq!(press(KeyCode::Char('q'), none), Some(Input::Quit));
    assert_eq!(press(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Input::Quit));
    assert_eq!(press(KeyCode::Char('p'), KeyModifiers::CONTROL), None);
    assert_eq!(press(KeyCode::Char('?'), none), Some(Input::Help));
    assert_eq!(
        [KeyCode::Tab, KeyCode::BackTab].map(|it| press(it, none)),
        [Some(Input::NextPane), Some(Input::PreviousPane)]
    );
    assert_eq!(input(&Event::Resize(1, 1)), None);
}
