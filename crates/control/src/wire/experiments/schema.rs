//! What experiments and their runs look like in JSON, for `openapi.json`: the shapes of the core's records, which write themselves.

#![expect(dead_code, reason = "nothing is made of these but schemas, and the test that they are right")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// An experiment. Durations are texts such as `500ms`, `30s` and `15m`, shares such as `5%`.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Experiment {
    /// Its name: letters, digits, `-` and `_`.
    name: String,
    /// What it is about, in a line.
    title: Option<String>,
    /// What is believed to hold while the fault is in force.
    hypothesis: String,
    /// The route.
    route: String,
    /// The backend or feature set by name. Default: what the route's best entry uses.
    target: Option<String>,
    /// What goes wrong.
    fault: Fault,
    /// `limited` (the default), `moderate` or `full`.
    blast: Option<String>,
    /// The chance that a request of the experiment's arm meets the fault. Default: 100%.
    dose: Option<String>,
    /// Whom it may touch.
    cohort: Option<Cohort>,
    /// What bounds it besides.
    caps: Option<Caps>,
    /// How long the fault is in force.
    duration: String,
    /// How long both arms are watched before. Default: 2m.
    lead_in: Option<String>,
    /// Within which time all must be well again afterwards. Default: 5m.
    recovery: Option<String>,
    /// What is tolerated.
    margin: Option<Margin>,
    /// What should answer the fault.
    expect: Option<Expected>,
    /// What ends it early.
    stop: Option<Stop>,
    /// Lets a fault that corrupts answers meet real traffic.
    force: Option<bool>,
}

/// One fault, with its parameters.
#[derive(JsonSchema, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Fault {
    /// A backend fails: by a status, at the connection, or with an error in the body of a 200.
    ModelError(Failing),
    /// A backend answers later.
    ModelLatency(Delay),
    /// A feature store answers later.
    FeatureLatency(Delay),
    /// A feature store fails.
    FeatureError(Failing),
    /// A feature store's values are older than they are.
    StaleFeatures(Stale),
    /// A feature store's values are not what they should be.
    DataQuality(Spoiled),
    /// Another version of the model is asked.
    WrongVersion(Version),
    /// A streamed answer begins later.
    SlowFirstToken(Delay),
    /// A streamed answer stops in its middle and stays open.
    StalledStream(After),
    /// A streamed answer ends in its middle.
    TruncatedStream(After),
    /// A backend's answer cannot be read.
    MalformedAnswer(Malformed),
    /// More traffic: the route's own recent requests again.
    Overload(Overload),
}

/// How something fails.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Failing {
    /// `status` (the default), `connect`, `tls`, `reset` or `error_body`.
    how: Option<String>,
    /// From 400 to 599, with `status`. Default: 503.
    status: Option<u16>,
    /// What `Retry-After` says, with `status`.
    retry_after: Option<String>,
}

/// By how much something is later.
#[derive(JsonSchema, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Delay {
    /// Always as much.
    Fixed(String),
    /// By a lognormal law.
    Lognormal {
        /// The median.
        median: String,
        /// The deviation of the natural logarithm.
        sigma: f64,
    },
    /// By a heavy tail.
    Pareto {
        /// The least delay.
        least: String,
        /// The tail's index.
        alpha: f64,
    },
}

/// By how much values are older.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stale {
    age: String,
}

/// What becomes of values.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spoiled {
    change: Change,
    /// The features by reference. Default: all of the set.
    refs: Option<Vec<String>>,
}

/// What becomes of a value.
#[derive(JsonSchema, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    Missing,
    Shifted(f64),
    Scaled(f64),
    Swapped,
    OutOfRange,
}

/// Another version of a model; one of both at least.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Version {
    model: Option<String>,
    version: Option<String>,
}

/// After so many parts of a streamed answer.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct After {
    parts: u32,
}

/// How an answer cannot be read.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Malformed {
    /// `broken`, `empty` or `other_shape`.
    how: String,
}

/// More traffic.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Overload {
    /// All of the traffic as a multiple of the real one.
    factor: f64,
}

/// Whom an experiment may touch.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cohort {
    /// The share of units in the experiment's arm; as many are its control. Default: 5%.
    share: Option<String>,
    /// What is assigned to an arm: `request` (the default), `client` or a header.
    by: Option<Unit>,
    /// Only these classes.
    classes: Option<Vec<u8>>,
    /// Only these clients.
    clients: Option<Vec<String>>,
    /// Only requests that carry all of these headers.
    headers: Option<BTreeMap<String, String>>,
    /// `all` (the default) or `synthetic`.
    traffic: Option<String>,
}

