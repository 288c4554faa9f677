//! `incidents.bounds`: where signals from outside become facts.

use std::collections::BTreeMap;

use mainstay_core::plan::Bound;
use mainstay_core::response::bound::{LABEL_CAUSED, MEASURES};

use super::{at_most, entries};
use crate::code::Code;
use crate::finding::Finding;
use crate::raw::incidents as raw;
use crate::read::{Entry, Reader};
use crate::span::At;

/// Most bounds.
const BOUNDS_MAX: usize = 200;
/// Longest name of a signal that is taken in.
const NAME_MAX: usize = 256;
/// What the share of caused labels is called beside other measures.
const LABEL_CAUSED_SHARE: &str = "caused_label_share";

/// Bounds by the names of signals.
pub(super) fn bounds(
    raw: Option<&At<Vec<Entry<raw::SignalBound>>>>,
    reader: &mut Reader<'_>,
) -> BTreeMap<String, Bound> {
    if let Some(raw) = raw {
        at_most(raw, BOUNDS_MAX, "bounds", reader);
    }
    entries(raw).iter().filter_map(|entry| Some((entry.name.value.clone(), bound(entry, reader)?))).collect()
}

fn bound(entry: &Entry<raw::SignalBound>, reader: &mut Reader<'_>) -> Option<Bound> {
    let name = &entry.name;
    if name.value.is_empty() || name.value.len() > NAME_MAX || name.value.chars().any(char::is_control) {
        let help = format!("1 to {NAME_MAX} bytes without control characters");
        reader.report(Finding::new(Code::Name, name.span, "no signal has this name").help(help));
    }
    if name.value == LABEL_CAUSED_SHARE {
        let message = format!("`{LABEL_CAUSED_SHARE}` has its bound by the signal's name");
        reader.report(Finding::new(Code::NoSuch, name.span, message).help(format!("write `{LABEL_CAUSED}`")));
    }
    let raw = entry.value.as_ref()?;
    let given = (raw.value.given.contains("above"), raw.value.given.contains("below"));
    if given == (true, true) || (given == (false, false) && !reader.refused_within(raw.span)) {
        let message = format!("the bound of `{}` is either `above` or `below`", name.value);
        reader.report(Finding::new(Code::ExactlyOne, raw.span, message));
    }
    let (figure, bound): (_, fn(f64) -> Bound) = match (&raw.value.above, &raw.value.below) {
        (Some(above), None) => (above, Bound::Above),
        (None, Some(below)) => (below, Bound::Below),
        (Some(_), Some(_)) | (None, None) => return None,
    };
    let measure = MEASURES.iter().find(|(measure, ..)| *measure == name.value);
    if let Some((_, _, (low, high))) = measure.filter(|(_, _, (low, high))| !(*low..=*high).contains(&figure.value)) {
        let message = format!("`{}` lies between {low} and {high}", name.value);
        let percent = (0.0..=100.0).contains(&figure.value).then(|| format!("did you mean `{}%`?", figure.value));
        reader.report(Finding::new(Code::OutOfRange, figure.span, message).help_maybe(percent));
    }
    Some(bound(figure.value))
}
