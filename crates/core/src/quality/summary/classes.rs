//! Decisions of several classes, of which only so many are told apart.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::quality::confusion::Classes;

/// Classes that are told apart; those that come later are the others.
pub(super) const CLASSES_MAX: usize = 50;

/// The place of all other classes.
const OTHERS: u8 = u8::MAX;

/// Decisions as they rest: what is true, what was said, and how many; null is any other class.
type Rested = Vec<(Option<String>, Option<String>, f64)>;

/// Decisions by truth and what was said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Rested", into = "Rested")]
pub(super) struct Decisions {
    /// By class its place.
    places: BTreeMap<String, u8>,
    cells: BTreeMap<(u8, u8), f64>,
}

impl From<Rested> for Decisions {
    fn from(rested: Rested) -> Decisions {
        let mut all = Decisions::default();
        for (truth, said, weight) in rested {
            all.decide(truth.as_deref(), said.as_deref(), weight);
        }
        all
    }
}

impl From<Decisions> for Rested {
    fn from(all: Decisions) -> Rested {
        all.named().map(|(truth, said, weight)| (truth.map(str::to_owned), said.map(str::to_owned), weight)).collect()
    }
}

impl Decisions {
    /// Whether nothing was decided.
    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    fn place(&mut self, class: Option<&str>) -> u8 {
        let Some(class) = class else { return OTHERS };
        if let Some(place) = self.places.get(class) {
            return *place;
        }
        let next = self.places.len();
        if next >= CLASSES_MAX {
            return OTHERS;
        }
        self.places.insert(class.to_owned(), next as u8);
        next as u8
    }

    /// Counts a decision; `None` is a class that is not told apart.
    pub(super) fn decide(&mut self, truth: Option<&str>, said: Option<&str>, weight: f64) {
        let key = (self.place(truth), self.place(said));
        *self.cells.entry(key).or_default() += weight;
    }

    fn named(&self) -> impl Iterator<Item = (Option<&str>, Option<&str>, f64)> {
        let mut names = vec![""; self.places.len()];
        self.places.iter().for_each(|(name, place)| names[usize::from(*place)] = name);
        self.cells.iter().map(move |((truth, said), weight)| {
            let name = |place: &u8| names.get(usize::from(*place)).copied();
            (name(truth), name(said), *weight)
        })
    }

    /// Takes in what another saw.
    pub(super) fn merge(&mut self, other: &Decisions) {
        for (truth, said, weight) in other.named() {
            self.decide(truth, said, weight);
        }
    }

    /// All decisions: the classes that are told apart, and the others last.
    pub(super) fn confusion(&self, worth: f64) -> Classes {
        let told = self.places.len();
        let mut cells = vec![vec![0.0; told + 1]; told + 1];
        for ((truth, said), weight) in &self.cells {
            cells[usize::from(*truth).min(told)][usize::from(*said).min(told)] += weight;
        }
        Classes { cells, told, worth }
    }
}
