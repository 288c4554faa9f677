//! Game days: experiments in order, what people should do about them, and criteria that are checked by machine.
//!
//! ```text
//! Scenario --> Gameday --effects--> runs of experiments
//!                 ^ `-- runs, events, counts --'
//!                 `--> facts --criteria--> results --> findings, open until a later game day's same criterion holds
//! ```

pub mod criterion;
pub mod facts;
pub mod record;
pub mod machine;
mod seen;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::experiment::Experiment;
use super::written;
use criterion::{Compiled, Within};

/// Most steps of a scenario.
pub const STEPS_MAX: usize = 20;
/// Most criteria of a step, and most of the whole day.
pub const CRITERIA_MAX: usize = 30;
/// Most participants.
pub const PARTICIPANTS_MAX: usize = 50;
/// Most texts of what is expected, and most questions, of a step.
pub const TEXTS_MAX: usize = 20;
/// Longest text, in bytes.
pub const TEXT_BYTES_MAX: usize = 2_000;
/// Longest free text of a step or of the whole scenario, in bytes.
pub const NOTES_BYTES_MAX: usize = 32 << 10;
/// Longest pause, and longest wait for a step to be allowed.
pub const PAUSE_MAX: Duration = Duration::from_hours(4);

/// A scenario of a game day.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name: letters, digits, `-` and `_`.
    pub name: String,
    /// What it is about, in a line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// What is to be learned.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub purpose: String,
    /// Who takes part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub participants: Vec<Participant>,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// What must hold of the whole day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub criteria: Vec<Criterion>,
    /// Free text for whoever talks it through.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notes: String,
}

/// Somebody who takes part.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Participant {
    /// As what.
    pub role: Role,
    /// Who.
    pub name: String,
}

/// What somebody does on a game day.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Leads through the day.
    Facilitator,
    /// Leads the answer to what happens.
    IncidentCommander,
    /// Starts and ends what goes wrong.
    Driver,
    /// Watches and writes down.
    Observer,
    /// Is paged.
    OnCall,
    /// May end everything at any time.
    SafetyOfficer,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 6] =
        [Role::Facilitator, Role::IncidentCommander, Role::Driver, Role::Observer, Role::OnCall, Role::SafetyOfficer];

    /// The word at rest.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Facilitator => "facilitator",
            Role::IncidentCommander => "incident_commander",
            Role::Driver => "driver",
            Role::Observer => "observer",
            Role::OnCall => "on_call",
            Role::SafetyOfficer => "safety_officer",
        }
    }

    /// For people.
    pub const fn title(self) -> &'static str {
        match self {
            Role::Facilitator => "Facilitator",
            Role::IncidentCommander => "Incident commander",
            Role::Driver => "Driver",
            Role::Observer => "Observer",
            Role::OnCall => "On call",
            Role::SafetyOfficer => "Safety officer",
        }
    }
}

/// A step: one experiment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name, where it is another than the experiment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What goes wrong.
    pub experiment: Wanted,
    /// What should happen and what people should do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<String>,
    /// What is asked when it is talked through.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<String>,
    /// What must hold of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub criteria: Vec<Criterion>,
    /// How long nothing happens before.
    #[serde(default, skip_serializing_if = "Duration::is_zero", with = "written::duration")]
    pub pause: Duration,
    /// How long it may wait until its experiment may start.
    #[serde(default = "wait", with = "written::duration")]
    pub wait: Duration,
    /// Free text for whoever talks it through.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notes: String,
}

const fn wait() -> Duration {
    Duration::from_mins(10)
}

/// An experiment, by its name or in full.
#[derive(Clone, PartialEq, Debug)]
pub enum Wanted {
    /// One of the catalogue.
    Named(String),
    /// This one.
    Inline(Box<Experiment>),
}

impl Wanted {
    /// The experiment's name.
    pub fn name(&self) -> &str {
        match self {
            Wanted::Named(name) => name,
            Wanted::Inline(experiment) => &experiment.name,
        }
    }
}

impl Serialize for Wanted {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Wanted::Named(name) => to.serialize_str(name),
            Wanted::Inline(experiment) => experiment.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Wanted, D::Error> {
        match serde_json::Value::deserialize(from)? {
            serde_json::Value::String(name) => Ok(Wanted::Named(name)),
            other => serde_json::from_value(other).map(|it| Wanted::Inline(Box::new(it))).map_err(D::Error::custom),
        }
    }
}

