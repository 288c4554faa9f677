//! The desk: takes facts in, groups them into incidents, tells people, acts, and remembers.
//!
//! ```text
//! facts --> grouped into incidents --> type, severity --> escalation --> deliveries
//!              ^                            |
//!   what people say (take it, note, ...)    `--> actions --> their end, their undoing
//! ```
//!
//! The desk decides, and nothing more: a shell stores what [`Desk::take_changes`] gives before anybody hears of it, and then does what
//! waits. A clone is a whole desk, so that a decision which cannot be stored is simply not kept.

mod acting;
mod asked;
mod changes;
mod group;
mod paging;
mod status;
mod tick;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::{Word, written};
use crate::incident::oncall::Override;
use crate::incident::record::{Act, ActionState, Entry, Held, Incident};
use crate::plan::Incidents;
use crate::rng::Rng;
use crate::time::Time;

use super::delivery::{Delivery, State};
use super::fact::{Fact, is_experiment};
use super::reach::{Reach, Scope};
use super::signature::Catalogue;

pub use acting::{LASTING_MAX, told};
pub use asked::{Asked, New, Refused, Silence, TEXT_MAX};
use changes::Changes;
pub use changes::{Audited, Doing, Taken};

/// Most incidents that are open at once; what would open one more joins the last.
pub const OPEN_MAX: usize = 200;
/// Most facts that are remembered beside incidents; the oldest go first.
pub const LOOSE_MAX: usize = 2_000;
/// Most facts that are remembered at all.
pub const LIVE_MAX: usize = 10_000;
/// How far back a change of model or config is looked for when something goes wrong.
const CHANGES_BACK: Duration = Duration::from_hours(1);

/// What a desk goes by.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The service's name.
    pub service: String,
    /// Where it runs.
    pub environment: String,
    /// What the config says.
    pub incidents: Incidents,
    /// How the parts of the service hang together.
    pub reach: Reach,
}

/// A desk.
#[derive(Clone, Debug)]
pub struct Desk {
    terms: Arc<Terms>,
    catalogue: Arc<Catalogue>,
    /// Facts that last, or did a while ago, by their keys.
    live: BTreeMap<String, Live>,
    /// Incidents that are open, or were a while ago.
    incidents: BTreeMap<String, Incident>,
    /// By incident: the types, by their places, that explain all of its facts.
    explained: BTreeMap<String, Vec<usize>>,
    /// Deliveries that wait.
    deliveries: BTreeMap<String, Delivery>,
    /// Deliveries that are being tried.
    trying: BTreeSet<String>,
    overrides: Vec<Override>,
    silences: Vec<Silence>,
    /// The day of the last id, and its number.
    last: (String, u32),
    rng: Rng,
    changes: Changes,
}

/// A fact, and where it belongs.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Live {
    key: String,
    fact: Word,
    labels: BTreeMap<String, String>,
    text: String,
    #[serde(default)]
    group: Option<String>,
    #[serde(with = "written")]
    since: Time,
    #[serde(default, with = "written::optional")]
    until: Option<Time>,
    /// The incident that it belongs to.
    #[serde(default)]
    incident: Option<String>,
    /// When it opens one, if it lasts until then.
    #[serde(default, with = "written::optional")]
    opens: Option<Time>,
    /// When it was last told.
    #[serde(default)]
    seen: Time,
    /// Its incident only counts it.
    #[serde(default)]
    unlisted: bool,
}

/// What a desk remembers beside incidents and deliveries.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    last: (String, u32),
    live: Vec<Live>,
}

impl Memory {
    /// The same in pieces of JSON, none much longer than `bytes`: a store has a bound for one value.
    pub fn pieces(&self, bytes: usize) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        let mut piece = Memory { last: self.last.clone(), live: Vec::new() };
        let mut length = 0;
        for live in &self.live {
            length += live.bytes();
            piece.live.push(live.clone());
            if length >= bytes {
                pieces.push(piece.to_json());
                (piece.live, length) = (Vec::new(), 0);
            }
        }
        pieces.push(piece.to_json());
        pieces
    }

    fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("what is remembered becomes JSON")
    }

    /// Adds a piece.
    pub fn add(&mut self, piece: &[u8]) -> Result<(), serde_json::Error> {
        let Memory { last, live } = serde_json::from_slice(piece)?;
        self.last = std::mem::take(&mut self.last).max(last);
        self.live.extend(live);
        Ok(())
    }
}

