//! Facts become incidents: what hangs together and has one explanation is one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{CHANGES_BACK, DESK, Desk, LIVE_MAX, LOOSE_MAX, Live, OPEN_MAX, entry, scope_of};
use crate::event::Event;
use crate::incident::kind::Status;
use crate::incident::record::{FACTS_BYTES_MAX, FACTS_MAX, Findings, Held, Incident};
use crate::response::fact::{self, CHANGE, Change, Fact};
use crate::response::reach::{Reach, Scope};
use crate::response::severity;
use crate::response::signature::{Opens, UNCLASSIFIED};
use crate::time::Time;

/// Facts that the gateway sees at backends and feature sets; it does not tell that they end where it sets one up anew.
const SEEN_AT_PARTS: [&str; 3] = ["breaker_open", "unhealthy", "ejected"];
/// How long after a fact was last told it is the same when it is told once more.
const TOLD_AGAIN: Duration = Duration::from_hours(24);
/// How often a fact that comes again is told one by one; from then on each doubling is.
const TOLD_EACH: u64 = 3;

impl Desk {
    /// Takes in what an event says.
    pub fn handle_event(&mut self, event: &Event, now: Time) {
        for change in fact::read(event, &self.terms.reach.clone()) {
            self.handle_fact(change, event.at, now);
        }
    }

    /// Takes in a fact that began, ended or happened at a time.
    pub fn handle_fact(&mut self, change: Change, at: Time, now: Time) {
        let at = at.min(now);
        match change {
            Change::Began(fact) => self.began(fact, at, None, now),
            Change::Happened(fact) => self.began(fact, at, Some(at), now),
            Change::Ended(key) => self.ended(&key, at, now),
            Change::Forgotten => {
                let seen = |live: &&Live| live.until.is_none() && fact::SEEN_BY_PROCESS.contains(&&*live.fact);
                let keys: Vec<String> = self.live.values().filter(seen).map(|live| live.key.clone()).collect();
                for key in keys {
                    self.ended(&key, at, now);
                }
            }
        }
    }

    fn began(&mut self, fact: Fact, at: Time, until: Option<Time>, now: Time) {
        let key = fact.key.clone();
        self.changes.memory();
        let before = self.live.remove(&key);
        let again = before.as_ref().is_some_and(|live| live.until.is_some() || until.is_some());
        let mut live = Live { until, seen: now, ..Live::new(fact, at) };
        if let Some(before) = before {
            if !again {
                live.since = before.since;
                live.opens = before.opens;
            }
            live.incident = before.incident;
            live.unlisted = before.unlisted;
            // Whoever ended its incident knew that it lasts: that it is told once more is nothing new.
            if !again && now.since(before.seen) <= TOLD_AGAIN && self.has_ended(live.incident.as_deref()) {
                self.live.insert(key, live);
                return;
            }
        }
        // Where it was once is where it belongs, as long as that can still be.
        let home = live.incident.take().and_then(|id| self.home_again(&id, now));
        let home = home.or_else(|| self.home_for(&live, now));
        match home {
            Some(id) => {
                self.join(&id, &mut live, now);
                self.live.insert(key, live);
            }
            None => {
                let opens =
                    if live.fact == CHANGE { Opens::No } else { self.catalogue.opens(&live.fact, &live.labels) };
                if opens == Opens::Held && live.until.is_none() {
                    live.opens.get_or_insert(at.max(now) + self.terms.incidents.hold);
                }
                self.live.insert(key.clone(), live);
                if opens == Opens::AtOnce {
                    self.open_for(&key, now);
                }
            }
        }
        self.forget_oldest();
    }

    fn ended(&mut self, key: &str, at: Time, now: Time) {
        let Some(live) = self.live.get_mut(key).filter(|live| live.until.is_none()) else { return };
        live.until = Some(at);
        live.opens = None;
        let (text, id) = (live.text.clone(), live.incident.clone());
        self.changes.memory();
        let Some(incident) = id.and_then(|id| self.incidents.get_mut(&id)) else { return };
        if let Some(held) = incident.facts.iter_mut().find(|held| held.key == key) {
            held.until = Some(at);
        }
        if incident.facts.iter().any(|held| held.key == key) {
            incident.tell(entry(now, DESK, "signal", format!("over: {text}")));
        }
        let id = incident.id.clone();
        self.changes.incident(&id);
        self.note_quiet(&id, now);
    }

