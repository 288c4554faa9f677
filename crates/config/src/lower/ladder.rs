//! Ladders: levels that rise, one kind of answer each, and an end that always answers.

use std::collections::BTreeSet;
use std::time::Duration;

use mainstay_core::expr::Program;
use mainstay_core::llm::translate::translates;
use mainstay_core::llm::{Dialect, answers_text};
use mainstay_core::plan::{AnswerBy, AnswerRule, Entry, FeatureMode, FeatureSetId, PathMatch};
use mainstay_core::route::{Level, Protocol};

use super::answer::{self, answer};
use super::{Names, empty, local, no_effect, value};
use crate::code::Code;
use crate::finding::Finding;
use crate::raw::local::RequestPlaces;
use crate::raw::route as raw;
use crate::read::Reader;
use crate::span::At;

/// A ladder and what is spoken on it.
pub(super) struct Ladder {
    pub(super) protocol: Protocol,
    pub(super) entries: Vec<Entry>,
}

/// What an entry's answer is read with.
pub(super) struct Around<'a> {
    /// How answers are written.
    pub(super) protocol: Option<Protocol>,
    pub(super) refs: &'a BTreeSet<String>,
    /// Where requests of the route hold what levels ask for.
    pub(super) places: Option<&'a RequestPlaces>,
}

/// What the entries of one ladder have in common.
struct Common {
    /// What the first backend speaks.
    protocol: Option<Protocol>,
    /// What each of them speaks, and where it is named.
    spoken: Vec<(At<String>, Protocol)>,
    refs: BTreeSet<String>,
}

pub(super) fn ladder(route: &raw::Route, names: &mut Names, reader: &mut Reader<'_>) -> Option<Ladder> {
    let raw = route.ladder.as_ref()?;
    if raw.value.is_empty() {
        empty(raw.span, "`ladder`", reader);
        return None;
    }
    check_levels(&raw.value, reader);
    let mut common = Common { protocol: None, spoken: Vec::new(), refs: BTreeSet::new() };
    let called: Vec<Option<AnswerBy>> =
        raw.value.iter().map(|entry| backend(&entry.value, &mut common, names, reader)).collect();
    let protocol = spoken_at(route, &common).or(common.protocol).or_else(|| spoken(&raw.value));
    if let Some(protocol) = protocol {
        check_translations(route, protocol, &common, reader);
    }
    // Embeddings are no text: what takes their place is JSON, as over plain HTTP.
    let written =
        protocol.map(|spoken| if spoken.is_of_language_models() && !is_text(route) { Protocol::Http } else { spoken });
    let around =
        Around { protocol: written, refs: &common.refs, places: route.request.as_ref().map(|places| &places.value) };
    let entries: Vec<Option<Entry>> = raw
        .value
        .iter()
        .zip(called)
        .map(|(entry, called)| self::entry(entry, called, &around, names, reader))
        .collect();
    check_end(&raw.value, &entries, reader);
    check_timeouts(route, &raw.value, reader);
    Some(Ladder { protocol: protocol.unwrap_or(Protocol::Http), entries: entries.into_iter().collect::<Option<_>>()? })
}

/// The dialect of a route that takes one path.
fn dialect_of(route: &raw::Route) -> Option<Dialect> {
    match &route.path.as_ref()?.value {
        PathMatch::Exact(path) => Dialect::of_path(path),
        PathMatch::Prefix(_) => None,
    }
}

/// Whether a language model answers with a text at a route's path, or at any below it.
fn is_text(route: &raw::Route) -> bool {
    match route.path.as_ref().map(|path| &path.value) {
        Some(PathMatch::Exact(path)) => answers_text(path),
        Some(PathMatch::Prefix(_)) | None => true,
    }
}

/// What callers of language models speak is what their path says, whatever the backends do.
fn spoken_at(route: &raw::Route, common: &Common) -> Option<Protocol> {
    let of_models = common.protocol.is_some_and(Protocol::is_of_language_models);
    dialect_of(route).filter(|_| of_models).map(|dialect| match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiCompletions => Protocol::Openai,
        Dialect::AnthropicMessages => Protocol::Anthropic,
    })
}

