//! `kill -9` at random moments: what was acknowledged is there, and nothing is counted twice.
//!
//! The test runs itself again as a child that writes to a store and says what was acknowledged; it is killed, and the store
//! is compared with what the child said. `MAINSTAY_CRASH_ROUNDS` and `MAINSTAY_CRASH_SEED` choose how often and with what.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test talks to its child by the environment")]

mod child;
mod traffic;
mod verify;

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mainstay_core::rng::Rng;
use verify::Acknowledged;

const PATH: &str = "MAINSTAY_CRASH_PATH";
const ROUND: &str = "MAINSTAY_CRASH_ROUND";
const SEED: &str = "MAINSTAY_CRASH_SEED";
const ROUNDS: &str = "MAINSTAY_CRASH_ROUNDS";

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let seed = number(SEED).unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs());
    let rounds = number(ROUNDS).unwrap_or(10);
    println!("{SEED}={seed} {ROUNDS}={rounds}");
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("crash-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join("mainstay.db");
    let mut random = Rng::new(seed);
    let mut acknowledged = Acknowledged::default();
    for round in 0..rounds {
        let before = acknowledged.count();
        run_and_kill(&path, seed, round, Duration::from_millis(random.below(300)), &mut acknowledged);
        let stored = verify::verify(&path, round, &acknowledged);
        println!("round {round}: {} acknowledged, {stored} items at rest", acknowledged.count() - before);
    }
    assert!(acknowledged.count() > 10 * usize::try_from(rounds).unwrap(), "hardly anything was written");
    fs::remove_dir_all(&directory).unwrap();
}

/// Not a test of its own: the child of the one above, which is told by the environment.
#[test]
fn child() {
    if let Some(path) = env::var_os(PATH) {
        child::write(Path::new(&path), number(SEED).unwrap(), number(ROUND).unwrap());
    }
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap())
}

fn run_and_kill(path: &Path, seed: u64, round: u64, after: Duration, acknowledged: &mut Acknowledged) {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture", "--quiet"]).stdout(Stdio::piped());
    command.env(PATH, path).env(SEED, seed.to_string()).env(ROUND, round.to_string());
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // What the child said before its end stays in the pipe until it is read. The last line may be half a line.
    let reader = thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>());
    thread::sleep(child::START + after);
    child.kill().unwrap();
    child.wait().unwrap();
    for line in reader.join().unwrap() {
        acknowledged.note(&line);
    }
}
