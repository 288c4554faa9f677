//! Closed loop: wrk, which sends on every connection as soon as the last answer is there. Its latencies are those at the
//! target's own top rate.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::report::Latency;
use crate::shell;

/// What one run of a load generator saw.
pub(super) struct Load {
    pub(super) requests: u64,
    pub(super) seconds: f64,
    pub(super) latency: Latency,
    /// Answers other than 2xx, and requests without an answer.
    pub(super) failed: u64,
}

/// `script` sets the request, and prints the line that is read here.
pub(super) fn run(port: u16, path: &str, script: &Path, connections: u32, seconds: u64) -> Result<Load> {
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", "--timeout", "30s", &format!("-c{connections}"), &format!("-d{seconds}s"), "-s"]).arg(script);
    wrk.arg(format!("http://127.0.0.1:{port}{path}"));
    let printed = shell::quiet(&mut wrk)?;
    let line = printed.lines().find_map(|line| line.strip_prefix("RESULT ")).context("wrk printed no result")?;
    parse(line).with_context(|| format!("cannot read wrk's result: {line}"))
}

/// requests, duration, p50, p90, p99, p99.9, max (all in microseconds), bad status, socket errors, timeouts
fn parse(line: &str) -> Option<Load> {
    let fields: Vec<u64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    let [requests, duration, p50, _, p99, p999, _, status, socket, timeout] = fields[..] else { return None };
    let latency = Latency { p50, p99, p999 };
    Some(Load { requests, seconds: duration as f64 / 1e6, latency, failed: status + socket + timeout })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_line_is_read() {
        let load = parse("1000 2000000 100 200 300 400 500 1 2 3").unwrap();
        assert_eq!((load.requests, load.failed, load.latency.p99), (1000, 6, 300));
        assert!((load.seconds - 2.0).abs() < 1e-12);
        assert!(parse("1 2 3").is_none());
    }
}
