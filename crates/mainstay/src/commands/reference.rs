//! Commands that look things up: `explain`, `schema`, `completions`, `version`.

use anyhow::anyhow;
use clap_complete::Shell;
use serde_json::json;

use crate::cli::{self, SchemaCommand};
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::version;

/// `mainstay explain CODE`.
pub(crate) fn explain(code: &str, format: Format) -> Result<Exit, Stop> {
    let code = code.to_ascii_uppercase();
    let explained = mainstay_config::explained(&code).ok_or_else(|| {
        Stop::usage(anyhow!("there is no finding {code}; `mainstay check` prints the codes it finds"))
    })?;
    let (text, example, shown) = (explained.about, explained.example, explained.shown);
    match format {
        Format::Human => {
            let indented = example.replace('\n', "\n    ");
            output::data(format_args!("{text}\n\nFor example:\n\n    {indented}\n\n{shown}"))?;
        }
        Format::Json => {
            output::json(&json!({ "schema": 1, "code": code, "text": text, "example": example, "shown": shown }))?;
        }
    }
    Ok(Exit::Fine)
}

/// `mainstay schema config`.
pub(crate) fn schema(command: &SchemaCommand) -> Result<Exit, Stop> {
    match command {
        SchemaCommand::Config => output::json(&mainstay_config::schema())?,
    }
    Ok(Exit::Fine)
}

/// `mainstay completions SHELL`.
pub(crate) fn completions(shell: Shell) -> Result<Exit, Stop> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::command(), "mainstay", &mut script);
    output::data(String::from_utf8_lossy(&script))?;
    Ok(Exit::Fine)
}

/// `mainstay version`.
pub(crate) fn version(format: Format) -> Result<Exit, Stop> {
    match format {
        Format::Human => output::data(format_args!("mainstay {}", version::SHOWN))?,
        Format::Json => output::json(&json!({
            "schema": 1, "name": "mainstay", "version": env!("CARGO_PKG_VERSION"),
            "commit": version::commit(), "committed": version::day(),
        }))?,
    }
    Ok(Exit::Fine)
}
