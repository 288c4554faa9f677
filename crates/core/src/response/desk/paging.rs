//! Who is told, by what, and until when.

use std::time::Duration;

use super::{DESK, Desk, entry};
use crate::incident::escalation::{Policy, ROUND_MIN, Step, Target};
use crate::incident::kind::Status;
use crate::incident::notice::{Notice, Purpose};
use crate::incident::oncall::Person;
use crate::incident::record::{Escalating, Incident, Told};
use crate::response::delivery::{Delivery, Outcome, State, wait};
use crate::response::fact::is_experiment;
use crate::time::Time;

/// How long until the next role of a type's own escalation path is told.
const PATH_STEP: Duration = Duration::from_mins(15);
/// How often a type's own escalation path is gone through again.
const PATH_REPEAT: u32 = 2;
/// How long a notice is tried where its channel is gone from the config.
const DEADLINE: Duration = Duration::from_hours(1);
/// Most signals and actions that a notice lists.
const LINES_MAX: usize = 5;
/// Most notices of one incident.
const NOTICES_MAX: u32 = 1_000;

impl Desk {
    /// Tells of an incident that is new, or open again.
    pub(super) fn announce(&mut self, id: &str, now: Time) {
        let Some(incident) = self.incidents.get_mut(id) else { return };
        let text = format!("{} {}: {}", incident.severity.as_str(), incident.kind, incident.title);
        if incident.reopened == 0 {
            incident.tell(entry(now, DESK, "opened", text));
        }
        let news = incident.clone();
        self.changes.incident(id);
        if news.reopened == 0 {
            self.changes.news(&news, true, DESK.0);
        }
        self.take_automatic_actions(id, now);
        self.tell_channels(id, Purpose::Notify, now);
        self.raise_if_paging(id, now);
    }

    /// Begins to page, if it is bad enough for that and nobody has it.
    pub(super) fn raise_if_paging(&mut self, id: &str, now: Time) {
        let Some(incident) = self.incidents.get(id) else { return };
        let pages = self.terms.incidents.page.contains(&incident.severity);
        // A policy that ran out begins anew where it became worse.
        let goes_on = |it: &Escalating| it.next.is_some() || it.severity.is_none_or(|was| was <= incident.severity);
        let taken = incident.acknowledged_by.is_some() || incident.escalation.as_ref().is_some_and(goes_on);
        if !pages || taken || !incident.status.is_open() {
            return;
        }
        let policy = self.policy_for(incident);
        let Some(incident) = self.incidents.get_mut(id) else { return };
        let first = policy.steps.first().map_or(Duration::ZERO, |step| step.after);
        incident.tell(entry(now, DESK, "escalation", format!("told by the policy {}", policy.name)));
        let severity = Some(incident.severity);
        incident.escalation = Some(Escalating { policy, step: 0, round: 0, severity, next: Some(now + first) });
        self.changes.incident(id);
        self.escalate(id, now);
    }

    /// The policy that the config names; otherwise the type's own path, as far as the config knows its roles; otherwise everybody who hears
    /// of incidents at all.
    fn policy_for(&self, incident: &Incident) -> Policy {
        let terms = &self.terms.incidents;
        let named = terms.types.get(&incident.kind).and_then(|it| it.policy.as_ref()).or(terms.policy.as_ref());
        if let Some(policy) = named.and_then(|name| terms.policies.iter().find(|policy| policy.name == *name)) {
            return policy.clone();
        }
        let roles = self.catalogue.get(&incident.kind).map_or(&[][..], |it| &it.escalation);
        let mut steps: Vec<Step> = Vec::new();
        for target in roles.iter().filter_map(|role| self.role(role)) {
            let after = if steps.is_empty() { Duration::ZERO } else { PATH_STEP };
            steps.push(Step { after, tell: vec![target] });
        }
        if steps.is_empty() {
            let mut tell: Vec<Target> = terms.notify.iter().cloned().map(Target::Channel).collect();
            if tell.is_empty() {
                tell = terms.channels.iter().map(|channel| Target::Channel(channel.name.clone())).collect();
            }
            steps.push(Step { after: Duration::ZERO, tell });
        }
        Policy { name: incident.kind.clone(), steps, repeat: PATH_REPEAT }
    }