    /// Knows since when an incident is quiet, if it is.
    pub(super) fn note_quiet(&mut self, id: &str, now: Time) {
        let lasts = self.live.values().any(|live| live.until.is_none() && live.incident.as_deref() == Some(id));
        let Some(incident) = self.incidents.get_mut(id) else { return };
        let quiet = !lasts && incident.is_quiet() && incident.status.is_open();
        if !quiet {
            (incident.quiet_since, incident.proposed) = (None, None);
        } else if incident.quiet_since.is_none() {
            incident.quiet_since = Some(now);
        }
    }

    /// Whether an incident was, and is no more: also one that rests in the store alone.
    fn has_ended(&self, id: Option<&str>) -> bool {
        let Some(id) = id else { return false };
        self.incidents.get(id).is_none_or(|it| !it.status.is_open() && it.merged_into.is_none())
    }

    /// Ends what is about a part of the service that is gone, or that begins anew.
    pub(super) fn end_orphans(&mut self, before: &Reach, now: Time) {
        let reach = &self.terms.reach;
        let is_gone = |live: &Live| {
            let component = live.labels.get("backend").or_else(|| live.labels.get("features"));
            let anew = component.is_some_and(|it| reach.differs(it, before)) && SEEN_AT_PARTS.contains(&&*live.fact);
            let has = |name: &str, known: &dyn Fn(&str) -> bool| live.labels.get(name).is_none_or(|label| known(label));
            live.until.is_none()
                && live.fact != fact::ALERT
                && (anew
                    || !(has("slo", &|it| reach.objectives.contains_key(it))
                        && has("route", &|it| reach.routes.contains(it))
                        && has("backend", &|it| reach.backends.contains_key(it))
                        && has("features", &|it| reach.features.contains_key(it))))
        };
        let gone: Vec<String> = self.live.values().filter(|it| is_gone(it)).map(|it| it.key.clone()).collect();
        for key in gone {
            self.ended(&key, now, now);
        }
    }

    /// The incident that a fact belonged to, if it still takes facts in; opened again where it must be.
    fn home_again(&mut self, id: &str, now: Time) -> Option<String> {
        let mut id = id.to_owned();
        for _ in 0..OPEN_MAX {
            match &self.incidents.get(&id)?.merged_into {
                Some(into) => id.clone_from(into),
                None => break,
            }
        }
        let incident = self.incidents.get(&id)?;
        let takes = incident.status.is_open() || self.may_reopen(incident, now);
        takes.then_some(id)
    }

    fn may_reopen(&self, incident: &Incident, now: Time) -> bool {
        incident.status == Status::Resolved
            && incident.resolved.is_some_and(|resolved| now.since(resolved) <= self.terms.incidents.reopen)
    }

    /// The incident that a new fact belongs to: near enough in time, about the same part of the service, and with it one type explains
    /// all of it.
    fn home_for(&self, live: &Live, now: Time) -> Option<String> {
        // A change that comes later is not what caused it.
        if live.fact == CHANGE {
            return None;
        }
        let scope = self.terms.reach.scope(&live.labels, live.group.as_deref());
        let fits = |incident: &&Incident| {
            let takes = incident.status.is_open() || self.may_reopen(incident, now);
            takes
                && self.is_near(incident, now)
                && scope_of(incident).meets(&scope)
                && self.is_explained(incident, live)
        };
        // A fact about the whole service says least about where it belongs.
        let rank =
            |incident: &&Incident| (incident.status.is_open(), !scope_of(incident).everywhere, incident.detected);
        self.incidents.values().filter(fits).max_by_key(rank).map(|incident| incident.id.clone())
    }