/// What is assigned to an arm.
#[derive(JsonSchema, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Unit {
    Request,
    Client,
    Header(String),
}

/// What bounds a fault besides its share.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Caps {
    /// Requests that meet it at the same time.
    concurrent: Option<u32>,
    /// Requests that meet it in all.
    total: Option<u64>,
}

/// What is tolerated.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Margin {
    /// More unanswered requests.
    errors: Option<String>,
    /// The 99 % quantile of the latency as a multiple.
    p99: Option<f64>,
}

/// What should answer the fault.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// The level that touched requests are answered from, at the deepest.
    level: Option<u8>,
    /// Types of incidents that should open.
    incidents: Option<Vec<String>>,
}

/// What ends an experiment early.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stop {
    /// A burn rate.
    burn: Option<f64>,
    /// More unanswered requests than the control.
    errors: Option<bool>,
    /// Bounds on the experiment's arm.
    guards: Option<Guards>,
    /// Nothing was heard of the arms for so long.
    silent: Option<String>,
    /// An incident that is not expected opens.
    incidents: Option<bool>,
}

/// Bounds on the experiment's arm, over the last minute.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Guards {
    /// The share of unanswered requests, from 0 to 1.
    unanswered: Option<f64>,
    /// The 99 % quantile of the latency.
    p99: Option<String>,
}

/// A run.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    /// `EXP-YYYY-NNNN`.
    id: String,
    /// The experiment, as it was when it was run.
    experiment: Experiment,
    /// The plan's hash.
    plan: String,
    /// `concurrent` or `switchback`.
    design: String,
    /// Decides who is in which arm.
    seed: u64,
    /// The number of its order to the injector.
    generation: u64,
    /// Who runs it; empty: nobody knows.
    by: String,
    /// The game day that it belongs to.
    gameday: Option<String>,
    /// How long a client that holds it may be silent, in seconds.
    hold_s: Option<u32>,
    /// `lead_in`, `injecting`, `recovering` or `ended`.
    phase: String,
    /// When it was started.
    started: String,
    /// When the fault came into force.
    injected: Option<String>,
    /// When the fault was taken away.
    withdrawn: Option<String>,
    /// When the injector said that nothing is injected any more.
    quiet: Option<String>,
    /// When all was well again.
    recovered: Option<String>,
    /// When it ended.
    ended: Option<String>,
    /// Why it was ended early.
    stopped: Option<Stopped>,
    /// What happened, in order.
    journal: Vec<Line>,
    /// What was counted, in order; control first.
    slices: Vec<Slice>,
    /// What it showed.
    assessment: Option<Assessment>,
}

/// Why a run was ended early.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stopped {
    at: String,
    /// `asked`, `halt`, `burn_rate`, `errors`, `guard`, `silent`, `incident`, `window`, `config`, `holder_lost`, `lease_lost`, `restart`
    /// or `steady_state`.
    reason: String,
    text: String,
    by: String,
}

/// A line of a run's journal.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    at: String,
    what: String,
    text: String,
}

/// Figures of both arms over a stretch of time; control first.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slice {
    at: String,
    seconds: u32,
    phase: String,
    requests: [u64; 2],
    injected: u64,
    unanswered: [u64; 2],
    levels: [[u64; 5]; 2],
    injected_levels: [u64; 5],
    /// Histograms of the latency, in hexadecimal digits.
    latency: [String; 2],
    spared: u64,
    sent: [u64; 2],
}

/// What it showed.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Assessment {
    /// `tolerated`, `degraded`, `violated`, `inconclusive`, `invalid`, `aborted` or `not_recovered`.
    verdict: String,
    reason: String,
    /// Unanswered requests, as a share.
    errors: Option<Compared>,
    /// The 99 % quantile of the latency, in seconds.
    p99: Option<Compared>,
    dose: Option<Dose>,
    assignment: Option<Assignment>,
    checks: Vec<Check>,
    recommendations: Vec<String>,
}

/// A figure in both arms.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Compared {
    control: f64,
    experiment: f64,
    /// The difference, or for latencies the ratio.
    effect: f64,
    /// The lower end of its one-sided 95 % interval.
    low: f64,
    /// The upper end; null: no bound.
    high: Option<f64>,
    margin: f64,
}

/// What was planned and what was done.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dose {
    planned: f64,
    eligible: u64,
    injected: u64,
    low: f64,
    high: f64,
    spared: u64,
    held: bool,
}

/// Whether as many requests came to each arm as should.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Assignment {
    control: u64,
    experiment: u64,
    p_value: f64,
    held: bool,
}

