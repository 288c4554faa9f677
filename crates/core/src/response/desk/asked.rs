//! What people and other systems ask of the desk.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::changes::Audited;
use super::group::blank;
use super::status::By;
use super::{Desk, entry, explaining};
use crate::event::written;
use crate::incident::kind::{Severity, Status};
use crate::incident::record::{Act, Findings, Incident, Item};
use crate::time::Time;

/// Longest text that somebody may write, in characters.
pub const TEXT_MAX: usize = 4_000;
/// Most bytes that are written to a review at once.
const REVIEW_BYTES_MAX: usize = 100 << 10;
/// Most entries of a list of a review.
const LIST_MAX: usize = 100;

/// What nobody is paged for, for a while. What is absent is any.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Silence {
    /// Its id.
    pub id: String,
    /// Incidents of this type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Incidents that touch this route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// This incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// From.
    #[serde(with = "written")]
    pub from: Time,
    /// Until; every silence ends.
    #[serde(with = "written")]
    pub until: Time,
    /// Who made it.
    pub by: String,
    /// Why.
    pub reason: String,
}

impl Silence {
    /// Whether it holds for an incident at a moment.
    pub fn holds(&self, incident: &Incident, now: Time) -> bool {
        let of = |wanted: &Option<String>, own: &str| wanted.as_deref().is_none_or(|wanted| wanted == own);
        let touches = self.route.as_ref().is_none_or(|route| incident.routes.contains(route));
        self.from <= now
            && now < self.until
            && of(&self.kind, &incident.kind)
            && of(&self.incident, &incident.id)
            && touches
    }
}

/// What somebody asks.
#[derive(Clone, PartialEq, Debug)]
pub enum Asked {
    /// To have it.
    Acknowledge,
    /// To write something down.
    Note(String),
    /// To put it into another status.
    Status {
        /// Which.
        to: Status,
        /// Why.
        reason: String,
    },
    /// To make it a part of another.
    Merge {
        /// Which.
        into: String,
        /// Why.
        reason: String,
    },
    /// To say how bad it is.
    Severity {
        /// How bad.
        to: Severity,
        /// Why.
        reason: String,
    },
    /// To say what type it is.
    Type {
        /// The type.
        kind: String,
        /// Why.
        reason: String,
    },
    /// To say what was found; what is given replaces what was said.
    Review(Box<Findings>),
    /// To do something.
    Act {
        /// What.
        act: Act,
        /// For how long; absent: as the config says.
        lasting: Option<Duration>,
    },
    /// To undo something.
    Undo(u32),
}

/// An incident that somebody opens.
#[derive(Clone, PartialEq, Debug)]
pub struct New {
    /// What it is, in a line.
    pub title: String,
    /// Its type.
    pub kind: String,
    /// How bad it is.
    pub severity: Severity,
    /// The routes that it touches.
    pub routes: Vec<String>,
    /// When it began, where that is known.
    pub onset: Option<Time>,
    /// What is known.
    pub note: Option<String>,
}

/// Why the desk does not do it.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum Refused {
    /// There is no such incident.
    #[error("there is no incident `{0}`")]
    Unknown(String),
    /// It may not go there.
    #[error("an incident that is {} cannot become {}; {}", from.as_str(), to.as_str(), legal(*from))]
    Illegal {
        /// Where it is.
        from: Status,
        /// Where it was to go.
        to: Status,
    },
    /// It was resolved too long ago.
    #[error("it was resolved {} s ago, and can be opened again within {} s alone; open another one", resolved.as_secs(), within.as_secs())]
    TooLate {
        /// How long ago.
        resolved: Duration,
        /// How long it may be.
        within: Duration,
    },
    /// Nobody said what caused it.
    #[error("an incident of sev1 or sev2 is closed with its root cause: write it into its review first")]
    NoRootCause,
    /// It goes on no more.
    #[error("it is {}: only an incident that is open can be taken", .0.as_str())]
    NotOpen(Status),
    /// Something else is wrong with it.
    #[error("{0}")]
    Invalid(String),
}

