//! Both ends of the live bench, each on one thread.
//!
//! bench-overload serve ADDRESS SERVERS MEAN_MS SPREAD SEED
//!   Answers any request after a time by a log-normal law of that mean and sigma, so many at once; the others wait in one line. Work that has
//!   begun is finished even if its caller left; who left the line is passed over.
//! bench-overload load ADDRESS RATE WARM_S SECONDS DEADLINE_MS CLASSES SEED
//!   Requests at exponential intervals, RATE a second, whatever the target does; `x-class` by the weights CLASSES (`10,20,40,30`).
//!   Prints a line of JSON: what became of the requests that were due in the SECONDS after the warm-up, by class.

mod draw;
mod load;
mod serve;

use std::time::Duration;

use draw::Draw;

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Some(Ok(())) => std::process::ExitCode::SUCCESS,
        Some(Err(error)) => {
            eprintln!("{error}");
            std::process::ExitCode::FAILURE
        }
        None => {
            eprintln!("wrong arguments, see the beginning of the source");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Option<std::io::Result<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let local = tokio::task::LocalSet::new();
    Some(match arguments {
        ["serve", address, servers, mean, spread, seed] => {
            let model = serve::Model {
                servers: servers.parse().ok()?,
                mean: Duration::from_millis(mean.parse().ok()?),
                spread: spread.parse().ok()?,
            };
            local.block_on(&runtime, serve::run(address.parse().ok()?, model, Draw::new(seed.parse().ok()?)))
        }
        ["load", address, rate, warm, seconds, deadline, classes, seed] => {
            let plan = load::Plan {
                address: address.parse().ok()?,
                rate: rate.parse().ok()?,
                warm: Duration::from_secs(warm.parse().ok()?),
                length: Duration::from_secs(seconds.parse().ok()?),
                deadline: Duration::from_millis(deadline.parse().ok()?),
                weights: classes.split(',').map(|weight| weight.parse().ok()).collect::<Option<_>>()?,
            };
            local.block_on(&runtime, load::run(plan, Draw::new(seed.parse().ok()?)));
            Ok(())
        }
        _ => return None,
    })
}
