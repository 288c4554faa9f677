//! `oncall`: people who can be reached, rotations that turn, policies that tell somebody.

use std::time::Duration;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use mainstay_core::incident::escalation::{Policy, Step, Target};
use mainstay_core::incident::oncall::{Layer, Only, Person, Schedule};
use mainstay_core::slo::window;

use super::incidents::{Names, texts};
use super::{at_most, check_distinct, check_name, empty, entries, value, value_or};
use crate::code::Code;
use crate::finding::Finding;
use crate::raw::oncall as raw;
use crate::raw::policy::DayName;
use crate::read::{Entry, Reader};
use crate::span::At;
use crate::suggest::nearest;

/// Most people, schedules and policies each.
const NAMES_MAX: usize = 1_000;
/// Most layers of a schedule, steps of a policy and stretches of a layer's week.
const PARTS_MAX: usize = 32;
/// Most people who take turns, or are told at once.
const TURNS_MAX: usize = 100;
/// A step that waits longer is never reached.
const AFTER_MAX: Duration = Duration::from_hours(7 * 24);

pub(super) fn people(
    raw: Option<&At<Vec<Entry<raw::Person>>>>,
    names: &mut Names,
    reader: &mut Reader<'_>,
) -> Vec<Person> {
    bounded(raw, "people", reader);
    entries(raw).iter().filter_map(|entry| person(entry, names, reader)).collect()
}

fn person(entry: &Entry<raw::Person>, names: &mut Names, reader: &mut Reader<'_>) -> Option<Person> {
    check_name(&entry.name, "a person", reader);
    let raw = &entry.value.as_ref()?.value;
    let channels = raw.channels.as_ref()?;
    if channels.value.is_empty() {
        empty(channels.span, "`channels`", reader);
    }
    check_distinct(&channels.value, "a channel", reader);
    for channel in &channels.value {
        names.channel_of(channel, raw.given.contains("email"), reader);
    }
    let email = value(raw.email.clone());
    Some(Person { name: entry.name.value.clone(), channels: texts(Some(channels)), email })
}

pub(super) fn schedules(
    raw: Option<&At<Vec<Entry<raw::Schedule>>>>,
    names: &mut Names,
    reader: &mut Reader<'_>,
) -> Vec<Schedule> {
    bounded(raw, "schedules", reader);
    entries(raw).iter().filter_map(|entry| schedule(entry, names, reader)).collect()
}

fn schedule(entry: &Entry<raw::Schedule>, names: &mut Names, reader: &mut Reader<'_>) -> Option<Schedule> {
    check_name(&entry.name, "a schedule", reader);
    let raw = &entry.value.as_ref()?.value;
    let zone = zone(raw.zone.as_ref(), reader);
    let layers = raw.layers.as_ref()?;
    if layers.value.is_empty() {
        empty(layers.span, "`layers`", reader);
    }
    at_most(layers, PARTS_MAX, "layers", reader);
    check_distinct(layers.value.iter().filter_map(|layer| layer.value.name.as_ref()), "a layer", reader);
    let layers: Vec<Layer> = layers.value.iter().filter_map(|raw| layer(&raw.value, names, reader)).collect();
    Some(Schedule { name: entry.name.value.clone(), zone: zone?, layers })
}

pub(super) fn zone(raw: Option<&At<String>>, reader: &mut Reader<'_>) -> Option<TimeZone> {
    let Some(raw) = raw else { return Some(TimeZone::UTC) };
    match window::zone(&raw.value) {
        Ok(zone) => Some(zone),
        Err(error) => {
            let finding = Finding::new(Code::Zone, raw.span, error.to_string());
            let near = if reader.is_full() { None } else { near_zone(&raw.value) };
            let help =
                near.map_or_else(|| "such as `Europe/Berlin`".to_owned(), |near| format!("did you mean `{near}`?"));
            reader.report(finding.help(help));
            None
        }
    }
}

fn near_zone(written: &str) -> Option<String> {
    let database = TimeZoneDatabase::bundled();
    let names: Vec<String> = database.available().map(|name| name.to_string()).collect();
    let names = names.iter().map(String::as_str).filter(|name| name.len().abs_diff(written.len()) <= 3);
    nearest(written, names).map(str::to_owned)
}

