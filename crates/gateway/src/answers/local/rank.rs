//! `rank`: an order of the request's items, or of a file's.

use std::borrow::Cow;

use mainstay_core::answer::rank::{self, Bm25, By, Counts, MAX_ITEMS, as_they_are, order};
use mainstay_core::answer::template::place;
use mainstay_core::plan::{Answer, Rank, Template};
use mainstay_core::route::Protocol;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::places;
use super::rows::{full, tensor};
use super::{Asked, Found, Miss, fill, version};
use crate::answers::files::{Content, DataFile};
use crate::json::{self, Pointer, PointerError};

/// Longest text of all items together, in bytes.
const MAX_TEXT: usize = 4 << 20;

/// An entry's pointers.
#[derive(Debug)]
pub(crate) struct Places {
    items: Option<Pointer>,
    query: Option<Pointer>,
    id: Option<Pointer>,
    /// Into an item; of a file these are columns.
    fields: Vec<Pointer>,
    value: Option<Pointer>,
}

impl Places {
    pub(super) fn new(rank: &Rank) -> Result<Places, PointerError> {
        let pointer = |text: &Option<String>| text.as_deref().map(Pointer::parse).transpose();
        let in_item = rank.file.is_none();
        let fields = rank.fields.iter().filter(|_| in_item).map(|field| Pointer::parse(field));
        Ok(Places {
            items: pointer(&rank.items)?,
            query: pointer(&rank.query)?,
            id: pointer(&rank.id)?,
            fields: fields.collect::<Result<_, _>>()?,
            value: if in_item { pointer(&rank.value)? } else { None },
        })
    }
}

/// Items in order.
struct Ranked<'a> {
    items: Items<'a>,
    /// By item.
    scores: Vec<f64>,
    /// Indices, the best first, as many as are given.
    ranking: Vec<usize>,
}

/// All items, as they came.
enum Items<'a> {
    /// The request's, read where an answer returns them.
    Asked(Vec<&'a RawValue>),
    /// A file's.
    Known(Vec<Value>),
}

impl Items<'_> {
    fn get(&self, at: usize) -> Value {
        match self {
            Items::Asked(items) => parsed(items[at]),
            Items::Known(items) => items[at].clone(),
        }
    }
}

pub(super) fn answer(rank: &Rank, file: Option<&DataFile>, places: &Places, asked: &Asked<'_>) -> Result<Found, Miss> {
    let version = file.map(|file| version(file, rank.max_age, asked.now)).transpose()?;
    let content = version.as_ref().map(|version| &version.content);
    let query = || match &places.query {
        Some(pointer) => places::texts(asked, pointer).map(|texts| texts.all().join(" ")),
        None => Ok(String::new()),
    };
    let (items, scores) = match (&places.items, content) {
        (Some(pointer), _) => {
            let items = places::elements(places::find(asked, pointer)?)?;
            if items.len() > MAX_ITEMS {
                return Err(Miss::Failed("too_many_items"));
            }
            if items.iter().map(|item| item.get().len()).sum::<usize>() > MAX_TEXT {
                return Err(Miss::Failed("text_too_long"));
            }
            let scores = scores(rank, content, places, &items, query)?;
            (Items::Asked(items), scores)
        }
        (None, Some(content)) => {
            let (items, scores) = of_file(rank, content, query)?;
            (Items::Known(items), scores)
        }
        (None, None) => return Err(Miss::Failed("file_not_usable")),
    };
    let mut ranking = order(&scores);
    ranking.truncate(rank.top.unwrap_or(usize::MAX));
    let of_request = places.items.is_some();
    Ranked { items, scores, ranking }.answer(rank.respond.as_ref(), of_request, asked.protocol).map(Found::One)
}

fn parsed(item: &RawValue) -> Value {
    serde_json::from_str(item.get()).unwrap_or_default()
}

/// The scores of a request's items.
fn scores(
    rank: &Rank,
    content: Option<&Content>,
    places: &Places,
    items: &[&RawValue],
    query: impl Fn() -> Result<String, Miss>,
) -> Result<Vec<f64>, Miss> {
    Ok(match (rank.by, content) {
        (By::Unranked, _) => as_they_are(items.len()),
        (By::Bm25(bm25), None) => of_own_text(bm25, &query()?, places, items),
        (By::Bm25(bm25), Some(Content::Texts { rows, index, texts, .. })) => {
            let texts = items.iter().map(|item| {
                let row = rows.find(&id(places, item)?)?;
                texts.get(row as usize).copied()
            });
            index.scores_of(bm25, &query()?, &texts.collect::<Vec<_>>())
        }
        (By::Popularity | By::Recency, Some(Content::Numbers { rows, numbers, .. })) => items
            .iter()
            .map(|item| {
                let row = id(places, item).and_then(|id| rows.find(&id));
                row.and_then(|row| numbers.get(row as usize)).copied().unwrap_or_default()
            })
            .collect(),
        (By::Popularity, None) => items.iter().map(|item| own_value(places, item, rank::popularity)).collect(),
        (By::Recency, None) => items.iter().map(|item| own_value(places, item, rank::time)).collect(),
        (By::Bm25(_) | By::Popularity | By::Recency, Some(_)) => return Err(Miss::Failed("file_not_usable")),
    })
}

