//! Alert policies: checked, and said that mainstay alerts by its own table.

use std::collections::BTreeMap;

use super::documents::{Documents, Named, check_metadata};
use super::duration::Stretch;
use super::wire::{self, Comparison};
use crate::code::Code;
use crate::finding::Finding;
use crate::lower::no_such;
use crate::read::Reader;
use crate::span::{At, Span};

/// Whatever is wrong with policies, conditions and targets that are documents of their own.
pub(super) fn check(documents: &Documents, reader: &mut Reader<'_>) {
    for condition in documents.conditions.values().filter_map(|condition| condition.spec.as_ref()) {
        condition_holds(condition, reader);
    }
    for policy in documents.policies.values() {
        if let Some(spec) = &policy.spec {
            policy_holds(spec, policy.at, documents, reader);
        }
    }
}

/// The policies of one objective, given the least of its budgets (1 - target).
pub(super) fn of_slo(
    policies: &[At<wire::SloAlertPolicy>],
    budget: f64,
    documents: &Documents,
    reader: &mut Reader<'_>,
) {
    for policy in policies {
        let raw = &policy.value;
        check_inline(raw.kind.as_ref(), "AlertPolicy", raw.metadata.as_ref(), reader);
        match (&raw.alertPolicyRef, &raw.spec) {
            (Some(name), None) => {
                if let Some(found) = referred(&documents.policies, name, "AlertPolicy", reader) {
                    reachable(found, budget, documents, reader);
                }
            }
            (None, Some(spec)) => {
                policy_holds(&spec.value, policy.span, documents, reader);
                reachable(&spec.value, budget, documents, reader);
            }
            (Some(_), Some(_)) | (None, None) => one_of(policy.span, "`alertPolicyRef` or an inline policy", reader),
        }
    }
}

fn policy_holds(policy: &wire::AlertPolicy, at: Span, documents: &Documents, reader: &mut Reader<'_>) {
    let message = "mainstay alerts by its own burn rates; this policy is checked and not carried over";
    reader.report(Finding::new(Code::NoEffect, at, message).help("`slo show NAME` lists what pages and when"));
    let conditions = policy.conditions.as_ref();
    if let Some(conditions) = conditions.filter(|conditions| conditions.value.len() != 1) {
        let message = format!("a policy has exactly one condition, not {}", conditions.value.len());
        let help = "OpenSLO cannot say that two windows must burn at once; mainstay's own alerts do";
        reader.report(Finding::new(Code::ExactlyOne, conditions.span, message).help(help));
    }
    for condition in conditions.iter().flat_map(|conditions| &conditions.value) {
        let raw = &condition.value;
        check_inline(raw.kind.as_ref(), "AlertCondition", raw.metadata.as_ref(), reader);
        match (&raw.conditionRef, &raw.spec) {
            (Some(name), None) => drop(referred(&documents.conditions, name, "AlertCondition", reader)),
            (None, Some(spec)) => condition_holds(&spec.value, reader),
            (Some(_), Some(_)) | (None, None) => {
                one_of(condition.span, "`conditionRef` or an inline condition", reader);
            }
        }
    }
    for target in policy.notificationTargets.iter().flat_map(|targets| &targets.value) {
        let raw = &target.value;
        check_inline(raw.kind.as_ref(), "AlertNotificationTarget", raw.metadata.as_ref(), reader);
        match (&raw.targetRef, &raw.spec) {
            (Some(name), None) => drop(referred(&documents.targets, name, "AlertNotificationTarget", reader)),
            (None, Some(_)) => {}
            (Some(_), Some(_)) | (None, None) => one_of(target.span, "`targetRef` or an inline target", reader),
        }
    }
}

fn condition_holds(condition: &wire::AlertCondition, reader: &mut Reader<'_>) {
    let Some(condition) = &condition.condition else { return };
    let raw = &condition.value;
    if let Some(op) = &raw.op {
        match op.value {
            Comparison::AtLeast | Comparison::Above => {}
            Comparison::AtMost | Comparison::Below => {
                let message = "this fires while the budget burns slowly, and is silent while it burns fast";
                let help = "`op: gte`; examples in the specification itself have this wrong";
                reader.report(Finding::new(Code::BurnOperator, op.span, message).help(help));
            }
        }
    }
    if let Some(threshold) = raw.threshold.as_ref().filter(|threshold| threshold.value <= 0.0) {
        let message = "a burn rate that is not above zero always holds";
        reader.report(Finding::new(Code::OutOfRange, threshold.span, message).help("such as 14.4 over 1h"));
    }
    for window in [&raw.lookbackWindow, &raw.alertAfter].into_iter().flatten() {
        // `0m` is the specification's own default of `alertAfter`.
        if window.value != "0m" || raw.alertAfter.as_ref().is_none_or(|after| after.span != window.span) {
            Stretch::read_fixed(window, reader);
        }
    }
}

/// Burn rates above 1 / budget cannot occur: all requests failing burns exactly that fast.
fn reachable(policy: &wire::AlertPolicy, budget: f64, documents: &Documents, reader: &mut Reader<'_>) {
    let highest = 1.0 / budget;
    for condition in policy.conditions.iter().flat_map(|conditions| &conditions.value) {
        let named = condition.value.conditionRef.as_ref().and_then(|name| documents.conditions.get(&name.value));
        let named = named.and_then(|named| named.spec.as_ref());
        let Some(spec) = condition.value.spec.as_ref().map(|spec| &spec.value).or(named) else { continue };
        let threshold = spec.condition.as_ref().and_then(|condition| condition.value.threshold.as_ref());
        if let Some(threshold) = threshold.filter(|threshold| threshold.value > highest) {
            let message = format!("the burn rate is never above {highest:.1}: that is when everything fails");
            let help = "a lower threshold, or a higher target";
            reader.report(Finding::new(Code::BurnUnreachable, threshold.span, message).help(help));
        }
    }
}

fn check_inline(
    kind: Option<&At<String>>,
    expected: &str,
    metadata: Option<&At<wire::Metadata>>,
    reader: &mut Reader<'_>,
) {
    if let Some(kind) = kind.filter(|kind| kind.value != expected) {
        let message = format!("`{}` is not `{expected}`", kind.value.chars().take(60).collect::<String>());
        reader.report(Finding::new(Code::UnknownWord, kind.span, message));
    }
    if let Some(metadata) = metadata {
        check_metadata(&metadata.value, reader);
    }
}

/// What a name refers to; `None` also where that was refused.
pub(super) fn referred<'d, T>(
    known: &'d BTreeMap<String, Named<T>>,
    name: &At<String>,
    what: &str,
    reader: &mut Reader<'_>,
) -> Option<&'d T> {
    let Some(found) = known.get(&name.value) else {
        let names: Vec<&str> = known.keys().map(String::as_str).collect();
        no_such(name, what, &names, reader);
        return None;
    };
    found.spec.as_ref()
}

fn one_of(span: Span, what: &str, reader: &mut Reader<'_>) {
    reader.report(Finding::new(Code::ExactlyOne, span, format!("either {what}")));
}
