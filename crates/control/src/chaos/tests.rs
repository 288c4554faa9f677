//! What is done where the store fails: faults go, and none comes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use mainstay_core::chaos::arms::Beat;
use mainstay_core::chaos::order::Order;
use mainstay_core::event::EventKind;
use mainstay_core::incident::record::Act;
use mainstay_core::plan::{
    Admin, Chaos, Drift, Environment, Incidents as IncidentTerms, Limits, Observability, Retention, Store as At,
    Training, Trust,
};
use mainstay_core::response::desk::Terms as DeskTerms;
use mainstay_core::response::reach::Reach;
use mainstay_store::{Options, Sqlite};
use serde_json::Value;

use super::settling::OWED_MAX;
use super::*;
use crate::engine::{self, Summed, logged};
use crate::incidents::{Acting, Done};

const NOW: Time = Time::from_secs(1_772_445_600);

/// Writes down what it is told.
#[derive(Default)]
struct Injector(Mutex<Vec<String>>);

impl Injector {
    fn say(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Injecting for Injector {
    fn check(&self, _: &Experiment) -> Result<(), String> {
        Ok(())
    }

    fn inject(&self, order: Order) -> Result<(), String> {
        self.say(format!("inject {}", order.injects));
        Ok(())
    }

    fn renew(&self, _: &str, _: u64) -> Result<(), String> {
        self.say("renew".to_owned());
        Ok(())
    }

    fn withdraw(&self, run: &str, _: u64) {
        self.say(format!("withdraw {run}"));
    }

    fn halt(&self, halted: bool) {
        self.say(format!("halt {halted}"));
    }

    fn beats(&self) -> Vec<Beat> {
        Vec::new()
    }
}

struct Nobody;

impl Acting for Nobody {
    fn act<'a>(&'a self, _: &'a Act, _: Option<Time>, _: &'a str) -> Done<'a> {
        Box::pin(async { Ok(None) })
    }

    fn undo<'a>(&'a self, _: &'a Act, _: Option<&'a Value>, _: &'a str) -> Done<'a> {
        Box::pin(async { Ok(None) })
    }
}

fn plan() -> Plan {
    let listen = "127.0.0.1:0".parse().unwrap();
    Plan {
        service: "test".to_owned(),
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
        chaos: Chaos::default(),
        gamedays: Vec::new(),
    }
}

struct Bed {
    path: PathBuf,
    store: Arc<dyn Store>,
    injector: Arc<Injector>,
    experiments: Experiments,
}

