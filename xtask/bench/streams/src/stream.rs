//! Slow streams whose tokens are the times at which they were sent.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::{Ask, percentile};

/// Between two streams that are opened.
const STEP: Duration = Duration::from_millis(4);
/// After the last stream has begun, before anything is measured.
const SETTLE: Duration = Duration::from_secs(2);
/// The answer is looked at while the sockets are still open.
const LINGER: Duration = Duration::from_millis(300);
const CONTENT: &[u8] = b"\"content\":";
/// Digits of a time in microseconds, from 2001 to 2286.
const STAMP: usize = 16;

pub(crate) struct Load {
    pub(crate) streams: u32,
    /// Between two tokens of a stream.
    pub(crate) pause: Duration,
    pub(crate) wait: Duration,
    pub(crate) window: Duration,
}

/// What all streams saw.
#[derive(Default)]
struct Seen {
    measuring: Cell<bool>,
    begun: Cell<u32>,
    /// Streams that ended, or did not begin.
    lost: Cell<u32>,
    /// Microseconds from the request to the first token.
    firsts: RefCell<Vec<u32>>,
    /// Microseconds from sent to read.
    delays: RefCell<Vec<u32>>,
    /// By how many microseconds the pause before a token grew on its way; none where it shrank.
    grown: RefCell<Vec<u32>>,
}

pub(crate) async fn run(ask: Ask, load: Load) {
    let (ask, seen, began) = (Rc::new(ask), Rc::<Seen>::default(), Instant::now());
    for n in 0..load.streams {
        let (ask, seen) = (Rc::clone(&ask), Rc::clone(&seen));
        // By the golden ratio: no two streams have the same phase, however many there are.
        let phase = load.pause.mul_f64((f64::from(n) * 0.618_033_988_75).fract());
        tokio::task::spawn_local(async move {
            sleep(STEP * n + phase).await;
            let _ = one(&ask, &seen).await;
            seen.lost.set(seen.lost.get() + 1);
        });
    }
    while seen.begun.get() + seen.lost.get() < load.streams && began.elapsed() < load.wait {
        sleep(Duration::from_millis(50)).await;
    }
    sleep(SETTLE).await;
    println!("begin");
    seen.measuring.set(true);
    let start = Instant::now();
    sleep(load.window).await;
    seen.measuring.set(false);
    let seconds = start.elapsed().as_secs_f64();
    println!("end");
    println!("{}", told(&seen, seconds));
    sleep(LINGER).await;
}

fn told(seen: &Seen, seconds: f64) -> String {
    let (mut firsts, mut delays, mut grown) =
        (seen.firsts.borrow_mut(), seen.delays.borrow_mut(), seen.grown.borrow_mut());
    let (begun, lost, tokens) = (seen.begun.get(), seen.lost.get(), delays.len());
    format!(
        r#"{{"begun":{begun},"lost":{lost},"seconds":{seconds},"tokens":{tokens},"first_p50_us":{},"delay_p50_us":{},"delay_p99_us":{},"grown_p99_us":{}}}"#,
        percentile(&mut firsts, 0.5),
        percentile(&mut delays, 0.5),
        percentile(&mut delays, 0.99),
        percentile(&mut grown, 0.99),
    )
}

async fn one(ask: &Ask, seen: &Seen) -> std::io::Result<()> {
    let mut socket = TcpStream::connect(ask.address).await?;
    socket.set_nodelay(true)?;
    let asked = Instant::now();
    socket.write_all(&ask.request).await?;
    let (mut buffer, mut last) = (Vec::with_capacity(4096), None);
    while socket.read_buf(&mut buffer).await? > 0 {
        let now = micros();
        let whole = buffer.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for sent in buffer[..whole].split(|byte| *byte == b'\n').filter_map(stamp) {
            let delay = now.saturating_sub(sent);
            match last.replace(delay) {
                None => {
                    seen.begun.set(seen.begun.get() + 1);
                    seen.firsts.borrow_mut().push(short(asked.elapsed().as_micros() as u64));
                }
                Some(before) if seen.measuring.get() => {
                    seen.delays.borrow_mut().push(short(delay));
                    seen.grown.borrow_mut().push(short(delay.saturating_sub(before)));
                }
                Some(_) => {}
            }
        }
        buffer.drain(..whole);
    }
    if last.is_some() {
        seen.begun.set(seen.begun.get() - 1);
    }
    Ok(())
}

/// The time that an event's line holds.
fn stamp(line: &[u8]) -> Option<u64> {
    let at = line.windows(CONTENT.len()).position(|window| window == CONTENT)? + CONTENT.len();
    let value = line[at..].trim_ascii_start().strip_prefix(b"\"")?.get(..STAMP)?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64
}

fn short(micros: u64) -> u32 {
    u32::try_from(micros).unwrap_or(u32::MAX)
}
