//! From the tree to typed sections: one pass that reports whatever does not fit and goes on.
//!
//! A [`Kind`] says how a value is read and how the JSON Schema describes it. [`section!`] declares a map with known
//! keys, [`choice!`] a word of a list. A value that was refused is absent from then on; the finding keeps the plan
//! from being made, so nothing runs with a default that nobody asked for.

use std::collections::BTreeSet;

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::code::Code;
use crate::finding::Finding;
use crate::span::{At, Span};
use crate::suggest::did_you_mean;
use crate::tree::{Node, Value};

/// Most findings that are kept; a text that has more is shown its first ones.
const MAX_FINDINGS: usize = 500;

/// How a value is read.
pub(crate) trait Kind {
    /// What it becomes.
    type Out;

    /// Reads a value, or reports why it is none.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self::Out>;

    /// What editors are told.
    fn schema(generator: &mut SchemaGenerator) -> Schema;
}

/// The text and what has been found in it.
pub(crate) struct Reader<'t> {
    pub(crate) text: &'t str,
    findings: Vec<Finding>,
    refused: bool,
}

impl<'t> Reader<'t> {
    pub(crate) fn new(text: &'t str) -> Reader<'t> {
        Reader { text, findings: Vec::new(), refused: false }
    }

    pub(crate) fn report(&mut self, mut finding: Finding) {
        // The first error is kept even after many warnings: it says why there is no plan.
        let first_error = finding.is_error() && !self.refused;
        self.refused |= finding.is_error();
        if first_error || self.findings.len() < MAX_FINDINGS {
            finding.span = finding.span.first_line(self.text);
            self.findings.push(finding);
        }
    }

    /// Whether more findings would be dropped; then there is no use in looking for good words.
    pub(crate) fn is_full(&self) -> bool {
        self.refused && self.findings.len() >= MAX_FINDINGS
    }

    /// Whether an error was reported.
    pub(crate) const fn refused(&self) -> bool {
        self.refused
    }

    /// Whether an error was reported within a place.
    pub(crate) fn refused_within(&self, span: Span) -> bool {
        let inside = |finding: &Finding| (span.start..span.end).contains(&finding.span.start);
        self.findings.iter().any(|finding| finding.is_error() && inside(finding))
    }

    /// The findings in the order of the text.
    pub(crate) fn into_findings(self) -> Vec<Finding> {
        let mut findings = self.findings;
        findings.sort_by(|a, b| (a.span, a.code, &a.message).cmp(&(b.span, b.code, &b.message)));
        findings.dedup();
        findings
    }

    pub(crate) fn wrong_kind(&mut self, node: &Node, expected: &str) {
        let finding = match node.value {
            Value::Null => {
                Finding::new(Code::NoValue, node.span, format!("this key has no value; expected {expected}"))
                    .help("give it a value, or leave the key out")
            }
            Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => {
                let found = node.value.kind();
                Finding::new(Code::WrongKind, node.span, format!("expected {expected}, found {found}"))
                    .label(format!("this is {found}"))
                    .help_maybe(quoting(node, expected))
            }
        };
        self.report(finding);
    }

    pub(crate) fn entries<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [(At<String>, Node)]> {
        let Value::Map(entries) = &node.value else {
            self.wrong_kind(node, what);
            return None;
        };
        self.duplicates(entries);
        Some(entries)
    }

    fn duplicates(&mut self, entries: &[(At<String>, Node)]) {
        let mut seen = BTreeSet::new();
        for (key, _) in entries {
            if !seen.insert(&key.value) {
                let message = format!("`{}` is written twice", key.value);
                self.report(Finding::new(Code::DuplicateKey, key.span, message).label("second time").help("keep one"));
            }
        }
    }

    pub(crate) fn field<K: Kind>(&mut self, node: &Node) -> Option<At<K::Out>> {
        K::read(node, self).map(|value| At::new(value, node.span))
    }

    pub(crate) fn unknown_key(&mut self, key: &At<String>, known: &[&str], what: &str) {
        let message = format!("{what} has no key `{}`", key.value);
        let help = if self.is_full() { None } else { did_you_mean(&key.value, known) };
        self.report(Finding::new(Code::UnknownKey, key.span, message).label("unknown key").help_maybe(help));
    }

    pub(crate) fn missing_key(&mut self, node: &Node, key: &str, what: &str) {
        let message = format!("{what} needs `{key}`");
        self.report(Finding::new(Code::MissingKey, head(node), message).label(format!("`{key}` is missing here")));
    }
}

/// Text that YAML reads as something else is meant to be quoted.
fn quoting(node: &Node, expected: &str) -> Option<String> {
    let scalar = matches!(node.value, Value::Bool(_) | Value::Number(_));
    let written = node.value.to_json();
    (scalar && expected == Text::EXPECTED).then(|| format!("put it in quotes: \"{written}\""))
}

/// Where a map or list begins: its first key, or the bracket.
fn head(node: &Node) -> Span {
    match &node.value {
        Value::Map(entries) => entries
            .first()
            .map_or(node.span, |(key, _)| if key.span.start == node.span.start { key.span } else { node.span }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => node.span,
    }
}

/// A key as the config writes it; `as` is a word of Rust.
pub(crate) fn written(field: &'static str) -> &'static str {
    field.strip_prefix("r#").unwrap_or(field)
}

/// The doc comment of a field as a description.
pub(crate) fn description(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// Declares a map with known keys. Each field is optional in the struct; `(required)` reports its absence.
macro_rules! section {
    (@required $reader:ident, $node:ident, $entries:ident, $key:expr, $what:expr, required) => {
        if !$entries.iter().any(|(key, _)| key.value == $key) {
            $reader.missing_key($node, $key, $what);
        }
    };
    (@note $key:expr, required) => { Some($key) };
    (@note $key:expr) => { None };
    ($(#[doc = $doc:literal])* $name:ident = $what:literal {
        $( $(#[doc = $field_doc:literal])* $field:ident $(($required:tt))? : $kind:ty, )*
    }) => {
        $(#[doc = $doc])*
        #[derive(Debug, Default)]
        pub(crate) struct $name {
            $( $(#[doc = $field_doc])* pub(crate) $field: Option<$crate::span::At<<$kind as $crate::read::Kind>::Out>>, )*
            /// The keys that are written, whether their values were accepted or not.
            pub(crate) given: std::collections::BTreeSet<&'static str>,
        }

        impl $crate::read::Kind for $name {
            type Out = $name;

            fn read(node: &$crate::tree::Node, reader: &mut $crate::read::Reader<'_>) -> Option<$name> {
                const KEYS: &[&str] = &[$(stringify!($field)),*];
                let entries = reader.entries(node, concat!("a map for ", $what))?;
                let mut section = $name::default();
                for (key, value) in entries {
                    match key.value.as_str() {
                        $( name if name == $crate::read::written(stringify!($field)) => {
                            section.given.insert($crate::read::written(stringify!($field)));
                            section.$field = reader.field::<$kind>(value);
                        } )*
                        _ => {
                            let known: Vec<&str> = KEYS.iter().map(|key| $crate::read::written(key)).collect();
                            reader.unknown_key(key, &known, $what);
                        }
                    }
                }
                $( $( section!(@required reader, node, entries, $crate::read::written(stringify!($field)), $what, $required); )? )*
                Some(section)
            }

            fn schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                generator.subschema_for::<$name>()
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn schema_id() -> std::borrow::Cow<'static, str> {
                concat!(module_path!(), "::", stringify!($name)).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let required: [Option<&str>; _] =
                    [$( section!(@note $crate::read::written(stringify!($field)) $(, $required)?) ),*];
                let properties = vec![$( (
                    $crate::read::written(stringify!($field)),
                    <$kind as $crate::read::Kind>::schema(generator),
                    $crate::read::description(&[$($field_doc),*]),
                ), )*];
                $crate::read::object(&$crate::read::description(&[$($doc),*]), properties, required.into_iter().flatten().collect())
            }
        }
    };
}
pub(crate) use section;

/// The schema of a section.
pub(crate) fn object(about: &str, properties: Vec<(&str, Schema, String)>, required: Vec<&str>) -> Schema {
    let properties: serde_json::Map<String, serde_json::Value> = properties
        .into_iter()
        .map(|(key, mut schema, about)| {
            schema.insert("description".to_owned(), about.into());
            (key.to_owned(), schema.to_value())
        })
        .collect();
    let mut schema = json_schema!({
        "type": "object",
        "description": about,
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema.insert("required".to_owned(), required.into());
    }
    schema
}

/// Declares a word of a list.
macro_rules! choice {
    ($(#[doc = $doc:literal])* $name:ident = $what:literal { $( $word:literal => $value:expr, )* } -> $out:ty) => {
        $(#[doc = $doc])*
        pub(crate) struct $name;

        impl $crate::read::Kind for $name {
            type Out = $out;

            fn read(node: &$crate::tree::Node, reader: &mut $crate::read::Reader<'_>) -> Option<$out> {
                match $crate::read::word(node, reader, $what, &[$($word),*])? {
                    $( $word => Some($value), )*
                    _ => None,
                }
            }

            fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "enum": [$($word),*] })
            }
        }
    };
}
pub(crate) use choice;

/// The text of a node where it is one of the words.
pub(crate) fn word<'n>(node: &'n Node, reader: &mut Reader<'_>, what: &str, known: &[&str]) -> Option<&'n str> {
    let Value::Text(word) = &node.value else {
        reader.wrong_kind(node, what);
        return None;
    };
    if known.contains(&word.as_str()) {
        return Some(word);
    }
    let message = format!("`{word}` is not {what}");
    let help = did_you_mean(word, known);
    reader.report(Finding::new(Code::UnknownWord, node.span, message).help_maybe(help));
    None
}

/// Any text.
pub(crate) struct Text;

impl Text {
    const EXPECTED: &'static str = "text";
}

impl Kind for Text {
    type Out = String;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
        if let Value::Text(text) = &node.value {
            return Some(text.clone());
        }
        reader.wrong_kind(node, Text::EXPECTED);
        None
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// `true` or `false`.
pub(crate) struct Flag;

impl Kind for Flag {
    type Out = bool;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<bool> {
        if let Value::Bool(flag) = node.value {
            return Some(flag);
        }
        reader.wrong_kind(node, "true or false");
        None
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "boolean" })
    }
}

/// Any value, as JSON.
pub(crate) struct Json;

impl Kind for Json {
    type Out = serde_json::Value;

    fn read(node: &Node, _: &mut Reader<'_>) -> Option<serde_json::Value> {
        Some(node.value.to_json())
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({})
    }
}

/// A list; the items that were accepted.
pub(crate) struct List<K>(K);

impl<K: Kind> Kind for List<K> {
    type Out = Vec<At<K::Out>>;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self::Out> {
        if let Value::List(items) = &node.value {
            return Some(items.iter().filter_map(|item| reader.field::<K>(item)).collect());
        }
        reader.wrong_kind(node, "a list");
        None
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": K::schema(generator) })
    }
}

/// A map from names to one kind of value.
pub(crate) struct Named<K>(K);

/// A named thing; its value is absent where it was refused, so that references to the name still hold.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    pub(crate) name: At<String>,
    pub(crate) value: Option<At<T>>,
}

impl<K: Kind> Kind for Named<K> {
    type Out = Vec<Entry<K::Out>>;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self::Out> {
        let entries = reader.entries(node, "a map of names")?;
        let named =
            entries.iter().map(|(name, value)| Entry { name: name.clone(), value: reader.field::<K>(value) }).collect();
        Some(named)
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": K::schema(generator) })
    }
}