    /// What the config has under the name of a role: `ML engineer on call` is `ml-engineer-on-call`.
    fn role(&self, role: &str) -> Option<Target> {
        let name = slug(role);
        let terms = &self.terms.incidents;
        let schedule = terms.schedules.iter().find(|it| slug(&it.name) == name);
        let person = || terms.people.iter().find(|it| slug(&it.name) == name);
        let channel = || terms.channels.iter().find(|it| slug(&it.name) == name);
        schedule
            .map(|it| Target::Schedule(it.name.clone()))
            .or_else(|| person().map(|it| Target::Person(it.name.clone())))
            .or_else(|| channel().map(|it| Target::Channel(it.name.clone())))
    }

    /// Goes through the steps that are due. A step that reaches nobody is passed over at once.
    pub(super) fn escalate(&mut self, id: &str, now: Time) {
        loop {
            let Some(incident) = self.incidents.get(id) else { return };
            let Some(Escalating { policy, step, round, severity, next: Some(next) }) = incident.escalation.clone()
            else {
                return;
            };
            if next > now {
                return;
            }
            if let Some(until) = self.silences.iter().filter(|it| it.holds(incident, now)).map(|it| it.until).max() {
                let Some(incident) = self.incidents.get_mut(id) else { return };
                incident.tell(entry(now, DESK, "silenced", "nobody is paged: a silence holds"));
                incident.escalation = Some(Escalating { policy, step, round, severity, next: Some(until) });
                self.changes.incident(id);
                return;
            }
            let reached = policy.steps.get(step).is_some_and(|it| self.fire(id, &it.tell, now));
            let (mut step, mut round) = (step + 1, round);
            let due = if let Some(following) = policy.steps.get(step) {
                Some(if reached { now + following.after } else { now })
            } else if round < policy.repeat {
                (step, round) = (0, round + 1);
                let again = policy.steps.first().map_or(ROUND_MIN, |it| it.after).max(ROUND_MIN);
                Some(now + again)
            } else {
                None
            };
            let Some(incident) = self.incidents.get_mut(id) else { return };
            if due.is_none() {
                incident.tell(entry(now, DESK, "escalation", "everybody was told as often as the policy says"));
            }
            incident.escalation = Some(Escalating { policy, step, round, severity, next: due });
            self.changes.incident(id);
        }
    }

    /// Whoever waits for the end of a silence that does not hold for it any more is told now.
    pub(super) fn end_wait(&mut self, id: &str, now: Time) {
        let Some(incident) = self.incidents.get(id) else { return };
        let Some(next) = incident.escalation.as_ref().and_then(|it| it.next) else { return };
        let waits = self.silences.iter().any(|it| it.until == next);
        if waits
            && self.silences.iter().all(|it| !it.holds(incident, now))
            && let Some(escalation) = self.incidents.get_mut(id).and_then(|it| it.escalation.as_mut())
        {
            escalation.next = Some(now);
        }
    }

    /// Tells everybody of a step; whether anybody could be told.
    fn fire(&mut self, id: &str, targets: &[Target], now: Time) -> bool {
        let mut reached = false;
        for target in targets {
            let name = match target {
                Target::Channel(channel) => {
                    reached |= self.page(id, channel, Vec::new(), None, now);
                    continue;
                }
                Target::Person(person) => Some(person.clone()),
                Target::Schedule(name) => {
                    let schedule = self.terms.incidents.schedules.iter().find(|it| it.name == *name);
                    schedule.and_then(|it| it.who(&self.overrides, now)).map(|shift| shift.person)
                }
            };
            let person = name.and_then(|name| self.terms.incidents.people.iter().find(|it| it.name == name).cloned());
            match person.as_ref().and_then(|person| person.channels.split_first()) {
                Some((first, others)) => reached |= self.page(id, first, others.to_vec(), person.as_ref(), now),
                None => {
                    let text = match target {
                        Target::Schedule(name) => format!("nobody is on call by {name}"),
                        Target::Person(name) | Target::Channel(name) => {
                            format!("{name} cannot be reached by any channel")
                        }
                    };
                    if let Some(incident) = self.incidents.get_mut(id) {
                        incident.tell(entry(now, DESK, "escalation", text));
                    }
                }
            }
        }
        reached
    }

