//! What each type of incident looks like, and what is done about it: data, in `signatures.json`.
//!
//! A type is ranked by what is seen and what is not. Each signal has two shares: how often it fires in an incident of the type, and how
//! often it does otherwise. They are our judgement, not counts; what they give is an order, shown with its reasons. As in naive Bayes,
//! the score of a type is
//!
//! ```text
//! score = sum over its signals of   ln(often / otherwise)               where it fired
//!                                   ln((1 - often) / (1 - otherwise))   where it did not
//! ```
//!
//! and its probability is `exp(score)` by the sum of that over all types, so that equal evidence is equal odds.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::fact;
use crate::incident::kind::Severity;
use crate::incident::record::{EVIDENCE_MAX, Held, Ranked, Sign};
use crate::plan::TypeTerms;

/// The type of what no other type explains.
pub const UNCLASSIFIED: &str = "unclassified";
/// The label by which an alert from elsewhere names a type.
pub const TYPE_LABEL: &str = "incident_type";
/// How often an alert names the type, with the type and without.
const NAMED: (f64, f64) = (0.3, 0.001);
/// How often a signal that a config adds fires, with the type and without.
const ADDED: (f64, f64) = (0.8, 0.05);

/// A type of incident.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Its name.
    pub kind: String,
    /// Its name for people.
    pub title: String,
    /// What it is.
    pub about: String,
    /// The severity that it has at least.
    #[serde(default)]
    pub severity: Option<Severity>,
    /// What it shows itself by.
    pub signals: Vec<Signal>,
    /// What it is usually caused by.
    pub causes: Vec<String>,
    /// What to do at once.
    pub actions: Vec<Immediate>,
    /// How to find the cause.
    pub steps: Vec<String>,
    /// Who is told, and who next, where the config says nothing: roles.
    pub escalation: Vec<String>,
    /// What a review asks.
    pub questions: Vec<String>,
    /// What may prevent it.
    pub prevention: Vec<String>,
}

/// Something that a type shows itself by.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signal {
    /// Its name within the type.
    pub name: String,
    /// A line for people.
    pub text: String,
    /// It fires where one of these holds.
    pub any: Vec<Condition>,
    /// The share of incidents of the type in which it fires, within (0, 1).
    pub often: f64,
    /// The share of other incidents in which it does, within (0, 1).
    pub otherwise: f64,
    /// Whether it opens an incident.
    #[serde(default)]
    pub opens: Opens,
}

/// Whether a signal opens an incident.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Opens {
    /// It does not.
    #[default]
    No,
    /// When it has lasted.
    Held,
    /// As it fires.
    AtOnce,
}

/// What a fact must be.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Its kind.
    pub fact: String,
    /// Labels that it must carry: one of the values each.
    #[serde(default)]
    pub with: BTreeMap<String, Vec<String>>,
}

/// Something to do at once.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Immediate {
    /// What, for people.
    pub text: String,
    /// What mainstay itself can do of it, by the word of the action.
    #[serde(default)]
    pub action: Option<String>,
    /// The level, of an action that pins one.
    #[serde(default)]
    pub level: Option<u8>,
}

impl Condition {
    /// Whether a fact is what it must be.
    pub fn holds(&self, kind: &str, labels: &BTreeMap<String, String>) -> bool {
        self.fact == kind
            && self.with.iter().all(|(name, values)| labels.get(name).is_some_and(|label| values.contains(label)))
    }
}

impl Signal {
    fn holds(&self, kind: &str, labels: &BTreeMap<String, String>) -> bool {
        self.any.iter().any(|condition| condition.holds(kind, labels))
    }
}

impl Signature {
    /// Whether it has something to say about a fact.
    pub fn explains(&self, kind: &str, labels: &BTreeMap<String, String>) -> bool {
        self.signals.iter().any(|signal| signal.holds(kind, labels))
    }

    /// Whether a fact opens an incident of this type.
    pub fn opens(&self, kind: &str, labels: &BTreeMap<String, String>) -> Opens {
        let of = self.signals.iter().filter(|signal| signal.holds(kind, labels)).map(|signal| signal.opens);
        of.max().unwrap_or_default()
    }

    fn rank(&self, facts: &[Held]) -> Ranked {
        let (mut fired, mut silent, mut score) = (Vec::new(), Vec::new(), 0.0);
        for signal in &self.signals {
            let of = facts.iter().filter(|held| !fact::is_experiment(&held.fact, &held.labels));
            let of = of.filter(|held| signal.holds(&held.fact, &held.labels));
            let evidence: Vec<String> = of.map(|held| held.key.clone()).take(EVIDENCE_MAX).collect();
            let weight = if evidence.is_empty() {
                ((1.0 - signal.often) / (1.0 - signal.otherwise)).ln()
            } else {
                (signal.often / signal.otherwise).ln()
            };
            score += weight;
            let to = if evidence.is_empty() { &mut silent } else { &mut fired };
            to.push(Sign { name: signal.name.clone(), text: signal.text.clone(), weight, evidence });
        }
        Ranked { kind: self.kind.clone(), title: self.title.clone(), score, probability: 0.0, fired, silent }
    }
}

