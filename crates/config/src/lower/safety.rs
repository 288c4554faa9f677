//! Checks of answers: who judges, when, and what that keeps from the caller.

use std::time::Duration;

use mainstay_core::plan::{
    AfterCommit, Block, Check, CheckBy, CheckWhen, Moderation, PATTERN_BYTES_MAX, PATTERNS_MAX, Patterns, Route,
};
use mainstay_core::route::Level;

use super::{at_most, check_name, empty, entries, no_effect, no_such, value, value_or};
use crate::code::Code;
use crate::finding::Finding;
use crate::raw::safety as raw;
use crate::read::{Entry, Reader};
use crate::span::At;
use crate::suggest::listed;

/// Longest text that is looked at, unless configured.
const LONGEST: usize = 256 << 10;
/// How long a server may take, unless configured.
const TIMEOUT: Duration = Duration::from_millis(500);
/// Calls at once, unless configured.
const AT_ONCE: u64 = 32;
/// Most checks.
const CHECKS_MAX: usize = 64;

pub(super) fn checks(raw: Option<&At<raw::Safety>>, routes: &[Route], reader: &mut Reader<'_>) -> Vec<Check> {
    let Some(checks) = raw.and_then(|safety| safety.value.checks.as_ref()) else { return Vec::new() };
    at_most(checks, CHECKS_MAX, "checks", reader);
    entries(Some(checks)).iter().filter_map(|entry| check(entry, routes, reader)).collect()
}

fn check(entry: &Entry<raw::Check>, routes: &[Route], reader: &mut Reader<'_>) -> Option<Check> {
    check_name(&entry.name, "a check", reader);
    let at = entry.value.as_ref()?;
    let raw = &at.value;
    let by = by(at, reader);
    let about = about(raw, routes, reader);
    let inline = value_or(raw.when.as_ref(), raw::When::Inline) == raw::When::Inline;
    idle_keys(raw, inline, reader);
    if inline {
        beginnings(at, &about, routes, reader);
    }
    let block = (inline && value_or(raw.on_flag.as_ref(), true))
        .then(|| Block { level: value(raw.level.clone()), unknown: value_or(raw.on_unknown.as_ref(), true) });
    if let (Some(level), Some(_)) = (&raw.level, &block) {
        within_ladders(level, &about, routes, reader);
    }
    let share = value_or(raw.share.as_ref(), 1.0);
    Some(Check {
        name: entry.name.value.clone(),
        routes: about,
        by: by?,
        when: if inline { CheckWhen::Inline } else { CheckWhen::After { share } },
        block,
        confirmed: value_or(raw.verdict.as_ref(), true),
        longest: value_or(raw.longest.as_ref(), LONGEST),
    })
}

fn by(at: &At<raw::Check>, reader: &mut Reader<'_>) -> Option<CheckBy> {
    let raw = &at.value;
    let given = ["moderation", "cel", "patterns"].into_iter().filter(|key| raw.given.contains(*key)).count();
    if given != 1 {
        let message = "a check is exactly one of `moderation`, `cel` and `patterns`";
        reader.report(Finding::new(Code::ExactlyOne, at.span, message).help("give one of them"));
        return None;
    }
    if let Some(server) = &raw.moderation {
        return moderation(&server.value, reader).map(CheckBy::Moderation);
    }
    if let Some(texts) = &raw.patterns {
        return patterns(texts, reader).map(CheckBy::Patterns);
    }
    value(raw.cel.clone()).map(CheckBy::Rule)
}

fn moderation(raw: &raw::Moderation, reader: &mut Reader<'_>) -> Option<Moderation> {
    if let Some(categories) = raw.categories.as_ref().filter(|categories| categories.value.is_empty()) {
        empty(categories.span, "`categories`", reader);
    }
    let categories = raw.categories.iter().flat_map(|categories| &categories.value);
    Some(Moderation {
        url: raw.url.as_ref()?.value.clone(),
        model: value(raw.model.clone()),
        key: value(raw.key.clone()),
        categories: categories.map(|category| category.value.clone()).collect(),
        timeout: value_or(raw.timeout.as_ref(), TIMEOUT),
        at_once: value_or(raw.at_once.as_ref(), AT_ONCE) as usize,
    })
}

