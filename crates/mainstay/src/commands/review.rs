//! `mainstay review`: requests that wait for a person.

use hyper::Method;
use serde_json::{Value, json};

use crate::cli::{Global, ReviewCommand};
use crate::client;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::table::Table;
use crate::words::{lines, word};

const PATH: &str = "/api/v1/reviews";

/// Lists, claims or decides.
pub(crate) fn run(global: &Global, command: &ReviewCommand) -> Result<Exit, Stop> {
    let answer = match command {
        ReviewCommand::List { queue, state, after, limit } => {
            let mut path = format!("{PATH}?after={after}&limit={limit}");
            for (key, value) in [("queue", queue), ("state", state)] {
                if let Some(value) = value {
                    path = format!("{path}&{key}={}", client::segment(value));
                }
            }
            client::call(global, Method::GET, &path, None)?
        }
        ReviewCommand::Claim { id, queue, by, lease } => {
            post(global, &json!({ "action": "claim", "queue": queue, "id": id, "by": by, "lease": lease }))?
        }
        ReviewCommand::Decide { id, decision, queue, by, note } => post(
            global,
            &json!({ "action": "decide", "queue": queue, "id": id, "by": by, "decision": decision, "note": note }),
        )?,
    };
    match (global.format, command) {
        (Format::Json, _) => output::json(&answer)?,
        (Format::Human, ReviewCommand::List { .. }) => output::data(list(&answer))?,
        (Format::Human, ReviewCommand::Claim { .. }) => output::data(claimed(&answer))?,
        (Format::Human, ReviewCommand::Decide { id, decision, .. }) => {
            output::say(format_args!("request {id} is decided: {decision}"));
        }
    }
    Ok(Exit::Fine)
}

fn post(global: &Global, body: &Value) -> Result<Value, Stop> {
    client::call(global, Method::POST, PATH, Some(body))
}

fn list(answer: &Value) -> String {
    let mut table = Table::new(&["id", "state", "held", "route", "request", "why", "by", "decision"]);
    let reviews = answer["reviews"].as_array().map_or(&[][..], Vec::as_slice);
    for review in reviews {
        let keys = ["id", "state", "held_at", "route", "request_id", "reason", "by", "decision"];
        table.row(keys.map(|key| word(&review[key])).to_vec());
    }
    let more = answer["next"].as_u64().map_or_else(String::new, |next| format!("more: --after {next}\n"));
    if reviews.is_empty() { "nothing\n".to_owned() } else { format!("{table}{more}") }
}

fn claimed(review: &Value) -> String {
    format!(
        "request {} of route {}, yours until {}\n\n{}\n",
        word(&review["id"]),
        word(&review["route"]),
        word(&review["claimed_until"]),
        review["body"].as_str().map_or_else(|| word(&review["body"]), lines)
    )
}
