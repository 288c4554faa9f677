//! Monitors, their verdicts, and what moved.

use std::collections::BTreeMap;

use mainstay_core::drift::board::{Board, Monitor};
use mainstay_core::drift::reference::{Builder, Reference};
use mainstay_core::drift::verdict::Status;
use mainstay_core::drift::window::{About, Outcome, Places, Window};
use mainstay_core::event::format_time;
use mainstay_core::observed::Value;
use mainstay_core::rng::Rng;
use mainstay_core::stats::multiple::{Correction, correct};
use mainstay_core::time::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::watching::Watching;

/// Bins that a list of monitors shows of each.
const BINS_SHOWN: usize = 3;
/// Most values of `POST /api/v1/drift/check`, on each side.
const VALUES_MAX: usize = 100_000;

/// `GET /api/v1/drift`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AllDrift {
    /// Every monitored name.
    pub(crate) monitors: Vec<Drift>,
}

/// A monitored name at one moment.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Drift {
    /// The name.
    name: String,
    /// The route that its values come from.
    route: String,
    /// `number`, `category` or `embedding`.
    kind: &'static str,
    /// Of the last window: `no_data`, `insufficient_data`, `ok`, `drift_detected` or `alert`; `learning` while there is no reference.
    status: &'static str,
    /// An alarm that holds; null: none.
    alarm: Option<Alarm>,
    /// What it is compared with; null while it is learned.
    reference: Option<ReferenceOf>,
    /// How far the learning of a reference is; null where there is one.
    learning: Option<Learning>,
    /// Why the reference of the config is not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
    /// The last window that ended; null: none has.
    window: Option<WindowOf>,
    /// Values in the window that is open.
    open: u64,
    /// Evidence of the detectors that look at every value, as shares of what is an alarm, by detector.
    evidence: BTreeMap<&'static str, f64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Alarm {
    /// `conformal`, `missing` or `outside`.
    detector: &'static str,
    /// When it was raised, in RFC 3339.
    at: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ReferenceOf {
    /// `put`, `file` or `learned`.
    source: String,
    /// The model that it belongs to.
    model: Option<String>,
    /// That model's version.
    model_version: Option<String>,
    /// Its values.
    count: u64,
    /// The share of its values that was missing.
    missing_rate: f64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Learning {
    /// Values so far.
    values: u64,
    /// Values that are asked for.
    of: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct WindowOf {
    /// When its first value came, in RFC 3339.
    from: Option<String>,
    /// When its last value came.
    to: String,
    /// Values that were there.
    count: u64,
    /// Values that were missing.
    missing: u64,
    /// By method.
    methods: BTreeMap<&'static str, Score>,
    /// Shares of values that are missing, out of range, or new: by name.
    rates: BTreeMap<&'static str, Rate>,
    /// Of embeddings.
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding: Option<Apart>,
    /// What moved, the most first, with requests whose values are there.
    bins: Vec<Bin>,
    /// By class and by backend.
    segments: BTreeMap<String, Segment>,
    /// Words that the reference does not know.
    new_words: BTreeMap<String, u64>,
}

/// What a method says.
#[derive(Debug, Serialize, JsonSchema)]
struct Score {
    /// Its figure; null where it has none.
    value: Option<f64>,
    /// The chance of as much without drift, before it is corrected for how much is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    p_value: Option<f64>,
    /// Whether it found drift.
    drifted: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Rate {
    /// In the reference.
    reference: f64,
    /// In the window.
    current: f64,
    /// The chance of as much without drift.
    p_value: f64,
    /// Whether it drifted.
    drifted: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Apart {
    /// One less the cosine of the centroids.
    centroid_cosine: Option<f64>,
    /// The squared maximum mean discrepancy.
    mmd2: f64,
    /// Its chance without drift.
    p_value: f64,
    /// Whether it drifted.
    drifted: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "the name is the API's")]
struct Bin {
    /// The bin, in words.
    bin: String,
    /// Its share in the reference.
    reference: f64,
    /// Its share in the window.
    current: f64,
    /// Its term of the stability index.
    psi: f64,
    /// Ids of requests whose values are in it.
    examples: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Segment {
    /// Its values.
    count: u64,
    /// Its share of the window.
    share: f64,
    /// Of numbers, the mean of its values.
    #[serde(skip_serializing_if = "Option::is_none")]
    mean: Option<f64>,
    /// Of numbers, by how much it moves the window's mean away from the reference's: its share times the difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    moves_mean_by: Option<f64>,
}

/// The body of `POST /api/v1/drift/check`: values that are compared once, and kept nowhere.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckRequest {
    /// A monitored name to compare with; absent: `reference` is given.
    #[serde(default)]
    pub(crate) against: Option<String>,
    /// What the values should be like: numbers, words, lists of numbers, null where one is missing.
    #[serde(default)]
    reference: Option<Vec<serde_json::Value>>,
    /// What they are like.
    current: Vec<serde_json::Value>,
    /// The chance of a false alarm. Default: 0.05.
    #[serde(default)]
    alpha: Option<f64>,
}

/// What values came to beside others.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Checked {
    /// `no_data`, `insufficient_data`, `ok`, `drift_detected` or `alert`.
    status: &'static str,
    /// Values of the reference.
    n_reference: u64,
    /// Values that were compared.
    n_current: u64,
    /// By method.
    methods: BTreeMap<&'static str, Score>,
    /// Shares of values that are missing, out of range, or new.
    rates: BTreeMap<&'static str, Rate>,
    /// Of embeddings.
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding: Option<Apart>,
    /// What moved, the most first.
    bins: Vec<Bin>,
}

impl AllDrift {
    /// All monitors, with the bins that moved most.
    pub(crate) fn of(watching: &Watching, backends: &[String]) -> AllDrift {
        let all = watching.monitors().map(|(route, board, monitor)| {
            let mut drift = Drift::of(watching, (route, board, monitor), backends);
            if let Some(window) = &mut drift.window {
                window.bins.truncate(BINS_SHOWN);
            }
            drift
        });
        AllDrift { monitors: all.collect() }
    }
}

impl Drift {
    pub(crate) fn of(watching: &Watching, (route, _, monitor): (&str, &Board, &Monitor), backends: &[String]) -> Drift {
        let name = monitor.name.as_str();
        let reference = monitor.reference();
        let window = monitor
            .last()
            .zip(reference)
            .map(|((window, outcome), reference)| WindowOf::of(window, outcome, reference, backends));
        Drift {
            name: name.to_owned(),
            route: route.to_owned(),
            kind: watching.config(name).map_or("number", |monitor| monitor.kind.name()),
            status: if reference.is_none() { "learning" } else { monitor.status().name() },
            alarm: monitor.alarm().map(|(detector, at)| Alarm { detector, at: format_time(at) }),
            reference: reference.map(|reference| ReferenceOf {
                source: watching.source(name).to_owned(),
                model: reference.model.clone(),
                model_version: reference.model_version.clone(),
                count: reference.count(),
                missing_rate: reference.missing_rate(),
            }),
            learning: monitor.learning().map(|(values, of)| Learning { values, of }),
            fault: watching.fault(name).map(str::to_owned),
            window,
            open: monitor.window().map_or(0, Window::total),
            evidence: monitor.evidence().into_iter().map(|(n, e)| (n, (e.value / e.run_length).min(1.0))).collect(),
        }
    }
}

fn score(score: &mainstay_core::drift::verdict::Score) -> (&'static str, Score) {
    let value = Some(score.value).filter(|value| value.is_finite());
    (score.method.name(), Score { value, p_value: score.p_value, drifted: score.drifted })
}

fn apart(apart: &mainstay_core::drift::window::Apart) -> Apart {
    Apart {
        centroid_cosine: Some(apart.centroid_cosine).filter(|cosine| cosine.is_finite()),
        mmd2: apart.mmd2,
        p_value: apart.p_value,
        drifted: apart.drifted,
    }
}

fn rates(outcome: &Outcome) -> BTreeMap<&'static str, Rate> {
    let rates = outcome.rates.iter().map(|rate| {
        let (reference, current, p_value, drifted) = (rate.reference, rate.current, rate.p_value, rate.drifted);
        (rate.name, Rate { reference, current, p_value, drifted })
    });
    rates.collect()
}

fn bins(window: &Window, reference: &Reference) -> Vec<Bin> {
    let contributions = window.contributions(reference).into_iter();
    let bin = |it: mainstay_core::drift::window::Contribution| Bin {
        bin: it.bin,
        reference: it.reference,
        current: it.current,
        psi: it.psi,
        examples: it.examples,
    };
    contributions.map(bin).collect()
}

impl WindowOf {
    fn of(window: &Window, outcome: &Outcome, reference: &Reference, backends: &[String]) -> WindowOf {
        let mean = match &reference.values {
            mainstay_core::drift::reference::Values::Number(numbers) => Some(numbers.sketch.moments().mean),
            mainstay_core::drift::reference::Values::Category(_)
            | mainstay_core::drift::reference::Values::Embedding(_) => None,
        };
        let (classes, by_backend) = window.segments();
        let names = (0..4).map(|class| format!("class {class}"));
        let names = names.chain(backends.iter().map(|backend| format!("backend {backend}")));
        let count = window.count().max(1) as f64;
        let segments = names.zip(classes.iter().chain(by_backend)).filter(|(_, segment)| segment.count > 0);
        let segment = |(name, segment): (String, &mainstay_core::drift::window::Segment)| {
            let (of_segment, share) = (segment.count as f64, segment.count as f64 / count);
            let own = mean.map(|_| segment.sum / of_segment);
            let moves = mean.map(|mean| share * (segment.sum / of_segment - mean));
            (name, Segment { count: segment.count, share, mean: own, moves_mean_by: moves })
        };
        WindowOf {
            from: window.from.map(format_time),
            to: format_time(window.to),
            count: outcome.count,
            missing: window.missing,
            methods: outcome.scores.iter().map(score).collect(),
            rates: rates(outcome),
            embedding: outcome.apart.as_ref().map(apart),
            bins: bins(window, reference),
            segments: segments.map(segment).collect(),
            new_words: window.new_words().map(|(word, count)| (word.to_owned(), count)).collect(),
        }
    }
}

impl CheckRequest {
    /// Compares the values; the error says what is wrong with the body. `known` is the reference of `against`.
    pub(crate) fn compare(&self, known: Option<&Reference>, seed: u64) -> Result<Checked, String> {
        let alpha = self.alpha.unwrap_or(0.05);
        if !(alpha > 0.0 && alpha < 1.0) {
            return Err("`alpha` lies between 0 and 1".to_owned());
        }
        let longest = self.reference.as_ref().map_or(0, Vec::len).max(self.current.len());
        if longest > VALUES_MAX {
            return Err(format!(
                "at most {VALUES_MAX} values a side; `mainstay drift check` compares files of any size"
            ));
        }
        let made;
        let reference = match (known, &self.reference) {
            (Some(known), None) => known,
            (None, Some(values)) => {
                made = built(values, seed)?;
                &made
            }
            _ => return Err("give `against` or `reference`, one of them".to_owned()),
        };
        let places = Places::new(reference);
        let mut window = Window::new(reference, &places);
        let mut rng = Rng::new(seed);
        for (at, value) in self.current.iter().enumerate() {
            let id = at.to_string();
            let about = About { request_id: &id, class: 3, backend: None, at: Time::ZERO };
            window.handle(&read(value)?, &about, (reference, &places), &mut rng);
        }
        let mut outcome = window.outcome(reference, &mut rng);
        let mut corrected = correct(&outcome.p_values(), Correction::BenjaminiHochberg).into_iter();
        outcome.judge(&mut corrected, alpha);
        let by_methods = Status::of(reference.count(), outcome.count, &outcome.scores);
        let others = outcome.rates.iter().any(|rate| rate.drifted) || outcome.apart.is_some_and(|apart| apart.drifted);
        let status = if by_methods == Status::Ok && others { Status::DriftDetected } else { by_methods };
        Ok(Checked {
            status: status.name(),
            n_reference: reference.count(),
            n_current: outcome.count,
            methods: outcome.scores.iter().map(score).collect(),
            rates: rates(&outcome),
            embedding: outcome.apart.as_ref().map(apart),
            bins: bins(&window, reference),
        })
    }
}

/// A reference of values, of the kind of the first that is not null.
fn built(values: &[serde_json::Value], seed: u64) -> Result<Reference, String> {
    let first = values.iter().find(|value| !value.is_null()).ok_or("`reference` has no value")?;
    let mut builder = match read(first)? {
        Value::Word(_) => Builder::categories(seed),
        Value::Vector(_) => Builder::embedding(seed),
        Value::Number(_) | Value::Missing => Builder::numbers(false, seed),
    };
    for value in values {
        builder.push(&read(value)?, Time::ZERO);
    }
    builder.finish("", None, None).ok_or_else(|| "`reference` has no value".to_owned())
}

fn read(value: &serde_json::Value) -> Result<Value, String> {
    Ok(match value {
        serde_json::Value::Null => Value::Missing,
        serde_json::Value::Bool(flag) => Value::word(if *flag { "true" } else { "false" }),
        serde_json::Value::Number(number) => number.as_f64().map_or(Value::Missing, Value::Number),
        serde_json::Value::String(word) => Value::word(word),
        serde_json::Value::Array(values) => {
            let numbers = values.iter().map(|value| Some(value.as_f64()? as f32)).collect::<Option<Vec<f32>>>();
            Value::Vector(numbers.ok_or("a list is of numbers")?.into())
        }
        serde_json::Value::Object(_) => return Err("a value is a number, a word, a list of numbers or null".to_owned()),
    })
}
