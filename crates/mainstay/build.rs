//! Tells the binary which commit it is made from: `MAINSTAY_COMMIT` where it is set (a commit, and after a space the day it was made; empty:
//! none is told), otherwise git's. No clock and no path gets in: the same commit makes the same binary.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=MAINSTAY_COMMIT");
    let told = env::var("MAINSTAY_COMMIT").ok().or_else(of_git).unwrap_or_default();
    let mut words = told.split_whitespace();
    let [commit, day] = std::array::from_fn(|_| words.next().unwrap_or_default());
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let from = [commit, day].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let shown = if from.is_empty() { version } else { format!("{version} ({from})") };
    println!("cargo::rustc-env=MAINSTAY_BUILT_VERSION={shown}");
    println!("cargo::rustc-env=MAINSTAY_BUILT_COMMIT={commit}");
    println!("cargo::rustc-env=MAINSTAY_BUILT_DAY={day}");
}

/// The commit that is checked out and its day; `None` where these files are not those of a repository of their own.
fn of_git() -> Option<String> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR")?).join("../..").canonicalize().ok()?;
    let top = git(&here, &["rev-parse", "--show-toplevel"])?;
    // Sources that were unpacked inside another repository are not what that one has checked out.
    if Path::new(&top).canonicalize().ok()? != here {
        return None;
    }
    let branch = git(&here, &["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        let path = git(&here, &["rev-parse", "--path-format=absolute", "--git-path", name])?;
        // A file that is missing would have it made anew each time.
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    git(&here, &["show", "--no-patch", "--no-show-signature", "--abbrev=12", "--format=%h %cs", "HEAD"])
}

fn git(here: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(here).args(arguments).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| said.trim().to_owned()).filter(|said| !said.is_empty())
}
