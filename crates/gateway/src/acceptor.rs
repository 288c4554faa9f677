//! Takes connections in and deals them out, so that no worker has more than its share.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::worker::{Command, Handle};

/// Connections that the kernel holds for us.
const BACKLOG: i32 = 4096;

/// Binds the data plane's address.
pub(crate) fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The workers as the acceptor sees them.
pub(crate) struct Crew {
    members: Vec<(mpsc::UnboundedSender<Command>, Arc<AtomicUsize>)>,
}

impl Crew {
    pub(crate) fn new(workers: &[Handle]) -> Crew {
        Crew { members: workers.iter().map(|w| (w.commands.clone(), Arc::clone(&w.connections))).collect() }
    }

    /// Where workers are told what to do.
    pub(crate) fn commands(&self) -> Vec<mpsc::UnboundedSender<Command>> {
        self.members.iter().map(|(commands, _)| commands.clone()).collect()
    }

    /// Connections under way.
    pub(crate) fn connections(&self) -> usize {
        self.members.iter().map(|(_, n)| n.load(Ordering::Relaxed)).sum()
    }

    /// Gives a connection to the worker with the fewest.
    fn deal(&self, stream: std::net::TcpStream, peer: SocketAddr) {
        let Some((commands, connections)) = self.members.iter().min_by_key(|(_, n)| n.load(Ordering::Relaxed)) else {
            return;
        };
        connections.fetch_add(1, Ordering::Relaxed);
        if commands.send(Command::Serve(stream, peer)).is_err() {
            connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Accepts until `stop` says so. At `max()` connections it leaves new ones in the backlog until one ends.
pub(crate) async fn accept(
    listener: std::net::TcpListener,
    crew: Crew,
    max: impl Fn() -> usize,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept(), if crew.connections() < max() => accepted,
            () = tokio::time::sleep(Duration::from_millis(20)), if crew.connections() >= max() => continue,
            _ = stop.changed() => return Ok(()),
        };
        match accepted {
            Ok((stream, peer)) => match stream.into_std() {
                Ok(stream) => crew.deal(stream, peer),
                Err(error) => tracing::warn!(%error, "a connection could not be handed over"),
            },
            Err(error) => {
                // Out of descriptors, or a caller that left already: neither is solved by trying again at once.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}