    fn page(&mut self, id: &str, channel: &str, others: Vec<String>, person: Option<&Person>, now: Time) -> bool {
        let sent = self.send(id, Purpose::Page, channel, person, now);
        let Some(delivery) = sent.and_then(|sent| self.deliveries.get_mut(&sent)) else { return false };
        delivery.others = others;
        let whom = person.map_or(String::new(), |person| format!("{} by ", person.name));
        let text = format!("paging {whom}{channel}");
        if let Some(incident) = self.incidents.get_mut(id) {
            incident.tell(entry(now, DESK, "page", text));
        }
        true
    }

    /// Tells the channels that hear of everything.
    pub(super) fn tell_channels(&mut self, id: &str, purpose: Purpose, now: Time) {
        for channel in self.terms.incidents.notify.clone() {
            self.send(id, purpose, &channel, None, now);
        }
    }

    /// Tells whoever was told what became of it.
    pub(super) fn tell_told(&mut self, id: &str, purpose: Purpose, now: Time) {
        let told = self.incidents.get(id).map(|it| it.told.clone()).unwrap_or_default();
        for Told { channel, person } in told {
            let person = person.and_then(|name| self.terms.incidents.people.iter().find(|it| it.name == name).cloned());
            self.send(id, purpose, &channel, person.as_ref(), now);
        }
    }

    /// Puts a notice on its way; its id.
    fn send(
        &mut self,
        id: &str,
        purpose: Purpose,
        channel: &str,
        person: Option<&Person>,
        now: Time,
    ) -> Option<String> {
        let notice = self.notice(id, purpose, person)?;
        let incident = self.incidents.get_mut(id)?;
        // Pages have room of their own.
        let most = if purpose == Purpose::Page { 2 * NOTICES_MAX } else { NOTICES_MAX };
        if incident.notices >= most {
            if incident.notices.is_power_of_two() || incident.notices == most {
                let text = format!("{most} notices were made of it: no more is told by {channel}");
                incident.tell(entry(now, DESK, "escalation", text));
                incident.notices += 1;
            }
            return None;
        }
        incident.notices += 1;
        let told = Told { channel: channel.to_owned(), person: person.map(|it| it.name.clone()) };
        if !incident.told.contains(&told) {
            incident.told.push(told);
        }
        let delivery = Delivery {
            id: format!("{id}-{}", incident.notices),
            channel: channel.to_owned(),
            notice,
            state: State::Pending,
            attempts: 0,
            made: now,
            next: now,
            deadline: now + self.deadline_of(channel),
            ended: None,
            provider: None,
            error: None,
            instead_of: None,
            others: Vec::new(),
        };
        self.changes.incident(id);
        self.changes.delivery(&delivery.id);
        let id = delivery.id.clone();
        self.deliveries.insert(id.clone(), delivery);
        Some(id)
    }

    fn deadline_of(&self, channel: &str) -> Duration {
        self.terms.incidents.channels.iter().find(|it| it.name == channel).map_or(DEADLINE, |it| it.deadline)
    }

