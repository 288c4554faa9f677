//! The answers to the rows of a batch, put together.

use mainstay_core::plan::Answer;
use serde_json::{Value, json};

/// Outputs become tensors with a row each, bodies a list; `None` where the rows' answers do not fit together.
pub(super) fn together(answers: Vec<Answer>) -> Option<Answer> {
    match answers.first()? {
        Answer::Outputs(first) => {
            let count = first.len();
            let rows: Vec<&Vec<Value>> = answers
                .iter()
                .map(|answer| match answer {
                    Answer::Outputs(outputs) if outputs.len() == count => Some(outputs),
                    Answer::Outputs(_) | Answer::Text(_) | Answer::Body(_) => None,
                })
                .collect::<Option<_>>()?;
            (0..count).map(|at| output(&rows, at)).collect::<Option<_>>().map(Answer::Outputs)
        }
        Answer::Body(_) => answers
            .into_iter()
            .map(|answer| match answer {
                Answer::Body(body) => Some(body),
                Answer::Outputs(_) | Answer::Text(_) => None,
            })
            .collect::<Option<Vec<Value>>>()
            .map(|bodies| Answer::Body(Value::Array(bodies))),
        Answer::Text(_) => {
            let mut answers = answers;
            (answers.len() == 1).then(|| answers.remove(0))
        }
    }
}

/// The output at a place, of all rows: `{name, value}` of one name, all scalars or all lists of one length.
fn output(rows: &[&Vec<Value>], at: usize) -> Option<Value> {
    let name = rows.first()?[at].get("name")?;
    let values: Vec<&Value> = rows
        .iter()
        .map(|row| row[at].get("value").filter(|_| row[at].get("name") == Some(name)))
        .collect::<Option<_>>()?;
    let width = values.first()?.as_array().map(Vec::len);
    if values.iter().any(|value| value.as_array().map(Vec::len) != width) {
        return None;
    }
    let shape = [values.len()].into_iter().chain(width).collect::<Vec<_>>();
    let data: Vec<Value> = match width {
        Some(_) => values.into_iter().filter_map(Value::as_array).flatten().cloned().collect(),
        None => values.into_iter().cloned().collect(),
    };
    tensor(name.clone(), &shape, data, rows.first()?[at].get("datatype").and_then(Value::as_str))
}

/// A full tensor; without a datatype, the one that all of its data have.
pub(super) fn tensor(name: Value, shape: &[usize], data: Vec<Value>, datatype: Option<&str>) -> Option<Value> {
    let datatype = match datatype {
        Some(datatype) => datatype,
        None => crate::protocol::datatype(&data)?,
    };
    Some(full(name, shape, Value::Array(data), datatype))
}

/// A full tensor of these data, which are taken and not copied.
pub(super) fn full(name: Value, shape: &[usize], data: Value, datatype: &str) -> Value {
    let mut tensor = json!({ "shape": shape, "datatype": datatype });
    tensor["name"] = name;
    tensor["data"] = data;
    tensor
}
