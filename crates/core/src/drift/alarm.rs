//! Alarms that look at every value: evidence against "nothing changed" with a stated rate of false ones.

use super::reference::{Numbers, Reference, Values};
use super::window::expected_outside;
use crate::rng::Rng;
use crate::stats::sequential::{Betting, Conformal, Evidence, Form};

/// Bins of the conformal detector.
const BINS: usize = 32;

/// What looks at the values of one monitored name.
#[derive(Clone, Debug)]
pub struct Alarms {
    /// Ranks: numbers alone.
    conformal: Option<Conformal>,
    /// Rates of what is missing, and of what is outside of the reference.
    missing: Betting,
    outside: Option<Betting>,
}

impl Alarms {
    /// Detectors whose alarms are false once in `run_length` values at most, on average.
    pub fn new(reference: &Reference, run_length: f64) -> Alarms {
        let known = reference.count();
        let conformal = match &reference.values {
            Values::Number(numbers) => Some(Conformal::with_edges(edges(numbers), run_length)),
            Values::Category(_) | Values::Embedding(_) => None,
        };
        let outside = expected_outside(reference);
        Alarms {
            conformal,
            missing: Betting::against(reference.missing, reference.missing + known, run_length, Form::Sum),
            outside: outside.map(|(_, hits)| Betting::against(hits, known, run_length, Form::Sum)),
        }
    }

    /// Takes in a number: where it lies, and for hours of the week its place among its hour's, within `[0, 1)`.
    pub fn number(&mut self, value: f64, is_outside: bool, rng: &mut Rng) {
        if let Some(conformal) = &mut self.conformal {
            conformal.push(value, rng.unit());
        }
        self.there(is_outside);
    }

    /// Takes in a value that is there.
    pub fn there(&mut self, is_outside: bool) {
        self.missing.push(0.0);
        if let Some(outside) = &mut self.outside {
            outside.push(f64::from(u8::from(is_outside)));
        }
    }

    /// Takes in that a value was missing.
    pub fn missing(&mut self) {
        self.missing.push(1.0);
    }

    /// The evidence of each detector, with its name.
    pub fn evidence(&self) -> impl Iterator<Item = (&'static str, Evidence)> {
        let conformal = self.conformal.as_ref().map(|detector| ("conformal", detector.evidence()));
        let missing = Some(("missing", self.missing.evidence()));
        let outside = self.outside.as_ref().map(|detector| ("outside", detector.evidence()));
        [conformal, missing, outside].into_iter().flatten()
    }

    /// Begins anew: after an alarm.
    pub fn restart(&mut self) {
        if let Some(conformal) = &mut self.conformal {
            conformal.restart();
        }
        self.missing.restart();
        if let Some(outside) = &mut self.outside {
            outside.restart();
        }
    }
}

/// Edges of bins of about one size; of hours of the week, of one width, since values are places among their hour's.
fn edges(numbers: &Numbers) -> Vec<f64> {
    if !numbers.hours.is_empty() {
        return (1..BINS).map(|at| at as f64 / BINS as f64).collect();
    }
    let (counts, all) = (numbers.sketch.counts(), numbers.sketch.moments().count);
    let mut edges = Vec::with_capacity(BINS - 1);
    let mut below = 0;
    for (edge, count) in numbers.sketch.edges().iter().zip(counts) {
        below += count;
        if below * BINS as u64 >= all * (edges.len() as u64 + 1) {
            edges.push(*edge);
        }
    }
    edges
}

/// A number's place among those of its hour of the week, within `[0, 1)`: uniform where it is like them.
pub fn place(numbers: &Numbers, hour: usize, value: f64, rng: &mut Rng) -> Option<f64> {
    let expected = numbers.expected(hour)?;
    let bin = numbers.deciles.index(value);
    let all: f64 = expected.iter().sum();
    // Atoms come before intervals: any fixed order of the bins gives uniform places.
    let below: f64 = expected[..bin].iter().sum();
    Some((below + rng.unit() * expected[bin]) / all.max(1.0))
}
