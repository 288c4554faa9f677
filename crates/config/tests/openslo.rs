//! OpenSLO in and out.

use expect_test::{expect, expect_file};
use mainstay_config::openslo::{self, Imported, Into, export};
use mainstay_config::{Finding, load, prometheus_rules, render};
use mainstay_core::plan::Plan;
use mainstay_core::slo::objective::Objective;

const FULL: &str = include_str!("../../../examples/config/full.yaml");

fn full() -> Plan {
    let (plan, findings) = load(FULL);
    plan.unwrap_or_else(|| panic!("{}", render(&findings, "full.yaml", FULL, false)))
}

fn imported(text: &str, service: &str) -> Imported {
    let imported = openslo::import(text, &Into { service, ..Into::default() });
    let errors: Vec<&Finding> = imported.findings.iter().filter(|finding| finding.is_error()).collect();
    assert!(errors.is_empty(), "{}", render(&imported.findings, "openslo.yaml", text, false));
    imported
}

/// What an objective is, without the program that its filter was compiled to.
fn shown(objective: &Objective) -> String {
    let filter = objective.scope.filter.as_ref().map(|filter| filter.source().to_owned());
    let Objective { name, description, scope, window, budgeting, policy, kind } = objective;
    let scope = (&scope.route, scope.class, &scope.model, filter);
    format!("{name} {description} {scope:?} {window:?} {budgeting:?} {policy:?} {kind:?}")
}

#[test]
fn an_export_gives_back_the_same_objectives_and_then_itself() {
    let plan = full();
    let first = export(&plan.service, &plan.slos);
    assert_eq!(
        first.left_out,
        [("fraud-freshness_model".to_owned(), "OpenSLO cannot express an objective that tolerates nothing")]
    );
    let back = imported(&first.text, &plan.service);
    let kept = plan.slos.iter().filter(|objective| objective.name != "fraud-freshness_model");
    let kept: Vec<String> = kept.map(shown).collect();
    assert_eq!(back.objectives.iter().map(shown).collect::<Vec<_>>(), kept);
    assert_eq!(export(&plan.service, &back.objectives).text, first.text);
}

#[test]
fn imported_items_are_a_config_of_the_same_objectives() {
    let plan = full();
    let exported = export(&plan.service, &plan.slos).text;
    let back = imported(&exported, &plan.service);
    let start = FULL.find("\nslos:\n").expect("a section") + 1;
    let text = format!("{}{}", &FULL[..start], back.items);
    let (again, findings) = load(&text);
    let again = again.unwrap_or_else(|| panic!("{}", render(&findings, "items", &text, false)));
    let names = |objectives: &[Objective]| objectives.iter().map(shown).collect::<Vec<_>>();
    assert_eq!(names(&again.slos), names(&back.objectives));
}

#[test]
fn names_that_openslo_refuses_are_changed_and_kept() {
    let (plan, _) = load(
        "service: My.Shop\nroutes: [{ name: r, path: /x, deadline: 1s, ladder: [{ level: 4, respond: { body: {} } }] }]\n\
         slos:\n  - availability: { target: 99.9%, name: a_b }\n  - availability: { target: 99.5%, name: a.b }\n",
    );
    let plan = plan.expect("a plan");
    let exported = export(&plan.service, &plan.slos).text;
    assert!(
        exported.contains("name: my-shop\n") && exported.contains("name: a-b\n") && exported.contains("name: a-b-2\n")
    );
    let names: Vec<String> =
        imported(&exported, &plan.service).objectives.into_iter().map(|objective| objective.name).collect();
    assert_eq!(names, ["a_b", "a.b"]);
}

/// What the specification's own fields mean, without any annotation of ours.
#[test]
fn documents_of_others_become_objectives() {
    let text = include_str!("documents.openslo.yaml");
    let imported = imported(text, "web");
    expect![[r#"
        slos:
        - availability:
            budgeting: occurrences
            description: Checkout answers.
            name: checkout
            source:
              bad: sum(increase(http_requests_total{code=~"5.."}[$window]))
              prometheus: http://prometheus:9090/
              total: sum(increase(http_requests_total[$window]))
            target: 99.9%
            window: 30d
        - availability:
    "#]]
    .assert_eq(&imported.items.lines().take(12).map(|line| [line, "\n"].concat()).collect::<String>());
    expect_file!["golden/imported.txt"]
        .assert_eq(&imported.objectives.iter().map(|o| shown(o) + "\n").collect::<String>());
    let warned: Vec<&str> = imported.findings.iter().map(|finding| finding.code.as_str()).collect();
    assert_eq!(warned, ["W0703", "W0703", "W0409"]);
}

#[test]
fn v1alpha_needs_to_be_told_where_prometheus_is() {
    let text = "apiVersion: openslo/v1alpha\nkind: SLO\nmetadata: { name: a }\nspec:\n  service: s\n  budgetingMethod: Occurrences\n  \
                timeWindows: [{ unit: Week, count: 4, isRolling: true }]\n  objectives:\n    - target: 0.95\n      ratioMetrics:\n        \
                good: { source: prometheus, queryType: promql, query: 'sum(increase(ok[{{.window}}]))' }\n        \
                total: { source: prometheus, queryType: promql, query: 'sum(increase(all[{{.window}}]))' }\n";
    assert!(openslo::import(text, &Into::default()).objectives.is_empty());
    let imported = openslo::import(text, &Into { prometheus: Some("http://p:9090"), ..Into::default() });
    assert!(imported.findings.is_empty(), "{:?}", imported.findings);
    assert_eq!(imported.objectives.len(), 1);
}

#[test]
fn any_text_is_answered() {
    for text in
        ["", "---\n", "a", "[", "---\n---\n", "apiVersion: 1\n", "kind: []\nmetadata: {name: {}}\napiVersion: {}\n"]
    {
        let imported = openslo::import(text, &Into::default());
        assert!(imported.objectives.is_empty(), "{text}");
    }
}

#[test]
fn rules_are_written_in_small_groups_and_only_for_what_can_burn() {
    let plan = full();
    let rules = prometheus_rules(&plan.service, &plan.slos);
    expect_file!["golden/rules.yml"].assert_eq(&rules);
    let groups: Vec<&str> = rules.split("\n- name: ").skip(1).collect();
    assert!(groups.iter().all(|group| group.matches("\n  - ").count() <= 20));
    // A budget of nothing has no burn rate; dividing by it would give infinity.
    assert!(!rules.contains("sli-recordings-fraud-fraud-safety"));
}
