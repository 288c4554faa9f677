//! The CEL interpreter, over the facts that a program mentions.

use std::collections::BTreeMap;

use cel::common::types::{CelBool, CelString};
use cel::objects::{Key, Map};
use cel::{Context, IdedExpr, Value as CelValue};
use serde_json::Value;

use super::check::{Mask, Mentions};
use super::native::Number;
use super::{EvalError, Facts, MAX_NODES, MAX_TEXT_BYTES, names, parse};

/// Whether a tree holds for a request.
pub(super) fn evaluate(tree: &IdedExpr, mentions: &Mentions, facts: &dyn Facts) -> Result<bool, EvalError> {
    let context = context(mentions, facts)?;
    match CelValue::resolve(tree, &context) {
        Ok(CelValue::Bool(holds)) => Ok(holds),
        Ok(_) => Err(EvalError::NotBoolean),
        Err(error) => Err(EvalError::Failed(brief(&error))),
    }
}

/// An error may quote the request: what it says is cut, and keys are all it names.
fn brief(error: &cel::ExecutionError) -> String {
    match error {
        cel::ExecutionError::NoSuchKey(key) => format!("no such key: {}", key.chars().take(64).collect::<String>()),
        cel::ExecutionError::NoSuchOverload(overload) => {
            format!("`{}` does not take {}", overload.function(), overload.argument_types().join(" and "))
        }
        cel::ExecutionError::UndeclaredReference(name) => format!("unknown name `{name}`"),
        cel::ExecutionError::DivisionByZero(_) | cel::ExecutionError::RemainderByZero(_) => {
            "division by zero".to_owned()
        }
        cel::ExecutionError::Overflow(..) => "a number overflows".to_owned(),
        cel::ExecutionError::IndexOutOfBounds(_) => "an index is out of bounds".to_owned(),
        _ => "a value is not of the type that the expression needs".to_owned(),
    }
}

fn context<'a>(mentions: &Mentions, facts: &'a dyn Facts) -> Result<Context<'a, 'a>, EvalError> {
    let mut context = Context::with_env(parse::LANGUAGE.clone());
    let mut budget = Budget { nodes: MAX_NODES, text: MAX_TEXT_BYTES };
    for name in &mentions.headers {
        let value = CelString::from(facts.header(name).unwrap_or(""));
        context.add_variable_as_val(format!("{}{name}", names::HEADER), Box::new(value));
    }
    for name in &mentions.features {
        let value = facts.feature(name).filter(|value| !value.is_null());
        context.add_variable_as_val(format!("{}{name}", names::HAS_FEATURE), Box::new(CelBool::from(value.is_some())));
        let value = budget.whole(value.as_ref().unwrap_or(&Value::Null))?;
        context.add_variable_from_value(format!("{}{name}", names::FEATURE), value);
    }
    if mentions.route {
        context.add_variable_as_val("route", Box::new(CelString::from(facts.route())));
    }
    if mentions.client {
        context.add_variable_as_val("client", Box::new(CelString::from(facts.client())));
    }
    if mentions.all_headers {
        context.add_variable_from_value("headers", headers(facts));
    }
    if mentions.all_features {
        let mut features = BTreeMap::new();
        for (name, value) in facts.features() {
            features.insert(name, budget.whole(&value)?);
        }
        context.add_variable_from_value("features", map(features));
    }
    if let Some(mask) = &mentions.request {
        let request = budget.masked(facts.request().unwrap_or(&Value::Null), mask)?;
        context.add_variable_from_value("request", request);
    }
    if let Some(mask) = &mentions.answer {
        let answer = budget.masked(facts.answer().unwrap_or(&Value::Null), mask)?;
        context.add_variable_from_value("answer", answer);
    }
    Ok(context)
}

/// Of a header that occurs more than once the first value counts, as with `header`.
fn headers(facts: &dyn Facts) -> CelValue {
    let mut all = BTreeMap::new();
    for (name, value) in facts.headers() {
        all.entry(name).or_insert_with(|| CelValue::from(value));
    }
    map(all)
}

fn map(entries: BTreeMap<String, CelValue>) -> CelValue {
    CelValue::Map(Map { map: std::sync::Arc::new(entries.into_iter().map(|(k, v)| (Key::from(k), v)).collect()) })
}

/// How much of the facts may still be handed over.
struct Budget {
    nodes: usize,
    text: usize,
}

impl Budget {
    /// One more value, with so many bytes of text.
    fn spend(&mut self, text: usize) -> Result<(), EvalError> {
        self.nodes = self.nodes.checked_sub(1).ok_or(EvalError::TooLarge)?;
        self.text = self.text.checked_sub(text).ok_or(EvalError::TooLarge)?;
        Ok(())
    }

    /// The parts of a value that a mask lets through.
    fn masked(&mut self, value: &Value, mask: &Mask) -> Result<CelValue, EvalError> {
        let (false, Value::Object(object)) = (mask.whole, value) else { return self.whole(value) };
        self.spend(0)?;
        let mut kept = BTreeMap::new();
        for (name, mask) in &mask.fields {
            if let Some(value) = object.get(name) {
                kept.insert(name.clone(), self.masked(value, mask)?);
            }
        }
        Ok(map(kept))
    }

    fn whole(&mut self, value: &Value) -> Result<CelValue, EvalError> {
        self.spend(value.as_str().map_or(0, str::len))?;
        Ok(match value {
            Value::Null => CelValue::Null,
            Value::Bool(holds) => CelValue::Bool(*holds),
            Value::Number(number) => match Number::read(number) {
                Some(Number::Int(int)) => CelValue::Int(int),
                Some(Number::Uint(uint)) => CelValue::UInt(uint),
                Some(Number::Double(double)) => CelValue::Float(double),
                None => CelValue::Null,
            },
            Value::String(text) => CelValue::from(text.as_str()),
            Value::Array(items) => {
                CelValue::from(items.iter().map(|item| self.whole(item)).collect::<Result<Vec<_>, _>>()?)
            }
            Value::Object(object) => {
                let mut entries = BTreeMap::new();
                for (name, value) in object {
                    entries.insert(name.clone(), self.whole(value)?);
                }
                map(entries)
            }
        })
    }
}
