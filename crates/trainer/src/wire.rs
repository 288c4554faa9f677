//! mstp/1 on its way in: a Unix socket, files, the script's output.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use mainstay_core::training::wire::{LINE_MAX, Message, Reject};
use serde_json::Value;

use crate::process;

/// Connections at once.
const CONNECTIONS_MAX: usize = 256;

/// Lines that wait to be looked at; more wait in the sockets.
pub(crate) const HEARD_MAX: usize = 4096;
/// How long a script that does not read may hold up what others are told.
const PATIENCE: Duration = Duration::from_millis(100);

/// A line that was heard, or why it was not; or that whoever spoke is gone.
#[derive(Debug)]
pub(crate) struct Said {
    /// The rank that it said it is; `None`: it said nothing of that.
    pub(crate) rank: Option<u64>,
    /// `None`: it is gone.
    pub(crate) line: Option<Result<Message, Reject>>,
}

/// Where scripts connect to, and whom to answer. Whatever it started is over when it is dropped: its threads, its sockets.
#[derive(Debug)]
pub(crate) struct Wire {
    heard: Option<Receiver<Said>>,
    listener: UnixListener,
    peers: Arc<Peers>,
    accepting: Option<JoinHandle<()>>,
    path: PathBuf,
}

#[derive(Debug, Default)]
struct Peers {
    closed: AtomicBool,
    connected: Mutex<BTreeMap<u64, UnixStream>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Wire {
    /// Listens.
    pub(crate) fn open(path: &Path, run: String) -> io::Result<Wire> {
        let _ = fs::remove_file(path);
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        let (sender, heard) = sync_channel(HEARD_MAX);
        let peers = Arc::new(Peers::default());
        let (shared, incoming) = (Arc::clone(&peers), listener.try_clone()?);
        let accepting = std::thread::spawn(move || accept(&incoming, &run, &shared, &sender));
        Ok(Wire { heard: Some(heard), listener, peers, accepting: Some(accepting), path: path.to_owned() })
    }

    /// The next line; `None`: there was none for so long.
    pub(crate) fn next(&self, wait: Duration) -> Option<Said> {
        self.heard.as_ref()?.recv_timeout(wait).ok()
    }

    /// Whether somebody is connected.
    pub(crate) fn is_connected(&self) -> bool {
        !lock(&self.peers.connected).is_empty()
    }

    /// Tells all scripts; whoever does not read is told no more.
    pub(crate) fn say(&self, message: &Value) {
        let line = format!("{message}\n");
        for stream in lock(&self.peers.connected).values_mut() {
            if stream.write_all(line.as_bytes()).is_err() {
                let _ = stream.shutdown(Shutdown::Write);
            }
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.peers.closed.store(true, Ordering::Relaxed);
        // A thread that waits until its line is taken waits no more.
        self.heard = None;
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        for stream in lock(&self.peers.connected).values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        for thread in std::mem::take(&mut *lock(&self.peers.threads)) {
            let _ = thread.join();
        }
        let _ = fs::remove_file(&self.path);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &UnixListener, run: &str, peers: &Arc<Peers>, heard: &SyncSender<Said>) {
    for number in 0.. {
        let stream = listener.accept();
        if peers.closed.load(Ordering::Relaxed) {
            return;
        }
        let Ok((stream, _)) = stream else {
            // Too many files are open, say.
            std::thread::sleep(PATIENCE);
            continue;
        };
        let mut threads = lock(&peers.threads);
        threads.retain(|thread| !thread.is_finished());
        if threads.len() < CONNECTIONS_MAX {
            let (heard, peers, run) = (heard.clone(), Arc::clone(peers), run.to_owned());
            threads.push(std::thread::spawn(move || {
                serve(stream, number, &run, &peers, &heard);
                lock(&peers.connected).remove(&number);
            }));
        }
    }
}

fn serve(stream: UnixStream, number: u64, run: &str, peers: &Peers, heard: &SyncSender<Said>) {
    let own = rustix::net::sockopt::socket_peercred(&stream).is_ok_and(|peer| {
        peer.uid == rustix::process::getuid() && process::belongs(peer.pid.as_raw_nonzero().get(), run)
    });
    if !own {
        let _ = heard.send(Said { rank: None, line: Some(Err(Reject::WrongProcess)) });
        return;
    }
    if let Ok(writer) = stream.try_clone()
        && writer.set_write_timeout(Some(PATIENCE)).is_ok()
    {
        lock(&peers.connected).insert(number, writer);
    }
    if peers.closed.load(Ordering::Relaxed) {
        return;
    }
    let mut rank = None;
    let mut lines = BufReader::with_capacity(LINE_MAX, stream);
    let mut line = Vec::new();
    while let Ok(Some(whole)) = next_line(&mut lines, &mut line) {
        let message = if whole { Message::parse(&line) } else { Err(Reject::TooLong) };
        if let Ok(Message::Hello { rank: said, .. }) = message {
            rank = Some(said);
        }
        if heard.send(Said { rank, line: Some(message) }).is_err() {
            return;
        }
    }
    let _ = heard.send(Said { rank, line: None });
}

/// Reads a line of bounded length; false: it was longer and is skipped.
fn next_line(lines: &mut BufReader<UnixStream>, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let mut whole = true;
    loop {
        let part = lines.fill_buf()?;
        if part.is_empty() {
            return Ok((!line.is_empty()).then_some(whole));
        }
        let end = part.iter().position(|byte| *byte == b'\n');
        let taken = &part[..end.unwrap_or(part.len())];
        whole &= line.len() + taken.len() < LINE_MAX;
        if whole {
            line.extend_from_slice(taken);
        }
        let used = taken.len() + usize::from(end.is_some());
        lines.consume(used);
        if end.is_some() {
            return Ok(Some(whole));
        }
    }
}

/// Reads what is added to a file, line by line.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    at: u64,
    rest: Vec<u8>,
}

/// Bytes that are read of a file at once.
const PART_MAX: u64 = 1 << 20;

impl Tail {
    /// The lines since the last call.
    pub(crate) fn read(&mut self, path: &Path) -> Vec<Vec<u8>> {
        let Ok(mut file) = File::open(path) else { return Vec::new() };
        if file.metadata().is_ok_and(|data| data.len() < self.at) {
            // It was begun anew.
            (self.at, self.rest) = (0, Vec::new());
        }
        let mut part = std::mem::take(&mut self.rest);
        let before = part.len();
        let read = file.seek(SeekFrom::Start(self.at)).and_then(|_| file.take(PART_MAX).read_to_end(&mut part));
        if read.is_ok() {
            self.at += (part.len() - before) as u64;
        }
        let mut lines: Vec<Vec<u8>> = part.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        self.rest = lines.pop().unwrap_or_default();
        self.rest.truncate(LINE_MAX);
        lines
    }

    /// From a position on.
    pub(crate) const fn at(at: u64) -> Tail {
        Tail { at, rest: Vec::new() }
    }

    /// Where the first line begins that was not given yet.
    pub(crate) const fn position(&self) -> u64 {
        self.at.saturating_sub(self.rest.len() as u64)
    }
}

/// The files that scripts write into while no supervisor listens.
#[derive(Debug)]
pub(crate) struct Events {
    tails: BTreeMap<PathBuf, Tail>,
}

/// Files of one run.
const EVENT_FILES_MAX: usize = 4096;

impl Events {
    /// From these positions on, by name of the file.
    pub(crate) fn at(directory: &Path, positions: &BTreeMap<String, u64>) -> Events {
        let tails = positions.iter().map(|(name, at)| (directory.join(name), Tail::at(*at)));
        Events { tails: tails.collect() }
    }

    /// How far each file was read.
    pub(crate) fn positions(&self) -> BTreeMap<String, u64> {
        let named = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        self.tails.iter().filter_map(|(path, tail)| Some((named(path)?, tail.position()))).collect()
    }

    /// The lines since the last call.
    pub(crate) fn read(&mut self, directory: &Path) -> Vec<Said> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
        let files =
            entries.filter(|path| path.extension().is_some_and(|ending| ending == "jsonl")).take(EVENT_FILES_MAX);
        let mut heard = Vec::new();
        for path in files {
            let lines = self.tails.entry(path.clone()).or_default().read(&path);
            // `<rank>-<pid>.jsonl`
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let rank = name.split_once('-').and_then(|(rank, _)| rank.parse().ok());
            heard.extend(lines.iter().map(|line| Said { rank, line: Some(Message::parse(line)) }));
        }
        heard
    }
}
