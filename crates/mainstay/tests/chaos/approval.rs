//! Somebody else's yes to a plan, and to no other.

use serde_json::{Value, json};

use crate::bed::{Bed, ask_as, experiment};

const EXPERIMENTS: &str = "/api/v1/experiments";

/// A service in production, with a person who starts and one who approves.
fn bed() -> Bed {
    let fails = std::sync::Arc::default();
    let place = crate::support::Place::new("chaos-approval");
    let text = crate::bed::config(
        crate::bed::backend(&fails),
        "production",
        "  allow: [{ from: \"00:00\", to: \"24:00\" }]\n",
    );
    let tokens = "admin: { listen: '127.0.0.1:0', tokens: [\
        { name: ada, role: operator, token: file:ada }, { name: bob, role: operator, token: file:bob }, { name: eve, role: responder, token: file:eve }] }\n";
    let text = text.replace("admin: { listen: '127.0.0.1:0' }\n", tokens);
    for name in ["ada", "bob", "eve"] {
        std::fs::write(place.0.join(name), format!("token-of-{name}-0123456789")).unwrap();
    }
    std::fs::write(place.0.join("mainstay.yaml"), text).unwrap();
    let server = crate::support::Server::start(&place);
    Bed { place, server, fails }
}

fn post(bed: &Bed, who: &str, path: &str, body: &Value) -> (u16, Value) {
    let token = format!("token-of-{who}-0123456789");
    ask_as(&bed.server.admin, &token, "POST", &format!("{EXPERIMENTS}{path}"), &body.to_string()).unwrap()
}

fn codes(answer: &Value) -> Vec<&str> {
    answer["refusals"].as_array().map_or(Vec::new(), |all| all.iter().map(|it| it["code"].as_str().unwrap()).collect())
}

#[test]
fn a_plan_needs_the_yes_of_somebody_else_and_an_edited_one_needs_another() {
    let mut bed = bed();
    let asked = |change: Value| json!({ "experiment": experiment("late", change), "dry_run": true });
    let (_, dry) = post(&bed, "ada", "", &asked(json!({})));
    assert_eq!(codes(&dry), ["approval_missing"], "{dry:#}");
    let plan = dry["plan"].as_str().unwrap().to_owned();
    assert!(plan.len() == 64 && plan.chars().all(|c| c.is_ascii_hexdigit()), "{plan}");
    // The one who starts it cannot be the one who agrees.
    let yes = |plan: &str| json!({ "plan": plan, "experiment": experiment("late", json!({})) });
    assert_eq!(post(&bed, "ada", "/late/approve", &yes(&plan)).0, 200);
    let (_, dry) = post(&bed, "ada", "", &asked(json!({})));
    assert_eq!(codes(&dry), ["own_approval"], "{dry:#}");
    // Another hash than that of the plan, an experiment of another name, or one that nobody knows.
    assert_eq!(post(&bed, "bob", "/late/approve", &yes(&"0".repeat(64))).0, 409);
    assert_eq!(post(&bed, "bob", "/early/approve", &yes(&plan)).0, 422);
    assert_eq!(post(&bed, "bob", "/late/approve", &json!({ "plan": plan })).0, 404);
    let past = json!({ "plan": plan, "experiment": experiment("late", json!({})), "until": "2001-01-01T00:00:00Z" });
    assert_eq!(post(&bed, "bob", "/late/approve", &past).0, 422);
    // Who may only respond neither agrees nor starts.
    assert_eq!(post(&bed, "eve", "/late/approve", &yes(&plan)).0, 403);
    assert_eq!(post(&bed, "eve", "", &asked(json!({}))).0, 403);
    let (status, approval) = post(&bed, "bob", "/late/approve", &yes(&plan));
    assert_eq!((status, &approval["by"], &approval["plan"]), (200, &json!("bob"), &json!(plan)), "{approval:#}");
    let (_, dry) = post(&bed, "ada", "", &asked(json!({})));
    assert_eq!(codes(&dry), [""; 0], "{dry:#}");
    // It outlives the process, and is of this plan alone.
    bed.server.end("KILL");
    bed.restart();
    let (_, dry) = post(&bed, "ada", "", &asked(json!({})));
    assert_eq!(codes(&dry), [""; 0], "{dry:#}");
    for edit in [json!({ "duration": "2h" }), json!({ "dose": "99%" }), json!({ "stop": { "burn": 100.0 } })] {
        let (status, refused) = post(&bed, "ada", "", &json!({ "experiment": experiment("late", edit.clone()) }));
        assert_eq!((status, codes(&refused)), (422, vec!["approval_other_plan"]), "{edit}: {refused:#}");
    }
}
