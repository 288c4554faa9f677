//! Configs that are right, and texts that are anything at all.

use std::fmt::Write as _;
use std::time::Duration;

use expect_test::expect;
use mainstay_config::{Finding, load, render, schema, template};
use mainstay_core::event::parse_time;
use mainstay_core::incident::escalation::Target;
use mainstay_core::incident::kind::Severity;
use mainstay_core::incident::oncall::Turn;
use mainstay_core::plan::{AnswerBy, BackendId, Bound, ChannelBy, FeatureSetId, MailTls, Plan, Store};
use mainstay_core::resilience::limiter;
use mainstay_core::route::{Class, Protocol};
use proptest::prelude::*;

const FULL: &str = include_str!("../../../examples/config/full.yaml");
const SMALL: &str =
    "service: s\nroutes: [{ name: r, path: /x, deadline: 1s, ladder: [{ level: 4, respond: { body: {} } }] }]\n";

fn accepted(text: &str) -> Plan {
    let (plan, findings) = load(text);
    plan.unwrap_or_else(|| panic!("{}", render(&findings, "config", text, false)))
}

#[test]
fn the_full_config_is_accepted_without_a_finding() {
    let (plan, findings) = load(FULL);
    assert!(findings.is_empty(), "{}", render(&findings, "full.yaml", FULL, false));
    let plan = plan.expect("a plan");
    assert_eq!(plan.store, Store::Sqlite("/var/lib/mainstay/mainstay.db".into()));
    assert_eq!(plan.clients["checkout"].rate, Some(500.0));
    assert_eq!(plan.objectives["background"], Class::WORST);
    assert_eq!(plan.backends[0].endpoints.len(), 2);
    assert_eq!(plan.backends[2].limit, limiter::Config::TTFT);
    assert_eq!(plan.features[0].entity, [("account_id".to_owned(), "/parameters/account_id".to_owned())]);
    assert_eq!(
        plan.routes.iter().map(|route| route.protocol).collect::<Vec<_>>(),
        [Protocol::OpenInference, Protocol::OpenInference, Protocol::Openai, Protocol::Http]
    );
    let chat = &plan.routes[2];
    assert_eq!(chat.stream.min_tokens, Some(2.0));
    assert!(matches!(chat.ladder[1].answer, AnswerBy::Backend { context: Some(4000), .. }));
    assert!(matches!(chat.ladder[2].answer, AnswerBy::Backend { backend: BackendId(3), .. }));
    let score = &plan.routes[0];
    assert!(matches!(score.ladder[2].answer, AnswerBy::Backend { features: Some((FeatureSetId(0), _)), .. }));
    assert_eq!(score.ladder[2].name, "lite");
    assert!(plan.routes.iter().all(|route| route.ladder.last().is_some_and(|entry| entry.answer.always_answers())));
}