impl Live {
    /// About how long it is at rest.
    fn bytes(&self) -> usize {
        let labels: usize = self.labels.iter().map(|(name, value)| name.len() + value.len() + 6).sum();
        200 + self.key.len() + self.text.len() + labels
    }

    fn new(fact: Fact, since: Time) -> Live {
        let Fact { key, kind, labels, text, group } = fact;
        Live {
            key,
            fact: kind,
            labels,
            text,
            group,
            since,
            until: None,
            incident: None,
            opens: None,
            seen: since,
            unlisted: false,
        }
    }

    /// Only what tells that it is, and when it ends.
    fn slim(&mut self) {
        self.unlisted = true;
        self.labels.clear();
        self.text.clear();
    }

    fn held(&self) -> Held {
        Held {
            key: self.key.clone(),
            fact: self.fact.to_string(),
            labels: self.labels.clone(),
            text: self.text.clone(),
            since: self.since,
            until: self.until,
            times: 1,
        }
    }
}

impl Desk {
    /// A desk that knows nothing yet.
    pub fn new(terms: Terms, seed: u64) -> Desk {
        Desk {
            catalogue: Arc::new(Catalogue::with(&terms.incidents.types)),
            terms: Arc::new(terms),
            live: BTreeMap::new(),
            incidents: BTreeMap::new(),
            explained: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            trying: BTreeSet::new(),
            overrides: Vec::new(),
            silences: Vec::new(),
            last: (String::new(), 0),
            rng: Rng::new(seed),
            changes: Changes::default(),
        }
    }

    /// The same with what it remembered, what is open, and what was on its way. What was being done is done again.
    pub fn restore(&mut self, memory: Memory, incidents: Vec<Incident>, deliveries: Vec<Delivery>) {
        self.last = memory.last;
        self.live = memory.live.into_iter().map(|live| (live.key.clone(), live)).collect();
        for mut incident in incidents {
            self.changes.redo(&incident);
            for action in incident.actions.iter_mut().filter(|it| matches!(it.act, Act::PreviousModel { .. })) {
                if matches!(action.state, ActionState::Pending | ActionState::Undoing) {
                    action.state = ActionState::Failed;
                    action.error = Some("interrupted: the registry says which version is champion".to_owned());
                    self.changes.incident(&incident.id);
                }
            }
            self.saw(&incident.id);
            self.put(incident);
        }
        let pending = deliveries.into_iter().filter(|delivery| delivery.state == State::Pending);
        self.deliveries = pending.map(|delivery| (delivery.id.clone(), delivery)).collect();
    }

    /// Goes by other terms from now on; what goes on goes on as it began. What was wrong with a part of the service
    /// that is gone, or that begins anew since its config is another, is over.
    pub fn set_terms(&mut self, terms: Terms, now: Time) {
        self.catalogue = Arc::new(Catalogue::with(&terms.incidents.types));
        let before = std::mem::replace(&mut self.terms, Arc::new(terms));
        for incident in self.incidents.values() {
            self.explained.insert(incident.id.clone(), explaining(&self.catalogue, incident));
        }
        self.end_orphans(&before.reach, now);
    }

    /// Who is on call instead, by exception; all of them.
    pub fn set_overrides(&mut self, overrides: Vec<Override>) {
        self.overrides = overrides;
    }

