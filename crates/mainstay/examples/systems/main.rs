//! The services around the five example systems: models that are learnt at the start from simulated worlds whose truth is
//! known, feature stores, and a chat stand-in. `examples/systems/README.md` tells how to run them.

mod chat;
mod fraud;
mod learn;
mod moderation;
mod recommendation;
mod search;
mod serve;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use axum::Router;
use clap::{Parser, Subcommand};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Name and content of each file of a system's `data` folder.
type Files = Vec<(&'static str, String)>;

/// One of the five.
struct System {
    name: &'static str,
    /// Its services and the ports that its config names.
    backends: &'static [(&'static str, u16)],
    serve: fn(&str) -> Option<Router>,
    files: fn() -> Files,
}

const SYSTEMS: [System; 5] = [
    System {
        name: "recommendation",
        backends: &[("personalised", 9101), ("neighbours", 9102)],
        serve: recommendation::backend,
        files: recommendation::files,
    },
    System {
        name: "search-ranking",
        backends: &[("ranker", 9111), ("ranker-lite", 9112), ("features", 9113)],
        serve: search::backend,
        files: search::files,
    },
    System {
        name: "content-moderation",
        backends: &[("classifier", 9121), ("classifier-small", 9122)],
        serve: moderation::backend,
        files: moderation::files,
    },
    System {
        name: "llm-chat",
        backends: &[("large", 9131), ("small", 9132)],
        serve: chat::backend,
        files: chat::files,
    },
    System {
        name: "fraud-detection",
        backends: &[("scorer", 9141), ("features", 9143)],
        serve: fraud::backend,
        files: fraud::files,
    },
];

#[derive(Parser)]
#[command(about = "The services around the five example systems")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve all services of a system, or one of them
    Serve {
        /// recommendation, search-ranking, content-moderation, llm-chat or fraud-detection
        system: String,
        /// One service alone, such as `personalised`
        service: Option<String>,
        /// Where that one listens; otherwise on the port that the example's config names
        #[arg(long, requires = "service")]
        port: Option<u16>,
    },
    /// Write the data files of all systems below a folder, as they stand in `examples/systems`
    Data {
        /// The folder
        folder: PathBuf,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Serve { system, service, port } => serve(system_of(&system)?, service.as_deref(), port).await,
        Command::Data { folder } => SYSTEMS.iter().try_for_each(|system| write(system, &folder)),
    }
}

fn system_of(name: &str) -> Result<&'static System> {
    let names = SYSTEMS.map(|system| system.name).join(", ");
    SYSTEMS.iter().find(|system| system.name == name).with_context(|| format!("{name} is none of {names}"))
}

async fn serve(system: &'static System, only: Option<&str>, port: Option<u16>) -> Result<()> {
    let mut servers = JoinSet::new();
    for &(name, usual) in system.backends.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
        let router = (system.serve)(name).with_context(|| format!("{name} cannot be served"))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or(usual)));
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        println!("{} {name}: http://{address}", system.name);
        servers.spawn(async move { axum::serve(listener, router).await });
    }
    if servers.is_empty() {
        bail!(
            "{} has the services {:?}",
            system.name,
            system.backends.iter().map(|(name, _)| name).collect::<Vec<_>>()
        );
    }
    while let Some(ended) = servers.join_next().await {
        ended??;
    }
    Ok(())
}

fn write(system: &System, folder: &Path) -> Result<()> {
    let folder = folder.join(system.name).join("data");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, content) in (system.files)() {
        let path = folder.join(name);
        std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_data_is_what_the_simulators_write() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/systems");
        for system in &SYSTEMS {
            for (name, content) in (system.files)() {
                let path = root.join(system.name).join("data").join(name);
                let committed =
                    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                assert!(committed == content, "{} differs: run the example with `data`", path.display());
            }
        }
    }
}
