//! What the bench needs beside mainstay: Debian's haproxy and wrk, Envoy from its Python package, and two builds.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{peers, shell};

/// Where the programs of the bench are.
pub(super) struct Programs {
    pub(super) mainstay: PathBuf,
    pub(super) upstream: PathBuf,
    pub(super) proto_hyper: PathBuf,
    pub(super) envoy: PathBuf,
}

/// Installs and builds what is missing. `mainstay` may name a binary that is there already.
pub(super) fn programs(mainstay: Option<&Path>, need_mainstay: bool) -> Result<Programs> {
    debian()?;
    let bench = shell::root().join("xtask/bench");
    let mainstay = match mainstay {
        Some(path) => path.to_path_buf(),
        None if need_mainstay => build_mainstay()?,
        None => PathBuf::new(),
    };
    Ok(Programs {
        mainstay,
        upstream: build(&bench.join("upstream"), "bench-upstream")?,
        proto_hyper: build(&bench.join("proto-hyper"), "proto-hyper")?,
        envoy: envoy()?,
    })
}

fn build_mainstay() -> Result<PathBuf> {
    let built = shell::watch(&mut shell::cargo(&["build", "--release", "--package", "mainstay"]))?;
    ensure!(built.success, "the mainstay binary does not build");
    Ok(shell::target().join("release/mainstay"))
}

fn build(package: &Path, binary: &str) -> Result<PathBuf> {
    let target = shell::target().join("bench");
    let mut command = shell::cargo(&["build", "--release", "--locked", "--quiet"]);
    command.current_dir(package).env("CARGO_TARGET_DIR", &target);
    ensure!(shell::watch(&mut command)?.success, "{binary} does not build");
    Ok(target.join("release").join(binary))
}

fn debian() -> Result<()> {
    // Debian keeps daemons where an ordinary user's path does not look.
    let missing: Vec<_> =
        ["haproxy", "wrk"].into_iter().filter(|name| !shell::installed(name) && !in_sbin(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut apt = Command::new("apt-get");
    apt.args(["install", "--yes", "--no-install-recommends"]).args(&missing);
    // RUNLEVEL=1 keeps the packages from starting their services.
    apt.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
    shell::quiet(&mut apt).with_context(|| format!("install by hand: {}", missing.join(" ")))?;
    Ok(())
}

fn in_sbin(name: &str) -> bool {
    Path::new("/usr/sbin").join(name).is_file()
}

fn envoy() -> Result<PathBuf> {
    let library = peers::environment("envoy")?.join("lib");
    let python = std::fs::read_dir(&library)?.next().context("an environment without a Python")??;
    let binary = python.path().join("site-packages/envoy/_bin/envoy");
    ensure!(binary.is_file(), "no Envoy at {}", binary.display());
    Ok(binary)
}
