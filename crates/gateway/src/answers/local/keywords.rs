//! `keywords`: whether a text has a word of a list.

use std::borrow::Cow;

use mainstay_core::plan::{Answer, Keywords};
use serde_json::Value;

use super::places::{self, Several};
use super::{Asked, Found, Miss, fill, version};
use crate::answers::files::{Content, DataFile};
use crate::json::Pointer;

/// Longest text that is looked through, in bytes and over a whole batch.
const MAX_TEXT: usize = 256 << 10;

pub(super) fn answer(
    keywords: &Keywords,
    file: &DataFile,
    text: Option<&Pointer>,
    asked: &Asked<'_>,
) -> Result<Found, Miss> {
    let texts = match text {
        Some(pointer) => places::texts(asked, pointer)?,
        None => Several::One(Cow::Owned(places::last_said(asked)?)),
    };
    if texts.all().iter().map(|text| text.len()).sum::<usize>() > MAX_TEXT {
        return Err(Miss::Failed("text_too_long"));
    }
    let version = version(file, keywords.max_age, asked.now)?;
    let Content::Keywords(matcher) = &version.content else { return Err(Miss::Failed("file_not_usable")) };
    let one = |text: &str| -> Result<Answer, Miss> {
        let Some(found) = matcher.find(text) else {
            let miss = keywords.miss.as_ref().ok_or(Miss::Declined("no_keyword"))?;
            return fill(miss, &|_| None);
        };
        fill(&keywords.hit, &|name| match name {
            "keyword" => Some(Value::from(found.keyword.as_str())),
            "label" => Some(Value::from(found.label.as_str())),
            _ => None,
        })
    };
    match texts {
        Several::One(text) => one(&text).map(Found::One),
        Several::List(texts) => texts.iter().map(|text| one(text)).collect::<Result<_, _>>().map(Found::Rows),
    }
}
