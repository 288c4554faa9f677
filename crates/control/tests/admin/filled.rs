//! A store that holds much of everything else that pages list: runs, models, experiments, game days; and kept requests.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mainstay_control::gamedays::Setup as DaySetup;
use mainstay_control::{Engine, Experiments, Gamedays, Incidents, Injecting, Registry, Site, chaos};
use mainstay_core::chaos::arms::Beat;
use mainstay_core::chaos::experiment::Experiment;
use mainstay_core::chaos::gameday::Scenario;
use mainstay_core::chaos::gameday::record::{Answer, Finding, Record};
use mainstay_core::chaos::order::Order;
use mainstay_core::event::{Event, format_time};
use mainstay_core::plan::{
    Admin, Chaos, Drift, Environment, Incidents as IncidentTerms, Limits, Monitor, Observability, Plan, Retention,
    Store as At, Training, Trust, ValueKind, ValueSource,
};
use mainstay_core::time::Time;
use mainstay_store::Store;
use mainstay_store::change::Change;
use mainstay_store::record::{Expect, Run};
use mainstay_store::registry::Version;
use serde_json::{Value, json};

use crate::models::ModelServer;

/// Of each kind.
pub(crate) const MANY: usize = 1_000;
/// Words from outside, as long as they may be in many places.
const HOSTILE: &str = "<img src=x onerror=alert(1)>";

/// What says that nothing is wrong and injects nothing.
struct Idle;

impl Injecting for Idle {
    fn check(&self, _: &Experiment) -> Result<(), String> {
        Ok(())
    }

    fn inject(&self, _: Order) -> Result<(), String> {
        Err("nothing is injected here".to_owned())
    }

    fn renew(&self, _: &str, _: u64) -> Result<(), String> {
        Ok(())
    }

    fn withdraw(&self, _: &str, _: u64) {}

    fn halt(&self, _: bool) {}