fn of_own_text(bm25: Bm25, query: &str, places: &Places, items: &[&RawValue]) -> Vec<f64> {
    let mut counts = Counts::new(query, items.len());
    for item in items {
        counts.begin();
        if places.fields.is_empty() {
            if let Some(text) = json::string(item) {
                counts.add(&text);
            }
            continue;
        }
        let inner = inner(item);
        for field in &places.fields {
            let raw = json::find(inner.as_bytes(), field).ok().flatten();
            if let Some(text) = raw.and_then(json::string) {
                counts.add(&text);
            }
        }
    }
    counts.scores(bm25)
}

/// An item that is text may be an object that was written as text, as tensors have it.
fn inner(item: &RawValue) -> Cow<'_, str> {
    json::string(item).unwrap_or(Cow::Borrowed(item.get()))
}

/// The id of an item: itself, or what it holds at the place of ids.
fn id<'a>(places: &Places, item: &'a RawValue) -> Option<Cow<'a, str>> {
    let Some(pointer) = &places.id else { return id_text(item) };
    let inner = inner(item);
    let raw = json::find(inner.as_bytes(), pointer).ok().flatten()?;
    id_text(raw).map(|id| Cow::Owned(id.into_owned()))
}

fn id_text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let is_number = raw.get().starts_with(|c: char| c.is_ascii_digit() || c == '-');
    if is_number { Some(Cow::Borrowed(raw.get())) } else { json::string(raw) }
}

/// What an item holds at the place of values; 0 where it has none.
fn own_value(places: &Places, item: &RawValue, read: fn(&Value) -> Option<f64>) -> f64 {
    let Some(pointer) = &places.value else { return 0.0 };
    let inner = inner(item);
    let raw = json::find(inner.as_bytes(), pointer).ok().flatten();
    raw.and_then(|raw| read(&parsed(raw))).unwrap_or_default()
}

/// The best items of a file, and their scores.
fn of_file(
    rank: &Rank,
    content: &Content,
    query: impl Fn() -> Result<String, Miss>,
) -> Result<(Vec<Value>, Vec<f64>), Miss> {
    let top = rank.top.unwrap_or(MAX_ITEMS);
    let found: (Vec<Value>, Vec<f64>) = match (rank.by, content) {
        (By::Bm25(bm25), Content::Texts { rows, index, ids, .. }) => index
            .best(bm25, &query()?, top)
            .into_iter()
            .filter_map(|(text, score)| Some((Value::from(rows.key(*ids.get(text as usize)?)), score)))
            .unzip(),
        (By::Popularity | By::Recency, Content::Numbers { best, .. }) => {
            best.iter().take(top).map(|(key, number)| (Value::from(&**key), *number)).unzip()
        }
        (By::Unranked, Content::Rows(rows)) => {
            let items: Vec<Value> = rows.iter().take(top).map(|(key, _)| Value::from(key)).collect();
            let scores = as_they_are(items.len());
            (items, scores)
        }
        (By::Bm25(_) | By::Popularity | By::Recency | By::Unranked, _) => return Err(Miss::Failed("file_not_usable")),
    };
    if found.0.is_empty() { Err(Miss::Declined("nothing_fits")) } else { Ok(found) }
}

impl Ranked<'_> {
    fn answer(&self, template: Option<&Template>, of_request: bool, protocol: Protocol) -> Result<Answer, Miss> {
        let Some(template) = template else { return Ok(self.usual(of_request, protocol)) };
        let mut answer = fill(template, &|name| self.value(name))?;
        if let (Answer::Outputs(outputs), Answer::Outputs(written)) = (&mut answer, template.written()) {
            for (output, written) in outputs.iter_mut().zip(written) {
                as_tensor(output, written)?;
            }
        }
        Ok(answer)
    }

    fn usual(&self, of_request: bool, protocol: Protocol) -> Answer {
        let value = |name: &str| self.value(name).unwrap_or_default();
        match protocol {
            Protocol::OpenInference => {
                let (first, datatype, scores) =
                    if of_request { ("ranking", "INT64", "scores") } else { ("items", "BYTES", "ranked_scores") };
                let tensor = |name: &str, place: &str, datatype: &str| {
                    let data = value(place);
                    let shape = [data.as_array().map_or(0, Vec::len)];
                    full(name.into(), &shape, data, datatype)
                };
                Answer::Outputs(vec![tensor(first, first, datatype), tensor("scores", scores, "FP64")])
            }
            Protocol::OpenInferenceGrpc | Protocol::Openai | Protocol::Anthropic | Protocol::Http => {
                Answer::Body(json!({ "items": value("items"), "scores": value("ranked_scores") }))
            }
        }
    }

    fn value(&self, name: &str) -> Option<Value> {
        Some(match name {
            "items" => self.ranking.iter().map(|at| self.items.get(*at)).collect(),
            "ranking" => self.ranking.iter().map(|at| Value::from(*at)).collect(),
            "scores" => self.scores.iter().map(|score| Value::from(*score)).collect(),
            "ranked_scores" => self.ranking.iter().map(|at| Value::from(self.scores[*at])).collect(),
            _ => return None,
        })
    }
}

/// A list of items is one tensor, and not a row of a batch.
fn as_tensor(output: &mut Value, written: &Value) -> Result<(), Miss> {
    let Some(column) = written.get("value").and_then(place) else { return Ok(()) };
    let datatype = output.get("datatype").and_then(Value::as_str).or(match column {
        "scores" | "ranked_scores" => Some("FP64"),
        "ranking" => Some("INT64"),
        _ => None,
    });
    let data = output.get("value").and_then(Value::as_array).cloned().unwrap_or_default();
    let name = output.get("name").cloned().unwrap_or_default();
    *output = tensor(name, &[data.len()], data, datatype).ok_or(Miss::Failed("not_renderable"))?;
    Ok(())
}
