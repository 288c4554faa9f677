//! Who watches the service, in virtual time: objectives with their budgets, the desk with its incidents and pages, and people.
//!
//! ```text
//! requests that ended ──judge──> counts ──every 500 ms──> Engine ──alerts, statuses──┐
//! breakers, levels, health ────────────────────────────────────────────────────> Desk ──> pages ──> people
//!                                                          pins of levels <── actions ──┘<── acknowledge, act, resolve ──┘
//! ```
//!
//! The engine and the desk are the core's; this is their shell. What production's shell stores first is not stored here.

mod before;
mod people;

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_core::drill::Drill;
use mainstay_core::engine::{Engine, ObjectiveId};
use mainstay_core::event::{Event, EventKind, ModelPromoted};
use mainstay_core::incident::kind::Status;
use mainstay_core::incident::record::Incident;
use mainstay_core::plan::Plan;
use mainstay_core::resilience::{breaker, ladder};
use mainstay_core::response::delivery::{Delivery, Outcome};
use mainstay_core::response::desk::{Desk, Doing, Taken, Terms};
use mainstay_core::response::reach::Reach;
use mainstay_core::rng::Rng;
use mainstay_core::slo::objective::{Kind, Objective};
use mainstay_core::slo::series::Counts;
use mainstay_core::slo::sli::{Facts, Verdict, judge};
use mainstay_core::time::Time;

use crate::servers::Normal;
use crate::world::START;
use people::Deed;

/// How often counts are handed over and the desk looks up, as in production.
pub(crate) const LOOK: Duration = Duration::from_millis(500);
/// How long a notice is on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// Something that those who watch saw or did.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum News {
    /// A line of the transcript.
    Line(String),
    /// An alert fired.
    Alert,
    /// An incident was opened.
    Opened {
        /// Its id.
        id: String,
        /// Its type so far.
        kind: String,
    },
    /// A page arrived.
    Paged,
    /// Somebody took an incident.
    Acknowledged,
    /// An incident's effect began to be ended.
    Mitigated,
    /// An incident was resolved.
    Resolved,
    /// The world is to do something.
    Do(Doing),
}

/// What was known of an incident when it was last looked at.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Seen {
    acknowledged: bool,
    mitigated: bool,
    status: Option<Status>,
}

