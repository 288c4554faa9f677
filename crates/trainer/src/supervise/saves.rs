//! What takes long and must keep nobody waiting: commits and gates, one at a time, on a thread of their own. Meanwhile lines are
//! heard and hangs are found.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::gates::Asked;
use crate::checkpoint::Committed;

/// Checkpoints that wait. Of a script that saves faster than the disk takes it the oldest of them give way: the last is never lost.
const WAITING_MAX: usize = 8;

/// A checkpoint whose files are written.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Ready {
    pub(super) step: u64,
    pub(super) directory: PathBuf,
    pub(super) cursor: Value,
    pub(super) metrics: Map<String, Value>,
    /// Saved after the loss went wrong: kept, and not gone on from.
    pub(super) suspect: bool,
    /// What is to be taken over into the directory first: written by a library in a layout of its own.
    #[serde(default)]
    pub(super) adopted: Option<PathBuf>,
}

/// Work that waits, and work that is done: a commit at a time and, beside it, the gates of a checkpoint at a time.
#[derive(Debug, Default)]
pub(super) struct Saves {
    waiting: VecDeque<Ready>,
    committing: Option<(Ready, Receiver<io::Result<Committed>>)>,
    asking: Option<(String, Receiver<Asked>)>,
    /// The gates of this one are due next.
    due: Option<String>,
    cancel: Arc<AtomicBool>,
}

impl Saves {
    /// Another one; gives back one that gives way to it, where too many wait.
    pub(super) fn push(&mut self, ready: Ready) -> Option<Ready> {
        let full = !self.has_room();
        self.waiting.push_back(ready);
        if !full {
            return None;
        }
        // What a library wrote is there again the next time, and need not give way.
        let oldest = self.waiting.iter().position(|waiting| waiting.adopted.is_none());
        self.waiting.remove(oldest.unwrap_or_default())
    }

    /// Whether another one may wait.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < WAITING_MAX
    }

    /// What is next, where nothing is being committed.
    pub(super) fn next(&mut self) -> Option<Ready> {
        if self.committing.is_some() { None } else { self.waiting.pop_front() }
    }

    /// Whether a commit waits or is being made.
    pub(super) fn is_committing(&self) -> bool {
        self.committing.is_some() || !self.waiting.is_empty()
    }

    /// Whether the checkpoint of this step waits or is being committed.
    pub(super) fn holds(&self, step: u64) -> bool {
        self.committing.iter().map(|(ready, _)| ready).chain(&self.waiting).any(|ready| ready.step == step)
    }

    /// What a supervisor after this one would have to do.
    pub(super) fn unfinished(&self) -> Vec<Ready> {
        self.committing.iter().map(|(ready, _)| ready).chain(&self.waiting).cloned().collect()
    }

    /// The loss went wrong from there on.
    pub(super) fn suspect_from(&mut self, step: u64) {
        let committing = self.committing.iter_mut().map(|(ready, _)| ready);
        for ready in committing.chain(&mut self.waiting).filter(|ready| ready.step >= step) {
            ready.suspect = true;
        }
    }

    /// Nothing of what waits is wanted any more.
    pub(super) fn forget_waiting(&mut self) {
        self.waiting.clear();
    }

    pub(super) fn commit(&mut self, ready: Ready, work: impl FnOnce() -> io::Result<Committed> + Send + 'static) {
        self.committing = Some((ready, spawn(work)));
    }

    /// A commit that is done, after `wait` at most.
    pub(super) fn committed(&mut self, wait: Duration) -> Option<(Ready, io::Result<Committed>)> {
        let (ready, result) = self.committing.take()?;
        match result.recv_timeout(wait) {
            Ok(made) => Some((ready, made)),
            Err(RecvTimeoutError::Disconnected) => Some((ready, Err(io::Error::other("the commit was broken off")))),
            Err(RecvTimeoutError::Timeout) => {
                self.committing = Some((ready, result));
                None
            }
        }
    }

    /// The gates of a checkpoint are due: after those that are being asked, and instead of those that were due before.
    pub(super) fn call_for_gates(&mut self, id: &str) {
        self.due = Some(id.to_owned());
    }

    /// Whose gates are to be asked now.
    pub(super) fn due(&mut self) -> Option<String> {
        if self.asking.is_some() { None } else { self.due.take() }
    }

    /// Whether gates are, or are to be, asked about a checkpoint, which has to stay so long.
    pub(super) fn asks_about(&self, id: &str) -> bool {
        self.due.as_deref() == Some(id) || self.asking.as_ref().is_some_and(|(of, _)| of == id)
    }

    pub(super) fn ask(&mut self, id: &str, work: impl FnOnce(&AtomicBool) -> Asked + Send + 'static) {
        self.cancel = Arc::default();
        let cancel = Arc::clone(&self.cancel);
        self.asking = Some((id.to_owned(), spawn(move || work(&cancel))));
    }

    /// What the gates said, after `wait` at most.
    pub(super) fn asked(&mut self, wait: Duration) -> Option<Asked> {
        let (id, result) = self.asking.take()?;
        match result.recv_timeout(wait) {
            Ok(asked) => Some(asked),
            Err(RecvTimeoutError::Disconnected) => Some(Asked::broken_off(id)),
            Err(RecvTimeoutError::Timeout) => {
                self.asking = Some((id, result));
                None
            }
        }
    }

    /// Ends the gates that are being asked: their answer is a no.
    pub(super) fn cancel(&self) {
        self.cancel.store(true, Ordering::Relaxed);
    }

    /// Gates that are being asked say nothing any more, and none is due.
    pub(super) fn forget_gates(&mut self) {
        self.due = None;
        self.cancel();
        while self.asking.is_some() {
            self.asked(Duration::from_secs(1));
        }
    }
}

fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (sender, result) = sync_channel(1);
    std::thread::spawn(move || sender.send(work()));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(step: u64, adopted: bool) -> Ready {
        let adopted = adopted.then(|| PathBuf::from("library"));
        Ready { step, directory: PathBuf::new(), cursor: Value::Null, metrics: Map::new(), suspect: false, adopted }
    }

    /// Reported: the ninth checkpoint that waited was let go, also where it was the last of the run.
    #[test]
    fn the_oldest_that_waits_gives_way_and_never_the_last() {
        let mut saves = Saves::default();
        assert_eq!(saves.push(ready(1, true)), None);
        let gone: Vec<u64> = (2..=20).filter_map(|step| saves.push(ready(step, false))).map(|gone| gone.step).collect();
        assert_eq!(gone, (2..=13).collect::<Vec<u64>>());
        let left: Vec<u64> = std::iter::from_fn(|| saves.next()).map(|ready| ready.step).collect();
        assert_eq!(left, [1, 14, 15, 16, 17, 18, 19, 20]);
    }
}
