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
    ];
    for (head, rest, expected) in cases {
        let (drill, found) = read(head, &rest);
        let messages = messages(&found);
        assert!(drill.is_none() && messages.iter().any(|it| it.starts_with(expected)), "{expected}: {messages:?}");
        let error = found.iter().find(|it| it.is_error()).unwrap();
        assert!(error.span.end > 0 || expected.contains("no expectations"), "{expected} has no place");
    }
}
