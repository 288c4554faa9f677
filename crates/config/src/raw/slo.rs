//! Service level objectives.

pub(crate) mod budgeting;
pub(crate) mod window;

use mainstay_core::slo::objective::{Direction, LatencyOf};
use schemars::{Schema, SchemaGenerator, json_schema};

use self::budgeting::Budgeting;
use self::window::Window;
use crate::read::{Flag, Kind, Named, Reader, Text, choice, section};
use crate::tree::{Node, Value};
use crate::values::{Cel, ClassNumber, Dur, LevelNumber, Ratio, Real, Share, Url, Wait};

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
        window: Window,
        /// An answer below this confidence is bad. Default: 0.
        min_confidence: Share,
        /// Whether an answer that reports no confidence is bad. Default: false.
        confidence_required: Flag,
        /// The deepest level that counts as good. Default: 2.
        good_levels: LevelNumber,
        /// Where good and bad are counted, if not by mainstay. Default: mainstay's own requests.
        source: Source,
        /// The objective's name. Default: the service, `_availability`.
        name: Text,
        /// One sentence for people.
        description: Text,
        /// Only this route.
        route: Text,
        /// Only this class.
        class: ClassNumber,
        /// Only this model.
        model: Text,
        /// Only requests for which this CEL expression holds.
        filter: Cel,
        /// How the budget is counted: occurrences, timeslices or ratio_timeslices. Default: occurrences.
        budgeting: Budgeting,
        /// The policy that applies when the budget runs out, one of `policies`.
        policy: Text,
    }
}

section! {
    /// Events that a Prometheus counts.
    Source = "`source`" {
        /// Its base URL.
        prometheus (required): Url,
        /// The expression that counts good events; `$window` in it stands for the stretch of time.
        good: Text,
        /// The expression that counts bad events. Exactly one of `good` and `bad`.
        bad: Text,
        /// The expression that counts all events.
        total (required): Text,
        /// How often it is asked. Default: 1m.
        every: Dur,
    }
}

section! {
    /// Answers come in time: percentiles, each an objective of its own, or one limit with its target.
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
        /// As many as `target` says come within.
        within: Dur,
        /// On LLM routes, as many as `target` says begin within this time, until the first token.
        ttft: Dur,
        /// On LLM routes, as many as `target` says take at most this long for each further token.
        tpot: Dur,
        /// The share of answers in time, where no percentile says it, such as 99.5%.
        target: Ratio,
        /// The time over which it is judged. Default: 7d.
        window: Window,
        /// What percentiles and `within` time: end_to_end, inference_only, first_token or per_token. Default: end_to_end.
        of: LatencyWord,
        /// Where answers in time are counted, if not by mainstay; `target` says how many there must be.
        source: Source,
        /// The objective's name. Default: the service, `_latency_` and the percentile.
        name: Text,
        /// One sentence for people.
        description: Text,
        /// Only this route.
        route: Text,
        /// Only this class.
        class: ClassNumber,
        /// Only this model.
        model: Text,
        /// Only requests for which this CEL expression holds.
        filter: Cel,
        /// How the budget is counted: occurrences, timeslices or ratio_timeslices. Default: occurrences.
        budgeting: Budgeting,
        /// The policy that applies when the budget runs out, one of `policies`.
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
        /// By how much it may be worse. Default: 5%.
        allowed_degradation: Ratio,
        /// Whether higher or lower values are better. Default: what is known of the metric.
        direction: Better,
        /// The time over which it is judged. Default: 1d.
        window: Window,
        /// How long labels take. Default: 0s.
        label_delay: Wait,
        /// The objective's name. Default: the service, `_quality_` and the metric.
        name: Text,
        /// One sentence for people.
        description: Text,
        /// Only this route.
        route: Text,
        /// Only this class.
        class: ClassNumber,
        /// Only this model.
        model: Text,
        /// Only requests for which this CEL expression holds.
        filter: Cel,
        /// The policy that applies when the budget runs out, one of `policies`.
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
        /// Oldest features of some views, by view: each an objective of its own.
        views: Named<Dur>,
        /// Longest wait of a request that is held for a person, in all queues.
        reviews: Dur,
        /// Longest wait in some queues, by queue: each an objective of its own.
        queues: Named<Dur>,
        /// The share of requests whose features may be older, and of time in which somebody may wait longer. Default: 1%.
        allowed_stale: Ratio,
        /// The time over which it is judged. Default: 1d for models and reviews, 1h for features.
        window: Window,
        /// The objective's name. Default: the service, `_model_freshness`, `_feature_freshness` or `_review_age`.
        name: Text,
        /// One sentence for people.
        description: Text,
        /// Only this route.
        route: Text,
        /// The policy that applies when the budget runs out, one of `policies`.
        policy: Text,
    }
}

section! {
    /// Answers do no harm.
    Safety = "`safety`" {
        /// Highest rate of confirmed events, 0 to 1.
        max_rate (required): NamedRate,
        /// The time over which it is judged. Default: 1h.
        window: Window,
        /// The objective's name. Default: the service, `_safety`.
        name: Text,
        /// One sentence for people.
        description: Text,
        /// Only this route.
        route: Text,
        /// Only this class.
        class: ClassNumber,
        /// Only this model.
        model: Text,
        /// Only requests for which this CEL expression holds.
        filter: Cel,
        /// The policy that applies when the budget runs out, one of `policies`.
        policy: Text,
    }
}

choice! {
    /// What a latency is of.
    LatencyWord = "what a latency is of" {
        "end_to_end" => LatencyOf::EndToEnd,
        "inference_only" => LatencyOf::InferenceOnly,
        "first_token" => LatencyOf::FirstToken,
        "per_token" => LatencyOf::PerToken,
    } -> LatencyOf
}

choice! {
    /// Which values of a metric are better.
    Better = "which values are better" {
        "higher" => Direction::HigherIsBetter,
        "lower" => Direction::LowerIsBetter,
    } -> Direction
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
