//! The idle connections of one worker to one endpoint.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};

use super::dial::{Sender, dial};
use super::{Endpoint, SendError};
use crate::body::Outgoing;

/// Most idle connections that a worker keeps to an endpoint.
const IDLE_MAX: usize = 256;
/// A connection that nobody used for so many sweeps is closed: a minute, at five sweeps a second.
const IDLE_SWEEPS: u32 = 300;

/// Connections of one worker to one endpoint.
pub(crate) struct Pool {
    endpoint: Endpoint,
    tls: Option<Arc<rustls::ClientConfig>>,
    connect_timeout: Duration,
    idle: RefCell<VecDeque<Idle>>,
    shared: RefCell<Option<http2::SendRequest<Outgoing>>>,
}

struct Idle {
    sender: http1::SendRequest<Outgoing>,
    /// How often it was looked at by [`Pool::sweep`] and nobody had used it.
    swept: u32,
}

/// An answer's head and body, and the connection that goes back to the pool once the body was read.
pub(crate) struct Reply {
    pub(crate) response: Response<Incoming>,
    pub(crate) lease: Lease,
}

/// A connection in use. Dropped, it is closed; given back, it is used again.
pub(crate) struct Lease {
    sender: Option<http1::SendRequest<Outgoing>>,
    pool: Rc<Pool>,
}

impl Pool {
    pub(crate) fn new(
        endpoint: Endpoint,
        tls: Option<Arc<rustls::ClientConfig>>,
        connect_timeout: Duration,
    ) -> Rc<Pool> {
        Rc::new(Pool { endpoint, tls, connect_timeout, idle: RefCell::default(), shared: RefCell::default() })
    }

    /// Sends a request on an idle connection, or on a new one.
    ///
    /// `request` has no target and no `host` yet: they depend on the endpoint. An idle connection that the backend
    /// closed in the meantime is noticed before anything was sent, and the next one is taken.
    pub(crate) async fn send(
        self: &Rc<Self>,
        path: &http::uri::PathAndQuery,
        mut request: Request<Outgoing>,
    ) -> Result<Reply, SendError> {
        request.headers_mut().insert(http::header::HOST, self.endpoint.host_header.clone());
        *request.uri_mut() = self.endpoint.target(path, false);
        while let Some(mut sender) = self.take_idle() {
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(self.reply(response, Some(sender))),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(SendError::Http(error.into_error())),
                },
            }
        }
        let open = self.shared.borrow().clone().filter(|s| !s.is_closed());
        if let Some(sender) = open {
            return self.on_h2(sender, path, request).await;
        }
        // Seldom, and as large as all the rest: it does not lie within what every request carries along.
        match Box::pin(dial(&self.endpoint, self.tls.as_ref(), self.connect_timeout)).await? {
            Sender::H1(mut sender) => match sender.try_send_request(request).await {
                Ok(response) => Ok(self.reply(response, Some(sender))),
                Err(error) => Err(SendError::Http(error.into_error())),
            },
            Sender::H2(sender) => {
                *self.shared.borrow_mut() = Some(sender.clone());
                self.on_h2(sender, path, request).await
            }
        }
    }

    /// Closes connections that nobody has used for the last [`IDLE_SWEEPS`] calls of this.
    pub(crate) fn sweep(&self) {
        self.idle.borrow_mut().retain_mut(|idle| {
            idle.swept += 1;
            idle.swept <= IDLE_SWEEPS && !idle.sender.is_closed()
        });
    }

    /// The ready connection that was used last, which is the one most likely to be alive.
    ///
    /// One that is still busy with the end of its last exchange is left where it is.
    fn take_idle(&self) -> Option<http1::SendRequest<Outgoing>> {
        let mut idle = self.idle.borrow_mut();
        let mut at = idle.len();
        while at > 0 {
            at -= 1;
            if idle[at].sender.is_ready() {
                return idle.remove(at).map(|i| i.sender);
            }
            if idle[at].sender.is_closed() {
                idle.remove(at);
            }
        }
        None
    }

    fn reply(self: &Rc<Self>, response: Response<Incoming>, sender: Option<http1::SendRequest<Outgoing>>) -> Reply {
        Reply { response, lease: Lease { sender, pool: Rc::clone(self) } }
    }

    async fn on_h2(
        self: &Rc<Self>,
        mut sender: http2::SendRequest<Outgoing>,
        path: &http::uri::PathAndQuery,
        mut request: Request<Outgoing>,
    ) -> Result<Reply, SendError> {
        *request.uri_mut() = self.endpoint.target(path, true);
        *request.version_mut() = http::Version::HTTP_2;
        request.headers_mut().remove(http::header::HOST);
        let response = sender.send_request(request).await.map_err(SendError::Http)?;
        Ok(self.reply(response, None))
    }
}

impl Lease {
    /// Keeps the connection for the next request. Call it once the answer's body has ended.
    ///
    pub(crate) fn give_back(mut self) {
        let Some(sender) = self.sender.take().filter(|s| !s.is_closed()) else { return };
        let mut idle = self.pool.idle.borrow_mut();
        if idle.len() < IDLE_MAX {
            idle.push_back(Idle { sender, swept: 0 });
        }
    }
}
