//! Measures of quality, with intervals and what they are made of.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_core::event::format_time;
use mainstay_core::quality::cbpe::{self, Calibrator, Validity};
use mainstay_core::quality::proxies::{CATALOGUE, Proxy};
use mainstay_core::quality::slices::slice_of;
use mainstay_core::quality::summary::{AGES, Task};
use mainstay_core::quality::{self};
use mainstay_core::time::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration;
use crate::engine::quality::Quality as Live;
use crate::engine::signals::Sums;

/// What is looked back unless it is asked for otherwise.
const WINDOW: Duration = Duration::from_hours(24);
/// Longest window: what is kept.
const WINDOW_MAX: Duration = Duration::from_hours(30 * 24);
/// Segments and arms that are shown of a signal.
const PARTS_SHOWN: usize = 100;

/// The query of `GET /api/v1/quality`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct QualityQuery {
    pub(crate) window: Option<String>,
}

impl QualityQuery {
    /// The window, or what is wrong with it.
    pub(crate) fn window(&self) -> Result<Duration, String> {
        let Some(text) = &self.window else { return Ok(WINDOW) };
        let window = duration(text).filter(|window| !window.is_zero() && *window <= WINDOW_MAX);
        window.ok_or_else(|| format!("`window` {text} is not a duration such as 24h, of at most 30d"))
    }
}

/// `GET /api/v1/quality`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Quality {
    /// The start of the first slice of prediction time that is looked at.
    from: String,
    /// Every route that says where its predictions are found.
    routes: Vec<RouteQuality>,
    /// What became of labels since the service started.
    labels: Labels,
    /// Signals of the last day, by name.
    signals: BTreeMap<String, SignalOf>,
    /// Whether models learn from what they caused: `caused_label_share`, `exposure_gini`, `exposure_score_correlation` and
    /// `click_through_against_holdout`, as far as signals tell.
    feedback: BTreeMap<&'static str, Measure>,
}

/// Predictions of a route.
#[derive(Debug, Serialize, JsonSchema)]
struct RouteQuality {
    /// The route.
    route: String,
    /// `binary`, `multiclass`, `regression`, `ranking` or `generation`.
    task: &'static str,
    /// Predictions that were remembered for labels.
    predicted: u64,
    /// Those that have one.
    labelled: u64,
    /// The share that has one; null: nothing was remembered.
    coverage: Option<f64>,
    /// Labels by their age when they came: up to 1m, 10m, 1h, 6h, 1d, 7d, and older.
    label_age: BTreeMap<String, u64>,
    /// By measure.
    metrics: BTreeMap<&'static str, Measure>,
    /// Estimates without labels, for scores of two classes: what measures are if calibrated scores are chances.
    estimates: BTreeMap<&'static str, Estimated>,
    /// What is known at once, by proxy.
    proxies: BTreeMap<&'static str, ProxyOf>,
}

/// A measure.
#[derive(Debug, Serialize, JsonSchema)]
struct Measure {
    /// Its value.
    value: f64,
    /// The lower end of its 95 % interval; null: unbounded.
    low: Option<f64>,
    /// The upper end.
    high: Option<f64>,
    /// From how many, or with weights, what they are worth.
    n: f64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Estimated {
    /// The estimate.
    value: f64,
    /// `valid`, `invalid` (labels of the same time disagree: what is true of inputs seems to have changed) or `unknown` (too few labels).
    validity: &'static str,
    /// Whether scores were calibrated by labels; otherwise they were taken for chances.
    calibrated: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ProxyOf {
    /// `no_baseline`, `no_data`, `insufficient_data`, `likely_healthy`, `potential_issue` or `likely_violated`.
    status: &'static str,
    /// Values in its window of 10,000.
    count: usize,
    /// Their mean.
    mean: Option<f64>,
    /// Their standard deviation.
    deviation: Option<f64>,
    /// What the mean is compared with.
    baseline_mean: Option<f64>,
    /// The deviation that it is compared in.
    baseline_deviation: Option<f64>,
    /// How many of them it is away.
    z: Option<f64>,
    /// The measure that it stands in for.
    stands_for: Option<&'static str>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Labels {
    /// They found their prediction.
    joined: u64,
    /// Another label of the same request holds.
    superseded: u64,
    /// They say nothing of their prediction.
    unreadable: u64,
    /// Their prediction is not among the share that is remembered.
    not_sampled: u64,
    /// Their prediction never came.
    expired: u64,
    /// Their prediction has not come yet.
    waiting: usize,
}

/// A signal.
#[derive(Debug, Serialize, JsonSchema)]
struct SignalOf {
    /// Its mean over all.
    mean: Option<Measure>,
    /// By arm; those without one are under "".
    arms: BTreeMap<String, Measure>,
    /// By segment; those without one are under "".
    segments: BTreeMap<String, Measure>,
}

/// The body of `PUT /api/v1/quality/baselines/{route}`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BaselineRequest {
    /// By proxy: its mean and deviation while all is well. Absent: the windows as they stand.
    #[serde(default)]
    pub(crate) proxies: Option<BTreeMap<String, BaselineOf>>,
}

/// What a proxy is while all is well.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BaselineOf {
    /// Its mean.
    pub(crate) mean: f64,
    /// Its standard deviation, at least 0.
    pub(crate) deviation: f64,
}

impl From<quality::Estimate> for Measure {
    fn from(estimate: quality::Estimate) -> Measure {
        let end = |end: f64| Some(end).filter(|end| end.is_finite());
        let (low, high) = (end(estimate.interval.low), end(estimate.interval.high));
        Measure { value: estimate.value, low, high, n: estimate.n }
    }
}

