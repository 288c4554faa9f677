//! An incident, as it rests and as it is told.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use std::collections::BTreeMap;

use super::escalation::Policy;
use super::kind::{Severity, Status};
use crate::event::{Word, written};
use crate::time::Time;

/// Most facts that an incident holds one by one; those beyond are counted.
pub const FACTS_MAX: usize = 200;
/// Most bytes of these facts.
pub const FACTS_BYTES_MAX: usize = 256 << 10;
/// Most bytes of a timeline.
pub const TIMELINE_BYTES_MAX: usize = 384 << 10;
/// Most entries of a timeline; the oldest entry about signals goes for one beyond.
pub const TIMELINE_MAX: usize = 1_000;
/// Most actions of an incident.
pub const ACTIONS_MAX: usize = 100;

/// An incident.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Incident {
    /// `AI-YYYYMMDD-NNNN`; the date is that of its detection, in UTC.
    pub id: String,
    /// Its type: the one that explains most of what is seen, or the one that a person chose.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether a person chose the type.
    #[serde(default, skip_serializing_if = "is_false")]
    pub kind_chosen: bool,
    /// What it is, in a line.
    pub title: String,
    /// How bad it is, or was at its worst.
    pub severity: Severity,
    /// How bad its facts were at their worst, whatever a person says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<Severity>,
    /// Where it stands.
    pub status: Status,
    /// When what is wrong began, as far as is known.
    #[serde(with = "written")]
    pub onset: Time,
    /// When it was found.
    #[serde(with = "written")]
    pub detected: Time,
    /// When somebody took it, first.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "written::optional")]
    pub acknowledged: Option<Time>,
    /// Who took it, last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_by: Option<String>,
    /// When its effect began to be ended, first.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "written::optional")]
    pub mitigated: Option<Time>,
    /// When it ended, last.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "written::optional")]
    pub resolved: Option<Time>,
    /// When it was closed, cancelled or merged.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "written::optional")]
    pub closed: Option<Time>,
    /// The incident that it became a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<String>,
    /// How often it was opened again.
    #[serde(default)]
    pub reopened: u32,
    /// Routes that it touches.
    #[serde(default)]
    pub routes: Vec<String>,
    /// What it is about besides: `backend:NAME`, `features:NAME`, `model:NAME`, `alert:GROUP`.
    #[serde(default)]
    pub places: Vec<String>,
    /// What is wrong.
    #[serde(default)]
    pub facts: Vec<Held>,
    /// Facts that are not held one by one.
    #[serde(default)]
    pub more_facts: u64,
    /// When every fact came to rest, where all have and it is open.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "written::optional")]
    pub quiet_since: Option<Time>,
    /// When it was proposed to resolve it, where it is.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "written::optional")]
    pub proposed: Option<Time>,
    /// Types by evidence, the best first.
    #[serde(default)]
    pub ranking: Vec<Ranked>,
    /// What happened, in order; nothing in it changes.
    #[serde(default)]
    pub timeline: Vec<Entry>,
    /// Entries that had no room.
    #[serde(default)]
    pub timeline_dropped: u64,
    /// Who is being told, where somebody is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalation: Option<Escalating>,
    /// Grows with what makes older pages void.
    #[serde(default)]
    pub epoch: u32,
    /// Channels that were told of it, and are told what becomes of it.
    #[serde(default)]
    pub told: Vec<Told>,
    /// Notices made so far.
    #[serde(default)]
    pub notices: u32,
    /// What was done, or is proposed.
    #[serde(default)]
    pub actions: Vec<Action>,
    /// What people say of it afterwards.
    #[serde(default)]
    pub review: Findings,
}

/// A fact that belongs to an incident.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Held {
    /// What tells it from others.
    pub key: String,
    /// Its kind, such as `slo_burn`.
    pub fact: String,
    /// What it is about.
    pub labels: BTreeMap<String, String>,
    /// A line for people.
    pub text: String,
    /// When it began, first.
    #[serde(with = "written")]
    pub since: Time,
    /// When it ended; absent while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "written::optional")]
    pub until: Option<Time>,
    /// How often it began.
    pub times: u64,
}

/// What speaks for a type.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Ranked {
    /// The type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name for people.
    pub title: String,
    /// The natural logarithm of the odds for it, by what is seen and what is not.
    pub score: f64,
    /// Its share among all types, by these odds.
    pub probability: f64,
    /// Signals that fired.
    pub fired: Vec<Sign>,
    /// Signals that did not.
    pub silent: Vec<Sign>,
}

/// A signal, and what it adds to a score.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Sign {
    /// The signal.
    pub name: String,
    /// A line for people.
    pub text: String,
    /// What it adds.
    pub weight: f64,
    /// The facts by which it fired, by their keys; at most [`EVIDENCE_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
}

/// Most facts that are named for a signal.
pub const EVIDENCE_MAX: usize = 5;

/// Something that happened to an incident.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    #[serde(with = "written")]
    pub at: Time,
    /// Who.
    pub actor: String,
    /// By what: `engine`, `api`, `alerts`, `rule`.
    pub source: Word,
    /// What, in a word such as `signal`, `status`, `severity`, `page`, `action`, `note`.
    pub what: Word,
    /// What, in a line.
    pub text: String,
    /// What shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Value>,
}

