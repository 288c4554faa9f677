//! Commits the checkpoint whose files are in `ROOT/.tmp-1-1`, and prints the seconds that it took.

use std::path::PathBuf;
use std::time::Instant;

use mainstay_trainer::checkpoint::{self, Manifest};
use serde_json::{Map, Value};

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn main() -> std::io::Result<()> {
    let root = std::env::args_os().nth(1).map(PathBuf::from).ok_or(std::io::ErrorKind::InvalidInput)?.canonicalize()?;
    let manifest = Manifest {
        v: 1,
        run: "bench".to_owned(),
        attempt: 1,
        step: 1,
        parent: None,
        cursor: Value::Null,
        metrics: Map::new(),
        adopted: None,
        files: Vec::new(),
    };
    let began = Instant::now();
    let made = checkpoint::commit(&root, &root.join(".tmp-1-1"), manifest)?;
    println!("{:.3} {}", began.elapsed().as_secs_f64(), made.bytes);
    Ok(())
}
