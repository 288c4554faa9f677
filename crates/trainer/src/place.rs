//! The directory of a run.
//!
//! ```text
//! step-0000000500-a1/    a checkpoint: the script's files, MANIFEST.json, STATE.json
//! broken-step-...        a checkpoint that is not as its manifest says; kept
//! latest                 the checkpoint to go on from: a hint, a scan is the truth
//! champion               the last checkpoint that passed all gates at the end of a run
//! status.json            how the run stands; written anew, whole
//! metrics.prom           the same as OpenMetrics
//! journal.jsonl          what happened, a line each, durable
//! .mainstay/             lock, run.json, heard.json, socket, events/, logs/
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

use crate::options::Error;

/// Bytes of what a holder said of itself.
const HOLDER_MAX: u64 = 64;

/// A directory that is locked by this process.
#[derive(Debug)]
pub struct Place {
    root: PathBuf,
    journal: File,
    /// The last line may be cut off: a disk did not take all of it.
    torn: bool,
    _lock: File,
}

impl Place {
    /// Makes and locks it.
    pub fn open(root: &Path) -> Result<Place, Error> {
        let inside = root.join(".mainstay");
        for directory in [inside.join("events"), inside.join("logs")] {
            fs::create_dir_all(&directory).map_err(Error::place(&directory))?;
        }
        let root = root.canonicalize().map_err(Error::place(root))?;
        let path = inside.join("lock");
        let mut options = OpenOptions::new();
        let mut lock =
            options.create(true).read(true).write(true).truncate(false).open(&path).map_err(Error::place(&path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut by = String::new();
                let _ = lock.take(HOLDER_MAX).read_to_string(&mut by);
                return Err(Error::Locked { path: root, by: by.trim().to_owned() });
            }
            Err(error) => return Err(Error::place(&path)(error.into())),
        }
        // Who holds it, for whoever is refused.
        let held = lock.set_len(0).and_then(|()| lock.write_all(format!("{}\n", std::process::id()).as_bytes()));
        held.map_err(Error::place(&path))?;
        let journal = open_journal(&root.join("journal.jsonl"))?;
        Ok(Place { root, journal, torn: false, _lock: lock })
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file of the supervisor's own.
    pub fn own(&self, name: &str) -> PathBuf {
        self.root.join(".mainstay").join(name)
    }

    /// Adds a line to the journal, durably. A full disk must not end a run: the line is lost then.
    pub fn note(&mut self, line: &Value) -> io::Result<()> {
        let begin = if std::mem::replace(&mut self.torn, true) { "\n" } else { "" };
        self.journal.write_all(format!("{begin}{line}\n").as_bytes())?;
        self.torn = false;
        self.journal.sync_data()
    }

    /// Moves a pointer and reads it back.
    pub fn point(&self, name: &str, id: &str) -> io::Result<()> {
        let path = self.root.join(name);
        replace(&path, id.as_bytes())?;
        if fs::read(&path)? == id.as_bytes() { Ok(()) } else { Err(io::Error::other("the pointer reads differently")) }
    }

    /// Reads a pointer.
    pub fn pointed(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.root.join(name)).ok().filter(|id| !id.is_empty())
    }
}

/// A line that a crash cut off is ended, so that the next one is whole.
fn open_journal(path: &Path) -> Result<File, Error> {
    let mut journal = OpenOptions::new().create(true).append(true).open(path).map_err(Error::place(path))?;
    let torn = fs::read(path).map_err(Error::place(path))?.last().is_some_and(|last| *last != b'\n');
    if torn {
        journal.write_all(b"\n").map_err(Error::place(path))?;
    }
    Ok(journal)
}

/// Writes a file anew: whole, or as it was.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let mut file = File::create(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_directory(path.parent().unwrap_or(Path::new(".")))
}

/// Writes a file anew that may be lost when the machine falls over.
pub(crate) fn put(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    fs::write(&new, content)?;
    fs::rename(&new, path)
}

pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
