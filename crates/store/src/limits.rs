//! What one call may carry.

use crate::change::{CHANGES_MAX, Change};
use crate::error::StoreError;
use crate::item::{BODY_MAX, DELTAS_MAX, Delta, ITEMS_MAX, Item, NAME_MAX, Sketch, State, Sums};

/// Most events in one delta: sums of millions of them stay exact.
const EVENTS_MAX: u64 = 1 << 40;
/// Most deltas, states or sketches in one call of [`Store::add_sums`](crate::Store::add_sums).
const SUMS_MAX: usize = 200_000;

pub(crate) fn items(items: &[Item]) -> Result<(), StoreError> {
    at_most("the number of items", items.len(), ITEMS_MAX)?;
    items.iter().try_for_each(|item| {
        name("a client", &item.client)?;
        key("an id", &item.id)?;
        name("the id that an item is about", item.about.as_deref().unwrap_or(""))?;
        body("an item", &item.body)?;
        at_most("the number of deltas", item.deltas.len(), DELTAS_MAX)?;
        deltas(&item.deltas)
    })
}

pub(crate) fn sums(sums: &Sums) -> Result<(), StoreError> {
    key("a source", &sums.source)?;
    if i64::try_from(sums.sequence).is_err() {
        return Err(StoreError::Invalid("a source's sequence is at most 2^63 - 1".to_owned()));
    }
    at_most("the number of deltas", sums.deltas.len(), SUMS_MAX)?;
    at_most("the number of states", sums.states.len(), SUMS_MAX)?;
    at_most("the number of sketches", sums.sketches.len(), SUMS_MAX)?;
    deltas(&sums.deltas)?;
    sums.states.iter().try_for_each(state)?;
    sums.sketches.iter().try_for_each(sketch)
}

pub(crate) fn changes(changes: &[Change]) -> Result<(), StoreError> {
    at_most("the number of changes", changes.len(), CHANGES_MAX)?;
    changes.iter().try_for_each(change)
}

fn change(change: &Change) -> Result<(), StoreError> {
    match change {
        Change::Document { kind, id, expect: _, body: text } => {
            key("a document's kind", kind)?;
            key("a document's id", id)?;
            body("a document", text)
        }
        Change::DeleteDocument { kind, id, expect: _ } => {
            key("a document's kind", kind)?;
            key("a document's id", id)
        }
        Change::State(it) => state(it),
        Change::ForgetState(it) => key("a state's key", it),
        Change::Sketch(it) => sketch(it),
        Change::Version(it) => {
            key("a model", &it.model)?;
            key("a version", &it.version)?;
            name("a stage", &it.stage)?;
            name("a digest", &it.digest)?;
            body("a version's lineage", &it.lineage)
        }
        Change::Move(it) => {
            key("a pointer", &it.pointer)?;
            name("an actor", &it.actor)?;
            at_most("a reason", it.reason.len(), BODY_MAX)
        }
        Change::Run(it) => {
            key("a run's id", &it.id)?;
            name("a run's name", &it.name)?;
            name("a run's state", &it.state)?;
            body("a run", &it.body)
        }
        Change::Event(it) => {
            key("an event's kind", &it.kind)?;
            body("an event", &it.body)
        }
        Change::Audit(it) => {
            [&it.actor, &it.source, &it.action, &it.subject]
                .into_iter()
                .try_for_each(|it| name("an audit field", it))?;
            it.before.iter().chain(&it.after).try_for_each(|it| body("an audit entry's side", it))?;
            at_most("a reason", it.reason.len(), BODY_MAX)
        }
        Change::Settle(items) => at_most("the number of items", items.len(), ITEMS_MAX),
    }
}

fn deltas(deltas: &[Delta]) -> Result<(), StoreError> {
    deltas.iter().try_for_each(|delta| {
        key("an objective", &delta.objective)?;
        if delta.good > EVENTS_MAX || delta.bad > EVENTS_MAX {
            let what = format!("a delta of {} counts more than {EVENTS_MAX} events", delta.objective);
            return Err(StoreError::Invalid(what));
        }
        Ok(())
    })
}

fn state(state: &State) -> Result<(), StoreError> {
    key("a state's key", &state.key)?;
    at_most("a state", state.data.len(), BODY_MAX)
}

fn sketch(sketch: &Sketch) -> Result<(), StoreError> {
    key("a sketch's series", &sketch.series)?;
    at_most("a sketch", sketch.data.len(), BODY_MAX)
}

fn key(what: &'static str, text: &str) -> Result<(), StoreError> {
    if text.is_empty() {
        return Err(StoreError::Invalid(format!("{what} must not be empty")));
    }
    name(what, text)
}

/// SQLite's own tools end a text at a NUL.
fn name(what: &'static str, text: &str) -> Result<(), StoreError> {
    at_most(what, text.len(), NAME_MAX)?;
    if text.contains('\0') { Err(StoreError::Invalid(format!("{what} must not contain a NUL"))) } else { Ok(()) }
}

fn body(what: &'static str, json: &str) -> Result<(), StoreError> {
    at_most(what, json.len(), BODY_MAX)?;
    match serde_json::from_str::<&serde_json::value::RawValue>(json) {
        Ok(_) => Ok(()),
        Err(error) => Err(StoreError::Invalid(format!("{what} is not JSON: {error}"))),
    }
}

fn at_most(what: &'static str, is: usize, max: usize) -> Result<(), StoreError> {
    if is > max { Err(StoreError::TooLarge { what, max }) } else { Ok(()) }
}
