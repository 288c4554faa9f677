//! `mainstay incident list`, and what is open for `mainstay status`.

use hyper::Method;
use serde_json::Value;

use super::PATH;
use crate::cli::Global;
use crate::client;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::table::Table;
use crate::words::{array, clipped, listed, when, word};

/// Most characters of a title in a table.
const TITLE_MAX: usize = 100;

pub(super) fn run(global: &Global, of: &[(&str, &Option<String>)], limit: u16) -> Result<Exit, Stop> {
    let mut path = format!("{PATH}?limit={limit}");
    for (key, value) in of {
        if let Some(value) = value {
            path = format!("{path}&{key}={}", client::segment(value));
        }
    }
    let answer = client::call(global, Method::GET, &path, None)?;
    match global.format {
        Format::Json => output::json(&answer)?,
        Format::Human => output::data(list(array(&answer["incidents"])))?,
    }
    Ok(Exit::Fine)
}

fn list(incidents: &[Value]) -> String {
    if incidents.is_empty() {
        return "nothing\n".to_owned();
    }
    let mut table = Table::new(&["id", "severity", "status", "type", "detected", "taken by", "routes", "title"]);
    for incident in incidents {
        let over = if incident["proposed"].is_null() { "" } else { ", seems over" };
        let status = format!("{}{over}", word(&incident["status"]));
        table.row(vec![
            word(&incident["id"]),
            word(&incident["severity"]),
            status,
            word(&incident["type"]),
            when(&incident["detected"]),
            word(&incident["acknowledged_by"]),
            listed(&incident["routes"]),
            clipped(&incident["title"], TITLE_MAX),
        ]);
    }
    table.to_string()
}

/// Incidents that are open, for the screen of `status`; `None` where the service has none, or does not know of any.
pub(in crate::commands) fn open(global: &Global) -> Result<Option<Table>, Stop> {
    let answer = client::call_if_there(global, &format!("{PATH}?status=open"))?;
    Ok(answer.and_then(|answer| opened(array(&answer["incidents"]))))
}

fn opened(incidents: &[Value]) -> Option<Table> {
    let mut table = Table::new(&["incident", "severity", "status", "title"]);
    for incident in incidents {
        let mut row = ["id", "severity", "status"].map(|key| word(&incident[key])).to_vec();
        row.push(clipped(&incident["title"], TITLE_MAX));
        table.row(row);
    }
    (!incidents.is_empty()).then_some(table)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    fn incidents() -> [Value; 2] {
        [
            json!({
                "id": "AI-20260301-0002", "type": "serving_latency", "title": "Serving latency on score: the breaker of primary is open",
                "severity": "sev2", "status": "investigating", "onset": "2026-03-01T11:58:20Z", "detected": "2026-03-01T12:00:00.5Z",
                "acknowledged": "2026-03-01T12:01:00Z", "acknowledged_by": "ada", "resolved": null, "routes": ["score", "chat"],
                "proposed": "2026-03-01T12:30:00Z",
            }),
            json!({
                "id": "AI-20260301-0001", "type": "unclassified", "title": "\u{1b}[2Jgone\u{202e}\nAI-20260301-0003  sev1", "severity": "sev4",
                "status": "detected", "onset": "2026-03-01T09:00:00Z", "detected": "2026-03-01T09:00:00Z", "routes": [], "proposed": null,
            }),
        ]
    }

    #[test]
    fn each_is_a_line_and_no_title_makes_another() {
        expect![[r"
            id                severity  status                     type             detected             taken by  routes       title
            ----------------  --------  -------------------------  ---------------  -------------------  --------  -----------  --------------------------------------------------------
            AI-20260301-0002  sev2      investigating, seems over  serving_latency  2026-03-01 12:00:00  ada       score, chat  Serving latency on score: the breaker of primary is open
            AI-20260301-0001  sev4      detected                   unclassified     2026-03-01 09:00:00  -         -            \u{1b}[2Jgone\u{202e} AI-20260301-0003 sev1
        "]]
        .assert_eq(&list(&incidents()));
        assert_eq!(list(&[]), "nothing\n");
    }

    #[test]
    fn what_is_open_is_short_and_left_out_where_nothing_is() {
        expect![[r"
            incident          severity  status         title
            ----------------  --------  -------------  --------------------------------------------------------
            AI-20260301-0002  sev2      investigating  Serving latency on score: the breaker of primary is open
            AI-20260301-0001  sev4      detected       \u{1b}[2Jgone\u{202e} AI-20260301-0003 sev1
        "]]
        .assert_eq(&opened(&incidents()).unwrap().to_string());
        assert!(opened(&[]).is_none());
    }
}
