//! What the tests are made with: a gateway, callers, and upstreams that do as they are told.

pub(crate) mod caller;
pub(crate) mod experiment;
pub(crate) mod plane;
pub(crate) mod raw;
pub(crate) mod tls;
pub(crate) mod upstream;

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub(crate) use caller::{Answer, Caller, ask, infer, post};
pub(crate) use plane::Plane;
pub(crate) use upstream::{Flow, Seen, Upstream, json};

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A config with `$name` replaced.
pub(crate) fn fill(text: &str, values: &[(&str, &dyn Display)]) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${name}"), &value.to_string()))
}

/// Waits until `look` finds something.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "in vain waited for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits for `work`, but not forever.
pub(crate) async fn soon<F: Future>(what: &str, work: F) -> F::Output {
    let Ok(done) = tokio::time::timeout(PATIENCE, work).await else { panic!("in vain waited for {what}") };
    done
}

/// An address that refuses connections, for as long as the socket lives.
pub(crate) fn dead() -> (SocketAddr, tokio::net::TcpSocket) {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    (socket.local_addr().expect("an address"), socket)
}
