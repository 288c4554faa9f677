//! What those who watch saw within a span of time, and what feature stores gave.

use mainstay_core::time::Time;
use serde_json::{Map, Value, json};

use crate::store::Used;
use crate::watch::News;

/// Most incidents of which a span knows the types.
const INCIDENTS_MAX: usize = 1_000;

/// Counts of a span.
#[derive(Default)]
pub(crate) struct Watched {
    retrievals: u64,
    retrieval_failures: u64,
    cached_answers: u64,
    stale_answers: u64,
    alerts: u64,
    opened: u64,
    /// Incidents that were opened, with their types.
    types: Vec<(String, String)>,
    pages: u64,
    opened_at: Option<Time>,
    paged_at: Option<Time>,
    acknowledged_at: Option<Time>,
    mitigated_at: Option<Time>,
    resolved_at: Option<Time>,
    /// At the end: what is left of budgets, and how many incidents are open.
    at_end: Option<(Map<String, Value>, usize)>,
}

impl Watched {
    /// A retrieval is made.
    pub(crate) fn retrieves(&mut self) {
        self.retrievals += 1;
    }

    /// One failed.
    pub(crate) fn retrieval_failed(&mut self) {
        self.retrieval_failures += 1;
    }

    /// A request was answered with features.
    pub(crate) fn answered_with(&mut self, used: &Used) {
        self.cached_answers += u64::from(used.cached);
        self.stale_answers += u64::from(used.stale);
    }

    /// Takes in what those who watch saw or did.
    pub(crate) fn hear(&mut self, news: &News, now: Time) {
        let first = |at: &mut Option<Time>| {
            at.get_or_insert(now);
        };
        match news {
            News::Alert => self.alerts += 1,
            News::Opened { id, kind } => {
                self.opened += 1;
                first(&mut self.opened_at);
                if self.types.len() < INCIDENTS_MAX {
                    self.types.push((id.clone(), kind.clone()));
                }
            }
            News::Paged => {
                self.pages += 1;
                first(&mut self.paged_at);
            }
            News::Acknowledged => first(&mut self.acknowledged_at),
            News::Mitigated => first(&mut self.mitigated_at),
            News::Resolved => first(&mut self.resolved_at),
            News::Line(_) | News::Do(_) => {}
        }
    }

    /// The span ends.
    pub(crate) fn ends(&mut self, budgets: Map<String, Value>, open: usize, kind: impl Fn(&str) -> Option<String>) {
        self.at_end = Some((budgets, open));
        for (id, known) in &mut self.types {
            if let Some(kind) = kind(id) {
                *known = kind;
            }
        }
    }

    /// What expectations may ask for; of watchers only where somebody watched to the end.
    pub(crate) fn facts(&self, from: Time) -> Map<String, Value> {
        let since = |at: Option<Time>| at.map(|at| at.since(from).as_secs_f64());
        let mut facts = object(json!({
            "retrievals": self.retrievals as f64,
            "retrieval_failures": self.retrieval_failures as f64,
            "cached_answers": self.cached_answers as f64,
            "stale_answers": self.stale_answers as f64,
        }));
        if let Some((budgets, open)) = &self.at_end {
            facts.extend(object(json!({
                "alerts": self.alerts as f64,
                "budget_left": budgets,
                "incidents": self.opened as f64,
                "incidents_open": *open as f64,
                "incident_types": self.types.iter().map(|(_, kind)| kind.as_str()).collect::<Vec<_>>(),
                "incident_opened_s": since(self.opened_at),
                "pages": self.pages as f64,
                "paged_s": since(self.paged_at),
                "acknowledged_s": since(self.acknowledged_at),
                "mitigated_s": since(self.mitigated_at),
                "resolved_s": since(self.resolved_at),
            })));
        }
        facts
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
