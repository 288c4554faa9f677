//! Where in an experiment's document something is.

use serde_path_to_error::{Path, Segment};

use crate::span::Span;
use crate::tree::{Node, Value};

/// Keys whose values are durations.
const DURATIONS: [&str; 10] =
    ["duration", "lead_in", "recovery", "silent", "p99", "retry_after", "fixed", "median", "least", "age"];

/// A place that the core's reader stopped at.
pub(super) struct Place<'n> {
    /// What is there.
    pub(super) node: &'n Node,
    /// Its key, or itself where it has none.
    pub(super) key: Span,
    /// Its keys from the document's top, with dots between them.
    pub(super) path: String,
    /// Whether its last step was a key of a map.
    is_field: bool,
}

impl<'n> Place<'n> {
    pub(super) fn new(document: &'n Node, path: &Path) -> Place<'n> {
        let mut place = Place { node: document, key: Place::head(document), path: String::new(), is_field: false };
        for segment in path {
            match segment {
                Segment::Map { key } => place.enter(key, true),
                Segment::Enum { variant } => place.enter(variant, false),
                Segment::Seq { index } => {
                    if let Value::List(items) = &place.node.value
                        && let Some(item) = items.get(*index)
                    {
                        place.node = item;
                        place.key = item.span;
                        place.is_field = false;
                    }
                }
                Segment::Unknown => {}
            }
        }
        place
    }

    fn enter(&mut self, key: &str, is_field: bool) {
        let Some((name, value)) = entry(self.node, key) else { return };
        self.node = value;
        self.key = name;
        self.path = self.with(key);
        self.is_field = is_field;
    }

    /// The path of a key below it.
    pub(super) fn with(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// What it is, for a person who is told that something is missing in it.
    pub(super) fn what(&self) -> &str {
        if self.path.is_empty() { "an experiment" } else { self.path.rsplit('.').next().unwrap_or_default() }
    }

    /// What it is part of.
    pub(super) fn what_holds(&self) -> String {
        match self.path.rsplit_once('.') {
            Some((holder, _)) => format!("`{holder}`"),
            None => "an experiment".to_owned(),
        }
    }

    /// The place of a word at it: the key of that name within, or itself.
    pub(super) fn of(&self, word: &str) -> Span {
        entry(self.node, word).map_or(self.node.span, |(key, _)| key)
    }

    /// How a number or a flag is written where a text is expected.
    pub(super) fn as_text(&self) -> String {
        let written = self.node.value.to_json();
        match self.path.rsplit('.').next().unwrap_or_default() {
            "dose" | "share" | "errors" => format!("write the unit: `{written}%`"),
            key if DURATIONS.contains(&key) => format!("write the unit: `{written}ms` or `{written}s`"),
            _ => format!("put it in quotes: \"{written}\""),
        }
    }

    /// Takes it out of the document, where that leaves a document.
    pub(super) fn remove(&self, document: &mut serde_json::Value) -> bool {
        if !self.is_field {
            return false;
        }
        let (holder, key) = self.path.rsplit_once('.').unwrap_or(("", &self.path));
        let holder = holder.split('.').filter(|key| !key.is_empty());
        let holder = holder.into_iter().try_fold(document, |at, key| at.get_mut(key));
        holder.and_then(serde_json::Value::as_object_mut).is_some_and(|fields| fields.remove(key).is_some())
    }

    /// Where a document begins: its first key.
    pub(super) fn head(document: &Node) -> Span {
        match &document.value {
            Value::Map(entries) => entries.first().map_or(document.span, |(key, _)| key.span),
            _ => document.span,
        }
    }

    /// The value of a key such as `expect.incidents`.
    pub(super) fn of_key(document: &Node, key: &str) -> Option<Span> {
        at(document, key).map(|node| node.span)
    }

    /// A text that a key holds, by itself or in a list.
    pub(super) fn of_text(document: &Node, key: &str, text: &str) -> Option<Span> {
        let node = at(document, key)?;
        let is_it = |node: &&Node| matches!(&node.value, Value::Text(written) if written == text);
        match &node.value {
            Value::List(items) => items.iter().find(is_it).map(|node| node.span),
            _ => Some(node).filter(is_it).map(|node| node.span),
        }
    }

    /// The first key among the words in backticks that the document has, at its top or as its fault.
    pub(super) fn of_words(document: &Node, words: &str) -> Option<Span> {
        let named = words.split('`').skip(1).step_by(2);
        let mut keys = named.map(|word| word.split(':').next().unwrap_or(word));
        keys.find_map(|key| {
            let inner = || entry(document, "fault").and_then(|(_, fault)| at(fault, key));
            // A key that is left out stands where its map does.
            let outer = || key.rsplit_once('.').and_then(|(holder, _)| at(document, holder));
            at(document, key).or_else(inner).or_else(outer).map(|node| node.span)
        })
    }
}

fn at<'n>(document: &'n Node, key: &str) -> Option<&'n Node> {
    key.split('.').try_fold(document, |node, key| entry(node, key).map(|(_, value)| value))
}

fn entry<'n>(node: &'n Node, key: &str) -> Option<(Span, &'n Node)> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find(|(name, _)| name.value == key).map(|(name, value)| (name.span, value))
}
