//! When two requests are the same request.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::HeaderMap;
use mainstay_core::route::Protocol;
use ring::digest::{Context, Digest, SHA256};
use serde_json::value::RawValue;

use crate::headers;
use crate::json;
use crate::protocol::is_binary;

/// Longer requests have no key: they are not cached.
pub const MAX_KEYED_BYTES: usize = 1 << 20;

/// Requests nested deeper have no key.
const MAX_DEPTH: usize = 64;

/// The identity of a request: SHA-256 of its canonical form. Callers choose what is hashed, so nothing less than a
/// hash without known collisions keeps one caller from reading the answer to another question.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestKey([u8; 32]);

impl std::fmt::Debug for RequestKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What makes a request.
#[derive(Clone, Copy, Debug)]
pub struct KeyParts<'a> {
    /// The route's name.
    pub route: &'a str,
    /// The route's protocol.
    pub protocol: Protocol,
    /// The client's name: clients do not see each other's answers.
    pub client: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// The request's headers: `accept`, whether the body is binary, and what the caller says of who it is: who has a name of its own at the
    /// backend sees nobody else's answers.
    pub headers: &'a HeaderMap,
    /// The request's body, before features were put into it.
    pub body: &'a [u8],
}

impl RequestKey {
    /// The key of a request; `None` where it is not JSON, is binary, too long or too deep.
    ///
    /// The order of an object's members, white space and the way in which strings are escaped do not matter; numbers
    /// count as they are written. Members at the top that do not change the answer are left out: `id` (Open
    /// Inference) and its `parameters.priority` and `parameters.timeout`; `user`, `safety_identifier` and
    /// `prompt_cache_key` (OpenAI); `stream` and `stream_options` (language models), as an answer is kept in whole and
    /// given either way.
    pub fn new(parts: &KeyParts<'_>) -> Option<RequestKey> {
        if parts.body.len() > MAX_KEYED_BYTES || is_binary(parts.headers) {
            return None;
        }
        let accept = parts.headers.get("accept").map(http::HeaderValue::as_bytes).unwrap_or_default();
        let mut context = Context::new(&SHA256);
        let named = [parts.route, parts.protocol.name(), parts.client, parts.target];
        for part in named.map(str::as_bytes).into_iter().chain([accept]) {
            // The length before each part keeps parts from running into each other.
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        for part in headers::credentials(parts.headers).flat_map(|(name, value)| [name.as_bytes(), value]) {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        context.update(&[0xff; 8]);
        context.update(&canonical(parts.protocol, parts.body)?);
        Some(RequestKey::from(context.finish()))
    }
}

impl From<Digest> for RequestKey {
    fn from(digest: Digest) -> RequestKey {
        RequestKey(digest.as_ref().try_into().expect("SHA-256 gives 32 bytes"))
    }
}

const fn left_out(protocol: Protocol) -> &'static [&'static [&'static str]] {
    match protocol {
        Protocol::OpenInference => &[&["id"], &["parameters", "priority"], &["parameters", "timeout"]],
        Protocol::Openai => {
            &[&["user"], &["safety_identifier"], &["prompt_cache_key"], &["stream"], &["stream_options"]]
        }
        Protocol::Anthropic => &[&["stream"]],
        Protocol::OpenInferenceGrpc | Protocol::Http => &[],
    }
}

fn canonical(protocol: Protocol, body: &[u8]) -> Option<Vec<u8>> {
    if body.is_empty() {
        return Some(Vec::new());
    }
    if protocol.is_grpc() {
        return crate::protocol::identity(body);
    }
    let whole: &RawValue = serde_json::from_slice(body).ok()?;
    let mut out = Vec::with_capacity(body.len());
    write(whole, left_out(protocol), MAX_DEPTH, &mut out)?;
    Some(out)
}

/// Writes a value: members in order of their keys, nothing between. Each level is scanned once more for each level
/// above it, which the bounds on length and depth keep short.
fn write(value: &RawValue, left_out: &[&[&str]], depth: usize, out: &mut Vec<u8>) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    let text = value.get();
    match text.as_bytes().first()? {
        b'{' => write_object(text, left_out, depth, out),
        b'[' => {
            out.push(b'[');
            for element in json::elements(text.as_bytes()).ok()?? {
                write(element, &[], depth, out)?;
                out.push(b',');
            }
            out.push(b']');
            Some(())
        }
        b'"' => serde_json::to_writer(out, &json::string(value)?).ok(),
        _ => {
            out.extend_from_slice(text.as_bytes());
            Some(())
        }
    }
}

fn write_object(text: &str, left_out: &[&[&str]], depth: usize, out: &mut Vec<u8>) -> Option<()> {
    let members: BTreeMap<Cow<'_, str>, &RawValue> = json::members(text.as_bytes()).ok()??.into_iter().collect();
    out.push(b'{');
    for (key, value) in members {
        let here = left_out.iter().filter(|path| path.first().is_some_and(|first| *first == key));
        let below: Vec<&[&str]> = here.map(|path| &path[1..]).collect();
        if below.iter().any(|path| path.is_empty()) {
            continue;
        }
        serde_json::to_writer(&mut *out, &key).ok()?;
        out.push(b':');
        write(value, &below, depth, out)?;
        out.push(b',');
    }
    out.push(b'}');
    Some(())
}
