//! Recording and alerting rules for Prometheus, under the names and labels of Sloth, so that its dashboards show them.
//!
//! ```text
//! sli recordings     slo:sli_error:ratio_rate{5m,30m,1h,2h,6h,1d,3d}     7 rules
//! period recordings  events of 5 minutes, and their sum over the window  3 rules, every 5 minutes
//! meta recordings    slo:objective:ratio, ..., sloth_slo_info            7 rules
//! alerts             page, ticket                                        2 rules
//! ```
//!
//! A group has at most [`GROUP_RULES_MAX`] rules: Mimir takes no more. The window's ratio is bad events by all events,
//! from sums of 5 minutes each; a mean of ratios, as Sloth has it, would let a quiet minute weigh as much as a busy one.

mod group;
mod promql;

use std::time::Duration;

use serde::Serialize;

/// Most rules of a group, as Mimir's default has it.
pub const GROUP_RULES_MAX: usize = 20;

/// How long the buckets are that a window's events are added up from.
const BUCKET: Duration = Duration::from_mins(5);

/// An objective as rules see it.
#[derive(Clone, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) service: &'a str,
    pub(crate) name: &'a str,
    pub(crate) description: &'a str,
    /// The share of good events, 0 to 1.
    pub(crate) target: f64,
    pub(crate) window: Duration,
    pub(crate) sli: Sli,
    pub(crate) tiers: Vec<Tier>,
    /// Fewest bad events within the long window.
    pub(crate) min_bad: f64,
}

/// Where an objective's events are counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Sli {
    /// mainstay's counters: exact.
    Counters,
    /// mainstay's burn rates: for what has no counters, such as time slices and delayed labels.
    Gauges,
    /// Expressions over other metrics.
    Good { good: String, total: String },
    /// Expressions over other metrics.
    Bad { bad: String, total: String },
}

/// Two windows that must burn at once.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Tier {
    pub(crate) page: bool,
    pub(crate) factor: f64,
    pub(crate) long: Duration,
    pub(crate) short: Duration,
}

/// A file of rules.
#[derive(Serialize)]
struct File {
    groups: Vec<Group>,
}

#[derive(Serialize)]
struct Group {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<String>,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
struct Rule {
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alert: Option<String>,
    expr: String,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_map")]
    labels: Vec<(&'static str, String)>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_map")]
    annotations: Vec<(&'static str, String)>,
}

fn as_map<S: serde::Serializer>(pairs: &[(&'static str, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(key, value)| (key, value)))
}

/// The rules of the objectives as a file that Prometheus loads.
pub(crate) fn write(targets: &[Target<'_>]) -> String {
    let file = File { groups: targets.iter().flat_map(group::groups).collect() };
    let head = "# Made by mainstay from its config; change that, and export again.\n";
    let body = serde_saphyr::to_string(&file).expect("text, lists and maps with text as keys are YAML");
    format!("{head}{body}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown() {
        let hours = |hours: u64| Duration::from_hours(hours);
        let tiers = vec![
            Tier { page: true, factor: 14.4, long: hours(1), short: Duration::from_mins(5) },
            Tier { page: true, factor: 6.0, long: hours(6), short: Duration::from_mins(30) },
            Tier { page: false, factor: 3.0, long: hours(24), short: hours(2) },
            Tier { page: false, factor: 1.0, long: hours(72), short: hours(6) },
        ];
        let target = Target {
            service: "fraud",
            name: "fraud_availability",
            description: "",
            target: 0.999,
            window: hours(720),
            sli: Sli::Counters,
            tiers: tiers.clone(),
            min_bad: 10.0,
        };
        let gauges = Target { name: "fraud_quality", sli: Sli::Gauges, ..target.clone() };
        let good = Target {
            name: "ext",
            sli: Sli::Good { good: "sum(increase(ok_total[$window]))".to_owned(), total: "all_total".to_owned() },
            ..target.clone()
        };
        let zero = Target { name: "zero", target: 1.0, ..target.clone() };
        print!("{}", write(&[target, gauges, good, zero]));
    }
}
