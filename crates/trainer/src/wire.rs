//! mstp/1 on its way in: a Unix socket, files, the script's output.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};

use mainstay_core::training::wire::{LINE_MAX, Message, Reject};
use serde_json::Value;

use crate::process;

/// Connections at once.
const CONNECTIONS_MAX: usize = 256;

/// Lines that were heard, or why not.
pub(crate) type Heard = Result<Message, Reject>;

/// Where scripts connect to, and whom to answer.
#[derive(Debug)]
pub(crate) struct Wire {
    writers: Arc<Mutex<Vec<UnixStream>>>,
    path: PathBuf,
}

impl Wire {
    /// Listens; what is heard goes into `heard`.
    pub(crate) fn open(path: &Path, run: String, heard: SyncSender<Heard>) -> io::Result<Wire> {
        let _ = fs::remove_file(path);
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        let writers = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&writers);
        let count = Arc::new(AtomicUsize::new(0));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if count.load(Ordering::Relaxed) < CONNECTIONS_MAX {
                    count.fetch_add(1, Ordering::Relaxed);
                    let (heard, shared, run, count) =
                        (heard.clone(), Arc::clone(&shared), run.clone(), Arc::clone(&count));
                    std::thread::spawn(move || {
                        serve(stream, &run, &shared, &heard);
                        count.fetch_sub(1, Ordering::Relaxed);
                    });
                }
            }
        });
        Ok(Wire { writers, path: path.to_owned() })
    }

    /// Tells all scripts; whoever does not read is forgotten.
    pub(crate) fn say(&self, message: &Value) {
        let line = format!("{message}\n");
        let mut writers = self.writers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        writers.retain_mut(|writer| writer.write_all(line.as_bytes()).is_ok());
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn serve(stream: UnixStream, run: &str, writers: &Mutex<Vec<UnixStream>>, heard: &SyncSender<Heard>) {
    let own = rustix::net::sockopt::socket_peercred(&stream).is_ok_and(|peer| {
        peer.uid == rustix::process::getuid() && process::belongs(peer.pid.as_raw_nonzero().get(), run)
    });
    if !own {
        let _ = heard.send(Err(Reject::WrongProcess));
        return;
    }
    if let Ok(writer) = stream.try_clone() {
        let patience = Some(std::time::Duration::from_millis(100));
        if writer.set_write_timeout(patience).is_ok() {
            writers.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(writer);
        }
    }
    let mut lines = BufReader::with_capacity(LINE_MAX, stream);
    let mut line = Vec::new();
    while let Ok(Some(whole)) = next_line(&mut lines, &mut line) {
        let message = if whole { Message::parse(&line) } else { Err(Reject::TooLong) };
        if heard.send(message).is_err() {
            return;
        }
    }
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
    pub(crate) fn read(&mut self, directory: &Path) -> Vec<Heard> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
        let files =
            entries.filter(|path| path.extension().is_some_and(|ending| ending == "jsonl")).take(EVENT_FILES_MAX);
        let mut heard = Vec::new();
        for path in files {
            let lines = self.tails.entry(path.clone()).or_default().read(&path);
            heard.extend(lines.iter().map(|line| Message::parse(line)));
        }
        heard
    }
}
