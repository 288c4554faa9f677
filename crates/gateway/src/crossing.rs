//! Answers of language models for callers that speak another dialect, or that asked for a stream and got all at once.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use mainstay_core::llm::Dialect;
use mainstay_core::llm::answering::{Answering, Effect, Fault, Settings};
use mainstay_core::llm::translate::{self, Untranslatable};
use mainstay_core::llm::whole::{self, Glance, Whole};
use mainstay_core::plan::AfterCommit;
use mainstay_core::route::Protocol;
use mainstay_core::time::Time;

use crate::protocol;

/// The two dialects of one call, where they differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Crossing {
    /// What the caller reads and writes.
    pub(crate) caller: Dialect,
    /// What the backend reads and writes.
    pub(crate) backend: Dialect,
}

impl Crossing {
    /// What has to be translated at a path for a backend that speaks `to`; `None`: nothing.
    pub(crate) fn of(spoken: Protocol, to: Protocol, path: &str) -> Result<Option<Crossing>, &'static str> {
        if spoken == to || !spoken.is_of_language_models() || !to.is_of_language_models() {
            return Ok(None);
        }
        let caller = Dialect::of_path(path).ok_or(UNTRANSLATABLE)?;
        let backend = if to == Protocol::Anthropic { Dialect::AnthropicMessages } else { Dialect::OpenaiChat };
        match (caller == backend, translate::translates(caller, backend)) {
            (true, _) => Ok(None),
            (false, true) => Ok(Some(Crossing { caller, backend })),
            (false, false) => Err(UNTRANSLATABLE),
        }
    }

    /// The request's body as the backend reads it.
    pub(crate) fn request(self, body: &[u8]) -> Result<Bytes, &'static str> {
        translate::request(self.caller, self.backend, body).map(Bytes::from).map_err(|why| {
            tracing::debug!(%why, "a request is not put in another dialect");
            if why == Untranslatable::NotJson { "bad_request_body" } else { UNTRANSLATABLE }
        })
    }

    /// The path at the backend.
    pub(crate) fn path(self, path: &str) -> Option<String> {
        translate::path_in(path, self.backend)
    }

    /// Takes away what is meant for the provider of the caller's dialect alone; a caller's own key is for nobody else.
    pub(crate) fn clean(headers: &mut HeaderMap) {
        for name in PROVIDERS_OWN {
            headers.remove(name);
        }
    }
}

/// Why an entry is passed that would be asked in another dialect.
const UNTRANSLATABLE: &str = "untranslatable";

const PROVIDERS_OWN: [HeaderName; 8] = [
    header::AUTHORIZATION,
    header::ACCEPT_ENCODING,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("anthropic-version"),
    HeaderName::from_static("anthropic-beta"),
    HeaderName::from_static("openai-beta"),
    HeaderName::from_static("openai-organization"),
    HeaderName::from_static("openai-project"),
];

/// How an answer that is held in whole becomes what its caller asked for.
pub(crate) struct Held<'a> {
    pub(crate) crossing: Option<Crossing>,
    /// The caller asked for a stream.
    pub(crate) settings: Option<&'a Settings>,
    /// The dialect of an answer that the caller reads as its backend wrote it; `None`: it is in none.
    pub(crate) spoken: Option<Dialect>,
    pub(crate) request_id: &'a str,
    pub(crate) now: Time,
}

impl Held<'_> {
    /// A success, and what it says of itself; a fault says why it is none.
    pub(crate) fn success(&self, headers: &mut HeaderMap, body: Bytes) -> Result<(Bytes, Option<Box<Glance>>), Fault> {
        let caller = self.settings.map(|settings| settings.dialect).or(self.crossing.map(|both| both.caller));
        let Some(caller) = caller else {
            // What is compressed all the same is believed.
            let spoken = self.spoken.filter(|_| !headers.contains_key(header::CONTENT_ENCODING));
            let told = spoken.map(|dialect| whole::judge(dialect, &body)).transpose()?;
            return Ok((body, told.map(Box::new)));
        };
        let whole = Whole::read(self.crossing.map_or(caller, |both| both.backend), &body)?;
        whole.judge()?;
        let finish = whole.choices.values().find_map(|choice| choice.finish.clone());
        let told = Glance { usage: whole.usage, finish };
        let (body, content_type) = match self.settings {
            Some(settings) => (stream(settings, &whole, self.now)?, "text/event-stream"),
            None => (whole.write(caller, self.request_id, self.now.as_millis() / 1000), protocol::JSON),
        };
        typed(headers, content_type);
        Ok((body.into(), Some(Box::new(told))))
    }

    /// What the backend refuses, in the caller's dialect.
    pub(crate) fn refusal(&self, status: StatusCode, headers: &mut HeaderMap, body: Bytes) -> (StatusCode, Bytes) {
        let Some(both) = self.crossing else { return (status, body) };
        let (code, body) = translate::error_answer(both.caller, status.as_u16(), &body, self.request_id);
        typed(headers, protocol::JSON);
        (StatusCode::from_u16(code).unwrap_or(status), body.into())
    }
}

/// Why an answer in whole is none, in one word.
pub(crate) const fn word(fault: &Fault) -> &'static str {
    match fault {
        Fault::Told(_) => "error_in_answer",
        Fault::Silent => fault.reason(),
        Fault::Cut => "answer_cut",
        Fault::FirstToken | Fault::Stall | Fault::Slow | Fault::Malformed | Fault::TooLong | Fault::Filtered => {
            "bad_answer"
        }
    }
}

fn typed(headers: &mut HeaderMap, content_type: &'static str) {
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
}

/// A whole answer as a stream that comes at once.
pub(crate) fn stream(settings: &Settings, whole: &Whole, now: Time) -> Result<Vec<u8>, Fault> {
    let mut settings = settings.clone();
    settings.stream.after_commit = AfterCommit::Atomic;
    let mut answering = Answering::new(settings);
    answering.handle_part(whole.part(), now);
    let mut bytes = Vec::new();
    while let Some(effect) = answering.poll_effect() {
        match effect {
            Effect::Send(more) => bytes.extend(more),
            Effect::Failed(fault) | Effect::Rescue(_, fault) => return Err(fault),
            Effect::Commit | Effect::Done(_) => {}
        }
    }
    Ok(bytes)
}

/// Whether an answer says that it is JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let json = protocol::JSON.as_bytes();
    let start = headers.get(header::CONTENT_TYPE).and_then(|value| value.as_bytes().get(..json.len()));
    start.is_some_and(|start| start.eq_ignore_ascii_case(json))
}
