//! How fast drills are simulated, and a digest of what each says: a JSON object per drill. `cargo xtask bench sim` runs it.

#![expect(clippy::disallowed_methods, reason = "drills are files, and a bench looks at the clock")]
#![expect(clippy::disallowed_types, reason = "a bench looks at the clock")]
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::path::Path;
use std::time::Instant;

use serde_json::json;

fn main() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/drills");
    let files = std::fs::read_dir(&directory).expect("the directory is there");
    let mut files: Vec<_> = files.map(|entry| entry.expect("it can be read").path()).collect();
    files.retain(|path| path.extension().is_some_and(|it| it == "md"));
    files.sort();
    for path in files {
        let text = std::fs::read_to_string(&path).expect("it can be read");
        let (drill, _) = mainstay_config::drill(&text, &mut |_| Err("the config stands in the drill".to_owned()));
        let drill = drill.unwrap_or_else(|| panic!("{} is a drill", path.display()));
        let began = Instant::now();
        let run = mainstay_sim::run(&drill, drill.seed);
        let seconds = began.elapsed().as_secs_f64();
        let told = json!({
            "drill": drill.name, "requests": run.requests, "seconds": seconds, "digest": digest(&format!("{run:?}")),
        });
        println!("{told}");
    }
}

/// FNV-1a, 64 bits.
fn digest(text: &str) -> String {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}