/// Backends that speak otherwise than the callers have to be given translations.
fn check_translations(route: &raw::Route, protocol: Protocol, common: &Common, reader: &mut Reader<'_>) {
    for (name, this) in common.spoken.iter().filter(|(_, this)| *this != protocol) {
        let to = if *this == Protocol::Anthropic { Dialect::AnthropicMessages } else { Dialect::OpenaiChat };
        let of_models = protocol.is_of_language_models() && this.is_of_language_models();
        if of_models && dialect_of(route).is_some_and(|from| translates(from, to)) {
            continue;
        }
        let message =
            format!("backend `{}` speaks {}, this route's callers {}", name.value, this.name(), protocol.name());
        let help = if of_models {
            "chats are translated, on routes of their own: with a path that ends in /chat/completions or /messages"
        } else {
            "only openai and anthropic are translated to one another; all backends of a ladder speak one of the others"
        };
        reader.report(Finding::new(Code::Untranslatable, name.span, message).help(help));
    }
}

/// Where no backend says it, the way the answers are written does.
fn spoken(entries: &[At<raw::Entry>]) -> Option<Protocol> {
    entries.iter().find_map(|entry| {
        let entry = &entry.value;
        let rule = entry.rules.iter().flat_map(|rules| &rules.value).find_map(|rule| rule.value.respond.as_ref());
        let answer = entry.respond.as_ref().or(entry.otherwise.as_ref()).or(rule).or_else(|| local::written(entry))?;
        answer::protocol_of(&answer.value)
    })
}

fn check_levels(entries: &[At<raw::Entry>], reader: &mut Reader<'_>) {
    let levels: Vec<&At<Level>> = entries.iter().filter_map(|entry| entry.value.level.as_ref()).collect();
    for pair in levels.windows(2).filter(|pair| pair[1].value < pair[0].value) {
        let message = format!("level {} comes after level {}", pair[1].value, pair[0].value);
        let help = "write the entries from level 0 down to level 4";
        reader.report(Finding::new(Code::LevelOrder, pair[1].span, message).help(help));
    }
}

const KINDS: [&str; 9] = ["backend", "rules", "table", "rank", "keywords", "velocity", "queue", "cache", "respond"];

fn entry(
    raw: &At<raw::Entry>,
    called: Option<AnswerBy>,
    around: &Around<'_>,
    names: &mut Names,
    reader: &mut Reader<'_>,
) -> Option<Entry> {
    let answer = answer_by(raw, called, around, names, reader);
    let level = raw.value.level.as_ref()?.value;
    let is_local = !raw.value.given.contains("backend");
    Some(Entry {
        level,
        name: value(raw.value.name.clone()).unwrap_or_else(|| level.name().to_owned()),
        quality_impact: value(raw.value.quality_impact.clone()),
        budget: value(raw.value.timeout.clone()).filter(|_| is_local),
        answer: answer?,
    })
}

fn answer_by(
    at: &At<raw::Entry>,
    called: Option<AnswerBy>,
    around: &Around<'_>,
    names: &mut Names,
    reader: &mut Reader<'_>,
) -> Option<AnswerBy> {
    let raw = &at.value;
    check_kind(at, reader)?;
    idle_keys(raw, around.protocol, reader);
    if raw.given.contains("backend") {
        return called;
    }
    if let Some(rules) = &raw.rules {
        return self::rules(rules, raw.otherwise.as_ref(), around.protocol, around.refs, reader);
    }
    if let Some(table) = &raw.table {
        return local::table(table, around, reader).map(|table| AnswerBy::Table(Box::new(table)));
    }
    if let Some(rank) = &raw.rank {
        return local::rank(rank, around, reader).map(|rank| AnswerBy::Rank(Box::new(rank)));
    }
    if let Some(keywords) = &raw.keywords {
        return local::keywords(keywords, around, reader).map(|keywords| AnswerBy::Keywords(Box::new(keywords)));
    }
    if let Some(velocity) = &raw.velocity {
        return local::velocity(velocity, around, reader).map(|velocity| AnswerBy::Velocity(Box::new(velocity)));
    }
    if let Some(queue) = &raw.queue {
        return local::hold(queue, around, names, reader).map(|hold| AnswerBy::Hold(Box::new(hold)));
    }
    if let Some(cache) = &raw.cache {
        let single_flight = super::value_or(cache.value.single_flight.as_ref(), false);
        return Some(AnswerBy::Cache { max_age: cache.value.max_age.as_ref()?.value, single_flight });
    }
    Some(AnswerBy::Respond(answer(raw.respond.as_ref()?, around.protocol, reader)?))
}

