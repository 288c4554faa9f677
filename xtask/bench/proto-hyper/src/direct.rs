//! One current-thread runtime per worker, each with its own pool of connections to the upstream.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::{LocalSet, spawn_local};

use crate::{listener, server, strip};

type Sender = SendRequest<Incoming>;
type Pool = Rc<RefCell<Vec<Sender>>>;

pub fn serve(listen: SocketAddr, upstream: SocketAddr, threads: usize) -> std::io::Result<()> {
    let worker = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, accept(listen, upstream))
    };
    let workers: Vec<_> = (0..threads).map(|_| std::thread::spawn(worker)).collect();
    for worker in workers {
        worker.join().map_err(|_| std::io::Error::other("a worker panicked"))??;
    }
    Ok(())
}

async fn accept(listen: SocketAddr, upstream: SocketAddr) -> std::io::Result<()> {
    let listener = listener(listen, true)?;
    let pool = Pool::default();
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let pool = pool.clone();
        spawn_local(async move {
            if socket.set_nodelay(true).is_ok() {
                let service = service_fn(move |request| forward(pool.clone(), upstream, request));
                // A peer that went away is no error of this proxy.
                server().serve_connection(TokioIo::new(socket), service).await.ok();
            }
        });
    }
}

async fn forward(pool: Pool, upstream: SocketAddr, mut request: Request<Incoming>) -> Result<Response<Reply>, Infallible> {
    strip(request.headers_mut());
    let sender = match idle(&pool).await {
        Some(sender) => Some(sender),
        None => dial(upstream).await,
    };
    let Some(mut sender) = sender else { return Ok(bad_gateway()) };
    let Ok(mut response) = sender.send_request(request).await else { return Ok(bad_gateway()) };
    strip(response.headers_mut());
    Ok(response.map(|body| Reply::Of { body, sender: Some(sender), pool }))
}

async fn idle(pool: &Pool) -> Option<Sender> {
    loop {
        let mut sender = pool.borrow_mut().pop()?;
        if sender.ready().await.is_ok() {
            return Some(sender);
        }
    }
}

async fn dial(upstream: SocketAddr) -> Option<Sender> {
    let socket = TcpStream::connect(upstream).await.ok()?;
    socket.set_nodelay(true).ok()?;
    let (sender, connection) = http1::handshake(TokioIo::new(socket)).await.ok()?;
    spawn_local(connection);
    Some(sender)
}

fn bad_gateway() -> Response<Reply> {
    let mut response = Response::new(Reply::Empty);
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}

/// The upstream's reply, which gives its connection back once it has ended.
enum Reply {
    Of { body: Incoming, sender: Option<Sender>, pool: Pool },
    Empty,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self::Of { body, sender, pool } = self.get_mut() else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
        let ended = match &frame {
            None => true,
            Some(Ok(_)) => body.is_end_stream(),
            Some(Err(_)) => {
                *sender = None;
                false
            }
        };
        if ended && let Some(sender) = sender.take() {
            pool.borrow_mut().push(sender);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Of { body, .. } => body.is_end_stream(),
            Self::Empty => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Of { body, .. } => body.size_hint(),
            Self::Empty => SizeHint::with_exact(0),
        }
    }
}