    fn is_near(&self, incident: &Incident, now: Time) -> bool {
        let last = incident.facts.iter().map(|held| held.until.unwrap_or(now)).max().unwrap_or(incident.detected);
        now.since(last.max(incident.detected)) <= self.terms.incidents.group
    }

    fn is_explained(&self, incident: &Incident, live: &Live) -> bool {
        let types = self.explained.get(&incident.id).map_or(&[][..], Vec::as_slice);
        types.iter().any(|at| self.catalogue.types()[*at].explains(&live.fact, &live.labels))
    }

    /// Opens an incident for a fact, with everything loose that belongs to it.
    pub(super) fn open_for(&mut self, key: &str, now: Time) {
        let Some(first) = self.live.get(key).cloned() else { return };
        let open = self.incidents.values().filter(|it| it.status.is_open());
        if open.clone().count() >= OPEN_MAX {
            let last = open.max_by_key(|it| (it.detected, it.id.clone())).map(|it| it.id.clone());
            if let (Some(id), Some(mut live)) = (last, self.live.remove(key)) {
                self.join(&id, &mut live, now);
                self.live.insert(key.to_owned(), live);
            }
            return;
        }
        let mut incident = blank(self.next_id(now), now);
        let mut with = vec![key.to_owned()];
        with.extend(self.companions(&first, now));
        let (id, scope) = (incident.id.clone(), self.scope_of_facts(&with));
        place(&mut incident, &scope);
        self.put(incident);
        self.changes.opened(&id);
        for key in &with {
            if let Some(mut live) = self.live.remove(key) {
                self.attach(&id, &mut live, now);
                self.live.insert(key.clone(), live);
            }
        }
        self.judge(&id, now);
        self.announce(&id, now);
    }

    /// Loose facts that have one explanation with this one, by when they began.
    fn companions(&self, first: &Live, now: Time) -> Vec<String> {
        let scope = self.terms.reach.scope(&first.labels, first.group.as_deref());
        let mut loose: Vec<&Live> =
            self.live.values().filter(|live| live.incident.is_none() && live.key != first.key).collect();
        loose.sort_by_key(|live| (live.fact == CHANGE, live.since, live.key.clone()));
        let mut taken: Vec<&Live> = vec![first];
        let mut aside = Vec::new();
        for live in loose {
            let back = if live.fact == CHANGE { CHANGES_BACK } else { self.terms.incidents.group };
            let near = live.until.is_none_or(|until| now.since(until) <= back);
            let meets = self.terms.reach.scope(&live.labels, live.group.as_deref()).meets(&scope);
            if !near || !meets {
                continue;
            }
            if fact::is_experiment(&live.fact, &live.labels) {
                aside.push(live);
                continue;
            }
            let all: Vec<_> = taken.iter().chain([&live]).map(|it| (&*it.fact, &it.labels)).collect();
            if self.catalogue.explain(&all) {
                taken.push(live);
            }
        }
        taken[1..].iter().chain(&aside).map(|live| live.key.clone()).collect()
    }

    fn scope_of_facts(&self, keys: &[String]) -> Scope {
        let mut scope = Scope::default();
        for live in keys.iter().filter_map(|key| self.live.get(key)) {
            scope.add(&self.terms.reach.scope(&live.labels, live.group.as_deref()));
        }
        scope
    }

    /// A fact joins an incident that is there.
    fn join(&mut self, id: &str, live: &mut Live, now: Time) {
        let reopens = self.incidents.get(id).is_some_and(|it| it.status == Status::Resolved);
        if reopens && live.until.is_none() {
            self.reopen(id, DESK, &format!("again: {}", live.text), now);
        }
        let changed = self.attach(id, live, now);
        if changed || reopens {
            self.judge(id, now);
        }
        self.raise_if_paging(id, now);
    }