#[test]
fn who_is_told_and_by_what_is_as_it_is_written() {
    let incidents = accepted(FULL).incidents;
    assert_eq!(incidents.page, [Severity::Sev1, Severity::Sev2]);
    assert_eq!((incidents.policy.as_deref(), &incidents.notify[..]), (Some("ml"), &["chat".to_owned()][..]));
    assert_eq!((incidents.hold, incidents.action), (Duration::from_secs(30), Duration::from_hours(1)));
    let bounds: Vec<_> = incidents.bounds.iter().map(|(name, bound)| (name.as_str(), *bound)).collect();
    let wanted = [
        ("click_through", Bound::Below(0.008)),
        ("complaints", Bound::Above(0.02)),
        ("label_caused", Bound::Above(0.5)),
        ("stars", Bound::Below(3.5)),
    ];
    assert_eq!(bounds, wanted);
    let added = &incidents.types["model_degradation"].signals[0];
    assert_eq!((added.fact.as_str(), added.opens), ("alert", true));
    assert_eq!(added.with["alertname"], ["BadAnswers"]);
    assert_eq!(added.with["team"], ["fraud", "ml"]);
    assert_eq!(incidents.types["billing"].title.as_deref(), Some("Billing"));
    assert_eq!(incidents.people[2].email.as_deref(), Some("cleo@example.org"));

    let ml = &incidents.schedules[0];
    let who = |at: &str| ml.who(&[], parse_time(at).expect("a time")).map(|shift| (shift.person, shift.layer));
    let shift = |person: &str, layer: &str| Some((person.to_owned(), Some(layer.to_owned())));
    assert_eq!(who("2026-01-05T07:59:59Z"), None);
    assert_eq!(who("2026-01-05T08:00:00Z"), shift("ada", "week"));
    assert_eq!(who("2026-01-12T08:00:00Z"), shift("bob", "week"));
    // Monday from nine to five, by another layer, in summer time.
    assert_eq!(who("2026-03-30T06:59:00Z"), shift("bob", "week"));
    assert_eq!(who("2026-03-30T07:00:00Z"), shift("bob", "launch"));
    assert_eq!(who("2026-03-30T15:00:00Z"), shift("ada", "week"));

    let policy = &incidents.policies[0];
    assert_eq!((policy.steps[1].after, policy.repeat), (Duration::from_mins(10), 2));
    assert_eq!(policy.steps[0].tell, [Target::Schedule("ml".to_owned())]);
    assert_eq!(policy.steps[1].tell[..2], [Target::Person("cleo".to_owned()), Target::Channel("chat".to_owned())]);

    let pager = &incidents.channels[0];
    assert_eq!((pager.fallback.as_deref(), pager.deadline), (Some("mail"), Duration::from_hours(1)));
    assert!(matches!(&pager.by, ChannelBy::PagerDuty { url, .. } if url == "https://events.eu.pagerduty.com"));
    assert!(
        matches!(&incidents.channels[6].by, ChannelBy::Email { host, port: 587, tls: MailTls::Start, login: Some(_), .. } if host == "smtp.example.org")
    );
    // What is written out has its value, the others wait for theirs.
    let mut incidents = incidents;
    let sources: Vec<String> =
        incidents.secrets_mut().map(|secret| format!("{} {:?}", secret.source, secret.expose())).collect();
    assert_eq!(
        sources,
        [
            "env:HEARTBEAT_URL None",
            "env:PAGERDUTY_KEY None",
            "env:SLACK_URL None",
            "file:/run/secrets/teams None",
            "env:DISCORD_URL None",
            "written in the config Some(\"http://127.0.0.1:9000/hook\")",
            "env:HOOK_SECRET None",
            "env:MAIL_PASSWORD None",
        ]
    );
    assert!(!format!("{incidents:?}").contains("9000"));
}