/// What must hold.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Criterion {
    /// What it is about, in a line.
    pub name: String,
    /// The condition, in CEL over measured facts.
    pub holds: String,
}

impl Step {
    /// Its name: its own, or the experiment's.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_else(|| self.experiment.name())
    }
}

impl Scenario {
    /// The steps' names.
    pub fn step_names(&self) -> Vec<&str> {
        self.steps.iter().map(Step::name).collect()
    }

    /// All that is wrong with it by itself. Experiments that it names are looked up elsewhere.
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if !is_name(&self.name) {
            wrong.push("`name` has 1 to 80 letters, digits, `-` and `_`".to_owned());
        }
        for (text, name) in [(&self.title, "title"), (&self.purpose, "purpose")] {
            bounded(text, name, TEXT_BYTES_MAX, &mut wrong);
        }
        bounded(&self.notes, "notes", NOTES_BYTES_MAX, &mut wrong);
        if self.participants.len() > PARTICIPANTS_MAX {
            wrong.push(format!("there are at most {PARTICIPANTS_MAX} participants"));
        }
        for participant in &self.participants {
            bounded(&participant.name, "participants.name", 200, &mut wrong);
        }
        if self.steps.is_empty() || self.steps.len() > STEPS_MAX {
            wrong.push(format!("a scenario has 1 to {STEPS_MAX} steps"));
        }
        let mut seen = BTreeSet::new();
        for step in &self.steps {
            if !seen.insert(step.name()) {
                wrong.push(format!("two steps are called `{}`: give one of them a `name`", step.name()));
            }
            step.check(&self.step_names(), &mut wrong);
        }
        criteria(&self.criteria, &self.step_names(), Within::Day, "the day", &mut wrong);
        wrong
    }
}

impl Step {
    fn check(&self, steps: &[&str], wrong: &mut Vec<String>) {
        let name = self.name();
        if !is_name(name) {
            wrong.push(format!("the step's name `{name}` is not of 1 to 80 letters, digits, `-` and `_`"));
        }
        if let Wanted::Inline(experiment) = &self.experiment {
            wrong.extend(experiment.check().into_iter().map(|text| format!("step `{name}`: {text}")));
        }
        for (texts, what) in [(&self.expect, "expect"), (&self.questions, "questions")] {
            if texts.len() > TEXTS_MAX {
                wrong.push(format!("step `{name}`: `{what}` has at most {TEXTS_MAX} texts"));
            }
            for text in texts {
                bounded(text, what, TEXT_BYTES_MAX, wrong);
            }
        }
        bounded(&self.notes, "notes", NOTES_BYTES_MAX, wrong);
        for (duration, what) in [(self.pause, "pause"), (self.wait, "wait")] {
            if duration > PAUSE_MAX {
                let most = written::format_duration(PAUSE_MAX);
                wrong.push(format!("step `{name}`: `{what}` is at most {most}"));
            }
        }
        criteria(&self.criteria, steps, Within::Step, &format!("step `{name}`"), wrong);
    }
}

fn criteria(all: &[Criterion], steps: &[&str], within: Within, place: &str, wrong: &mut Vec<String>) {
    if all.len() > CRITERIA_MAX {
        wrong.push(format!("{place} has at most {CRITERIA_MAX} criteria"));
    }
    let mut seen = BTreeSet::new();
    for criterion in all {
        if criterion.name.trim().is_empty() || criterion.name.len() > 200 {
            wrong.push(format!("a criterion of {place} has a name of 1 to 200 bytes"));
        }
        if !seen.insert(&criterion.name) {
            wrong.push(format!("two criteria of {place} are called `{}`", criterion.name));
        }
        if let Err(error) = Compiled::new(&criterion.holds, steps, within) {
            wrong.push(format!("{place}, criterion `{}`: {error}", criterion.name));
        }
    }
}

fn bounded(text: &str, name: &str, max: usize, wrong: &mut Vec<String>) {
    if text.len() > max {
        wrong.push(format!("`{name}` has at most {max} bytes"));
    }
}

fn is_name(name: &str) -> bool {
    (1..=80).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

#[cfg(test)]
mod tests;
