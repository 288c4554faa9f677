//! The desk: what becomes an incident, who is told, and what ends it.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod experiments;
mod grouping;
mod lifecycle;
mod paging;
mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mainstay_core::event::{DriftChange, Event, EventKind, QualityChange, SloAlert, TrainingEnded};
use mainstay_core::incident::escalation::{Policy, Step, Target};
use mainstay_core::incident::oncall::{Layer, Person, Schedule, Turn};
use mainstay_core::incident::record::Incident;
use mainstay_core::plan::{Channel, ChannelBy, Incidents};
use mainstay_core::response::delivery::{Delivery, Outcome};
use mainstay_core::response::desk::{Desk, Terms};
use mainstay_core::response::fact::{ALERT, Change, Fact};
use mainstay_core::response::reach::{Promise, Reach};
use mainstay_core::route::Level;
use mainstay_core::time::Time;

/// 2026-03-02T10:00:00Z, a Monday.
pub(crate) const START: Time = Time::from_secs(1_772_445_600);

pub(crate) fn at(secs: u64) -> Time {
    START + Duration::from_secs(secs)
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub(crate) fn channel(name: &str, fallback: Option<&str>) -> Channel {
    Channel {
        name: name.to_owned(),
        by: ChannelBy::Alertmanager { url: "http://127.0.0.1:9".to_owned() },
        fallback: fallback.map(str::to_owned),
        deadline: Duration::from_mins(10),
        private_redirects: false,
    }
}

fn person(name: &str, channels: &[&str]) -> Person {
    let channels = channels.iter().map(|it| (*it).to_owned()).collect();
    Person { name: name.to_owned(), channels, email: None }
}

/// Two routes with a backend and a model each; the first uses features. Ada and Bob take turns, and Cleo comes after them.
pub(crate) fn terms() -> Terms {
    let promise = |category: &str, kind: &str, route: Option<&str>| Promise {
        category: category.to_owned(),
        kind: kind.to_owned(),
        route: route.map(str::to_owned),
        model: None,
    };
    let reach = Reach {
        routes: names(&["score", "chat"]),
        backends: BTreeMap::from([("primary".to_owned(), names(&["score"])), ("llm".to_owned(), names(&["chat"]))]),
        features: BTreeMap::from([("account".to_owned(), names(&["score"]))]),
        models: BTreeMap::from([("fraud".to_owned(), names(&["score"])), ("big".to_owned(), names(&["chat"]))]),
        objectives: BTreeMap::from([
            ("availability".to_owned(), promise("availability", "availability", None)),
            ("latency".to_owned(), promise("latency", "latency_p99", Some("score"))),
            ("chat_latency".to_owned(), promise("latency", "latency_p99", Some("chat"))),
            ("quality".to_owned(), promise("quality", "quality_precision", Some("score"))),
            ("features".to_owned(), promise("freshness", "feature_freshness", Some("score"))),
            ("safety".to_owned(), promise("safety", "safety", Some("chat"))),
        ]),
        ..Reach::default()
    };
    let layer = Layer {
        name: "week".to_owned(),
        start: "2026-01-05T09:00".parse().unwrap(),
        until: None,
        turn: Turn::Weeks(1),
        people: vec!["ada".to_owned(), "bob".to_owned()],
        only: Vec::new(),
    };
    let zone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
    let policy = Policy {
        name: "ml".to_owned(),
        steps: vec![
            Step { after: Duration::ZERO, tell: vec![Target::Schedule("ml".to_owned())] },
            Step { after: Duration::from_mins(5), tell: vec![Target::Person("cleo".to_owned())] },
        ],
        repeat: 1,
    };
    let incidents = Incidents {
        notify: vec!["team".to_owned()],
        policy: Some("ml".to_owned()),
        people: vec![person("ada", &["pager", "mail"]), person("bob", &["pager"]), person("cleo", &["mail"])],
        schedules: vec![Schedule { name: "ml".to_owned(), zone, layers: vec![layer] }],
        policies: vec![policy],
        channels: vec![channel("pager", None), channel("mail", None), channel("team", None)],
        ..Incidents::default()
    };
    Terms { service: "fraud".to_owned(), environment: "production".to_owned(), incidents, reach }
}

pub(crate) fn desk() -> Desk {
    Desk::new(terms(), 7)
}

pub(crate) fn burn(slo: &str, severity: &'static str) -> EventKind {
    EventKind::SloAlertFired(alert(slo, severity, "burn"))
}

pub(crate) fn alert(slo: &str, severity: &'static str, why: &'static str) -> SloAlert {
    let slo = slo.to_owned();
    SloAlert {
        slo,
        severity: severity.into(),
        why: why.into(),
        long_s: Some(3600),
        short_s: None,
        factor: None,
        burn: Some(20.0),
    }
}

pub(crate) fn breaker(backend: &str, to: &'static str) -> EventKind {
    let (from, reason) = ("closed".into(), "streak".into());
    EventKind::BreakerChanged { backend: backend.to_owned(), from, to: to.into(), reason }
}

pub(crate) fn level(route: &str, to: u8, reason: &'static str) -> EventKind {
    let (from, to) = (Level::new(0).unwrap(), Level::new(to).unwrap());
    EventKind::LevelChanged { route: route.to_owned(), from, to, reason: reason.into() }
}

pub(crate) fn drift(name: &str, to: &'static str, method: &'static str) -> EventKind {
    EventKind::DriftStatusChanged(DriftChange {
        name: name.to_owned(),
        route: Some("score".to_owned()),
        from: "ok".into(),
        to: to.into(),
        method: Some(method.into()),
        value: Some(0.4),
    })
}

pub(crate) fn quality(metric: &str, to: &'static str) -> EventKind {
    let (route, metric) = ("score".to_owned(), metric.to_owned());
    EventKind::QualityStatusChanged(QualityChange {
        route,
        metric,
        from: "likely_healthy".into(),
        to: to.into(),
        value: Some(0.5),
    })
}

pub(crate) fn run(failed: bool) -> EventKind {
    let state = if failed { "failed" } else { "succeeded" };
    let ended = TrainingEnded {
        run: "r-1".to_owned(),
        name: "fraud".to_owned(),
        state: state.into(),
        reason: "oom".into(),
        step: 90_000,
        attempts: 3,
    };
    if failed { EventKind::TrainingFailed(ended) } else { EventKind::TrainingFinished(ended) }
}

pub(crate) fn signal(name: &str, to: &'static str) -> EventKind {
    EventKind::SignalChanged { name: name.to_owned(), from: "within".into(), to: to.into(), value: 0.8, bound: 0.5 }
}

/// An alert of another system.
pub(crate) fn outside(key: &str, group: &str, labels: &[(&str, &str)]) -> Change {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let group = Some(format!("alert:{group}"));
    Change::Began(Fact { key: format!("alert/{key}"), kind: ALERT.into(), labels, text: format!("{key} fires"), group })
}

pub(crate) trait Play {
    /// Something happens, so many seconds after the start.
    fn hear(&mut self, secs: u64, kind: EventKind);
    /// Time passes: everything that is due until then is done.
    fn pass(&mut self, until: u64);
    /// The only incident there is.
    fn only(&self) -> &Incident;
    /// What waits to be sent, by channel and purpose.
    fn waiting(&self) -> Vec<String>;
    /// Everything that is due is sent, and arrives.
    fn deliver(&mut self, secs: u64) -> Vec<Delivery>;
}

impl Play for Desk {
    fn hear(&mut self, secs: u64, kind: EventKind) {
        self.pass(secs);
        self.handle_event(&Event { at: at(secs), kind }, at(secs));
    }

    fn pass(&mut self, until: u64) {
        for _ in 0..10_000 {
            match self.poll_timeout().filter(|due| *due <= at(until)) {
                // What waits to be sent is due all the time; only time is let pass here.
                Some(due) if self.deliveries().values().all(|it| it.next.min(it.deadline) > due) => {
                    self.handle_timeout(due);
                }
                _ => break,
            }
        }
        self.handle_timeout(at(until));
    }

    fn only(&self) -> &Incident {
        let all: Vec<&Incident> = self.incidents().values().collect();
        assert_eq!(all.len(), 1, "{:?}", all.iter().map(|it| &it.title).collect::<Vec<_>>());
        all[0]
    }

    fn waiting(&self) -> Vec<String> {
        let told = |it: &Delivery| {
            let whom = it.notice.person.as_ref().map(|it| format!(" {it}")).unwrap_or_default();
            format!("{} {}{whom}", it.notice.purpose.as_str(), it.channel)
        };
        self.deliveries().values().map(told).collect()
    }

    fn deliver(&mut self, secs: u64) -> Vec<Delivery> {
        let due = self.due(at(secs));
        for delivery in &due {
            self.handle_sent(&delivery.id, Outcome::Delivered { provider: None }, at(secs));
        }
        due
    }
}
