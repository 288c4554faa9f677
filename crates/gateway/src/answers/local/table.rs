//! `table`: the row of a key, as an answer.

use mainstay_core::answer::rank::time;
use mainstay_core::answer::template::place;
use mainstay_core::plan::{Answer, Table};
use mainstay_core::route::Protocol;
use serde_json::{Value, json};

use super::places::{self, Several};
use super::{Asked, Found, Miss, fill, version};
use crate::answers::files::{Content, DataFile};
use crate::answers::table::{Row, Rows};
use crate::json::Pointer;

pub(super) fn answer(table: &Table, file: &DataFile, pointer: &Pointer, asked: &Asked<'_>) -> Result<Found, Miss> {
    let keys = places::keys(asked, pointer)?;
    let version = version(file, Some(table.max_age), asked.now)?;
    let Content::Rows(rows) = &version.content else { return Err(Miss::Failed("file_not_usable")) };
    let one = |key: &str| {
        let row = rows.get(key).ok_or(Miss::Failed("key_not_found"))?;
        check_age(table, &row, asked)?;
        of_row(table, rows, &row, asked.protocol)
    };
    match keys {
        Several::One(key) => one(&key).map(Found::One),
        Several::List(keys) => keys.iter().map(|key| one(key)).collect::<Result<_, _>>().map(Found::Rows),
    }
}

/// A row that says when it was computed may be too old in a file that is not.
fn check_age(table: &Table, row: &Row<'_>, asked: &Asked<'_>) -> Result<(), Miss> {
    let Some(updated) = &table.updated else { return Ok(()) };
    let computed = row.get(updated).and_then(time).ok_or(Miss::Failed("value_missing"))?;
    let is_young = asked.now.as_secs_f64() - computed <= table.max_age.as_secs_f64();
    if is_young { Ok(()) } else { Err(Miss::Failed("row_too_old")) }
}

fn of_row(table: &Table, rows: &Rows, row: &Row<'_>, protocol: Protocol) -> Result<Answer, Miss> {
    if let Some(template) = &table.respond {
        let mut answer = fill(template, &|column| row.get(column).cloned())?;
        if let (Answer::Outputs(outputs), Answer::Outputs(written)) = (&mut answer, template.written()) {
            outputs.iter_mut().zip(written).for_each(|(output, written)| add_datatype(output, written, rows));
        }
        return Ok(answer);
    }
    let mut others = row.others();
    if let Some(updated) = &table.updated {
        others.remove(updated);
    }
    if others.is_empty() {
        return Err(Miss::Failed("value_missing"));
    }
    Ok(match protocol {
        Protocol::OpenInference => {
            Answer::Outputs(others.into_iter().map(|(name, value)| output(rows, &name, &value)).collect())
        }
        Protocol::OpenInferenceGrpc | Protocol::Openai | Protocol::Anthropic | Protocol::Http => {
            Answer::Body(Value::Object(others))
        }
    })
}

/// The whole column decides the datatype, so that a score of 1 is a real number among 0.5 and 0.7.
fn add_datatype(output: &mut Value, written: &Value, rows: &Rows) {
    let column = written.get("value").and_then(place).filter(|_| written.get("datatype").is_none());
    if let (Some(datatype), Some(output)) = (column.and_then(|column| rows.datatype(column)), output.as_object_mut()) {
        output.insert("datatype".to_owned(), datatype.into());
    }
}

fn output(rows: &Rows, name: &str, value: &Value) -> Value {
    match rows.datatype(name) {
        Some(datatype) => json!({ "name": name, "value": value, "datatype": datatype }),
        None => json!({ "name": name, "value": value }),
    }
}
