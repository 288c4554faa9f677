//! Blocks of YAML: a whole config is checked as it is, a part of one within `examples/config/full.yaml`.

use std::collections::BTreeSet;

use mainstay_config::{Finding, load, render};
use serde_json::{Value, json};

use crate::page::{Block, Page, root};

/// Configs that `check` does not take, and findings that are not those that the page names.
pub(crate) fn wrong(pages: &[Page]) -> Vec<String> {
    let base: Value = yaml(&std::fs::read_to_string(root().join("examples/config/full.yaml")).unwrap()).unwrap();
    let mut wrong = Vec::new();
    for page in pages.iter().filter(|page| !page.has_front_matter) {
        let configs = page.blocks.iter().filter(|block| block.language == "yaml" && block.hint("no config").is_none());
        for block in configs {
            if let Err(why) = check(block, &base) {
                wrong.push(format!("{}:{}: {why}", page.name, block.line));
            }
        }
    }
    wrong
}

fn check(block: &Block, base: &Value) -> Result<(), String> {
    let text = whole(block, base)?;
    let (_, findings) = load(&text);
    let found: BTreeSet<&str> = findings.iter().map(|finding| finding.code.as_str()).collect();
    let expected: BTreeSet<&str> = block.hint("finds").map(|codes| codes.split(' ').collect()).unwrap_or_default();
    if found == expected {
        return Ok(());
    }
    let shown: Vec<Finding> = findings;
    Err(format!("expected {expected:?}, found {found:?}\n{}", render(&shown, "the block", &text, false)))
}

/// The config that a block is, or is a part of.
fn whole(block: &Block, base: &Value) -> Result<String, String> {
    let part = yaml(&block.text)?;
    let has_ladder = |route: &Value| route.get("ladder").is_some();
    let routes = part.get("routes").and_then(Value::as_array);
    if routes.is_some_and(|routes| routes.iter().all(has_ladder)) {
        let service = if part.get("service").is_none() { "service: example\n" } else { "" };
        return Ok(format!("{service}{}", block.text));
    }
    if block.hint("of a route").is_some() {
        return Ok(merged(base, json!({ "routes": [named(part, "score")] })));
    }
    match part {
        Value::Array(entries) => Ok(ladder(entries).to_string()),
        Value::Object(_) => Ok(merged(base, part)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Err("neither a map nor a list".to_owned())
        }
    }
}

fn named(mut part: Value, name: &str) -> Value {
    part["name"] = name.into();
    part
}

fn merged(base: &Value, part: Value) -> String {
    let mut all = base.clone();
    merge(&mut all, part);
    all.to_string()
}

/// Maps are merged, items of lists of maps are added, those of one name merged; everything else takes the place of what was
/// there, and `url` that of `endpoints`, which exclude each other.
fn merge(into: &mut Value, part: Value) {
    match (into, part) {
        (Value::Object(into), Value::Object(part)) => {
            if part.contains_key("url") {
                into.remove("endpoints");
            }
            for (key, value) in part {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(part)) if part.iter().all(Value::is_object) => {
            for item in part {
                let same = |other: &&mut Value| !item["name"].is_null() && other["name"] == item["name"];
                match into.iter_mut().find(same) {
                    Some(other) => merge(other, item),
                    None => into.push(item),
                }
            }
        }
        (into, part) => *into = part,
    }
}

/// A list is the entries of a ladder; where the last one may have no answer, one that has is put after it.
fn ladder(mut entries: Vec<Value>) -> Value {
    let answers = |entry: &Value| ["respond", "queue", "otherwise"].iter().any(|key| entry.get(key).is_some());
    if !entries.last().is_some_and(answers) {
        entries.push(json!({ "level": 4, "respond": { "outputs": [{ "name": "decision", "value": "review" }] } }));
    }
    let route = json!({ "name": "score", "path": "/v2/models/fraud/infer", "deadline": "500ms", "ladder": entries });
    json!({ "service": "example", "routes": [route] })
}

fn yaml(text: &str) -> Result<Value, String> {
    serde_saphyr::from_str(text).map_err(|error| format!("not YAML: {error}"))
}

#[test]
fn parts_are_put_where_they_belong() {
    let mut base =
        json!({ "a": { "b": 1, "c": [1, 2] }, "routes": [{ "name": "x", "path": "/x" }], "slos": [{ "p": 1 }] });
    let part = json!({ "a": { "c": [3] }, "routes": [{ "name": "x", "deadline": "1s" }], "slos": [{ "q": 1 }] });
    merge(&mut base, part);
    let expected = json!({
        "a": { "b": 1, "c": [3] }, "routes": [{ "name": "x", "path": "/x", "deadline": "1s" }], "slos": [{ "p": 1 }, { "q": 1 }],
    });
    assert_eq!(base, expected);
}

#[test]
fn a_wrong_config_is_told_with_its_place() {
    let text = "# x\n```yaml\nlisten: nowhere\n```\n<!-- test: finds E0208 -->\n```yaml\nlisten: nowhere\n```\n<!-- test: no config -->\n```yaml\nx: 1\n```\n";
    let wrong = wrong(&[Page::parse("p.md".to_owned(), text)]);
    assert!(wrong.len() == 1 && wrong[0].starts_with("p.md:3: expected {}, found {\"E0208\"}"), "{wrong:?}");
}