fn patterns(texts: &At<Vec<At<String>>>, reader: &mut Reader<'_>) -> Option<Patterns> {
    if texts.value.is_empty() {
        empty(texts.span, "`patterns`", reader);
        return None;
    }
    at_most(texts, PATTERNS_MAX, "patterns", reader);
    let mut all_fine = texts.value.len() <= PATTERNS_MAX;
    for text in &texts.value {
        let fault = match &*text.value {
            "" => Some("it is empty, and found in every text".to_owned()),
            long if long.len() > PATTERN_BYTES_MAX => Some(format!("it is longer than {PATTERN_BYTES_MAX} bytes")),
            one => Patterns::new(&[one]).err(),
        };
        if let Some(fault) = fault {
            let message = format!("this regular expression cannot be used: {fault}");
            reader.report(Finding::new(Code::Regex, text.span, message));
            all_fine = false;
        }
    }
    let all: Vec<&str> = texts.value.iter().map(|text| text.value.as_str()).collect();
    let built = all_fine.then(|| Patterns::new(&all))?;
    built.map_err(|fault| reader.report(Finding::new(Code::Regex, texts.span, format!("all together: {fault}")))).ok()
}

/// The routes that a check is about.
fn about(raw: &raw::Check, routes: &[Route], reader: &mut Reader<'_>) -> Vec<usize> {
    let Some(named) = &raw.routes else { return (0..routes.len()).collect() };
    if named.value.is_empty() {
        empty(named.span, "`routes`", reader);
    }
    let known: Vec<&str> = routes.iter().map(|route| route.name.as_str()).collect();
    let mut about = Vec::new();
    for name in &named.value {
        match known.iter().position(|known| *known == name.value) {
            Some(at) => about.push(at),
            // Routes that were refused are not here to be found.
            None if routes.is_empty() => {}
            None => no_such(name, "route", &known, reader),
        }
    }
    about.sort_unstable();
    about.dedup();
    about
}

fn idle_keys(raw: &raw::Check, inline: bool, reader: &mut Reader<'_>) {
    let blocks = inline && value_or(raw.on_flag.as_ref(), true);
    if let Some(share) = raw.share.as_ref().filter(|_| inline) {
        no_effect(share.span, "a check that is inline looks at every answer", reader);
    }
    if let Some(flag) = raw.on_flag.as_ref().filter(|flag| flag.value && !inline) {
        no_effect(flag.span, "the answer was shown already: there is nothing left to block", reader);
    }
    let idle = [raw.on_unknown.as_ref().map(|at| at.span), raw.level.as_ref().map(|at| at.span)];
    for span in idle.into_iter().flatten().filter(|_| !blocks) {
        no_effect(span, "this check blocks nothing", reader);
    }
}

/// Streams that are shown as they come are seen at their beginning only.
fn beginnings(at: &At<raw::Check>, about: &[usize], routes: &[Route], reader: &mut Reader<'_>) {
    let shown = about
        .iter()
        .filter_map(|at| routes.get(*at))
        .filter(|route| route.protocol.is_of_language_models() && route.stream.after_commit != AfterCommit::Atomic);
    let names: Vec<&str> = shown.map(|route| route.name.as_str()).collect();
    if names.is_empty() {
        return;
    }
    let message =
        format!("of streamed answers this check sees the beginning before they are shown: {}", listed(&names));
    let finding = Finding::new(Code::BeginningOnly, at.value.when.as_ref().map_or(at.span, |when| when.span), message);
    reader.report(
        finding.help("give these routes `stream: { after_commit: atomic }` to hold streams until they are whole"),
    );
}

/// The level at which a request goes on is there.
fn within_ladders(level: &At<Level>, about: &[usize], routes: &[Route], reader: &mut Reader<'_>) {
    let lacks = |route: &&Route| route.ladder.last().is_some_and(|last| last.level < level.value);
    if let Some(route) = about.iter().filter_map(|at| routes.get(*at)).find(lacks) {
        let message = format!("the ladder of `{}` ends before level {}", route.name, level.value);
        reader.report(Finding::new(Code::NoSuch, level.span, message).help("name a level that each of the routes has"));
    }
}
