//! OpenSLO v1alpha as it is written: the version that Sloth reads.

#![expect(non_snake_case, reason = "fields carry the specification's own names")]

use super::wire::{Calendar, Operator};
use crate::read::{Flag, Json, List, Text, choice, section};
use crate::values::{Real, Whole};

section! {
    /// An objective document.
    Slo = "an SLO's `spec`" {
        /// For people.
        description: Text,
        /// Whose it is.
        service (required): Text,
        /// A value to be compared.
        indicator: Indicator,
        /// Over which time.
        timeWindows (required): List<TimeWindow>,
        /// How the budget is counted.
        budgetingMethod (required): BudgetingMethod,
        /// The targets.
        objectives (required): List<Objective>,
    }
}

section! {
    /// A value to be compared.
    Indicator = "`indicator`" {
        /// How it is asked for.
        thresholdMetric (required): Metric,
    }
}

section! {
    /// A stretch of time.
    TimeWindow = "a time window" {
        /// Of what.
        unit (required): Unit,
        /// How many.
        count (required): Whole<1, 1_000>,
        /// Whether it ends now.
        isRolling: Flag,
        /// Where it begins otherwise.
        calendar: Calendar,
    }
}

section! {
    /// A target.
    Objective = "an objective" {
        /// For people.
        displayName: Text,
        /// What a threshold metric is compared with.
        value: Real,
        /// How a threshold metric is compared.
        op: Operator,
        /// From 0 to below 1.
        target (required): Real,
        /// From above 0 to 1.
        timeSliceTarget: Real,
        /// A share of events.
        ratioMetrics: RatioMetrics,
    }
}

section! {
    /// A share of events.
    RatioMetrics = "`ratioMetrics`" {
        /// Whether the metrics only grow, as later versions name it.
        counter: Flag,
        /// Whether the metrics only grow.
        incremental: Flag,
        /// Good events.
        good (required): Metric,
        /// All events.
        total (required): Metric,
    }
}

section! {
    /// How a metric is asked for.
    Metric = "a metric" {
        /// Such as prometheus.
        source (required): Text,
        /// Such as promql.
        queryType (required): Text,
        /// The query.
        query (required): Text,
        /// Anything.
        metadata: Json,
    }
}

choice! {
    /// A unit of time.
    Unit = "a unit of time" {
        "Second" => "s",
        "Minute" => "m",
        "Hour" => "h",
        "Day" => "d",
        "Week" => "w",
        "Month" => "M",
        "Quarter" => "Q",
        "Year" => "Y",
    } -> &'static str
}

choice! {
    /// How a budget is counted.
    BudgetingMethod = "a budgeting method of v1alpha" {
        "Occurrences" => super::wire::Budgeting::Occurrences,
        "Timeslices" => super::wire::Budgeting::Timeslices,
    } -> super::wire::Budgeting
}
