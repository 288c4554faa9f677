//! The dashboard of a service with a thousand objectives, ten thousand incidents, and a thousand of everything else.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay_control::engine::{Setup, Summed, Terms};
use mainstay_control::{Acting, Done, Engine, Incidents, Site};
use mainstay_core::incident::record::Act;
use mainstay_core::response::desk::Terms as DeskTerms;
use mainstay_core::response::reach::Reach;
use mainstay_core::route::Level;
use mainstay_core::slo::objective::{Budgeting, Kind, Objective, Scope};
use mainstay_core::slo::series::Counts;
use mainstay_core::slo::window::Window;
use mainstay_core::time::Time;
use mainstay_store::change::Change;
use mainstay_store::record::Expect;
use mainstay_store::{Options, Sqlite, Store};
use serde_json::{Value, json};

use crate::filled;
use crate::support::{Plane, Server};

pub(crate) const NOW: Time = Time::from_secs(1_772_366_400);
const OBJECTIVES: usize = 1_000;
const INCIDENTS: usize = 10_000;
/// The longest page, in bytes.
const PAGE_MAX: usize = 50 << 10;

pub(crate) struct Nobody;

impl Acting for Nobody {
    fn act<'a>(&'a self, _: &'a Act, _: Option<Time>, _: &'a str) -> Done<'a> {
        Box::pin(async { Ok(None) })
    }

    fn undo<'a>(&'a self, _: &'a Act, _: Option<&'a Value>, _: &'a str) -> Done<'a> {
        Box::pin(async { Ok(None) })
    }
}

pub(crate) fn desk() -> DeskTerms {
    DeskTerms {
        service: "scale".to_owned(),
        environment: "demo".to_owned(),
        incidents: mainstay_core::plan::Incidents::default(),
        reach: Reach::default(),
    }
}

fn objective(n: usize) -> Objective {
    let good_levels = Level::new(2).unwrap();
    Objective {
        // Names from outside may be as long as they like.
        name: if n == 0 { format!("<b>&{}", "n".repeat(9_996)) } else { format!("objective-{n}") },
        description: "<script>alert(1)</script>".repeat(400),
        scope: Scope::default(),
        window: Window::Rolling(Duration::from_hours(30 * 24)),
        budgeting: Budgeting::Occurrences,
        policy: None,
        kind: Kind::Availability { target: 0.999, min_confidence: 0.0, confidence_required: false, good_levels },
    }
}

/// What was counted in a month, in buckets of every size.
fn counted() -> Summed {
    let ages = [10, 60, 600, 3_600, 7_200, 40_000, 90_000, 400_000, 1_000_000, 2_000_000];
    let of = |n: usize| {
        let name = objective(n).name;
        let bad = if n.is_multiple_of(3) { 3 } else { 0 };
        ages.map(|age| (name.clone(), NOW - Duration::from_secs(age), Counts { good: 1_000, bad }))
    };
    Summed { counts: (0..OBJECTIVES).flat_map(of).collect(), ..Summed::default() }
}

async fn fill(store: &dyn Store) {
    let incident = |n: usize| {
        let id = format!("AI-202602{:02}-{:04}", 1 + n / 400, n % 400);
        let (status, word) = if n >= INCIDENTS - 20 { ("detected", "open") } else { ("post_mortem", "closed") };
        let body = json!({
            "id": id, "type": "serving_latency", "title": format!("{word} <img src=x> {}", "t".repeat(10_000)), "severity": "sev2",
            "status": status, "onset": "2026-02-01T00:00:00Z", "detected": "2026-02-01T00:01:00Z",
        });
        Change::Document { kind: "incident".to_owned(), id, body: body.to_string(), expect: Expect::Absent }
    };
    for some in (0..INCIDENTS).collect::<Vec<_>>().chunks(500) {
        store.change(some.iter().map(|n| incident(*n)).collect(), NOW).await.unwrap();
    }
}

/// The best of some tries: how long the others took says what else the machine did.
async fn fastest(server: &Server, path: &str) -> (Duration, String) {
    let mut best = (Duration::MAX, String::new());
    for _ in 0..15 {
        let start = Instant::now();
        let answer = server.send("GET", path, &[("accept", "text/html")], "").await;
        let took = start.elapsed();
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        if took < best.0 {
            best = (took, answer.body);
        }
    }
    best
}

