//! `mainstay quality report`: how good predictions are.

use hyper::Method;
use serde_json::Value;

use crate::cli::{Global, QualityCommand};
use crate::client;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::table::Table;
use crate::words::{array, percent, word};

/// All routes; exit code 1 where a proxy is likely violated.
pub(crate) fn run(global: &Global, command: &QualityCommand) -> Result<Exit, Stop> {
    let QualityCommand::Report { window } = command;
    let path = format!("/api/v1/quality?window={}", client::segment(window));
    let answer = client::call(global, Method::GET, &path, None)?;
    let routes = array(&answer["routes"]);
    match global.format {
        Format::Json => output::json(&answer)?,
        Format::Human if routes.is_empty() => {
            output::say(format_args!("no route says where its predictions are found: see `prediction:`"));
        }
        Format::Human => {
            output::data(table(routes))?;
            output::data(labels(&answer["labels"]))?;
        }
    }
    let violated = routes.iter().flat_map(proxies).any(|(_, proxy)| proxy["status"] == "likely_violated");
    Ok(if violated { Exit::No } else { Exit::Fine })
}

fn proxies(route: &Value) -> impl Iterator<Item = (&String, &Value)> {
    route["proxies"].as_object().into_iter().flatten()
}

fn number(value: &Value) -> String {
    value.as_f64().map_or("-".to_owned(), |number| format!("{number:.4}"))
}

fn table(routes: &[Value]) -> String {
    let mut table = Table::new(&["route", "measure", "value", "from", "to", "n", "without labels"]);
    for route in routes {
        let name = word(&route["route"]);
        let coverage = format!("{} of {}", word(&route["labelled"]), word(&route["predicted"]));
        let head = [&name, "coverage", &percent(&route["coverage"]), "-", "-", &coverage, "-"];
        table.row(head.map(str::to_owned).to_vec());
        for (metric, measure) in route["metrics"].as_object().into_iter().flatten() {
            let estimate = &route["estimates"][metric];
            let without = match estimate {
                Value::Null => "-".to_owned(),
                there => format!("{} {}", number(&there["value"]), word(&there["validity"])),
            };
            let n = measure["n"].as_f64().map_or("-".to_owned(), |n| format!("{n:.0}"));
            let cells = [number(&measure["value"]), number(&measure["low"]), number(&measure["high"]), n, without];
            table.row([String::new(), metric.clone()].into_iter().chain(cells).collect());
        }
        for (proxy, seen) in proxies(route) {
            let of = |key: &str| word(&seen[key]);
            let status = of("status");
            let cells =
                [String::new(), proxy.clone(), number(&seen["mean"]), "-".into(), "-".into(), of("count"), status];
            table.row(cells.to_vec());
        }
    }
    table.to_string()
}

fn labels(labels: &Value) -> String {
    let of = |key: &str| format!("{} {}", word(&labels[key]), key.replace('_', " "));
    let keys = ["joined", "waiting", "superseded", "unreadable", "not_sampled", "expired"];
    format!("labels: {}\n", keys.map(of).join(", "))
}
