//! `mainstay models`: versions, and which of them is served.

use hyper::Method;
use serde_json::{Value, json};

use crate::cli::{Global, ModelsCommand};
use crate::client;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::table::Table;
use crate::words::{array, word};

const PATH: &str = "/api/v1/models";

/// Lists, promotes or rolls back; a change that was refused or did not hold is exit code 1.
pub(crate) fn run(global: &Global, command: &ModelsCommand) -> Result<Exit, Stop> {
    let answer = match command {
        ModelsCommand::List { name: None } => client::call(global, Method::GET, PATH, None)?["models"].take(),
        ModelsCommand::List { name: Some(name) } => {
            json!([client::call(global, Method::GET, &path(name, ""), None)?])
        }
        ModelsCommand::Promote { model, version, expect, force, reason } => {
            let mut body = json!({ "version": version, "force": force, "reason": reason });
            if let Some(expect) = expect {
                body["expect"] = json!(expect);
            }
            client::call(global, Method::POST, &path(model, "/promote"), Some(&body))?
        }
        ModelsCommand::Rollback { model, to, reason } => {
            let body =
                to.as_ref().map_or_else(|| json!({ "reason": reason }), |to| json!({ "to": to, "reason": reason }));
            client::call(global, Method::POST, &path(model, "/rollback"), Some(&body))?
        }
    };
    match (global.format, command) {
        (Format::Json, _) => output::json(&answer)?,
        (Format::Human, ModelsCommand::List { .. }) => output::data(list(&answer))?,
        (Format::Human, ModelsCommand::Promote { .. } | ModelsCommand::Rollback { .. }) => {
            output::say(format_args!("{}: {} is the champion", word(&answer["model"]), word(&answer["champion"])));
        }
    }
    Ok(Exit::Fine)
}

fn path(model: &str, tail: &str) -> String {
    format!("{PATH}/{}{tail}", client::segment(model))
}

fn list(models: &Value) -> String {
    let mut table = Table::new(&["model", "version", "stage", "gates", "made", "data until", "run", "digest"]);
    for model in array(models) {
        for version in array(&model["versions"]) {
            let mut row = vec![word(&model["name"])];
            row.extend(["version", "stage", "gates", "created", "data_max_event_time"].map(|key| word(&version[key])));
            row.push(word(&version["lineage"]["run"]));
            row.push(word(&version["digest"]).chars().take(19).collect());
            table.row(row);
        }
    }
    if array(models).is_empty() { "nothing\n".to_owned() } else { table.to_string() }
}
