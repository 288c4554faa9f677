//! Parts of items of `slos:`, made for a place in an OpenSLO document.

use jiff::civil::{DateTime, Time, Weekday};

use super::documents::Documents;
use super::duration::Stretch;
use super::wire;
use crate::code::Code;
use crate::finding::Finding;
use crate::read::Reader;
use crate::span::{At, Span};
use crate::tree::{self, Node, Value};

pub(super) fn text(words: impl Into<String>, at: Span) -> Node {
    At::new(Value::Text(words.into()), at)
}

pub(super) fn map<'k>(entries: impl IntoIterator<Item = (&'k str, Node)>, at: Span) -> Node {
    let entries = entries.into_iter().map(|(key, node)| (At::new(key.to_owned(), node.span), node)).collect();
    At::new(Value::Map(entries), at)
}

/// A share as a percentage, without the digits that binary fractions add.
pub(crate) fn percent(share: f64) -> String {
    let digits = format!("{:.10}", share * 100.0);
    format!("{}%", digits.trim_end_matches('0').trim_end_matches('.'))
}

/// A window of the calendar as `window: { calendar: .., zone: .., start: .. }`.
pub(super) fn calendar(
    duration: &At<String>,
    stretch: Stretch,
    calendar: &At<wire::Calendar>,
    reader: &mut Reader<'_>,
) -> Option<Node> {
    let day = std::time::Duration::from_hours(24);
    let word = match stretch {
        Stretch::Months(1) => "month",
        Stretch::Months(3) => "quarter",
        Stretch::Months(12) => "year",
        Stretch::Fixed(length) if length == day => "day",
        Stretch::Fixed(length) if length == 7 * day => "week",
        Stretch::Fixed(_) | Stretch::Months(_) => {
            let message = format!("a calendar window of `{}` is not supported", duration.value);
            super::translate::unsupported(duration.span, &message, "1d, 1w, 1M, 1Q or 1Y", reader);
            return None;
        }
    };
    let start = calendar.value.startTime.as_ref()?;
    let zone = calendar.value.timeZone.as_ref()?;
    begins(start, word, reader)?;
    let keys = [("calendar", text(word, duration.span)), ("zone", text(zone.value.clone(), zone.span))];
    Some(map(keys, calendar.span))
}

/// Our calendar windows begin where the calendar's own periods do, at midnight.
fn begins(start: &At<String>, period: &str, reader: &mut Reader<'_>) -> Option<()> {
    let Ok(time) = start.value.parse::<DateTime>() else {
        let message = format!("`{}` is not a date and a time", start.value.chars().take(60).collect::<String>());
        reader.report(Finding::new(Code::OpenSloTime, start.span, message).help("such as `2026-01-01 00:00:00`"));
        return None;
    };
    let first = match period {
        "week" => time.weekday() == Weekday::Monday,
        "month" => time.day() == 1,
        "quarter" => time.day() == 1 && (time.month() - 1) % 3 == 0,
        "year" => time.day() == 1 && time.month() == 1,
        _ => true,
    };
    if first && time.time() == Time::midnight() {
        return Some(());
    }
    let message = format!("a {period} that does not begin with the calendar's is not supported");
    let help = "at midnight; weeks on Monday, months on the 1st, quarters in January, April, July, October";
    super::translate::unsupported(start.span, &message, help, reader);
    None
}

/// An indicator of ours that an export wrote into an annotation: one kind of objective, without what OpenSLO's own
/// fields say.
pub(super) fn own(
    annotation: &At<String>,
    reader: &mut Reader<'_>,
) -> Option<(&'static str, Vec<(&'static str, Node)>)> {
    let refused = |message: &str, reader: &mut Reader<'_>| {
        let help = "leave the annotation out to have the queries counted, or export it again";
        reader.report(Finding::new(Code::OpenSloAnnotation, annotation.span, message.to_owned()).help(help));
    };
    let Ok(node) = tree::parse(&annotation.value) else {
        refused("the annotation does not hold an indicator", reader);
        return None;
    };
    let Value::Map(mut entries) = moved(node, annotation.span).value else {
        refused("the annotation does not hold an indicator", reader);
        return None;
    };
    let (kind, keys) = entries.pop().filter(|_| entries.is_empty())?;
    let kind = KINDS.into_iter().find(|known| *known == kind.value);
    let (Some(kind), Value::Map(keys)) = (kind, keys.value) else {
        refused("the annotation names no kind of objective", reader);
        return None;
    };
    let mut kept = Vec::new();
    for (key, node) in keys {
        let Some(known) = KEYS.into_iter().find(|known| *known == key.value) else {
            refused(&format!("the annotation cannot say `{}`", key.value), reader);
            return None;
        };
        kept.push((known, node));
    }
    Some((kind, kept))
}

const KINDS: [&str; 5] = ["availability", "latency", "quality", "freshness", "safety"];

/// Keys of an item that OpenSLO has no field for; `slices` are details of time slices.
const KEYS: [&str; 22] = [
    "min_confidence",
    "confidence_required",
    "good_levels",
    "route",
    "class",
    "model",
    "filter",
    "policy",
    "within",
    "of",
    "metric",
    "baseline",
    "allowed_degradation",
    "direction",
    "label_delay",
    "features",
    "views",
    "reviews",
    "queues",
    "max_rate",
    "slices",
    "source",
];

/// The node with every place within it set to one.
fn moved(node: Node, at: Span) -> Node {
    let value = match node.value {
        Value::List(items) => Value::List(items.into_iter().map(|item| moved(item, at)).collect()),
        Value::Map(entries) => {
            Value::Map(entries.into_iter().map(|(key, value)| (At::new(key.value, at), moved(value, at))).collect())
        }
        scalar @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_)) => scalar,
    };
    At::new(value, at)
}

/// Where Prometheus is if no document says it.
pub(super) fn default_url(documents: &Documents, at: Span) -> Option<Node> {
    documents.prometheus.as_ref().map(|url| text(url.clone(), at))
}
