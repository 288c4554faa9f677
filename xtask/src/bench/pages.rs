//! The dashboard of a service with a thousand objectives and ten thousand incidents: `crates/control/tests/admin/scale.rs` asks for its
//! pages and checks their length; this has it built with optimisation and looks at the time.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::verdict;
use crate::shell;

/// From a page's request to the end of its answer, in milliseconds: the best of the tries.
const AIM_MS: f64 = 50.0;

/// Runs it; true when every page is soon enough.
pub(crate) fn run() -> Result<bool> {
    // Cargo puts the names of the binary and the case on one line each with what they print.
    let arguments = ["test", "--release", "--quiet", "--package", "mainstay-control", "--test", "admin"];
    let case = ["--", "--exact", "--nocapture", CASE];
    let ended = shell::watch(shell::cargo(&arguments).args(case))?;
    ensure!(ended.success, "the pages did not come as they should");
    let rows = ended.stdout.lines().filter(|line| line.starts_with('{')).map(row).collect::<Result<Vec<_>>>()?;
    ensure!(!rows.is_empty(), "the test `{CASE}` printed no page: has it another name?");
    println!("\n| page | bytes | ms (at most {AIM_MS}) | |\n|---|---|---|---|");
    for (page, bytes, ms) in &rows {
        println!("| `{page}` | {bytes} | {ms:.1} | {} |", verdict(*ms <= AIM_MS));
    }
    Ok(rows.iter().all(|(_, _, ms)| *ms <= AIM_MS))
}

const CASE: &str = "scale::pages_are_short_and_soon_with_a_thousand_objectives_and_ten_thousand_incidents";

fn row(line: &str) -> Result<(String, u64, f64)> {
    let told: Value = serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
    let page = told["page"].as_str().with_context(|| format!("without `page`: {line}"))?.to_owned();
    let bytes = told["bytes"].as_u64().with_context(|| format!("without `bytes`: {line}"))?;
    let ms = told["ms"].as_f64().with_context(|| format!("without `ms`: {line}"))?;
    Ok((page, bytes, ms))
}
