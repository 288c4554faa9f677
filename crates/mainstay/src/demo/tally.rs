//! What the callers saw, counted.

use std::time::Duration;

use mainstay_core::route::{Class, Level};

use super::script::PHASES;

/// What became of one request, as its caller saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sample {
    /// Index of the phase in which it was due.
    pub(super) phase: usize,
    /// Whether it was due in the last two fifths of the phase, when things have settled, but not at its very end, when
    /// the next phase may meet it under way.
    pub(super) late: bool,
    pub(super) class: Class,
    /// From the moment it was due.
    pub(super) latency: Duration,
    pub(super) outcome: Outcome,
}

/// Answered or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// At this level; `right` compares the prediction with what the tumour turned out to be, where there is one.
    Answered {
        level: Level,
        right: Option<bool>,
    },
    Unanswered(Why),
}

/// Why a caller got no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Why {
    /// 429.
    Shed,
    /// 5xx, or an answer that breaks the contract.
    Error,
    /// The caller's patience ended.
    Timeout,
    /// No connection, or it broke.
    Transport,
}

/// Counts by phase and class.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    cells: [[Cell; Class::COUNT]; PHASES.len()],
    /// Right and judged predictions by level.
    pub(super) right: [Judged; Level::COUNT],
}

/// How many predictions were compared with the truth, and how many were right.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Judged {
    pub(super) right: u64,
    pub(super) judged: u64,
}

/// One phase and class, or a sum of several.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    /// Answers by level.
    pub(super) by_level: [u64; Level::COUNT],
    /// Answers by level, of the late requests.
    pub(super) late_by_level: [u64; Level::COUNT],
    pub(super) shed: u64,
    pub(super) errors: u64,
    pub(super) timeouts: u64,
    pub(super) transport: u64,
    latencies: Vec<Duration>,
}

impl Tally {
    /// Counts a finished task; one that died is a caller without an answer, but nobody knows whose it was, so it is
    /// put where it hurts: into class 0.
    pub(super) fn count_finished(&mut self, sample: Option<Sample>) {
        match sample {
            Some(sample) => self.count(&sample),
            None => self.cells[0][Class::BEST.index()].transport += 1,
        }
    }

    /// Counts one request.
    pub(super) fn count(&mut self, sample: &Sample) {
        if let Outcome::Answered { level, right: Some(right) } = sample.outcome {
            self.right[level.index()].judged += 1;
            self.right[level.index()].right += u64::from(right);
        }
        self.cells[sample.phase][sample.class.index()].count(sample);
    }

    /// Everything sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.cells.iter().flatten().map(Cell::sent).sum()
    }

    /// Everything so far that got no answer.
    pub(super) fn unanswered(&self) -> u64 {
        self.cells.iter().flatten().map(Cell::unanswered).sum()
    }

    /// One phase and class.
    pub(super) fn cell(&self, phase: usize, class: Class) -> &Cell {
        &self.cells[phase][class.index()]
    }

    /// All classes of a phase.
    pub(super) fn phase(&self, phase: usize) -> Cell {
        self.cells[phase].iter().fold(Cell::default(), Cell::plus)
    }

    /// All phases of a class.
    pub(super) fn class(&self, class: Class) -> Cell {
        self.cells.iter().map(|phase| &phase[class.index()]).fold(Cell::default(), Cell::plus)
    }

    /// Everything.
    pub(super) fn total(&self) -> Cell {
        self.cells.iter().flatten().fold(Cell::default(), Cell::plus)
    }
}

impl Cell {
    fn count(&mut self, sample: &Sample) {
        match sample.outcome {
            Outcome::Answered { level, .. } => {
                self.by_level[level.index()] += 1;
                self.late_by_level[level.index()] += u64::from(sample.late);
                self.latencies.push(sample.latency);
            }
            Outcome::Unanswered(Why::Shed) => self.shed += 1,
            Outcome::Unanswered(Why::Error) => self.errors += 1,
            Outcome::Unanswered(Why::Timeout) => self.timeouts += 1,
            Outcome::Unanswered(Why::Transport) => self.transport += 1,
        }
    }

    fn plus(mut self, other: &Cell) -> Cell {
        for level in 0..Level::COUNT {
            self.by_level[level] += other.by_level[level];
            self.late_by_level[level] += other.late_by_level[level];
        }
        self.shed += other.shed;
        self.errors += other.errors;
        self.timeouts += other.timeouts;
        self.transport += other.transport;
        self.latencies.extend_from_slice(&other.latencies);
        self
    }

    pub(super) fn answered(&self) -> u64 {
        self.by_level.iter().sum()
    }

    pub(super) fn unanswered(&self) -> u64 {
        self.shed + self.errors + self.timeouts + self.transport
    }

    pub(super) fn sent(&self) -> u64 {
        self.answered() + self.unanswered()
    }

    /// Of everything sent, the share that got full service; `None` where nothing was sent.
    pub(super) fn full_service(&self) -> Option<f64> {
        ratio(self.by_level[Level::FULL.index()], self.sent())
    }

    /// Of the late answers, the share from `level` or deeper; `None` where there were none.
    pub(super) fn late_at_or_below(&self, level: Level) -> Option<f64> {
        ratio(self.late_by_level[level.index()..].iter().sum(), self.late_by_level.iter().sum())
    }

    /// The latency that the share `q` of the answers did not exceed; `None` without answers.
    pub(super) fn latency(&self, q: f64) -> Option<Duration> {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let rank = (q * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied()
    }
}

/// A share, where there is a whole.
pub(super) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
