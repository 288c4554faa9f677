//! `mainstay check`: everything that is wrong with a config, at once.

use std::path::Path;

use serde_json::json;

use crate::exit::{Exit, Stop};
use crate::gamedays;
use crate::output::{self, Format};
use crate::source::{Document, Refused};

/// Checks a file; errors end with exit code 2.
pub(crate) fn run(file: &Path, format: Format) -> Result<Exit, Stop> {
    let document = Document::read(file)
        .map_err(|error| Stop::usage(anyhow::Error::new(error).context(format!("cannot read {}", file.display()))))?;
    let (plan, findings) = mainstay_config::load(&document.text);
    let scenarios = plan.as_ref().and_then(|plan| gamedays::of(plan).err());
    let errors = findings.iter().filter(|finding| finding.is_error()).count();
    let warnings = findings.len() - errors;
    match format {
        Format::Human => {
            let colours = output::stdout_has_colours();
            let told = scenarios.iter().flat_map(|refused| refused.paragraphs(colours));
            let all: Vec<String> = std::iter::once(document.render(&findings, colours)).chain(told).collect();
            output::data(all.join("\n"))?;
        }
        Format::Json => output::json(&json!({
            "schema": 1, "file": document.name, "errors": errors, "warnings": warnings,
            "findings": document.json(&findings),
            "scenarios": scenarios.as_ref().map(Refused::lines).unwrap_or_default(),
        }))?,
    }
    Ok(if errors == 0 && scenarios.is_none() { Exit::Fine } else { Exit::Usage })
}
