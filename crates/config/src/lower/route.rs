//! Routes.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_core::plan::{
    Answer, AnswerBy, Confidence, ConfidenceFrom, ConfidenceScale, Environment, OnRefusal, PathMatch, Prediction,
    PriorityRule, Queue, Route, Stream,
};
use mainstay_core::resilience::ladder::Hysteresis;
use mainstay_core::resilience::queue::Shed;
use mainstay_core::route::Protocol;

use super::ladder::{self, Ladder};
use super::{Names, check_distinct, check_name, empty, grpc, hedge, line_of, no_effect, value, value_or};
use crate::code::Code;
use crate::finding::Finding;
use crate::raw::route as raw;
use crate::read::Reader;
use crate::span::{At, Span};

const QUEUE_MAX: u64 = 64;
const QUEUE_WAIT: Duration = Duration::from_millis(50);

pub(super) fn routes(
    raw: Option<&At<Vec<At<raw::Route>>>>,
    environment: Environment,
    names: &mut Names,
    reader: &mut Reader<'_>,
) -> Option<Vec<Route>> {
    let raw = raw?;
    if raw.value.is_empty() {
        empty(raw.span, "`routes`", reader);
    }
    check_distinct(raw.value.iter().filter_map(|route| route.value.name.as_ref()), "a route named", reader);
    check_paths(&raw.value, reader);
    let lowered: Vec<Option<Route>> =
        raw.value.iter().map(|raw| route(&raw.value, environment, names, reader)).collect();
    check_embeddings(&raw.value, &lowered, reader);
    lowered.into_iter().collect()
}

/// On a prefix of OpenAI's paths a text answers chats, completions and responses, and nobody reads one in the place of embeddings: these go
/// without a last level unless they have a route of their own.
fn check_embeddings(raw: &[At<raw::Route>], lowered: &[Option<Route>], reader: &mut Reader<'_>) {
    let paths = || lowered.iter().flatten().map(|route| &route.path);
    for (raw, route) in raw.iter().zip(lowered).filter_map(|(raw, route)| Some((raw, route.as_ref()?))) {
        let (Protocol::Openai, PathMatch::Prefix(prefix)) = (route.protocol, &route.path) else { continue };
        let embeddings = format!("{prefix}embeddings");
        let has_own = paths().any(|path| match path {
            PathMatch::Exact(path) => *path == embeddings,
            PathMatch::Prefix(path) => path.len() > prefix.len() && embeddings.starts_with(path),
        });
        let ends_in_text = matches!(route.ladder.last().map(|it| &it.answer), Some(AnswerBy::Respond(Answer::Text(_))));
        let is_cached = route.ladder.iter().any(|entry| matches!(entry.answer, AnswerBy::Cache { .. }));
        let last = raw.value.ladder.as_ref().and_then(|ladder| ladder.value.last());
        let is_right = has_own || is_cached || !ends_in_text || !prefix.ends_with("/v1/");
        if let Some(last) = last.filter(|_| !is_right) {
            let message =
                format!("nobody reads a text at `{embeddings}`: there no level answers once the backends fail");
            let finding = Finding::new(Code::NoText, last.span, message).label("answers chats and completions");
            let help = format!("a route `path: {embeddings}` with `respond: {{ body: .. }}`, or a `cache` level");
            reader.report(finding.help(help));
        }
    }
}

/// Two routes with one path: the second would never be asked.
fn check_paths(routes: &[At<raw::Route>], reader: &mut Reader<'_>) {
    let mut seen = BTreeMap::new();
    for path in routes.iter().filter_map(|route| route.value.path.as_ref()) {
        let key = match &path.value {
            PathMatch::Exact(path) => (false, path),
            PathMatch::Prefix(path) => (true, path),
        };
        if let Some(first) = seen.insert(key, path.span).filter(|_| !reader.is_full()) {
            let message = format!("another route has this path, on line {}", line_of(reader.text, first));
            reader.report(Finding::new(Code::Duplicate, path.span, message).help("give each route its own path"));
        }
    }
}

