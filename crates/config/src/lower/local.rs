//! Levels that answer from what is at hand.

use mainstay_core::answer::keywords::Boundaries;
use mainstay_core::answer::rank::{Bm25, By};
use mainstay_core::plan::{Hold, Keywords, Rank, ReviewQueue, Table, TableFile, TableFormat, Template, Velocity};
use mainstay_core::route::Protocol;

use super::answer::template;
use super::ladder::Around;
use super::{Names, check_name, empty, no_effect, value, value_or};
use crate::code::Code;
use crate::finding::Finding;
use crate::raw::local as raw;
use crate::raw::route as raw_route;
use crate::read::Reader;
use crate::span::{At, Span};

/// Most keys that a velocity counts one by one.
const VELOCITY_KEYS: u64 = 100_000;
/// Most requests that wait in a queue.
const QUEUE_MAX: u64 = 10_000;
/// How many items of a file are given.
const TOP_OF_FILE: u64 = 10;

/// An answer of an entry, which shows what the route speaks.
pub(super) fn written(entry: &raw_route::Entry) -> Option<&At<raw_route::Answer>> {
    let table = entry.table.as_ref().and_then(|table| table.value.respond.as_ref());
    let rank = entry.rank.as_ref().and_then(|rank| rank.value.respond.as_ref());
    let keywords = entry.keywords.as_ref().and_then(|keywords| keywords.value.hit.as_ref());
    let velocity = entry.velocity.as_ref().and_then(|velocity| velocity.value.over.as_ref());
    let queue = entry.queue.as_ref().and_then(|queue| queue.value.respond.as_ref());
    table.or(rank).or(keywords).or(velocity).or(queue)
}

pub(super) fn table(at: &At<raw::Table>, around: &Around<'_>, reader: &mut Reader<'_>) -> Option<Table> {
    let raw = &at.value;
    let file = table_file(raw.file.as_ref(), raw.column.as_ref(), reader);
    let pointer = key(raw.key.as_ref(), around).or_else(|| no_pointer(at.span, "key", reader));
    if raw.respond.is_none() && around.protocol == Some(Protocol::Openai) {
        let finding = Finding::new(Code::AnswerShape, at.span, "a row is no text: say how it becomes one");
        reader.report(finding.help("`respond: { text: \"{COLUMN}\" }`"));
    }
    let respond = optional(raw.respond.as_ref(), |answer| template(answer, around.protocol, None, reader))?;
    Some(Table {
        file: file?,
        pointer: pointer?,
        max_age: raw.max_age.as_ref()?.value,
        updated: value(raw.updated.clone()),
        respond,
    })
}

pub(super) fn rank(at: &At<raw::Rank>, around: &Around<'_>, reader: &mut Reader<'_>) -> Option<Rank> {
    let raw = &at.value;
    let word = raw.by.as_ref()?.value;
    idle_rank_keys(raw, word, reader);
    let by = match word {
        raw::RankWord::Bm25 => By::Bm25(bm25(raw)),
        raw::RankWord::Popularity => By::Popularity,
        raw::RankWord::Recency => By::Recency,
        raw::RankWord::None => By::Unranked,
    };
    let file = match &raw.file {
        Some(file) => Some(table_file(Some(file), raw.column.as_ref(), reader)?),
        None => None,
    };
    let items = pointer(raw.items.as_ref(), around.places.and_then(|places| places.items.as_ref()));
    if items.is_none() && file.is_none() {
        no_pointer(at.span, "items", reader)?;
    }
    let query = match word {
        raw::RankWord::Bm25 => Some(query(raw, around).or_else(|| no_pointer(at.span, "query", reader))?),
        raw::RankWord::Popularity | raw::RankWord::Recency | raw::RankWord::None => None,
    };
    let needs_value = matches!(word, raw::RankWord::Popularity | raw::RankWord::Recency);
    if needs_value && file.is_none() && raw.value.is_none() {
        let finding = Finding::new(Code::NoPointer, at.span, "nothing says by what the items are ordered");
        reader.report(finding.help("`value: /POINTER` into an item, or a `file` with a column"));
    }
    check_in_items(raw, reader);
    if around.protocol == Some(Protocol::Openai) {
        let finding = Finding::new(Code::AnswerShape, at.span, "items are ranked on open-inference and http routes");
        reader.report(finding.help("a chat is answered by `keywords`, `rules` or `respond`"));
    }
    let known = ["items", "ranking", "scores", "ranked_scores"];
    let respond = optional(raw.respond.as_ref(), |answer| template(answer, around.protocol, Some(&known), reader))?;
    let top = value(raw.top.clone()).or(items.is_none().then_some(TOP_OF_FILE)).map(|top| top as usize);
    let fields = raw.fields.as_ref().map_or(&[][..], |fields| &fields.value);
    Some(Rank {
        items,
        by,
        query,
        fields: fields.iter().map(|field| field.value.clone()).collect(),
        id: value(raw.id.clone()),
        file,
        max_age: value(raw.max_age.clone()),
        value: value(raw.value.clone()),
        top,
        respond,
    })
}

