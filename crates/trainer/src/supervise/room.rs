//! Room on the disk: looked at before saves and attempts. What is verified last is never given up for it.

use std::io;
use std::time::Duration;

use mainstay_core::training::State;
use mainstay_core::training::ledger::Bucket;
use serde_json::json;

use super::Run;
use super::attempt::Attempt;

/// Room that a save needs, in sizes of the last one: itself, and what others write meanwhile.
const SIZES: u64 = 2;
/// Good checkpoints that stay where there is no room.
const KEPT: usize = 2;
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Whether a save failed because of the disk, and not because of what was to be saved.
pub(super) fn is_storage(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let is_io = error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
    is_io || matches!(error.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem | FileTooLarge)
}

impl Run<'_> {
    /// Whether the next save has room; checkpoints that may go are let go for it first.
    pub(super) fn make_room(&mut self, say: &mut dyn FnMut(&str)) -> bool {
        if self.shortage().is_none() {
            return true;
        }
        self.let_go(KEPT, say);
        match self.shortage() {
            None => true,
            Some((free, needed)) => {
                let what =
                    format!("the disk of the checkpoints has little room: {needed} bytes are needed for the next one");
                self.note("no_room", json!({ "free": free, "needed": needed }));
                self.warn(what, say);
                false
            }
        }
    }

    /// Waits before an attempt until its saves have room. A request to end ends that too, and so does patience.
    pub(super) fn wait_for_room(&mut self, say: &mut dyn FnMut(&str)) {
        if self.make_room(say) {
            return;
        }
        say("waiting for room on the disk");
        self.state = State::Waiting;
        self.reason = Some("storage".to_owned());
        self.ledger.switch(Bucket::Backoff, self.now());
        self.tell();
        let until = self.now() + self.options.guards.storage_patience;
        while self.shortage().is_some() && self.now() < until && !self.stopped() && !self.out_of_time() {
            std::thread::sleep(LOOK_EVERY);
        }
        self.reason = None;
    }

    /// A save failed. Where the disk is to blame the run goes on, and is paused before its next attempt.
    pub(super) fn handle_failed_save(&mut self, attempt: &mut Attempt, error: &io::Error, say: &mut dyn FnMut(&str)) {
        if is_storage(error) {
            attempt.blame("storage".to_owned(), true, self.now());
            self.warn(format!("a checkpoint could not be stored: {error}"), say);
            self.make_room(say);
        }
    }

    /// Bytes that are free and bytes that are needed, where the first are fewer.
    fn shortage(&self) -> Option<(u64, u64)> {
        let disk = rustix::fs::statvfs(self.place.root()).ok()?;
        let (free, needed) = (disk.f_bavail.saturating_mul(disk.f_frsize), self.largest.saturating_mul(SIZES));
        (free < needed).then_some((free, needed))
    }
}
