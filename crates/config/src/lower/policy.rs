//! Policies and maintenance: what they name must be there.

use std::time::Duration;

use mainstay_core::slo::correction::Maintenance;
use mainstay_core::slo::objective::Objective;
use mainstay_core::slo::policy::{Policy, Rule};

use super::{entries, no_such, value_or};
use crate::code::Code;
use crate::finding::Finding;
use crate::raw::{Root, policy as raw};
use crate::read::{Entry, Reader};
use crate::span::At;

/// A maintenance window that takes longer leaves nothing to count.
const LENGTH_MAX: Duration = Duration::from_hours(24);

/// The policies of a config; objectives may name these and no others.
pub(super) fn policies(root: &Root, reader: &mut Reader<'_>) -> Vec<Policy> {
    let written = entries(root.policies.as_ref());
    let names: Vec<&str> = written.iter().map(|entry| entry.name.value.as_str()).collect();
    for at in super::slo::policies_named(root) {
        if !names.contains(&at.value.as_str()) {
            no_such(at, "budget policy", &names, reader);
        }
    }
    written.iter().filter_map(policy).collect()
}

fn policy(entry: &Entry<raw::Policy>) -> Option<Policy> {
    let rules = entry.value.as_ref()?.value.rules.as_ref()?;
    let rule = |at: &At<raw::Rule>| {
        let refuse = at.value.refuse.as_ref()?.value.iter().map(|action| action.value).collect();
        Some(Rule { below: at.value.below.as_ref()?.value, refuse })
    };
    Some(Policy { name: entry.name.value.clone(), rules: rules.value.iter().filter_map(rule).collect() })
}

/// The maintenance of a config.
pub(super) fn maintenance(root: &Root, slos: &[Objective], reader: &mut Reader<'_>) -> Vec<Maintenance> {
    let names: Vec<&str> = slos.iter().map(|slo| slo.name.as_str()).collect();
    entries(root.maintenance.as_ref()).iter().filter_map(|entry| window(entry, &names, reader)).collect()
}

fn window(entry: &Entry<raw::Maintenance>, known: &[&str], reader: &mut Reader<'_>) -> Option<Maintenance> {
    let raw = &entry.value.as_ref()?.value;
    let objectives = raw.objectives.as_ref().map_or(&[][..], |list| &list.value);
    for name in objectives.iter().filter(|name| !known.contains(&name.value.as_str())) {
        no_such(name, "objective", known, reader);
    }
    let length = raw.length.as_ref()?;
    if length.value > LENGTH_MAX {
        let message = format!("{:?} is longer than a day", length.value);
        reader.report(Finding::new(Code::OutOfRange, length.span, message).help("it comes again the next day"));
    }
    let days: Vec<_> = raw.days.as_ref().map_or(&[][..], |days| &days.value).iter().map(|day| day.value).collect();
    let zone = value_or(raw.zone.as_ref(), "UTC".to_owned());
    match Maintenance::new(&entry.name.value, &days, raw.from.as_ref()?.value, length.value, &zone) {
        Ok(mut maintenance) => {
            maintenance.objectives = objectives.iter().map(|name| name.value.clone()).collect();
            Some(maintenance)
        }
        Err(error) => {
            let span = raw.zone.as_ref().map_or(entry.name.span, |zone| zone.span);
            reader.report(Finding::new(Code::Zone, span, error.to_string()).help("such as `Europe/Berlin`"));
            None
        }
    }
}
