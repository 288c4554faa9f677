//! The machines in one process: `crates/tower/examples/bench_core.rs` measures, this checks the aims.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::shell;

/// Nanoseconds of one admit and release by one thread, and by two threads that share the machine.
const AIM_NS: (f64, f64) = (50.0, 150.0);

/// Builds and runs the program, prints a table; true when every case with an aim holds it and none allocates.
pub(crate) fn run() -> Result<bool> {
    let arguments = ["run", "--release", "--quiet", "--package", "mainstay-tower", "--example", "bench_core"];
    let ended = shell::watch(&mut shell::cargo(&arguments))?;
    ensure!(ended.success, "the bench program failed");
    let cases =
        ended.stdout.lines().filter(|line| line.starts_with('{')).map(Case::read).collect::<Result<Vec<_>>>()?;
    ensure!(!cases.is_empty(), "the bench program printed no case");
    println!("\n| case | ns, 1 thread | ns, 2 threads sharing | allocations | aim |\n|---|---|---|---|---|");
    for case in &cases {
        println!("{}", case.markdown());
    }
    Ok(cases.iter().all(Case::holds))
}

struct Case {
    name: String,
    one: f64,
    two: f64,
    allocations: f64,
}

impl Case {
    fn read(line: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
        let number = |key: &str| value[key].as_f64().with_context(|| format!("without `{key}`: {line}"));
        let name = value["case"].as_str().with_context(|| format!("without `case`: {line}"))?.to_owned();
        Ok(Self { name, one: number("ns_1_thread")?, two: number("ns_2_threads")?, allocations: number("allocs")? })
    }

    /// The aim is for one machine of ours on the way of a request that succeeds; other cases are there to compare with.
    fn has_aim(&self) -> bool {
        self.name.starts_with("mainstay")
            && (self.name.ends_with("success") || self.name.ends_with("admit and release"))
    }

    fn holds(&self) -> bool {
        !self.has_aim() || (self.one <= AIM_NS.0 && self.two <= AIM_NS.1 && self.allocations == 0.0)
    }

    fn markdown(&self) -> String {
        let verdict = match (self.has_aim(), self.holds()) {
            (false, _) => "-",
            (true, true) => "holds",
            (true, false) => "MISSED",
        };
        format!("| {} | {:.1} | {:.1} | {} | {verdict} |", self.name, self.one, self.two, self.allocations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(text: &str) -> Case {
        Case::read(text).unwrap()
    }

    #[test]
    fn the_aim_is_for_admit_and_release() {
        assert!(
            case(
                r#"{"case":"mainstay limiter, admit and release","ns_1_thread":49.0,"ns_2_threads":149.0,"allocs":0}"#
            )
            .holds()
        );
        assert!(
            !case(
                r#"{"case":"mainstay limiter, admit and release","ns_1_thread":49.0,"ns_2_threads":149.0,"allocs":1}"#
            )
            .holds()
        );
        assert!(
            !case(
                r#"{"case":"mainstay limiter, admit and release","ns_1_thread":51.0,"ns_2_threads":149.0,"allocs":0}"#
            )
            .holds()
        );
        assert!(
            case(r#"{"case":"mainstay breaker, rejected","ns_1_thread":500.0,"ns_2_threads":900.0,"allocs":0}"#)
                .holds()
        );
        assert!(Case::read(r#"{"case":"x"}"#).is_err());
    }
}
