//! Who is told, and who next, until somebody has it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Whom a step tells.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Whoever is on call by a schedule at the moment of the step.
    Schedule(String),
    /// A person.
    Person(String),
    /// A channel, whoever reads it.
    Channel(String),
}

/// One step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// How long after the step before; of the first: after the incident was found.
    #[serde(rename = "after_s", with = "secs")]
    pub after: Duration,
    /// Whom it tells, all at once.
    pub tell: Vec<Target>,
}

/// Steps in order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// The steps; at least one.
    pub steps: Vec<Step>,
    /// How often all steps are gone through again where nobody answers; each round starts after the first step's delay, but at
    /// least [`ROUND_MIN`].
    pub repeat: u32,
}

/// The shortest wait before the steps are gone through again.
pub const ROUND_MIN: Duration = Duration::from_mins(1);

mod secs {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(duration.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_secs)
    }
}