    /// What nobody is to be paged for, for a while; all of them. Whoever waits for the end of one that is gone is told now.
    pub fn set_silences(&mut self, silences: Vec<Silence>) {
        let gone: Vec<Time> = self.silences.iter().filter(|it| !silences.contains(it)).map(|it| it.until).collect();
        for incident in self.incidents.values_mut() {
            let escalation = incident.escalation.as_mut();
            if let Some(next) = escalation.and_then(|it| it.next.as_mut()).filter(|next| gone.contains(next)) {
                *next = incident.detected;
                self.changes.incident(&incident.id);
            }
        }
        self.silences = silences;
    }

    /// What it goes by.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The types that it knows.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Incidents that are open, or were a while ago, by their ids.
    pub fn incidents(&self) -> &BTreeMap<String, Incident> {
        &self.incidents
    }

    /// Deliveries that wait, by their ids.
    pub fn deliveries(&self) -> &BTreeMap<String, Delivery> {
        &self.deliveries
    }

    /// Exceptions from who is on call.
    pub fn overrides(&self) -> &[Override] {
        &self.overrides
    }

    /// What nobody is paged for.
    pub fn silences(&self) -> &[Silence] {
        &self.silences
    }

    /// Takes an incident in that it had forgotten.
    pub fn recall(&mut self, incident: Incident) {
        if !self.incidents.contains_key(&incident.id) {
            self.put(incident);
        }
    }

    /// Has an incident from now on.
    fn put(&mut self, incident: Incident) {
        self.explained.insert(incident.id.clone(), explaining(&self.catalogue, &incident));
        self.incidents.insert(incident.id.clone(), incident);
    }

    /// What it remembers beside incidents and deliveries.
    pub fn memory(&self) -> Memory {
        Memory { last: self.last.clone(), live: self.live.values().cloned().collect() }
    }

    /// Knows that an id is taken.
    pub fn saw(&mut self, id: &str) {
        let Some((day, number)) = id.strip_prefix("AI-").and_then(|rest| rest.split_once('-')) else { return };
        let Ok(number) = number.parse() else { return };
        let seen = (day.to_owned(), number);
        self.last = std::mem::take(&mut self.last).max(seen);
    }

    /// An id that no other incident has, as far as this desk knows.
    fn next_id(&mut self, now: Time) -> String {
        let day = crate::event::format_time(now)[..10].replace('-', "");
        // A clock that was set back must not give an id twice.
        self.last = if day > self.last.0 { (day, 1) } else { (self.last.0.clone(), self.last.1 + 1) };
        format!("AI-{}-{:04}", self.last.0, self.last.1)
    }

    /// The share of routes that an incident touches.
    fn reach_of(&self, incident: &Incident) -> f64 {
        let all = self.terms.reach.routes.len();
        if scope_of(incident).everywhere || all == 0 { 1.0 } else { incident.routes.len() as f64 / all as f64 }
    }
}

/// The types, by their places, that explain all facts of an incident; where a person chose one, it alone may.
fn explaining(catalogue: &Catalogue, incident: &Incident) -> Vec<usize> {
    let types = catalogue.types().iter().enumerate();
    let may = types.filter(|(_, it)| !incident.kind_chosen || it.kind == incident.kind);
    let facts: Vec<&Held> = incident.facts.iter().filter(|held| !is_experiment(&held.fact, &held.labels)).collect();
    may.filter(|(_, it)| facts.iter().all(|held| it.explains(&held.fact, &held.labels))).map(|(at, _)| at).collect()
}

/// Where an incident is.
fn scope_of(incident: &Incident) -> Scope {
    let (routes, places) = (incident.routes.iter().cloned().collect(), incident.places.iter().cloned().collect());
    // One that a person opened without a route is about nothing that mainstay knows.
    let everywhere = incident.routes.is_empty() && incident.places.is_empty() && !incident.facts.is_empty();
    Scope { routes, places, everywhere }
}

/// An entry of a timeline.
fn entry(at: Time, (actor, source): (&str, &'static str), what: &'static str, text: impl Into<String>) -> Entry {
    Entry { at, actor: actor.to_owned(), source: source.into(), what: what.into(), text: text.into(), evidence: None }
}

/// Who the desk is on timelines.
const DESK: (&str, &str) = ("mainstay", "engine");
