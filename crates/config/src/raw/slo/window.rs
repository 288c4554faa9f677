//! Over which time an objective is judged.

use std::time::Duration;

use mainstay_core::slo::window::Period;
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::read::{Kind, Reader, Text, choice, section};
use crate::tree::{Node, Value};
use crate::values::Dur;

/// A duration that ends now, or a part of the calendar.
pub(crate) struct Window;

/// What is written under `window`.
#[derive(Debug)]
pub(crate) enum WindowWord {
    Rolling(Duration),
    Calendar(CalendarWindow),
}

impl Kind for Window {
    type Out = WindowWord;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<WindowWord> {
        match &node.value {
            Value::Map(_) => CalendarWindow::read(node, reader).map(WindowWord::Calendar),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
                Dur::read(node, reader).map(WindowWord::Rolling)
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [Dur::schema(generator), CalendarWindow::schema(generator)] })
    }
}

section! {
    /// A part of the calendar, one after the other.
    CalendarWindow = "a window of the calendar" {
        /// day, week, month, quarter or year.
        calendar (required): PeriodWord,
        /// The IANA zone whose midnights count, such as Europe/Berlin. Default: UTC.
        zone: Text,
    }
}

choice! {
    /// A part of the calendar.
    PeriodWord = "a part of the calendar" {
        "day" => Period::Day,
        "week" => Period::Week,
        "month" => Period::Month,
        "quarter" => Period::Quarter,
        "year" => Period::Year,
    } -> Period
}
