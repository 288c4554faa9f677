//! The lever that halts everything, and stays where it is.

use serde_json::{Value, json};

use crate::bed::{Bed, experiment};

const HALT: &str = "/api/v1/chaos/halt";

#[test]
fn a_halt_ends_what_is_in_force_and_lasts_until_it_is_released() {
    let mut bed = Bed::new("halt", "demo", "");
    let traffic = bed.traffic();
    let asked = json!({ "experiment": experiment("late", json!({})) });
    let id = bed.start(&asked);
    bed.phase(&id, "injecting");
    bed.meets();
    for wrong in [json!({}), json!({ "reason": " " }), json!({ "reason": "x", "more": 1 })] {
        assert_eq!(bed.admin("PUT", HALT, &wrong).0, 422, "{wrong}");
    }
    let (status, halt) = bed.admin("PUT", HALT, &json!({ "reason": "something is on fire" }));
    assert_eq!((status, &halt["halted"]), (200, &json!(true)), "{halt:#}");
    bed.spared();
    let run = bed.phase(&id, "ended");
    assert_eq!(run["stopped"]["reason"], "halt", "{:#}", run["stopped"]);
    let refused = |bed: &Bed| {
        let (status, answer) = bed.admin("POST", "/api/v1/experiments", &asked);
        assert_eq!((status, &answer["refusals"][0]["code"]), (422, &json!("halted")), "{answer:#}");
    };
    refused(&bed);
    drop(traffic);
    bed.server.end("KILL");
    bed.restart();
    assert_eq!(bed.get(HALT)["reason"], "something is on fire");
    assert_eq!(bed.get("/api/v1/status")["halt"]["halted"], true);
    refused(&bed);
    bed.server.end("TERM");
    bed.restart();
    refused(&bed);
    assert_eq!(bed.admin("DELETE", HALT, &Value::Null).0, 400);
    assert_eq!(bed.admin("DELETE", HALT, &json!({ "reason": "" })).0, 422);
    assert_eq!(bed.admin("DELETE", HALT, &json!({ "reason": "it was a drill" })).0, 204);
    assert_eq!(bed.get(HALT), json!({ "halted": false }));
    let _traffic = bed.traffic();
    let id = bed.start(&asked);
    bed.phase(&id, "injecting");
    bed.meets();
    // A clean end takes the fault away first and says so.
    bed.server.end("TERM");
    bed.restart();
    let _traffic = bed.traffic();
    let run = bed.phase(&id, "ended");
    assert!(run["stopped"]["text"].as_str().unwrap().contains("the service stops"), "{:#}", run["stopped"]);
}
