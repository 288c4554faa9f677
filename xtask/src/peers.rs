//! The tests against real peers: Python environments with pinned packages, then pytest in each.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::tally::Tally;
use crate::{debian, shell};

/// One environment for each peer, since their pins exclude each other; `tests-peers/requirements/NAME.txt` holds them.
const ENVIRONMENTS: [&str; 9] =
    ["mlserver", "feast", "openai", "training", "prometheus", "notify", "chaostoolkit", "dashboard", "packaging"];

/// The files that run in a peer's environment, for the client that it holds.
fn files(name: &str) -> Vec<String> {
    let more: &[&str] = match name {
        "mlserver" => &["test_mlserver.py", "test_grpc.py", "test_systems.py"],
        "openai" => &[
            "test_openai.py",
            "test_systems_chat.py",
            "test_wall.py",
            "test_wall_beyond.py",
            "test_mixed.py",
            "test_docs.py",
        ],
        "training" => &[
            "test_training_client.py",
            "test_training_digits.py",
            "test_training_supervised.py",
            "test_training_docs.py",
        ],
        "dashboard" => &["test_dashboard.py", "test_dashboard_data.py"],
        "packaging" => &["test_packaging.py", "test_grafana.py"],
        _ => return vec![format!("test_{name}.py")],
    };
    more.iter().map(|file| (*file).to_owned()).collect()
}

/// Which peers.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// One peer alone: mlserver, feast, openai, training, prometheus, notify, chaostoolkit, dashboard or packaging.
    peer: Option<String>,
}

/// Installs what is missing, builds the binary and runs the tests.
pub(crate) fn run(args: &Args) -> Result<bool> {
    install()?;
    let tally = test(args.peer.as_deref())?;
    println!("{} passed, {} failed", tally.passed, tally.failed);
    Ok(tally.failed == 0)
}

/// Installs Debian's packages, and makes every environment that is missing or was made from other requirements.
pub(crate) fn install() -> Result<()> {
    let alertmanager = ("prometheus-alertmanager", "prometheus-alertmanager");
    debian::install(&[("prometheus", "prometheus"), ("promtool", "prometheus"), alertmanager])?;
    debian::install(&[("chromium", "chromium"), ("chromedriver", "chromium-driver")])?;
    debian::install(&[("systemd-analyze", "systemd")])?;
    ENVIRONMENTS.iter().try_for_each(|name| environment(name).map(drop))
}

/// The environment of that name, made where it is missing; takes minutes then.
pub(crate) fn environment(name: &str) -> Result<PathBuf> {
    let requirements = shell::root().join("tests-peers/requirements").join(format!("{name}.txt"));
    let wanted =
        fs::read_to_string(&requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    let directory = home().join(name);
    // Written last, so that an installation that was interrupted is started again.
    let stamp = directory.join("installed.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(directory);
    }
    println!("installing the Python environment {name}");
    let made = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&directory).output();
    let made = made.context("cannot start python3")?;
    ensure!(made.status.success(), "python3 -m venv: {}", String::from_utf8_lossy(&made.stderr));
    let mut pip = Command::new(directory.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(&requirements);
    shell::quiet(&mut pip)?;
    fs::write(stamp, wanted)?;
    Ok(directory)
}

/// Runs the test file of each peer, or of one, against a fresh build of the binary.
pub(crate) fn test(only: Option<&str>) -> Result<Tally> {
    let chosen: Vec<_> = ENVIRONMENTS.into_iter().filter(|name| only.is_none_or(|one| one == *name)).collect();
    ensure!(!chosen.is_empty(), "no such peer: the peers are {}", ENVIRONMENTS.join(", "));
    let built = shell::watch(&mut shell::cargo(&[
        "build",
        "--package",
        "mainstay",
        "--bin",
        "mainstay",
        "--example",
        "systems",
    ]))?;
    ensure!(built.success, "the mainstay binary does not build");
    let services = shell::target().join("debug/examples/systems");
    examples()?;
    let binary = shell::target().join("debug/mainstay");
    chosen.iter().map(|name| pytest(name, &binary, &services)).sum()
}

/// Parts of mainstay as programs of their own: the variable that names one to the tests, its package, its name.
const EXAMPLES: [(&str, &str, &str); 3] = [
    ("SLO_REPLAY_BIN", "mainstay-core", "slo_replay"),
    ("PROMETHEUS_SOURCE_BIN", "mainstay-control", "prometheus_source"),
    ("NOTICES_BIN", "mainstay-control", "notices"),
];

fn examples() -> Result<()> {
    EXAMPLES.iter().try_for_each(|(_, package, example)| {
        let mut command = shell::cargo(&["build", "--package", package, "--example", example]);
        ensure!(shell::watch(&mut command)?.success, "the example {example} does not build");
        Ok(())
    })
}

/// Runs one file of a peer with so many rounds of each test, against a release build.
pub(crate) fn rounds(name: &str, file: &str, rounds: u32) -> Result<Tally> {
    let python = environment(name)?.join("bin/python");
    let build = ["build", "--release", "--package", "mainstay", "--bin", "mainstay"];
    ensure!(shell::watch(&mut shell::cargo(&build))?.success, "the mainstay binary does not build");
    let mut command = Command::new(python);
    command.args(["-m", "pytest", "-q", file]).current_dir(shell::root().join("tests-peers"));
    command.env("MAINSTAY_BIN", shell::target().join("release/mainstay")).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("MAINSTAY_WALL_ROUNDS", rounds.to_string());
    let ended = shell::watch(&mut command)?;
    Ok(Tally::of_pytest(&ended.stdout).unless(ended.success))
}

fn pytest(name: &str, binary: &Path, services: &Path) -> Result<Tally> {
    let mut command = Command::new(home().join(name).join("bin/python"));
    command.args(["-m", "pytest", "-q"]).args(files(name));
    command.current_dir(shell::root().join("tests-peers"));
    command.env("MAINSTAY_BIN", binary).env("MAINSTAY_SYSTEMS_BIN", services).env("PYTHONDONTWRITEBYTECODE", "1");
    for (variable, _, example) in EXAMPLES {
        command.env(variable, shell::target().join("debug/examples").join(example));
    }
    let ended = shell::watch(&mut command)?;
    Ok(Tally::of_pytest(&ended.stdout).unless(ended.success))
}

/// Beside cargo's own files, so that `cargo clean` removes the environments too.
fn home() -> PathBuf {
    shell::root().join("target/peers")
}
