//! A run of an experiment as it rests and as the API tells of it.

use serde::{Deserialize, Serialize};

use super::experiment::{Design, Experiment};
use super::verdict::Assessment;
use crate::event::{Word, written};
use crate::stats::LogHistogram;
use crate::time::Time;

/// Where a run is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Both arms are watched, without a fault.
    LeadIn,
    /// The fault is in force. A run rests in this phase before the injector hears of it.
    Injecting,
    /// The fault was taken away, and all has to be well again.
    Recovering,
    /// It is over, and judged.
    Ended,
}

impl Phase {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::LeadIn => "lead_in",
            Phase::Injecting => "injecting",
            Phase::Recovering => "recovering",
            Phase::Ended => "ended",
        }
    }
}

/// A line of a run's journal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Line {
    /// When.
    #[serde(with = "written")]
    pub at: Time,
    /// Which kind of thing, such as `phase`, `inject`, `withdraw`, `stop`, `incident`, `note`.
    pub what: Word,
    /// What, in words.
    pub text: String,
}

/// Why a run was ended before its course was.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Stopped {
    /// When.
    #[serde(with = "written")]
    pub at: Time,
    /// In a word: `asked`, `halt`, `burn_rate`, `errors`, `guard`, `silent`, `incident`, `window`, `config`, `holder_lost`,
    /// `lease_lost`, `restart`, `steady_state`.
    pub reason: Word,
    /// In words.
    pub text: String,
    /// Who or what stopped it.
    pub by: String,
}

/// Figures of both arms over a stretch of time; control first.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Slice {
    /// Its start.
    #[serde(with = "written")]
    pub at: Time,
    /// Its length, in seconds.
    pub seconds: u32,
    /// The phase that it is of.
    pub phase: Phase,
    /// Requests that ended.
    pub requests: [u64; 2],
    /// Those that met the fault, of the experiment's arm.
    pub injected: u64,
    /// Those that nobody answered.
    pub unanswered: [u64; 2],
    /// Answered ones by level.
    pub levels: [[u64; 5]; 2],
    /// Those that met the fault and were answered, by level.
    pub injected_levels: [u64; 5],
    /// The latency's histogram, as [`write_latency`] writes it.
    pub latency: [String; 2],
    /// Requests that a cap spared.
    pub spared: u64,
    /// Requests that the load generator sent, and those that it could not.
    pub sent: [u64; 2],
}

/// A histogram as a slice holds it: the bytes of [`LogHistogram::to_bytes`] in hexadecimal digits.
pub fn write_latency(histogram: &LogHistogram) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).expect("half a byte is one digit");
    histogram.to_bytes().iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// From what [`write_latency`] wrote; `None` for anything else.
pub fn read_latency(text: &str) -> Option<LogHistogram> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|[high, low]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()).collect();
    LogHistogram::from_bytes(&bytes.filter(|_| rest.is_empty())?)
}

/// A run of an experiment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Its id, such as `EXP-2026-0001`.
    pub id: String,
    /// The experiment, as it was when it was run.
    pub experiment: Experiment,
    /// The hash of that plan, which an approval is bound to.
    pub plan: String,
    /// How the arms come about.
    pub design: Design,
    /// Decides who is in which arm.
    pub seed: u64,
    /// The number of its order to the injector.
    pub generation: u64,
    /// Who runs it.
    pub by: String,
    /// The game day that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gameday: Option<String>,
    /// How long a client that holds it may be silent, in seconds; absent: nobody holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_s: Option<u32>,
    /// Where it is.
    pub phase: Phase,
    /// When it was started.
    #[serde(with = "written")]
    pub started: Time,
    /// When the fault came into force.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "written::optional")]
    pub injected: Option<Time>,
    /// When the fault was taken away.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "written::optional")]
    pub withdrawn: Option<Time>,
    /// When the injector said that nothing is injected any more.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "written::optional")]
    pub quiet: Option<Time>,
    /// When all was well again.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "written::optional")]
    pub recovered: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "written::optional")]
    pub ended: Option<Time>,
    /// Why it was ended early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
    /// What happened, in order.
    pub journal: Vec<Line>,
    /// What was counted, in order.
    pub slices: Vec<Slice>,
    /// What it showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assessment: Option<Assessment>,
}

/// Somebody's yes to one plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Approval {
    /// The experiment.
    pub experiment: String,
    /// The hash of the plan that was approved.
    pub plan: String,
    /// Who.
    pub by: String,
    /// When.
    #[serde(with = "written")]
    pub at: Time,
    /// Until when it counts.
    #[serde(with = "written")]
    pub until: Time,
}

/// Whether nothing may be injected, and who said so last.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Halt {
    /// Nothing may be injected.
    pub halted: bool,
    /// Who said so.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    #[serde(with = "written")]
    pub at: Time,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_latency_reads_as_it_was_written() {
        let mut histogram = LogHistogram::new();
        assert_eq!(write_latency(&histogram), "");
        for ms in [1, 20, 20, 3_000] {
            histogram.record(Duration::from_millis(ms));
        }
        assert_eq!(read_latency(&write_latency(&histogram)), Some(histogram));
        assert_eq!(read_latency(""), Some(LogHistogram::new()));
        for wrong in ["0", "zz", "00", "ffffffffffff", "é"] {
            assert_eq!(read_latency(wrong), None, "{wrong}");
        }
    }
}
