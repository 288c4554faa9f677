//! `chaos`: when experiments may run, who has to agree, and the config's own.

use std::time::Duration;

use mainstay_core::chaos::window::{Deny, DenyWhen, Weekly, Windows};
use mainstay_core::experiments::reference::{Why, astray};
use mainstay_core::plan::{Chaos, Plan};

use super::oncall::zone;
use super::{at_most, check_distinct, empty, no_effect, no_such, value, value_or};
use crate::code::Code;
use crate::finding::Finding;
use crate::raw::chaos as raw;
use crate::raw::experiment::Written;
use crate::raw::policy::DayName;
use crate::read::Reader;
use crate::span::At;
use crate::values::Moment;

/// Most stretches and days each.
const STRETCHES_MAX: usize = 1_000;
/// Most experiments of a config.
const EXPERIMENTS_MAX: usize = 500;
/// Longest reason, in bytes.
const REASON_MAX: usize = 200;
/// Bounds of a lease: shorter ones end by a slow machine, longer ones leave a fault behind for too long.
const LEASE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_mins(1));
/// An approval that is older says nothing of the service as it is.
const APPROVAL_MAX: Duration = Duration::from_hours(90 * 24);

pub(super) fn chaos(raw: Option<&At<raw::Chaos>>, reader: &mut Reader<'_>) -> Chaos {
    let Some(At { value: raw, .. }) = raw else { return Chaos::default() };
    let default = Chaos::default();
    if let Some(lease) = raw.lease.as_ref().filter(|lease| !(LEASE.0..=LEASE.1).contains(&lease.value)) {
        reader.report(Finding::new(Code::OutOfRange, lease.span, "a lease is from 2 to 60 seconds"));
    }
    if let Some(approval) = raw.approval_for.as_ref().filter(|it| it.value > APPROVAL_MAX) {
        reader.report(Finding::new(Code::OutOfRange, approval.span, "an approval counts for 90 days at most"));
    }
    if let (Some(At { value: None, span }), Some(_)) = (&raw.approval, &raw.approval_for) {
        no_effect(*span, "`approval_for` stands beside `approval: never`", reader);
    }
    if let Some(holidays) = &raw.holidays {
        at_most(holidays, STRETCHES_MAX, "holidays", reader);
    }
    let windows = Windows {
        zone: zone(raw.zone.as_ref(), reader).unwrap_or(default.windows.zone),
        allow: raw.allow.as_ref().map(|allow| allowed(allow, reader)),
        deny: raw.deny.as_ref().map_or_else(Vec::new, |deny| denied(deny, reader)),
        holidays: raw.holidays.as_ref().map_or_else(Vec::new, |days| days.value.iter().map(|day| day.value).collect()),
    };
    Chaos {
        windows,
        approval: value_or(raw.approval.as_ref(), default.approval),
        approval_for: value_or(raw.approval_for.as_ref(), default.approval_for),
        lease: value_or(raw.lease.as_ref(), default.lease),
        min_budget: value_or(raw.min_budget.as_ref(), default.min_budget),
        keep_touched: value_or(raw.keep_touched.as_ref(), default.keep_touched),
        experiments: experiments(raw.experiments.as_ref(), reader),
    }
}

fn allowed(raw: &At<Vec<At<raw::Allowed>>>, reader: &mut Reader<'_>) -> Vec<Weekly> {
    if raw.value.is_empty() {
        empty(raw.span, "`allow`", reader);
    }
    at_most(raw, STRETCHES_MAX, "stretches", reader);
    let stretch = |At { value: raw, .. }: &At<raw::Allowed>| {
        let days = days(raw.days.as_ref(), reader);
        Some(Weekly { days, from: raw.from.as_ref()?.value, to: raw.to.as_ref()?.value })
    };
    raw.value.iter().filter_map(stretch).collect()
}

fn denied(raw: &At<Vec<At<raw::Denied>>>, reader: &mut Reader<'_>) -> Vec<Deny> {
    at_most(raw, STRETCHES_MAX, "stretches", reader);
    raw.value.iter().filter_map(|raw| deny(&raw.value, reader)).collect()
}

fn deny(raw: &raw::Denied, reader: &mut Reader<'_>) -> Option<Deny> {
    if let Some(reason) = raw.reason.as_ref().filter(|reason| reason.value.len() > REASON_MAX) {
        reader.report(Finding::new(Code::OutOfRange, reason.span, format!("a reason has at most {REASON_MAX} bytes")));
    }
    let (from, to) = (raw.from.as_ref()?, raw.to.as_ref()?);
    let when = match (from.value, to.value) {
        (Moment::Day(first), Moment::Day(last)) => {
            if last < first {
                reader.report(Finding::new(Code::Order, to.span, "the last day is before the first"));
            }
            if let Some(days) = &raw.days {
                no_effect(days.span, "`days` go with times of day", reader);
            }
            DenyWhen::Days(first, last)
        }
        (Moment::Clock(Some(from)), Moment::Clock(to)) => {
            DenyWhen::Weekly(Weekly { days: days(raw.days.as_ref(), reader), from, to })
        }
        (Moment::Clock(None), _) => {
            let finding = Finding::new(Code::Clock, from.span, "nothing starts at `24:00`");
            reader.report(finding.help("it is `00:00` of the next day"));
            return None;
        }
        (Moment::Day(_), Moment::Clock(_)) | (Moment::Clock(_), Moment::Day(_)) => {
            let finding =
                Finding::new(Code::Order, to.span, "one of `from` and `to` is a day and the other a time of day");
            reader.report(finding.help("from a day to a day, or the same stretch of each week by times of day"));
            return None;
        }
    };
    Some(Deny { when, reason: value(raw.reason.clone()) })
}

fn days(raw: Option<&At<Vec<At<jiff::civil::Weekday>>>>, reader: &mut Reader<'_>) -> Vec<jiff::civil::Weekday> {
    let Some(raw) = raw else { return DayName::ALL.to_vec() };
    if raw.value.is_empty() {
        empty(raw.span, "`days`", reader);
    }
    raw.value.iter().map(|day| day.value).collect()
}

fn experiments(
    raw: Option<&At<Vec<At<Written>>>>,
    reader: &mut Reader<'_>,
) -> Vec<mainstay_core::chaos::experiment::Experiment> {
    let Some(raw) = raw else { return Vec::new() };
    at_most(raw, EXPERIMENTS_MAX, "experiments", reader);
    let named = |written: &At<Written>| At::new(written.value.experiment.name.clone(), written.value.place("name"));
    let names: Vec<At<String>> = raw.value.iter().map(named).collect();
    check_distinct(&names, "an experiment", reader);
    raw.value.iter().map(|written| written.value.experiment.clone()).collect()
}

/// What experiments point at, once all of the plan is known.
pub(super) fn references(raw: Option<&At<raw::Chaos>>, plan: &Plan, reader: &mut Reader<'_>) {
    let written = raw.and_then(|raw| raw.value.experiments.as_ref()).map_or(&[][..], |list| &list.value);
    for At { value: written, .. } in written {
        for astray in astray(plan, &written.experiment) {
            match astray.why {
                Why::NoSuch { what, name, known } => {
                    let known: Vec<&str> = known.iter().map(String::as_str).collect();
                    let span = written.place_of(astray.key, &name);
                    no_such(&At::new(name, span), what, &known, reader);
                }
                Why::Misplaced(text) => {
                    reader.report(Finding::new(Code::FaultPlace, written.place(astray.key), text));
                }
            }
        }
    }
}