    fn notice(&self, id: &str, purpose: Purpose, person: Option<&Person>) -> Option<Notice> {
        let it = self.incidents.get(id)?;
        let signature = self.catalogue.get(&it.kind);
        let active = it.facts.iter().filter(|held| held.until.is_none()).count();
        let routes = if it.routes.is_empty() { "no route of its own".to_owned() } else { it.routes.join(", ") };
        let experiments =
            it.facts.iter().filter(|held| held.until.is_none() && is_experiment(&held.fact, &held.labels));
        let experiments = experiments.fold(String::new(), |told, held| told + "\nMeanwhile " + &held.text + ".");
        let summary = if it.proposed.is_some() && it.status.is_open() {
            "Every signal is over: it seems to be resolved. Say so, or look further.".to_owned()
        } else {
            let about = signature.map_or("", |it| it.about.as_str());
            format!(
                "{about}\nTouches: {routes}. Signals that last: {active} of {}.{experiments}",
                it.facts.len() as u64 + it.more_facts
            )
        };
        // What lasts first, the latest of it first.
        let mut facts: Vec<_> = it.facts.iter().collect();
        facts.sort_by_key(|held| (held.until.is_some(), std::cmp::Reverse(held.since)));
        let fired: Vec<String> = facts.iter().map(|held| held.text.clone()).take(LINES_MAX).collect();
        let actions = signature.map(|it| it.actions.iter().map(|it| it.text.clone()).take(LINES_MAX).collect());
        Some(Notice {
            purpose,
            incident: it.id.clone(),
            service: self.terms.service.clone(),
            environment: self.terms.environment.clone(),
            kind: it.kind.clone(),
            severity: it.severity,
            status: it.status,
            title: it.title.clone(),
            summary: summary.trim().to_owned(),
            signals: fired,
            actions: actions.unwrap_or_default(),
            route: it.routes.first().cloned(),
            person: person.map(|person| person.name.clone()),
            email: person.and_then(|person| person.email.clone()),
            detected: it.detected,
            resolved: it.resolved,
            link: self
                .terms
                .incidents
                .link
                .as_ref()
                .map(|link| format!("{}/incidents/{}", link.trim_end_matches('/'), it.id)),
        })
    }

    /// Nobody is paged for it any more, and pages that are on their way are void.
    pub(super) fn stop_paging(&mut self, id: &str, now: Time) {
        let Some(incident) = self.incidents.get_mut(id) else { return };
        incident.epoch += 1;
        incident.escalation = None;
        let ended = !incident.status.is_open();
        let void = |delivery: &Delivery| {
            let purpose = delivery.notice.purpose;
            delivery.notice.incident == id && (purpose == Purpose::Page || (ended && purpose == Purpose::Notify))
        };
        let void: Vec<String> = self.deliveries.values().filter(|it| void(it)).map(|it| it.id.clone()).collect();
        for id in void {
            self.end(&id, State::Cancelled, now);
        }
        self.changes.incident(id);
    }

    /// A delivery came to its end.
    fn end(&mut self, id: &str, state: State, now: Time) -> Option<Delivery> {
        let mut delivery = self.deliveries.remove(id)?;
        delivery.state = state;
        delivery.ended = Some(now);
        self.changes.ended(delivery.clone());
        Some(delivery)
    }

    /// Deliveries whose time has come, and that are not being tried.
    pub fn due(&self, now: Time) -> Vec<Delivery> {
        self.deliveries.values().filter(|it| it.next <= now && !self.trying.contains(&it.id)).cloned().collect()
    }

    /// One is being tried, until [`Desk::handle_sent`] says what came of it: meanwhile it is not given up.
    pub fn handle_trying(&mut self, id: &str) {
        self.trying.insert(id.to_owned());
    }

    /// Deliveries that are over though nobody is asked: those that were tried, and whose time is over.
    pub(super) fn late(&self, now: Time) -> Vec<String> {
        let late = |it: &&Delivery| it.deadline <= now && it.attempts > 0 && !self.trying.contains(&it.id);
        self.deliveries.values().filter(late).map(|it| it.id.clone()).collect()
    }

    /// When a delivery is to be looked at next.
    pub(super) fn looks_at(&self) -> impl Iterator<Item = Time> {
        let waits = self.deliveries.values().filter(|it| !self.trying.contains(&it.id));
        waits.map(|it| if it.attempts > 0 { it.next.min(it.deadline) } else { it.next })
    }

