//! A notice on its way: kept until it arrived, was given up, or is void.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::written;
use crate::incident::notice::Notice;
use crate::rng::Rng;
use crate::time::Time;

/// The longest wait before the second try; it doubles from there.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// A notice on its way. Its id is the key by which a receiver tells repetitions.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Delivery {
    /// The incident's id, a hyphen, and a number that never returns.
    pub id: String,
    /// By which channel.
    pub channel: String,
    /// What is said.
    pub notice: Notice,
    /// How far it is.
    pub state: State,
    /// Tries so far.
    pub attempts: u32,
    /// When it was made.
    #[serde(with = "written")]
    pub made: Time,
    /// When it is tried next.
    #[serde(with = "written")]
    pub next: Time,
    /// When it is given up.
    #[serde(with = "written")]
    pub deadline: Time,
    /// When it came to its end.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "written::optional")]
    pub ended: Option<Time>,
    /// The receiver's own id for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Why the last try failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The delivery that it stands in for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<String>,
    /// Channels that are tried after this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
}

/// How far a delivery is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It waits for a try, or is being tried.
    Pending,
    /// It arrived.
    Delivered,
    /// It was given up.
    Dead,
    /// Nobody needs it any more.
    Cancelled,
}

impl State {
    /// The word at rest.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Delivered => "delivered",
            State::Dead => "dead",
            State::Cancelled => "cancelled",
        }
    }
}

/// What came of a try.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It arrived.
    Delivered {
        /// The receiver's own id for it.
        provider: Option<String>,
    },
    /// It may arrive later.
    Later {
        /// How long the receiver asks to wait.
        after: Option<Duration>,
        /// Why.
        why: String,
    },
    /// It never will.
    Refused {
        /// Why.
        why: String,
    },
}

/// How long to wait after a number of tries: at random, so that many do not come at once, up to a bound that doubles (full jitter, as
/// Amazon's builders' library describes it), and at least what the receiver asks for.
pub fn wait(attempts: u32, asked: Option<Duration>, rng: &mut Rng) -> Duration {
    let most = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1))).min(LONGEST_WAIT);
    let drawn = most.mul_f64(rng.unit()).max(Duration::from_millis(100));
    drawn.max(asked.unwrap_or_default())
}
