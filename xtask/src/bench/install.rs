//! What the bench needs beside mainstay: Debian's haproxy and wrk, Envoy from its Python package, and two builds.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::{debian, peers, shell};

/// Where the programs of the bench are.
pub(super) struct Programs {
    pub(super) mainstay: PathBuf,
    pub(super) upstream: PathBuf,
    pub(super) proto_hyper: PathBuf,
    pub(super) envoy: PathBuf,
}

/// Installs and builds what is missing. `mainstay` may name a binary that is there already.
pub(super) fn programs(mainstay: Option<&Path>, need_mainstay: bool) -> Result<Programs> {
    debian::install(&[("haproxy", "haproxy"), ("wrk", "wrk")])?;
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

pub(super) fn build_mainstay() -> Result<PathBuf> {
    let built = shell::watch(&mut shell::cargo(&["build", "--release", "--package", "mainstay"]))?;
    ensure!(built.success, "the mainstay binary does not build");
    Ok(shell::target().join("release/mainstay"))
}

pub(super) fn build(package: &Path, binary: &str) -> Result<PathBuf> {
    let target = shell::target().join("bench");
    let mut command = shell::cargo(&["build", "--release", "--locked", "--quiet"]);
    command.current_dir(package).env("CARGO_TARGET_DIR", &target);
    ensure!(shell::watch(&mut command)?.success, "{binary} does not build");
    Ok(target.join("release").join(binary))
}

pub(super) fn envoy() -> Result<PathBuf> {
    let library = peers::environment("envoy")?.join("lib");
    let python = std::fs::read_dir(&library)?.next().context("an environment without a Python")??;
    let binary = python.path().join("site-packages/envoy/_bin/envoy");
    ensure!(binary.is_file(), "no Envoy at {}", binary.display());
    Ok(binary)
}
