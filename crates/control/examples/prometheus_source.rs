//! Asks a Prometheus for the events of an SLI: `prometheus_source URL good|bad EXPRESSION TOTAL WINDOW_S AT_S`.

use std::time::Duration;

use mainstay_control::source::{Counters, Prometheus, Reading};
use mainstay_core::time::Time;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, side, part, total, window, at] = arguments.as_slice() else {
        return Err("usage: prometheus_source URL good|bad EXPRESSION TOTAL WINDOW_S AT_S".into());
    };
    let counters = match side.as_str() {
        "good" => Counters::good(part, total),
        "bad" => Counters::bad(part, total),
        other => return Err(format!("neither good nor bad: {other}").into()),
    };
    let window = Duration::from_secs(window.parse()?);
    let at = Time::from_secs(at.parse()?);
    let told = match Prometheus::new(url)?.read(&counters, window, at).await {
        Reading::Events { good, total } => serde_json::json!({ "reading": "events", "good": good, "total": total }),
        Reading::NoTraffic => serde_json::json!({ "reading": "no_traffic" }),
        Reading::NoSignal => serde_json::json!({ "reading": "no_signal" }),
        Reading::Failed(error) => serde_json::json!({ "reading": "failed", "why": error.to_string() }),
    };
    println!("{told}");
    Ok(())
}
