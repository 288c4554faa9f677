//! Agreeing to a plan, stopping a run, and the lever that halts all.

use hyper::Method;
use serde_json::{Value, json};

use super::document::Asked;
use super::{HALT, PATH, one};
use crate::cli::{ChaosApprove, Global};
use crate::client;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::words::{when, word};

pub(super) fn approve(global: &Global, options: &ChaosApprove) -> Result<Exit, Stop> {
    let asked = Asked::read(global, &options.experiment)?;
    let experiment = match &asked {
        Asked::Named(_) => Value::Null,
        Asked::Given(experiment) => json!(experiment),
    };
    let body = json!({ "plan": options.plan, "until": options.until, "experiment": experiment });
    let path = format!("{PATH}/{}/approve", client::segment(asked.name()));
    let answer = client::call(global, Method::POST, &path, Some(&client::without_nulls(body)))?;
    tell(global, &answer, || format!("{} may be run until {}", word(&answer["experiment"]), when(&answer["until"])))
}

pub(super) fn stop(global: &Global, run: &str, reason: &str) -> Result<Exit, Stop> {
    let body = json!({ "reason": reason });
    let answer = client::call(global, Method::POST, &format!("{}/stop", one(run)), Some(&body))?;
    tell(global, &answer, || format!("{} is stopped: {}", word(&answer["run"]["id"]), word(&answer["run"]["phase"])))
}

pub(super) fn halt(global: &Global, reason: &str) -> Result<Exit, Stop> {
    let answer = client::call(global, Method::PUT, HALT, Some(&json!({ "reason": reason })))?;
    tell(global, &answer, || "nothing is injected until `mainstay chaos resume --reason WHY`".to_owned())
}

pub(super) fn resume(global: &Global, reason: &str) -> Result<Exit, Stop> {
    let answer = client::call(global, Method::DELETE, HALT, Some(&json!({ "reason": reason })))?;
    tell(global, &answer, || "faults may be injected again".to_owned())
}

fn tell(global: &Global, answer: &Value, said: impl FnOnce() -> String) -> Result<Exit, Stop> {
    match global.format {
        Format::Json if !answer.is_null() => output::json(answer)?,
        Format::Json | Format::Human => output::say(format_args!("{}", said())),
    }
    Ok(Exit::Fine)
}
