//! The demo's game day: faults that the gateway makes itself, judged by machine, before anything breaks in earnest.

use std::time::Duration;

use anyhow::anyhow;
use hyper::Method;
use mainstay_core::chaos::gameday::Scenario;
use serde_json::{Value, json};

use super::criteria::Criterion;
use super::load::{Load, Stretch};
use super::place::Place;
use super::script::RATE;
use super::tally::Tally;
use crate::cli::Global;
use crate::client;
use crate::exit::Stop;
use crate::output;
use crate::words::array;

const SCENARIO: &str = include_str!("../../data/gameday.md");
/// Traffic before, from which the gates know how the route does.
const WARM_UP: Duration = Duration::from_secs(5);
/// How often is looked at what happens.
const EVERY: Duration = Duration::from_millis(500);
/// How long it takes at most.
const ROUNDS_MAX: usize = 600;

/// Goes through the game day under the demo's usual traffic, and answers with its record; its reports are kept.
pub(super) async fn go_through(global: &Global, load: &mut Load, place: &Place) -> Result<Value, Stop> {
    drive(load, WARM_UP).await;
    let body = json!({ "scenario": scenario()? });
    let mut record = client::ask(global, Method::POST, "/api/v1/gamedays", Some(&body)).await?;
    let path = format!("/api/v1/gamedays/{}", record["id"].as_str().unwrap_or_default());
    for _ in 0..ROUNDS_MAX {
        if record["phase"] != "running" {
            break;
        }
        drive(load, EVERY).await;
        answer_pages(global).await?;
        record = client::ask(global, Method::GET, &path, None).await?;
    }
    for (form, file) in [("md", "gameday.md"), ("html", "gameday.html"), ("json", "gameday.json")] {
        let text = client::ask_text(global, &format!("{path}/report?format={form}")).await?;
        if place.is_kept() {
            let written = place.write(file, &text).map_err(Stop::unreachable)?;
            output::say(format_args!("game day   {}", written.display()));
        }
    }
    // Whatever the last fault opened is over before anything else begins.
    drive(load, WARM_UP).await;
    answer_pages(global).await?;
    Ok(record)
}

fn scenario() -> Result<Scenario, Stop> {
    let (scenario, findings) = mainstay_config::scenario("gameday.md", SCENARIO);
    scenario.ok_or_else(|| Stop::bug(anyhow!("{}", mainstay_config::render(&findings, "gameday.md", SCENARIO, false))))
}

/// The demo's usual traffic. What callers saw of it is judged by the game day's own criteria.
async fn drive(load: &mut Load, length: Duration) {
    load.drive(Stretch { phase: 0, rate: RATE, length }, &mut Tally::default(), |_, _| {}).await;
}

/// Takes what was paged, and resolves it once no fault is in force: the next experiment waits for that.
async fn answer_pages(global: &Global) -> Result<(), Stop> {
    let status = client::ask(global, Method::GET, "/api/v1/status", None).await?;
    let injecting = array(&status["experiments"]).iter().any(|run| run["phase"] == "injecting");
    let open = client::ask(global, Method::GET, "/api/v1/incidents?status=open", None).await?;
    for incident in array(&open["incidents"]) {
        let path = format!("/api/v1/incidents/{}", incident["id"].as_str().unwrap_or_default());
        if incident["status"] == "detected" {
            client::ask(global, Method::POST, &format!("{path}/ack"), Some(&json!({}))).await?;
        }
        if !injecting {
            let over = json!({ "status": "resolved", "reason": "the experiment is over" });
            client::ask(global, Method::POST, &format!("{path}/status"), Some(&over)).await?;
        }
    }
    Ok(())
}

/// Whether it was gone through, and well.
pub(super) fn judge(record: &Value) -> [Criterion; 2] {
    let steps = array(&record["steps"]);
    let run = steps.iter().filter(|step| step["run"].is_string()).count();
    let outcomes = steps.iter().chain([record]).flat_map(|it| array(&it["results"]));
    let missed: Vec<String> = outcomes
        .clone()
        .filter(|outcome| outcome["held"] != true)
        .map(|outcome| format!("{}: {}", outcome["name"], outcome["measured"]))
        .collect();
    let all = outcomes.count();
    let named = if missed.is_empty() { String::new() } else { format!("; not: {}", missed.join("; ")) };
    [
        Criterion {
            name: "game day: each of its experiments was run and judged",
            held: run == 3 && record["phase"] == "ended",
            measured: format!("{run} of 3"),
        },
        Criterion {
            name: "game day: every criterion held",
            held: record["passed"] == true && all > 0 && missed.is_empty(),
            measured: format!("{} of {all}{named}", all - missed.len()),
        },
    ]
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_scenario_can_be_read() {
        assert!(super::scenario().is_ok_and(|scenario| scenario.steps.len() == 3));
    }
}
