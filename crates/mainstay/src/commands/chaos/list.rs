//! `mainstay chaos list`: what may be run, and what was.

use hyper::Method;
use serde_json::{Value, json};

use super::{HALT, PATH, document};
use crate::cli::Global;
use crate::client;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::table::Table;
use crate::words::{array, when, word};

/// Runs that verdicts over time are told from.
const RUNS_MAX: usize = 1_000;
/// Verdicts of an experiment that are told, the last first.
const VERDICTS: usize = 5;

pub(super) fn run(global: &Global, route: Option<&str>, limit: u16) -> Result<Exit, Stop> {
    let mut path = format!("{PATH}?limit={RUNS_MAX}");
    if let Some(route) = route {
        path = format!("{path}&route={}", client::segment(route));
    }
    let known = document::catalogue(global)?;
    let runs = client::call(global, Method::GET, &path, None)?;
    let halt = client::call(global, Method::GET, HALT, None)?;
    let is_of_route = |entry: &&Value| route.is_none_or(|route| entry["experiment"]["route"] == route);
    let known: Vec<&Value> = array(&known["experiments"]).iter().filter(is_of_route).collect();
    let runs = array(&runs["runs"]);
    match global.format {
        Format::Json => {
            let runs = &runs[..runs.len().min(usize::from(limit))];
            output::json(&json!({ "halt": halt, "experiments": known, "runs": runs }))?;
        }
        Format::Human => {
            let halted = halted(&halt);
            let (known, last) = (experiments(&known, runs), last(runs, usize::from(limit)));
            output::data([halted, known, last].into_iter().flatten().collect::<Vec<_>>().join("\n"))?;
        }
    }
    Ok(Exit::Fine)
}

fn halted(halt: &Value) -> Option<String> {
    let text = || format!("halted by {} since {}: {}\n", word(&halt["by"]), when(&halt["at"]), word(&halt["reason"]));
    (halt["halted"] == true).then(text)
}

fn experiments(known: &[&Value], runs: &[Value]) -> Option<String> {
    let mut table =
        Table::new(&["experiment", "fault", "route", "blast", "for", "approval", "verdicts, the last first"]);
    for entry in known {
        let experiment = &entry["experiment"];
        let fault = experiment["fault"].as_object().and_then(|fault| fault.keys().next().cloned());
        table.row(vec![
            word(&experiment["name"]),
            fault.map_or_else(|| "-".to_owned(), |fault| word(&Value::String(fault))),
            word(&experiment["route"]),
            word(&experiment["blast"]),
            word(&experiment["duration"]),
            approval(entry),
            verdicts(&experiment["name"], runs),
        ]);
    }
    (!known.is_empty()).then(|| table.to_string())
}

fn approval(entry: &Value) -> String {
    let given = array(&entry["approvals"]).iter().map(|approval| &approval["until"]).max_by_key(|until| until.as_str());
    match (entry["needs_approval"] == true, given) {
        (_, Some(until)) => format!("until {}", when(until)),
        (true, None) => "needed".to_owned(),
        (false, None) => "-".to_owned(),
    }
}

/// What an experiment showed over time.
fn verdicts(name: &Value, runs: &[Value]) -> String {
    let of = runs.iter().filter(|run| run["experiment"] == *name);
    let told: Vec<String> = of.take(VERDICTS).map(outcome).collect();
    if told.is_empty() { "-".to_owned() } else { told.join(", ") }
}

fn outcome(run: &Value) -> String {
    if run["verdict"].is_null() { word(&run["phase"]) } else { word(&run["verdict"]) }
}

fn last(runs: &[Value], limit: usize) -> Option<String> {
    let mut table = Table::new(&["run", "experiment", "route", "started", "ended", "by", "outcome", "stopped for"]);
    for run in runs.iter().take(limit) {
        let mut row = ["id", "experiment", "route"].map(|key| word(&run[key])).to_vec();
        row.extend([when(&run["started"]), when(&run["ended"]), word(&run["by"]), outcome(run), word(&run["stopped"])]);
        table.row(row);
    }
    (!runs.is_empty()).then(|| table.to_string())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn experiments_are_told_with_what_they_showed() {
        let known = json!({
            "needs_approval": true,
            "approvals": [],
            "experiment": { "name": "a\u{1b}[m", "fault": { "overload": { "factor": 2.0 } }, "route": "score", "blast": "moderate", "duration": "15m" },
        });
        let runs = [
            json!({ "id": "EXP-2026-0002", "experiment": "a\u{1b}[m", "route": "score", "phase": "injecting", "started": "2026-03-01T12:00:00Z", "by": "ada" }),
            json!({ "id": "EXP-2026-0001", "experiment": "a\u{1b}[m", "route": "score", "phase": "ended", "started": "2026-03-01T11:00:00Z", "ended": "2026-03-01T11:20:00Z", "by": "", "verdict": "aborted", "stopped": "halt" }),
        ];
        let halt = json!({ "halted": true, "by": "bob", "reason": "launch", "at": "2026-03-01T10:00:00Z" });
        let all = [halted(&halt), experiments(&[&known], &runs), last(&runs, 20)];
        let shown = all.into_iter().flatten().collect::<Vec<_>>().join("\n");
        expect![[r"
            halted by bob since 2026-03-01 10:00:00: launch

            experiment  fault     route  blast     for  approval  verdicts, the last first
            ----------  --------  -----  --------  ---  --------  ------------------------
            a\u{1b}[m   overload  score  moderate  15m  needed    injecting, aborted

            run            experiment  route  started              ended                by   outcome    stopped for
            -------------  ----------  -----  -------------------  -------------------  ---  ---------  -----------
            EXP-2026-0002  a\u{1b}[m   score  2026-03-01 12:00:00  -                    ada  injecting  -
            EXP-2026-0001  a\u{1b}[m   score  2026-03-01 11:00:00  2026-03-01 11:20:00       aborted    halt
        "]]
        .assert_eq(&shown);
        assert_eq!((halted(&json!({ "halted": false })), last(&[], 1)), (None, None));
    }
}