/// Who is being told.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Escalating {
    /// The policy as it was when it began.
    pub policy: Policy,
    /// The step that is next.
    pub step: usize,
    /// The round, from 0.
    pub round: u32,
    /// How bad it was when this began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// When the next step is due; absent when all steps were gone through.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "written::optional")]
    pub next: Option<Time>,
}

/// A channel that was told of an incident, and whom by it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Told {
    /// The channel.
    pub channel: String,
    /// The person, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
}

/// What can be done by mainstay itself.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Action {
    /// Its id within the incident.
    pub id: u32,
    /// What.
    #[serde(flatten)]
    pub act: Act,
    /// How far it is.
    pub state: ActionState,
    /// Who approved it, or `rule`.
    pub by: String,
    /// When it was asked for.
    #[serde(with = "written")]
    pub at: Time,
    /// When it took effect.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "written::optional")]
    pub taken: Option<Time>,
    /// When it ends by itself; absent: when it is undone.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "written::optional")]
    pub until: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "written::optional")]
    pub ended: Option<Time>,
    /// What undoes it, as whoever took it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Value>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Something that mainstay can do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Act {
    /// Holds a route at a level.
    PinLevel {
        /// The route.
        route: String,
        /// The level.
        level: u8,
    },
    /// Answers a route with features from the cache: its level of cached features.
    CachedFeatures {
        /// The route.
        route: String,
    },
    /// Serves the champion before this one.
    PreviousModel {
        /// The model.
        model: String,
    },
    /// Keeps more of the requests of a route.
    RaiseSampling {
        /// The route.
        route: String,
    },
    /// Refuses requests of a route whose body holds a text.
    BlockPattern {
        /// The route.
        route: String,
        /// The text.
        pattern: String,
    },
    /// Stops an experiment: its fault is taken away.
    StopExperiment {
        /// The run.
        run: String,
    },
}

impl Act {
    /// Words of the actions that a config may have taken without asking. What a pattern blocks is somebody's judgement.
    pub const AUTOMATIC: [&'static str; 4] = ["pin_level", "cached_features", "previous_model", "raise_sampling"];

    /// The word of an action.
    pub const fn word(&self) -> &'static str {
        match self {
            Act::PinLevel { .. } => "pin_level",
            Act::CachedFeatures { .. } => "cached_features",
            Act::PreviousModel { .. } => "previous_model",
            Act::RaiseSampling { .. } => "raise_sampling",
            Act::BlockPattern { .. } => "block_pattern",
            Act::StopExperiment { .. } => "stop_experiment",
        }
    }
}

/// How far an action is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionState {
    /// It is being taken.
    Pending,
    /// It has effect.
    Active,
    /// It is being undone.
    Undoing,
    /// It was undone.
    Undone,
    /// Its time is over.
    Expired,
    /// It could not be taken, or not be undone.
    Failed,
}

/// What people say of an incident afterwards; all of it may be empty.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Findings {
    /// What caused it.
    pub root_cause: String,
    /// What helped it along.
    pub contributing: Vec<String>,
    /// What went well.
    pub went_well: Vec<String>,
    /// What could improve.
    pub could_improve: Vec<String>,
    /// Where luck helped.
    pub lucky: Vec<String>,
    /// How it could be found sooner.
    pub detection: Vec<String>,
    /// How it could be prevented.
    pub prevention: Vec<String>,
    /// What is to be done.
    pub items: Vec<Item>,
}

/// Something to be done.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Item {
    /// Its number within the incident.
    #[serde(default)]
    pub id: u32,
    /// What.
    pub text: String,
    /// Who does it.
    pub owner: String,
    /// Until when, as `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<String>,
    /// `prevent`, `mitigate` or `detect`.
    #[serde(default = "prevent")]
    pub purpose: String,
    /// `open`, `done` or `dropped`.
    #[serde(default = "open")]
    pub state: String,
}

fn prevent() -> String {
    "prevent".to_owned()
}

fn open() -> String {
    "open".to_owned()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference to the field")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Entry {
    /// About how long it is at rest.
    fn bytes(&self) -> usize {
        let evidence = self.evidence.as_ref().map_or(0, |it| it.to_string().len());
        120 + self.actor.len() + self.text.len() + evidence
    }
}

impl Held {
    /// About how long it is at rest.
    pub fn bytes(&self) -> usize {
        let labels: usize = self.labels.iter().map(|(name, value)| name.len() + value.len() + 6).sum();
        150 + self.key.len() + self.text.len() + labels
    }
}

impl Incident {
    /// Appends to the timeline. The oldest entry about signals or notices makes room; what people wrote and what was decided stays.
    pub fn tell(&mut self, entry: Entry) {
        let mut bytes = entry.bytes() + self.timeline.iter().map(Entry::bytes).sum::<usize>();
        while !self.timeline.is_empty() && (self.timeline.len() >= TIMELINE_MAX || bytes > TIMELINE_BYTES_MAX) {
            let noise = self.timeline.iter().position(|it| matches!(&*it.what, "signal" | "page" | "notice"));
            bytes -= self.timeline.remove(noise.unwrap_or(0)).bytes();
            self.timeline_dropped += 1;
        }
        self.timeline.push(entry);
    }

    /// Whether every fact has ended; false where there is none.
    pub fn is_quiet(&self) -> bool {
        !self.facts.is_empty() && self.facts.iter().all(|held| held.until.is_some())
    }
}
