//! What happened, in lines.

use std::fmt;
use std::time::Duration;

use mainstay_core::time::Time;

/// Most lines that are kept.
const LINES_MAX: usize = 2_000;

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// From the drill's start.
    pub at: Duration,
    /// What.
    pub text: String,
}

pub(crate) struct Transcript {
    pub(crate) lines: Vec<Line>,
    pub(crate) untold: u64,
    /// Later things are not told.
    end: Time,
}

impl Transcript {
    pub(crate) const fn new(end: Time) -> Transcript {
        Transcript { lines: Vec::new(), untold: 0, end }
    }

    pub(crate) fn tell(&mut self, at: Time, text: String) {
        if at > self.end {
            return;
        }
        if self.lines.len() < LINES_MAX {
            self.lines.push(Line { at: at.since(crate::world::START), text });
        } else {
            self.untold += 1;
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12.3} s  {}", self.at.as_secs_f64(), self.text)
    }
}
