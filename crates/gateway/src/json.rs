//! Looking things up in JSON without building it: bytes in, slices of the same bytes out.
//!
//! Every lookup reads the document to its end, so that a malformed one is always noticed. Where an object repeats a
//! key the last one counts, as it does for the parsers of most model servers; [`find`] therefore agrees with
//! `serde_json::Value::pointer` on every document.
//!
//! Skipped values are checked as JSON but their strings are not checked as UTF-8. Nothing here recurses deeper than a
//! pointer is long ([`MAX_TOKENS`]), however deep the document is nested.

mod walk;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use serde::de::DeserializeSeed;
use serde_json::value::RawValue;

use walk::{Elements, Fields, Find, Members, Numbers};

/// Most tokens of a [`Pointer`].
pub const MAX_TOKENS: usize = 32;

/// A JSON pointer (RFC 6901), split and unescaped once.
///
/// ```
/// use mainstay_gateway::json::{Pointer, find};
///
/// let pointer = Pointer::parse("/outputs/0/data/0")?;
/// let body = br#"{"outputs": [{"data": [0.25, 1]}]}"#;
/// assert_eq!(find(body, &pointer).unwrap().unwrap().get(), "0.25");
/// # Ok::<(), mainstay_gateway::json::PointerError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pointer {
    tokens: Box<[Token]>,
}

/// One step of a pointer: a key and, where the key reads as one, an array index.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Token {
    key: Box<str>,
    index: Option<usize>,
}

/// Why a text is not a JSON pointer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PointerError {
    /// It does not start with a slash.
    #[error("a JSON pointer is empty or starts with `/`")]
    NoSlash,
    /// A tilde is followed by neither 0 nor 1.
    #[error("`~` in a JSON pointer is followed by 0 or 1")]
    Escape,
    /// More than [`MAX_TOKENS`] tokens.
    #[error("a JSON pointer has at most {MAX_TOKENS} parts")]
    TooLong,
}

impl Pointer {
    /// Parses the text form; the empty text points at the whole document.
    pub fn parse(text: &str) -> Result<Pointer, PointerError> {
        if text.is_empty() {
            return Ok(Pointer { tokens: Box::default() });
        }
        let rest = text.strip_prefix('/').ok_or(PointerError::NoSlash)?;
        let tokens = rest.split('/').map(Token::parse).collect::<Result<Box<[_]>, _>>()?;
        if tokens.len() > MAX_TOKENS { Err(PointerError::TooLong) } else { Ok(Pointer { tokens }) }
    }

    /// The pointer to what holds the value, and the last key; `None` for the whole document.
    pub fn split_last(&self) -> Option<(Pointer, &str)> {
        let (last, parent) = self.tokens.split_last()?;
        Some((Pointer { tokens: parent.into() }, &last.key))
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tokens.iter().try_for_each(|token| write!(f, "/{}", token.key.replace('~', "~0").replace('/', "~1")))
    }
}

impl Token {
    fn parse(text: &str) -> Result<Token, PointerError> {
        let escapes_hold = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        if !escapes_hold {
            return Err(PointerError::Escape);
        }
        let is_index = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
        let index = if is_index { text.parse().ok() } else { None };
        Ok(Token { key: text.replace("~1", "/").replace("~0", "~").into(), index })
    }
}

/// Why bytes are not JSON.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not valid JSON at byte {offset}: {message}")]
pub struct JsonError {
    /// Where the error was noticed, in bytes from the start.
    pub offset: usize,
    /// What is wrong.
    pub message: String,
}

/// The value that the pointer names, as it is written in `body`. Reads the whole document; the last of repeated keys
/// counts.
pub fn find<'a>(body: &'a [u8], pointer: &Pointer) -> Result<Option<&'a RawValue>, JsonError> {
    drive(body, Find { tokens: &pointer.tokens })
}