    /// Takes in what came of a try.
    pub fn handle_sent(&mut self, id: &str, outcome: Outcome, now: Time) {
        self.trying.remove(id);
        let Some(delivery) = self.deliveries.get_mut(id) else { return };
        delivery.attempts += 1;
        match outcome {
            Outcome::Delivered { provider } => {
                delivery.provider = provider;
                let Some(delivery) = self.end(id, State::Delivered, now) else { return };
                let whom = delivery.notice.person.as_ref().map(|it| format!(" to {it}")).unwrap_or_default();
                let tries =
                    if delivery.attempts == 1 { String::new() } else { format!(", by try {}", delivery.attempts) };
                let text =
                    format!("{} delivered by {}{whom}{tries}", delivery.notice.purpose.as_str(), delivery.channel);
                self.remark(&delivery, text, now);
            }
            Outcome::Later { after, why } => {
                delivery.error = Some(why);
                delivery.next = now + wait(delivery.attempts, after, &mut self.rng);
                let late = delivery.next > delivery.deadline;
                self.changes.delivery(id);
                if late {
                    self.give_up(id, now);
                }
            }
            Outcome::Refused { why } => {
                delivery.error = Some(why);
                self.give_up(id, now);
            }
        }
    }

    /// A notice did not arrive: another channel is tried, or everybody else hears that it reached nobody.
    pub(super) fn give_up(&mut self, id: &str, now: Time) {
        let Some(dead) = self.end(id, State::Dead, now) else { return };
        let error = dead.error.clone().unwrap_or_else(|| "its time is over".to_owned());
        let purpose = dead.notice.purpose;
        self.remark(&dead, format!("{} by {} given up: {error}", purpose.as_str(), dead.channel), now);
        let incident = dead.notice.incident.clone();
        let configured = self.terms.incidents.channels.iter().find(|it| it.name == dead.channel);
        let fallback = configured.and_then(|it| it.fallback.clone());
        let was_tried =
            |channel: &String| dead.instead_of.as_ref().is_some_and(|tried| tried.split(' ').any(|it| it == channel));
        let untried =
            fallback.into_iter().chain(dead.others.clone()).filter(|it| *it != dead.channel && !was_tried(it));
        let mut others: Vec<String> = untried.collect();
        if !others.is_empty() {
            let next = others.remove(0);
            let person = dead.notice.person.as_ref();
            let person =
                person.and_then(|name| self.terms.incidents.people.iter().find(|it| it.name == *name).cloned());
            let sent = self.send(&incident, purpose, &next, person.as_ref(), now);
            if let Some(delivery) = sent.and_then(|sent| self.deliveries.get_mut(&sent)) {
                let before = dead.instead_of.map(|before| format!("{before} ")).unwrap_or_default();
                delivery.instead_of = Some(format!("{before}{}", dead.channel));
                delivery.others = others;
            }
            return;
        }
        // What says that something was not delivered is not told of again, or it would never end.
        if purpose == Purpose::Undelivered {
            return;
        }
        let elsewhere = self.terms.incidents.notify.iter().filter(|it| **it != dead.channel).cloned();
        for channel in elsewhere.collect::<Vec<_>>() {
            self.send(&incident, Purpose::Undelivered, &channel, None, now);
        }
    }

    fn remark(&mut self, delivery: &Delivery, text: String, now: Time) {
        let id = delivery.notice.incident.clone();
        if let Some(incident) = self.incidents.get_mut(&id) {
            let what = if delivery.notice.purpose == Purpose::Page { "page" } else { "notice" };
            let mut told = entry(now, DESK, what, text);
            told.evidence = Some(serde_json::json!({ "delivery": delivery.id, "state": delivery.state }));
            incident.tell(told);
            self.changes.incident(&id);
        }
    }

    /// Whether nothing is to be awaited of an incident any more.
    pub(super) fn is_over(&self, incident: &Incident, now: Time) -> bool {
        let reopen = self.terms.incidents.reopen;
        let ended = match incident.status {
            Status::Resolved => incident.resolved.is_none_or(|at| now.since(at) > reopen),
            status => !status.is_open(),
        };
        ended && self.deliveries.values().all(|it| it.notice.incident != incident.id)
    }
}

fn slug(name: &str) -> String {
    name.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|it| !it.is_empty()).collect::<Vec<_>>().join("-")
}