/// Those who watch.
pub(crate) struct Watch<'a> {
    drill: &'a Drill,
    engine: Engine,
    /// By route: objectives that its requests count for.
    by_route: Vec<Vec<usize>>,
    /// Counts since the last look, by objective.
    open: Vec<Counts>,
    desk: Desk,
    /// What happened since the last look.
    events: Vec<Event>,
    news: Vec<News>,
    seen: BTreeMap<String, Seen>,
    /// Notices on their way, with when they are there.
    flying: Vec<(Time, Delivery)>,
    /// Channels that reach nobody.
    down: Vec<bool>,
    /// What people will do, in order of time.
    deeds: BTreeMap<(Time, u64), Deed>,
    promised: u64,
    rng: Rng,
    normal: Normal,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(drill: &'a Drill, seed: u64, rng: Rng) -> Watch<'a> {
        let plan = &drill.plan;
        let mut engine = Engine::new(plan.slos.clone(), civil(drill, START));
        engine.set_policies(plan.policies.iter().cloned());
        engine.set_corrections(Vec::new(), plan.maintenance.clone());
        before::count(drill, &mut engine);
        let terms = Terms {
            service: plan.service.clone(),
            environment: plan.environment.name().to_owned(),
            incidents: plan.incidents.clone(),
            reach: Reach::of(plan),
        };
        Watch {
            drill,
            engine,
            by_route: plan.routes.iter().map(|route| counting(plan, &route.name)).collect(),
            open: vec![Counts::default(); plan.slos.len()],
            desk: Desk::new(terms, seed),
            events: Vec::new(),
            news: Vec::new(),
            seen: BTreeMap::new(),
            flying: Vec::new(),
            down: vec![false; plan.incidents.channels.len()],
            deeds: BTreeMap::new(),
            promised: 0,
            rng,
            normal: Normal::default(),
        }
    }

    /// A request of a route has ended: its objectives count it.
    pub(crate) fn ended(&mut self, route: usize, facts: &Facts<'_>) {
        for at in &self.by_route[route] {
            match judge(&self.drill.plan.slos[*at], facts) {
                Verdict::Good => self.open[*at].good += 1,
                Verdict::Bad => self.open[*at].bad += 1,
                Verdict::Ignored => {}
            }
        }
    }

    /// Something happened that the desk will hear of.
    fn happened(&mut self, at: Time, kind: EventKind) {
        self.events.push(Event { at: civil(self.drill, at), kind });
    }

    /// The breaker of a backend or a feature set changed.
    pub(crate) fn breaker_changed(&mut self, name: &str, change: &breaker::Transition) {
        let (from, to, reason) = (change.from.name().into(), change.to.name().into(), change.why.name().into());
        self.happened(change.at, EventKind::BreakerChanged { backend: name.to_owned(), from, to, reason });
    }

    /// The breaker of a group changed.
    pub(crate) fn group_changed(&mut self, group: &str, members: &[String], change: &breaker::Transition) {
        let (from, to, reason) = (change.from.name().into(), change.to.name().into(), change.why.name().into());
        let (group, members) = (group.to_owned(), members.to_vec());
        self.happened(change.at, EventKind::GroupChanged { group, members, from, to, reason });
    }

    /// A health check of a backend or a feature set says otherwise than before.
    pub(crate) fn health_changed(&mut self, name: &str, healthy: bool, now: Time) {
        let reason = if healthy { "check_passed" } else { "check_failed" }.into();
        self.happened(now, EventKind::HealthChanged { component: name.to_owned(), healthy, reason });
    }

    /// A route is at another level.
    pub(crate) fn level_changed(&mut self, route: &str, effect: &ladder::Effect) {
        let ladder::Effect::LevelChanged { from, to, why, at } = effect;
        let reason = why.word().into();
        self.happened(*at, EventKind::LevelChanged { route: route.to_owned(), from: *from, to: *to, reason });
    }

    /// A version is everywhere.
    pub(crate) fn promoted(&mut self, promoted: ModelPromoted, now: Time) {
        self.happened(now, EventKind::ModelPromoted(promoted));
    }

    /// A channel reaches nobody from here on, or does again.
    pub(crate) fn set_channel(&mut self, channel: usize, down: bool) {
        self.down[channel] = down;
    }

    /// The objectives that are counted.
    pub(crate) fn objectives(&self) -> impl Iterator<Item = &'a str> {
        self.drill.plan.slos.iter().map(|slo| slo.name.as_str()).filter(|name| self.engine.id(name).is_some())
    }

    /// What is left of each of [`Watch::objectives`], as of the last look.
    pub(crate) fn budgets_seen(&self, now: Time) -> Vec<f64> {
        let now = civil(self.drill, now);
        self.objectives()
            .filter_map(|name| Some(self.engine.answer(self.engine.id(name)?, now).budget.remaining))
            .collect()
    }

    /// What is left of each budget, by the objective's name.
    pub(crate) fn budgets(&mut self, now: Time) -> serde_json::Map<String, serde_json::Value> {
        let now = civil(self.drill, now);
        self.hand_over(now);
        let slos = self.drill.plan.slos.iter();
        let left = slos.filter_map(|slo| {
            let answer = self.engine.answer(self.engine.id(&slo.name)?, now);
            Some((slo.name.clone(), answer.budget.remaining.into()))
        });
        left.collect()
    }

    /// Incidents that are open.
    pub(crate) fn open_incidents(&self) -> usize {
        self.desk.incidents().values().filter(|it| it.status.is_open()).count()
    }

    /// The type of an incident at this moment.
    pub(crate) fn type_of(&self, id: &str) -> Option<&str> {
        self.desk.incidents().get(id).map(|it| it.kind.as_str())
    }

    /// Looks at what happened since the last time.
    pub(crate) fn look(&mut self, now: Time) {
        let now = civil(self.drill, now);
        self.hand_over(now);
        self.engine.handle_timeout(now);
        while let Some(effect) = self.engine.poll_effect() {
            let event = Event::from(effect);
            self.tell_of(&event.kind);
            self.events.push(event);
        }
        for event in std::mem::take(&mut self.events) {
            self.desk.handle_event(&event, now);
        }
        self.arrive(now);
        self.act(now);
        if self.desk.poll_timeout().is_some_and(|due| due <= now) {
            self.desk.handle_timeout(now);
        }
    }

    /// What came of it.
    pub(crate) fn news(&mut self, now: Time) -> Vec<News> {
        let taken = self.desk.take_changes();
        self.follow(taken);
        self.send(civil(self.drill, now));
        std::mem::take(&mut self.news)
    }

    /// Something was done, or was not: the desk hears what came of it.
    pub(crate) fn done(&mut self, doing: &Doing, result: Result<(), String>, now: Time) {
        let now = civil(self.drill, now);
        self.desk.handle_done(&doing.incident, doing.action, result.map(|()| None), now);
    }

    /// When that is in the world's time.
    pub(crate) fn in_world(&self, at: Time) -> Time {
        START + at.since(self.drill.around.starts)
    }

    /// Counts up to now: those of a bucket that ends at this moment are its own.
    fn hand_over(&mut self, now: Time) {
        for at in 0..self.open.len() {
            let counts = std::mem::take(&mut self.open[at]);
            if counts.total() > 0 {
                self.engine.handle_counts(ObjectiveId(at), now - Duration::from_nanos(1), counts, now);
            }
        }
    }

    fn tell_of(&mut self, kind: &EventKind) {
        match kind {
            EventKind::SloAlertFired(alert) => {
                // A trickle's is that of the whole window, which says nothing about now.
                let burn = alert.burn.filter(|_| alert.why == "burn");
                let burn = burn.map(|burn| format!(", {burn:.1} times as fast as it may")).unwrap_or_default();
                let line = format!("objective {}: {} ({}{burn})", alert.slo, alert.severity, alert.why);
                self.news.extend([News::Alert, News::Line(line)]);
            }
            EventKind::SloAlertResolved(alert) => {
                self.news.push(News::Line(format!("objective {}: {} no more", alert.slo, alert.severity)));
            }
            EventKind::SloStatusChanged { slo, from, to, remaining, .. } => {
                let line = format!("objective {slo}: {from} -> {to}, {:.1} % left", remaining * 1e2);
                self.news.push(News::Line(line));
            }
            _ => {}
        }
    }

    fn follow(&mut self, taken: Taken) {
        for (incident, is_new) in &taken.incidents {
            self.compare(incident, *is_new);
        }
        for kind in taken.events {
            if let EventKind::IncidentNotified { incident, channel, purpose, outcome, .. } = kind {
                let line = format!("incident {incident}: {purpose} by {channel} {outcome}");
                self.news.push(News::Line(line));
                if purpose == "page" && outcome == "delivered" {
                    self.news.push(News::Paged);
                }
            }
        }
        self.news.extend(taken.doing.into_iter().map(News::Do));
    }

    /// Tells what is new of an incident.
    fn compare(&mut self, incident: &Incident, is_new: bool) {
        let id = &incident.id;
        let before = self.seen.get(id).copied().unwrap_or_default();
        let after = Seen {
            acknowledged: incident.acknowledged.is_some(),
            mitigated: incident.mitigated.is_some(),
            status: Some(incident.status),
        };
        let Incident { severity, kind, title, status, .. } = incident;
        if is_new {
            self.news.push(News::Opened { id: id.clone(), kind: kind.clone() });
            self.news.push(News::Line(format!("incident {id}: opened, {}, {kind}: {title}", severity.as_str())));
        } else if before.status != after.status {
            self.news.push(News::Line(format!("incident {id}: {}", status.as_str())));
        }
        if after.acknowledged && !before.acknowledged {
            self.news.push(News::Acknowledged);
        }
        if after.mitigated && !before.mitigated {
            self.news.push(News::Mitigated);
        }
        if *status == Status::Resolved && before.status != after.status {
            self.news.push(News::Resolved);
        }
        self.seen.insert(id.clone(), after);
        self.may_resolve(incident);
    }

    /// Begins what is due to be sent.
    fn send(&mut self, now: Time) {
        for delivery in self.desk.due(now) {
            self.desk.handle_trying(&delivery.id);
            self.flying.push((now + ON_ITS_WAY, delivery));
        }
    }

    /// Notices that are there by now.
    fn arrive(&mut self, now: Time) {
        let flying = std::mem::take(&mut self.flying);
        let (there, flying): (Vec<_>, Vec<_>) = flying.into_iter().partition(|(at, _)| *at <= now);
        self.flying = flying;
        for (_, delivery) in there {
            let channels = &self.drill.plan.incidents.channels;
            let channel = channels.iter().position(|it| it.name == delivery.channel);
            let outcome = match channel {
                Some(at) if self.down[at] => Outcome::Later { after: None, why: "nobody is reached".to_owned() },
                Some(_) => Outcome::Delivered { provider: None },
                None => Outcome::Refused { why: "there is no such channel".to_owned() },
            };
            let heard =
                matches!(outcome, Outcome::Delivered { .. }) && self.desk.deliveries().contains_key(&delivery.id);
            self.desk.handle_sent(&delivery.id, outcome, now);
            if heard {
                self.hear(&delivery, now);
            }
        }
    }
}

/// The moment of civil time that a moment of the world is.
fn civil(drill: &Drill, at: Time) -> Time {
    drill.around.starts + at.since(START)
}

/// Objectives that requests of a route count for: their indices. What a filter asks is not known of a request here.
fn counting(plan: &Plan, route: &str) -> Vec<usize> {
    let counts = |slo: &Objective| {
        let kind = match slo.kind {
            Kind::Availability { .. } | Kind::Latency { .. } | Kind::FeatureFreshness { .. } => true,
            Kind::Safety { .. }
            | Kind::Quality { .. }
            | Kind::ModelFreshness { .. }
            | Kind::ReviewAge { .. }
            | Kind::External { .. } => false,
        };
        kind && slo.scope.filter.is_none() && slo.scope.route.as_deref().is_none_or(|of| of == route)
    };
    (0..plan.slos.len()).filter(|at| counts(&plan.slos[*at])).collect()
}
