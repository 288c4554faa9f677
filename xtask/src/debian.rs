//! Programs that come as Debian packages.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell;

/// Installs the packages whose program is missing, as root or with sudo that asks nothing; a clear error where neither
/// can be had. Pairs are a program and its package.
pub(crate) fn install(programs: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<&str> =
        programs.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let words = missing.join(" ");
    println!("installing the Debian packages {words}");
    let run = |arguments: &[&str]| shell::quiet(&mut apt(arguments));
    let wanted: Vec<&str> = ["install", "--yes", "--no-install-recommends"].into_iter().chain(missing).collect();
    // Lists of packages may be absent or old.
    if run(&wanted).is_err() {
        run(&["update"]).with_context(|| format!("install by hand: {words}"))?;
        run(&wanted).with_context(|| format!("install by hand: {words}"))?;
    }
    Ok(())
}

fn apt(arguments: &[&str]) -> Command {
    // RUNLEVEL=1 keeps the packages from starting their services.
    let settings = ["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"];
    let mut command = Command::new(if is_root() { "env" } else { "sudo" });
    if !is_root() {
        command.args(["--non-interactive", "env"]);
    }
    command.args(settings).arg("apt-get").args(arguments);
    command
}

fn is_root() -> bool {
    shell::quiet(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

/// Debian keeps daemons where an ordinary user's path does not look.
fn is_there(program: &str) -> bool {
    shell::installed(program) || Path::new("/usr/sbin").join(program).is_file()
}
