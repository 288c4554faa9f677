//! Checkpoints of a run: read at the start, committed, let go, gone back from.

use std::fs;
use std::path::Path;
use std::time::Duration;

use mainstay_core::training::chain::{Chain, Checkpoint, Standing};
use mainstay_core::training::class::Class;
use mainstay_core::training::ledger::Bucket;
use serde_json::{Map, Value, json};

use super::Run;
use super::attempt::Attempt;
use crate::checkpoint::{self, Manifest};
use crate::options::Error;

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
                    return self.point_to(&head.id);
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

    /// A script wrote a checkpoint's files. What cannot be committed is said, and the run goes on.
    pub(super) fn commit(
        &mut self,
        attempt: &mut Attempt,
        directory: &str,
        (step, cursor, metrics): (u64, Value, Map<String, Value>),
        blocking: Duration,
        say: &mut dyn FnMut(&str),
    ) {
        let now = self.now();
        self.ledger.handle_blocked(blocking, now);
        self.measure_save(attempt, blocking, say);
        let manifest = Manifest {
            v: 1,
            run: self.record.run.clone(),
            attempt: self.record.attempt,
            step,
            parent: self.chain.head().map(|head| head.id.clone()),
            cursor,
            metrics: metrics.clone(),
            files: Vec::new(),
        };
        let parent = manifest.parent.clone();
        let committed = checkpoint::commit(self.place.root(), Path::new(directory), manifest);
        let id = match committed {
            Ok(id) => id,
            Err(error) => {
                say(&format!("checkpoint of step {step} was not committed: {error}"));
                self.note("commit_failed", json!({ "step": step, "why": error.to_string() }));
                self.handle_failed_save(attempt, &error, say);
                return;
            }
        };
        self.metrics.extend(metrics);
        // Made again after a crash between two attempts, the same name would be its own parent.
        let parent = parent.filter(|parent| *parent != id);
        self.chain.handle_verified(Checkpoint { id: id.clone(), step, parent, standing: Standing::Verified });
        self.policy.handle_verified(step);
        self.ledger.handle_kept(self.now());
        self.committed += 1;
        self.note("committed", json!({ "checkpoint": id, "step": step }));
        self.try_save_record();
        attempt.say_committed(step, &id);
        self.set_interval(attempt);
        if let Err(error) = self.point_to(&id) {
            say(&format!("{error}"));
        }
        if self.committed.is_multiple_of(self.options.validate_every.max(1)) && !self.options.gates.is_empty() {
            self.ledger.switch(Bucket::Gate, self.now());
            if !self.gated(&id, say) {
                self.end_invalid(attempt);
            }
            self.ledger.switch(Bucket::Productive, self.now());
        }
        self.largest = checkpoint::read_manifest(&self.place.root().join(&id))
            .map_or(self.largest, |made| checkpoint::size_of(&made));
        self.let_go(self.options.keep, say);
        self.make_room(say);
    }

    fn end_invalid(&mut self, attempt: &mut Attempt) {
        self.invalid = true;
        self.stop_attempt(attempt, Class::UserFatal, Duration::ZERO);
    }

    pub(super) fn let_go(&mut self, keep: usize, say: &mut dyn FnMut(&str)) {
        for id in self.chain.expendable(keep) {
            match checkpoint::remove(self.place.root(), &id) {
                Ok(()) => self.chain.forget(&id),
                Err(error) => say(&format!("{id} cannot be removed: {error}")),
            }
        }
    }

    /// The loss went wrong: later checkpoints are suspect, and the steps from there to here are left out the next time.
    pub(super) fn go_back(&mut self, onset: u64, until: u64) {
        for id in self.chain.handle_trouble(onset) {
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
