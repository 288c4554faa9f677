//! Lines in which requests wait for a person: durable before the answer.
//!
//! ```text
//! worker ──hold──> Line (reserves a number) ──record──> writer thread ──append, one sync for many──> told: held
//!                                                          `── slow, full or broken disk ──> told otherwise, withdrawn
//! ```
//!
//! Each line has its own file and its own thread. A worker waits for at most `PATIENCE`; a record that became durable
//! after its caller had left is followed by one that withdraws it, so that nobody reviews what was answered otherwise.

pub mod log;
mod writer;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_core::answer::review::{Decision, Full, Held, Holding, Line, Refused, Review, Size, State};
use mainstay_core::plan::{AnswerBy, Plan, ReviewQueue};
use mainstay_core::status::ReviewLineStatus;
use mainstay_core::time::Time;
use mainstay_tower::clock::Clock;

use writer::Writer;

/// How long a request waits to be held.
pub(crate) const PATIENCE: Duration = mainstay_core::plan::HOLD_PATIENCE;
/// Longest body that is held.
pub(crate) const BODY_MAX: usize = 256 << 10;

/// A line that all workers share.
#[derive(Debug)]
pub(crate) struct ReviewLine {
    pub(crate) name: String,
    pub(crate) config: ReviewQueue,
    line: Arc<Mutex<Line>>,
    writer: Writer,
    clock: Clock,
    /// Damaged records that were passed over when the file was read.
    pub(crate) damaged: u64,
}

/// Why a request is not held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NotHeld {
    /// As many wait as may.
    Full,
    /// The disk did not answer in time.
    Slow,
    /// The disk refused.
    Disk,
}

impl NotHeld {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            NotHeld::Full => "queue_full",
            NotHeld::Slow => "queue_slow",
            NotHeld::Disk => "queue_disk_error",
        }
    }
}

/// Why a decision was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// There is no queue of this name.
    #[error("there is no queue `{0}`")]
    NoQueue(String),
    /// It cannot be done with this request.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It could not be written down; nothing changed.
    #[error("the queue's file cannot be written")]
    Disk,
}

impl ReviewLine {
    /// Opens the queue's file, repairs a torn end, and reads what waits.
    fn open(config: &ReviewQueue, clock: Clock) -> std::io::Result<ReviewLine> {
        let (file, read) = log::open(&config.file)?;
        if read.torn > 0 || read.damaged > 0 {
            tracing::warn!(
                queue = config.name,
                torn = read.torn,
                damaged = read.damaged,
                "a queue's file was repaired"
            );
        }
        let line = Arc::new(Mutex::new(Line::restore(config.max, read.records)));
        let writer = Writer::start(&config.name, config.file.clone(), file, Arc::clone(&line))?;
        Ok(ReviewLine { name: config.name.clone(), config: config.clone(), line, writer, clock, damaged: read.damaged })
    }

    /// Holds a request; its number once that is durable.
    pub(crate) async fn hold(&self, held: Held, patience: Duration) -> Result<u64, NotHeld> {
        let holding = self.lock().handle_hold(&held);
        let id = match holding {
            Ok(Holding::New(id)) => id,
            Ok(Holding::Again(id)) => return Ok(id),
            Err(Full) => return Err(NotHeld::Full),
        };
        let Some(written) = self.writer.hold(id, held) else {
            self.lock().handle_withdrawn(id);
            return Err(NotHeld::Slow);
        };
        match tokio::time::timeout(patience.min(PATIENCE), written).await {
            Ok(Ok(true)) => Ok(id),
            Ok(Ok(false) | Err(_)) => Err(NotHeld::Disk),
            // The writer notices that nobody waits, and withdraws it.
            Err(_) => Err(NotHeld::Slow),
        }
    }

    pub(crate) fn claim(&self, id: Option<u64>, by: &str, lease: Duration) -> Result<Review, ReviewError> {
        Ok(self.lock().handle_claim(id, by, lease, self.clock.now())?)
    }