#[tokio::test]
async fn pages_are_short_and_soon_with_a_thousand_objectives_and_ten_thousand_incidents() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("scale-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let store = Sqlite::open(&directory.join("a.db"), Options::default()).await.unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    fill(&*store).await;
    filled::fill(&*store).await;
    let mut counts = Some(counted());
    let setup = Setup {
        terms: Terms {
            slos: (0..OBJECTIVES).map(objective).collect(),
            routes: vec!["score".to_owned()],
            drift: filled::watched(),
            ..Terms::default()
        },
        source: Box::new(move || counts.take().unwrap_or_default()),
        on_event: Box::new(drop),
        clock: Arc::new(|| NOW),
        instance: "scale".to_owned(),
    };
    let (engine, running) = Engine::restore(Arc::clone(&store), setup).await.unwrap();
    let (incidents, _) = Incidents::open(&engine, desk(), Arc::new(Nobody), Box::new(drop), 1).await.unwrap();
    let running = tokio::spawn(running.until(std::future::pending()));
    let plane = Arc::new(Plane::with_routes(filled::MANY).keeping(filled::kept()));
    let site = Site::new(plane.clone());
    let site = filled::with_all(site, &engine, &incidents).await.with_engine(engine).with_incidents(incidents);
    let server = Server::start_admin(&[], plane, site, |admin| admin.with_key([1; 32])).await;
    while server.get("/api/v1/slos/objective-999").await.json()["total"] == 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for path in [
        "/",
        "/slos",
        "/slos?page=20",
        "/slos?q=objective-77&status=healthy",
        "/slos/objective-3",
        "/incidents",
        "/incidents?status=open",
        "/incidents?before=AI-20260210-0000",
        "/incidents/AI-20260225-0399",
        "/routes",
        "/routes?page=20",
        "/routes/score",
        "/backends",
        "/features",
        "/quality",
        "/drift/monitor-7",
        "/models",
        "/models?page=4&models=25",
        "/models?state=failed&name=training-1",
        "/models/model",
        "/models/model?page=25",
        "/runs/RUN-1",
        "/experiments",
        "/experiments?page=20&known=10",
        "/experiments?q=experiment-77",
        "/experiments/EXP-2026-0001",
        "/gamedays",
        "/gamedays?page=2&known=10&finding=50",
        "/gamedays/GD-2026-0001",
        "/explore",
        "/explore?page=20",
        "/explore?id=r-7",
    ] {
        let (took, page) = fastest(&server, path).await;
        // `cargo xtask bench pages` reads this.
        println!("{}", json!({ "page": path, "bytes": page.len(), "ms": took.as_secs_f64() * 1e3 }));
        assert!(page.len() <= PAGE_MAX, "{path}: {} bytes", page.len());
        assert!(
            !page.contains("<img") && !page.contains("<script>") && !page.contains("<b>"),
            "{path}: markup from outside"
        );
    }
    let narrow = fastest(&server, "/slos?q=objective-77&page=1").await.1;
    assert!(narrow.contains("11 of 1000 objectives"), "{narrow}");
    for (path, said) in [
        ("/routes", "1 to 50 of 1000"),
        // One of them has a name of 10,000 characters.
        ("/slos", "1 to 50 of 1000"),
        ("/quality", "1 to 50 of 200"),
        ("/models", "1 to 20 of 502"),
        ("/models/model", "1 to 20 of 499"),
        ("/experiments", "1 to 50 of 1000"),
        ("/experiments", "1 to 20 of 200"),
        ("/gamedays", "1 to 50 of 1000"),
        ("/gamedays", "1 to 20 of 1000"),
        ("/explore", "1 to 50 of 1000"),
        ("/gamedays/GD-2026-0001", "1 to 20 of 200"),
    ] {
        let page = fastest(&server, path).await.1;
        assert!(page.contains(said), "{path} does not say {said:?}");
    }
    let near = server.get("/api/v1/slos/objectve-3").await;
    assert!(near.body.contains("did you mean `objective-"), "{near:?}");
    running.abort();
    server.stop().await;
    std::fs::remove_dir_all(&directory).unwrap();
}