/// Exactly one kind of answer.
fn check_kind(at: &At<raw::Entry>, reader: &mut Reader<'_>) -> Option<()> {
    let given = &at.value.given;
    let kinds: Vec<&str> = KINDS.into_iter().filter(|kind| given.contains(kind)).collect();
    if kinds.len() == 1 {
        return Some(());
    }
    let message = if kinds.is_empty() {
        "this entry has no kind of answer".to_owned()
    } else {
        format!("this entry has several kinds of answer: {}", crate::suggest::listed(&kinds))
    };
    let finding = Finding::new(Code::ExactlyOne, at.span, message);
    reader.report(finding.help(format!("one of {}", crate::suggest::listed(&KINDS))));
    None
}

/// Keys that belong to another kind of answer.
fn idle_keys(raw: &raw::Entry, protocol: Option<Protocol>, reader: &mut Reader<'_>) {
    let trims = raw.given.contains("backend") && protocol.is_none_or(|protocol| protocol == Protocol::Openai);
    if let Some(context) = raw.context.as_ref().filter(|_| !trims) {
        no_effect(context.span, "`context` is for chats that a backend answers", reader);
    }
    if let Some(features) = raw.features.as_ref().filter(|_| !raw.given.contains("backend")) {
        no_effect(features.span, "`features` are fetched for backends; rules see what was fetched before", reader);
    }
    if let Some(otherwise) = raw.otherwise.as_ref().filter(|_| !raw.given.contains("rules")) {
        no_effect(otherwise.span, "`otherwise` goes with `rules`", reader);
    }
}

fn backend(raw: &raw::Entry, common: &mut Common, names: &mut Names, reader: &mut Reader<'_>) -> Option<AnswerBy> {
    let name = raw.backend.as_ref()?;
    let found = names.backend(name, reader);
    let protocol = found.and_then(|(_, protocol)| protocol);
    common.spoken.extend(protocol.map(|protocol| (name.clone(), protocol)));
    common.protocol = common.protocol.or(protocol);
    let features = match &raw.features {
        Some(features) => Some(feature_use(&features.value, protocol, common, names, reader)?),
        None => None,
    };
    Some(AnswerBy::Backend {
        backend: found?.0,
        features,
        timeout: value(raw.timeout.clone()),
        context: raw.context.as_ref().and_then(|context| Some(context.value.max_tokens.as_ref()?.value)),
    })
}

fn feature_use(
    raw: &raw::FeatureUse,
    protocol: Option<Protocol>,
    common: &mut Common,
    names: &mut Names,
    reader: &mut Reader<'_>,
) -> Option<(FeatureSetId, FeatureMode)> {
    let set = raw.set.as_ref()?;
    let facts = names.features(set, reader)?;
    common.refs.extend(facts.refs);
    let fits = match (facts.into_tensor, protocol) {
        (None, _) | (_, None | Some(Protocol::OpenInferenceGrpc)) => true,
        (Some(tensor), Some(protocol)) => tensor == (protocol == Protocol::OpenInference),
    };
    if let (false, Some(protocol)) = (fits, protocol) {
        let wanted = if protocol == Protocol::OpenInference { "{ input: NAME, datatype: FP64 }" } else { "/pointer" };
        let message = format!("the `into` of `{}` does not fit {}", set.value, protocol.name());
        let finding = Finding::new(Code::IntoShape, set.span, message);
        reader.report(finding.help(format!("there it is written `into: {wanted}`")));
    }
    Some((facts.id, super::value_or(raw.mode.as_ref(), FeatureMode::Online)))
}

