//! Fleets of 1 to 1,000 gateways that share a rate by leases: a JSON object each. `cargo xtask bench fleet` runs it.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::time::Duration;

use mainstay_core::resilience::lease::Config;
use mainstay_sim::{Fleet, fleet};
use serde_json::json;

const SIZES: [u32; 7] = [1, 3, 10, 30, 100, 300, 1_000];
/// The store: its name, the chance that a message is lost, the mean delay in milliseconds, and when it is gone for how
/// many seconds.
type Store = (&'static str, f64, u64, Option<(u64, u64)>);

const STORES: [Store; 5] = [
    ("1 ms, none lost", 0.0, 1, None),
    ("10 ms, 1 % lost", 0.01, 10, None),
    ("50 ms, 10 % lost", 0.1, 50, None),
    ("200 ms, 30 % lost", 0.3, 200, None),
    ("10 ms, gone for 20 s of 60", 0.0, 10, Some((30, 20))),
];

fn main() {
    let config = Config { rate: 10_000.0, lease: Duration::from_secs(4), renew: Duration::from_secs(1), reserve: 0.05 };
    for (store, loss, delay, gone) in STORES {
        for gateways in SIZES {
            let seconds = |(from, length)| (Duration::from_secs(from), Duration::from_secs(length));
            let played = Fleet {
                gateways,
                config,
                load: 1.5,
                loss,
                delay: Duration::from_millis(delay),
                gone: gone.map(seconds),
                length: Duration::from_secs(80),
            };
            let spent = fleet(&played, 1);
            let told = json!({
                "store": store, "gateways": gateways, "used": spent.used, "worst_second": spent.worst_second,
                "fairness": spent.fairness, "staleness_s": spent.staleness_s,
                "staleness_p99_s": spent.staleness_p99_s,
            });
            println!("{told}");
        }
    }
}
