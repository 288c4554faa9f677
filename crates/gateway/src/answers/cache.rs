//! The last good answer to the same request.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use mainstay_core::route::{Level, Protocol};
use mainstay_core::time::Time;

use super::key::RequestKey;
use crate::json;
use crate::protocol::is_binary;

/// What an entry weighs beside its body: key, headers, bookkeeping.
const ENTRY_BYTES: usize = 256;

/// Good answers by request, bounded in bytes. Cheap to clone: all clones are the same cache.
#[derive(Clone, Debug)]
pub struct AnswerCache {
    answers: moka::sync::Cache<RequestKey, CachedAnswer>,
    entry_bytes_max: usize,
}

/// A stored answer.
#[derive(Clone, Debug)]
pub struct CachedAnswer {
    /// Its status, a 2xx.
    pub status: StatusCode,
    /// Its content type, if it has one.
    pub content_type: Option<HeaderValue>,
    /// When it was given.
    pub stored_at: Time,
    body: Bytes,
    id: IdPlace,
}

/// Where the request's id stands in the answer.
#[derive(Clone, Debug)]
enum IdPlace {
    /// The protocol echoes no id.
    None,
    /// In a field of a message.
    Field,
    /// These bytes are the id.
    At(Range<usize>),
    /// It has none; one would go here. `is_first`: no other member follows.
    Before { at: usize, is_first: bool },
}

/// Why an answer was not stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotStored {
    /// Not a 2xx of level 0.
    NotGood,
    /// Its headers forbid it, or say that the body is not what it seems: `set-cookie`, `cache-control: no-store` or
    /// `private`, a content encoding, Triton's binary extension.
    Headers,
    /// Longer than an eighth of the cache.
    TooLong,
    /// Not JSON, or no message, where the protocol has an id to echo.
    Json,
}

impl AnswerCache {
    /// A cache that holds at most `bytes_max` bytes.
    pub fn new(bytes_max: u64) -> AnswerCache {
        let weigh =
            |_: &RequestKey, answer: &CachedAnswer| u32::try_from(answer.body.len() + ENTRY_BYTES).unwrap_or(u32::MAX);
        AnswerCache {
            answers: moka::sync::Cache::builder().weigher(weigh).max_capacity(bytes_max).build(),
            entry_bytes_max: usize::try_from(bytes_max / 8).unwrap_or(usize::MAX),
        }
    }

    /// Keeps a good answer: a whole 2xx of level 0.
    pub fn store(
        &self,
        key: RequestKey,
        protocol: Protocol,
        level: Level,
        answer: &http::Response<Bytes>,
        now: Time,
    ) -> Result<(), NotStored> {
        let body = answer.body();
        if level != Level::FULL || !answer.status().is_success() {
            return Err(NotStored::NotGood);
        }
        if !may_be_stored(answer.headers()) {
            return Err(NotStored::Headers);
        }
        if body.len() + ENTRY_BYTES > self.entry_bytes_max {
            return Err(NotStored::TooLong);
        }
        let id = id_place(protocol, body).ok_or(NotStored::Json)?;
        let content_type = answer.headers().get(CONTENT_TYPE).cloned();
        // A copy: the answer's bytes may be a small part of a large buffer.
        let body = Bytes::copy_from_slice(body);
        let stored = CachedAnswer { status: answer.status(), content_type, stored_at: now, body, id };
        self.answers.insert(key, stored);
        Ok(())
    }

    /// Forgets an answer: it turned out not to be a good one.
    pub fn forget(&self, key: RequestKey) {
        self.answers.invalidate(&key);
    }

    /// The last good answer, if it is no older than `max_age`.
    pub fn find(&self, key: RequestKey, max_age: Duration, now: Time) -> Option<CachedAnswer> {
        self.answers.get(&key).filter(|answer| now.since(answer.stored_at) <= max_age)
    }
}

impl CachedAnswer {
    /// The body for another request with this id (as [`Facts::id`](crate::protocol::Facts::id) has it). A request
    /// without an id gets an empty one where the stored answer had one.
    pub fn body_for(&self, id: Option<&str>) -> Bytes {
        let quoted = serde_json::Value::from(id.unwrap_or_default()).to_string();
        match (&self.id, id) {
            (IdPlace::Field, id) => crate::protocol::answer_with_id(&self.body, id),
            (IdPlace::At(place), _) => json::splice(&self.body, place.clone(), &[quoted.as_bytes()]),
            (IdPlace::Before { at, is_first }, Some(_)) => {
                let comma: &[u8] = if *is_first { b"" } else { b"," };
                json::splice(&self.body, *at..*at, &[b"\"id\":", quoted.as_bytes(), comma])
            }
            (IdPlace::None, _) | (IdPlace::Before { .. }, None) => self.body.clone(),
        }
    }
}

fn may_be_stored(headers: &HeaderMap) -> bool {
    let forbids = |value: &HeaderValue| {
        let value = value.as_bytes().to_ascii_lowercase();
        ["no-store", "private"].iter().any(|word| memchr::memmem::find(&value, word.as_bytes()).is_some())
    };
    !is_binary(headers)
        && !headers.contains_key(SET_COOKIE)
        && !headers.contains_key(CONTENT_ENCODING)
        && !headers.get_all(CACHE_CONTROL).iter().any(forbids)
}

fn id_place(protocol: Protocol, body: &[u8]) -> Option<IdPlace> {
    match protocol {
        Protocol::Openai | Protocol::Anthropic | Protocol::Http => Some(IdPlace::None),
        Protocol::OpenInferenceGrpc => crate::protocol::can_be_kept(body).then_some(IdPlace::Field),
        Protocol::OpenInference => {
            let [id] = json::fields(body, ["id"]).ok()?;
            match id {
                Some(id) => Some(IdPlace::At(json::span(body, id))),
                None => {
                    let (at, is_first) = json::front(body).filter(|(at, _)| body[at - 1] == b'{')?;
                    Some(IdPlace::Before { at, is_first })
                }
            }
        }
    }
}
