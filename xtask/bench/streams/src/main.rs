//! The load of the stream bench, on one thread.
//!
//! bench-streams stream ADDRESS PATH BODY STREAMS PAUSE_MS WAIT_S WINDOW_S
//!   Opens that many streams one after the other, spread over the pause between two tokens. Once each has shown its first token, or the wait
//!   is over: `begin`, the window, `end`, and a line of JSON about the tokens that came in the window. Each token is the time at which it was
//!   sent, in microseconds since 1970. Ends with all streams still open.
//! bench-streams whole ADDRESS PATH BODY CONNECTIONS SECONDS
//!   Requests on kept connections, each as soon as the last answer is there: `begin`, the seconds, `end`, and a line of JSON.

mod stream;
mod whole;

use std::net::SocketAddr;
use std::time::Duration;

/// What is asked.
struct Ask {
    address: SocketAddr,
    request: Vec<u8>,
}

impl Ask {
    fn new(address: &str, path: &str, body: &str) -> Option<Self> {
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        Some(Self { address: address.parse().ok()?, request: request.into() })
    }
}

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Some(()) => std::process::ExitCode::SUCCESS,
        None => {
            eprintln!("wrong arguments, see the beginning of the source");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Option<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let local = tokio::task::LocalSet::new();
    match arguments {
        ["stream", address, path, body, streams, pause, wait, window] => {
            let ask = Ask::new(address, path, body)?;
            let load = stream::Load {
                streams: streams.parse().ok()?,
                pause: Duration::from_millis(pause.parse().ok()?),
                wait: Duration::from_secs(wait.parse().ok()?),
                window: Duration::from_secs(window.parse().ok()?),
            };
            local.block_on(&runtime, stream::run(ask, load));
        }
        ["whole", address, path, body, connections, seconds] => {
            let ask = Ask::new(address, path, body)?;
            let length = Duration::from_secs(seconds.parse().ok()?);
            local.block_on(&runtime, whole::run(ask, connections.parse().ok()?, length));
        }
        _ => return None,
    }
    Some(())
}

/// Nearest-rank percentile; zero of none. Sorts.
fn percentile(values: &mut [u32], share: f64) -> u32 {
    values.sort_unstable();
    let rank = ((values.len() as f64 * share).ceil() as usize).saturating_sub(1);
    values.get(rank).copied().unwrap_or_default()
}
