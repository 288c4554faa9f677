//! `mainstay check`: everything that is wrong with a config, at once.

use std::path::Path;

use serde_json::json;

use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::source::Document;

/// Checks a file; errors end with exit code 2.
pub(crate) fn run(file: &Path, format: Format) -> Result<Exit, Stop> {
    let document = Document::read(file)
        .map_err(|error| Stop::usage(anyhow::Error::new(error).context(format!("cannot read {}", file.display()))))?;
    let (_, findings) = mainstay_config::load(&document.text);
    let errors = findings.iter().filter(|finding| finding.is_error()).count();
    let warnings = findings.len() - errors;
    match format {
        Format::Human => output::data(document.render(&findings, output::stdout_has_colours()))?,
        Format::Json => output::json(&json!({
            "schema": 1, "file": document.name, "errors": errors, "warnings": warnings,
            "findings": document.json(&findings),
        }))?,
    }
    Ok(if errors == 0 { Exit::Fine } else { Exit::Usage })
}
