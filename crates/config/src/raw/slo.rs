//! Service level objectives.

use crate::read::{Flag, Kind, Reader, Text, choice, section};
use crate::tree::{Node, Value};
use crate::values::{Cel, ClassNumber, Dur, LevelNumber, Ratio, Real, Share, Wait};
use schemars::{Schema, SchemaGenerator, json_schema};

section! {
    /// An objective: exactly one of these.
    Slo = "an objective" {
        /// Requests are answered, well enough.
        availability: Availability,
        /// Answers come in time.
        latency: LatencyObjective,
        /// Predictions are right.
        quality: Quality,
        /// Models and features are recent.
        freshness: Freshness,
        /// Answers do no harm.
        safety: Safety,
    }
}

section! {
    /// Requests are answered, well enough.
    Availability = "`availability`" {
        /// The share of good requests, such as 99.9%.
        target (required): Ratio,
        /// The time over which it is judged. Default: 30d.
        window: Dur,
        /// An answer below this confidence is bad. Default: 0.
        min_confidence: Share,
        /// Whether an answer that reports no confidence is bad. Default: false.
        confidence_required: Flag,
        /// The deepest level that counts as good. Default: 2.
        good_levels: LevelNumber,
        /// The objective's name. Default: the service and the kind.
        name: Text,
        /// Only this route.
        route: Text,
        /// Only this class.
        class: ClassNumber,
        /// Only this model.
        model: Text,
        /// Only requests for which this CEL expression holds.
        filter: Cel,
        /// How the budget is counted: occurrences or timeslices. Default: occurrences.
        budgeting: Budgeting,
        /// The policy that applies when the budget runs out.
        policy: Text,
    }
}

section! {
    /// Answers come in time.
    LatencyObjective = "`latency`" {
        /// Half of the answers come within.
        p50: Dur,
        /// 90 % come within.
        p90: Dur,
        /// 95 % come within.
        p95: Dur,
        /// 99 % come within.
        p99: Dur,
        /// 99.9 % come within.
        p999: Dur,
        /// The time over which it is judged. Default: 7d.
        window: Dur,
        /// What is timed: end_to_end or inference_only. Default: end_to_end.
        of: LatencyOf,
        /// The objective's name. Default: the service and the kind.
        name: Text,
        /// Only this route.
        route: Text,
        /// Only this class.
        class: ClassNumber,
        /// Only this model.
        model: Text,
        /// Only requests for which this CEL expression holds.
        filter: Cel,
        /// How the budget is counted: occurrences or timeslices. Default: occurrences.
        budgeting: Budgeting,
        /// The policy that applies when the budget runs out.
        policy: Text,
    }
}

section! {
    /// Predictions are right.
    Quality = "`quality`" {
        /// The metric, such as precision.
        metric (required): Text,
        /// What the metric was when the model was accepted.
        baseline (required): Real,
        /// By how much it may be worse, such as 5%.
        allowed_degradation (required): Ratio,
        /// The time over which it is judged. Default: 1d.
        window: Dur,
        /// How long labels take. Default: 0s.
        label_delay: Wait,
        /// The objective's name. Default: the service and the kind.
        name: Text,
        /// Only this route.
        route: Text,
        /// Only this class.
        class: ClassNumber,
        /// Only this model.
        model: Text,
        /// Only requests for which this CEL expression holds.
        filter: Cel,
        /// The policy that applies when the budget runs out.
        policy: Text,
    }
}

section! {
    /// Models and features are recent.
    Freshness = "`freshness`" {
        /// Oldest model.
        model: Dur,
        /// Oldest features.
        features: Dur,
        /// The objective's name. Default: the service and the kind.
        name: Text,
        /// Only this route.
        route: Text,
        /// The policy that applies when the budget runs out.
        policy: Text,
    }
}

section! {
    /// Answers do no harm.
    Safety = "`safety`" {
        /// Highest rate of confirmed events, 0 to 1.
        max_rate (required): NamedRate,
        /// The time over which it is judged. Default: 1h.
        window: Dur,
        /// The objective's name. Default: the service and the kind.
        name: Text,
        /// Only this route.
        route: Text,
        /// Only this class.
        class: ClassNumber,
        /// Only this model.
        model: Text,
        /// Only requests for which this CEL expression holds.
        filter: Cel,
        /// The policy that applies when the budget runs out.
        policy: Text,
    }
}

choice! {
    /// How a budget is counted.
    Budgeting = "a way to count a budget" { "occurrences" => (), "timeslices" => (), } -> ()
}

choice! {
    /// What a latency is of.
    LatencyOf = "what a latency is of" { "end_to_end" => (), "inference_only" => (), } -> ()
}

/// A rate whose key says that it is one: a number from 0 to 1, or a percentage.
pub(crate) struct NamedRate;

impl Kind for NamedRate {
    type Out = f64;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<f64> {
        match node.value {
            Value::Text(_) => Ratio::read(node, reader),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
                Share::read(node, reader)
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [Share::schema(generator), Ratio::schema(generator)] })
    }
}
