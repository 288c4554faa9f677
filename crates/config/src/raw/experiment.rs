//! An experiment's document. It is defined once, by the core; here it is read from YAML so that what is wrong has a place.

mod fault;
mod place;

use mainstay_core::chaos::experiment::Experiment;
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::code::Code;
use crate::finding::Finding;
use crate::read::{Kind, Reader};
use crate::suggest::did_you_mean;
use crate::tree::{Node, Value};
use place::Place;

/// Most faults of one document that are told at once.
const TOLD_MAX: usize = 16;

/// An experiment's document.
pub(crate) struct Document;

/// An experiment and where it is written.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) experiment: Experiment,
    node: Node,
}

impl Written {
    /// The place of a key such as `expect.incidents`; where it is not written, of the document.
    pub(crate) fn place(&self, key: &str) -> crate::span::Span {
        Place::of_key(&self.node, key).unwrap_or_else(|| Place::head(&self.node))
    }

    /// The place of a text that a key holds, by itself or in a list.
    pub(crate) fn place_of(&self, key: &str, text: &str) -> crate::span::Span {
        Place::of_text(&self.node, key, text).unwrap_or_else(|| self.place(key))
    }
}

impl Kind for Document {
    type Out = Written;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Written> {
        reader.entries(node, "a map for an experiment")?;
        duplicates(node, reader);
        let experiment = deserialise(node, reader)?;
        for text in experiment.check() {
            let span = Place::of_words(node, &text).unwrap_or_else(|| Place::head(node));
            reader.report(Finding::new(Code::Experiment, span, text));
        }
        Some(Written { experiment, node: node.clone() })
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        schema()
    }
}

/// Keys that are written twice, below the document's own.
fn duplicates(node: &Node, reader: &mut Reader<'_>) {
    let within: Vec<&Node> = match &node.value {
        Value::List(items) => items.iter().collect(),
        Value::Map(entries) => entries.iter().map(|(_, value)| value).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => return,
    };
    for node in within {
        if matches!(node.value, Value::Map(_)) {
            reader.entries(node, "a map");
        }
        duplicates(node, reader);
    }
}

/// Reads it as the core does. What is at fault is reported and left out, so that the next fault is found too.
fn deserialise(node: &Node, reader: &mut Reader<'_>) -> Option<Experiment> {
    let mut document = node.value.to_json();
    let mut left_out: Vec<String> = Vec::new();
    for _ in 0..TOLD_MAX {
        let error = match serde_path_to_error::deserialize::<_, Experiment>(&document) {
            Ok(experiment) if left_out.is_empty() => return Some(experiment),
            Ok(_) => return None,
            Err(error) => error,
        };
        let place = Place::new(node, error.path());
        let words = error.inner().to_string();
        if let Some(key) = named(&words, "missing field ") {
            if !left_out.contains(&place.with(key)) {
                reader.missing_key(place.node, key, place.what());
            }
            return None;
        }
        reader.report(finding(&place, &words, reader.is_full()));
        if !place.remove(&mut document) {
            return None;
        }
        left_out.push(place.path.clone());
    }
    None
}

/// What serde says, in the words of findings.
fn finding(place: &Place<'_>, words: &str, is_full: bool) -> Finding {
    let suggest = |name: &str| if is_full { None } else { did_you_mean(name, &expected(words)) };
    if let Some(name) = named(words, "unknown field ") {
        let message = format!("{} has no key `{name}`", place.what_holds());
        return Finding::new(Code::UnknownKey, place.key, message).label("unknown key").help_maybe(suggest(name));
    }
    if let Some(name) = named(words, "unknown variant ") {
        let message = format!("`{name}` is not known here");
        return Finding::new(Code::UnknownWord, place.of(name), message).help_maybe(suggest(name));
    }
    if let Some(kinds) = words.strip_prefix("invalid type: ") {
        let (found, wanted) = kinds.split_once(", expected ").unwrap_or((kinds, "something else"));
        let text = "a string";
        let wanted_words = if wanted == text { "text" } else { wanted };
        let code = if found == "null" { Code::NoValue } else { Code::WrongKind };
        let message = format!("expected {wanted_words}, found {}", place.node.value.kind());
        let scalar = matches!(place.node.value, Value::Number(_) | Value::Bool(_)) && wanted == text;
        let help = scalar.then(|| place.as_text());
        return Finding::new(code, place.node.span, message).help_maybe(help);
    }
    let code = if words.contains("is no share") {
        Code::Ratio
    } else if words.contains("duration") || words.contains("is too long") {
        Code::Duration
    } else {
        Code::Experiment
    };
    match words.split_once(": write ") {
        Some((message, help)) => Finding::new(code, place.node.span, message).help(format!("write {help}")),
        None => Finding::new(code, place.node.span, words),
    }
}

/// The name in backticks after a prefix.
fn named<'w>(words: &'w str, prefix: &str) -> Option<&'w str> {
    words.strip_prefix(prefix)?.strip_prefix('`')?.split('`').next()
}