    pub(crate) async fn decide(&self, id: u64, mut decision: Decision) -> Result<Review, ReviewError> {
        decision.at = self.clock.now();
        let record = self.lock().check_decision(id, &decision, decision.at)?;
        let Some(record) = record else {
            return Ok(self.lock().get(id, decision.at).ok_or(Refused::NoSuch)?);
        };
        let written = self.writer.note(record).ok_or(ReviewError::Disk)?;
        if written.await != Ok(true) {
            return Err(ReviewError::Disk);
        }
        let review = self.lock().get(id, decision.at).ok_or(Refused::NoSuch)?;
        match &review.state {
            State::Decided(made) if *made == decision => Ok(review),
            State::Decided(made) => Err(Refused::Decided(made.by.clone()).into()),
            State::Waiting | State::Claimed { .. } => Err(Refused::NoSuch.into()),
        }
    }

    pub(crate) fn list(&self, state: Option<&str>, after: u64, limit: usize) -> Vec<Review> {
        self.lock().list(state, after, limit, self.clock.now())
    }

    pub(crate) fn size(&self, now: Time) -> Size {
        self.lock().size(now)
    }

    pub(crate) fn status(&self, now: Time) -> ReviewLineStatus {
        let size = self.size(now);
        ReviewLineStatus {
            name: self.name.clone(),
            open: size.open as u64,
            claimed: size.claimed as u64,
            max: self.lock().max() as u64,
            oldest: size.oldest,
            decided: size.decided,
            damaged: self.damaged,
            is_broken: self.writer.is_broken(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Line> {
        self.line.lock().expect("looking at a line does not panic")
    }
}

/// The lines of a plan; those that run go on, under the new bound.
pub(crate) fn lines(
    plan: &Plan,
    running: &[Arc<ReviewLine>],
    clock: Clock,
) -> Result<Vec<Arc<ReviewLine>>, (String, std::io::Error)> {
    let mut lines: Vec<Arc<ReviewLine>> = Vec::new();
    for entry in plan.routes.iter().flat_map(|route| &route.ladder) {
        let AnswerBy::Hold(hold) = &entry.answer else { continue };
        let queue = &hold.queue;
        if lines.iter().any(|line| line.name == queue.name) {
            continue;
        }
        let same = running.iter().find(|line| line.name == queue.name && line.config.file == queue.file);
        lines.push(match same {
            Some(line) => {
                line.lock().set_max(queue.max);
                Arc::clone(line)
            }
            None => {
                Arc::new(ReviewLine::open(queue, clock).map_err(|error| (queue.file.display().to_string(), error))?)
            }
        });
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("mainstay-reviews-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn held() -> Held {
        Held {
            at: Time::from_secs(1),
            route: "r".into(),
            client: String::new(),
            request_id: "id".into(),
            reason: "timeout".into(),
            body: "{}".into(),
        }
    }

    /// A disk that refuses: the file takes no bytes, and a folder is where a new one would be. Requests are answered
    /// otherwise, nothing seems to wait, and once the disk takes bytes again so does the queue.
    #[tokio::test]
    async fn what_the_disk_refuses_is_not_held() {
        let folder = folder("refuses");
        let file = folder.join("queue.log");
        std::fs::write(&file, "").unwrap();
        let read_only = File::open(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        let config = ReviewQueue { name: "risk".into(), file: file.clone(), max: 5 };
        let line = Arc::new(Mutex::new(Line::new(5)));
        let writer = Writer::start(&config.name, file.clone(), read_only, Arc::clone(&line)).unwrap();
        let clock = Clock::anchored(Time::from_secs(1));
        let line = ReviewLine { name: config.name.clone(), config, line, writer, clock, damaged: 0 };
        for _ in 0..2 {
            let refused = line.hold(held(), PATIENCE).await.unwrap_err();
            assert!(matches!(refused, NotHeld::Disk | NotHeld::Slow), "{refused:?}");
            assert_eq!(line.status(clock.now()).open, 0);
        }
        std::fs::remove_dir(&file).unwrap();
        // A disk that is slow for once is no failure of what is tested here.
        while line.hold(held(), PATIENCE).await == Err(NotHeld::Slow) {}
        assert_eq!(line.status(clock.now()).open, 1);
        drop(line);
        std::fs::remove_dir_all(folder).unwrap();
    }

    /// It would be read as empty, and written anew over what waits there.
    #[test]
    fn a_file_that_cannot_be_opened_is_told_at_the_start() {
        let folder = folder("unopened");
        let config = ReviewQueue { name: "risk".into(), file: folder.clone(), max: 5 };
        assert!(ReviewLine::open(&config, Clock::anchored(Time::from_secs(1))).is_err());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
