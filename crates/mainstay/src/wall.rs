//! `mainstay wall`: a server of faults. It plays an upstream that fails in one known way, chosen by the model's name in the request,
//! and counts who asked how often. Whatever stands in front of it is put to the test: a gateway, a client library, an own program.
//!
//! Raw sockets, since no HTTP library lets a connection be reset before an answer, or a body end without its end.

mod anthropic;
mod answer;
mod catalogue;
mod connection;
mod dialect;
mod ledger;
mod model;
mod openai;
mod quirks;
mod request;
mod script;
mod streams;

use std::net::SocketAddr;
use std::rc::Rc;

use tokio::net::TcpListener;

pub(crate) use catalogue::{Entry, entries};
use ledger::Ledger;

/// Answers on one socket, one task per connection, until the process ends. All are on one thread.
pub(crate) struct Wall {
    listener: TcpListener,
    ledger: Rc<Ledger>,
}

impl Wall {
    /// Listens; port 0 takes a free one.
    pub(crate) async fn bind(address: SocketAddr) -> std::io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, ledger: Rc::new(Ledger::default()) })
    }

    pub(crate) fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Runs inside a `LocalSet`. A connection that cannot be taken is no reason to stop.
    pub(crate) async fn serve(self) {
        loop {
            let Ok((socket, _)) = self.listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            tokio::task::spawn_local(connection::serve(socket, Rc::clone(&self.ledger)));
        }
    }
}

/// After an accept that failed, such as for want of file descriptors.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);
