use mainstay_core::drill::{Version, What};

use super::*;

const CONFIG: &str = "```yaml config
service: web
backends:
  model: { endpoints: [http://127.0.0.1:9], protocol: http }
routes:
  - name: score
    path: /score
    deadline: 500ms
    ladder:
      - { level: 0, backend: model }
      - { level: 4, respond: { body: { ok: false } } }
```
";
const WORLD: &str = "```yaml world
backends:
  model: { servers: 32, time: 50ms, spread: 0.5 }
users:
  all: { route: score, rate: 1.2x, classes: [10, 20, 40, 30] }
```
";

fn read(head: &str, rest: &str) -> (Option<Drill>, Vec<Finding>) {
    let text = format!("---\nname: a\n{head}---\n# Title\n{CONFIG}{rest}");
    drill(&text, &mut |_| Err("no files".to_owned()))
}

fn messages(found: &[Finding]) -> Vec<String> {
    found.iter().filter(|it| it.is_error()).map(|it| format!("{} {}", it.code, it.message)).collect()
}

#[test]
fn a_drill_is_read_with_its_config() {
    let expect = "```yaml expect\n- { name: carries, holds: goodput >= 0.9, from: 10s }\n```\n";
    let script = "```yaml script\n- { at: 20s, backend: model, slow: 4 }\n- { at: 5s, users: all, rate: 300/s }\n```\n";
    let (drill, found) = read("for: 60s\n", &format!("{WORLD}{script}{expect}"));
    let drill = drill.unwrap_or_else(|| panic!("{:?}", messages(&found)));
    assert_eq!((drill.title.as_str(), drill.seed, drill.users[0].classes[2]), ("Title", 1, 0.4));
    assert_eq!(drill.script[0].at, Duration::from_secs(5), "in order of time");
    // 5 s of 768/s and 55 s of 300/s.
    assert!((drill.requests() - 20_340.0).abs() < 1e-6, "{}", drill.requests());
    assert_eq!(drill.expect[0].to, Duration::from_mins(1));
}

#[test]
fn what_can_never_be_has_a_place() {
    let expect = |lines: &str| format!("{WORLD}```yaml expect\n{lines}```\n");
    let one = "- { name: one, holds: shed > 0 }\n";
    let cases = [
        ("for: 9w\n", expect(one), "E0903 a drill of 5443200s does not end"),
        ("for: 60s\n", expect(&format!("{one}- {{ name: two, holds: shed == 0 }}\n")), "E0903 no value of `shed`"),
        (
            "for: 60s\n",
            expect("- { name: one, holds: sheds > 0 }\n"),
            "E0212 this expectation does not compile: unknown fact `sheds`",
        ),
        ("for: 60s\n", expect("- { name: one, holds: shed > 0, from: 70s }\n"), "E0601 this looks at"),
        (
            "for: 60s\n",
            format!("{}```yaml script\n- {{ at: 1s, backend: modle, slow: 2 }}\n```\n", expect(one)),
            "E0301 there is no backend `modle`",
        ),
        (
            "for: 60s\n",
            format!("{}```yaml script\n- {{ at: 90s, backend: model, slow: 2 }}\n```\n", expect(one)),
            "E0903 this would happen at 90s",
        ),
        (
            "for: 60s\n",
            format!("{}```yaml script\n- {{ at: 1s, backend: model, users: all, slow: 2 }}\n```\n", expect(one)),
            "E0304 one thing happens",
        ),
        ("for: 60s\n", WORLD.to_owned(), "E0903 the drill has no expectations"),
        ("for: 60s\n", expect(one).replace("route: score", "route: scores"), "E0301 there is no route `scores`"),
        ("for: 60s\n", expect(one).replace("1.2x", "50000000x"), "E0903 a drill of"),
        (
            "for: 60s\n",
            expect(one).replace("servers: 32,", "engine: {},"),
            "E0304 a backend is `servers` with a `time`",
        ),
        (
            "for: 60s\n",
            format!(
                "{}```yaml script\n- {{ at: 1s, backend: model, first_token: {{ share: 1%, time: 3s }} }}\n```\n",
                expect(one)
            ),
            "E0903 the answers of `model` have no first token",
        ),
        (
            "for: 60s\n",
            format!(
                "{}```yaml script\n- {{ at: 1s, backend: model, first_token: {{ share: 1% }} }}\n```\n",
                expect(one).replace(
                    "servers: 32, time: 50ms, spread: 0.5",
                    "engine: {}, prompt: { median: 9 }, output: { median: 9 }"
                )
            ),
            "E0107 ",
        ),
        (
            "for: 60s\n",
            format!(
                "{}```yaml script\n- {{ at: 1s, backend: model, slow: 2, first_token: {{ share: 1%, time: 3s }} }}\n```\n",
                expect(one).replace(
                    "servers: 32, time: 50ms, spread: 0.5",
                    "engine: {}, prompt: { median: 9 }, output: { median: 9 }"
                )
            ),
            "E0304 one thing happens",
        ),
    ];
    for (head, rest, expected) in cases {
        let (drill, found) = read(head, &rest);
        let messages = messages(&found);
        assert!(drill.is_none() && messages.iter().any(|it| it.starts_with(expected)), "{expected}: {messages:?}");
        let error = found.iter().find(|it| it.is_error()).unwrap();
        assert!(error.span.end > 0 || expected.contains("no expectations"), "{expected} has no place");
    }
}

/// A config with features, objectives and somebody on call.
const FULL: &str = "```yaml config
service: web
backends:
  model: { endpoints: [http://127.0.0.1:9], protocol: http }
features:
  account:
    store: { url: http://127.0.0.1:9, protocol: feast, timeout: 50ms }
    refs: [account:n]
    entity: { id: /id }
routes:
  - name: score
    path: /score
    deadline: 500ms
    ladder:
      - { level: 0, backend: model, features: { set: account, mode: online } }
      - { level: 4, respond: { body: { ok: false } } }
slos:
  - availability: { target: 99.9%, window: 30d }
oncall: { people: { ada: { channels: [pager] } } }
notify: { pager: { webhook: { url: http://127.0.0.1:9 } } }
```
";
const AROUND: &str = "backends:
  model: { servers: 32, time: 50ms, parts: 4 }
features:
  account: { time: 5ms, spread: 0.5, gaps: 1%, age: 10m }
users:
  all: { route: score, rate: 100/s, day: { lasts: 10m, hours: [0.5, 1.5] } }
people:
  ada: { acknowledges: { median: 3m, spread: 0.5 }, mitigates: { median: 5m }, misses: 10% }
  pager: { acknowledges: { median: 1m } }
before: 30d
";

fn read_around(head: &str, world: &str, script: &str, holds: &str) -> (Option<Drill>, Vec<Finding>) {
    let text = format!(
        "---\nname: a\nfor: 20m\n{head}---\n{FULL}```yaml world\n{world}```\n```yaml script\n{script}```\n\
         ```yaml expect\n- {{ name: one, holds: '{holds}' }}\n```\n"
    );
    drill(&text, &mut |_| Err("no files".to_owned()))
}

#[test]
fn what_is_around_a_service_is_read() {
    let script = "- { at: 1m, features: account, age: 2h }\n- { at: 2m, channel: pager, down: true }\n\
                  - { at: 3m, backend: model, deploy: { restart: 10s, cold: 20s, slow: 3, drains: false, version: { slow: 4, fail: 1% } } }\n";
    let holds = "paged_s <= 120.0 && budget_left[\"web_availability\"] > 0.5";
    let (drill, found) = read_around("starts: 2026-07-01T22:00:00Z\n", AROUND, script, holds);
    let drill = drill.unwrap_or_else(|| panic!("{:?}", messages(&found)));
    let around = &drill.around;
    assert!(around.watched);
    assert_eq!(around.stores[0].map(|store| (store.entities, store.gaps)), Some((1_000, 0.01)));
    assert_eq!((around.people.len(), around.people[0].misses), (2, 0.1));
    assert_eq!(around.before, Duration::from_hours(720));
    assert_eq!(mainstay_core::event::format_time(around.starts), "2026-07-01T22:00:00Z");
    // Two days of a mean of one.
    assert!((drill.requests() - 120_000.0).abs() < 100.0, "{}", drill.requests());
    let What::Deploy { deploy, .. } = drill.script[2].what else { panic!("{:?}", drill.script) };
    assert_eq!((deploy.lasts(4), deploy.drains), (Duration::from_mins(2), false));
    assert_eq!(deploy.version, Some(Version { slow: 4.0, fail: 0.01 }));
    let (quiet, _) = read_around("", AROUND, "[]\n", "shed == 0");
    assert!(quiet.is_some_and(|drill| drill.around.watched), "it has objectives");
}

#[test]
fn what_cannot_be_around_a_service_has_a_place() {
    let fine = "[]\n";
    let world = |from: &str, to: &str| AROUND.replace(from, to);
    let none = |script: &str| (AROUND.to_owned(), script.to_owned(), "shed == 0".to_owned());
    let in_world = |from: &str, to: &str| (world(from, to), fine.to_owned(), "shed == 0".to_owned());
    let deploy = "deploy: { restart: 1m, cold: 1m }";
    let cases = [
        (in_world("  account: { time", "  acount: { time"), "E0301 there is no feature set `acount`"),
        (in_world("  ada: {", "  adda: {"), "E0301 there is no person or channel `adda`"),
        (in_world("before: 30d", "before: 91d"), "E0205 the time before a drill"),
        (in_world("hours: [0.5, 1.5]", "hours: [0.0, 0.0]"), "E0205 expected 2 to 96 multiples"),
        (in_world("hours: [0.5, 1.5]", "hours: [1.0]"), "E0205 expected 2 to 96 multiples"),
        (in_world("parts: 4", "parts: 33"), "E0205 32 servers cannot be in 33 parts"),
        (in_world("servers: 32, time: 50ms, parts: 4", "engine: {}, parts: 4"), "E0304 a backend is `servers`"),
        (in_world("gaps: 1%", "gapes: 1%"), "E0104 "),
        (none("- { at: 1m, features: acount, down: true }\n"), "E0301 there is no feature set `acount`"),
        (none("- { at: 1m, features: account, deploy: { restart: 1s } }\n"), "E0304 one thing happens"),
        (none("- { at: 1m, backend: model, age: 1h }\n"), "E0304 one thing happens"),
        (none("- { at: 1m, backend: model, deploy: { restart: 1s, version: { slow: 0 } } }\n"), "E0205 "),
        (none("- { at: 1m, backend: model, deploy: { restart: 1s, version: { fails: 1% } } }\n"), "E0104 "),
        (none("- { at: 1m, backend: model, down: true, age: 1h }\n"), "E0304 one thing happens"),
        (none("- { at: 1m, channel: pager, slow: 2 }\n"), "E0304 one thing happens"),
        (none("- { at: 1m, channel: pagr, down: true }\n"), "E0301 there is no channel `pagr`"),
        (none(&format!("- {{ at: 13m, backend: model, {deploy} }}\n")), "E0903 this deploy goes on until 1260s"),
        (
            none(&format!("- {{ at: 1m, backend: model, {deploy} }}\n- {{ at: 8m, backend: model, {deploy} }}\n")),
            "E0903 the deploy of `model` before this one goes on until 540s",
        ),
        (
            (AROUND.to_owned(), fine.to_owned(), "budget_left[\"web_availabilty\"] > 0.5".to_owned()),
            "E0301 there is no objective `web_availabilty`",
        ),
    ];
    for ((world, script, holds), expected) in cases {
        let (drill, found) = read_around("", &world, &script, &holds);
        let messages = messages(&found);
        assert!(drill.is_none() && messages.iter().any(|it| it.starts_with(expected)), "{expected}: {messages:?}");
        assert!(found.iter().find(|it| it.is_error()).is_some_and(|it| it.span.end > 0), "{expected} has no place");
    }
    let (drill, found) = read_around("starts: tomorrow\n", AROUND, fine, "shed == 0");
    assert!(drill.is_none() && messages(&found)[0].contains("is not a moment such as"), "{:?}", messages(&found));
}
