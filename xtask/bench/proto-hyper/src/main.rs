//! The bare proxy of the gateway bench: HTTP/1.1 with kept connections, and nothing decided on the way.
//!
//! arguments: MODE LISTEN UPSTREAM THREADS
//!   legacy   work-stealing tokio and hyper-util's pooled client
//!   direct   one current-thread runtime per worker, each with its own pool of connections

mod direct;
mod legacy;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::ExitCode;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::header::{CONNECTION, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use hyper::server::conn::http1;
use hyper::{HeaderMap, Response, StatusCode};
use tokio::net::TcpListener;

type Body = UnsyncBoxBody<Bytes, hyper::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, listen, upstream, threads] = arguments.as_slice() else {
        eprintln!("usage: proto-hyper legacy|direct LISTEN UPSTREAM THREADS");
        return ExitCode::from(2);
    };
    let (Ok(listen), Ok(upstream), Ok(threads)) = (listen.parse(), upstream.parse(), threads.parse()) else {
        eprintln!("LISTEN and UPSTREAM are addresses, THREADS is a number");
        return ExitCode::from(2);
    };
    let ended = match mode.as_str() {
        "legacy" => legacy::serve(listen, upstream, threads),
        "direct" => direct::serve(listen, upstream, threads),
        _ => Err(std::io::Error::other("MODE is legacy or direct")),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// With `shared`, several workers listen on the same port and the kernel deals out the connections.
fn listener(address: SocketAddr, shared: bool) -> std::io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    TcpListener::from_std(socket.into())
}

fn server() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.pipeline_flush(true);
    builder
}

/// Fields that belong to one connection are not forwarded (RFC 9110 section 7.6.1).
fn strip(headers: &mut HeaderMap) {
    for name in [CONNECTION, TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    headers.remove(HeaderName::from_static("keep-alive"));
    headers.remove(HeaderName::from_static("proxy-connection"));
}

fn bad_gateway() -> Response<Body> {
    let empty = Empty::new().map_err(|never: Infallible| match never {});
    let mut response = Response::new(empty.boxed_unsync());
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}