    fn beats(&self) -> Vec<Beat> {
        Vec::new()
    }
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn experiment(n: usize) -> Value {
    json!({
        "name": format!("experiment-{n}"), "title": format!("{HOSTILE} {n}"), "hypothesis": "Everybody is answered. ".repeat(30),
        "route": "score", "fault": {"model_latency": {"fixed": "50ms"}}, "duration": "5m",
    })
}

fn scenario(n: usize) -> Value {
    let step = |at: usize| {
        json!({
            "name": format!("step-{at}"), "experiment": "experiment-1", "expect": [HOSTILE.repeat(20)],
            "questions": vec!["Who is told, and by whom? ".repeat(60); 15],
        })
    };
    json!({
        "name": format!("scenario-{n}"), "title": format!("{HOSTILE} {n}"), "purpose": "To learn. ".repeat(100),
        "steps": (0..20).map(step).collect::<Vec<_>>(),
    })
}

fn day(n: usize) -> Record {
    let mut day = Record::tabletop(format!("GD-2026-{n:04}"), read(scenario(n)), "ada".to_owned(), NOW);
    let said = |at: usize| Answer {
        at: NOW,
        by: "ada".to_owned(),
        step: Some(format!("step-{}", at % 20)),
        question: "Who is told? ".repeat(100),
        text: HOSTILE.repeat(30),
    };
    if n == 1 {
        day.answers = (0..200).map(said).collect();
    }
    day
}

const NOW: Time = Time::from_secs(1_772_366_400);

fn document(kind: &str, id: String, body: &impl serde::Serialize) -> Change {
    let body = serde_json::to_string(body).unwrap();
    Change::Document { kind: kind.to_owned(), id, body, expect: Expect::Absent }
}

fn changes(n: usize) -> Vec<Change> {
    let points: Vec<Value> = (0..500).map(|step| json!([step, 1.0 / (1.0 + f64::from(step))])).collect();
    let curves: BTreeMap<String, &[Value]> =
        (0..16).map(|at| (format!("metric-{at}"), if n == 1 { &points[..] } else { &points[..2] })).collect();
    let metrics: BTreeMap<String, f64> = (0..200).map(|at| (format!("metric-{at}"), f64::from(at))).collect();
    let run = json!({
        "name": format!("training-{n}"), "revision": 1, "state": "failed", "reason": format!("{HOSTILE}{}", "r".repeat(2_000)),
        "started": format_time(NOW), "step": 10, "total": 20, "attempts": 3, "goodput": 0.5, "metrics": metrics,
        "status": {"curves": curves},
    });
    let run = Run {
        id: format!("RUN-{n}"),
        name: format!("training-{n}"),
        state: "failed".to_owned(),
        body: run.to_string(),
        created: NOW,
        updated: NOW,
    };
    // One model has most of the versions.
    let model = if n < MANY / 2 { "model".to_owned() } else { format!("model-{n}") };
    let entry = json!({
        "digest": format!("sha256:{n}"), "gates": "not_run", "metrics": metrics, "lineage": {"run": format!("RUN-{n}")},
    });
    let version = Version {
        model,
        version: format!("{n}"),
        stage: "candidate".to_owned(),
        digest: format!("sha256:{n}"),
        created: NOW,
        data_max_event_time: Some(NOW),
        lineage: entry.to_string(),
    };
    let ran = json!({
        "id": format!("EXP-2026-{n:04}"), "experiment": experiment(n), "plan": "p", "design": "concurrent", "seed": 1,
        "generation": 1, "by": "ada", "phase": "ended", "started": format_time(NOW), "journal": [], "slices": [],
    });
    let finding = Finding {
        id: format!("GD-2026-{n:04}-F1"),
        scenario: format!("scenario-{n}"),
        step: None,
        criterion: HOSTILE.repeat(30),
        holds: "unanswered == 0".to_owned(),
        measured: HOSTILE.repeat(30),
        opened: NOW,
        gameday: format!("GD-2026-{n:04}"),
        last: format!("GD-2026-{n:04}"),
        times: 1,
        closed: None,
        retest: None,
    };
    vec![
        Change::Run(run),
        Change::Version(version),
        document("experiment_run", format!("EXP-2026-{n:04}"), &ran),
        document("gameday_finding", finding.id.clone(), &finding),
        document("gameday", format!("GD-2026-{n:04}"), &day(n)),
    ]
}

/// Puts a thousand of each to rest.
pub(crate) async fn fill(store: &dyn Store) {
    for some in (1..=MANY).collect::<Vec<_>>().chunks(50) {
        store.change(some.iter().flat_map(|n| changes(*n)).collect(), NOW).await.unwrap();
    }
}

/// Monitors that have seen nothing yet.
pub(crate) fn watched() -> Drift {
    let monitor = |n: usize| Monitor {
        name: format!("monitor-{n}"),
        route: 0,
        source: ValueSource::Request("/x".to_owned()),
        kind: ValueKind::Number,
        reference: None,
        learn: 1_000,
        hour_of_week: false,
    };
    Drift { monitors: (0..200).map(monitor).collect(), ..Drift::default() }
}

/// Requests that were kept, the last first.
pub(crate) fn kept() -> Vec<Event> {
    let one = |n: usize| {
        let event = json!({
            "version": 1, "at": format_time(NOW - Duration::from_secs(n as u64)), "type": "request.finished", "request_id": format!("r-{n}"),
            "route": "score", "class": n % 4, "level": 3, "code": 200, "reason": "timeout", "attempts": 1, "duration_us": 1000,
            "overhead_us": 10, "kept": [{"why": "failed", "probability": 1.0}], "prediction": HOSTILE.repeat(100),
            "features": (0..if n == 7 { 200 } else { 2 }).map(|at| (format!("feature-{at}"), json!(HOSTILE))).collect::<serde_json::Map<_, _>>(),
        });
        Event::from_json(&event.to_string()).unwrap()
    };
    (0..10 * MANY).map(one).collect()
}

fn plan() -> Plan {
    let listen = "127.0.0.1:0".parse().unwrap();
    let known = (0..200).map(|n| read(experiment(n))).collect();
    Plan {
        service: "scale".to_owned(),
        environment: Environment::Demo,
        listen,
        tls: None,
        admin: Admin { listen, tokens: Vec::new() },
        store: At::Sqlite(PathBuf::new()),
        retention: Retention::default(),
        limits: Limits::default(),
        clients: BTreeMap::new(),
        trust: Trust { from: Vec::new(), headers: Vec::new() },
        objectives: BTreeMap::new(),
        backends: Vec::new(),
        features: Vec::new(),
        routes: Vec::new(),
        checks: Vec::new(),
        slos: Vec::new(),
        policies: Vec::new(),
        maintenance: Vec::new(),
        observability: Observability::default(),
        drift: Drift::default(),
        labels: None,
        training: Training::default(),
        incidents: IncidentTerms::default(),
        chaos: Chaos { experiments: known, ..Chaos::default() },
        gamedays: Vec::new(),
    }
}

/// The site with models, runs, experiments and game days.
pub(crate) async fn with_all(site: Site, engine: &Engine, incidents: &Incidents) -> Site {
    let setup = chaos::Setup {
        plan: Arc::new(plan()),
        injecting: Arc::new(Idle),
        status: Box::new(|| None),
        on_event: Box::new(drop),
        seed: 1,
    };
    let (experiments, _) = Experiments::open(engine, incidents.clone(), setup).await.unwrap();
    let scenarios: Vec<Scenario> = (0..200).map(|n| read(scenario(n))).collect();
    let setup =
        DaySetup { experiments: experiments.clone(), metrics: Box::new(Vec::new), on_event: Box::new(drop), scenarios };
    let (gamedays, _) = Gamedays::open(engine, setup).await.unwrap();
    let registry = Registry::open(Arc::clone(engine.store()), ModelServer::new()).await.unwrap();
    site.with_registry(registry).with_experiments(experiments).with_gamedays(gamedays)
}
