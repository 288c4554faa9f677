//! `mainstay slo`: how budgets stand; objectives in and out.

mod leave_out;
mod standing;

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use mainstay_config::openslo;
use serde_json::json;

use crate::cli::{Global, SloCommand, SloExport};
use crate::client;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::source::Document;
use crate::words::{array, word};

/// Longest text that is read from stdin: what the config's reader takes.
const STDIN_BYTES_MAX: u64 = mainstay_config::MAX_BYTES as u64 + 1;

pub(crate) fn run(global: &Global, command: &SloCommand) -> Result<Exit, Stop> {
    match command {
        SloCommand::List => standing::list(global),
        SloCommand::Show { name } => standing::show(global, name),
        SloCommand::Export(options) => export(global, options),
        SloCommand::Import { file, check: true, prometheus } => check(global, file, prometheus.as_deref()),
        SloCommand::Import { file, .. } => import(global, file),
        SloCommand::Correction(command) => leave_out::correction(global, command),
        SloCommand::Maintenance(command) => leave_out::maintenance(global, command),
    }
}

/// What is wrong with documents is told by the server, which knows the config that they are to fit.
fn import(global: &Global, file: &Path) -> Result<Exit, Stop> {
    let document = read(file)?;
    let answer = client::send_text(global, "/api/v1/slos/import", "application/yaml", document.text)?;
    match global.format {
        Format::Json => output::json(&answer)?,
        Format::Human => {
            for finding in array(&answer["findings"]) {
                output::say(format_args!(
                    "{}:{}: {}",
                    document.name,
                    word(&finding["line"]),
                    word(&finding["message"])
                ));
            }
            let names: Vec<String> = array(&answer["objectives"]).iter().map(word).collect();
            output::say(format_args!(
                "in force: {}",
                if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
            ));
        }
    }
    Ok(Exit::Fine)
}

fn export(global: &Global, options: &SloExport) -> Result<Exit, Stop> {
    let plan = read(&global.config)?.plan()?;
    let text = if options.form.openslo {
        let exported = openslo::export(&plan.service, &plan.slos);
        for (name, why) in &exported.left_out {
            output::say(format_args!("left out: {name}: {why}"));
        }
        exported.text
    } else if options.form.prometheus {
        mainstay_config::prometheus_rules(&plan.service, &plan.slos)
    } else {
        format!("{:#}", mainstay_config::grafana_dashboard(&plan.service, &plan.slos))
    };
    match &options.out {
        None => output::data(text)?,
        Some(file) => std::fs::write(file, text)
            .with_context(|| format!("cannot write {}", file.display()))
            .map_err(Stop::unreachable)?,
    }
    Ok(Exit::Fine)
}

/// What is found is talk, and the items are data: `slo import FILE --check >> slos.yaml` writes what can be used.
fn check(global: &Global, file: &Path, prometheus: Option<&str>) -> Result<Exit, Stop> {
    let document = read(file)?;
    let imported = openslo::import(&document.text, &openslo::Into { prometheus, ..openslo::Into::default() });
    let errors = imported.findings.iter().filter(|finding| finding.is_error()).count();
    match global.format {
        Format::Human => {
            output::say(format_args!("{}", document.render(&imported.findings, output::stderr_has_colours())));
            if errors == 0 {
                output::data(&imported.items)?;
            }
        }
        Format::Json => output::json(&json!({
            "schema": 1, "file": document.name, "errors": errors,
            "warnings": imported.findings.len() - errors,
            "findings": document.json(&imported.findings), "items": imported.items,
            "objectives": imported.objectives.iter().map(|objective| &objective.name).collect::<Vec<_>>(),
        }))?,
    }
    Ok(if errors == 0 { Exit::Fine } else { Exit::Usage })
}

fn read(file: &Path) -> Result<Document, Stop> {
    if file == Path::new("-") {
        let mut text = String::new();
        let read = std::io::stdin().lock().take(STDIN_BYTES_MAX).read_to_string(&mut text);
        read.context("cannot read stdin").map_err(Stop::usage)?;
        return Ok(Document { name: "stdin".to_owned(), text });
    }
    Document::read(file).with_context(|| format!("cannot read {}", file.display())).map_err(Stop::usage)
}
