//! Connections to backends: one pool per worker and endpoint, no lock in between.

pub(crate) mod dial;
pub(crate) mod endpoint;
pub(crate) mod pool;

use std::fmt;

pub(crate) use endpoint::Endpoint;
pub(crate) use pool::{Pool, Reply};

/// Why a backend gave no answer head.
#[derive(Debug)]
pub(crate) enum SendError {
    /// No connection: refused, unreachable, name not found.
    Connect(std::io::Error),
    /// The TLS handshake failed.
    Tls(std::io::Error),
    /// Nobody answered the connection attempt in time.
    ConnectTimeout,
    /// The connection broke, or what came was not HTTP.
    Http(hyper::Error),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Connect(error) => write!(f, "connect: {error}"),
            SendError::Tls(error) => write!(f, "tls: {error}"),
            SendError::ConnectTimeout => f.write_str("connect: timed out"),
            SendError::Http(error) => write!(f, "{error}"),
        }
    }
}
