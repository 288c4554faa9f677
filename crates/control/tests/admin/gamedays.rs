//! Game days of two processes that share a store.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use mainstay_control::engine::{Setup, Summed, Terms};
use mainstay_control::{Engine, Incidents, Site};
use mainstay_store::{Options, Sqlite, Store};

use crate::filled;
use crate::scale::{NOW, Nobody, desk};
use crate::support::{Plane, Server};

/// How many each of them begins.
const EACH: usize = 12;

/// One of the processes.
async fn process(store: &Arc<dyn Store>, instance: &str) -> Server {
    let setup = Setup {
        terms: Terms::default(),
        source: Box::new(Summed::default),
        on_event: Box::new(drop),
        clock: Arc::new(|| NOW),
        instance: instance.to_owned(),
    };
    let (engine, _) = Engine::restore(Arc::clone(store), setup).await.unwrap();
    let (incidents, _) = Incidents::open(&engine, desk(), Arc::new(Nobody), Box::new(drop), 1).await.unwrap();
    let plane = Arc::new(Plane::new());
    let site = filled::with_all(Site::new(plane.clone()), &engine, &incidents).await;
    Server::start_site(&[], plane, site.with_engine(engine).with_incidents(incidents)).await
}

async fn begin(server: &Server) -> String {
    let answer = server.post("/api/v1/gamedays", r#"{"name":"scenario-1","mode":"tabletop"}"#).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

async fn listed(server: &Server, query: &str) -> Vec<String> {
    let answer = server.get(&format!("/api/v1/gamedays{query}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let all = answer.json()["gamedays"].as_array().unwrap().clone();
    all.iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn two_that_share_a_store_number_game_days_together_and_list_those_of_both() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("two-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let store = Sqlite::open(&directory.join("a.db"), Options::default()).await.unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    let (one, other) = (process(&store, "one").await, process(&store, "other").await);

    // One is far ahead of what the other has seen.
    for nth in 1..=25 {
        assert_eq!(begin(&one).await, format!("GD-2026-{nth:04}"));
    }
    assert_eq!(begin(&other).await, "GD-2026-0026");

    let mut ids = BTreeSet::new();
    for _ in 0..EACH {
        let (here, there) = tokio::join!(begin(&one), begin(&other));
        assert!(ids.insert(here) && ids.insert(there), "a number was given twice");
    }
    let last = 26 + 2 * EACH;
    let all: Vec<String> = (1..=last).rev().map(|nth| format!("GD-2026-{nth:04}")).collect();
    assert!(ids.iter().rev().eq(&all[..2 * EACH]));
    for server in [&one, &other] {
        assert_eq!(listed(server, "").await, all);
        assert_eq!(listed(server, "?limit=3").await, all[..3]);
        assert!(server.get("/api/v1/gamedays/GD-2026-0026").await.body.contains("scenario-1"));
    }
    one.stop().await;
    other.stop().await;
    std::fs::remove_dir_all(&directory).unwrap();
}
