//! OpenSLO v1 as it is written, field by field (<https://github.com/OpenSLO/OpenSLO>, the section "Object Types").
//!
//! Every field of the specification is here, also those that mainstay cannot use: what is known and refused deserves a
//! better answer than "unknown key".

#![expect(non_snake_case, reason = "fields carry the specification's own names")]

use crate::read::{Flag, Json, List, Named, Text, choice, section};
use crate::values::Real;

section! {
    /// A document's name.
    Metadata = "`metadata`" {
        /// At most 63 lower-case letters, digits and `-`.
        name (required): Text,
        /// For people.
        displayName: Text,
        /// Lists of text or texts.
        labels: Json,
        /// Texts by key.
        annotations: Named<Text>,
    }
}

section! {
    /// A service.
    Service = "a Service's `spec`" {
        /// For people.
        description: Text,
    }
}

section! {
    /// Where metrics are.
    DataSource = "a DataSource's `spec`" {
        /// For people.
        description: Text,
        /// Such as Prometheus.
        r#type (required): Text,
        /// How it is reached.
        connectionDetails (required): Json,
    }
}

section! {
    /// An indicator with its name, within an SLO.
    InlineSli = "an indicator" {
        /// Its name.
        metadata (required): Metadata,
        /// What it is.
        spec (required): Sli,
    }
}

section! {
    /// An indicator.
    Sli = "an SLI's `spec`" {
        /// For people.
        description: Text,
        /// A value to be compared.
        thresholdMetric: MetricHolder,
        /// A share of events.
        ratioMetric: RatioMetric,
    }
}

section! {
    /// A share of events.
    RatioMetric = "`ratioMetric`" {
        /// Whether the metrics only grow.
        counter: Flag,
        /// Good events.
        good: MetricHolder,
        /// Bad events.
        bad: MetricHolder,
        /// All events.
        total: MetricHolder,
        /// success or failure.
        rawType: RawType,
        /// A ratio that is computed already.
        raw: MetricHolder,
    }
}

section! {
    /// A metric.
    MetricHolder = "a metric" {
        /// Where it is and how it is asked for.
        metricSource (required): MetricSource,
    }
}

section! {
    /// Where a metric is and how it is asked for.
    MetricSource = "`metricSource`" {
        /// The name of a DataSource.
        metricSourceRef: Text,
        /// Such as Prometheus.
        r#type: Text,
        /// The query.
        spec (required): Json,
    }
}

section! {
    /// An objective document.
    Slo = "an SLO's `spec`" {
        /// For people.
        description: Text,
        /// Whose it is.
        service (required): Text,
        /// What is measured.
        indicator: InlineSli,
        /// The name of an SLI.
        indicatorRef: Text,
        /// Over which time.
        timeWindow: List<TimeWindow>,
        /// How the budget is counted.
        budgetingMethod (required): BudgetingMethod,
        /// The targets.
        objectives (required): List<Objective>,
        /// When to alert.
        alertPolicies: List<SloAlertPolicy>,
    }
}

section! {
    /// A stretch of time.
    TimeWindow = "a time window" {
        /// Such as `30d` or `1M`.
        duration (required): Text,
        /// Whether it ends now.
        isRolling: Flag,
        /// Where it begins otherwise.
        calendar: Calendar,
    }
}

section! {
    /// Where a calendar window begins.
    Calendar = "`calendar`" {
        /// Such as `2020-01-21 12:30:00`.
        startTime (required): Text,
        /// An IANA zone.
        timeZone (required): Text,
    }
}

section! {
    /// A target.
    Objective = "an objective" {
        /// For people.
        displayName: Text,
        /// How a threshold metric is compared.
        op: Operator,
        /// What a threshold metric is compared with.
        value: Real,
        /// From 0 to below 1.
        target: Real,
        /// From 0 to below 100.
        targetPercent: Real,
        /// From above 0 to 1.
        timeSliceTarget: Real,
        /// Such as `1m`.
        timeSliceWindow: Text,
        /// A part of a composite.
        indicator: InlineSli,
        /// The name of a part of a composite.
        indicatorRef: Text,
        /// How much a part of a composite counts.
        compositeWeight: Real,
    }
}

section! {
    /// An alert policy of an SLO: a name, or the policy itself.
    SloAlertPolicy = "an alert policy" {
        /// The name of an AlertPolicy.
        alertPolicyRef: Text,
        /// AlertPolicy.
        kind: Text,
        /// Its name.
        metadata: Metadata,
        /// The policy.
        spec: AlertPolicy,
    }
}

section! {
    /// When to alert, and whom.
    AlertPolicy = "an AlertPolicy's `spec`" {
        /// For people.
        description: Text,
        /// Whether to alert where there is no data.
        alertWhenNoData: Flag,
        /// Whether to tell when it is over.
        alertWhenResolved: Flag,
        /// Whether to alert when it holds.
        alertWhenBreaching: Flag,
        /// Exactly one.
        conditions (required): List<PolicyCondition>,
        /// Whom to tell.
        notificationTargets: List<PolicyTarget>,
    }
}

section! {
    /// A condition of a policy: a name, or the condition itself.
    PolicyCondition = "a condition" {
        /// The name of an AlertCondition.
        conditionRef: Text,
        /// AlertCondition.
        kind: Text,
        /// Its name.
        metadata: Metadata,
        /// The condition.
        spec: AlertCondition,
    }
}

section! {
    /// Whom a policy tells: a name, or the target itself.
    PolicyTarget = "a notification target" {
        /// The name of an AlertNotificationTarget.
        targetRef: Text,
        /// AlertNotificationTarget.
        kind: Text,
        /// Its name.
        metadata: Metadata,
        /// The target.
        spec: NotificationTarget,
    }
}

section! {
    /// A condition.
    AlertCondition = "an AlertCondition's `spec`" {
        /// For people.
        description: Text,
        /// Such as page.
        severity (required): Text,
        /// What must hold.
        condition (required): Condition,
    }
}

section! {
    /// What must hold.
    Condition = "`condition`" {
        /// burnrate.
        kind (required): ConditionKind,
        /// How the burn rate is compared.
        op (required): Operator,
        /// With what.
        threshold (required): Real,
        /// Over which time.
        lookbackWindow (required): Text,
        /// For how long it must hold.
        alertAfter: Text,
    }
}

section! {
    /// Whom to tell.
    NotificationTarget = "an AlertNotificationTarget's `spec`" {
        /// For people.
        description: Text,
        /// Such as email.
        target (required): Text,
    }
}

choice! {
    /// What a computed ratio is a ratio of.
    RawType = "what a ratio is of" { "success" => (), "failure" => (), } -> ()
}

choice! {
    /// How a budget is counted.
    BudgetingMethod = "a budgeting method" {
        "Occurrences" => Budgeting::Occurrences,
        "Timeslices" => Budgeting::Timeslices,
        "RatioTimeslices" => Budgeting::RatioTimeslices,
    } -> Budgeting
}

/// How a budget is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Budgeting {
    Occurrences,
    Timeslices,
    RatioTimeslices,
}

choice! {
    /// A comparison.
    Operator = "a comparison" {
        "lte" => Comparison::AtMost,
        "gte" => Comparison::AtLeast,
        "lt" => Comparison::Below,
        "gt" => Comparison::Above,
    } -> Comparison
}

/// A comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Comparison {
    AtMost,
    AtLeast,
    Below,
    Above,
}

choice! {
    /// What a condition is about.
    ConditionKind = "a kind of condition" { "burnrate" => (), } -> ()
}
