//! How a budget is counted.

use mainstay_core::slo::objective::EmptySlice;
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::code::Code;
use crate::finding::Finding;
use crate::read::{Kind, Reader, choice, section};
use crate::suggest::did_you_mean;
use crate::tree::{Node, Value};
use crate::values::{Dur, Ratio, Whole};

/// How a budget is counted.
pub(crate) struct Budgeting;

/// What is written under `budgeting`.
#[derive(Debug)]
pub(crate) enum BudgetingWord {
    /// Every event counts the same.
    Occurrences,
    /// Every slice of time counts the same: good or bad.
    Timeslices(Timeslices),
    /// Every slice of time counts the same: by its ratio.
    RatioTimeslices(RatioTimeslices),
}

const WORDS: [&str; 3] = ["occurrences", "timeslices", "ratio_timeslices"];

impl Kind for Budgeting {
    type Out = BudgetingWord;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<BudgetingWord> {
        match &node.value {
            Value::Text(word) => match word.as_str() {
                "occurrences" => Some(BudgetingWord::Occurrences),
                "timeslices" => Some(BudgetingWord::Timeslices(Timeslices::default())),
                "ratio_timeslices" => Some(BudgetingWord::RatioTimeslices(RatioTimeslices::default())),
                other => {
                    let message = format!("`{other}` is not a way to count a budget");
                    let help = did_you_mean(other, &WORDS);
                    reader.report(Finding::new(Code::UnknownWord, node.span, message).help_maybe(help));
                    None
                }
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
                let written = Slices::read(node, reader)?;
                let given = written.given.len();
                match (written.timeslices, written.ratio_timeslices) {
                    (Some(slices), None) => Some(BudgetingWord::Timeslices(slices.value)),
                    (None, Some(slices)) => Some(BudgetingWord::RatioTimeslices(slices.value)),
                    (Some(_), Some(_)) | (None, None) => {
                        if given != 1 {
                            let message = "a budget is counted by exactly one of timeslices, ratio_timeslices";
                            reader.report(Finding::new(Code::ExactlyOne, node.span, message));
                        }
                        None
                    }
                }
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "enum": WORDS }, Slices::schema(generator)] })
    }
}

section! {
    /// Time slices, with their details.
    Slices = "`budgeting`" {
        /// A slice is good or bad; the share of good ones is judged.
        timeslices: Timeslices,
        /// Each slice counts by its own share of good events.
        ratio_timeslices: RatioTimeslices,
    }
}

section! {
    /// A slice is good or bad.
    Timeslices = "`timeslices`" {
        /// How long a slice is. Default: 1m.
        window: Dur,
        /// The share of good events from which a slice is good. Default: the objective's target.
        target: Ratio,
        /// What a slice with fewer events than `min_events` is: ignore, good or bad. Default: ignore.
        empty: Empty,
        /// Fewest events of a slice that is judged. Default: 1.
        min_events: Whole<1, 1_000_000>,
    }
}

section! {
    /// Each slice counts by its own share of good events.
    RatioTimeslices = "`ratio_timeslices`" {
        /// How long a slice is. Default: 1m.
        window: Dur,
    }
}

choice! {
    /// What a slice without events is.
    Empty = "what a slice without events is" {
        "ignore" => EmptySlice::Ignored,
        "good" => EmptySlice::Good,
        "bad" => EmptySlice::Bad,
    } -> EmptySlice
}