    /// Whether anything about the incident's facts is other than before.
    fn attach(&mut self, id: &str, live: &mut Live, now: Time) -> bool {
        live.incident = Some(id.to_owned());
        live.opens = None;
        let scope = self.terms.reach.scope(&live.labels, live.group.as_deref());
        let Some(incident) = self.incidents.get_mut(id) else { return false };
        let mut changed = true;
        let types = self.explained.get_mut(id).filter(|_| !fact::is_experiment(&live.fact, &live.labels));
        if let Some(types) = types {
            types.retain(|at| self.catalogue.types()[*at].explains(&live.fact, &live.labels));
        }
        self.changes.incident(id);
        if live.fact != CHANGE {
            place(incident, &scope);
            incident.onset = incident.onset.min(live.since);
        }
        if let Some(held) = incident.facts.iter_mut().find(|held| held.key == live.key) {
            let again = held.until.is_some();
            changed = held.labels != live.labels;
            held.labels.clone_from(&live.labels);
            held.text.clone_from(&live.text);
            held.until = live.until;
            held.times += u64::from(again);
            let (times, text) = (held.times, held.text.clone());
            if again && (times <= TOLD_EACH || times.is_power_of_two()) {
                incident.tell(entry(now, DESK, "signal", format!("again ({times} times): {text}")));
            }
        } else if let Some(room) = room(incident, live) {
            live.unlisted = false;
            let held = live.held();
            let mut told = entry(live.since.min(now), DESK, "signal", live.text.clone());
            told.evidence = Some(serde_json::json!({ "fact": live.fact, "key": live.key }));
            match room {
                Room::Free => incident.facts.push(held),
                Room::Of(at) => {
                    incident.facts[at] = held;
                    incident.more_facts += 1;
                }
            }
            incident.tell(told);
        } else {
            changed = false;
            // One that is told once more is counted already.
            if !live.unlisted {
                incident.more_facts += 1;
            }
            live.slim();
            if incident.more_facts.is_power_of_two() {
                let text = format!("{} more signals that are not listed", incident.more_facts);
                incident.tell(entry(now, DESK, "signal", text));
            }
        }
        if live.until.is_none() {
            (incident.quiet_since, incident.proposed) = (None, None);
        } else {
            self.note_quiet(id, now);
        }
        changed
    }

    /// Ranks the types, and decides how bad it is: worse by itself, never better.
    pub(super) fn judge(&mut self, id: &str, now: Time) {
        let Some(incident) = self.incidents.get(id) else { return };
        let ranking = self.catalogue.rank(&incident.facts);
        let reach = self.reach_of(incident);
        let kind = match ranking.first() {
            Some(first) if !incident.kind_chosen => first.kind.clone(),
            _ => incident.kind.clone(),
        };
        let signature = self.catalogue.get(&kind);
        let (title, least) = signature.map_or((kind.clone(), None), |it| (it.title.clone(), it.severity));
        let configured = self.terms.incidents.types.get(&kind).and_then(|terms| terms.severity);
        let severity = severity::of(&incident.facts, reach);
        let severity = [least, configured].into_iter().flatten().fold(severity, std::cmp::Ord::min);
        let Some(incident) = self.incidents.get_mut(id) else { return };
        incident.ranking = ranking;
        // What was judged before does not undo what a person said since.
        let worse = severity < incident.severity && incident.judged.is_none_or(|judged| severity < judged);
        incident.judged = Some(incident.judged.map_or(severity, |judged| judged.min(severity)));
        let was = incident.kind.clone();
        if was != kind {
            if !was.is_empty() {
                incident.tell(entry(
                    now,
                    DESK,
                    "type",
                    format!("{was} became {kind}: it explains more of what is seen"),
                ));
            }
            incident.kind = kind;
        }
        if !incident.kind_chosen || incident.title.is_empty() {
            incident.title = titled(&title, incident);
        }
        if worse {
            let was = std::mem::replace(&mut incident.severity, severity);
            if incident.timeline.iter().any(|it| it.what == "opened") {
                let text = format!("{} became {}", was.as_str(), severity.as_str());
                incident.tell(entry(now, DESK, "severity", text));
                let incident = incident.clone();
                self.changes.news(&incident, false, DESK.0);
            }
        }
        self.changes.incident(id);
        self.end_wait(id, now);
    }

