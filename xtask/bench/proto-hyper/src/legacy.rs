//! Work-stealing tokio and hyper-util's pooled client.

use std::convert::Infallible;
use std::net::SocketAddr;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::http::uri::{Authority, Scheme};
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::{Body, bad_gateway, listener, server, strip};

type Pooled = Client<HttpConnector, Incoming>;

pub fn serve(listen: SocketAddr, upstream: SocketAddr, threads: usize) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    let upstream: Authority = upstream.to_string().parse().map_err(std::io::Error::other)?;
    runtime.block_on(accept(listen, upstream))
}

async fn accept(listen: SocketAddr, upstream: Authority) -> std::io::Result<()> {
    let listener = listener(listen, false)?;
    let client = client();
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let (client, upstream) = (client.clone(), upstream.clone());
        tokio::spawn(async move {
            if socket.set_nodelay(true).is_ok() {
                let service = service_fn(move |request| forward(client.clone(), upstream.clone(), request));
                // A peer that went away is no error of this proxy.
                server().serve_connection(TokioIo::new(socket), service).await.ok();
            }
        });
    }
}

fn client() -> Pooled {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).pool_max_idle_per_host(512).build(connector)
}

async fn forward(client: Pooled, upstream: Authority, mut request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    strip(request.headers_mut());
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(upstream);
    let Ok(uri) = Uri::from_parts(parts) else { return Ok(bad_gateway()) };
    *request.uri_mut() = uri;
    let Ok(mut response) = client.request(request).await else { return Ok(bad_gateway()) };
    strip(response.headers_mut());
    Ok(response.map(BodyExt::boxed_unsync))
}
