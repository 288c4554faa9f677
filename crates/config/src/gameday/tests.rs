use std::fmt::Write as _;

use super::scenario;

fn told(file: &str, text: &str) -> String {
    let (scenario, findings) = scenario(file, text);
    assert_eq!(scenario.is_none(), findings.iter().any(crate::Finding::is_error), "{findings:?}");
    let mut out = String::new();
    for finding in findings {
        let line = 1 + text[..finding.span.start].matches('\n').count();
        writeln!(out, "{line} `{}` {}", &text[finding.span.range()], finding.message).unwrap();
        if let Some(help) = finding.help {
            writeln!(out, "  = {help}").unwrap();
        }
    }
    out
}

const MARKDOWN: &str = r#"---
name: outage
participants:
  - { role: facilitator, name: Ada }
criteria:
  - { name: nobody, holds: "unanswered_class[0] == 0" }
---
# The store fails — and comes back

Read this first.

## It becomes slow

Who sees it first?

```yaml
experiment: store-slow
expect: [The ladder answers]
criteria:
  - name: seen
    holds: detected_s < 60
```

```text
# no heading, no step
```

And then?

## It is gone
```yaml
- { name: gone, experiment: store-down, pause: 30s }
- experiment: model-down
  criteria: [{ name: as before, holds: experiment.gone.verdict == verdict }]
```
## Afterwards
Thank everybody.
"#;

#[test]
fn markdown_is_a_scenario_and_its_text_stays() {
    let (read, findings) = scenario("x.md", MARKDOWN);
    assert_eq!(findings, []);
    let read = read.unwrap();
    assert_eq!((read.name.as_str(), read.title.as_str()), ("outage", "The store fails — and comes back"));
    assert_eq!(read.step_names(), ["store-slow", "gone", "model-down"]);
    assert_eq!(read.notes, "Read this first.\n\n**Afterwards**\nThank everybody.");
    let notes = "**It becomes slow**\n\nWho sees it first?\n\n\n```text\n# no heading, no step\n```\n\nAnd then?";
    assert_eq!(read.steps[0].notes, notes);
    assert_eq!((read.steps[1].notes.as_str(), read.steps[2].notes.as_str()), ("**It is gone**", ""));
    assert_eq!((read.steps[1].pause.as_secs(), read.steps[1].wait.as_secs()), (30, 600));
    assert_eq!(read.criteria.len(), 1);
    assert!(read.check().is_empty());
}

#[test]
fn what_is_wrong_is_told_where_it_stands() {
    let wrong = MARKDOWN.replace("detected_s < 60", "detectd_s < 60").replace("expect:", "expects:");
    let found = told("x.md", &wrong);
    assert!(found.contains("18 `expects` a step has no key `expects`\n  = did you mean `expect`?"), "{found}");
    assert!(found.contains("21 `d` this criterion does not compile: unknown fact `detectd_s`"), "{found}");
    for (text, says) in [
        ("steps: [{ experiment: a }]\n", "needs `name`"),
        ("name: x\n", "at least one step"),
        ("name: x y\nsteps: [{ experiment: a }]\n", "`name` has 1 to 80"),
        ("name: x\nsteps: [{ experiment: a }, { experiment: a }]\n", "two steps are called `a`"),
        ("name: x\nsteps: [{ experiment: a, pause: 5h }]\n", "longer than four hours"),
        ("name: x\nsteps: [{ experiment: { name: a } }]\n", "hypothesis"),
        ("name: x\nsteps: [{ experiment: 7 }]\n", "expected the name of an experiment"),
        ("name: x\nsteps: [{ expect: [a] }]\n", "needs `experiment`"),
        ("name: x\nparticipants: [{ role: boss, name: a }]\nsteps: [{ experiment: a }]\n", "`boss` is not a role"),
        ("name: x\nsteps: [{ experiment: a, criteria: [{ name: a, holds: 'size(verdicts) > 0' }] }]\n", "unknown fact"),
        ("name: [\n", ""),
        ("", ""),
    ] {
        let found = told("x.yaml", text);
        assert!(!found.is_empty() && found.contains(says), "{text}: {found}");
    }
    let dose = "name: x\nsteps:\n  - experiment: { name: a, hypothesis: h, route: r, duration: 1m, fault: { feature_error: {} }, dose: 0% }\n";
    assert!(told("x.yaml", dose).contains("`dose` is above 0%"));
}

#[test]
fn any_text_is_answered() {
    for text in [
        "---\n",
        "---\nname: x\n",
        "```yaml\n",
        "```yaml\n- \n```",
        "# \n#\n",
        "~~~yaml\nexperiment: a",
        "---\n---\n",
        "\u{feff}---",
    ] {
        let (read, findings) = scenario("x.md", text);
        assert!(read.is_none() && !findings.is_empty(), "{text:?}");
    }
    let many = format!("---\nname: x\n---\n{}", "```yaml\nexperiment: a\n```\n".repeat(100));
    assert!(told("x.md", &many).contains("more than 64 blocks"));
    assert!(told("x.md", &"x".repeat(2 << 20)).contains("at most 1048576"));
}
