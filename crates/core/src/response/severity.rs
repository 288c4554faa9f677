//! How bad it is, by rules: what burns, how deep the answers are, and how much of the service is touched.

use std::collections::BTreeMap;

use crate::incident::kind::Severity;
use crate::incident::record::Held;

/// What must all be there, and how bad that is.
struct Rule {
    all: &'static [Condition],
    /// The least share of the service's routes that is touched.
    reach: f64,
    severity: Severity,
}

struct Condition {
    fact: &'static str,
    with: &'static [(&'static str, &'static [&'static str])],
}

const fn any(fact: &'static str) -> Condition {
    Condition { fact, with: &[] }
}

const fn one(fact: &'static str, with: &'static [(&'static str, &'static [&'static str])]) -> Condition {
    Condition { fact, with }
}

const fn rule(all: &'static [Condition], reach: f64, severity: Severity) -> Rule {
    Rule { all, reach, severity }
}

const PAGE: (&str, &[&str]) = ("severity", &["page"]);
const DEEP: Condition = one("degraded", &[("level", &["3", "4"])]);

/// The worst first; the first that holds decides. What none holds for is the least.
const RULES: [Rule; 20] = [
    rule(&[any("harm")], 0.0, Severity::Sev1),
    rule(&[one("slo_burn", &[("category", &["safety"]), PAGE])], 0.0, Severity::Sev1),
    rule(&[one("slo_burn", &[("category", &["availability"]), PAGE]), DEEP], 0.5, Severity::Sev1),
    rule(&[one("slo_burn", &[PAGE])], 0.0, Severity::Sev2),
    rule(&[one("budget", &[("status", &["exhausted"])])], 0.0, Severity::Sev2),
    rule(&[DEEP], 0.0, Severity::Sev2),
    rule(&[any("not_recovered")], 0.0, Severity::Sev2),
    rule(&[one("alert", &[("severity", &["critical", "page"])])], 0.0, Severity::Sev2),
    rule(&[any("slo_burn")], 0.0, Severity::Sev3),
    rule(&[any("budget")], 0.0, Severity::Sev3),
    rule(&[any("degraded")], 0.0, Severity::Sev3),
    rule(&[any("breaker_open")], 0.0, Severity::Sev3),
    rule(&[any("unhealthy")], 0.0, Severity::Sev3),
    rule(&[one("drift", &[("status", &["alert"])])], 0.0, Severity::Sev3),
    rule(&[one("drift", &[("method", &["missing", "out_of_range", "new_category"])])], 0.0, Severity::Sev3),
    rule(
        &[one("quality", &[("status", &["likely_violated", "violated", "critical", "exhausted"])])],
        0.0,
        Severity::Sev3,
    ),
    rule(&[any("run_failed")], 0.0, Severity::Sev3),
    rule(&[any("promotion_failed")], 0.0, Severity::Sev3),
    rule(&[any("signal")], 0.0, Severity::Sev3),
    rule(&[one("alert", &[("severity", &["error", "warning", "ticket"])])], 0.0, Severity::Sev3),
];

impl Condition {
    fn holds(&self, kind: &str, labels: &BTreeMap<String, String>) -> bool {
        let has =
            |(name, values): &(&str, &[&str])| labels.get(*name).is_some_and(|label| values.contains(&label.as_str()));
        self.fact == kind && self.with.iter().all(has)
    }
}

/// How bad these facts are together, where they touch this share of the routes.
pub fn of(facts: &[Held], reach: f64) -> Severity {
    let holds = |rule: &&Rule| {
        let seen = |condition: &Condition| facts.iter().any(|held| condition.holds(&held.fact, &held.labels));
        reach >= rule.reach && rule.all.iter().all(seen)
    };
    RULES.iter().find(holds).map_or(Severity::Sev4, |rule| rule.severity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;

    fn held(fact: &str, labels: &[(&str, &str)]) -> Held {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (fact, text) = (fact.to_owned(), String::new());
        Held { key: fact.clone(), fact, labels, text, since: Time::ZERO, until: None, times: 1 }
    }

    #[test]
    fn what_burns_and_how_far_it_reaches_decide() {
        let page = held("slo_burn", &[("category", "availability"), ("severity", "page")]);
        let deep = held("degraded", &[("level", "4")]);
        assert_eq!(of(&[], 1.0), Severity::Sev4);
        assert_eq!(of(&[held("change", &[])], 1.0), Severity::Sev4);
        assert_eq!(of(&[held("slo_burn", &[("severity", "ticket")])], 1.0), Severity::Sev3);
        assert_eq!(of(std::slice::from_ref(&page), 1.0), Severity::Sev2);
        assert_eq!(of(&[page.clone(), deep.clone()], 0.4), Severity::Sev2);
        assert_eq!(of(&[page, deep], 0.5), Severity::Sev1);
        assert_eq!(of(&[held("harm", &[])], 0.0), Severity::Sev1);
    }

    #[test]
    fn rules_are_ordered_by_what_they_say() {
        assert!(RULES.is_sorted_by_key(|rule| rule.severity));
    }
}