/// Some members of the object that `body` holds, in one pass; none where it holds something else. The last of
/// repeated keys counts.
///
/// ```
/// use mainstay_gateway::json::fields;
///
/// let [id, model] = fields(br#"{"model": "m", "x": 1}"#, ["id", "model"]).unwrap();
/// assert!(id.is_none());
/// assert_eq!(model.unwrap().get(), r#""m""#);
/// ```
pub fn fields<'a, const N: usize>(body: &'a [u8], names: [&str; N]) -> Result<[Option<&'a RawValue>; N], JsonError> {
    drive(body, Fields { names })
}

/// A member of an object: its key, and its value as it is written.
pub type Member<'a> = (Cow<'a, str>, &'a RawValue);

/// All members of an object, in the order in which they are written; `None` where `body` holds something else.
pub fn members(body: &[u8]) -> Result<Option<Vec<Member<'_>>>, JsonError> {
    drive(body, Members)
}

/// All elements of an array; `None` where `body` holds something else.
pub fn elements(body: &[u8]) -> Result<Option<Vec<&RawValue>>, JsonError> {
    drive(body, Elements)
}

/// Where a value that was found in `body` lies within it.
pub fn span(body: &[u8], raw: &RawValue) -> Range<usize> {
    let start = (raw.get().as_ptr() as usize).saturating_sub(body.as_ptr() as usize);
    start..start + raw.get().len()
}

/// The bytes with a part of them replaced.
pub fn splice(body: &[u8], at: Range<usize>, pieces: &[&[u8]]) -> Bytes {
    let inserted: usize = pieces.iter().map(|piece| piece.len()).sum();
    let mut out = Vec::with_capacity(body.len() - at.len() + inserted);
    out.extend_from_slice(&body[..at.start]);
    for piece in pieces {
        out.extend_from_slice(piece);
    }
    out.extend_from_slice(&body[at.end..]);
    out.into()
}

/// Where something can be put as the first member of the object, or element of the array, that `body` holds, and
/// whether it has none yet. `None` for scalars. The document must be valid, as every lookup here makes sure.
pub(crate) fn front(body: &[u8]) -> Option<(usize, bool)> {
    let open = body.iter().position(|byte| !byte.is_ascii_whitespace())?;
    let close = match body[open] {
        b'{' => b'}',
        b'[' => b']',
        _ => return None,
    };
    let first = body[open + 1..].iter().find(|byte| !byte.is_ascii_whitespace())?;
    Some((open + 1, *first == close))
}

/// The value as a finite number; `None` for everything else, strings included.
pub fn number(raw: &RawValue) -> Option<f64> {
    serde_json::from_str::<f64>(raw.get()).ok().filter(|number| number.is_finite())
}

/// The value as an unsigned integer.
pub fn unsigned(raw: &RawValue) -> Option<u64> {
    serde_json::from_str(raw.get()).ok()
}

/// The value as a boolean.
pub fn boolean(raw: &RawValue) -> Option<bool> {
    match raw.get() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// The value as a string, borrowed where nothing in it is escaped.
pub fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let text = raw.get();
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(text).ok().map(Cow::Owned)
}

/// Folds all numbers of a number or of an array of numbers (of arrays, for a matrix), in order. `None` where anything
/// else is among them.
pub fn fold_numbers(raw: &RawValue, mut each: impl FnMut(f64)) -> Option<()> {
    let mut deserializer = serde_json::Deserializer::from_str(raw.get());
    Numbers(&mut each).deserialize(&mut deserializer).ok()
}

fn drive<'a, S: DeserializeSeed<'a>>(body: &'a [u8], seed: S) -> Result<S::Value, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = seed.deserialize(&mut deserializer).map_err(|e| located(body, &e))?;
    deserializer.end().map_err(|e| located(body, &e))?;
    Ok(value)
}

fn located(body: &[u8], error: &serde_json::Error) -> JsonError {
    let lines_before = error.line().saturating_sub(1);
    let line_start = match lines_before {
        0 => 0,
        n => memchr::memchr_iter(b'\n', body).nth(n - 1).map_or(body.len(), |at| at + 1),
    };
    let text = error.to_string();
    let message = text.split(" at line ").next().unwrap_or_default().to_owned();
    JsonError { offset: (line_start + error.column()).min(body.len()), message }
}
