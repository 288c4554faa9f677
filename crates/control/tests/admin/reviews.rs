//! Requests that wait for a person, over the API.

use serde_json::json;

use crate::assert_problem;
use crate::support::{Answer, Server};

async fn post(server: &Server, body: serde_json::Value) -> Answer {
    let headers = [("content-type", "application/json")];
    server.send("POST", "/api/v1/reviews", &headers, &body.to_string()).await
}

#[tokio::test]
async fn a_request_is_listed_claimed_and_decided_once() {
    let server = Server::start().await;
    let page = server.get("/api/v1/reviews?limit=1").await.json();
    assert_eq!((&page["queue"], &page["reviews"][0]["id"], &page["next"]), (&json!("risk"), &json!(1), &json!(1)));
    let page = server.get("/api/v1/reviews?queue=risk&state=waiting&after=1").await.json();
    assert_eq!((&page["reviews"][0]["request_id"], &page["next"]), (&json!("r2"), &json!(null)));

    let claimed = post(&server, json!({ "action": "claim", "by": "ana", "lease": "10m" })).await.json();
    assert_eq!((&claimed["id"], &claimed["state"]), (&json!(1), &json!("claimed")));
    assert_eq!(claimed["claimed_until"], "2026-03-01T12:10:00Z");
    let other = post(&server, json!({ "action": "claim", "id": 1, "by": "bo" })).await;
    assert_problem(&other, 409, "conflict");

    let decide = |by: &str, decision: &str| json!({ "action": "decide", "id": 1, "by": by, "decision": decision });
    assert_problem(&post(&server, decide("bo", "allow")).await, 409, "conflict");
    for _ in 0..2 {
        let decided = post(&server, decide("ana", "block")).await;
        assert_eq!((decided.status, decided.json()["decision"].clone()), (200, json!("block")));
    }
    assert_problem(&post(&server, decide("ana", "allow")).await, 409, "conflict");
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_is_told() {
    let server = Server::start().await;
    assert_problem(&server.get("/api/v1/reviews?queue=none").await, 404, "not-found");
    assert_problem(&server.get("/api/v1/reviews?state=lost").await, 422, "invalid");
    assert_problem(&server.get("/api/v1/reviews?limit=0").await, 422, "invalid");
    assert_problem(&server.get("/api/v1/reviews?page=2").await, 400, "bad-request");
    let missing = json!({ "action": "decide", "by": "ana", "decision": "allow" });
    assert_problem(&post(&server, missing).await, 422, "invalid");
    let nobody = json!({ "action": "claim", "by": " " });
    assert_problem(&post(&server, nobody).await, 422, "invalid");
    let unknown = json!({ "action": "decide", "id": 99, "by": "ana", "decision": "allow" });
    assert_problem(&post(&server, unknown).await, 404, "not-found");
    server.stop().await;
}
