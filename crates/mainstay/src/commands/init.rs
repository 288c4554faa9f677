//! `mainstay init`: a commented starting config.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};

use anyhow::anyhow;
use serde_json::json;

use crate::cli::Global;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};

/// Writes the file that `--config` names. An existing one is kept unless `force` is given.
pub(crate) fn run(global: &Global, force: bool) -> Result<Exit, Stop> {
    let path = &global.config;
    let mut options = OpenOptions::new();
    options.write(true).truncate(force).create(true).create_new(!force);
    let written = options.open(path).and_then(|mut file| file.write_all(mainstay_config::template().as_bytes()));
    written.map_err(|error| {
        Stop::usage(match error.kind() {
            ErrorKind::AlreadyExists => anyhow!("{} exists; --force replaces it", path.display()),
            _ => anyhow::Error::new(error).context(format!("cannot write {}", path.display())),
        })
    })?;
    match global.format {
        Format::Human => output::say(format_args!(
            "wrote {0}; next: mainstay check {0}, then mainstay serve --config {0}",
            path.display()
        )),
        Format::Json => output::json(&json!({ "schema": 1, "written": path }))?,
    }
    Ok(Exit::Fine)
}
