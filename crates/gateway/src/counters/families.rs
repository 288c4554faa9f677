//! The totals under the names that the contract gives them.

use mainstay_core::metric::{Family, Histogram, Kind, Sample, Value};
use mainstay_core::route::Level;

use super::totals::Model;
use super::{FeatureCounters, RouteCounters, Totals, checks, language};

type Labels = Vec<(&'static str, String)>;

impl Totals {
    /// All families that are made of counts.
    pub(crate) fn families(&self) -> Vec<Family> {
        let mut all = self.request_families();
        all.extend(self.degradation_families());
        all.extend(self.prediction_families());
        all.extend(self.feature_families());
        all.extend(self.fault_families());
        all.push(self.hedges());
        all.extend(checks::families(&self.checks));
        all.extend(language::families(&self.languages));
        let refused = self.refused.iter().map(|(why, n)| (vec![("reason", (*why).to_owned())], *n));
        all.push(counters("mainstay_refused_requests", "Requests that reached no route.", refused));
        all
    }

    fn request_families(&self) -> Vec<Family> {
        let requests = self.routes.iter().flat_map(|(route, r)| {
            r.requests.iter().map(move |answered| {
                let level = answered.level.map_or_else(|| "none".to_owned(), |l| l.to_string());
                let (class, code) = (answered.class.to_string(), answered.code.to_string());
                (vec![route_label(route), ("class", class), ("level", level), ("code", code)], answered.count)
            })
        });
        let shed = self.routes.iter().flat_map(|(route, r)| {
            r.shed.iter().map(move |((class, why), n)| {
                (vec![route_label(route), ("class", class.to_string()), ("reason", (*why).to_owned())], *n)
            })
        });
        let of_route = |pick: fn(&RouteCounters) -> &Histogram| {
            self.routes.iter().map(move |(route, r)| (vec![route_label(route)], pick(r).clone()))
        };
        vec![
            counters("mainstay_requests", "Requests by class, answering level and status code.", requests),
            histograms(
                "mainstay_request_duration_seconds",
                "From the head of a request to the end of its answer.",
                of_route(|r| &r.duration),
            ),
            histograms(
                "mainstay_overhead_seconds",
                "What of a request's time was not spent waiting for a backend or a feature store.",
                of_route(|r| &r.overhead),
            ),
            counters("mainstay_shed", "Requests turned away by a full backend, or blocked by what they hold.", shed),
        ]
    }

    fn degradation_families(&self) -> Vec<Family> {
        let events = self.routes.values().flat_map(|r| &r.degradations);
        let mut by_step = std::collections::BTreeMap::new();
        for ((from, to, why), n) in events {
            *by_step.entry((*from, *to, *why)).or_insert(0) += n;
        }
        let events = by_step.into_iter().map(|((from, to, why), n)| {
            (vec![("from_level", from.to_string()), ("to_level", to.to_string()), ("reason", why.to_owned())], n)
        });
        let served = self.routes.iter().flat_map(|(route, r)| {
            (0..Level::COUNT).map(move |l| (vec![route_label(route), ("level", l.to_string())], r.served[l]))
        });
        let entry = |route: &String, level: &Level, kind: &str| {
            vec![route_label(route), ("level", level.to_string()), ("kind", kind.to_owned())]
        };
        let failures = self.routes.iter().flat_map(|(route, r)| {
            r.entries.iter().flat_map(move |((level, kind), counted)| {
                counted.failures.iter().map(move |(reason, n)| {
                    let mut labels = entry(route, level, kind);
                    labels.push(("reason", (*reason).to_owned()));
                    (labels, *n)
                })
            })
        });
        let late = self.routes.iter().flat_map(|(route, r)| {
            r.entries.iter().map(move |((level, kind), counted)| (entry(route, level, kind), counted.late))
        });
        let failed = self.routes.iter().map(|(route, r)| (vec![route_label(route)], r.all_failed));
        let errors = self.routes.iter().map(|(route, r)| (vec![route_label(route)], r.rule_errors));
        vec![
            counters("mainstay_degradation_events", "Requests that were passed to a deeper level.", events),
            counters("mainstay_fallback_level", "Answers by level.", served),
            counters("mainstay_answer_failures", "Requests that an entry had no answer for, by reason.", failures),
            counters("mainstay_answers_late", "Local answers that took longer than they may.", late),
            counters("mainstay_all_failed", "Requests that no level answered.", failed),
            counters("mainstay_rule_errors", "Rules that could not be evaluated, and so did not match.", errors),
        ]
    }

    fn prediction_families(&self) -> Vec<Family> {
        let labels = |m: &Model| vec![("model", m.name.clone()), ("model_version", m.version.clone())];
        let confidence = self
            .routes
            .iter()
            .filter(|(_, r)| r.confidence.count() > 0)
            .map(|(route, r)| (vec![route_label(route)], r.confidence.clone()));
        let predictions = self.models.iter().map(|(m, counted)| (labels(m), counted.predictions));
        let latency = self.models.iter().map(|(m, counted)| (labels(m), counted.latency.clone()));
        vec![
            counters("mainstay_predictions", "Answers by models.", predictions),
            histograms("mainstay_prediction_latency_seconds", "How long models took to answer.", latency),
            histograms("mainstay_prediction_confidence", "Confidence as reported by the answers.", confidence),
        ]
    }

    fn fault_families(&self) -> [Family; 2] {
        let count = |at: usize| {
            self.routes.iter().flat_map(move |(route, r)| {
                r.faults.iter().map(move |(fault, counted)| {
                    (vec![("fault", (*fault).to_owned()), route_label(route)], counted[at])
                })
            })
        };
        [
            counters("mainstay_faults_injected", "Requests that met a fault on purpose.", count(0)),
            counters("mainstay_faults_spared", "Requests that a cap kept from meeting a fault on purpose.", count(1)),
        ]
    }

    fn hedges(&self) -> Family {
        let hedges = self.routes.iter().flat_map(|(route, r)| {
            r.hedges.iter().map(move |(outcome, n)| (vec![route_label(route), ("outcome", (*outcome).to_owned())], *n))
        });
        let help = "Late calls that were made a second time, by whose answer was given, or that could not be.";
        counters("mainstay_hedges", help, hedges)
    }

    fn feature_families(&self) -> Vec<Family> {
        let label = |set: &String| vec![("features", set.clone())];
        let latency = self.features.iter().map(|(set, f)| (label(set), f.latency.clone()));
        let count = |pick: fn(&FeatureCounters) -> u64| self.features.iter().map(move |(set, f)| (label(set), pick(f)));
        vec![
            histograms("mainstay_feature_retrieval_latency_seconds", "How long feature stores took.", latency),
            counters("mainstay_feature_cache_hits", "Feature values found in the cache.", count(|f| f.hits)),
            counters("mainstay_feature_cache_misses", "Feature values that the cache lacked.", count(|f| f.misses)),
            counters("mainstay_stale_features", "Stale feature values that were served.", count(|f| f.stale)),
        ]
    }
}

/// A family of gauges.
pub(crate) fn gauges(name: &'static str, help: &'static str, of: impl Iterator<Item = (Labels, f64)>) -> Family {
    family(name, help, Kind::Gauge, of.map(|(labels, n)| (labels, Value::Gauge(n))))
}

fn counters(name: &'static str, help: &'static str, of: impl Iterator<Item = (Labels, u64)>) -> Family {
    family(name, help, Kind::Counter, of.map(|(labels, n)| (labels, Value::Count(n))))
}

fn histograms(name: &'static str, help: &'static str, of: impl Iterator<Item = (Labels, Histogram)>) -> Family {
    family(name, help, Kind::Histogram, of.map(|(labels, h)| (labels, Value::Histogram(h))))
}

fn family(name: &'static str, help: &'static str, kind: Kind, of: impl Iterator<Item = (Labels, Value)>) -> Family {
    Family { name, help, kind, samples: of.map(|(labels, value)| Sample { labels, value }).collect() }
}

fn route_label(route: &str) -> (&'static str, String) {
    ("route", route.to_owned())
}
