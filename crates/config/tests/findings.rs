//! What is found in wrong configs: `findings.md` holds the cases and the findings.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use expect_test::{expect, expect_file};
use mainstay_config::{Code, Finding, explained, load, openslo, render, to_json};

/// One line per finding, and one for its help.
fn transcript(text: &str, findings: &[Finding]) -> String {
    let mut out = String::new();
    for (finding, place) in findings.iter().zip(to_json(findings, "f", text).as_array().expect("a list")) {
        let at: String = text[finding.span.range()].chars().take(40).collect();
        let label = finding.label.as_ref().map_or_else(String::new, |label| format!(" ({label})"));
        let _ =
            writeln!(out, "{} {}:{} `{at}` {}{label}", finding.code, place["line"], place["column"], finding.message);
        if let Some(help) = &finding.help {
            let _ = writeln!(out, "    = {help}");
        }
    }
    out
}

/// The findings of a config.
fn config(text: &str) -> Vec<Finding> {
    let (plan, findings) = load(text);
    assert_eq!(plan.is_none(), findings.iter().any(Finding::is_error), "{text}");
    findings
}

/// The findings of OpenSLO documents.
fn documents(text: &str) -> Vec<Finding> {
    let imported = openslo::import(text, &openslo::Into { service: "s", ..openslo::Into::default() });
    let refused = imported.findings.iter().any(Finding::is_error);
    assert_eq!(imported.items.is_empty(), refused, "{text}");
    imported.findings
}

/// The file with each case's findings as they are, and the codes that occurred.
fn replay(cases: &str, check: impl Fn(&str) -> Vec<Finding>) -> (String, BTreeSet<Code>) {
    let (mut out, mut codes) = (String::new(), BTreeSet::new());
    let mut rest = cases;
    while let Some(start) = rest.find("```yaml\n") {
        let body = start + "```yaml\n".len();
        let end = body + rest[body..].find("```\n").expect("a closing fence");
        let text = &rest[body..end];
        let findings = check(text);
        codes.extend(findings.iter().map(|finding| finding.code));
        let expected = end + rest[end..].find("```text\n").expect("an expectation");
        let after = expected + "```text\n".len();
        let close = after + rest[after..].find("```").expect("a closing fence");
        out.push_str(&rest[..after]);
        out.push_str(&transcript(text, &findings));
        rest = &rest[close..];
    }
    out.push_str(rest);
    (out, codes)
}

#[test]
fn wrong_configs_are_told_what_is_wrong_and_where() {
    let (found, mut codes) = replay(include_str!("findings.md"), config);
    expect_file!["findings.md"].assert_eq(&found);
    let (found, more) = replay(include_str!("openslo.md"), documents);
    expect_file!["openslo.md"].assert_eq(&found);
    codes.extend(more);
    let (_, too_large) = load(&format!("service: {}\n", "x".repeat(mainstay_config::MAX_BYTES)));
    codes.extend(too_large.iter().map(|finding| finding.code));
    let (_, no_drill) = mainstay_config::drill("# A drill without a head\n", &mut |_| Err("no files".to_owned()));
    codes.extend(no_drill.iter().map(|finding| finding.code));
    let never: Vec<&Code> = Code::ALL.iter().filter(|code| !codes.contains(code)).collect();
    assert!(never.is_empty(), "no case makes these: {never:?}");
}

#[test]
fn every_code_is_distinct_and_explained() {
    assert!(explained("e0104").is_some() && explained("E9999").is_none());
    let distinct: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(distinct.len(), Code::ALL.len());
    for code in Code::ALL {
        let about = code.about();
        assert!(about.len() > 40 && about.ends_with('.'), "{code}: {about}");
    }
}

/// `docs/findings.md` is made of the codes: `UPDATE_EXPECT=1 cargo test -p mainstay-config` writes it.
#[test]
fn every_code_has_an_example_in_which_it_is_found() {
    let mut page = include_str!("findings_head.md").to_owned();
    for code in Code::ALL {
        let explained = explained(code.as_str()).expect("a known code");
        let heading = format!("[{code}]: ");
        assert!(explained.shown.contains(&heading), "{code} is not found in its example:\n{}", explained.example);
        let language = if explained.example.starts_with("# ") { "markdown" } else { "yaml" };
        let _ = write!(page, "\n## {code}\n\n{}\n\n", explained.about);
        let _ = write!(page, "<!-- test: no config -->\n```{language}\n{}\n```\n\n", explained.example);
        let _ = write!(page, "```text\n{}\n```\n", shown(&explained.shown));
    }
    expect_file!["../../../docs/findings.md"].assert_eq(&page);
}

/// Without the last line, which counts.
fn shown(findings: &str) -> &str {
    findings.trim_end().rsplit_once('\n').map_or("", |(findings, _)| findings.trim_end())
}

#[test]
fn findings_show_the_line_with_a_caret_and_a_hint_and_mask_secrets() {
    let text = "service: é\nclients: { shop: { key: hunter2 } }\nroutes: []\ndedline: 5s\n";
    let (_, findings) = load(text);
    let shown = render(&findings, "mainstay.yaml", text, false);
    assert!(!shown.contains("hunter2") && !to_json(&findings, "f", text).to_string().contains("hunter2"));
    assert!(render(&findings, "mainstay.yaml", text, true).contains("\u{1b}["));
    expect![[r"
        error[E0210]: this cannot be the name of a service
         --> mainstay.yaml:1:10
          |
        1 | service: é
          |          ^
          |
          = help: 1 to 64 letters, digits, `_`, `-` or `.`

        error[E0211]: a secret is given by reference only
         --> mainstay.yaml:2:25
          |
        2 | clients: { shop: { key: ******* } }
          |                         ^^^^^^^ this looks like the secret itself
          |
          = help: write `env:NAME` or `file:PATH`, and change the secret if this file was shared

        error[E0303]: `routes` is empty
         --> mainstay.yaml:3:9
          |
        3 | routes: []
          |         ^^
          |
          = help: at least one is needed

        error[E0104]: the config has no key `dedline`
         --> mainstay.yaml:4:1
          |
        4 | dedline: 5s
          | ^^^^^^^ unknown key
          |
          = help: known here: `service`, `environment`, `listen`, `admin`, `store`, `retention`, `tls`, `limits`, `clients`, `trust`, `objectives`, `backends`, `features`, `routes`, `slos`, `policies`, `maintenance`, `observability`, `drift`, `labels`, `safety`, `incidents`, `oncall`, `notify`, ...

        mainstay.yaml: 4 errors
    "]].assert_eq(&shown);
}