fn layer(raw: &raw::Layer, names: &mut Names, reader: &mut Reader<'_>) -> Option<Layer> {
    if let Some(name) = &raw.name {
        check_name(name, "a layer", reader);
    }
    if let Some(people) = &raw.people {
        if people.value.is_empty() {
            empty(people.span, "`people`", reader);
        }
        at_most(people, TURNS_MAX, "people in turns", reader);
        for person in &people.value {
            names.person(person, reader);
        }
    }
    if let (Some(start), Some(until)) = (&raw.start, &raw.until)
        && until.value <= start.value
    {
        reader.report(Finding::new(Code::Order, until.span, "the layer ends before it starts"));
    }
    let only = only(raw.only.as_ref(), reader);
    Some(Layer {
        name: raw.name.as_ref()?.value.clone(),
        start: raw.start.as_ref()?.value,
        until: value(raw.until.clone()),
        turn: raw.every.as_ref()?.value,
        people: texts(Some(raw.people.as_ref()?)),
        only,
    })
}

fn only(raw: Option<&At<Vec<At<raw::WeekStretch>>>>, reader: &mut Reader<'_>) -> Vec<Only> {
    let Some(raw) = raw else { return Vec::new() };
    if raw.value.is_empty() {
        empty(raw.span, "`only`", reader);
    }
    at_most(raw, PARTS_MAX, "stretches of the week", reader);
    raw.value.iter().filter_map(|stretch| self::stretch(&stretch.value, reader)).collect()
}

fn stretch(raw: &raw::WeekStretch, reader: &mut Reader<'_>) -> Option<Only> {
    let days = match &raw.days {
        None => DayName::ALL.to_vec(),
        Some(days) => {
            if days.value.is_empty() {
                empty(days.span, "`days`", reader);
            }
            days.value.iter().map(|day| day.value).collect()
        }
    };
    Some(Only { days, from: raw.from.as_ref()?.value, to: raw.to.as_ref()?.value })
}

pub(super) fn policies(
    raw: Option<&At<Vec<Entry<raw::EscalationPolicy>>>>,
    names: &mut Names,
    reader: &mut Reader<'_>,
) -> Vec<Policy> {
    bounded(raw, "policies", reader);
    entries(raw).iter().filter_map(|entry| policy(entry, names, reader)).collect()
}

fn policy(entry: &Entry<raw::EscalationPolicy>, names: &mut Names, reader: &mut Reader<'_>) -> Option<Policy> {
    check_name(&entry.name, "an escalation policy", reader);
    let raw = &entry.value.as_ref()?.value;
    let steps = raw.steps.as_ref()?;
    if steps.value.is_empty() {
        empty(steps.span, "`steps`", reader);
    }
    at_most(steps, PARTS_MAX, "steps", reader);
    let steps = steps.value.iter().filter_map(|raw| step(&raw.value, names, reader)).collect();
    let repeat = raw.repeat.as_ref().map_or(0, |repeat| repeat.value as u32);
    Some(Policy { name: entry.name.value.clone(), steps, repeat })
}

fn step(raw: &raw::EscalationStep, names: &mut Names, reader: &mut Reader<'_>) -> Option<Step> {
    if let Some(after) = &raw.after {
        if after.value > AFTER_MAX {
            reader.report(Finding::new(Code::OutOfRange, after.span, "a step waits for seven days at most"));
        }
        if after.value.subsec_nanos() > 0 {
            reader.report(Finding::new(Code::OutOfRange, after.span, "a step waits for whole seconds"));
        }
    }
    let tell = raw.tell.as_ref()?;
    if tell.value.is_empty() {
        empty(tell.span, "`tell`", reader);
    }
    at_most(tell, TURNS_MAX, "who are told at once", reader);
    for target in &tell.value {
        let named = |name: &String| At::new(name.clone(), target.span);
        match &target.value {
            Target::Schedule(name) => names.schedule(&named(name), reader),
            Target::Person(name) => names.person(&named(name), reader),
            Target::Channel(name) => names.channel(&named(name), reader),
        }
    }
    let tell = tell.value.iter().map(|target| target.value.clone()).collect();
    Some(Step { after: value_or(raw.after.as_ref(), Duration::ZERO), tell })
}

fn bounded<T>(raw: Option<&At<Vec<T>>>, what: &str, reader: &mut Reader<'_>) {
    if let Some(raw) = raw {
        at_most(raw, NAMES_MAX, what, reader);
    }
}