/// All types that a service knows.
#[derive(Clone, PartialEq, Debug)]
pub struct Catalogue {
    types: Vec<Signature>,
}

static KNOWN: LazyLock<Vec<Signature>> =
    LazyLock::new(|| serde_json::from_str(include_str!("signatures.json")).expect("the file is tested"));

impl Default for Catalogue {
    fn default() -> Catalogue {
        let mut types = KNOWN.clone();
        for it in types.iter_mut().filter(|it| it.kind != UNCLASSIFIED) {
            it.signals.push(named(&it.kind));
        }
        Catalogue { types }
    }
}

/// The signal that an alert from elsewhere names the type itself, by its label [`TYPE_LABEL`].
fn named(kind: &str) -> Signal {
    let with = BTreeMap::from([(TYPE_LABEL.to_owned(), vec![kind.to_owned()])]);
    Signal {
        name: "named".to_owned(),
        text: "an alert from elsewhere names this type".to_owned(),
        any: vec![Condition { fact: fact::ALERT.to_owned(), with }],
        often: NAMED.0,
        otherwise: NAMED.1,
        opens: Opens::AtOnce,
    }
}

impl Catalogue {
    /// What mainstay knows, and what a config adds to it.
    pub fn with(terms: &BTreeMap<String, TypeTerms>) -> Catalogue {
        let mut catalogue = Catalogue::default();
        for (name, terms) in terms {
            let place = catalogue.types.iter().position(|it| it.kind == *name).unwrap_or_else(|| {
                // Before the last: that is the one which explains what no other does.
                let at = catalogue.types.len() - 1;
                catalogue.types.insert(at, empty(name));
                at
            });
            add(&mut catalogue.types[place], terms);
        }
        catalogue
    }

    /// The types.
    pub fn types(&self) -> &[Signature] {
        &self.types
    }

    /// A type by its name.
    pub fn get(&self, kind: &str) -> Option<&Signature> {
        self.types.iter().find(|it| it.kind == kind)
    }

    /// Types by evidence, the best first. What nobody explains is unclassified.
    pub fn rank(&self, facts: &[Held]) -> Vec<Ranked> {
        let mut ranked: Vec<Ranked> = self.types.iter().map(|it| it.rank(facts)).collect();
        ranked.retain(|it| !it.fired.is_empty());
        if ranked.len() > 1 && ranked.iter().any(|it| it.kind != UNCLASSIFIED) {
            ranked.retain(|it| it.kind != UNCLASSIFIED);
        }
        ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
        let top = ranked.first().map_or(0.0, |it| it.score);
        let sum: f64 = ranked.iter().map(|it| (it.score - top).exp()).sum();
        for it in &mut ranked {
            it.probability = (it.score - top).exp() / sum;
        }
        ranked
    }

    /// Whether one type has something to say about all of these facts.
    pub fn explain(&self, facts: &[(&str, &BTreeMap<String, String>)]) -> bool {
        self.types.iter().any(|it| facts.iter().all(|(kind, labels)| it.explains(kind, labels)))
    }

    /// Whether a fact opens an incident.
    pub fn opens(&self, kind: &str, labels: &BTreeMap<String, String>) -> Opens {
        self.types.iter().map(|it| it.opens(kind, labels)).max().unwrap_or_default()
    }
}

fn empty(name: &str) -> Signature {
    Signature {
        kind: name.to_owned(),
        title: name.replace(['_', '-'], " "),
        about: String::new(),
        severity: None,
        signals: vec![named(name)],
        causes: Vec::new(),
        actions: Vec::new(),
        steps: Vec::new(),
        escalation: vec!["engineering on call".to_owned()],
        questions: Vec::new(),
        prevention: Vec::new(),
    }
}

fn add(to: &mut Signature, terms: &TypeTerms) {
    if let Some(title) = &terms.title {
        to.title.clone_from(title);
    }
    to.severity = terms.severity.or(to.severity);
    for signal in &terms.signals {
        let condition = Condition { fact: signal.fact.clone(), with: signal.with.clone() };
        to.signals.push(Signal {
            name: signal.name.clone(),
            text: signal.name.replace(['_', '-'], " "),
            any: vec![condition],
            often: ADDED.0,
            otherwise: ADDED.1,
            // What another system reports has lasted there already.
            opens: match (signal.opens, signal.fact == fact::ALERT) {
                (false, _) => Opens::No,
                (true, true) => Opens::AtOnce,
                (true, false) => Opens::Held,
            },
        });
    }
    to.causes.extend(terms.causes.iter().cloned());
    to.steps.extend(terms.steps.iter().cloned());
    to.questions.extend(terms.questions.iter().cloned());
    to.prevention.extend(terms.prevention.iter().cloned());
}