fn legal(from: Status) -> String {
    match from.next() {
        [] => "it has ended for good".to_owned(),
        next => format!("it may become {}", next.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(", ")),
    }
}

impl Desk {
    /// Does what somebody asks of an incident.
    pub fn handle_asked(&mut self, id: &str, asked: Asked, by: &str, now: Time) -> Result<(), Refused> {
        let who: By<'_> = (by, "api");
        let before = self.incidents.get(id).ok_or_else(|| Refused::Unknown(id.to_owned()))?;
        let told = json!({ "status": before.status, "severity": before.severity, "type": before.kind });
        let (action, reason) = match &asked {
            Asked::Acknowledge => ("incident.acknowledge", String::new()),
            Asked::Note(_) => ("incident.note", String::new()),
            Asked::Status { reason, .. } => ("incident.status", reason.clone()),
            Asked::Merge { reason, .. } => ("incident.merge", reason.clone()),
            Asked::Severity { reason, .. } => ("incident.severity", reason.clone()),
            Asked::Type { reason, .. } => ("incident.type", reason.clone()),
            Asked::Review(_) => ("incident.review", String::new()),
            Asked::Act { act, .. } => ("incident.action", act.word().to_owned()),
            Asked::Undo(_) => ("incident.undo", String::new()),
        };
        fits(&reason)?;
        match asked {
            Asked::Acknowledge => self.acknowledge(id, who, now)?,
            Asked::Note(text) => {
                fits(&text)?;
                if text.trim().is_empty() {
                    return Err(Refused::Invalid("a note without text says nothing".to_owned()));
                }
                self.write(id, |it| it.tell(entry(now, who, "note", text)));
            }
            Asked::Status { to: Status::Merged, .. } => {
                return Err(Refused::Invalid("say with `into` which incident it is a part of".to_owned()));
            }
            Asked::Status { to, reason } => self.set_status(id, to, who, &reason, now)?,
            Asked::Merge { into, reason } => self.merge(id, &into, who, &reason, now)?,
            Asked::Severity { to, reason } => self.set_severity(id, to, who, &reason, now),
            Asked::Type { kind, reason } => self.set_type(id, kind, who, &reason, now)?,
            Asked::Review(findings) => self.set_review(id, *findings, who, now)?,
            Asked::Act { act, lasting } => self.act(id, act, lasting, who, now)?,
            Asked::Undo(action) => self.undo(id, action, who, now)?,
        }
        let after =
            self.incidents.get(id).map(|it| json!({ "status": it.status, "severity": it.severity, "type": it.kind }));
        self.changes.audit(Audited {
            actor: by.to_owned(),
            source: "api".to_owned(),
            action: action.to_owned(),
            subject: id.to_owned(),
            before: Some(told),
            after,
            reason,
        });
        Ok(())
    }

    /// Opens an incident that somebody saw; its id.
    pub fn handle_opened(&mut self, new: New, by: &str, now: Time) -> Result<String, Refused> {
        fits(&new.title)?;
        fits(new.note.as_deref().unwrap_or_default())?;
        let invalid = |what: String| Err(Refused::Invalid(what));
        if new.title.trim().is_empty() {
            return invalid("an incident needs a title".to_owned());
        }
        if self.catalogue.get(&new.kind).is_none() {
            return Err(self.no_type(&new.kind));
        }
        if new.onset.is_some_and(|onset| onset > now) {
            return invalid("it cannot have begun in the future".to_owned());
        }
        if let Some(route) = new.routes.iter().find(|route| !self.terms.reach.routes.contains(*route)) {
            return invalid(format!("there is no route `{route}`"));
        }
        if self.incidents.values().filter(|it| it.status.is_open()).count() >= super::OPEN_MAX {
            return invalid(format!("{} incidents are open: close or merge some first", super::OPEN_MAX));
        }
        let mut incident = blank(self.next_id(now), now);
        let id = incident.id.clone();
        incident.kind = new.kind;
        incident.kind_chosen = true;
        incident.severity = new.severity;
        incident.title = new.title;
        incident.routes = new.routes;
        incident.onset = new.onset.unwrap_or(now).min(now);
        if let Some(note) = new.note {
            incident.tell(entry(now, (by, "api"), "note", note));
        }
        self.put(incident);
        self.changes.opened(&id);
        self.changes.audit(Audited {
            actor: by.to_owned(),
            source: "api".to_owned(),
            action: "incident.open".to_owned(),
            subject: id.clone(),
            before: None,
            after: None,
            reason: String::new(),
        });
        self.announce(&id, now);
        Ok(id)
    }

