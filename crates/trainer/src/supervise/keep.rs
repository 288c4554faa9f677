//! Checkpoints of a run: read at the start, committed, let go, gone back from.

use std::fs;
use std::path::Path;
use std::time::Duration;

use mainstay_core::training::chain::{Chain, Checkpoint, Standing};
use mainstay_core::training::class::Class;
use mainstay_core::training::numeric::Trouble;
use serde_json::json;

use super::Run;
use super::attempt::Attempt;
use super::saves::Ready;
use crate::adopt;
use crate::checkpoint::{self, Committed, Manifest};
use crate::options::Error;

pub(super) const TICK: Duration = Duration::from_millis(50);
pub(super) const TELL_EVERY: Duration = Duration::from_secs(1);

impl Run<'_> {
    /// Reads what is there. The head is read byte by byte; one that is broken is put aside for the one before.
    pub(super) fn read_chain(&mut self) -> Result<(), Error> {
        let root = self.place.root().to_owned();
        let (all, broken) = checkpoint::scan(&root).map_err(Error::place(&root))?;
        for id in broken {
            self.put_aside(&id, "its manifest cannot be read")?;
        }
        self.chain = Chain::new(all, self.place.pointed("latest").as_deref());
        self.settle_head()
    }

    /// What a writer that is gone left half done is removed; the head is read again.
    pub(super) fn sweep(&mut self, say: &mut dyn FnMut(&str)) -> Result<(), Error> {
        let root = self.place.root().to_owned();
        for entry in fs::read_dir(&root).map_err(Error::place(&root))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if (name.starts_with(".tmp-") || name.starts_with(".old-")) && fs::remove_dir_all(entry.path()).is_err() {
                say(&format!("{name} cannot be removed"));
            }
        }
        let events = self.place.own("events");
        for entry in fs::read_dir(&events).map_err(Error::place(&events))?.flatten() {
            fs::remove_file(entry.path()).map_err(Error::place(entry.path()))?;
        }
        self.settle_head()
    }

    fn settle_head(&mut self) -> Result<(), Error> {
        while let Some(head) = self.chain.head().cloned() {
            match checkpoint::verify(&self.place.root().join(&head.id)) {
                Ok(manifest) => {
                    self.largest = self.largest.max(checkpoint::size_of(&manifest));
                    if head.standing == Standing::Verified {
                        let _ = checkpoint::mark(&self.place.root().join(&head.id), head.standing);
                    }
                    // A hint: a disk that cannot take it must not end a run that could go on.
                    if let Err(error) = self.point_to(&head.id) {
                        self.note("pointer", json!({ "why": error.to_string() }));
                    }
                    return Ok(());
                }
                Err(error) => {
                    self.put_aside(&head.id, &error.to_string())?;
                    self.chain.mark(&head.id, Standing::Quarantined);
                }
            }
        }
        Ok(())
    }

    fn put_aside(&mut self, id: &str, why: &str) -> Result<(), Error> {
        let root = self.place.root().to_owned();
        checkpoint::quarantine(&root, id).map_err(Error::place(root.join(id)))?;
        self.note("quarantined", json!({ "checkpoint": id, "why": why }));
        Ok(())
    }

    fn point_to(&mut self, id: &str) -> Result<(), Error> {
        if self.place.pointed("latest").as_deref() == Some(id) {
            return Ok(());
        }
        let path = self.place.root().join("latest");
        self.place.point("latest", id).map_err(Error::place(path))
    }

    /// A script wrote a checkpoint's files: they are committed while the script and its supervisor go on.
    pub(super) fn commit(
        &mut self,
        attempt: &mut Attempt,
        ready: Ready,
        blocking: Duration,
        say: &mut dyn FnMut(&str),
    ) {
        self.ledger.handle_blocked(blocking, self.now());
        self.measure_save(attempt, blocking, say);
        if let Some(Ready { step, directory, .. }) = self.saves.push(ready) {
            say(&format!("checkpoint of step {step} gives way: the script saves faster than the disk takes it"));
            self.note("commit_failed", json!({ "step": step, "why": "later ones wait" }));
            let _ = fs::remove_dir_all(directory);
        }
        self.save_heard(attempt);
        self.begin_next();
    }

    /// What the supervisor before this one was about to commit.
    pub(super) fn take_up_saves(&mut self, unfinished: Vec<Ready>) {
        for ready in unfinished.into_iter().filter(|ready| ready.directory.exists() || ready.adopted.is_some()) {
            // As many as waited before fit.
            let _ = self.saves.push(ready);
        }
        self.begin_next();
    }

    pub(super) fn begin_next(&mut self) {
        let Some(ready) = self.saves.next() else { return };
        let manifest = Manifest {
            v: 1,
            run: self.record.run.clone(),
            attempt: self.record.attempt,
            step: ready.step,
            parent: self.chain.head().map(|head| head.id.clone()),
            cursor: ready.cursor.clone(),
            metrics: ready.metrics.clone(),
            adopted: ready.adopted.as_deref().and_then(Path::file_name).map(Into::into),
            files: Vec::new(),
        };
        let root = self.place.root().to_owned();
        self.saves.commit(ready.clone(), move || {
            if let Some(source) = &ready.adopted {
                adopt::take_over(source, &ready.directory)?;
            }
            checkpoint::commit(&root, &ready.directory, manifest)
        });
    }

    /// Takes what came of commits and gates, waiting for `wait` at most.
    pub(super) fn settle_saves(&mut self, attempt: &mut Attempt, wait: Duration, say: &mut dyn FnMut(&str)) {
        match self.saves.committed(wait) {
            None => {}
            Some((ready, Ok(committed))) => self.handle_committed(attempt, ready, committed, say),
            Some((Ready { step, .. }, Err(error))) => {
                say(&format!("checkpoint of step {step} was not committed: {error}"));
                self.note("commit_failed", json!({ "step": step, "why": error.to_string() }));
                self.handle_failed_save(attempt, &error, say);
            }
        }
        if let Some(asked) = self.saves.asked(Duration::ZERO) {
            let passed = self.hear_gates(asked, say);
            // Gates that were broken off because somebody wants the run to end have said nothing.
            self.invalid |= !passed && !self.stopped();
        }
        if let Some(id) = self.saves.due() {
            self.ask_gates(&id);
        }
        if self.invalid && attempt.ended_for().is_none() {
            self.saves.forget_waiting();
            self.stop_attempt(attempt, Class::UserFatal, Duration::ZERO);
        }
        self.begin_next();
    }

    /// Waits until nothing is being committed: the attempt's processes are gone, and the disk may take its time. Gates that are
    /// being asked go on beside the next attempt.
    pub(super) fn finish_saves(&mut self, attempt: &mut Attempt, say: &mut dyn FnMut(&str)) {
        let mut told = self.now();
        while self.saves.is_committing() {
            self.settle_saves(attempt, TICK, say);
            if self.now() >= told + TELL_EVERY {
                told = self.now();
                self.tell();
            }
        }
        self.settle_saves(attempt, Duration::ZERO, say);
    }

    fn handle_committed(&mut self, attempt: &mut Attempt, ready: Ready, made: Committed, say: &mut dyn FnMut(&str)) {
        let Ready { step, metrics, suspect, .. } = ready;
        let Committed { id, parent, bytes } = made;
        self.largest = bytes;
        if suspect {
            let standing = Standing::Suspect;
            self.chain.handle_suspect(Checkpoint { id: id.clone(), step, parent, standing });
            let _ = checkpoint::mark(&self.place.root().join(&id), standing);
            self.note("suspect", json!({ "checkpoint": id }));
            return;
        }
        self.metrics.extend(metrics);
        self.keep(&id, step, parent, bytes);
        attempt.say_committed(step, &id);
        self.set_interval(attempt);
        if let Err(error) = self.point_to(&id) {
            say(&format!("{error}"));
        }
        if self.committed.is_multiple_of(self.options.validate_every.max(1)) && !self.options.gates.is_empty() {
            self.saves.call_for_gates(&id);
        }
        self.let_go(self.options.keep, say);
        self.make_room(say);
    }

    fn keep(&mut self, id: &str, step: u64, parent: Option<String>, bytes: u64) {
        self.chain.handle_verified(Checkpoint { id: id.to_owned(), step, parent, standing: Standing::Verified });
        self.policy.handle_verified(step);
        self.ledger.handle_kept(self.now());
        self.committed += 1;
        self.note("committed", json!({ "checkpoint": id, "step": step, "bytes": bytes }));
        self.try_save_record();
    }

    /// What was there before the first attempt is where it goes on.
    pub(super) fn handle_adopted_first(&mut self, step: u64, made: Committed) -> Result<(), Error> {
        self.largest = made.bytes;
        self.keep(&made.id, step, made.parent, made.bytes);
        self.point_to(&made.id)
    }

    pub(super) fn let_go(&mut self, keep: usize, say: &mut dyn FnMut(&str)) {
        for id in self.chain.expendable(keep).into_iter().filter(|id| !self.saves.asks_about(id)).collect::<Vec<_>>() {
            match checkpoint::remove(self.place.root(), &id) {
                Ok(()) => self.chain.forget(&id),
                Err(error) => say(&format!("{id} cannot be removed: {error}")),
            }
        }
    }

    /// The loss went wrong: checkpoints from `suspect` on are not gone on from, and the steps from `onset` to here are left out
    /// the next time.
    pub(super) fn go_back(&mut self, trouble: Trouble, until: u64) {
        let (onset, suspect) = (trouble.onset(), trouble.suspect_from());
        self.saves.suspect_from(suspect);
        for id in self.chain.handle_trouble(suspect) {
            let _ = checkpoint::mark(&self.place.root().join(&id), Standing::Suspect);
            self.note("suspect", json!({ "checkpoint": id, "onset": onset }));
        }
        self.skips.push((onset, until));
        self.try_save_record();
        if let Some(id) = self.chain.head().map(|head| head.id.clone())
            && let Err(error) = self.point_to(&id)
        {
            self.note("pointer", json!({ "why": error.to_string() }));
        }
    }
}
