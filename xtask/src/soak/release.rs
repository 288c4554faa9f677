//! What a user builds: the first command of README.md in an empty clone, and the binaries of docs/packaging.md.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::{demo, shell};

/// What Rust itself needs to link a program; there is nothing else on the path of the clone.
const TOOLS: [&str; 6] = ["cargo", "rustc", "cc", "ld", "as", "ar"];
/// Where docs/packaging.md says that the static binary is, in the target directory.
const STATIC: &str = "x86_64-unknown-linux-gnu/release/mainstay";

/// README.md's first command in a clone, with Rust and a linker on the path and nothing else, to a live dashboard.
pub(super) fn first_command() -> Result<()> {
    let place = tempfile::tempdir()?;
    let (clone, tools) = (place.path().join("mainstay"), place.path().join("bin"));
    let mut git = Command::new("git");
    shell::quiet(git.args(["clone", "--quiet", "--no-hardlinks"]).arg(shell::root()).arg(&clone))?;
    std::fs::create_dir(&tools)?;
    for tool in TOOLS {
        symlink(found(tool)?, tools.join(tool))?;
    }
    let words = demo::first_command(&clone.join("README.md"))?;
    println!("$ {} (in {})", words.join(" "), clone.display());
    let mut command = Command::new(tools.join(&words[0]));
    command.args(&words[1..]).current_dir(&clone).env_clear().env("PATH", &tools);
    for kept in ["HOME", "CARGO_HOME", "RUSTUP_HOME", "TMPDIR"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    let printed = demo::look(&mut command)?;
    let verdict = printed.lines().last().unwrap_or_default();
    ensure!(verdict.starts_with("passed ("), "the demo ended with `{verdict}`");
    Ok(())
}

/// The commands of docs/packaging.md that build, and the static binary where there is nothing but itself.
pub(super) fn static_binary() -> Result<()> {
    let page = shell::root().join("docs/packaging.md");
    let text = std::fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    let (_, block) = text.split_once("```sh\n").context("docs/packaging.md has no block of shell")?;
    let block = block.split("```").next().unwrap_or_default();
    let built = shell::watch(Command::new("sh").args(["-ec", block]).current_dir(shell::root()))?;
    ensure!(built.success, "the commands of docs/packaging.md do not build");
    let binary = shell::target().join(STATIC);
    let ldd = Command::new("ldd").arg(&binary).output().context("cannot start ldd")?;
    let said = [ldd.stdout, ldd.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(said.contains("statically linked") || said.contains("not a dynamic executable"), "it is dynamic:\n{said}");
    alone(&binary)
}

/// Runs it in an empty folder that is the whole file system to it.
fn alone(binary: &Path) -> Result<()> {
    let root = tempfile::tempdir()?;
    std::fs::copy(binary, root.path().join("mainstay")).with_context(|| format!("no {}", binary.display()))?;
    let run = |arguments: &[&str]| {
        // As root of a user namespace, where one may not be that of the machine.
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "chroot"]).arg(root.path()).arg("/mainstay").args(arguments);
        shell::quiet(command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()))
    };
    let version = run(&["--version"])?;
    ensure!(version.starts_with("mainstay ") && version.contains('('), "`{version}` names no commit");
    run(&["init"])?;
    run(&["check"])?;
    println!("{} runs in an empty folder", version.trim());
    Ok(())
}

fn found(tool: &str) -> Result<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&paths).map(|path| path.join(tool));
    places.find(|path| path.is_file()).with_context(|| format!("no `{tool}` on the path"))
}
