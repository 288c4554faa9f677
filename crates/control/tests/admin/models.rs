//! Models and runs over a real store, with somebody who serves and sometimes refuses.

use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mainstay_control::{Champion, Registry, Serving, Site};
use mainstay_core::event::{Event, EventKind};
use mainstay_core::time::Time;
use mainstay_store::change::Change;
use mainstay_store::record::Expect;
use mainstay_store::registry::Move;
use mainstay_store::{Options, Sqlite, Store};
use serde_json::{Value, json};

use crate::support::{Plane, Server};
use crate::{assert_problem, problem};

/// A model server that does as it is told, unless it is broken.
pub(crate) struct ModelServer {
    serves: Mutex<String>,
    pub(crate) broken_for: Mutex<Vec<String>>,
    budget: Mutex<Option<String>>,
    events: Mutex<Vec<Event>>,
}

impl ModelServer {
    pub(crate) fn new() -> Arc<ModelServer> {
        Arc::new(ModelServer {
            serves: Mutex::default(),
            broken_for: Mutex::default(),
            budget: Mutex::default(),
            events: Mutex::default(),
        })
    }

    pub(crate) fn serves(&self) -> String {
        self.serves.lock().unwrap().clone()
    }

    pub(crate) fn break_for(&self, version: &str) {
        self.broken_for.lock().unwrap().push(version.to_owned());
    }
}

impl Serving for ModelServer {
    fn tell<'a>(&'a self, champion: &'a Champion) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>> {
        Box::pin(async {
            if self.broken_for.lock().unwrap().contains(&champion.version) {
                return Err("the hook answered 500".to_owned());
            }
            self.serves.lock().unwrap().clone_from(&champion.version);
            Ok(())
        })
    }

    fn refuses_promotion(&self, _: &str) -> Option<String> {
        self.budget.lock().unwrap().clone()
    }

    fn note(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }

    fn now(&self) -> Time {
        Time::from_secs(1_772_366_400)
    }
}

pub(crate) struct Place {
    pub(crate) server: Server,
    pub(crate) models: Arc<ModelServer>,
    pub(crate) store: Arc<dyn Store>,
}

impl Place {
    pub(crate) async fn new() -> Place {
        static PLACES: AtomicUsize = AtomicUsize::new(0);
        let name = format!("models-{}-{}", std::process::id(), PLACES.fetch_add(1, Ordering::Relaxed));
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let store = Sqlite::open(&directory.join("a.db"), Options::default()).await.unwrap();
        let (models, store) = (ModelServer::new(), Arc::new(store) as Arc<dyn Store>);
        let server = serve(&store, &models).await;
        Place { server, models, store }
    }

