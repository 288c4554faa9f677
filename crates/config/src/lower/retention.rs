//! `retention`: spans that must grow from the fine to the coarse.

use std::time::Duration;

use mainstay_core::plan::Retention;
use mainstay_core::slo::objective::Objective;

use super::value_or;
use crate::code::Code;
use crate::finding::Finding;
use crate::raw::retention as raw;
use crate::read::Reader;
use crate::span::At;

/// Smallest store that holds its own schema and something to keep.
const SIZE_MIN: usize = 4 << 20;

/// Hours are kept for as long as the longest window of an objective, if nothing else is written.
pub(super) fn retention(
    raw: Option<&At<raw::Retention>>,
    objectives: &[Objective],
    reader: &mut Reader<'_>,
) -> Retention {
    let longest = objectives.iter().map(|objective| objective.window.longest()).max().unwrap_or_default();
    let default = Retention::default();
    // One more hour: both edges of a window may lie within one.
    let default = Retention { hours: default.hours.max(longest + Duration::from_hours(1)), ..default };
    let Some(At { value: raw, span }) = raw else { return default };
    let kept = Retention {
        tens: value_or(raw.tens.as_ref(), default.tens),
        minutes: value_or(raw.minutes.as_ref(), default.minutes),
        hours: value_or(raw.hours.as_ref(), default.hours),
        items: value_or(raw.items.as_ref(), default.items),
        events: value_or(raw.events.as_ref(), default.events),
        sketches: value_or(raw.sketches.as_ref(), default.sketches),
        sources: default.sources,
        size_max: raw.size.as_ref().map(|size| size.value as u64),
    };
    if !(kept.tens <= kept.minutes && kept.minutes <= kept.hours) {
        let Retention { tens, minutes, hours, .. } = kept;
        let message = format!("retention needs tens <= minutes <= hours, not {tens:?}, {minutes:?} and {hours:?}");
        reader.report(Finding::new(Code::Order, *span, message).help("each takes over where the finer one ends"));
    }
    let least = Retention::default();
    for (field, least) in [(&raw.tens, least.tens), (&raw.minutes, least.minutes)] {
        if let Some(field) = field.as_ref().filter(|field| field.value < least) {
            let message = format!("{:?} is too short: windows look back {least:?} at this grain", field.value);
            reader
                .report(Finding::new(Code::OutOfRange, field.span, message).help("after a restart they would differ"));
        }
    }
    if let Some(hours) = raw.hours.as_ref().filter(|hours| hours.value < longest) {
        let message = format!("{:?} is too short: an objective's window is {longest:?}", hours.value);
        reader
            .report(Finding::new(Code::OutOfRange, hours.span, message).help("its budget would forget what it counts"));
    }
    if let Some(size) = raw.size.as_ref().filter(|size| size.value < SIZE_MIN) {
        reader.report(Finding::new(Code::OutOfRange, size.span, "a store needs 4MiB at least"));
    }
    kept
}
