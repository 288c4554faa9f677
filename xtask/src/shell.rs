//! Where things are, and other programs: run, seen while they run, and read afterwards.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, ensure};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Cargo's target directory: what `CARGO_TARGET_DIR` names, else `target`.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// `cargo` with arguments, started in the root of the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// What a program printed, and whether it ended well.
pub(crate) struct Ended {
    pub(crate) success: bool,
    /// Standard output; both streams were shown as they came.
    pub(crate) stdout: String,
}

/// Runs a command to its end, showing both its streams as they come.
pub(crate) fn watch(command: &mut Command) -> Result<Ended> {
    let name = shown(command);
    println!("$ {name}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .with_context(|| format!("cannot start `{name}`"))?;
    let pipe = child.stdout.take().context("standard output is piped")?;
    let stdout = tee(pipe)?;
    let status = child.wait().with_context(|| format!("cannot wait for `{name}`"))?;
    Ok(Ended { success: status.success(), stdout })
}

fn tee(pipe: impl Read) -> Result<String> {
    let mut reader = BufReader::new(pipe);
    let (mut all, mut line) = (Vec::new(), Vec::new());
    while reader.read_until(b'\n', &mut line)? > 0 {
        std::io::stdout().write_all(&line)?;
        all.append(&mut line);
    }
    Ok(String::from_utf8_lossy(&all).into_owned())
}

/// Runs a command quietly; its output is shown only in the error of one that failed.
pub(crate) fn quiet(command: &mut Command) -> Result<String> {
    let name = shown(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{name}`"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{name}` ended with {}\n{stdout}{stderr}", output.status);
    Ok(stdout)
}

/// Whether a program of that name is on the path.
pub(crate) fn installed(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|dir| dir.join(program).is_file())
}

/// Threads that are of use at the same time on this machine.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
