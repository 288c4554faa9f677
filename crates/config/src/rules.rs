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

mod grafana;
mod group;
mod objective;
mod promql;

pub use grafana::grafana_dashboard;
pub(crate) use promql::quoted;

use std::time::Duration;

use mainstay_core::slo::burn::Pair;
use mainstay_core::slo::objective::Objective;
use serde::Serialize;

/// Most rules of a group, as Mimir's default has it.
pub(crate) const GROUP_RULES_MAX: usize = 20;

/// How long the buckets are that a window's events are added up from.
const BUCKET: Duration = Duration::from_mins(5);

/// An objective as rules see it.
#[derive(Clone, Debug)]
struct Target<'a> {
    service: &'a str,
    name: &'a str,
    description: &'a str,
    /// The share of events that may be bad.
    allowed: f64,
    window: Duration,
    is_rolling: bool,
    sli: Sli,
    pairs: Vec<Pair>,
}

/// Where an objective's events are counted.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Sli {
    /// mainstay's counters: exact.
    Counters,
    /// mainstay's burn rates: for what has no counters, such as time slices and delayed labels.
    Gauges,
    /// Expressions over other metrics.
    Good { good: String, total: String },
    /// Expressions over other metrics.
    Bad { bad: String, total: String },
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

/// The rules of a service's objectives as a file that Prometheus loads.
///
/// ```
/// use mainstay_config::prometheus_rules;
/// use mainstay_core::slo::objective::{Kind, Objective};
///
/// let objective = Objective::new("fraud", Kind::availability(0.999).unwrap());
/// let rules = prometheus_rules("fraud", &[objective]);
/// assert!(rules.contains("record: slo:sli_error:ratio_rate5m"));
/// ```
pub fn prometheus_rules(service: &str, objectives: &[Objective]) -> String {
    let groups =
        objectives.iter().flat_map(|objective| group::groups(&objective::target(service, objective))).collect();
    let body = serde_saphyr::to_string(&File { groups }).expect("text, lists and maps with text as keys are YAML");
    format!("# Made by mainstay from its config; change that, and export again.\n{body}")
}