fn bm25(raw: &raw::Rank) -> Bm25 {
    let default = Bm25::default();
    Bm25 { k1: value_or(raw.k1.as_ref(), default.k1), b: value_or(raw.b.as_ref(), default.b) }
}

fn query(raw: &raw::Rank, around: &Around<'_>) -> Option<String> {
    let places = around.places;
    let of_route = places.and_then(|places| places.query.as_ref().or(places.text.as_ref()));
    pointer(raw.query.as_ref(), of_route)
}

/// Without a file, an item holds its own text and value: places in it are pointers.
fn check_in_items(raw: &raw::Rank, reader: &mut Reader<'_>) {
    if raw.file.is_some() {
        return;
    }
    let fields = raw.fields.as_ref().map_or(&[][..], |fields| &fields.value);
    for place in fields.iter().chain(&raw.value).filter(|place| !place.value.starts_with('/')) {
        let finding = Finding::new(Code::Pointer, place.span, "without a `file` this is a pointer into an item");
        reader.report(finding.help(format!("`/{}`", place.value)));
    }
}

fn idle_rank_keys(raw: &raw::Rank, word: raw::RankWord, reader: &mut Reader<'_>) {
    let bm25 = word == raw::RankWord::Bm25;
    let spans = |given: &[(&'static str, Option<Span>)]| given.iter().filter_map(|(k, s)| Some((*k, (*s)?))).collect();
    let of_bm25: Vec<(&str, Span)> = spans(&[
        ("query", raw.query.as_ref().map(|at| at.span)),
        ("fields", raw.fields.as_ref().map(|at| at.span)),
        ("k1", raw.k1.as_ref().map(|at| at.span)),
        ("b", raw.b.as_ref().map(|at| at.span)),
    ]);
    for (key, span) in of_bm25.into_iter().filter(|_| !bm25) {
        no_effect(span, format!("`{key}` is for `by: bm25`"), reader);
    }
    let of_file: Vec<(&str, Span)> = spans(&[
        ("column", raw.column.as_ref().map(|at| at.span)),
        ("max_age", raw.max_age.as_ref().map(|at| at.span)),
        ("id", raw.id.as_ref().map(|at| at.span)),
    ]);
    for (key, span) in of_file.into_iter().filter(|_| raw.file.is_none()) {
        no_effect(span, format!("`{key}` goes with `file`"), reader);
    }
    let ordered = matches!(word, raw::RankWord::Popularity | raw::RankWord::Recency);
    if let Some(value) = raw.value.as_ref().filter(|_| !ordered) {
        no_effect(value.span, "`value` is for `by: popularity` and `by: recency`", reader);
    }
}

pub(super) fn keywords(at: &At<raw::Keywords>, around: &Around<'_>, reader: &mut Reader<'_>) -> Option<Keywords> {
    let raw = &at.value;
    let text = pointer(raw.text.as_ref(), around.places.and_then(|places| places.text.as_ref()));
    if text.is_none() && around.protocol != Some(Protocol::Openai) {
        no_pointer(at.span, "text", reader)?;
    }
    let hit = template(raw.hit.as_ref()?, around.protocol, Some(&["keyword", "label"]), reader);
    let miss = or_next(raw.miss.as_ref(), around, &[], reader)?;
    Some(Keywords {
        file: raw.file.as_ref()?.value.clone(),
        max_age: value(raw.max_age.clone()),
        text,
        boundaries: value_or(raw.boundaries.as_ref(), Boundaries::Word),
        hit: hit?,
        miss,
    })
}

pub(super) fn velocity(at: &At<raw::Velocity>, around: &Around<'_>, reader: &mut Reader<'_>) -> Option<Velocity> {
    let raw = &at.value;
    let pointer = key(raw.key.as_ref(), around).or_else(|| no_pointer(at.span, "key", reader));
    let over = template(raw.over.as_ref()?, around.protocol, Some(&["key", "count"]), reader);
    let under = or_next(raw.under.as_ref(), around, &["key", "count"], reader)?;
    Some(Velocity {
        pointer: pointer?,
        max: raw.max.as_ref()?.value as u32,
        per: raw.per.as_ref()?.value,
        keys: value_or(raw.keys.as_ref(), VELOCITY_KEYS) as usize,
        over: over?,
        under,
    })
}

pub(super) fn hold(
    at: &At<raw::ReviewQueue>,
    around: &Around<'_>,
    names: &mut Names,
    reader: &mut Reader<'_>,
) -> Option<Hold> {
    let raw = &at.value;
    let respond = raw.respond.as_ref().and_then(|answer| template(answer, around.protocol, Some(&["id"]), reader));
    let otherwise = raw.otherwise.as_ref().and_then(|answer| template(answer, around.protocol, Some(&[]), reader));
    let name = raw.name.as_ref()?;
    check_name(name, "a queue", reader)?;
    let file = value(raw.file.clone()).unwrap_or_else(|| names.queue_file(&name.value));
    let max = value_or(raw.max.as_ref(), QUEUE_MAX) as usize;
    let queue = names.queue(&ReviewQueue { name: name.value.clone(), file, max }, at.span, reader);
    Some(Hold { queue, respond: respond?, otherwise: otherwise? })
}

fn table_file(
    file: Option<&At<std::path::PathBuf>>,
    column: Option<&At<String>>,
    reader: &mut Reader<'_>,
) -> Option<TableFile> {
    let file = file?;
    if let Some(column) = column.filter(|column| column.value.is_empty()) {
        empty(column.span, "`column`", reader);
    }
    let ending = file.value.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    let format = match ending.as_deref() {
        Some("csv") => TableFormat::Csv,
        Some("jsonl" | "ndjson") => TableFormat::Jsonl,
        Some("parquet") => TableFormat::Parquet,
        Some(_) | None => {
            let finding = Finding::new(Code::TableFormat, file.span, "the name does not say how the table is written");
            reader.report(finding.help("`.csv`, `.jsonl` or `.parquet`"));
            return None;
        }
    };
    Some(TableFile { path: file.value.clone(), format, key: column.map(|column| column.value.clone()) })
}

/// The level's own pointer, or the route's.
fn pointer(own: Option<&At<String>>, of_route: Option<&At<String>>) -> Option<String> {
    own.or(of_route).map(|pointer| pointer.value.clone())
}

fn key(own: Option<&At<String>>, around: &Around<'_>) -> Option<String> {
    let of_route = around.places.and_then(|places| places.key.as_ref().or(places.user.as_ref()));
    pointer(own, of_route)
}

fn no_pointer<T>(at: Span, what: &str, reader: &mut Reader<'_>) -> Option<T> {
    let finding = Finding::new(Code::NoPointer, at, format!("nothing says where the request holds its {what}"));
    reader.report(
        finding.help(format!("add `{what}: /POINTER` here, or `request: {{ {what}: /POINTER }}` to the route")),
    );
    None
}

/// An answer or none, where what is written is right.
#[expect(clippy::option_option, reason = "absent, and refused")]
fn optional<T>(raw: Option<&At<T>>, mut read: impl FnMut(&At<T>) -> Option<Template>) -> Option<Option<Template>> {
    match raw {
        Some(raw) => read(raw).map(Some),
        None => Some(None),
    }
}

#[expect(clippy::option_option, reason = "`next`, and refused")]
fn or_next(
    raw: Option<&At<raw::AnswerWord>>,
    around: &Around<'_>,
    known: &[&str],
    reader: &mut Reader<'_>,
) -> Option<Option<Template>> {
    let Some(at) = raw else { return Some(None) };
    match &at.value {
        raw::AnswerWord::Next => Some(None),
        raw::AnswerWord::Answer(answer) => template(answer, around.protocol, Some(known), reader).map(Some),
    }
}
