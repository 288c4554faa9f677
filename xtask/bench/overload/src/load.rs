//! The open loop. A request counts from when it was due: a target that is slow, or this thread, can hide nothing (coordinated omission).

use std::cell::RefCell;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::draw::Draw;

/// Connections at most; a request that would need one more has failed.
const OPEN_MAX: usize = 8_000;
/// How long after its deadline a request is still waited for: late answers are counted as such.
const GRACE: Duration = Duration::from_secs(2);

pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    pub(crate) rate: f64,
    pub(crate) warm: Duration,
    pub(crate) length: Duration,
    pub(crate) deadline: Duration,
    pub(crate) weights: Vec<u32>,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    sent: u64,
    /// At the best level, within the deadline.
    good: u64,
    /// At the best level, after it.
    late: u64,
    /// At another level.
    degraded: u64,
    /// With a status that is no success.
    refused: u64,
    /// Without an answer.
    failed: u64,
}

#[derive(Default)]
struct State {
    idle: RefCell<Vec<TcpStream>>,
    open: RefCell<usize>,
    by_class: RefCell<Vec<Seen>>,
    /// Longest time by which this thread was behind its plan.
    behind: RefCell<Duration>,
}

pub(crate) async fn run(plan: Plan, mut draw: Draw) {
    let state = Rc::<State>::default();
    *state.by_class.borrow_mut() = vec![Seen::default(); plan.weights.len()];
    let start = Instant::now();
    let mut due = Duration::ZERO;
    let end = plan.warm + plan.length;
    loop {
        due += Duration::from_secs_f64(draw.exponential() / plan.rate);
        if due >= end {
            break;
        }
        sleep_until(start + due).await;
        let measured = due >= plan.warm;
        let class = draw.weighted(&plan.weights);
        if measured {
            let behind = start.elapsed().saturating_sub(due);
            state.behind.replace_with(|most| behind.max(*most));
            state.by_class.borrow_mut()[class].sent += 1;
        }
        let (state, address, deadline) = (Rc::clone(&state), plan.address, plan.deadline);
        tokio::task::spawn_local(async move {
            let ended = timeout(deadline + GRACE, request(&state, address, class)).await.ok().flatten();
            if measured {
                state.count(class, ended, (start + due).elapsed() <= deadline);
            }
        });
    }
    sleep(plan.deadline + GRACE).await;
    println!("{}", state.told(plan.length));
}

/// Sleeps end at whole milliseconds: what is due within the next one is sent now.
async fn sleep_until(at: Instant) {
    let wait = at.saturating_duration_since(Instant::now());
    if wait >= Duration::from_millis(1) {
        sleep(wait).await;
    } else {
        tokio::task::yield_now().await;
    }
}

enum Ended {
    Best,
    Degraded,
    Refused,
}

impl State {
    fn count(&self, class: usize, ended: Option<Ended>, in_time: bool) {
        let seen = &mut self.by_class.borrow_mut()[class];
        let counted = match (ended, in_time) {
            (Some(Ended::Best), true) => &mut seen.good,
            (Some(Ended::Best), false) => &mut seen.late,
            (Some(Ended::Degraded), _) => &mut seen.degraded,
            (Some(Ended::Refused), _) => &mut seen.refused,
            (None, _) => &mut seen.failed,
        };
        *counted += 1;
    }

    fn told(&self, length: Duration) -> String {
        let by_class: Vec<String> = self.by_class.borrow().iter().map(Seen::told).collect();
        let (seconds, behind) = (length.as_secs_f64(), self.behind.borrow().as_secs_f64() * 1e3);
        format!(r#"{{"seconds":{seconds},"behind_ms":{behind},"classes":[{}]}}"#, by_class.join(","))
    }
}

impl Seen {
    fn told(&self) -> String {
        let mut out = String::from("{");
        let counts = [
            ("sent", self.sent),
            ("good", self.good),
            ("late", self.late),
            ("degraded", self.degraded),
            ("refused", self.refused),
            ("failed", self.failed),
        ];
        for (place, (name, count)) in counts.into_iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            // Into a string: cannot fail.
            write!(out, r#"{comma}"{name}":{count}"#).ok();
        }
        out.push('}');
        out
    }
}

/// One request on a kept connection or a new one; `None` without a whole answer.
async fn request(state: &State, address: SocketAddr, class: usize) -> Option<Ended> {
    let kept = state.idle.borrow_mut().pop();
    let mut socket = match kept {
        Some(socket) => socket,
        None => {
            if *state.open.borrow() >= OPEN_MAX {
                return None;
            }
            let socket = TcpStream::connect(address).await.ok()?;
            socket.set_nodelay(true).ok()?;
            socket
        }
    };
    *state.open.borrow_mut() += 1;
    let _open = Open(state);
    let text = format!(
        "POST /score HTTP/1.1\r\nhost: bench\r\nx-class: {class}\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    socket.write_all(text.as_bytes()).await.ok()?;
    let mut buffer = Vec::with_capacity(1024);
    let ended = loop {
        if socket.read_buf(&mut buffer).await.ok()? == 0 {
            return None;
        }
        if let Some(ended) = whole(&buffer) {
            break ended;
        }
    };
    state.idle.borrow_mut().push(socket);
    Some(ended)
}

/// Counted as long as it is used, however that ends.
struct Open<'a>(&'a State);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        *self.0.open.borrow_mut() -= 1;
    }
}

/// What an answer is, once all of it is there.
fn whole(bytes: &[u8]) -> Option<Ended> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim));
    let done = match header("content-length").and_then(|length| length.parse::<usize>().ok()) {
        Some(length) => bytes.len() - end - 4 >= length,
        None => bytes.ends_with(b"\r\n0\r\n\r\n"),
    };
    let ended = match (head.split(' ').nth(1), header("x-mainstay-level")) {
        (Some("200"), None | Some("0")) => Ended::Best,
        (Some("200"), Some(_)) => Ended::Degraded,
        _ => Ended::Refused,
    };
    done.then_some(ended)
}