/// A check that holds or does not; null: nothing was seen that would tell.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
struct Check {
    name: String,
    held: Option<bool>,
    measured: String,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mainstay_core::chaos::experiment::{Design, Experiment, Guards, Unit};
    use mainstay_core::chaos::record::{Line, Phase, Run, Slice, Stopped};
    use mainstay_core::chaos::verdict::{Assessment, Assignment, Check, Compared, Dose, Verdict};
    use mainstay_core::route::Class;
    use mainstay_core::time::Time;

    const FAULTS: [&str; 14] = [
        r#"{"model_error":{"how":"status","status":429,"retry_after":"2s"}}"#,
        r#"{"feature_error":{"how":"connect"}}"#,
        r#"{"feature_latency":{"fixed":"500ms"}}"#,
        r#"{"model_latency":{"lognormal":{"median":"300ms","sigma":0.5}}}"#,
        r#"{"slow_first_token":{"pareto":{"least":"100ms","alpha":1.1}}}"#,
        r#"{"stale_features":{"age":"1d"}}"#,
        r#"{"data_quality":{"change":{"shifted":3.0},"refs":["account:amount"]}}"#,
        r#"{"data_quality":{"change":"missing"}}"#,
        r#"{"wrong_version":{"version":"2"}}"#,
        r#"{"wrong_version":{"model":"fraud"}}"#,
        r#"{"truncated_stream":{"parts":3}}"#,
        r#"{"stalled_stream":{"parts":3}}"#,
        r#"{"malformed_answer":{"how":"other_shape"}}"#,
        r#"{"overload":{"factor":2.0}}"#,
    ];

    /// With everything that it may have.
    fn experiment(fault: &str) -> Experiment {
        let text = format!(
            r#"{{"name":"x","title":"X","hypothesis":"h","route":"score","target":"primary","fault":{fault},"duration":"15m",
                "expect":{{"level":2,"incidents":["serving_latency"]}},"force":true}}"#
        );
        let mut experiment: Experiment = serde_json::from_str(&text).unwrap();
        experiment.cohort.by = Unit::Header("x-user".to_owned());
        experiment.cohort.classes = vec![Class::BEST];
        experiment.cohort.clients = vec!["web".to_owned()];
        experiment.cohort.headers.insert("x-a".to_owned(), "b".to_owned());
        experiment.stop.guards = Guards { unanswered: Some(0.1), p99: Some(Duration::from_secs(1)) };
        experiment
    }

    #[test]
    fn what_is_written_is_what_is_documented() {
        for fault in FAULTS {
            let written = serde_json::to_value(experiment(fault)).unwrap();
            serde_json::from_value::<super::Experiment>(written).unwrap_or_else(|error| panic!("{fault}: {error}"));
        }
        let at = Time::from_secs(1_772_445_600);
        let compared = Compared { control: 0.1, experiment: 0.2, effect: 0.1, low: 0.0, high: 0.2, margin: 0.01 };
        let assessment = Assessment {
            verdict: Verdict::Aborted,
            reason: "it was stopped".to_owned(),
            errors: Some(compared),
            p99: Some(compared),
            dose: Some(Dose { planned: 1.0, eligible: 9, injected: 9, low: 0.7, high: 1.0, spared: 0, held: true }),
            assignment: Some(Assignment { control: 9, experiment: 9, p_value: 1.0, held: true }),
            checks: vec![Check { name: "error rate".to_owned(), held: None, measured: "-".to_owned() }],
            recommendations: vec!["run it for longer".to_owned()],
        };
        let run = Run {
            id: "EXP-2026-0001".to_owned(),
            experiment: experiment(FAULTS[0]),
            plan: "0".repeat(64),
            design: Design::Concurrent,
            seed: 7,
            generation: 3,
            by: "ada".to_owned(),
            gameday: Some("GD-2026-0001".to_owned()),
            hold_s: Some(5),
            phase: Phase::Ended,
            started: at,
            injected: Some(at),
            withdrawn: Some(at),
            quiet: Some(at),
            recovered: Some(at),
            ended: Some(at),
            stopped: Some(Stopped { at, reason: "asked".into(), text: "enough".to_owned(), by: "ada".to_owned() }),
            journal: vec![Line { at, what: "phase".into(), text: "lead_in".to_owned() }],
            slices: vec![Slice {
                at,
                seconds: 10,
                phase: Phase::Injecting,
                requests: [9, 9],
                injected: 9,
                unanswered: [0, 0],
                levels: [[9, 0, 0, 0, 0]; 2],
                injected_levels: [9, 0, 0, 0, 0],
                latency: [String::new(), String::new()],
                spared: 0,
                sent: [0, 0],
            }],
            assessment: Some(assessment),
        };
        serde_json::from_value::<super::Run>(serde_json::to_value(&run).unwrap()).unwrap();
    }
}