fn rules(
    raw: &At<Vec<At<raw::AnswerRule>>>,
    otherwise: Option<&At<raw::Answer>>,
    protocol: Option<Protocol>,
    refs: &BTreeSet<String>,
    reader: &mut Reader<'_>,
) -> Option<AnswerBy> {
    if raw.value.is_empty() {
        empty(raw.span, "`rules`", reader);
    }
    let programs: Vec<&At<Program>> = raw.value.iter().filter_map(|rule| rule.value.when.as_ref()).collect();
    check_reachable(&programs, reader);
    for program in programs {
        check_features(program, refs, reader);
    }
    let rules: Vec<Option<AnswerRule>> = raw.value.iter().map(|rule| self::rule(rule, protocol, reader)).collect();
    let otherwise = match otherwise {
        Some(otherwise) => Some(answer(otherwise, protocol, reader)?),
        None => None,
    };
    Some(AnswerBy::Rules { rules: rules.into_iter().collect::<Option<_>>()?, otherwise })
}

fn rule(raw: &At<raw::AnswerRule>, protocol: Option<Protocol>, reader: &mut Reader<'_>) -> Option<AnswerRule> {
    let respond = raw.value.respond.as_ref().and_then(|respond| answer(respond, protocol, reader));
    Some(AnswerRule { when: raw.value.when.as_ref()?.value.clone(), respond: respond? })
}

/// A rule that always holds hides those below it.
pub(super) fn check_reachable(programs: &[&At<Program>], reader: &mut Reader<'_>) {
    let always = programs.iter().position(|program| program.value.source().trim() == "true");
    if let Some(hidden) = always.and_then(|index| programs.get(index + 1)) {
        let finding =
            Finding::new(Code::Unreachable, hidden.span, "this rule is never asked: one above it always holds");
        reader.report(finding.label("never reached").help("put the rule that always holds last"));
    }
}

fn check_features(program: &At<Program>, refs: &BTreeSet<String>, reader: &mut Reader<'_>) {
    for name in program.value.features().filter(|name| !refs.contains(*name)) {
        let message = format!("no entry of this ladder fetches the feature `{name}`");
        let known: Vec<&str> = refs.iter().map(String::as_str).collect();
        let finding = Finding::new(Code::UnknownFeature, program.span, message).label("always its default");
        reader.report(finding.help_maybe(crate::suggest::did_you_mean(name, &known)));
    }
}

/// The end is local and always answers, and no entry of the same level comes after such an entry. A deeper level may:
/// it is reached where an operator pins it.
fn check_end(raw: &[At<raw::Entry>], entries: &[Option<Entry>], reader: &mut Reader<'_>) {
    for (index, pair) in entries.windows(2).enumerate() {
        if let [Some(above), Some(below)] = pair
            && above.answer.always_answers()
            && above.level == below.level
        {
            let message = "this entry is never asked: the one above it always answers";
            let finding = Finding::new(Code::Unreachable, raw[index + 1].span, message).label("never reached");
            reader.report(finding.help("put what always answers last"));
        }
    }
    let (Some(at), Some(Some(last))) = (raw.last(), entries.last()) else { return };
    if !last.answer.always_answers() {
        let why = match last.answer {
            AnswerBy::Backend { .. } => "the last entry is a backend, which may fail",
            AnswerBy::Rules { .. } => "the last entry has rules and no `otherwise`",
            AnswerBy::Table(_) => "the last entry is a table, which may lack the key or the file",
            AnswerBy::Rank(_) => "the last entry ranks items, and a request may have none",
            AnswerBy::Keywords(_) => "the last entry looks for keywords, and a request may have no text",
            AnswerBy::Velocity(_) => "the last entry counts keys, and a request may have none",
            AnswerBy::Cache { .. } => "the last entry is a cache, which may be empty",
            AnswerBy::Hold(_) | AnswerBy::Respond(_) => return,
        };
        let finding = Finding::new(Code::LastEntry, at.span, why).label("may have no answer");
        reader.report(finding.help("end with a static answer: `- { level: 4, respond: .. }`"));
    }
}

/// The deadline is one for all levels: what lies beyond it is never tried.
fn check_timeouts(route: &raw::Route, entries: &[At<raw::Entry>], reader: &mut Reader<'_>) {
    let Some(deadline) = route.deadline.as_ref().map(|deadline| deadline.value) else { return };
    let mut sum = Duration::ZERO;
    for timeout in entries.iter().filter_map(|entry| entry.value.timeout.as_ref()) {
        sum = sum.saturating_add(timeout.value);
        if sum > deadline {
            let message = format!("the timeouts up to here add up to {sum:?}");
            super::route::beyond(timeout.span, &message, deadline, reader);
            return;
        }
    }
}
