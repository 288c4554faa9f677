//! A game day as it rests: what was planned, what happened, what held.

use serde::{Deserialize, Serialize};

use super::Scenario;
use super::facts::Facts;
use crate::chaos::record::{Line, Stopped};
use crate::event::{Word, written};
use crate::time::Time;

/// Most lines of a game day's timeline.
pub const TIMELINE_MAX: usize = 1_000;
/// Most answers of a game day.
pub const ANSWERS_MAX: usize = 500;

/// How a scenario is gone through.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Its experiments are run.
    Live,
    /// It is talked through; nothing goes wrong.
    Tabletop,
}

/// Where a game day is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It goes on.
    Running,
    /// It went its course.
    Ended,
    /// It was ended before.
    Aborted,
}

impl Phase {
    /// The word at rest.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Running => "running",
            Phase::Ended => "ended",
            Phase::Aborted => "aborted",
        }
    }
}

/// A game day.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Its id, such as `GD-2026-0001`.
    pub id: String,
    /// The scenario, as it was then.
    pub scenario: Scenario,
    /// How it is gone through.
    pub mode: Mode,
    /// Who does.
    pub by: String,
    /// Where it is.
    pub phase: Phase,
    /// When it began.
    #[serde(with = "written")]
    pub started: Time,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "written::optional")]
    pub ended: Option<Time>,
    /// Why it was ended before its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
    /// What it does now, in a word: `pausing`, `waiting`, `running`, `settling`; empty once it is over.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub now: Word,
    /// What became of the steps that were begun.
    #[serde(default)]
    pub steps: Vec<Stepped>,
    /// What was measured of the whole day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Facts>,
    /// The day's own criteria.
    #[serde(default)]
    pub results: Vec<Outcome>,
    /// Whether all criteria held; absent where not all were judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed: Option<bool>,
    /// What happened, in order.
    #[serde(default)]
    pub timeline: Vec<Line>,
    /// Answers of whoever talked it through.
    #[serde(default)]
    pub answers: Vec<Answer>,
    /// Findings that it opened.
    #[serde(default)]
    pub opened: Vec<String>,
    /// Findings that it saw again.
    #[serde(default)]
    pub again: Vec<String>,
    /// Findings that it closed: it is their re-test.
    #[serde(default)]
    pub closed: Vec<String>,
}

/// What became of a step.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Stepped {
    /// Its name.
    pub name: String,
    /// The run of its experiment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Why its experiment did not start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// When it began.
    #[serde(with = "written")]
    pub started: Time,
    /// When it was judged.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "written::optional")]
    pub ended: Option<Time>,
    /// What was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Facts>,
    /// Its criteria.
    #[serde(default)]
    pub results: Vec<Outcome>,
}

/// What became of a criterion.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// Its condition.
    pub holds: String,
    /// Whether it holds; absent: it was not judged.
    pub held: Option<bool>,
    /// What was measured.
    pub measured: String,
}

/// An answer to a question.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// When.
    #[serde(with = "written")]
    pub at: Time,
    /// Who.
    pub by: String,
    /// The step; absent: the whole scenario.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// What was asked.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub question: String,
    /// What was said.
    pub text: String,
}

/// A criterion that did not hold, and has not since.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// Its id, such as `GD-2026-0001-F1`.
    pub id: String,
    /// The scenario.
    pub scenario: String,
    /// The step; absent: the whole day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The criterion's name.
    pub criterion: String,
    /// Its condition, as it was last.
    pub holds: String,
    /// What was measured last.
    pub measured: String,
    /// When it was opened.
    #[serde(with = "written")]
    pub opened: Time,
    /// The game day that opened it.
    pub gameday: String,
    /// The last game day in which it did not hold.
    pub last: String,
    /// In how many game days it did not hold.
    pub times: u32,
    /// When it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "written::optional")]
    pub closed: Option<Time>,
    /// The game day in which it held: its re-test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retest: Option<String>,
}

impl Finding {
    /// Whether it is about a criterion.
    pub fn is_about(&self, scenario: &str, step: Option<&str>, criterion: &str) -> bool {
        self.scenario == scenario && self.step.as_deref() == step && self.criterion == criterion
    }
}

impl Record {
    /// Adds a line, unless there are too many.
    pub fn tell(&mut self, at: Time, what: impl Into<Word>, text: impl Into<String>) {
        if self.timeline.len() < TIMELINE_MAX {
            self.timeline.push(Line { at, what: what.into(), text: text.into() });
        }
    }

    /// Ends it before its end.
    pub fn abort(&mut self, reason: &'static str, text: &str, by: &str, now: Time) {
        self.phase = Phase::Aborted;
        self.ended = Some(now);
        self.now = Word::Borrowed("");
        self.stopped = Some(Stopped { at: now, reason: reason.into(), text: text.to_owned(), by: by.to_owned() });
        self.tell(now, "stop", format!("stopped by {by}: {text}"));
    }

    /// What was noted of a scenario that is talked through.
    pub fn tabletop(id: String, scenario: Scenario, by: String, now: Time) -> Record {
        let mut record = Record::new(id, scenario, Mode::Tabletop, by, now);
        record.phase = Phase::Ended;
        record.ended = Some(now);
        record
    }

    pub(super) fn new(id: String, scenario: Scenario, mode: Mode, by: String, now: Time) -> Record {
        Record {
            id,
            scenario,
            mode,
            by,
            phase: Phase::Running,
            started: now,
            ended: None,
            stopped: None,
            now: Word::Borrowed(""),
            steps: Vec::new(),
            facts: None,
            results: Vec::new(),
            passed: None,
            timeline: Vec::new(),
            answers: Vec::new(),
            opened: Vec::new(),
            again: Vec::new(),
            closed: Vec::new(),
        }
    }

    /// All outcomes with the steps that they are of.
    pub fn outcomes(&self) -> impl Iterator<Item = (Option<&str>, &Outcome)> {
        let of_steps = self.steps.iter().flat_map(|step| step.results.iter().map(|it| (Some(step.name.as_str()), it)));
        of_steps.chain(self.results.iter().map(|it| (None, it)))
    }
}
