//! What is watched of requests and answers, and how labels find their predictions.

use mainstay_core::plan::ValueKind;

use crate::read::{Flag, Named, Text, choice, section};
use crate::values::{Dur, File, Pointer, Rate, Ratio, Whole};

section! {
    /// What monitors watch, and how they are compared with what was.
    Drift = "`drift`" {
        /// When a window ends: with so many values, or when it is so old.
        window: DriftWindow,
        /// How often all alarms together may be false, on average. Default: once in 30d.
        false_alarm_every: Dur,
        /// Most requests of a route that monitors look at, on average; the rest is left out at random. Default: 200/s.
        rate: Rate,
        /// The watched values, by name.
        names (required): Named<Monitor>,
    }
}

section! {
    /// When a window ends.
    DriftWindow = "`window`" {
        /// With so many values. Default: 10000.
        values: Whole<100, 100_000_000>,
        /// When it is so old. Default: 1h.
        time: Dur,
    }
}

section! {
    /// A watched value. It is found by exactly one of `request`, `answer`, `feature` and `of`.
    Monitor = "a watched value" {
        /// The route.
        route (required): Text,
        /// JSON pointer into the request.
        request: Pointer,
        /// JSON pointer into the answer.
        answer: Pointer,
        /// A feature that the route looks up, by its reference.
        feature: Text,
        /// The route's `prediction` or `confidence`.
        of: Told,
        /// What kind of value it is: number, category or embedding. Default: number.
        kind: KindOfValue,
        /// A file made by `mainstay drift baseline`. Default: learned from traffic, or put by the API.
        reference: File,
        /// Values that a reference is learned from. Default: 10000.
        learn: Whole<1_000, 10_000_000>,
        /// Compare each hour of the week with itself. Default: false.
        hour_of_week: Flag,
    }
}

choice! {
    /// What an answer tells.
    Told = "what an answer tells" {
        "prediction" => Tells::Prediction,
        "confidence" => Tells::Confidence,
    } -> Tells
}

/// What an answer tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tells {
    Prediction,
    Confidence,
}

choice! {
    /// Kinds of watched values.
    KindOfValue = "a kind of value" {
        "number" => ValueKind::Number,
        "category" => ValueKind::Category,
        "embedding" => ValueKind::Embedding,
    } -> ValueKind
}

section! {
    /// How labels find the predictions that they are about.
    Labels = "`labels`" {
        /// The share of predictions that are remembered for labels, chosen by their id. Default: 100%.
        share: Ratio,
        /// How long a label waits for its prediction. Predictions rest as long as `retention.items` says. Default: 7d.
        keep: Dur,
        /// Which of several labels of a request holds: last or first. Default: last.
        duplicates: Duplicates,
    }
}

choice! {
    /// Which of several labels holds.
    Duplicates = "which label holds" {
        "last" => false,
        "first" => true,
    } -> bool
}
