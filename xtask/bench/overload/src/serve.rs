//! So many places behind one line.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::draw::Draw;

pub(crate) struct Model {
    pub(crate) servers: usize,
    pub(crate) mean: Duration,
    pub(crate) spread: f64,
}

struct Server {
    places: Arc<Semaphore>,
    model: Model,
    draw: RefCell<Draw>,
}

pub(crate) async fn run(address: SocketAddr, model: Model, draw: Draw) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let server =
        Rc::new(Server { places: Arc::new(Semaphore::new(model.servers)), model, draw: RefCell::new(draw) });
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let server = Rc::clone(&server);
        tokio::task::spawn_local(async move {
            if socket.set_nodelay(true).is_ok() {
                let service = service_fn(|request| answer(request, &server));
                // A peer that went away is no error of this server.
                http1::Builder::new().serve_connection(TokioIo::new(socket), service).await.ok();
            }
        });
    }
}

async fn answer(request: Request<Incoming>, server: &Server) -> Result<Response<Full<Bytes>>, Infallible> {
    // A body that breaks off is a caller that left: the connection ends with it.
    request.into_body().collect().await.ok();
    // The line is never closed.
    if let Ok(place) = Arc::clone(&server.places).acquire_owned().await {
        let works = server.model.mean.mul_f64(server.draw.borrow_mut().lognormal(server.model.spread));
        let work = tokio::task::spawn_local(async move {
            sleep(works).await;
            drop(place);
        });
        work.await.ok();
    }
    Ok(Response::new(Full::new(Bytes::from_static(b"{\"score\":0.5}"))))
}