    /// Knows again which types explain an incident.
    fn explain(&mut self, id: &str) {
        if let Some(incident) = self.incidents.get(id) {
            self.explained.insert(id.to_owned(), explaining(&self.catalogue, incident));
        }
    }

    fn no_type(&self, kind: &str) -> Refused {
        let known: Vec<&str> = self.catalogue.types().iter().map(|it| it.kind.as_str()).collect();
        Refused::Invalid(format!("there is no type `{kind}`; there are {}", known.join(", ")))
    }

    fn write(&mut self, id: &str, what: impl FnOnce(&mut Incident)) {
        if let Some(incident) = self.incidents.get_mut(id) {
            what(incident);
            self.changes.incident(id);
        }
    }

    fn set_severity(&mut self, id: &str, to: Severity, by: By<'_>, reason: &str, now: Time) {
        self.write(id, |it| {
            let was = std::mem::replace(&mut it.severity, to);
            it.tell(entry(now, by, "severity", format!("{} became {}{}", was.as_str(), to.as_str(), because(reason))));
        });
        if !self.terms.incidents.page.contains(&to) {
            self.stop_paging(id, now);
        }
        if let Some(news) = self.incidents.get(id).cloned() {
            self.changes.news(&news, false, by.0);
        }
        self.raise_if_paging(id, now);
    }

    fn set_type(&mut self, id: &str, kind: String, by: By<'_>, reason: &str, now: Time) -> Result<(), Refused> {
        if self.catalogue.get(&kind).is_none() {
            return Err(self.no_type(&kind));
        }
        self.write(id, |it| {
            it.tell(entry(now, by, "type", format!("{} became {kind}{}", it.kind, because(reason))));
            it.kind = kind;
            it.kind_chosen = true;
        });
        self.explain(id);
        self.judge(id, now);
        self.raise_if_paging(id, now);
        if let Some(news) = self.incidents.get(id).cloned() {
            self.changes.news(&news, false, by.0);
        }
        Ok(())
    }

    fn set_review(&mut self, id: &str, findings: Findings, by: By<'_>, now: Time) -> Result<(), Refused> {
        let Findings { root_cause, contributing, went_well, could_improve, lucky, detection, prevention, items } =
            findings;
        fits(&root_cause)?;
        for text in [&contributing, &went_well, &could_improve, &lucky, &detection, &prevention].into_iter().flatten() {
            fits(text)?;
        }
        for item in &items {
            check_item(item)?;
        }
        let lists = [&contributing, &went_well, &could_improve, &lucky, &detection, &prevention];
        if lists.iter().any(|list| list.len() > LIST_MAX) || items.len() > LIST_MAX {
            return Err(Refused::Invalid(format!("a list of a review has at most {LIST_MAX} entries")));
        }
        let lists_bytes: usize = lists.iter().flat_map(|list| list.iter()).map(String::len).sum();
        let items_bytes: usize = items.iter().map(|it| it.text.len() + it.owner.len()).sum();
        if root_cause.len() + lists_bytes + items_bytes > REVIEW_BYTES_MAX {
            return Err(Refused::Invalid(format!("a review has at most {REVIEW_BYTES_MAX} bytes")));
        }
        self.write(id, |it| {
            let review = &mut it.review;
            if !root_cause.is_empty() {
                review.root_cause = root_cause;
            }
            let pairs = [
                (&mut review.contributing, contributing),
                (&mut review.went_well, went_well),
                (&mut review.could_improve, could_improve),
                (&mut review.lucky, lucky),
                (&mut review.detection, detection),
                (&mut review.prevention, prevention),
            ];
            for (old, new) in pairs.into_iter().filter(|(_, new)| !new.is_empty()) {
                *old = new;
            }
            for mut item in items {
                let known = review.items.iter().position(|own| own.id == item.id && item.id != 0);
                if let Some(at) = known {
                    review.items[at] = item;
                } else if review.items.len() < LIST_MAX {
                    item.id = review.items.iter().map(|own| own.id).max().unwrap_or(0) + 1;
                    review.items.push(item);
                }
            }
            it.tell(entry(now, by, "review", "the review was written on"));
        });
        Ok(())
    }