impl Bed {
    async fn new() -> Bed {
        static PLACES: AtomicU64 = AtomicU64::new(0);
        let name = format!("mainstay-chaos-{}-{}", std::process::id(), PLACES.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Bed::at(path).await
    }

    async fn at(path: PathBuf) -> Bed {
        let store: Arc<dyn Store> = Arc::new(Sqlite::open(&path.join("store.db"), Options::default()).await.unwrap());
        Bed::on(path, store).await
    }

    async fn on(path: PathBuf, store: Arc<dyn Store>) -> Bed {
        let setup = engine::Setup {
            terms: engine::Terms::default(),
            source: Box::new(Summed::default),
            on_event: Box::new(drop),
            clock: Arc::new(|| NOW),
            instance: "test".to_owned(),
        };
        let (engine, _) = Engine::restore(Arc::clone(&store), setup).await.unwrap();
        let terms = DeskTerms {
            service: "test".to_owned(),
            environment: "demo".to_owned(),
            incidents: IncidentTerms::default(),
            reach: Reach::default(),
        };
        let (incidents, _) = Incidents::open(&engine, terms, Arc::new(Nobody), Box::new(drop), 1).await.unwrap();
        let injector = Arc::new(Injector::default());
        let setup = Setup {
            plan: Arc::new(plan()),
            injecting: Arc::clone(&injector) as _,
            status: Box::new(|| None),
            on_event: Box::new(drop),
            seed: 1,
        };
        let (experiments, _) = Experiments::open(&engine, incidents, setup).await.unwrap();
        Bed { path, store, injector, experiments }
    }

    /// Begins a run, without a look at the plan.
    async fn begin(&self, lead_in: &str) -> (String, Result<(), StoreError>) {
        let text = format!(
            r#"{{"name":"x","hypothesis":"h","route":"score","fault":{{"model_error":{{}}}},"duration":"1m","lead_in":"{lead_in}"}}"#
        );
        let experiment: Experiment = serde_json::from_str(&text).unwrap();
        let start = Start { plan: plan_hash(&experiment), experiment, by: String::new(), hold: None, gameday: None };
        let mut runner = self.experiments.lock().await;
        let id = runner.handle_start(start, &Situation::default(), NOW).unwrap();
        let rests = self.experiments.settle(&mut runner, Vec::new(), false).await;
        (id, rests)
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

#[tokio::test]
async fn a_fault_goes_where_the_store_fails() {
    let bed = Bed::new().await;
    let (id, rests) = bed.begin("0s").await;
    rests.unwrap();
    assert_eq!(bed.injector.told(), ["inject true"]);
    bed.store.close().await.unwrap();
    let stopped = bed.experiments.stop(&id, "ada", "enough").await;
    assert!(matches!(stopped, Err(ChaosError::Owed(_))), "{stopped:?}");
    let told = bed.injector.told();
    assert!(told.contains(&format!("withdraw {id}")) && !told.iter().any(|it| it.starts_with("inject")), "{told:?}");
    let halted = bed.experiments.put_halt("ada", "fire").await;
    assert!(matches!(halted, Err(ChaosError::Owed(_))), "{halted:?}");
    assert!(bed.injector.told().contains(&"halt true".to_owned()));
    // What lets faults in again must rest first.
    assert!(matches!(bed.experiments.end_halt("ada", "over").await, Err(ChaosError::Store(_))));
    assert!(bed.experiments.halt().await.is_some());
    assert!(!bed.injector.told().contains(&"halt false".to_owned()));
}

#[tokio::test]
async fn runs_of_two_that_share_a_store_have_different_numbers_and_both_see_them() {
    let one = Bed::new().await;
    let other = Bed::on(one.path.clone(), Arc::clone(&one.store)).await;
    let text =
        r#"{"name":"x","hypothesis":"h","route":"score","fault":{"model_error":{}},"duration":"1m","lead_in":"0s"}"#;
    let experiment: Experiment = serde_json::from_str(text).unwrap();
    let start = Start { plan: plan_hash(&experiment), experiment, by: String::new(), hold: None, gameday: None };
    let begin = async |bed: &Bed| {
        let mut runner = bed.experiments.lock().await;
        bed.experiments.begin(&mut runner, &start, &Situation::default(), "ada").await.unwrap()
    };
    let (first, second) = tokio::join!(begin(&one), begin(&other));
    let mut ids = [first, second];
    ids.sort();
    assert_eq!(ids, ["EXP-2026-0001", "EXP-2026-0002"]);
    for bed in [&one, &other] {
        assert_eq!(bed.injector.told(), ["inject true"]);
        let seen = bed.experiments.each(|run| Some(run.id.clone())).await.unwrap();
        assert_eq!(seen, ["EXP-2026-0002", "EXP-2026-0001"]);
    }
}

/// Whether a future that is asked once is not ready.
async fn waits<F: Future>(future: &mut std::pin::Pin<&mut F>) -> bool {
    std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

/// Whoever has the runner may be waiting for a store that hangs.
#[tokio::test]
async fn a_fault_goes_before_anything_is_waited_for() {
    let bed = Bed::new().await;
    let (id, rests) = bed.begin("0s").await;
    rests.unwrap();
    assert_eq!(bed.injector.told(), ["inject true"]);
    let busy = bed.experiments.lock().await;
    let mut stop = pin!(bed.experiments.stop(&id, "ada", "enough"));
    assert!(waits(&mut stop).await);
    assert_eq!(bed.injector.told(), [format!("withdraw {id}")]);
    let mut halt = pin!(bed.experiments.put_halt("ada", "fire"));
    assert!(waits(&mut halt).await);
    assert_eq!(bed.injector.told(), ["halt true"]);
    // What is refused touches nothing.
    assert!(matches!(bed.experiments.put_halt("ada", " ").await, Err(ChaosError::Refused(_))));
    assert_eq!(bed.injector.told(), Vec::<String>::new());
    drop(busy);
    let (stopped, halted) = tokio::join!(stop, halt);
    stopped.unwrap();
    halted.unwrap();
    assert!(bed.experiments.halt().await.is_some());
}

/// A start of which nobody knows whether it rests takes its id with it: the next one goes through.
#[tokio::test]
async fn a_start_that_may_rest_blocks_no_other() {
    let bed = Bed::new().await;
    let (first, rests) = bed.begin("0s").await;
    rests.unwrap();
    bed.experiments.stop(&first, "ada", "enough").await.unwrap();
    let run = bed.experiments.run(&first).await.unwrap().unwrap();
    let next = Run { id: first.replace("-0001", "-0002"), ..run.clone() };
    bed.store.change(vec![at_rest::rest_run(&next, true)], NOW).await.unwrap();
    let mut runner = bed.experiments.lock().await;
    let over = runner.runs().map(|it| it.id.clone()).collect::<Vec<_>>();
    for id in over {
        runner.handle_timeout(NOW + Duration::from_hours(1));
        assert!(runner.run(&id).is_none());
    }
    bed.experiments.settle(&mut runner, Vec::new(), false).await.unwrap();
    drop(runner);
    let start = Start {
        plan: run.plan.clone(),
        experiment: run.experiment.clone(),
        by: String::new(),
        hold: None,
        gameday: None,
    };
    let begun = |bed: &Bed| {
        let (experiments, start) = (bed.experiments.clone(), start.clone());
        async move {
            let mut runner = experiments.lock().await;
            let mut next = runner.clone();
            let id = next.handle_start(start, &Situation::default(), NOW).unwrap();
            experiments.store_start(&mut runner, next, &id, Vec::new()).await.map(|()| id)
        }
    };
    assert!(begun(&bed).await.is_err());
    assert_eq!(begun(&bed).await.unwrap(), first.replace("-0001", "-0003"));
}

#[tokio::test]
async fn no_fault_comes_that_does_not_rest() {
    for lead_in in ["0s", "1m"] {
        let bed = Bed::new().await;
        bed.store.close().await.unwrap();
        let (_, rests) = bed.begin(lead_in).await;
        assert!(rests.is_err());
        let told = bed.injector.told();
        assert!(!told.iter().any(|it| it.starts_with("inject")), "{told:?}");
    }
}

#[tokio::test]
async fn what_rests_is_found_again_and_a_halt_is_told_first() {
    let bed = Bed::new().await;
    let (id, rests) = bed.begin("0s").await;
    rests.unwrap();
    bed.experiments.put_halt("ada", "fire").await.unwrap();
    let path = bed.path.clone();
    bed.store.close().await.unwrap();
    std::mem::forget(bed);
    let again = Bed::at(path).await;
    let told = again.injector.told();
    assert_eq!(told[0], "halt true", "{told:?}");
    assert!(told.contains(&format!("withdraw {id}")) && !told.iter().any(|it| it.starts_with("inject")), "{told:?}");
    let run = again.experiments.run(&id).await.unwrap().unwrap();
    assert!(run.journal.iter().any(|line| line.what == "inject"), "{:?}", run.journal);
    let audit = again.store.audit(0, 10).await.unwrap();
    assert!(audit.iter().any(|it| it.entry.action == "chaos.halt" && it.entry.actor == "ada"), "{audit:?}");
    let known = again.experiments.each(|run| Some(run.id.clone())).await.unwrap();
    assert_eq!(known, [id]);
}

#[test]
fn what_is_owed_becomes_what_it_is_in_the_end() {
    let rests = |bodies: &[&str]| Rests {
        changes: bodies.iter().map(|body| crate::incidents::at_rest::put("k", "id", body)).collect(),
        told: Vec::new(),
    };
    let changes = rests(&["a"]).and(rests(&["b", "c"])).changes;
    assert_eq!(changes, [crate::incidents::at_rest::put("k", "id", &"c")]);
    let event = || logged(&Event { at: NOW, kind: EventKind::Draining {} });
    let many = Rests { changes: (0..2 * OWED_MAX).map(|_| event()).collect(), told: Vec::new() };
    let changes = rests(&["a"]).and(many).changes;
    assert!(changes.len() == OWED_MAX && matches!(changes[0], Change::Document { .. }));
}

#[test]
fn a_hash_is_of_the_whole_plan() {
    let text = r#"{"name":"x","hypothesis":"h","route":"score","fault":{"model_error":{}},"duration":"1m"}"#;
    let experiment: Experiment = serde_json::from_str(text).unwrap();
    let hash = plan_hash(&experiment);
    assert!(hash.len() == 64 && hash.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c)), "{hash}");
    assert_eq!(hash, plan_hash(&experiment.clone()));
    for edited in [text.replace("1m", "2m"), text.replace("{}", r#"{"status":500}"#), text.replace("\"h\"", "\"i\"")] {
        assert_ne!(plan_hash(&serde_json::from_str(&edited).unwrap()), hash, "{edited}");
    }
}
