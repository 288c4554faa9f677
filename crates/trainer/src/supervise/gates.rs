//! Gates, and what follows from them.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use mainstay_core::time::Time;
use mainstay_core::training::State;
use mainstay_core::training::chain::Standing;
use mainstay_core::training::gate::{Answer, Gate};
use mainstay_core::training::ledger::Bucket;
use serde_json::{Map, Value, json};

use super::Run;
use super::keep::{TELL_EVERY, TICK};
use crate::checkpoint;
use crate::hook;
use crate::process;
use crate::weights;

impl Run<'_> {
    /// The script is done: the last checkpoint is read again, its gates are asked, and it becomes the champion.
    pub(super) fn finish(&mut self, say: &mut dyn FnMut(&str)) {
        self.ledger.handle_kept(self.now());
        self.ledger.switch(Bucket::Gate, self.now());
        let Some(id) = self.chain.head().map(|head| head.id.clone()) else {
            if self.options.gates.is_empty() {
                self.end(State::Succeeded, "");
            } else {
                self.end(State::ValidationFailed, "there is no checkpoint that gates could be asked about");
            }
            return;
        };
        self.saves.forget_gates();
        self.ask_gates(&id);
        let Some(asked) = self.wait_for_gates() else {
            self.end(State::Preempted, "asked to end while its gates were asked; the same command asks them again");
            return;
        };
        let asked_about = asked.digest.clone();
        if !self.hear_gates(asked, say) {
            self.end_invalid_run(say);
            return;
        }
        // What is handed on is what the gates saw, to the byte.
        let path = self.place.root().join(&id);
        if checkpoint::digest_of(&path).ok() != asked_about {
            self.end(State::Failed, &format!("{id} changed after its gates passed"));
            return;
        }
        match self.place.point("champion", &id) {
            Ok(()) => {
                self.stand(&id, Standing::Promoted);
                self.promoted = Some(id);
                self.end(State::Succeeded, "");
            }
            Err(error) => self.end(State::Failed, &format!("the champion's pointer cannot be moved: {error}")),
        }
    }

    /// What the gates say at the end of a run; `None`: somebody asked to end before.
    fn wait_for_gates(&mut self) -> Option<Asked> {
        let mut told = self.now();
        loop {
            if let Some(asked) = self.saves.asked(TICK) {
                return Some(asked).filter(|_| !self.stopped());
            }
            if self.stopped() {
                self.saves.cancel();
            }
            if self.now() >= told + TELL_EVERY {
                told = self.now();
                self.tell();
            }
        }
    }

    /// The run ends because a gate failed; with `rollback` the pointer goes back, and is read back.
    pub(super) fn end_invalid_run(&mut self, say: &mut dyn FnMut(&str)) {
        let mut reason = self.reason.take().unwrap_or_else(|| "a gate failed".to_owned());
        if self.options.rollback {
            let champion = self.place.pointed("champion");
            let passed = self
                .chain
                .all()
                .iter()
                .rev()
                .find(|found| matches!(found.standing, Standing::Gated | Standing::Promoted));
            let back = passed.map(|found| found.id.clone()).or(champion).filter(|id| self.chain.get(id).is_some());
            self.rollback = match back {
                None => "not_needed: no checkpoint passed before",
                Some(id) if checkpoint::verify(&self.place.root().join(&id)).is_err() => "failed: it is broken",
                Some(id) if self.place.point("latest", &id).is_ok() => {
                    for after in self.chain.handle_return(&id) {
                        let _ = checkpoint::mark(&self.place.root().join(after), Standing::Suspect);
                    }
                    reason = format!("{reason}; rolled back to {id}");
                    "rolled_back"
                }
                Some(_) => "failed: the pointer cannot be moved",
            };
        }
        say(&reason);
        self.end(State::ValidationFailed, &reason);
    }

    /// Asks all gates about a checkpoint, on a thread of its own.
    pub(super) fn ask_gates(&mut self, id: &str) {
        let question = Question {
            root: self.place.root().to_owned(),
            id: id.to_owned(),
            served: self.options.guards.champion.clone(),
            champion: self.place.pointed("champion"),
            gates: self.options.gates.clone(),
            mark: mark(&self.record.run),
            longest: self.options.guards.gate_timeout,
            now: self.options.now,
        };
        self.saves.ask(id, move |cancel| question.ask(cancel));
    }

    /// Whether all passed.
    pub(super) fn hear_gates(&mut self, asked: Asked, say: &mut dyn FnMut(&str)) -> bool {
        let Asked { id, digest, answers } = asked;
        let answers = match answers {
            Ok(answers) => answers,
            Err(why) => {
                say(&why);
                self.note("gate", json!({ "checkpoint": id, "passed": false, "why": why }));
                self.reason = Some(why);
                return false;
            }
        };
        for Answer { gate, passed, reason } in &answers {
            let what = json!({ "checkpoint": id, "manifest": digest, "gate": gate, "passed": passed, "why": reason });
            self.note("gate", what);
            if !passed {
                say(&format!("gate `{gate}` of {id}: {reason}"));
                self.reason = Some(format!("gate `{gate}` of {id}: {reason}"));
            }
        }
        let passed = answers.iter().all(|answer| answer.passed);
        self.answers = answers;
        if passed && !self.answers.is_empty() {
            self.stand(&id, Standing::Gated);
        }
        passed
    }

    /// A gate's command that a supervisor before this one left behind is ended.
    pub(super) fn end_gates_before(&self) {
        process::end_marked(&mark(&self.record.run), 0);
    }

    fn stand(&mut self, id: &str, standing: Standing) {
        self.chain.mark(id, standing);
        let _ = checkpoint::mark(&self.place.root().join(id), standing);
    }
}

