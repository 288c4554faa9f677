//! What budgets leave out: `slo correction` and `slo maintenance`.

use hyper::Method;
use serde_json::{Value, json};

use crate::cli::{CorrectionCommand, Global, MaintenanceCommand};
use crate::client;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::table::Table;
use crate::words::{array, word};

const CORRECTIONS: &str = "/api/v1/corrections";
const MAINTENANCE: &str = "/api/v1/maintenance";

pub(super) fn correction(global: &Global, command: &CorrectionCommand) -> Result<Exit, Stop> {
    let columns = ["id", "from", "to", "slos", "reason", "author"];
    match command {
        CorrectionCommand::List => list(global, CORRECTIONS, "corrections", &columns),
        CorrectionCommand::Add { id, from, to, slos, reason } => {
            let body = json!({ "id": id, "from": from, "to": to, "slos": slos, "reason": reason });
            add(global, CORRECTIONS, &body)
        }
        CorrectionCommand::Remove { id } => remove(global, CORRECTIONS, id),
    }
}

pub(super) fn maintenance(global: &Global, command: &MaintenanceCommand) -> Result<Exit, Stop> {
    let columns = ["name", "source", "days", "from", "length", "zone", "slos", "reason"];
    match command {
        MaintenanceCommand::List => list(global, MAINTENANCE, "maintenance", &columns),
        MaintenanceCommand::Add { name, from, length, days, zone, slos, reason } => {
            let body = json!({
                "name": name, "from": from, "length": length, "days": days, "zone": zone, "slos": slos, "reason": reason,
            });
            add(global, MAINTENANCE, &body)
        }
        MaintenanceCommand::End { name } => remove(global, MAINTENANCE, name),
    }
}

fn list(global: &Global, path: &str, key: &str, columns: &[&str]) -> Result<Exit, Stop> {
    let answer = client::call(global, Method::GET, path, None)?;
    let all = array(&answer[key]);
    match global.format {
        Format::Json => output::json(&answer)?,
        Format::Human if all.is_empty() => output::say(format_args!("nothing is left out of budgets here")),
        Format::Human => {
            let mut table = Table::new(columns);
            for one in all {
                table.row(columns.iter().map(|column| cell(&one[*column])).collect());
            }
            output::data(table)?;
        }
    }
    Ok(Exit::Fine)
}

fn cell(value: &Value) -> String {
    match value.as_array() {
        Some(all) if all.is_empty() => "all".to_owned(),
        Some(all) => all.iter().map(word).collect::<Vec<_>>().join(" "),
        None => word(value),
    }
}

fn add(global: &Global, path: &str, body: &Value) -> Result<Exit, Stop> {
    let answer = client::call(global, Method::POST, path, Some(body))?;
    match global.format {
        Format::Json => output::json(&answer)?,
        Format::Human => output::say(format_args!("left out of budgets from now on")),
    }
    Ok(Exit::Fine)
}

fn remove(global: &Global, path: &str, name: &str) -> Result<Exit, Stop> {
    client::call(global, Method::DELETE, &format!("{path}/{}", client::segment(name)), None)?;
    output::say(format_args!("it counts again"));
    Ok(Exit::Fine)
}