/// The names that serde says it expected.
fn expected(words: &str) -> Vec<&str> {
    let names = words.split_once(", expected ").map_or("", |(_, names)| names);
    names.split('`').skip(1).step_by(2).collect()
}

fn schema() -> Schema {
    let duration = json_schema!({ "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(us|ms|s|m|h|d)$" });
    let share = json_schema!({ "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?%$" });
    let texts = json_schema!({ "type": "array", "items": { "type": "string" } });
    json_schema!({
        "type": "object",
        "description": "An experiment: one fault, whom it may touch, what is expected, and when it stops.",
        "additionalProperties": false,
        "required": ["name", "hypothesis", "route", "fault", "duration"],
        "properties": {
            "name": { "type": "string", "pattern": "^[A-Za-z0-9_-]{1,80}$", "description": "Its name." },
            "title": { "type": "string", "description": "What it is about, in a line." },
            "hypothesis": { "type": "string", "description": "What is believed to hold while the fault is in force." },
            "route": { "type": "string", "description": "The route." },
            "target": { "type": "string", "description": "The backend or feature set. Default: what the route's best entry uses." },
            "fault": fault::schema(&duration),
            "blast": { "enum": ["limited", "moderate", "full"], "description": "How far it may reach: at most 5 % of the route, 25 %, all of it. Default: limited." },
            "dose": described(&share, "The chance that a request of the experiment's arm meets the fault. Default: 100%."),
            "cohort": {
                "type": "object",
                "description": "Whom it may touch.",
                "additionalProperties": false,
                "properties": {
                    "share": described(&share, "The share of units in the experiment's arm; as many are its control. Default: 5%."),
                    "by": {
                        "description": "What is assigned to an arm and stays there. Default: request.",
                        "anyOf": [
                            { "enum": ["request", "client"] },
                            { "type": "object", "additionalProperties": false, "required": ["header"], "properties": { "header": { "type": "string" } } },
                        ],
                    },
                    "classes": { "type": "array", "items": { "type": "integer", "minimum": 0, "maximum": 3 }, "description": "Only these classes. Default: all." },
                    "clients": described(&texts, "Only these clients. Default: all."),
                    "headers": { "type": "object", "additionalProperties": { "type": "string" }, "description": "Only requests that carry these headers with these values." },
                    "traffic": { "enum": ["all", "synthetic"], "description": "Whether it touches real requests or only the operator's own. Default: all." },
                },
            },
            "caps": {
                "type": "object",
                "description": "What bounds it besides its share.",
                "additionalProperties": false,
                "properties": {
                    "concurrent": { "type": "integer", "minimum": 1, "description": "Requests that meet it at the same time. Default: 64." },
                    "total": { "type": "integer", "minimum": 1, "description": "Requests that meet it in all. Default: 100000." },
                },
            },
            "duration": described(&duration, "How long the fault is in force, 1s to 24h."),
            "lead_in": described(&duration, "How long both arms are watched before. Default: 2m."),
            "recovery": described(&duration, "Within which time all must be well again afterwards. Default: 5m."),
            "margin": {
                "type": "object",
                "description": "What is tolerated: the experiment's arm against its control.",
                "additionalProperties": false,
                "properties": {
                    "errors": described(&share, "More unanswered requests, as a share of requests. Default: 1%."),
                    "p99": { "type": "number", "exclusiveMinimum": 1, "maximum": 100, "description": "The 99 % quantile of the latency as a multiple. Default: 3." },
                },
            },
            "expect": {
                "type": "object",
                "description": "What should answer the fault.",
                "additionalProperties": false,
                "properties": {
                    "level": { "type": "integer", "minimum": 0, "maximum": 4, "description": "The deepest level that touched requests are answered from." },
                    "incidents": described(&texts, "Types of incidents that should open; others end the experiment."),
                },
            },
            "stop": {
                "type": "object",
                "description": "What ends it early.",
                "additionalProperties": false,
                "properties": {
                    "burn": { "type": "number", "exclusiveMinimum": 0, "description": "An error budget of the route burns at this rate. Default: 14.4." },
                    "errors": { "type": "boolean", "description": "The experiment's arm has more unanswered requests than its control. Default: true." },
                    "guards": {
                        "type": "object",
                        "description": "Bounds on the experiment's arm over the last minute.",
                        "additionalProperties": false,
                        "properties": {
                            "unanswered": { "type": "number", "exclusiveMinimum": 0, "maximum": 1, "description": "The share of unanswered requests." },
                            "p99": described(&duration, "The 99 % quantile of the latency."),
                        },
                    },
                    "silent": described(&duration, "Nothing was heard of the arms for so long. Default: 30s."),
                    "incidents": { "type": "boolean", "description": "An incident that is not expected opens. Default: true." },
                },
            },
            "force": { "type": "boolean", "description": "Lets a fault that corrupts answers meet real traffic. Default: false." },
        },
    })
}

fn described(schema: &Schema, about: &str) -> Schema {
    let mut schema = schema.clone();
    schema.insert("description".to_owned(), about.into());
    schema
}
