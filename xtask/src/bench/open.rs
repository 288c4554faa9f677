//! Open loop: a constant rate, whatever the target does. Each request has a time at which it should be sent, and its
//! latency counts from there, so that a slow target cannot hide the requests it holds up (coordinated omission).

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::closed::Load;
use super::http::Connection;
use super::report::Latency;

/// Kept connections, each with a thread that mostly sleeps.
const CONNECTIONS: u32 = 64;

const THREAD_STACK_BYTES: usize = 128 * 1024;

/// `rate` requests/s in all, spread evenly over the connections, for `seconds`.
pub(super) fn run(port: u16, request: &[u8], rate: u32, seconds: u64) -> Result<Load> {
    let ready = Barrier::new(CONNECTIONS as usize);
    let plan = Plan { step: Duration::from_secs_f64(1.0 / f64::from(rate)), length: Duration::from_secs(seconds) };
    let seen: Vec<Seen> = thread::scope(|scope| {
        let worker = |n| {
            let ready = &ready;
            let builder = thread::Builder::new().stack_size(THREAD_STACK_BYTES);
            builder
                .spawn_scoped(scope, move || connection(port, request, plan, n, ready))
                .context("cannot start a thread")
        };
        let workers: Vec<_> = (0..CONNECTIONS).map(worker).collect::<Result<_>>()?;
        workers
            .into_iter()
            .map(|worker| worker.join().map_err(|_| anyhow!("a connection's thread panicked")))
            .collect::<Result<_>>()
    })?;
    let failed = seen.iter().map(|seen| seen.failed).sum();
    let mut micros: Vec<u32> = seen.into_iter().flat_map(|seen| seen.micros).collect();
    micros.sort_unstable();
    Ok(Load {
        requests: micros.len() as u64,
        seconds: plan.length.as_secs_f64(),
        latency: Latency::of_sorted(&micros),
        failed,
    })
}

#[derive(Clone, Copy)]
struct Plan {
    /// Between two requests of all connections together.
    step: Duration,
    length: Duration,
}

impl Plan {
    /// When connection `n` should send its request number `turn`, from the start.
    fn due(&self, n: u32, turn: u32) -> Option<Duration> {
        let at = self.step.mul_f64(f64::from(turn) * f64::from(CONNECTIONS) + f64::from(n));
        (at < self.length).then_some(at)
    }
}

#[derive(Default)]
struct Seen {
    micros: Vec<u32>,
    failed: u64,
}

fn connection(port: u16, request: &[u8], plan: Plan, n: u32, ready: &Barrier) -> Seen {
    let mut open = Connection::open(port).ok();
    ready.wait();
    let start = Instant::now();
    let mut seen = Seen::default();
    for at in (0..).map_while(|turn| plan.due(n, turn)) {
        thread::sleep(at.saturating_sub(start.elapsed()));
        let answer = open.as_mut().and_then(|connection| connection.exchange(request).ok());
        if answer.is_none_or(|answer| answer.status != 200) {
            seen.failed += 1;
            open = Connection::open(port).ok();
        }
        let late = start.elapsed().saturating_sub(at);
        seen.micros.push(u32::try_from(late.as_micros()).unwrap_or(u32::MAX));
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connections_share_the_rate_evenly() {
        let plan = Plan { step: Duration::from_millis(1), length: Duration::from_millis(100) };
        let mut due: Vec<_> = (0..CONNECTIONS).flat_map(|n| (0..).map_while(move |turn| plan.due(n, turn))).collect();
        due.sort();
        let expected: Vec<_> = (0..100).map(Duration::from_millis).collect();
        assert_eq!(due, expected);
    }
}
