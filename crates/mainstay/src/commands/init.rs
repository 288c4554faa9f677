//! `mainstay init`: a commented starting config, and the data files that it names.

mod starter;

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use serde_json::json;

use self::starter::Starter;
pub(crate) use self::starter::System;
use crate::cli::Global;
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};

/// Writes the file that `--config` names, and data files beside it. Existing ones are kept unless `force` is given; then
/// all are replaced.
pub(crate) fn run(global: &Global, system: Option<System>, force: bool) -> Result<Exit, Stop> {
    let starter = Starter::of(system);
    let folder = global.config.parent().unwrap_or_else(|| Path::new(""));
    let mut files = vec![(global.config.clone(), starter.config)];
    files.extend(starter.data.iter().map(|(name, content)| (folder.join(name), *content)));
    if !force && let Some((there, _)) = files.iter().find(|(path, _)| path.exists()) {
        return Err(exists(there));
    }
    for (path, content) in &files {
        write(path, content, force)?;
    }
    let written: Vec<&PathBuf> = files.iter().map(|(path, _)| path).collect();
    match global.format {
        Format::Human => tell(folder, &written),
        Format::Json => output::json(&json!({ "schema": 1, "written": written[0], "data": written[1..] }))?,
    }
    Ok(Exit::Fine)
}

fn write(path: &Path, content: &str, force: bool) -> Result<(), Stop> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let made = std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()));
        made.map_err(Stop::usage)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).truncate(force).create(true).create_new(!force);
    let written = options.open(path).and_then(|mut file| file.write_all(content.as_bytes()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => exists(path),
        _ => Stop::usage(anyhow::Error::new(error).context(format!("cannot write {}", path.display()))),
    })
}

fn exists(path: &Path) -> Stop {
    Stop::usage(anyhow!("{} exists; --force replaces it", path.display()))
}

fn tell(folder: &Path, written: &[&PathBuf]) {
    for data in &written[1..] {
        output::say(format_args!("wrote {}", data.display()));
    }
    if written.len() > 1 && !folder.as_os_str().is_empty() {
        output::say(format_args!("serve it in {}: a config's paths begin where mainstay runs", folder.display()));
    }
    output::say(format_args!(
        "wrote {0}; next: mainstay check {0}, then mainstay serve --config {0}",
        written[0].display()
    ));
}
