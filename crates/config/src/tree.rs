//! YAML text to a tree whose keys and values know their places.
//!
//! The tree holds every key, so that one pass over it can name all that is wrong at once; a derived reader stops at the
//! first.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Location, Options, Spanned};

use crate::code::Code;
use crate::finding::Finding;
use crate::span::{At, Span};

/// Longest text that is read, in bytes.
pub const MAX_BYTES: usize = 4 << 20;
/// Deepest nesting of lists and maps.
const MAX_DEPTH: usize = 32;
/// Most keys and values, those that aliases repeat included.
const MAX_NODES: usize = 100_000;
/// Most documents of one text.
const MAX_DOCUMENTS: usize = 2_000;
/// Most values that aliases repeat.
const MAX_ALIASED: usize = 20_000;

/// A value of the text.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<At<Value>>),
    Map(Vec<(At<String>, At<Value>)>),
}

pub(crate) type Node = At<Value>;

impl Value {
    /// What it is, in words.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// As JSON.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Null => serde_json::Value::Null,
            Value::Bool(flag) => (*flag).into(),
            Value::Number(number) => number.clone().into(),
            Value::Text(text) => text.clone().into(),
            Value::List(items) => items.iter().map(|item| item.value.to_json()).collect(),
            Value::Map(entries) => {
                entries.iter().map(|(key, value)| (key.value.clone(), value.value.to_json())).collect()
            }
        }
    }
}

/// Reads the text; the error is the one thing that stops everything else.
pub(crate) fn parse(text: &str) -> Result<Node, Finding> {
    within_bounds(text)?;
    let root = serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options());
    let root = node(root.map_err(|error| refusal(&error, text))?, text);
    if matches!(root.value, Value::Null) {
        let finding = Finding::new(Code::NoValue, root.span, "the file says nothing");
        return Err(finding.help("`mainstay init` writes a file to start from"));
    }
    Ok(root)
}

/// Reads a text of several documents with `---` between them; those that say nothing are left out.
pub(crate) fn parse_all(text: &str) -> Result<Vec<Node>, Finding> {
    within_bounds(text)?;
    let mut options = options();
    if let Some(budget) = options.budget.as_mut() {
        budget.max_documents = MAX_DOCUMENTS;
    }
    let roots = serde_saphyr::from_multiple_with_options::<Spanned<Raw>>(text, options);
    let roots = roots.map_err(|error| refusal(&error, text))?;
    let nodes: Vec<Node> = roots.into_iter().map(|root| node(root, text)).collect();
    Ok(nodes.into_iter().filter(|node| !matches!(node.value, Value::Null)).collect())
}

fn within_bounds(text: &str) -> Result<(), Finding> {
    if text.len() <= MAX_BYTES {
        return Ok(());
    }
    let message = format!("the file has {} bytes; at most {MAX_BYTES} are read", text.len());
    Err(Finding::new(Code::TooLarge, Span::default(), message))
}

fn options() -> Options {
    let mut options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
    };
    if let Some(budget) = options.budget.as_mut() {
        budget.max_depth = MAX_DEPTH;
        budget.max_nodes = MAX_NODES;
        budget.max_events = 4 * MAX_NODES;
        budget.max_total_scalar_bytes = MAX_BYTES;
        budget.max_documents = 1;
    }
    options.alias_limits.max_total_replayed_events = MAX_ALIASED;
    options
}

fn refusal(error: &serde_saphyr::Error, text: &str) -> Finding {
    let error = error.without_snippet();
    let span = error.location().map_or(Span::default(), |place| span_of(place, text));
    // The place is shown by its own means.
    let words = error.to_string();
    let message = words.split_once(" at line ").map_or(words.as_str(), |(message, _)| message);
    let code = match error {
        serde_saphyr::Error::Budget { .. } => Code::TooLarge,
        // An error within an alias arrives as words.
        _ if message.starts_with("alias") && message.contains("limit exceeded") => Code::TooLarge,
        _ => Code::Syntax,
    };
    Finding::new(code, span, message)
}

/// The deserialised value before its places are known as bytes.
enum Raw {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

fn node(raw: Spanned<Raw>, text: &str) -> Node {
    let mut span = span_of(raw.referenced, text);
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Bool(flag) => Value::Bool(flag),
        Raw::Number(number) => Value::Number(number),
        Raw::Text(words) => Value::Text(words),
        Raw::List(items) => Value::List(items.into_iter().map(|item| node(item, text)).collect()),
        Raw::Map(entries) => {
            Value::Map(entries.into_iter().map(|(key, value)| (key_of(key, text), node(value, text))).collect())
        }
    };
    if let Some(end) = last_end(&value) {
        span.end = closed(text, span.start, span.end.max(end));
    }
    At::new(value, span)
}

/// The end of a container that begins at `start`, its closing bracket included.
fn closed(text: &str, start: usize, end: usize) -> usize {
    let (open, close) = match text[start..].chars().next() {
        Some('[') => ('[', ']'),
        Some('{') => ('{', '}'),
        Some(_) | None => return end,
    };
    let end = end.max(start + open.len_utf8());
    let rest = text[end..].trim_start_matches(|c: char| c.is_whitespace() || c == ',');
    if rest.starts_with(close) { text.len() - rest.len() + close.len_utf8() } else { end }
}

/// Where the last thing within ends; containers come with an empty span at their start.
fn last_end(value: &Value) -> Option<usize> {
    match value {
        Value::List(items) => Some(items.iter().map(|item| item.span.end).max().unwrap_or(0)),
        Value::Map(entries) => {
            Some(entries.iter().map(|(key, value)| key.span.end.max(value.span.end)).max().unwrap_or(0))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => None,
    }
}

/// A key as text: YAML reads `1:` as a number, and a map has names.
fn key_of(key: Spanned<Raw>, text: &str) -> At<String> {
    let span = span_of(key.referenced, text);
    let name = match key.value {
        Raw::Text(name) => name,
        Raw::Null | Raw::Bool(_) | Raw::Number(_) | Raw::List(_) | Raw::Map(_) => text[span.range()].trim().to_owned(),
    };
    At::new(name, span)
}

fn span_of(location: Location, text: &str) -> Span {
    let span = location.span();
    let bytes = span.byte_offset().zip(span.byte_len());
    let (start, len) = bytes.map_or_else(|| by_characters(location, text), |(at, len)| (at as usize, len as usize));
    Span::new(start, start.saturating_add(len)).within(text)
}

/// Some errors know only their line and column.
fn by_characters(location: Location, text: &str) -> (usize, usize) {
    if location.line() == 0 {
        return (0, 0);
    }
    let line = location.line() as usize - 1;
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let column = (location.column() as usize).saturating_sub(1);
    let within: usize = text[start..].chars().take(column).map(char::len_utf8).sum();
    let next = text[start + within..].chars().next();
    (start + within, next.filter(|c| *c != '\n').map_or(0, char::len_utf8))
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Raw, E> {
        Ok(Raw::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Raw, E> {
        Ok(Raw::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Raw, E> {
        Ok(Number::from_f64(number).map_or_else(|| Raw::Text(number.to_string()), Raw::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Raw, E> {
        Ok(Raw::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
