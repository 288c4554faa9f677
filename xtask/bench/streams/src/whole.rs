//! Whole answers in a closed loop.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::{Ask, percentile};

/// Connections are made and caches filled before anything is measured.
const SETTLE: Duration = Duration::from_secs(1);
/// After a connection that failed.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Default)]
struct Seen {
    measuring: Cell<bool>,
    failed: Cell<u32>,
    /// Microseconds from the request to the end of the answer.
    took: RefCell<Vec<u32>>,
}

pub(crate) async fn run(ask: Ask, connections: u32, length: Duration) {
    let (ask, seen) = (Rc::new(ask), Rc::<Seen>::default());
    for _ in 0..connections {
        let (ask, seen) = (Rc::clone(&ask), Rc::clone(&seen));
        tokio::task::spawn_local(async move {
            loop {
                let _ = connection(&ask, &seen).await;
                seen.failed.set(seen.failed.get() + 1);
                sleep(PAUSE).await;
            }
        });
    }
    sleep(SETTLE).await;
    println!("begin");
    seen.measuring.set(true);
    let start = Instant::now();
    sleep(length).await;
    seen.measuring.set(false);
    let seconds = start.elapsed().as_secs_f64();
    println!("end");
    let mut took = seen.took.borrow_mut();
    let (failed, requests) = (seen.failed.get(), took.len());
    let (p50, p99) = (percentile(&mut took, 0.5), percentile(&mut took, 0.99));
    println!(r#"{{"requests":{requests},"failed":{failed},"seconds":{seconds},"p50_us":{p50},"p99_us":{p99}}}"#);
}

/// Until the connection ends, or an answer is no success.
async fn connection(ask: &Ask, seen: &Seen) -> std::io::Result<()> {
    let mut socket = TcpStream::connect(ask.address).await?;
    socket.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(8192);
    loop {
        let began = Instant::now();
        buffer.clear();
        socket.write_all(&ask.request).await?;
        while !is_whole(&buffer) {
            if socket.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        if !buffer.starts_with(b"HTTP/1.1 200") {
            return Ok(());
        }
        if seen.measuring.get() {
            seen.took.borrow_mut().push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
        }
    }
}

/// By its length, or by its last chunk.
fn is_whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    match length {
        Some(length) => bytes.len() - end - 4 >= length,
        None => bytes.ends_with(b"\r\n0\r\n\r\n"),
    }
}