#[test]
fn what_the_documentation_shows_is_accepted_without_a_finding() {
    let page = include_str!("../../../docs/oncall.md");
    let (_, rest) = page.split_once("```yaml\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    let text = format!("{SMALL}{example}");
    let (_, findings) = load(&text);
    assert!(findings.is_empty(), "{}", render(&findings, "oncall.md", &text, false));
}

#[test]
fn what_is_not_written_of_people_and_channels_has_its_documented_default() {
    let text = format!(
        "{SMALL}incidents: {{ escalation: p, heartbeat: {{ url: 'http://h/x' }} }}\noncall:\n  people: {{ a: {{ channels: [m, n] }} }}\n  \
         schedules: {{ s: {{ layers: [{{ name: l, start: 2026-01-31 08:30, every: 1mo, people: [a], only: [{{ from: 22:00, to: 06:00 }}] }}] }} }}\n  \
         policies: {{ p: {{ steps: [{{ tell: ['schedule:s'] }}] }} }}\nnotify:\n  m: {{ email: {{ server: mail, from: a@b, to: [c@d] }} }}\n  \
         n: {{ pagerduty: {{ key: env:K }} }}\n"
    );
    let (plan, findings) = load(&text);
    assert!(findings.is_empty(), "{}", render(&findings, "config", &text, false));
    let incidents = plan.expect("a plan").incidents;
    assert_eq!(incidents.heartbeat.expect("a heartbeat").every, Duration::from_mins(1));
    let schedule = &incidents.schedules[0];
    assert_eq!(schedule.zone, jiff::tz::TimeZone::UTC);
    let layer = &schedule.layers[0];
    assert_eq!(layer.start, jiff::civil::date(2026, 1, 31).at(8, 30, 0, 0));
    assert_eq!((layer.turn, layer.until, layer.only[0].days.len()), (Turn::Months(1), None, 7));
    assert_eq!((incidents.policies[0].steps[0].after, incidents.policies[0].repeat), (Duration::ZERO, 0));
    assert!(matches!(incidents.channels[0].by, ChannelBy::Email { port: 587, tls: MailTls::Start, login: None, .. }));
    assert!(
        matches!(&incidents.channels[1].by, ChannelBy::PagerDuty { url, .. } if url == "https://events.pagerduty.com")
    );
    assert!(
        incidents
            .channels
            .iter()
            .all(|channel| channel.deadline == Duration::from_hours(1) && !channel.private_redirects)
    );
}

/// The keys of the schema, as `Section.key`, without those that are reserved.
fn keys(schema: &serde_json::Value) -> Vec<String> {
    let sections =
        schema["$defs"].as_object().expect("sections").iter().map(|(name, section)| (name.as_str(), section));
    sections
        .chain([("Root", schema)])
        .flat_map(|(name, section)| {
            let properties = section["properties"].as_object().expect("properties");
            let built = properties.iter().filter(|(_, key)| {
                !key["description"].as_str().is_some_and(|about| about.is_empty() || about.starts_with("Reserved"))
            });
            built.map(move |(key, _)| format!("{name}.{key}")).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn the_schema_describes_every_key_and_the_full_config_uses_them_all() {
    let schema = schema();
    let keys = keys(&schema);
    assert!(keys.len() > 150, "{} keys", keys.len());
    let unused: Vec<&String> = keys
        .iter()
        .filter(|key| {
            let name = key.rsplit('.').next().unwrap_or(key);
            !FULL.contains(&format!("{name}:"))
        })
        .collect();
    assert!(unused.is_empty(), "full.yaml lacks {unused:?}");
    assert!(schema["$defs"]["LatencyObjective"]["properties"]["p99"].is_object());
    assert!(schema["$defs"]["Latency"]["properties"]["ceiling"].is_object());
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["required"], serde_json::json!(["service", "routes"]));
}

#[test]
fn the_template_is_accepted_without_a_finding_and_needs_no_secrets() {
    let (plan, findings) = load(template());
    assert!(findings.is_empty(), "{}", render(&findings, "template", template(), false));
    let plan = plan.expect("a plan");
    assert!(plan.listen.ip().is_loopback() && plan.admin.listen.ip().is_loopback());
    assert!(plan.clients.is_empty() && plan.backends.iter().all(|backend| backend.keys.is_empty()));
    let levels: Vec<u8> = plan.routes[0].ladder.iter().map(|entry| entry.level.number()).collect();
    assert_eq!(levels, [0, 1, 2, 3, 4]);
}

#[test]
fn what_is_not_written_has_its_documented_default() {
    let text = "service: s\nbackends: { b: { url: 'http://h/', protocol: http } }\nroutes: [{ name: r, path: /x/*, \
                deadline: 1s, ladder: [{ level: 0, backend: b }, { level: 4, respond: { body: {} } }] }]\n";
    let plan = accepted(text);
    expect![[r#"
        Plan {
            service: "s",
            environment: Production,
            listen: 127.0.0.1:8080,
            tls: None,
            admin: Admin {
                listen: 127.0.0.1:8090,
                tokens: [],
            },
            store: Sqlite(
                "mainstay.db",
            ),
            retention: Retention {
                tens: 3600s,
                minutes: 86400s,
                hours: 8035200s,
                items: 2592000s,
                events: 7776000s,
                sketches: 2678400s,
                sources: 604800s,
                size_max: None,
            },
            limits: Limits {
                workers: None,
                head_bytes: 65536,
                body_bytes: 33554432,
                replay_bytes: 4194304,
                answer_bytes: 4194304,
                connections: 20000,
                head_timeout: 60s,
                drain: 30s,
            },
            clients: {},
            trust: Trust {
                from: [
                    127.0.0.0/8,
                    ::1/128,
                ],
                headers: [],
            },
            objectives: {},
            backends: [
                Backend {
                    name: "b",
                    endpoints: [
                        "http://h",
                    ],
                    protocol: Http,
                    model: None,
                    version: None,
                    follows_registry: false,
                    group: None,
                    keys: [],
                    ca: None,
                    h2c: false,
                    health: None,
                    limit: Knee {
                        initial: 20,
                        min: 2,
                        max: 1000,
                    },
                    breaker: Config {
                        consecutive: 5,
                        window: 10s,
                        min_calls: 20,
                        failure_share: 0.4,
                        slow_after: 10s,
                        slow_share: 0.8,
                        open: 5s,
                        open_max: 30s,
                        retry_after_max: 300s,
                        successes: 3,
                        half_open_max: 8,
                        lease: 30s,
                        calm: 60s,
                        parts: 1,
                    },
                    ramp: 0ns,
                    attempts: 2,
                    connect_timeout: 1s,
                    context: None,
                    prefill: false,
                },
            ],
            features: [],
            routes: [
                Route {
                    name: "r",
                    path: Prefix(
                        "/x/",
                    ),
                    deadline: 1s,
                    protocol: Http,
                    prediction: None,
                    confidence: None,
                    priority: [],
                    queue: Queue {
                        max: 64,
                        wait: 50ms,
                    },
                    shed: Queue,
                    shed_before: None,
                    hysteresis: Hysteresis {
                        window: 5s,
                        down: 2,
                        up: 30s,
                    },
                    stream: Stream {
                        headers: 10s,
                        first_token: 10s,
                        gap: 5s,
                        min_tokens: None,
                        buffer_tokens: 16,
                        buffer_time: 500ms,
                        after_commit: Fail,
                        heartbeat: None,
                    },
                    on_content_refusal: Stop,
                    hedge: None,
                    ladder: [
                        Entry {
                            level: Level(
                                0,
                            ),
                            name: "full_service",
                            quality_impact: None,
                            budget: None,
                            answer: Backend {
                                backend: BackendId(
                                    0,
                                ),
                                features: None,
                                timeout: None,
                                context: None,
                            },
                        },
                        Entry {
                            level: Level(
                                4,
                            ),
                            name: "static_fallback",
                            quality_impact: None,
                            budget: None,
                            answer: Respond(
                                Body(
                                    Object {},
                                ),
                            ),
                        },
                    ],
                },
            ],
            checks: [],
            slos: [],
            policies: [],
            maintenance: [],
            observability: Observability {
                rules: Rules {
                    log: 0.01,
                    low_confidence: Some(
                        0.5,
                    ),
                    per_reason: 5.0,
                },
                reservoir: 10000,
                redaction: Redaction {
                    allow: Some(
                        {},
                    ),
                    detect: {
                        Email,
                        Ip,
                        Card,
                        Iban,
                        Token,
                        Phone,
                    },
                    content: false,
                    pseudonyms: false,
                },
                key: None,
                files: None,
                otlp: None,
            },
            drift: Drift {
                window_values: 10000,
                window_time: 3600s,
                false_alarm_every: 2592000s,
                rate: 200.0,
                monitors: [],
            },
            labels: None,
            training: Training {
                hooks: {},
                run: RunDefaults {
                    checkpoints: None,
                    checkpoint_every: None,
                    validate_every: None,
                    retries: None,
                    timeout: None,
                    memory: None,
                    cpu: None,
                    files: None,
                    gates: [],
                    rollback_on_failure: None,
                    model: None,
                },
            },
            incidents: Incidents {
                page: [
                    Sev1,
                    Sev2,
                ],
                group: 900s,
                reopen: 1800s,
                quiet: 300s,
                hold: 30s,
                auto_resolve: false,
                notify: [],
                policy: None,
                link: None,
                heartbeat: None,
                action: 3600s,
                bounds: {},
                types: {},
                people: [],
                schedules: [],
                policies: [],
                channels: [],
            },
            chaos: Chaos {
                windows: Windows {
                    zone: TimeZone(
                        UTC,
                    ),
                    allow: None,
                    deny: [],
                    holidays: [],
                },
                approval: Some(
                    Moderate,
                ),
                approval_for: 604800s,
                lease: 5s,
                min_budget: 0.2,
                keep_touched: false,
                experiments: [],
            },
            gamedays: [],
        }
    "#]]
    .assert_debug_eq(&plan);
}

#[test]
fn a_demo_follows_health_fast() {
    let plan = accepted(&format!("environment: demo\n{SMALL}"));
    assert_eq!(plan.routes[0].hysteresis.up, Duration::from_secs(3));
}

#[test]
fn anchors_and_merges_are_understood() {
    let text = "service: s\nbackends:\n  a: &a { url: 'http://a', protocol: http, retry: { attempts: 3 } }\n  b:\n    <<: *a\n    \
                url: 'http://b'\nroutes: [{ name: r, path: /x, deadline: 1s, ladder: [{ level: 0, backend: a }, { level: 1, \
                backend: b }, { level: 4, respond: { body: {} } }] }]\n";
    let plan = accepted(text);
    assert_eq!(plan.backends[1].endpoints, ["http://b"]);
    assert_eq!(plan.backends[1].attempts, 3);
}

/// Texts that are small and would be large, deep or slow.
#[test]
#[expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a bound on real time is what is tested")]
fn hostile_texts_are_answered_in_bounded_time() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let item = format!("*a{}", level - 1);
        writeln!(bomb, "a{level}: &a{level} [{}]", [item.as_str(); 10].join(", ")).expect("a string takes all");
    }
    let (_, found) = load(&bomb);
    assert_eq!(found[0].code.as_str(), "E0102", "{found:?}");
    let hostile = [
        bomb,
        "[".repeat(100_000),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
        format!("{SMALL}{}", "unknown_key_with_a_name: 1\n".repeat(40_000)),
        (0..60_000).fold(String::new(), |text, n| text + &format!("key{n}: 1\n")),
        format!("service: \"{}\"\n", "\\u00e9".repeat(170_000)),
        format!("{SMALL}slos: [{}]\n", "{}, ".repeat(90_000)),
        "a: &a [*a]\n".to_owned(),
    ];
    for text in hostile {
        let started = std::time::Instant::now();
        let (plan, findings) = load(&text);
        assert!(plan.is_none() && findings.iter().any(Finding::is_error));
        assert!(findings.len() <= 500);
        let shown: String = text.chars().take(40).collect();
        assert!(started.elapsed() < Duration::from_secs(10), "{shown}: {:?}", started.elapsed());
    }
}

/// A valid config with some of its parts cut, doubled or replaced.
fn mutated() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just(String::new()),
        "[a-z0-9:,{}\\[\\]'\"#&*!|>%@/ \n-]{0,8}",
        any::<String>().prop_map(|text| text.chars().take(5).collect()),
    ];
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..40_usize, piece), 1..6);
    edits.prop_map(|edits| {
        let mut characters: Vec<char> = FULL.chars().collect();
        for (at, cut, piece) in edits {
            let start = at.index(characters.len());
            let end = (start + cut).min(characters.len());
            characters.splice(start..end, piece.chars());
        }
        characters.into_iter().collect()
    })
}