/// By which the processes of a gate's command are found: they are none of the run's.
fn mark(run: &str) -> String {
    format!("{run}-gate")
}

/// What the gates said of a checkpoint.
#[derive(Debug)]
pub(super) struct Asked {
    id: String,
    /// Of its manifest, as the gates saw it.
    digest: Option<String>,
    /// The error: why none could be asked.
    answers: Result<Vec<Answer>, String>,
}

impl Asked {
    pub(super) fn broken_off(id: String) -> Asked {
        Asked { id, digest: None, answers: Err("the gates were broken off".to_owned()) }
    }
}

struct Question {
    root: PathBuf,
    id: String,
    /// What the champion that is served was saved with, where somebody knows better than the directory.
    served: Option<Map<String, Value>>,
    champion: Option<String>,
    gates: Vec<Gate>,
    mark: String,
    longest: Duration,
    now: fn() -> Time,
}

impl Question {
    fn ask(self, cancel: &AtomicBool) -> Asked {
        let path = self.root.join(&self.id);
        let digest = checkpoint::digest_of(&path).ok();
        let answers = self.answers(&path, cancel);
        Asked { id: self.id, digest, answers }
    }

    fn answers(&self, path: &Path, cancel: &AtomicBool) -> Result<Vec<Answer>, String> {
        // What it was saved with and nothing else: a number of another step says nothing about it.
        let metrics = checkpoint::verify(path).map_err(|error| format!("{}: {error}", self.id))?.metrics;
        let champion = self.champion()?;
        let answer = |gate: &Gate| match gate {
            Gate::Expression(numbers) => numbers.ask(&metrics, champion.as_ref()),
            Gate::NotWorse(compared) => compared.ask(&metrics, champion.as_ref()),
            Gate::Finite => {
                let said = weights::check(path, cancel);
                Answer { gate: gate.text(), passed: said.is_ok(), reason: said.unwrap_or_else(|why| why) }
            }
            Gate::Command(command) => {
                let shell = ["sh".to_owned(), "-c".to_owned(), command.clone()];
                let environment = [("MAINSTAY_CHECKPOINT", path.to_string_lossy().into_owned())];
                let ended = hook::run_marked(&shell, &environment, &self.mark, self.longest, cancel, self.now);
                Answer { gate: gate.text(), passed: ended.is_ok(), reason: ended.err().unwrap_or_default() }
            }
        };
        Ok(self.gates.iter().map(answer).collect())
    }

    /// What the champion was saved with; `None`: there is none, or no gate compares with it. One that cannot be read is no
    /// reason to let anything pass.
    fn champion(&self) -> Result<Option<Map<String, Value>>, String> {
        if !self.gates.iter().any(Gate::names_champion) {
            return Ok(None);
        }
        if let Some(served) = &self.served {
            return Ok(Some(served.clone()));
        }
        let Some(id) = &self.champion else { return Ok(None) };
        let manifest = checkpoint::read_manifest(&self.root.join(id));
        manifest.map(|read| Some(read.metrics)).map_err(|error| format!("the champion {id} cannot be read: {error}"))
    }
}
