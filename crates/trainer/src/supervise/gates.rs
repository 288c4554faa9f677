//! Gates, and what follows from them.

use std::fs;
use std::process::{Command, Stdio};

use mainstay_core::training::State;
use mainstay_core::training::chain::Standing;
use mainstay_core::training::gate::{Answer, Gate};
use mainstay_core::training::ledger::Bucket;
use serde_json::{Map, Value, json};

use super::Run;
use crate::checkpoint::{self, Manifest};

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
        if !self.gated(&id, say) {
            self.end_invalid_run(say);
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
                    reason = format!("{reason}; rolled back to {id}");
                    "rolled_back"
                }
                Some(_) => "failed: the pointer cannot be moved",
            };
        }
        say(&reason);
        self.end(State::ValidationFailed, &reason);
    }

    /// What the champion was saved with; `None`: there is none, or no gate compares with it. One that cannot be read is no reason to let anything pass.
    fn champion(&self) -> Result<Option<Map<String, Value>>, String> {
        let compares = |gate: &Gate| matches!(gate, Gate::Expression(numbers) if numbers.names_champion());
        if !self.options.gates.iter().any(compares) {
            return Ok(None);
        }
        if let Some(champion) = &self.options.guards.champion {
            return Ok(Some(champion.clone()));
        }
        let Some(id) = self.place.pointed("champion") else { return Ok(None) };
        let path = self.place.root().join(&id).join(checkpoint::MANIFEST);
        let text = fs::read(path).map_err(|error| format!("the champion {id} cannot be read: {error}"))?;
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|error| format!("the champion {id} cannot be read: {error}"))?;
        Ok(Some(manifest.metrics))
    }

    /// Asks all gates about a checkpoint.
    pub(super) fn gated(&mut self, id: &str, say: &mut dyn FnMut(&str)) -> bool {
        let path = self.place.root().join(id);
        let metrics = match checkpoint::verify(&path) {
            // What it was saved with and nothing else: a number of another step says nothing about it.
            Ok(manifest) => manifest.metrics,
            Err(error) => {
                self.reason = Some(format!("{id}: {error}"));
                return false;
            }
        };
        let champion = match self.champion() {
            Ok(champion) => champion,
            Err(why) => {
                say(&why);
                self.reason = Some(why);
                return false;
            }
        };
        let ask = |gate: &Gate| match gate {
            Gate::Expression(numbers) => numbers.ask(&metrics, champion.as_ref()),
            Gate::Command(command) => ask_command(command, &path),
        };
        let answers: Vec<Answer> = self.options.gates.iter().map(ask).collect();
        for answer in &answers {
            let Answer { gate, passed, reason } = answer;
            self.note("gate", json!({ "checkpoint": id, "gate": gate, "passed": passed, "why": reason }));
            if !passed {
                say(&format!("gate `{gate}` of {id}: {reason}"));
                self.reason = Some(format!("gate `{gate}` of {id}: {reason}"));
            }
        }
        let passed = answers.iter().all(|answer| answer.passed);
        self.answers = answers;
        if passed && !self.answers.is_empty() {
            self.stand(id, Standing::Gated);
        }
        passed
    }

    fn stand(&mut self, id: &str, standing: Standing) {
        self.chain.mark(id, standing);
        let _ = checkpoint::mark(&self.place.root().join(id), standing);
    }
}

fn ask_command(command: &str, path: &std::path::Path) -> Answer {
    let answer = |passed, reason: String| Answer { gate: format!("cmd:{command}"), passed, reason };
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("MAINSTAY_CHECKPOINT", path).stdin(Stdio::null()).stdout(Stdio::null());
    match shell.status() {
        Ok(status) => answer(status.success(), status.to_string()),
        Err(error) => answer(false, error.to_string()),
    }
}
