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
        run(&text);
        if path.file_stem().is_some_and(|name| name == UNIFORM) {
            run(&watched(&text));
        }
    }
}

/// The drill of the uniform world that is also run with everything that watches it.
const UNIFORM: &str = "a1-steady-overload";

/// The same with objectives, incidents and people on call.
fn watched(text: &str) -> String {
    let config = "slos:
  - availability: { target: 99.9%, window: 30d }
  - latency: { p50: 100ms, p99: 400ms, window: 7d }
incidents: { escalation: ml }
oncall:
  people: { ada: { channels: [pager] } }
  policies: { ml: { steps: [{ after: 0s, tell: [person:ada] }] } }
notify: { pager: { webhook: { url: http://127.0.0.1:9 } } }
";
    let world = "people: { ada: { acknowledges: { median: 20s }, mitigates: { median: 20s } } }\nbefore: 30d\n";
    let (before, after) = text.split_once("```\n\n```yaml world\n").expect("the config comes before the world");
    let named = before.replacen(&format!("name: {UNIFORM}"), &format!("name: {UNIFORM}-watched"), 1);
    assert_ne!(named, before, "the drill has its name in its head");
    format!("{named}{config}```\n\n```yaml world\n{world}{after}")
}

fn run(text: &str) {
    let (drill, findings) = mainstay_config::drill(text, &mut |_| Err("the config stands in the drill".to_owned()));
    let drill = drill.unwrap_or_else(|| panic!("{}", mainstay_config::render(&findings, "drill", text, false)));
    let began = Instant::now();
    let run = mainstay_sim::run(&drill, drill.seed);
    let seconds = began.elapsed().as_secs_f64();
    let told = json!({
        "drill": drill.name, "requests": run.requests, "seconds": seconds, "digest": digest(&format!("{run:?}")),
    });
    println!("{told}");
}

/// FNV-1a, 64 bits.
fn digest(text: &str) -> String {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}
