//! The shape of a scenario: each key, and what it takes.

use mainstay_core::chaos::gameday::Role;

use super::Chosen;
use crate::read::{List, Text, choice, section};
use crate::span::Span;
use crate::values::Dur;

section! {
    /// A scenario of a game day.
    Scenario = "a scenario" {
        /// Its name: letters, digits, `-` and `_`.
        name: Text,
        /// What it is about, in a line.
        title: Text,
        /// What is to be learned.
        purpose: Text,
        /// Who takes part.
        participants: List<Participant>,
        /// What happens, in order.
        steps: List<Step>,
        /// What must hold of the whole day.
        criteria: List<Criterion>,
        /// Free text for whoever talks it through.
        notes: Text,
    }
}

section! {
    /// Somebody who takes part.
    Participant = "a participant" {
        /// As what.
        role (required): RoleName,
        /// Who.
        name (required): Text,
    }
}

choice! {
    /// What somebody does on a game day.
    RoleName = "a role" {
        "facilitator" => Role::Facilitator,
        "incident_commander" => Role::IncidentCommander,
        "driver" => Role::Driver,
        "observer" => Role::Observer,
        "on_call" => Role::OnCall,
        "safety_officer" => Role::SafetyOfficer,
    } -> Role
}

section! {
    /// A step: one experiment.
    Step = "a step" {
        /// Its name, where it is another than the experiment's.
        name: Text,
        /// The experiment, by its name or in full.
        experiment (required): Chosen,
        /// What should happen, and what people should do.
        expect: List<Text>,
        /// What is asked when it is talked through.
        questions: List<Text>,
        /// What must hold of it.
        criteria: List<Criterion>,
        /// How long nothing happens before. Default: 0s.
        pause: Dur,
        /// How long it may wait until its experiment may start. Default: 10m.
        wait: Dur,
        /// Free text for whoever talks it through.
        notes: Text,
    }
}

section! {
    /// What must hold.
    Criterion = "a criterion" {
        /// What it is about, in a line.
        name (required): Text,
        /// The condition: CEL over measured facts.
        holds (required): Text,
    }
}

/// A step's name, its own or its experiment's, and where it stands.
pub(super) fn name(step: &Step) -> Option<(String, Span)> {
    let of_experiment = || step.experiment.as_ref().map(|it| (it.value.name().to_owned(), it.span));
    step.name.as_ref().map(|it| (it.value.clone(), it.span)).or_else(of_experiment)
}