fn route(raw: &raw::Route, environment: Environment, names: &mut Names, reader: &mut Reader<'_>) -> Option<Route> {
    if let Some(name) = &raw.name {
        check_name(name, "a route", reader);
    }
    let ladder = ladder::ladder(raw, names, reader);
    let priority = priority(raw, reader);
    let queue = queue(raw, reader);
    let shed = shed(raw.shed.as_ref(), reader);
    let confidence = confidence(raw.confidence.as_ref(), reader);
    if let Some(ladder) = &ladder {
        fitness(raw, ladder, reader);
    }
    if ladder.as_ref().is_some_and(|ladder| ladder.protocol.is_grpc()) {
        grpc::check(raw, reader);
    }
    let hedge = hedge::hedge(raw.hedge.as_ref(), reader);
    let ladder = ladder?;
    Some(Route {
        name: raw.name.as_ref()?.value.clone(),
        path: raw.path.as_ref()?.value.clone(),
        deadline: raw.deadline.as_ref()?.value,
        protocol: ladder.protocol,
        prediction: raw.prediction.as_ref().and_then(prediction),
        confidence: confidence?,
        priority: priority?,
        queue,
        shed: shed?,
        shed_before: value(raw.shed_before.clone()),
        hysteresis: hysteresis(raw.hysteresis.as_ref(), environment),
        stream: stream(raw.stream.as_ref()),
        on_content_refusal: value_or(raw.on_content_refusal.as_ref(), OnRefusal::Stop),
        hedge: hedge?,
        ladder: ladder.entries,
    })
}

/// Keys that say nothing on such a route.
fn fitness(raw: &raw::Route, ladder: &Ladder, reader: &mut Reader<'_>) {
    if let Some(stream) = raw.stream.as_ref().filter(|_| !ladder.protocol.is_of_language_models()) {
        no_effect(stream.span, "`stream` is for language models, and this route has none", reader);
    }
    if let Some(word) = raw.on_content_refusal.as_ref().filter(|_| !ladder.protocol.is_of_language_models()) {
        no_effect(word.span, "`on_content_refusal` is for language models, and this route has none", reader);
    }
    let deepest = ladder.entries.last().map(|entry| entry.level);
    if let Some(level) = raw.shed_before.as_ref().filter(|level| deepest.is_some_and(|deepest| level.value > deepest)) {
        no_effect(level.span, "no entry of the ladder is at this level or beyond", reader);
    }
}

fn prediction(raw: &At<raw::Prediction>) -> Option<Prediction> {
    Some(Prediction {
        pointer: raw.value.pointer.as_ref()?.value.clone(),
        task: raw.value.task.as_ref().map(|task| task.value.to_owned()),
        threshold: value(raw.value.threshold.clone()),
    })
}

