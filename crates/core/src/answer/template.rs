//! Local answers, and answers with places that are filled from a row.
//!
//! In `outputs` and `body` a place is an object with the one key `column`: `{ column: score }`. In `text` it is a name
//! in braces: `{label}`; `{{` and `}}` are braces.

use serde_json::Value;

/// A local answer, rendered by the route's protocol.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// Open Inference Protocol outputs: `{name, value}` or full tensors.
    Outputs(Vec<Value>),
    /// The assistant's text.
    Text(String),
    /// A JSON body as it is.
    Body(Value),
}

/// An answer with places.
///
/// ```
/// use mainstay_core::answer::template::{Answer, Template};
/// use serde_json::json;
///
/// let template = Template::new(Answer::Body(json!({ "risk": { "column": "score" } })));
/// let row = |name: &str| (name == "score").then(|| json!(0.7));
/// assert_eq!(template.fill(&row), Ok(Answer::Body(json!({ "risk": 0.7 }))));
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Template {
    answer: Answer,
    columns: Vec<String>,
}

/// A place for which the row has no value.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there is no value for `{0}`")]
pub struct NoValue(pub String);

impl Template {
    /// The answer with its places.
    pub fn new(answer: Answer) -> Template {
        let mut columns = Vec::new();
        match &answer {
            Answer::Outputs(outputs) => outputs.iter().for_each(|output| find_places(output, &mut columns)),
            Answer::Body(body) => find_places(body, &mut columns),
            Answer::Text(text) => {
                for piece in pieces(text) {
                    if let Piece::Place(name) = piece {
                        columns.push(name.to_owned());
                    }
                }
            }
        }
        Template { answer, columns }
    }

    /// The answer as it was written.
    pub const fn written(&self) -> &Answer {
        &self.answer
    }

    /// The names of its places, in the order in which they are written.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The answer with each place filled by `value_of` its name.
    pub fn fill(&self, value_of: &dyn Fn(&str) -> Option<Value>) -> Result<Answer, NoValue> {
        match &self.answer {
            Answer::Outputs(outputs) => {
                outputs.iter().map(|output| filled(output, value_of)).collect::<Result<_, _>>().map(Answer::Outputs)
            }
            Answer::Body(body) => filled(body, value_of).map(Answer::Body),
            Answer::Text(text) => filled_text(text, value_of).map(Answer::Text),
        }
    }
}

/// The name of the place that `value` is.
pub fn place(value: &Value) -> Option<&str> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    object.get("column")?.as_str()
}

fn find_places(value: &Value, found: &mut Vec<String>) {
    if let Some(name) = place(value) {
        found.push(name.to_owned());
        return;
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| find_places(item, found)),
        Value::Object(members) => members.values().for_each(|member| find_places(member, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn filled(value: &Value, value_of: &dyn Fn(&str) -> Option<Value>) -> Result<Value, NoValue> {
    if let Some(name) = place(value) {
        return value_of(name).ok_or_else(|| NoValue(name.to_owned()));
    }
    Ok(match value {
        Value::Array(items) => items.iter().map(|item| filled(item, value_of)).collect::<Result<_, _>>()?,
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(key, member)| Ok((key.clone(), filled(member, value_of)?)))
                .collect::<Result<_, NoValue>>()?,
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    })
}

fn filled_text(text: &str, value_of: &dyn Fn(&str) -> Option<Value>) -> Result<String, NoValue> {
    let mut out = String::with_capacity(text.len() + 32);
    for piece in pieces(text) {
        match piece {
            Piece::Plain(plain) => out.push_str(plain),
            Piece::Place(name) => match value_of(name).ok_or_else(|| NoValue(name.to_owned()))? {
                Value::String(value) => out.push_str(&value),
                value @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                    out.push_str(&value.to_string());
                }
            },
        }
    }
    Ok(out)
}

enum Piece<'a> {
    Plain(&'a str),
    Place(&'a str),
}

/// Text and places in turn. Braces around anything but a name are text.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        pieces.push(Piece::Plain(before));
        let (piece, length) = if from.starts_with("{{") || from.starts_with("}}") {
            (Piece::Plain(&from[..1]), 2)
        } else if let Some(name) = named(from) {
            (Piece::Place(name), name.len() + 2)
        } else {
            (Piece::Plain(&from[..1]), 1)
        };
        pieces.push(piece);
        rest = &from[length..];
    }
    pieces.push(Piece::Plain(rest));
    pieces
}

/// The name between the brace that `text` begins with and the next one.
fn named(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('{')?;
    let name = &inner[..inner.find('}')?];
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    (!name.is_empty() && name.chars().all(plain)).then_some(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn places_are_filled_and_braces_are_kept() {
        let template = Template::new(Answer::Text("{{a}} {label}: {n}, {not a place} {".into()));
        assert_eq!(template.columns(), ["label", "n"]);
        let row = |name: &str| match name {
            "label" => Some(json!("refund")),
            "n" => Some(json!(3)),
            _ => None,
        };
        assert_eq!(template.fill(&row), Ok(Answer::Text("{a} refund: 3, {not a place} {".into())));
        let missing = Template::new(Answer::Outputs(vec![json!({ "name": "p", "value": { "column": "x" } })]));
        assert_eq!(missing.fill(&row), Err(NoValue("x".into())));
    }
}
