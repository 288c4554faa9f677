//! Checkpoints of libraries become checkpoints of the run.

use std::path::PathBuf;

use mainstay_core::training::class::Class;
use serde_json::{Value, json};

use super::Run;
use super::attempt::Attempt;
use super::saves::Ready;
use crate::adopt::{self, Found};
use crate::checkpoint;
use crate::place::replace;
use crate::process;

const ADOPTED: &str = "adopted.json";

impl Run<'_> {
    /// Takes over what libraries wrote and nobody writes to any more.
    pub(super) fn adopt(&mut self, attempt: &Attempt, say: &mut dyn FnMut(&str)) {
        // Looking at all processes costs; most runs adopt nothing.
        if self.options.guards.adopt.is_none() {
            return;
        }
        let writers = process::tree(&self.record.run);
        self.adopt_ready(&writers, attempt.ended_for(), say);
    }

    /// The attempt's processes are gone: nothing has to be waited for.
    pub(super) fn adopt_last(&mut self, attempt: &Attempt, say: &mut dyn FnMut(&str)) {
        self.adopt_ready(&[], attempt.ended_for(), say);
    }

    /// Before the first attempt: the newest that is there already.
    pub(super) fn adopt_first(&mut self, say: &mut dyn FnMut(&str)) {
        let Some(directory) = self.options.guards.adopt.clone() else { return };
        if let Ok(text) = std::fs::read(self.place.own(ADOPTED)) {
            self.adopting = serde_json::from_slice(&text).unwrap_or_default();
        }
        let mut found = self.adopting.ready(&directory, &[]);
        let newest = found.pop().filter(|found| self.chain.head().is_none_or(|head| found.step > head.step));
        for older in &found {
            self.adopting.take(older);
        }
        let Some(newest) = newest else { return };
        self.push_adopted(&newest, false, say);
        self.begin_next();
        while self.saves.is_committing() {
            if let Some((ready, result)) = self.saves.committed(super::keep::TICK) {
                let taken = result
                    .map_err(|error| error.to_string())
                    .and_then(|made| self.handle_adopted_first(ready.step, made).map_err(|error| error.to_string()));
                if let Err(why) = taken {
                    say(&format!("{} was not taken over: {why}", newest.path.display()));
                }
            }
        }
    }

    fn adopt_ready(&mut self, writers: &[i32], ended_for: Option<Class>, say: &mut dyn FnMut(&str)) {
        let Some(directory) = self.options.guards.adopt.clone() else { return };
        for found in self.adopting.ready(&directory, writers) {
            // What is saved after the numbers exploded is kept, and not gone on from.
            self.push_adopted(&found, ended_for == Some(Class::Numeric), say);
        }
        self.begin_next();
    }

    fn push_adopted(&mut self, found: &Found, suspect: bool, say: &mut dyn FnMut(&str)) {
        if !self.saves.has_room() {
            return; // It is found again the next time.
        }
        let Found { path, step, .. } = found;
        let directory = self.place.root().join(format!(".tmp-{}-{step}", self.record.attempt));
        let metrics = adopt::metrics(path, *step);
        let ready =
            Ready { step: *step, directory, cursor: Value::Null, metrics, suspect, adopted: Some(path.clone()) };
        let _ = self.saves.push(ready);
        say(&format!("taking over {}", path.display()));
        self.note("adopting", json!({ "path": path, "step": step }));
        self.step = self.step.max(Some(*step));
        self.adopting.take(found);
        let text = serde_json::to_vec(&self.adopting).expect("paths that were read from a directory by name are text");
        if replace(&self.place.own(ADOPTED), &text).is_err() {
            *self.ignored.entry("record".to_owned()).or_default() += 1;
        }
    }

    /// What a script is told to go on from: the checkpoint's directory, or what a library wrote into it.
    pub(super) fn resume_path(&self) -> Option<PathBuf> {
        let path = self.place.root().join(&self.chain.head()?.id);
        let adopted = checkpoint::read_manifest(&path).ok().and_then(|manifest| manifest.adopted);
        Some(adopted.map_or(path.clone(), |inside| path.join(inside)))
    }
}
