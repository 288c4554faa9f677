//! Every block of a language that somebody could run says who runs it, or why nobody does.

use crate::page::{Block, Page, root};

/// Languages whose blocks are run or read by this test: configs, shell, JSON.
const HERE: [&str; 4] = ["yaml", "sh", "console", "json"];
/// Languages of figures and outputs.
const SHOWN: [&str; 1] = ["text"];
/// What a page may say of a block: the first words of a hint, and whether more follows.
const HINTS: [(&str, bool); 11] = [
    ("exit", true),
    ("file", true),
    ("finds", true),
    ("live", false),
    ("no config", false),
    ("not run:", true),
    ("of a route", false),
    ("run by", true),
    ("shows", true),
    ("samples", false),
    ("service", false),
];

/// Blocks that nobody runs and that do not say why, and hints that nobody reads.
pub(crate) fn wrong(pages: &[Page]) -> Vec<String> {
    let mut wrong = Vec::new();
    for page in pages.iter().filter(|page| !page.has_front_matter) {
        for block in &page.blocks {
            let faults = unread(block).into_iter().chain(unrun(page, block));
            wrong.extend(faults.map(|why| format!("{}:{}: {why}", page.name, block.line)));
        }
    }
    wrong
}

/// Hints that nobody reads.
fn unread(block: &Block) -> Vec<String> {
    let known = |hint: &str| {
        HINTS.iter().any(|(words, more)| {
            hint.strip_prefix(words).is_some_and(|rest| if *more { !rest.trim().is_empty() } else { rest.is_empty() })
        })
    };
    block.hints.iter().filter(|hint| !known(hint)).map(|hint| format!("nobody knows `{hint}`")).collect()
}

fn unrun(page: &Page, block: &Block) -> Option<String> {
    if let Some(file) = block.hint("run by") {
        let text = std::fs::read_to_string(root().join(file)).unwrap_or_default();
        return (!text.contains(&page.name)).then(|| format!("{file} does not speak of {}", page.name));
    }
    let language = block.language.as_str();
    if block.hint("not run:").is_some() || SHOWN.contains(&language) {
        return None;
    }
    match language {
        "json" => serde_json::Deserializer::from_str(&block.text)
            .into_iter::<serde_json::Value>()
            .find_map(Result::err)
            .map(|error| format!("no JSON: {error}")),
        // A drill that a command runs, or what a finding is about.
        "markdown" if block.hint("file").is_some() || block.hint("no config").is_some() => None,
        _ if HERE.contains(&language) => None,
        _ => Some(format!("who runs this `{language}`? Say `run by FILE`, or `not run: WHY`")),
    }
}

#[test]
fn what_nobody_runs_says_why() {
    let text = "```python\nx\n```\n<!-- test: not run: it needs a moon, and a rocket -->\n```python\nx\n```\n```json\n{\"a\": 1}\n{\n```\n\
                <!-- test: run by README.md -->\n```hcl\nx\n```\n<!-- test: parse only, exit -->\n```sh\nx\n```\n<!-- test: not run: -->\n```sh\n```\n";
    let wrong = wrong(&[Page::parse("p.md".to_owned(), text)]);
    assert_eq!(
        wrong,
        [
            "p.md:2: who runs this `python`? Say `run by FILE`, or `not run: WHY`",
            "p.md:9: no JSON: EOF while parsing an object at line 3 column 0",
            "p.md:14: README.md does not speak of p.md",
            "p.md:18: nobody knows `parse only`",
            "p.md:18: nobody knows `exit`",
            "p.md:22: nobody knows `not run: `",
        ]
    );
}