    pub(crate) async fn register(&self, version: &str, gates: &str) {
        let body = json!({
            "digest": format!("sha256:{version}"), "gates": gates, "metrics": {"accuracy": 0.97},
            "data_max_event_time": "2026-03-01T06:00:00Z", "lineage": {"run": "r1", "data": "sha256:d"},
        });
        let path = format!("/api/v1/models/fraud/versions/{version}");
        let answer = self.server.put(&path, &body.to_string()).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    pub(crate) async fn champion(&self) -> Value {
        self.server.get("/api/v1/models/fraud").await.json()["champion"].clone()
    }

    pub(crate) async fn promote(&self, version: &str) -> u16 {
        let body = json!({ "version": version }).to_string();
        self.server.post("/api/v1/models/fraud/promote", &body).await.status
    }
}

async fn serve(store: &Arc<dyn Store>, models: &Arc<ModelServer>) -> Server {
    let plane = Arc::new(Plane::new());
    let registry = Registry::open(Arc::clone(store), models.clone()).await.unwrap();
    let site = Site::new(plane.clone()).with_registry(registry);
    Server::start_admin(&[], plane, site, |admin| admin.with_key([7; 32])).await
}

#[tokio::test]
async fn a_version_that_passed_becomes_champion_and_is_served() {
    let place = Place::new().await;
    place.register("1", "passed").await;
    place.register("2", "passed").await;
    assert_eq!(place.champion().await, Value::Null);
    assert_eq!(place.promote("1").await, 200);
    let answer = place.server.post("/api/v1/models/fraud/promote", r#"{"version":"2","expect":"1"}"#).await;
    let said = json!({"model":"fraud","version":"2","previous":"1","champion":"2","outcome":"promoted"});
    assert_eq!(answer.json(), said);
    assert_eq!((place.champion().await, place.models.serves()), (json!("2"), "2".to_owned()));
    let model = place.server.get("/api/v1/models").await.json()["models"][0].clone();
    assert_eq!(model["data_age_s"], 21_600.0);
    let stages: Vec<_> = model["versions"].as_array().unwrap().iter().map(|v| (&v["version"], &v["stage"])).collect();
    assert_eq!(stages, [(&json!("2"), &json!("champion")), (&json!("1"), &json!("archived"))]);
    assert_eq!(model["versions"][0]["lineage"]["data"], "sha256:d");
    let metrics = place.server.get("/metrics").await.body;
    let age = r#"mainstay_model_data_timestamp_seconds{model="fraud",model_version="2"} 1772344800"#;
    assert!(metrics.contains(age), "{metrics}");
    place.server.stop().await;
}

#[tokio::test]
async fn a_failed_gate_a_spent_budget_and_a_moved_champion_leave_the_pointer_where_it_is() {
    let place = Place::new().await;
    place.register("1", "passed").await;
    place.register("2", "failed").await;
    place.register("3", "not_run").await;
    place.register("4", "passed").await;
    assert_eq!(place.promote("1").await, 200);
    let promote = "/api/v1/models/fraud/promote";
    for (body, detail) in [
        (r#"{"version":"2"}"#, "the gates of version `2` failed"),
        (r#"{"version":"3"}"#, "the gates of version `3` were not run"),
        (r#"{"version":"9"}"#, "there is no version `9`"),
        (r#"{"version":"1"}"#, "version `1` is the champion already"),
        (r#"{"version":"4","expect":"0"}"#, "the champion is `1`, not `0`"),
    ] {
        let answer = place.server.post(promote, body).await;
        assert_problem(&answer, 409, "promotion-refused");
        assert_eq!(answer.json()["detail"], detail);
        assert_eq!((place.champion().await, place.models.serves()), (json!("1"), "1".to_owned()));
    }
    *place.models.budget.lock().unwrap() = Some("availability is exhausted".to_owned());
    let answer = place.server.post(promote, r#"{"version":"4"}"#).await;
    assert!(answer.json()["detail"].as_str().unwrap().contains("availability is exhausted"), "{answer:?}");
    let answer = place.server.post(promote, r#"{"version":"4","force":true}"#).await;
    assert_problem(&answer, 422, "invalid");
    let answer = place.server.post(promote, r#"{"version":"4","force":true,"reason":"it fixes the outage"}"#).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let audit = place.store.audit(0, 100).await.unwrap();
    assert!(audit.iter().any(|it| it.entry.reason == "it fixes the outage" && it.entry.actor == "anyone"));
    assert_problem(
        &place.server.post("/api/v1/models/other/promote", r#"{"version":"1"}"#).await,
        404,
        "unknown-model",
    );
    place.server.stop().await;
}

#[tokio::test]
async fn a_hook_that_fails_is_rolled_back_and_read_back() {
    let place = Place::new().await;
    place.register("1", "passed").await;
    place.register("2", "passed").await;
    place.models.break_for("1");
    assert_eq!(place.promote("1").await, 502);
    assert_eq!((place.champion().await, place.models.serves()), (Value::Null, String::new()));
    place.models.broken_for.lock().unwrap().clear();
    assert_eq!(place.promote("1").await, 200);
    place.models.break_for("2");
    let answer = place.server.post("/api/v1/models/fraud/promote", r#"{"version":"2"}"#).await;
    assert_problem(&answer, 502, "promotion-failed");
    let detail = "version `2`: rolled back; the champion was read back and is `1`; the hook answered 500";
    assert_eq!(answer.json()["detail"], detail);
    assert_eq!((place.champion().await, place.models.serves()), (json!("1"), "1".to_owned()));
    let moves = place.store.moves("fraud", "champion", 10).await.unwrap();
    let went: Vec<_> = moves.iter().rev().map(|it| it.version.as_str()).collect();
    assert_eq!(went, ["1", "", "1", "2", "1"], "every move is on record, and the pointer really moved");
    let kinds: Vec<_> = place.models.events.lock().unwrap().iter().map(|event| event.kind.clone()).collect();
    let last = kinds.last().unwrap();
    assert!(matches!(last, EventKind::ModelPromotionFailed { outcome, .. } if outcome == "rolled_back"), "{last:?}");
    place.server.stop().await;
}

#[tokio::test]
async fn rolling_back_twice_goes_back_two_champions() {
    let place = Place::new().await;
    for version in ["1", "2", "3"] {
        place.register(version, "passed").await;
        assert_eq!(place.promote(version).await, 200);
    }
    *place.models.budget.lock().unwrap() = Some("spent: but the way back stays open".to_owned());
    let rollback = "/api/v1/models/fraud/rollback";
    for earlier in ["2", "1"] {
        let answer = place.server.post(rollback, "{}").await;
        assert_eq!((answer.status, answer.json()["champion"].clone()), (200, json!(earlier)), "{answer:?}");
        assert_eq!(place.models.serves(), earlier);
    }
    assert_problem(&place.server.post(rollback, "{}").await, 409, "promotion-refused");
    assert_eq!(place.server.post(rollback, r#"{"to":"3"}"#).await.status, 200);
    assert_problem(&place.server.post(rollback, r#"{"to":"9"}"#).await, 409, "promotion-refused");
    place.server.stop().await;
}

#[tokio::test]
async fn what_a_crash_interrupted_is_taken_back_at_the_start() {
    let place = Place::new().await;
    place.register("1", "passed").await;
    place.register("2", "passed").await;
    assert_eq!(place.promote("1").await, 200);
    // As a process leaves it that is killed between the move and the hook.
    let changes = vec![
        Change::Move(Move {
            model: "fraud".to_owned(),
            pointer: "champion".to_owned(),
            expect: Some("1".to_owned()),
            version: "2".to_owned(),
            actor: "ada".to_owned(),
            reason: String::new(),
        }),
        Change::Document {
            kind: "promotion".to_owned(),
            id: "fraud".to_owned(),
            expect: Expect::Any,
            body: r#"{"from":"1","to":"2","ended":false}"#.to_owned(),
        },
    ];
    place.store.change(changes, place.models.now()).await.unwrap();
    assert_eq!(place.champion().await, json!("2"));
    let again = serve(&place.store, &place.models).await;
    assert_eq!(again.get("/api/v1/models/fraud").await.json()["champion"], json!("1"));
    assert_eq!(place.models.serves(), "1");
    again.stop().await;
    place.server.stop().await;
}

#[tokio::test]
async fn a_version_keeps_its_digest_and_says_what_is_wrong() {
    let place = Place::new().await;
    place.register("1", "not_run").await;
    let path = "/api/v1/models/fraud/versions/1";
    let answer = place.server.put(path, r#"{"digest":"sha256:1","gates":"passed"}"#).await;
    assert_eq!((answer.status, answer.json()["versions"][0]["gates"].clone()), (200, json!("passed")));
    assert_problem(&place.server.put(path, r#"{"digest":"sha256:other"}"#).await, 409, "version-taken");
    for body in [
        r#"{"digest":""}"#,
        r#"{"digest":"x","created":"yesterday"}"#,
        r#"{"digest":"x","gates":"perhaps"}"#,
        r#"{"digest":"x","gates":"passed","gate_results":[{"gate":"a","passed":false}]}"#,
        r#"{"digest":"x","unknown":1}"#,
    ] {
        assert_problem(&place.server.put(path, body).await, 422, "invalid");
    }
    place.server.stop().await;
}

#[tokio::test]
async fn runs_are_told_again_and_again_and_the_last_word_stays() {
    let place = Place::new().await;
    let put = async |revision: u32, state: &str, step: u32| {
        let body = json!({
            "name": "fraud", "revision": revision, "state": state, "started": "2026-03-01T11:00:00Z", "step": step,
            "total": 2000, "attempts": 2, "goodput": 0.9, "reason": "oom", "metrics": {"loss": 0.25},
            "status": {"anything": [1]},
        });
        place.server.put("/api/v1/runs/r1", &body.to_string()).await.json()["stored"].clone()
    };
    assert_eq!(put(1, "running", 10).await, json!(true));
    assert_eq!(put(3, "failed", 30).await, json!(true));
    assert_eq!(put(3, "failed", 30).await, json!(false), "the same again");
    assert_eq!(put(2, "running", 20).await, json!(false), "a late one");
    let run = place.server.get("/api/v1/runs/r1").await.json();
    assert_eq!((&run["state"], &run["step"], &run["status"]["anything"]), (&json!("failed"), &json!(30), &json!([1])));
    let runs = async |query: &str| {
        let answer = place.server.get(&format!("/api/v1/runs{query}")).await;
        answer.json()["runs"].as_array().map(Vec::len)
    };
    assert_eq!(
        (runs("").await, runs("?state=failed&name=fraud").await, runs("?state=running").await),
        (Some(1), Some(1), Some(0))
    );
    let failed = place.models.events.lock().unwrap().clone();
    let EventKind::TrainingFailed(ended) = &failed[0].kind else { panic!("{failed:?}") };
    assert_eq!((failed.len(), ended.run.as_str(), ended.reason.as_ref(), ended.step), (1, "r1", "oom", 30));
    let metrics = place.server.get("/metrics").await.body;
    assert!(metrics.contains(r#"mainstay_training_runs_total{name="fraud",state="failed"} 1"#), "{metrics}");
    assert_problem(&place.server.get("/api/v1/runs/none").await, 404, "unknown-run");
    assert_problem(&place.server.get("/api/v1/runs?limit=x").await, 400, "bad-request");
    for body in ["{}", r#"{"name":"","revision":1,"state":"running","started":"2026-03-01T11:00:00Z"}"#] {
        let (status, _) = problem(&place.server.put("/api/v1/runs/r2", body).await);
        assert_eq!(status, 422);
    }
    place.server.stop().await;
}
