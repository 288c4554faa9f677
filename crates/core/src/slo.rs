//! Service level objectives: what is promised, what counts as kept, and how much of the allowance is left.
//!
//! ```text
//! Facts of a request ──sli::judge──> Good | Bad | Ignored ──> Series (good, bad by 10 s, 1 min, 1 h)
//!                                                               │
//! Objective (target, window, budgeting) ──────────────────────> budget::Answer: remaining, burn, status, forecast
//!                                                               └──> burn::Alerts: page, ticket
//! ```
//!
//! Everything is counted in events: a minute without traffic weighs nothing, and a failed request weighs as much at night
//! as at noon. Times are arguments; nothing here reads a clock.
//!
//! A service's objectives of all five categories, with their usual names and windows:
//!
//! ```
//! use std::time::Duration;
//! use mainstay_core::slo::objective::{Category, Direction, FEATURES_STALE, Kind, LatencyOf, Objective};
//!
//! let (ms, hours) = (Duration::from_millis, Duration::from_hours);
//! let kinds = [
//!     Kind::availability(0.999).unwrap(),
//!     Kind::latency(0.5, ms(50), LatencyOf::EndToEnd).unwrap(),
//!     Kind::latency(0.99, ms(200), LatencyOf::EndToEnd).unwrap(),
//!     Kind::quality("precision", Direction::HigherIsBetter, 0.92, 0.05).unwrap(),
//!     Kind::ModelFreshness { max_age: hours(7 * 24) },
//!     Kind::FeatureFreshness { max_age: hours(1), view: None, allowed_stale: FEATURES_STALE },
//!     Kind::Safety { max_rate: 1e-4 },
//! ];
//! let objectives = kinds.map(|kind| Objective::new("fraud", kind));
//! let names = objectives.each_ref().map(|objective| objective.name.as_str());
//! assert_eq!(names[..3], ["fraud_availability", "fraud_latency_p50", "fraud_latency_p99"]);
//! assert_eq!(names[3..5], ["fraud_quality_precision", "fraud_model_freshness"]);
//! assert_eq!(names[5..], ["fraud_feature_freshness", "fraud_safety"]);
//! // Half of the requests may take longer than a p50; a model's age and a harmful answer are not tolerated.
//! let allowed = objectives.each_ref().map(|objective| (objective.kind.allowed_bad() * 1e6).round() / 1e6);
//! assert_eq!(allowed, [0.001, 0.5, 0.01, 0.05, 0.0, 0.01, 0.0]);
//! assert!((objectives[3].kind.quality_target().unwrap() - 0.874).abs() < 1e-9);
//! assert_eq!(objectives[6].category(), Category::Safety);
//! ```

pub mod window;
pub mod objective;
pub mod sli;
pub mod series;
pub mod budget;
pub mod burn;
pub mod slices;
pub mod safety;
pub mod sketch;
pub mod correction;
pub mod policy;
