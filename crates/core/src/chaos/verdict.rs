//! What an experiment showed.

use serde::{Deserialize, Serialize};

/// The word for what an experiment showed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The experiment's arm is no worse than its control by more than the margin.
    Tolerated,
    /// It is worse, and within the margin.
    Degraded,
    /// It is worse by more than the margin.
    Violated,
    /// Too little was seen to tell.
    Inconclusive,
    /// The fault did not reach its dose, or the arms were not alike.
    Invalid,
    /// It was stopped.
    Aborted,
    /// The fault was taken away and all was not well again.
    NotRecovered,
}

impl Verdict {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Tolerated => "tolerated",
            Verdict::Degraded => "degraded",
            Verdict::Violated => "violated",
            Verdict::Inconclusive => "inconclusive",
            Verdict::Invalid => "invalid",
            Verdict::Aborted => "aborted",
            Verdict::NotRecovered => "not_recovered",
        }
    }
}

/// A figure in both arms.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Compared {
    /// In the control.
    pub control: f64,
    /// In the experiment's arm.
    pub experiment: f64,
    /// The difference, or for latencies the ratio.
    pub effect: f64,
    /// The lower end of its one-sided 95 % interval.
    pub low: f64,
    /// The upper end of its one-sided 95 % interval.
    pub high: f64,
    /// What is tolerated.
    pub margin: f64,
}

/// What was planned and what was done.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Dose {
    /// The planned share of the arm's requests.
    pub planned: f64,
    /// Requests of the arm.
    pub eligible: u64,
    /// Those that met the fault.
    pub injected: u64,
    /// The lower end of the 99.9 % interval of the share.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// Requests that a cap spared.
    pub spared: u64,
    /// Whether what was done is what was planned.
    pub held: bool,
}

/// Whether as many requests came to each arm as should.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Assignment {
    /// Requests of the control.
    pub control: u64,
    /// Requests of the experiment's arm.
    pub experiment: u64,
    /// How likely a split at least as uneven is by chance (chi-square).
    pub p_value: f64,
    /// Whether it is likely enough: above 0.0005.
    pub held: bool,
}

/// A check that either holds or does not.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Check {
    /// What is checked.
    pub name: String,
    /// Whether it holds; `None`: nothing was seen that would tell.
    pub held: Option<bool>,
    /// What was measured.
    pub measured: String,
}

/// All that an experiment showed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Assessment {
    /// In a word.
    pub verdict: Verdict,
    /// Why, in a sentence.
    pub reason: String,
    /// Unanswered requests, as a share.
    pub errors: Option<Compared>,
    /// The 99 % quantile of the latency, in seconds.
    pub p99: Option<Compared>,
    /// Planned and done.
    pub dose: Option<Dose>,
    /// The arms' sizes.
    pub assignment: Option<Assignment>,
    /// The mission's three checks, what was expected, and the test of the instrument before.
    pub checks: Vec<Check>,
    /// What to do about it.
    pub recommendations: Vec<String>,
}
