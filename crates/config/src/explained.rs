//! What `mainstay explain` tells of a kind of finding: what it means, and a text in which it is made.

use crate::code::Code;
use crate::finding::Finding;
use crate::{drill, load, openslo, render};

/// One section for each code.
const EXAMPLES: &str = include_str!("code/examples.md");

/// What an example may leave out of a config.
const SERVICE: &str = "service: example\n";
const ROUTES: &str = "routes: [{ name: r, path: /r, deadline: 1s, ladder: [{ level: 4, respond: { body: {} } }] }]\n";

/// A kind of finding, at length.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explained {
    /// Which one.
    pub code: Code,
    /// What it means and what to do.
    pub about: &'static str,
    /// A part of a config, of OpenSLO documents or of a drill in which it is made.
    pub example: &'static str,
    /// What is found in the example, as `mainstay check` shows it.
    pub shown: String,
}

/// All that is told of a code, in any case; `None` where there is no such code.
///
/// ```
/// let explained = mainstay_config::explained("e0203").expect("a known code");
/// assert!(explained.example.contains("target: 99.9"));
/// assert!(explained.shown.contains("help: write the unit: `99.9%`"));
/// ```
pub fn explained(code: &str) -> Option<Explained> {
    let code = *Code::ALL.iter().find(|known| known.as_str().eq_ignore_ascii_case(code))?;
    let example = example(code);
    let (file, text, found) = found(example);
    let made: Vec<Finding> = found.into_iter().filter(|finding| finding.code == code).collect();
    Some(Explained { code, about: code.about(), example, shown: render(&made, file, &text, false) })
}

fn example(code: Code) -> &'static str {
    let sections = EXAMPLES.split("## ").filter_map(|section| section.split_once('\n'));
    let mut texts = sections.filter(|(name, _)| *name == code.as_str()).map(|(_, text)| text.trim_end());
    texts.next().expect("a test looks for the example of every code")
}

/// The whole text that an example is part of, by what name it is shown, and what is found in it.
fn found(example: &str) -> (&'static str, String, Vec<Finding>) {
    let mut text = format!("{example}\n");
    if example.starts_with("apiVersion:") {
        let into =
            openslo::Into { service: "example", prometheus: Some("http://127.0.0.1:9090"), ..Default::default() };
        let imported = openslo::import(&text, &into);
        return ("objectives.yaml", text, imported.findings);
    }
    if example.starts_with("# ") {
        let (_, findings) = drill(&text, &mut |_| Err("examples have no files".to_owned()));
        return ("drill.md", text, findings);
    }
    for (key, rest) in [("service:", SERVICE), ("routes:", ROUTES)] {
        if !example.lines().any(|line| line.starts_with(key)) {
            text.push_str(rest);
        }
    }
    let (_, findings) = load(&text);
    ("mainstay.yaml", text, findings)
}
