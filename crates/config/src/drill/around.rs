//! What is around a service: feature stores, people, the day, the time before.

use std::time::Duration;

use mainstay_core::drill::around::{HOURS, HOURS_MAX, STARTS};
use mainstay_core::drill::{Day, Drill, Law, Reaction, Store};
use mainstay_core::event::parse_time;
use mainstay_core::time::Time;

use super::model::spread;
use super::{index, raw};
use crate::code::Code;
use crate::finding::Finding;
use crate::read::Reader;
use crate::span::At;

/// Longest time before a drill.
const BEFORE_MAX: Duration = Duration::from_hours(90 * 24);

/// Reads all of it into the drill.
pub(super) fn read(world: &raw::World, starts: Option<&At<String>>, drill: &mut Drill, reader: &mut Reader<'_>) {
    drill.around.stores = vec![None; drill.plan.features.len()];
    let sets: Vec<&str> = drill.plan.features.iter().map(|set| set.name.as_str()).collect();
    for entry in world.features.iter().flat_map(|it| &it.value) {
        let Some(at) = index(&entry.name, &sets, "feature set", reader) else { continue };
        drill.around.stores[at] = entry.value.as_ref().and_then(|raw| store(&raw.value));
    }
    let incidents = &drill.plan.incidents;
    let people = incidents.people.iter().map(|person| person.name.as_str());
    let names: Vec<&str> = people.chain(incidents.channels.iter().map(|channel| channel.name.as_str())).collect();
    for entry in world.people.iter().flat_map(|it| &it.value) {
        if index(&entry.name, &names, "person or channel", reader).is_none() {
            continue;
        }
        let reaction = entry.value.as_ref().and_then(|raw| reaction(&entry.name.value, &raw.value));
        drill.around.people.extend(reaction);
    }
    if let Some(before) = &world.before {
        if before.value > BEFORE_MAX {
            let message = format!("the time before a drill is at most {BEFORE_MAX:?}");
            reader.report(
                Finding::new(Code::OutOfRange, before.span, message).help("30d is a window of most objectives"),
            );
        }
        drill.around.before = before.value;
    }
    drill.around.starts = starts.map_or(STARTS, |starts| moment(starts, reader));
}

fn store(raw: &raw::Store) -> Option<Store> {
    Some(Store {
        mean: raw.time.as_ref()?.value,
        spread: spread(raw.spread.clone()),
        entities: raw.entities.as_ref().map_or(1_000, |it| u32::try_from(it.value).unwrap_or(u32::MAX)),
        gaps: raw.gaps.as_ref().map_or(0.0, |it| it.value),
        age: raw.age.as_ref().map_or(Duration::ZERO, |it| it.value),
    })
}

fn reaction(name: &str, raw: &raw::Reaction) -> Option<Reaction> {
    Some(Reaction {
        name: name.to_owned(),
        acknowledges: law(&raw.acknowledges.as_ref()?.value)?,
        mitigates: raw.mitigates.as_ref().and_then(|it| law(&it.value)),
        misses: raw.misses.as_ref().map_or(0.0, |it| it.value),
    })
}

fn law(raw: &raw::Law) -> Option<Law> {
    Some(Law { median: raw.median.as_ref()?.value, spread: spread(raw.spread.clone()) })
}

/// How the load goes through a day.
pub(super) fn day(raw: raw::Day, reader: &mut Reader<'_>) -> Option<Day> {
    let lasts = raw.lasts?.value;
    let Some(written) = raw.hours else { return Some(Day { lasts, hours: HOURS.to_vec() }) };
    let hours: Vec<f64> = written.value.iter().map(|it| it.value).collect();
    let fine = hours.iter().all(|it| it.is_finite() && *it >= 0.0) && hours.iter().any(|it| *it > 0.0);
    if !fine || !(2..=HOURS_MAX).contains(&hours.len()) {
        let message = format!("expected 2 to {HOURS_MAX} multiples of the rate, none below zero and not all zero");
        reader.report(Finding::new(Code::OutOfRange, written.span, message).help("such as `[0.5, 1.5, 1.0]`"));
        return None;
    }
    Some(Day { lasts, hours })
}

/// A moment of civil time after 1980, so that a time before a drill is one as well.
fn moment(written: &At<String>, reader: &mut Reader<'_>) -> Time {
    let least = Time::from_secs(10 * 365 * 86_400);
    let read = parse_time(&written.value).filter(|at| *at >= least);
    if read.is_none() {
        let message = format!("`{}` is not a moment such as `2026-03-02T09:00:00Z`, after 1980", written.value);
        reader.report(Finding::new(Code::OutOfRange, written.span, message));
    }
    read.unwrap_or(STARTS)
}
