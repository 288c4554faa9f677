//! Every target on its corpus and on random mutations of it. `FUZZ_RUNS` inputs for each (1,000), from `FUZZ_SEED` (1).

#![expect(clippy::unwrap_used, reason = "all of it is a test")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use mainstay_core::rng::Rng;
use mainstay_fuzz_targets::mutate::mutate;
use mainstay_fuzz_targets::{TARGETS, Target};

#[test]
fn answering() {
    fuzz("answering");
}

#[test]
fn config() {
    fuzz("config");
}

#[test]
fn expression() {
    fuzz("expression");
}

#[test]
fn feast() {
    fuzz("feast");
}

#[test]
fn headers() {
    fuzz("headers");
}

#[test]
fn keywords() {
    fuzz("keywords");
}

#[test]
fn open_inference() {
    fuzz("open_inference");
}

#[test]
fn packed() {
    fuzz("packed");
}

#[test]
fn pointer() {
    fuzz("pointer");
}

#[test]
fn queue_file() {
    fuzz("queue_file");
}

#[test]
fn table() {
    fuzz("table");
}

#[test]
fn every_target_has_a_corpus() {
    let named: Vec<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut found: Vec<_> =
        fs::read_dir(home()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    assert_eq!(found, named);
}

fn fuzz(name: &str) {
    let (_, target) = TARGETS.into_iter().find(|(known, _)| *known == name).unwrap();
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "no corpus for {name}");
    for input in &corpus {
        run(name, target, input);
    }
    let mut rng = Rng::new(number("FUZZ_SEED", 1));
    for _ in 0..number("FUZZ_RUNS", 1_000) {
        run(name, target, &mutate(&corpus, &mut rng));
    }
}

/// Keeps an input that fails where the next run and `cargo fuzz` find it.
fn run(name: &str, target: Target, input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        let digest = input
            .iter()
            .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3));
        let file = home().join(name).join(format!("crash-{digest:016x}"));
        fs::write(&file, input).unwrap();
        eprintln!("{} broke {name}; fix it and keep the file", file.display());
        std::panic::resume_unwind(panic);
    }
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let mut files: Vec<PathBuf> = fs::read_dir(home().join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus")
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}