    /// Makes an incident a part of another: its facts are the other's.
    fn merge(&mut self, id: &str, into: &str, by: By<'_>, reason: &str, now: Time) -> Result<(), Refused> {
        if id == into {
            return Err(Refused::Invalid("an incident cannot become a part of itself".to_owned()));
        }
        let target = self.incidents.get(into).ok_or_else(|| Refused::Unknown(into.to_owned()))?;
        if !target.status.is_open() {
            return Err(Refused::Invalid(format!("{into} is {}: an open one is needed", target.status.as_str())));
        }
        self.set_status(id, Status::Merged, by, &format!("into {into} {reason}"), now)?;
        let Some(part) = self.incidents.get_mut(id) else { return Ok(()) };
        part.merged_into = Some(into.to_owned());
        let (facts, routes, places) = (part.facts.clone(), part.routes.clone(), part.places.clone());
        let (onset, severity) = (part.onset, part.severity);
        for live in self.live.values_mut().filter(|live| live.incident.as_deref() == Some(id)) {
            live.incident = Some(into.to_owned());
        }
        self.changes.memory();
        self.write(into, |it| {
            it.onset = it.onset.min(onset);
            it.severity = it.severity.min(severity);
            for held in facts {
                if it.facts.iter().all(|own| own.key != held.key) && it.facts.len() < crate::incident::record::FACTS_MAX
                {
                    it.facts.push(held);
                }
            }
            it.routes.extend(routes.into_iter().filter(|route| !it.routes.contains(route)).collect::<Vec<_>>());
            it.places.extend(places.into_iter().filter(|place| !it.places.contains(place)).collect::<Vec<_>>());
            it.tell(entry(now, by, "merged", format!("{id} is a part of this")));
        });
        self.explain(into);
        self.judge(into, now);
        self.note_quiet(into, now);
        self.raise_if_paging(into, now);
        Ok(())
    }
}

/// A reason as it goes behind what it is for.
pub(super) fn because(reason: &str) -> String {
    if reason.trim().is_empty() { String::new() } else { format!(": {reason}") }
}

fn fits(text: &str) -> Result<(), Refused> {
    if text.chars().count() > TEXT_MAX {
        return Err(Refused::Invalid(format!("a text has at most {TEXT_MAX} characters")));
    }
    Ok(())
}

fn check_item(item: &Item) -> Result<(), Refused> {
    let invalid = |what: &str| Err(Refused::Invalid(what.to_owned()));
    fits(&item.text)?;
    fits(&item.owner)?;
    if item.text.trim().is_empty() || item.owner.trim().is_empty() {
        return invalid("an action item needs a `text` and an `owner`");
    }
    if !["prevent", "mitigate", "detect"].contains(&item.purpose.as_str()) {
        return invalid("the `purpose` of an action item is prevent, mitigate or detect");
    }
    if !["open", "done", "dropped"].contains(&item.state.as_str()) {
        return invalid("the `state` of an action item is open, done or dropped");
    }
    if item.due.as_ref().is_some_and(|due| due.parse::<jiff::civil::Date>().is_err()) {
        return invalid("the `due` of an action item is a date such as 2026-03-31");
    }
    Ok(())
}
