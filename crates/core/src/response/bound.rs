//! Which of what is posted from outside is beyond its bound.
//!
//! A name goes beyond where all of its interval does: a few values that happen to be bad are no news. It comes back where the estimate
//! itself is back, so that one which stays about its bound does not go to and fro. What nothing is known of stays as it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::EventKind;
use crate::plan::Bound;
use crate::quality::Estimate;

/// The share of labels that the model's own output brought about.
pub const LABEL_CAUSED: &str = "label_caused";
/// How unevenly exposure is spread over items.
pub const EXPOSURE_GINI: &str = "exposure_gini";
/// How closely exposure follows the score.
pub const EXPOSURE_SCORE_CORRELATION: &str = "exposure_score_correlation";
/// How much more is clicked with the model than in the arm for which it does not choose.
pub const CLICK_THROUGH_AGAINST_HOLDOUT: &str = "click_through_against_holdout";

/// Above it most labels are the model's own echo.
pub const LABEL_CAUSED_MOST: f64 = 0.5;
/// As uneven as where a tenth of the items share all exposure.
pub const EXPOSURE_GINI_MOST: f64 = 0.9;
/// A good model shows what scores well; from here on the score explains half of what is shown (0.7 squared), and little new is learned.
pub const EXPOSURE_SCORE_CORRELATION_MOST: f64 = 0.7;
/// Below it users do better without the model.
pub const CLICK_THROUGH_AGAINST_HOLDOUT_LEAST: f64 = 0.0;

/// Measures of feedback loops: the bound that each has unless the config gives it another, and between what it lies.
pub const MEASURES: [(&str, Bound, (f64, f64)); 4] = [
    (LABEL_CAUSED, Bound::Above(LABEL_CAUSED_MOST), (0.0, 1.0)),
    (EXPOSURE_GINI, Bound::Above(EXPOSURE_GINI_MOST), (0.0, 1.0)),
    (EXPOSURE_SCORE_CORRELATION, Bound::Above(EXPOSURE_SCORE_CORRELATION_MOST), (-1.0, 1.0)),
    (CLICK_THROUGH_AGAINST_HOLDOUT, Bound::Below(CLICK_THROUGH_AGAINST_HOLDOUT_LEAST), (-1.0, 1.0)),
];

/// The word of a name that is within its bound.
const WITHIN: &str = "within";
/// The word of one that is beyond.
const BEYOND: &str = "beyond";

impl Bound {
    /// The bound itself.
    pub const fn value(self) -> f64 {
        match self {
            Bound::Above(value) | Bound::Below(value) => value,
        }
    }

    /// Whether all that an estimate may be is beyond it.
    pub fn is_crossed(self, estimate: &Estimate) -> bool {
        match self {
            Bound::Above(most) => estimate.interval.low > most,
            Bound::Below(least) => estimate.interval.high < least,
        }
    }

    /// Whether a value is within it.
    pub fn holds(self, value: f64) -> bool {
        match self {
            Bound::Above(most) => value <= most,
            Bound::Below(least) => value >= least,
        }
    }
}

/// Where a name was when it was last told of.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Crossed {
    /// Its value.
    pub value: f64,
    /// The bound that it was beyond.
    pub bound: f64,
}

/// All bounds, and what is beyond them.
#[derive(Clone, PartialEq, Debug)]
pub struct Watch {
    bounds: BTreeMap<String, Bound>,
    beyond: BTreeMap<String, Crossed>,
}

impl Default for Watch {
    /// The bounds of the measures, and nothing beyond them.
    fn default() -> Watch {
        let mut watch = Watch { bounds: BTreeMap::new(), beyond: BTreeMap::new() };
        watch.set_bounds(&BTreeMap::new());
        watch
    }
}

impl Watch {
    /// Goes by these bounds, and by those of the measures that they do not name.
    pub fn set_bounds(&mut self, bounds: &BTreeMap<String, Bound>) {
        self.bounds = MEASURES.iter().map(|(name, bound, _)| ((*name).to_owned(), *bound)).collect();
        self.bounds.extend(bounds.iter().map(|(name, bound)| (name.clone(), *bound)));
    }

    /// What is beyond its bound, by name: what must rest.
    pub const fn beyond(&self) -> &BTreeMap<String, Crossed> {
        &self.beyond
    }

    /// Puts back what rested.
    pub fn restore(&mut self, beyond: BTreeMap<String, Crossed>) {
        self.beyond = beyond;
    }

    /// Compares every name that has a bound with it, and tells what went beyond and what came back. A name that has no bound any more is
    /// within.
    pub fn judge(&mut self, estimate: impl Fn(&str) -> Option<Estimate>) -> Vec<EventKind> {
        let mut news = Vec::new();
        let bounds = &self.bounds;
        self.beyond.retain(|name, crossed| {
            let (value, bound) = match (bounds.get(name), estimate(name)) {
                (None, seen) => (seen.map_or(crossed.value, |seen| seen.value), crossed.bound),
                (Some(bound), Some(seen)) if bound.holds(seen.value) => (seen.value, bound.value()),
                (Some(_), _) => return true,
            };
            news.push(changed(name, BEYOND, WITHIN, value, bound));
            false
        });
        for (name, bound) in &self.bounds {
            let crossed = estimate(name).filter(|seen| bound.is_crossed(seen));
            let Some(seen) = crossed.filter(|_| !self.beyond.contains_key(name)) else { continue };
            news.push(changed(name, WITHIN, BEYOND, seen.value, bound.value()));
            self.beyond.insert(name.clone(), Crossed { value: seen.value, bound: bound.value() });
        }
        news
    }
}

fn changed(name: &str, from: &'static str, to: &'static str, value: f64, bound: f64) -> EventKind {
    EventKind::SignalChanged { name: name.to_owned(), from: from.into(), to: to.into(), value, bound }
}
