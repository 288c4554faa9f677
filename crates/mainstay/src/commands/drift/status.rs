//! `mainstay drift status`: monitored names at this moment.

use hyper::Method;
use serde_json::Value;

use crate::cli::Global;
use crate::client;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::table::Table;
use crate::words::{array, percent, word};

const PATH: &str = "/api/v1/drift";

/// All names on a line each, or one with all that is known of it; exit code 1 where one drifted.
pub(super) fn run(global: &Global, name: Option<&str>) -> Result<Exit, Stop> {
    let path = name.map_or(PATH.to_owned(), |name| format!("{PATH}/{}", client::segment(name)));
    let answer = client::call(global, Method::GET, &path, None)?;
    let one = [answer.clone()];
    let monitors = if name.is_some() { &one[..] } else { array(&answer["monitors"]) };
    match global.format {
        Format::Json => output::json(&answer)?,
        Format::Human if monitors.is_empty() => output::say(format_args!("the config watches nothing: see `drift:`")),
        Format::Human => {
            output::data(table(monitors))?;
            if name.is_some() {
                output::data(page(&answer))?;
            }
        }
    }
    Ok(if monitors.iter().any(has_drifted) { Exit::No } else { Exit::Fine })
}

fn has_drifted(monitor: &Value) -> bool {
    monitor["status"] == "drift_detected" || monitor["status"] == "alert" || !monitor["alarm"].is_null()
}

fn table(monitors: &[Value]) -> String {
    let mut table = Table::new(&["name", "route", "status", "alarm", "psi", "z", "values", "missing", "moved most"]);
    for monitor in monitors {
        let window = &monitor["window"];
        let figure = |method: &str| {
            let value = window["methods"][method]["value"].as_f64();
            value.map_or("-".to_owned(), |value| format!("{value:.3}"))
        };
        let status = match &monitor["learning"] {
            Value::Null => word(&monitor["status"]),
            learning => format!("learning {} of {}", word(&learning["values"]), word(&learning["of"])),
        };
        table.row(vec![
            word(&monitor["name"]),
            word(&monitor["route"]),
            status,
            word(&monitor["alarm"]["detector"]),
            figure("psi"),
            figure("mean_shift_z"),
            word(&window["count"]),
            word(&window["missing"]),
            word(&window["bins"][0]["bin"]),
        ]);
    }
    table.to_string()
}

fn page(monitor: &Value) -> String {
    let window = &monitor["window"];
    let mut methods = Table::new(&["method", "value", "p-value", "drifted"]);
    let number = |value: &Value| value.as_f64().map_or("-".to_owned(), |number| format!("{number:.4}"));
    for (method, score) in window["methods"].as_object().into_iter().flatten() {
        let drifted = if score["drifted"] == true { "yes" } else { "no" };
        methods.row(vec![method.clone(), number(&score["value"]), number(&score["p_value"]), drifted.to_owned()]);
    }
    for (rate, score) in window["rates"].as_object().into_iter().flatten() {
        let drifted = if score["drifted"] == true { "yes" } else { "no" };
        methods.row(vec![rate.clone(), number(&score["current"]), number(&score["p_value"]), drifted.to_owned()]);
    }
    let mut bins = Table::new(&["bin", "was", "is", "psi", "requests"]);
    for bin in array(&window["bins"]) {
        let examples: Vec<String> = array(&bin["examples"]).iter().map(word).collect();
        let shares = [percent(&bin["reference"]), percent(&bin["current"])];
        let [was, is] = shares;
        bins.row(vec![word(&bin["bin"]), was, is, number(&bin["psi"]), examples.join(" ")]);
    }
    format!("{methods}\n{bins}")
}
