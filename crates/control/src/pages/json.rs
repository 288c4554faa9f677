//! Reading what the API would answer.

use mainstay_core::event::parse_time;
use maud::{Markup, html};
use serde::Serialize;
use serde_json::{Map, Value};

use super::parts::when;
use crate::review::text::number;

/// An answer of the API, to be shown.
pub(super) fn answer(of: &impl Serialize) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}

/// A text of an object; empty where it is none.
pub(super) fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of[name].as_str().unwrap_or_default()
}

/// A moment of an object, in UTC; nothing where there is none.
pub(super) fn moment(of: &Value, name: &str) -> Markup {
    parse_time(text(of, name)).map_or_else(|| html! {}, when)
}

/// A number of an object, in words.
pub(super) fn figure(of: &Value, name: &str) -> String {
    of[name].as_f64().map_or_else(|| "not known".to_owned(), number)
}

/// The members of an object.
pub(super) fn members(of: &Value) -> impl Iterator<Item = (&String, &Value)> {
    of.as_object().into_iter().flat_map(Map::iter)
}

/// The items of a list.
pub(super) fn items(of: &Value) -> &[Value] {
    of.as_array().map_or(&[], Vec::as_slice)
}