#[test]
fn an_error_is_told_after_any_number_of_warnings() {
    let unused: String =
        (0..600).fold(String::new(), |text, n| text + &format!("  b{n}: {{ url: 'http://h', protocol: http }}\n"));
    let (plan, findings) = load(&format!("{SMALL}backends:\n{unused}store: nowhere\n"));
    assert!(plan.is_none() && findings.iter().any(Finding::is_error));
    let (plan, findings) = load(&format!("{SMALL}backends:\n{unused}"));
    assert!(plan.is_some_and(|plan| plan.backends.len() == 600) && findings.len() == 500);
}

fn answered(text: &str) {
    let (plan, findings) = load(text);
    assert_eq!(plan.is_none(), findings.iter().any(Finding::is_error));
    let shown = render(&findings, "config", text, true);
    assert!(shown.contains("config"));
    assert!(findings.windows(2).all(|pair| pair[0].span.start <= pair[1].span.start));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        answered(&text);
    }

    #[test]
    fn a_damaged_config_is_answered(text in mutated()) {
        answered(&text);
    }
}

#[test]
fn the_example_of_a_game_day_goes_with_the_config_that_it_is_written_for() {
    let text = include_str!("../../../examples/gamedays/store-outage.md");
    let (scenario, findings) = mainstay_config::scenario("store-outage.md", text);
    assert!(findings.is_empty(), "{}", render(&findings, "store-outage.md", text, false));
    let scenario = scenario.expect("a scenario");
    let config = include_str!("../../../examples/systems/fraud-detection/mainstay.yaml");
    let plan = load(config).0.expect("a plan");
    let known: Vec<String> =
        mainstay_core::experiments::catalogue::all(&plan).into_iter().map(|experiment| experiment.name).collect();
    assert_eq!(scenario.steps.len(), 2);
    for step in &scenario.steps {
        assert!(known.iter().any(|name| name == step.experiment.name()), "{}: {known:?}", step.name());
        assert!(!step.notes.is_empty() && !step.criteria.is_empty());
    }
}
