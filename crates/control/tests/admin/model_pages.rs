//! Models and training runs on the dashboard: champions that are made and unmade there, versions, curves.

use serde_json::{Value, json};

use crate::models::Place;
use crate::support::Answer;

const HTML: (&str, &str) = ("accept", "text/html");

impl Place {
    async fn page(&self, path: &str) -> String {
        let page = self.server.send("GET", path, &[HTML], "").await;
        assert_eq!(page.status, 200, "{path}: {page:?}");
        assert!(page.body.len() <= 50 << 10, "{path}: {} bytes", page.body.len());
        page.body
    }

    /// Sends a form of the page of the model, with what else it says.
    async fn send(&self, what: &str, fields: &str) -> Answer {
        let page = self.page("/models/fraud").await;
        let (_, rest) = page.split_once(r#"name="form" value=""#).expect("a form");
        let body = format!("form={}&{fields}", rest.split('"').next().unwrap());
        let form = ("content-type", "application/x-www-form-urlencoded");
        self.server.send("POST", &format!("/models/fraud/{what}"), &[HTML, form], &body).await
    }
}

#[tokio::test]
async fn a_champion_is_made_and_unmade_on_its_page() {
    let place = Place::new().await;
    place.register("1", "passed").await;
    place.register("2", "not_run").await;
    let page = place.page("/models/fraud").await;
    assert!(page.contains("Champion: none") && !page.contains("The way back"), "{page}");
    assert!(page.contains("Its gates have not passed") && page.contains(r#"href="/runs/r1""#), "{page}");
    let answer = place.send("promote", "version=1&expect=&reason=it+is+new").await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/models/fraud?done=promoted")), "{answer:?}");
    assert_eq!(place.champion().await, json!("1"));
    for (fields, status, said) in [
        ("version=2&expect=", 409, "the champion is `1`, not nothing yet"),
        ("version=2&expect=1", 409, "the gates of version `2` were not run"),
        ("version=2&expect=1&force=yes", 422, "say why"),
        ("version=9&expect=1", 409, "there is no version `9`"),
    ] {
        let answer = place.send("promote", fields).await;
        assert_eq!(answer.status, status, "{fields}: {answer:?}");
        assert!(answer.body.contains(said), "{fields}: {answer:?}");
    }
    let forced = place.send("promote", "version=2&expect=1&force=yes&reason=it+mends+the+outage").await;
    assert_eq!(forced.status, 303, "{forced:?}");
    let audit = place.store.audit(0, 100).await.unwrap();
    assert!(audit.iter().any(|it| it.entry.reason == "it mends the outage"));
    place.models.break_for("1");
    let broken = place.send("rollback", "expect=2&to=1").await;
    assert_eq!(broken.status, 502);
    assert!(broken.body.contains("the hook answered 500"), "{broken:?}");
    place.models.broken_for.lock().unwrap().clear();
    let back = place.send("rollback", "expect=2&to=&reason=worse").await;
    assert_eq!((back.status, back.header("location")), (303, Some("/models/fraud?done=rolled-back")), "{back:?}");
    assert_eq!((place.champion().await, place.models.serves()), (json!("1"), "1".to_owned()));
    place.server.stop().await;
}

#[tokio::test]
async fn every_version_and_every_earlier_champion_can_be_chosen() {
    let place = Place::new().await;
    for version in 1..=45 {
        place.register(&format!("v{version:03}"), "passed").await;
    }
    for version in ["v001", "v002", "v045"] {
        assert_eq!(place.promote(version).await, 200);
    }
    let first = place.page("/models/fraud").await;
    assert!(
        first.contains("1 to 20 of 45") && first.contains(">v045 ") && !first.contains(r#"value="v020""#),
        "{first}"
    );
    // The first champion is on the last page, and among those that one can go back to.
    assert!(first.contains(r#"<option value="v001">"#) && !first.contains(r#"<option value="v045">"#), "{first}");
    let last = place.page("/models/fraud?page=3").await;
    assert!(last.contains(r#"name="version" value="v003""#), "{last}");
    let list = place.page("/models?model=fr").await;
    assert!(list.contains(r#"href="/models/fraud""#) && list.contains("Champion: v045"), "{list}");
    assert!(place.page("/models?model=other").await.contains("No version of a model"));
    assert_eq!(place.send("rollback", "expect=v045&to=v001").await.status, 303);
    assert_eq!(place.champion().await, json!("v001"));
    let unknown = place.server.send("GET", "/models/farud", &[HTML], "").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.body.contains("there is no model `farud`: did you mean `fraud`?"), "{unknown:?}");
    place.server.stop().await;
}

#[tokio::test]
async fn a_run_shows_its_curves() {
    let place = Place::new().await;
    let points: Vec<Value> = (0..2_000).map(|step| json!([step * 10, 1.0 / f64::from(1 + step)])).collect();
    let body = json!({
        "name": "fraud", "revision": 1, "state": "failed", "started": "2026-03-01T11:00:00Z", "reason": "<b>oom",
        "step": 20_000, "metrics": {"loss": 0.25},
        "status": {"curves": {"loss<b>": points, "empty": [], "odd": [["x", 1], 7, {}], "one": [[5, 0.5]]}},
    });
    assert_eq!(place.server.put("/api/v1/runs/r1", &body.to_string()).await.status, 200);
    let page = place.page("/runs/r1").await;
    assert_eq!(page.matches("<svg").count(), 2, "those with values: {page}");
    for shown in ["loss&lt;b&gt;, 0 to 19990", ">5000</text>", ">15000</text>", "highest 1 at 0", "&lt;b&gt;oom"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    let list = place.page("/models?state=failed&name=fraud").await;
    assert!(list.contains(r#"href="/runs/r1""#), "{list}");
    assert!(!place.page("/models?state=running").await.contains(r#"href="/runs/r1""#));
    place.server.stop().await;
}

/// Everything in a path that is not a letter or a digit.
fn in_path(name: &str) -> String {
    name.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[tokio::test]
async fn pages_stay_short_where_every_name_is_as_long_as_it_may_be() {
    let place = Place::new().await;
    for filling in ["é", "\"", "n"] {
        let name = |n: usize| format!("{n:04}{}", filling.repeat(1_020 / filling.len()));
        for n in 0..25 {
            let body = json!({ "digest": "sha256:a", "gates": "passed", "lineage": {"run": name(n)} }).to_string();
            for (model, version) in [(name(1), name(n)), (name(100 + n), name(n))] {
                let path = format!("/api/v1/models/{}/versions/{}", in_path(&model), in_path(&version));
                assert_eq!(place.server.put(&path, &body).await.status, 201);
            }
            let run =
                json!({ "name": "r".repeat(200), "revision": 1, "state": "failed", "started": "2026-03-01T11:00:00Z" });
            let path = format!("/api/v1/runs/{}", in_path(&name(n)));
            assert_eq!(place.server.put(&path, &run.to_string()).await.status, 200);
        }
        let model = in_path(&name(1));
        for n in 0..25 {
            let body = json!({ "version": name(n) }).to_string();
            assert_eq!(place.server.post(&format!("/api/v1/models/{model}/promote"), &body).await.status, 200);
        }
        place.page("/models").await;
        let page = place.page(&format!("/models/{model}")).await;
        // What comes later is a page away, and nothing is lost.
        assert!(page.contains("rel=\"next\"") && page.contains("<option value=\"0"), "{page}");
        let last = place.page(&format!("/models/{model}?page=25")).await;
        assert!(last.contains("25 of 25"), "{last}");
    }
    place.server.stop().await;
}