impl Quality {
    pub(crate) fn of(live: &mut Live, now: Time, window: Duration) -> Quality {
        let from = slice_of(now - window);
        let counted = live.counted;
        let measured: Vec<(String, Task)> = live.measured().map(|(route, task)| (route.to_owned(), task)).collect();
        let of_route = |(route, task): &(String, Task)| {
            let calibrator = live.calibrator(route, now);
            RouteQuality::of(live, (route, *task), from, &calibrator)
        };
        let routes: Vec<RouteQuality> = measured.iter().map(of_route).collect();
        let part = |parts: &BTreeMap<String, Sums>| {
            let shown = parts.iter().take(PARTS_SHOWN);
            shown.filter_map(|(name, sums)| Some((name.clone(), sums.mean()?.into()))).collect()
        };
        let signal = |[arms, segments]: &[BTreeMap<String, Sums>; 2]| {
            let all = arms.values().fold(Sums::default(), |mut all, sums| {
                all.add(sums);
                all
            });
            SignalOf { mean: all.mean().map(Measure::from), arms: part(arms), segments: part(segments) }
        };
        Quality {
            from: format_time(from),
            routes,
            labels: Labels {
                joined: counted.joined,
                superseded: counted.superseded,
                unreadable: counted.unreadable,
                not_sampled: counted.not_sampled,
                expired: counted.expired,
                waiting: live.waiting(),
            },
            signals: live.signals.by_name().iter().map(|(name, parts)| (name.clone(), signal(parts))).collect(),
            feedback: live.signals.feedback().into_iter().map(|(name, it)| (name, it.into())).collect(),
        }
    }
}

impl RouteQuality {
    fn of(live: &Live, (route, task): (&str, Task), from: Time, calibrator: &Calibrator) -> RouteQuality {
        let summary = live.slices.together(route, from);
        let metric = |name: &'static str| summary.metric(task, name).filter(|estimate| estimate.value.is_finite());
        let metrics: BTreeMap<_, quality::Estimate> =
            task.metrics().iter().filter_map(|name| Some((*name, metric(name)?))).collect();
        let mut estimates = BTreeMap::new();
        if matches!(task, Task::Binary { .. }) && summary.predicted > 0 {
            let expected = summary.expected(calibrator);
            for (name, estimate) in [
                ("accuracy", expected.accuracy()),
                ("precision", expected.precision()),
                ("recall", expected.recall()),
                ("specificity", expected.specificity()),
                ("f1", expected.f1()),
            ] {
                let Some(estimate) = estimate else { continue };
                let validity = match cbpe::compare(&estimate, metrics.get(name)) {
                    Validity::Valid => "valid",
                    Validity::Invalid => "invalid",
                    Validity::Unknown => "unknown",
                };
                let calibrated = calibrator.is_fitted();
                estimates.insert(name, Estimated { value: estimate.value, validity, calibrated });
            }
        }
        let ends = AGES.iter().map(|end| match end {
            60..3_600 => format!("{}m", end / 60),
            3_600..86_400 => format!("{}h", end / 3_600),
            _ => format!("{}d", end / 86_400),
        });
        RouteQuality {
            route: route.to_owned(),
            task: task.name(),
            predicted: summary.predicted,
            labelled: summary.labelled,
            coverage: (summary.predicted > 0).then(|| summary.labelled as f64 / summary.predicted as f64),
            label_age: ends.chain(["older".to_owned()]).zip(summary.ages).collect(),
            metrics: metrics.into_iter().map(|(name, estimate)| (name, estimate.into())).collect(),
            estimates,
            proxies: live.proxies(route).map(|(name, proxy)| (name, ProxyOf::of(name, proxy))).collect(),
        }
    }
}

impl ProxyOf {
    fn of(name: &str, proxy: &Proxy) -> ProxyOf {
        let baseline = proxy.baseline();
        ProxyOf {
            status: proxy.status().name(),
            count: proxy.count(),
            mean: proxy.mean(),
            deviation: proxy.deviation(),
            baseline_mean: baseline.map(|baseline| baseline.mean),
            baseline_deviation: baseline.map(|baseline| baseline.deviation),
            z: proxy.z(),
            stands_for: CATALOGUE.iter().find(|entry| entry.proxy == name).map(|entry| entry.metric),
        }
    }
}

impl BaselineRequest {
    /// The baselines of a route, or what is wrong.
    pub(crate) fn checked(&self, live: &Live, route: &str) -> Result<BTreeMap<String, (f64, f64)>, String> {
        let known: Vec<&str> = CATALOGUE.iter().map(|entry| entry.proxy).collect();
        let Some(proxies) = &self.proxies else {
            let learned: BTreeMap<String, (f64, f64)> = live
                .proxies(route)
                .filter(|(_, proxy)| proxy.count() >= mainstay_core::quality::proxies::LEAST)
                .filter_map(|(name, proxy)| Some((name.to_owned(), (proxy.mean()?, proxy.deviation()?))))
                .collect();
            let least = mainstay_core::quality::proxies::LEAST;
            return if learned.is_empty() {
                Err(format!("no proxy of `{route}` has {least} values yet"))
            } else {
                Ok(learned)
            };
        };
        for (name, baseline) in proxies {
            if !known.contains(&name.as_str()) {
                return Err(format!("there is no proxy `{name}`: {}", known.join(", ")));
            }
            if !baseline.mean.is_finite() || !baseline.deviation.is_finite() || baseline.deviation < 0.0 {
                return Err(format!("`{name}`: a mean and a deviation of at least 0"));
            }
        }
        Ok(proxies.iter().map(|(name, baseline)| (name.clone(), (baseline.mean, baseline.deviation))).collect())
    }
}
