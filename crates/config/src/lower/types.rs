//! `incidents.types`: what differs from what mainstay knows of a type.

use std::collections::BTreeMap;

use mainstay_core::incident::record::Act;
use mainstay_core::plan::{SignalTerms, TypeTerms};
use mainstay_core::response::fact;
use mainstay_core::response::signature::Catalogue;

use super::incidents::{Names, texts};
use super::{at_most, check_distinct, check_name, entries, no_effect, no_such, value, value_or};
use crate::code::Code;
use crate::finding::Finding;
use crate::raw::incidents as raw;
use crate::read::{Entry, Reader};
use crate::span::At;
use crate::suggest::did_you_mean;

/// Most types that a config speaks of.
const TYPES_MAX: usize = 200;
/// Most items of a list of a type.
const ITEMS_MAX: usize = 200;
/// The action that only a person can decide on.
const BLOCK_PATTERN: &str = "block_pattern";

/// What differs, by the type's name.
pub(super) fn types(
    raw: Option<&At<Vec<Entry<raw::IncidentType>>>>,
    names: &mut Names,
    reader: &mut Reader<'_>,
) -> BTreeMap<String, TypeTerms> {
    if let Some(raw) = raw {
        at_most(raw, TYPES_MAX, "types", reader);
    }
    let known = Catalogue::default();
    entries(raw).iter().filter_map(|entry| terms(entry, &known, names, reader)).collect()
}

fn terms(
    entry: &Entry<raw::IncidentType>,
    known: &Catalogue,
    names: &mut Names,
    reader: &mut Reader<'_>,
) -> Option<(String, TypeTerms)> {
    let named = check_name(&entry.name, "a type of incidents", reader);
    let raw = &entry.value.as_ref()?.value;
    if named.is_some() {
        check_known(&entry.name, raw, known, reader);
    }
    if let Some(auto) = &raw.auto {
        check_automatic(&entry.name.value, auto, known, reader);
    }
    if let Some(policy) = &raw.escalation {
        names.policy(policy, reader);
    }
    let lists = [("actions", &raw.auto), ("causes", &raw.causes), ("steps", &raw.steps), ("questions", &raw.questions)];
    for (what, list) in lists.into_iter().chain([("ideas", &raw.prevention)]) {
        if let Some(list) = list {
            at_most(list, ITEMS_MAX, what, reader);
        }
    }
    let terms = TypeTerms {
        title: value(raw.title.clone()),
        policy: value(raw.escalation.clone()),
        severity: value(raw.severity.clone()),
        auto: texts(raw.auto.as_ref()),
        signals: signals(raw.signals.as_ref(), reader),
        causes: texts(raw.causes.as_ref()),
        steps: texts(raw.steps.as_ref()),
        questions: texts(raw.questions.as_ref()),
        prevention: texts(raw.prevention.as_ref()),
    };
    Some((entry.name.value.clone(), terms))
}

/// A type that mainstay does not know shows itself by signals of its own.
fn check_known(name: &At<String>, raw: &raw::IncidentType, known: &Catalogue, reader: &mut Reader<'_>) {
    let has_signals = match &raw.signals {
        Some(signals) => !signals.value.is_empty() || reader.refused_within(signals.span),
        None => raw.given.contains("signals"),
    };
    if known.get(&name.value).is_some() || has_signals {
        return;
    }
    let kinds: Vec<&str> = known.types().iter().map(|it| it.kind.as_str()).collect();
    let message = format!("there is no type of incidents `{}`, and nothing says what one looks like", name.value);
    let finding = Finding::new(Code::NoSuch, name.span, message).label("has no `signals`");
    let help = if reader.is_full() { None } else { did_you_mean(&name.value, &kinds) };
    reader.report(finding.help_maybe(help));
}

/// Actions without asking are some of those that the type knows.
fn check_automatic(kind: &str, auto: &At<Vec<At<String>>>, known: &Catalogue, reader: &mut Reader<'_>) {
    check_distinct(&auto.value, "an action", reader);
    for action in &auto.value {
        let word = action.value.as_str();
        if word == BLOCK_PATTERN {
            let message = format!("`{BLOCK_PATTERN}` is never taken without asking");
            let help = "which pattern is blocked is somebody's judgement: they do it at the incident";
            reader.report(Finding::new(Code::UnknownWord, action.span, message).help(help));
        } else if !Act::AUTOMATIC.contains(&word) {
            no_such(action, "action", &Act::AUTOMATIC, reader);
        } else if !known.get(kind).is_some_and(|it| it.actions.iter().any(|of| of.action.as_deref() == Some(word))) {
            no_effect(action.span, format!("`{word}` is no action of the type `{kind}`"), reader);
        }
    }
}

fn signals(raw: Option<&At<Vec<At<raw::AddedSignal>>>>, reader: &mut Reader<'_>) -> Vec<SignalTerms> {
    let Some(raw) = raw else { return Vec::new() };
    at_most(raw, ITEMS_MAX, "signals", reader);
    let names: Vec<&At<String>> = raw.value.iter().filter_map(|signal| signal.value.name.as_ref()).collect();
    for name in &names {
        check_name(name, "a signal", reader);
    }
    check_distinct(names, "a signal", reader);
    raw.value.iter().filter_map(|signal| self::signal(&signal.value, reader)).collect()
}

fn signal(raw: &raw::AddedSignal, reader: &mut Reader<'_>) -> Option<SignalTerms> {
    let labels = raw.fact.as_ref().and_then(|fact| check_fact(fact, reader));
    let mut with = BTreeMap::new();
    for entry in entries(raw.with.as_ref()) {
        let Some(words) = &entry.value else { continue };
        if words.value.is_empty() {
            super::empty(words.span, "a list of words", reader);
        }
        if let (Some(labels), Some(fact)) = (labels, &raw.fact)
            && !labels.contains(&entry.name.value.as_str())
        {
            no_such(&entry.name, &format!("word of `{}`", fact.value), labels, reader);
        }
        with.insert(entry.name.value.clone(), words.value.clone());
    }
    Some(SignalTerms {
        name: raw.name.as_ref()?.value.clone(),
        fact: raw.fact.as_ref()?.value.clone(),
        with,
        opens: value_or(raw.opens.as_ref(), false),
    })
}

/// The words that facts of a kind carry; `None` where they are not known: there is no such kind, or others give its words.
fn check_fact(kind: &At<String>, reader: &mut Reader<'_>) -> Option<&'static [&'static str]> {
    let known = fact::KINDS.iter().find(|(known, _)| *known == kind.value).map(|(_, labels)| *labels);
    if known.is_none() && kind.value != fact::ALERT {
        let kinds: Vec<&str> = fact::KINDS.iter().map(|(known, _)| *known).chain([fact::ALERT]).collect();
        no_such(kind, "kind of fact", &kinds, reader);
    }
    known
}
