//! Numbers of incidents and notices.

use std::collections::BTreeMap;

use mainstay_core::incident::kind::Severity;
use mainstay_core::metric::{Family, Kind, Sample, Value};
use mainstay_core::response::delivery::State;
use mainstay_core::response::desk::{Desk, Taken};

/// What was counted since the start, and what is open.
#[derive(Debug, Default)]
pub(super) struct Counted {
    open: BTreeMap<(Severity, String), u64>,
    opened: BTreeMap<(Severity, String), u64>,
    waiting: u64,
    notices: BTreeMap<(String, String, &'static str), u64>,
    heartbeats: [u64; 2],
}

impl Counted {
    pub(super) fn of(desk: &Desk) -> Counted {
        let mut counted = Counted::default();
        counted.see(desk, &Taken::default());
        counted
    }

    pub(super) fn see(&mut self, desk: &Desk, taken: &Taken) {
        self.open.clear();
        for incident in desk.incidents().values().filter(|it| it.status.is_open()) {
            *self.open.entry((incident.severity, incident.kind.clone())).or_default() += 1;
        }
        self.waiting = desk.deliveries().len() as u64;
        for (incident, _) in taken.incidents.iter().filter(|(_, is_new)| *is_new) {
            *self.opened.entry((incident.severity, incident.kind.clone())).or_default() += 1;
        }
        for delivery in taken.deliveries.iter().filter(|it| it.state != State::Pending) {
            let key = (delivery.channel.clone(), delivery.notice.purpose.as_str().to_owned(), delivery.state.as_str());
            *self.notices.entry(key).or_default() += 1;
        }
    }

    pub(super) fn heartbeat(&mut self, heard: bool) {
        self.heartbeats[usize::from(!heard)] += 1;
    }

    pub(super) fn families(&self) -> Vec<Family> {
        let of = |counts: &BTreeMap<(Severity, String), u64>, value: fn(u64) -> Value| {
            let sample = |((severity, kind), count): (&(Severity, String), &u64)| Sample {
                labels: vec![("severity", severity.as_str().to_owned()), ("type", kind.clone())],
                value: value(*count),
            };
            counts.iter().map(sample).collect::<Vec<_>>()
        };
        let gauge: fn(u64) -> Value = |count| Value::Gauge(count as f64);
        let notices = self.notices.iter().map(|((channel, purpose, outcome), count)| Sample {
            labels: vec![
                ("channel", channel.clone()),
                ("purpose", purpose.clone()),
                ("outcome", (*outcome).to_owned()),
            ],
            value: Value::Count(*count),
        });
        let beats = ["heard", "unheard"].iter().zip(self.heartbeats);
        let beats = beats.filter(|_| self.heartbeats != [0, 0]).map(|(outcome, count)| Sample {
            labels: vec![("outcome", (*outcome).to_owned())],
            value: Value::Count(count),
        });
        let family = |name, help, kind, samples: Vec<Sample>| Family { name, help, kind, samples };
        vec![
            family("mainstay_incidents_open", "Incidents that are open", Kind::Gauge, of(&self.open, gauge)),
            family("mainstay_incidents", "Incidents that were opened", Kind::Counter, of(&self.opened, Value::Count)),
            family("mainstay_notices", "Notices by what became of them", Kind::Counter, notices.collect()),
            family(
                "mainstay_notices_waiting",
                "Notices that wait to be delivered",
                Kind::Gauge,
                vec![Sample { labels: Vec::new(), value: gauge(self.waiting) }],
            ),
            family(
                "mainstay_heartbeats",
                "Heartbeats to whoever notices that mainstay is gone",
                Kind::Counter,
                beats.collect(),
            ),
        ]
    }
}
