//! `mainstay wall`: a server of faults, until a signal ends it.

use std::net::SocketAddr;

use anyhow::Context as _;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

use crate::cli::{Global, WallOptions};
use crate::exit::{Exit, Stop};
use crate::output::{self, Format};
use crate::wall::{Wall, entries};

/// Plays until SIGTERM or SIGINT, or lists what can be played.
pub(crate) fn run(global: &Global, options: &WallOptions) -> Result<Exit, Stop> {
    if options.list {
        return list(global.format);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Stop::unreachable)?;
    LocalSet::new().block_on(&runtime, async {
        let mut terminate = signal(SignalKind::terminate()).map_err(Stop::unreachable)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Stop::unreachable)?;
        let mut addresses = Vec::new();
        for address in &options.listen {
            let wall = Wall::bind(*address).await.with_context(|| format!("cannot listen on {address}"));
            let wall = wall.map_err(Stop::unreachable)?;
            addresses.push(wall.address().map_err(Stop::unreachable)?);
            tokio::task::spawn_local(wall.serve());
        }
        announce(global.format, &addresses)?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(Exit::Fine)
    })
}

fn announce(format: Format, addresses: &[SocketAddr]) -> Result<(), Stop> {
    match format {
        Format::Human => {
            let urls: Vec<String> = addresses.iter().map(|address| format!("http://{address}/v1")).collect();
            output::data(format_args!("ready: {}", urls.join(", ")))
        }
        Format::Json => output::data(json!({ "schema": 1, "listen": addresses })),
    }
}

fn list(format: Format) -> Result<Exit, Stop> {
    match format {
        Format::Human => {
            let lines: Vec<String> = entries().map(|entry| format!("{:<20}{}", entry.name, entry.about)).collect();
            output::data(lines.join("\n"))?;
        }
        Format::Json => {
            let models: Vec<_> = entries().map(|entry| json!({ "name": entry.name, "about": entry.about })).collect();
            output::json(&json!({ "schema": 1, "models": models }))?;
        }
    }
    Ok(Exit::Fine)
}