#[expect(clippy::option_option, reason = "absent, and refused")]
fn confidence(raw: Option<&At<raw::Confidence>>, reader: &mut Reader<'_>) -> Option<Option<Confidence>> {
    let Some(at) = raw else { return Some(None) };
    let raw = &at.value;
    if raw.given.contains("pointer") == raw.given.contains("header") {
        let finding = Finding::new(Code::ExactlyOne, at.span, "a confidence is found by a `pointer` or by a `header`")
            .help("give one of them");
        reader.report(finding);
        return None;
    }
    let pointer = raw.pointer.as_ref().map(|pointer| ConfidenceFrom::Pointer(pointer.value.clone()));
    let header = raw.header.as_ref().map(|header| ConfidenceFrom::Header(header.value.clone()));
    let scale = value_or(raw.r#as.as_ref(), ConfidenceScale::Score);
    Some(Some(Confidence { from: pointer.or(header)?, scale }))
}

fn priority(raw: &raw::Route, reader: &mut Reader<'_>) -> Option<Vec<PriorityRule>> {
    let rules = raw.priority.as_ref().map_or(&[][..], |rules| &rules.value);
    let programs: Vec<_> = rules.iter().filter_map(|rule| rule.value.when.as_ref()).collect();
    ladder::check_reachable(&programs, reader);
    for program in &programs {
        if let Some(name) = program.value.features().next() {
            let message = format!("a class is chosen before features are fetched: `{name}` has its default here");
            let finding = Finding::new(Code::UnknownFeature, program.span, message);
            reader.report(finding.help("ask `header(..)`, `client` or `request`"));
        }
    }
    rules
        .iter()
        .map(|rule| {
            let (class, when) = (rule.value.class.as_ref()?, rule.value.when.as_ref()?);
            Some(PriorityRule { class: class.value, when: when.value.clone() })
        })
        .collect()
}

fn queue(raw: &raw::Route, reader: &mut Reader<'_>) -> Queue {
    let queue = raw.queue.as_ref().map(|queue| &queue.value);
    let (max, wait) = (queue.and_then(|queue| queue.max.as_ref()), queue.and_then(|queue| queue.wait.as_ref()));
    let lowered = Queue { max: value_or(max, QUEUE_MAX) as usize, wait: value_or(wait, QUEUE_WAIT) };
    if let Some(wait) = wait.filter(|wait| lowered.max == 0 && !wait.value.is_zero()) {
        no_effect(wait.span, "nothing waits in a queue of length 0", reader);
    }
    if let Some(max) = max.filter(|max| lowered.wait.is_zero() && max.value > 0) {
        no_effect(max.span, "nothing waits for 0 seconds", reader);
    }
    if let (Some(wait), Some(deadline)) = (wait, &raw.deadline)
        && wait.value >= deadline.value
    {
        beyond(wait.span, "a request may wait here for as long as it has in all", deadline.value, reader);
    }
    lowered
}

/// Reports a time that the deadline cuts off.
pub(super) fn beyond(span: Span, message: &str, deadline: Duration, reader: &mut Reader<'_>) {
    let finding = Finding::new(Code::BeyondDeadline, span, message).label(format!("the deadline is {deadline:?}"));
    reader.report(finding.help("shorten it, or lengthen `deadline`"));
}

fn shed(raw: Option<&At<raw::ShedWord>>, reader: &mut Reader<'_>) -> Option<Shed> {
    let Some(raw) = raw else { return Some(Shed::Queue) };
    let thresholds = match &raw.value {
        raw::ShedWord::Queue => return Some(Shed::Queue),
        raw::ShedWord::Thresholds(thresholds) => thresholds.thresholds.as_ref()?,
    };
    let values: Vec<f64> = thresholds.value.iter().map(|share| share.value).collect();
    let ascending = values.windows(2).all(|pair| pair[0] < pair[1]);
    if let (Ok(three), true) = (<[f64; 3]>::try_from(values), ascending) {
        return Some(Shed::Thresholds(three));
    }
    let finding =
        Finding::new(Code::Order, thresholds.span, "thresholds are three rising shares, for classes 3, 2 and 1")
            .help("such as `[0.70, 0.85, 0.95]`");
    reader.report(finding);
    None
}

fn hysteresis(raw: Option<&At<raw::Hysteresis>>, environment: Environment) -> Hysteresis {
    let default = match environment {
        Environment::Production | Environment::Staging => Hysteresis::default(),
        // A demo shows in a minute what takes a real service an hour.
        Environment::Demo => Hysteresis { window: Duration::from_secs(1), down: 2, up: Duration::from_secs(3) },
    };
    let Some(raw) = raw.map(|raw| &raw.value) else { return default };
    Hysteresis {
        window: value_or(raw.window.as_ref(), default.window),
        down: raw.down.as_ref().map_or(default.down, |down| down.value as u32),
        up: value_or(raw.up.as_ref(), default.up),
    }
}

fn stream(raw: Option<&At<raw::Stream>>) -> Stream {
    let default = Stream::default();
    let Some(raw) = raw.map(|raw| &raw.value) else { return default };
    let buffer = raw.buffer.as_ref().map(|buffer| &buffer.value);
    Stream {
        headers: value_or(raw.headers.as_ref(), default.headers),
        first_token: value_or(raw.first_token.as_ref(), default.first_token),
        gap: value_or(raw.gap.as_ref(), default.gap),
        min_tokens: value(raw.min_tokens.clone()),
        buffer_tokens: value_or(buffer.and_then(|buffer| buffer.tokens.as_ref()), default.buffer_tokens),
        buffer_time: value_or(buffer.and_then(|buffer| buffer.time.as_ref()), default.buffer_time),
        after_commit: value_or(raw.after_commit.as_ref(), default.after_commit),
        heartbeat: value(raw.heartbeat.clone()),
    }
}
