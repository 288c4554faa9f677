//! Files of kept requests: they end by size and age, and the oldest go.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use mainstay_core::event::Event;
use mainstay_core::plan::{Files, Format};
use mainstay_core::time::Time;

use crate::Lost;
#[cfg(feature = "parquet")]
use crate::parquet;

/// What files of ours are called before the time that they begin.
const PREFIX: &str = "requests-";

/// Files that may begin at the same moment.
const FILES_OF_A_MOMENT: u32 = 10_000;

/// Writes files.
#[derive(Debug)]
pub(crate) struct Writer {
    settings: Files,
    open: Option<Open>,
    /// Requests of a Parquet file that is not written yet.
    held: Vec<Event>,
    held_bytes: u64,
    held_since: Option<Time>,
    /// Whether the last try failed: it is said once.
    failing: bool,
}

#[derive(Debug)]
struct Open {
    file: BufWriter<File>,
    path: PathBuf,
    bytes: u64,
    since: Time,
}

impl Writer {
    pub(crate) fn new(settings: Files) -> Writer {
        Writer { settings, open: None, held: Vec::new(), held_bytes: 0, held_since: None, failing: false }
    }

    pub(crate) fn settings(&self) -> &Files {
        &self.settings
    }

    /// Writes requests; what cannot be written is counted, and tried no more.
    pub(crate) fn write(&mut self, events: &[Event], now: Time, lost: &Lost) {
        let written = match self.settings.format {
            Format::Jsonl => self.lines(events, now),
            Format::Parquet => self.hold(events, now),
        };
        self.note(written, events.len(), lost);
    }

    fn note(&mut self, written: io::Result<()>, count: usize, lost: &Lost) {
        match written {
            Ok(()) => self.failing = false,
            Err(error) => {
                lost.file(count);
                self.open = None;
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, dir = %self.settings.dir.display(), "kept requests cannot be written");
                }
            }
        }
    }

    /// Writes what is held, and ends.
    pub(crate) fn finish(&mut self, lost: &Lost) {
        if let Some(mut open) = self.open.take() {
            let ended = open.file.flush();
            self.note(ended, 0, lost);
        }
        let count = self.held.len();
        let written = self.write_held();
        self.note(written, count, lost);
    }

    fn lines(&mut self, events: &[Event], now: Time) -> io::Result<()> {
        let (most, age) = (self.settings.max_bytes, self.settings.max_age);
        for event in events {
            let mut line = event.to_json();
            line.push('\n');
            let full = |open: &Open| open.bytes + line.len() as u64 > most && open.bytes > 0;
            let gone = |open: &Open| !open.path.exists();
            if self.open.as_ref().is_some_and(|open| full(open) || now >= open.since + age || gone(open)) {
                self.open = None;
            }
            let open = match &mut self.open {
                Some(open) => open,
                none => none.insert(create(&self.settings, now)?),
            };
            open.file.write_all(line.as_bytes())?;
            open.bytes += line.len() as u64;
        }
        // Whole lines alone are ever seen.
        self.open.as_mut().map_or(Ok(()), |open| open.file.flush())
    }

    fn hold(&mut self, events: &[Event], now: Time) -> io::Result<()> {
        for event in events {
            self.held_bytes += event.to_json().len() as u64;
            self.held.push(event.clone());
            self.held_since.get_or_insert(now);
        }
        let old = self.held_since.is_some_and(|since| now >= since + self.settings.max_age);
        if self.held_bytes >= self.settings.max_bytes || old { self.write_held() } else { Ok(()) }
    }

    fn write_held(&mut self) -> io::Result<()> {
        let held = std::mem::take(&mut self.held);
        (self.held_bytes, self.held_since) = (0, None);
        if held.is_empty() {
            return Ok(());
        }
        #[cfg(feature = "parquet")]
        return parquet::write(&self.settings, &held);
        #[cfg(not(feature = "parquet"))]
        Err(io::Error::other("built without Parquet"))
    }
}

fn create(settings: &Files, now: Time) -> io::Result<Open> {
    fs::create_dir_all(&settings.dir)?;
    // Numbers of one length are in the order of time by name as well; of files of one moment the second number is higher.
    let named = |more: u32| settings.dir.join(format!("{PREFIX}{:020}-{more:04}.jsonl", now.as_nanos()));
    let path = (0..FILES_OF_A_MOMENT).map(named).find(|path| !path.exists());
    let path = path.ok_or_else(|| io::Error::other("too many files of one moment"))?;
    let file = File::options().create_new(true).append(true).open(&path)?;
    forget(&settings.dir, settings.keep)?;
    Ok(Open { file: BufWriter::new(file), path, bytes: 0, since: now })
}

/// Deletes the oldest files of ours but for `keep`.
fn forget(dir: &Path, keep: usize) -> io::Result<()> {
    let ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(PREFIX) && path.extension().is_some_and(|extension| extension == "jsonl")
    };
    let mut files: Vec<PathBuf> = fs::read_dir(dir)?.flatten().map(|entry| entry.path()).filter(ours).collect();
    files.sort();
    for old in &files[..files.len().saturating_sub(keep.max(1))] {
        fs::remove_file(old)?;
    }
    Ok(())
}
