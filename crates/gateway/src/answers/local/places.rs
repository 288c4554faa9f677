//! What requests hold at the places that entries name.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{Asked, Miss};
use crate::json::{self, Pointer};

/// Most keys or texts of one request.
pub(super) const MAX_BATCH: usize = 1000;
/// Longest key, in bytes.
const MAX_KEY: usize = 1024;

/// One, or a list: a batch.
pub(super) enum Several<T> {
    One(T),
    List(Vec<T>),
}

impl<T> Several<T> {
    pub(super) fn all(&self) -> &[T] {
        match self {
            Several::One(one) => std::slice::from_ref(one),
            Several::List(list) => list,
        }
    }
}

pub(super) fn find<'a>(asked: &Asked<'a>, pointer: &Pointer) -> Result<&'a RawValue, Miss> {
    let found = json::find(asked.json()?, pointer).map_err(|_| Miss::Failed("request_not_json"))?;
    found.filter(|raw| raw.get() != "null").ok_or(Miss::Failed("pointer_found_nothing"))
}

/// Keys: texts, or numbers as they are written.
pub(super) fn keys<'a>(asked: &Asked<'a>, pointer: &Pointer) -> Result<Several<Cow<'a, str>>, Miss> {
    several(find(asked, pointer)?, |raw| {
        let is_number = raw.get().starts_with(|c: char| c.is_ascii_digit() || c == '-');
        let key = if is_number { Some(Cow::Borrowed(raw.get())) } else { json::string(raw) };
        key.filter(|key| key.len() <= MAX_KEY)
    })
}

/// Texts.
pub(super) fn texts<'a>(asked: &Asked<'a>, pointer: &Pointer) -> Result<Several<Cow<'a, str>>, Miss> {
    several(find(asked, pointer)?, json::string)
}

fn several<'a, T>(raw: &'a RawValue, read: impl Fn(&'a RawValue) -> Option<T>) -> Result<Several<T>, Miss> {
    const WRONG: Miss = Miss::Failed("pointer_wrong_type");
    if !raw.get().starts_with('[') {
        return read(raw).map(Several::One).ok_or(WRONG);
    }
    let elements = elements(raw)?;
    if elements.len() > MAX_BATCH {
        return Err(Miss::Failed("batch_too_long"));
    }
    elements.into_iter().map(|raw| read(raw).ok_or(WRONG)).collect::<Result<_, _>>().map(Several::List)
}

/// The elements of a list that has some.
pub(super) fn elements(raw: &RawValue) -> Result<Vec<&RawValue>, Miss> {
    let elements = json::elements(raw.get().as_bytes()).ok().flatten().ok_or(Miss::Failed("pointer_wrong_type"))?;
    if elements.is_empty() { Err(Miss::Failed("pointer_found_nothing")) } else { Ok(elements) }
}

/// What the user of a chat said last.
pub(super) fn last_said(asked: &Asked<'_>) -> Result<String, Miss> {
    const NOTHING: Miss = Miss::Failed("pointer_found_nothing");
    let [messages] = json::fields(asked.json()?, ["messages"]).map_err(|_| Miss::Failed("request_not_json"))?;
    for message in elements(messages.ok_or(NOTHING)?)?.into_iter().rev() {
        let [role, content] = json::fields(message.get().as_bytes(), ["role", "content"])
            .map_err(|_| Miss::Failed("request_not_json"))?;
        if role.and_then(json::string).is_none_or(|role| role != "user") {
            continue;
        }
        let content = content.ok_or(NOTHING)?;
        return match json::string(content) {
            Some(text) => Ok(text.into_owned()),
            None => parts(content),
        };
    }
    Err(NOTHING)
}

/// The text parts of a message; pictures and sounds are none.
fn parts(content: &RawValue) -> Result<String, Miss> {
    let mut said = String::new();
    for part in elements(content)? {
        let [text] = json::fields(part.get().as_bytes(), ["text"]).map_err(|_| Miss::Failed("request_not_json"))?;
        if let Some(text) = text.and_then(json::string) {
            said.push_str(&text);
            said.push('\n');
        }
    }
    if said.is_empty() { Err(Miss::Failed("pointer_found_nothing")) } else { Ok(said) }
}