    fn forget_oldest(&mut self) {
        let loose = |live: &Live| live.incident.is_none();
        while self.live.len() > LOOSE_MAX && self.live.values().any(loose) {
            let oldest =
                self.live.values().filter(|live| loose(live)).min_by_key(|live| (live.until.is_none(), live.since));
            let Some(key) = oldest.map(|live| live.key.clone()) else { return };
            self.live.remove(&key);
        }
        while self.live.len() > LIVE_MAX {
            let oldest = self.live.values().min_by_key(|live| (live.until.is_none(), !live.unlisted, live.since));
            let Some(key) = oldest.map(|live| live.key.clone()) else { return };
            self.live.remove(&key);
        }
    }

    /// Forgets facts that are over for so long that nothing new belongs to them.
    pub(super) fn forget_facts(&mut self, now: Time) {
        let (group, before) = (self.terms.incidents.group, self.live.len());
        let incidents: &BTreeMap<String, Incident> = &self.incidents;
        self.live.retain(|_, live| match &live.incident {
            // One that lasts is known to last, also where its incident has ended.
            Some(id) => incidents.contains_key(id) || live.until.is_none(),
            None => {
                let back = if live.fact == CHANGE { CHANGES_BACK } else { group };
                live.until.is_none_or(|until| now.since(until) <= back)
            }
        });
        if self.live.len() != before {
            self.changes.memory();
        }
    }
}

/// Where a fact has room in an incident.
enum Room {
    Free,
    /// In place of one that is over, or that is less bad.
    Of(usize),
}

/// Room for a fact. Where there is none, one that is worse than all is listed in place of another.
fn room(incident: &Incident, live: &Live) -> Option<Room> {
    let held = live.held();
    let bytes: usize = incident.facts.iter().map(Held::bytes).sum();
    if incident.facts.len() < FACTS_MAX && bytes + held.bytes() <= FACTS_BYTES_MAX {
        return Some(Room::Free);
    }
    let bad = |held: &Held| severity::of(std::slice::from_ref(held), 0.0);
    if incident.facts.iter().any(|it| bad(it) <= bad(&held)) {
        return None;
    }
    let least = incident.facts.iter().enumerate().max_by_key(|(_, it)| (it.until.is_some(), bad(it)));
    least.map(|(at, _)| Room::Of(at))
}

fn place(incident: &mut Incident, scope: &Scope) {
    let add = |list: &mut Vec<String>, more: &BTreeSet<String>| {
        list.extend(more.iter().filter(|it| !list.contains(it)).cloned().collect::<Vec<_>>());
        list.truncate(FACTS_MAX);
    };
    add(&mut incident.routes, &scope.routes);
    add(&mut incident.places, &scope.places);
}

/// `Serving latency on score: the breaker of primary is open`.
fn titled(kind: &str, incident: &Incident) -> String {
    let on = match incident.routes.as_slice() {
        [] => String::new(),
        [route] => format!(" on {route}"),
        [first, rest @ ..] => format!(" on {first} and {} more", rest.len()),
    };
    let first = incident.facts.iter().find(|held| held.fact != CHANGE).map_or("", |held| held.text.as_str());
    if first.is_empty() { format!("{kind}{on}") } else { format!("{kind}{on}: {first}") }
}

pub(super) fn blank(id: String, now: Time) -> Incident {
    Incident {
        id,
        kind: UNCLASSIFIED.to_owned(),
        kind_chosen: false,
        title: String::new(),
        severity: crate::incident::kind::Severity::Sev4,
        judged: None,
        status: Status::Detected,
        onset: now,
        detected: now,
        acknowledged: None,
        acknowledged_by: None,
        mitigated: None,
        resolved: None,
        closed: None,
        merged_into: None,
        reopened: 0,
        routes: Vec::new(),
        places: Vec::new(),
        facts: Vec::new(),
        more_facts: 0,
        quiet_since: None,
        proposed: None,
        ranking: Vec::new(),
        timeline: Vec::new(),
        timeline_dropped: 0,
        escalation: None,
        epoch: 0,
        told: Vec::new(),
        notices: 0,
        actions: Vec::new(),
        review: Findings::default(),
    }
}
