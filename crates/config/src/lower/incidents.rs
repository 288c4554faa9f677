//! `incidents`, and what `oncall` and `notify` share with it: names that refer to each other.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_core::plan::{Heartbeat, Incidents, SignalTerms, TypeTerms};

use super::{Known, at_most, check_distinct, check_name, entries, find, known, notify, oncall, report_unused};
use super::{value, value_or};
use crate::code::Code;
use crate::finding::Finding;
use crate::raw::{Root, incidents as raw};
use crate::read::{Entry, Reader};
use crate::span::At;

/// Who calls more often than that is a load.
const HEARTBEAT_MIN: Duration = Duration::from_secs(1);
/// Most types that a config speaks of.
const TYPES_MAX: usize = 200;
/// Most items of a list of a type.
const ITEMS_MAX: usize = 200;

/// Incidents, who is on call and what reaches them.
pub(super) fn incidents(root: &Root, reader: &mut Reader<'_>) -> Incidents {
    let mut names = Names::new(root);
    let channels = notify::channels(root.notify.as_ref(), &mut names, reader);
    let oncall = root.oncall.as_ref().map(|oncall| &oncall.value);
    let people = oncall::people(oncall.and_then(|oncall| oncall.people.as_ref()), &mut names, reader);
    let schedules = oncall::schedules(oncall.and_then(|oncall| oncall.schedules.as_ref()), &mut names, reader);
    let policies = oncall::policies(oncall.and_then(|oncall| oncall.policies.as_ref()), &mut names, reader);
    let rules = root.incidents.as_ref().map(|raw| rules(&raw.value, &mut names, reader)).unwrap_or_default();
    names.report_unused(reader);
    Incidents { people, schedules, policies, channels, ..rules }
}

fn rules(raw: &raw::Incidents, names: &mut Names, reader: &mut Reader<'_>) -> Incidents {
    let default = Incidents::default();
    let page = raw.page.as_ref().map(|page| page.value.iter().map(|severity| severity.value).collect());
    let notify = raw.notify.as_ref().map_or(&[][..], |notify| &notify.value);
    check_distinct(notify, "a channel", reader);
    for channel in notify {
        names.channel(channel, reader);
    }
    if let Some(policy) = &raw.escalation {
        names.policy(policy, reader);
    }
    if let Some(types) = &raw.types {
        at_most(types, TYPES_MAX, "types", reader);
    }
    Incidents {
        page: page.unwrap_or(default.page),
        group: value_or(raw.group.as_ref(), default.group),
        reopen: value_or(raw.reopen.as_ref(), default.reopen),
        quiet: value_or(raw.quiet.as_ref(), default.quiet),
        auto_resolve: value_or(raw.auto_resolve.as_ref(), default.auto_resolve),
        notify: texts(raw.notify.as_ref()),
        policy: value(raw.escalation.clone()),
        link: value(raw.link.clone()),
        heartbeat: raw.heartbeat.as_ref().and_then(|raw| heartbeat(&raw.value, reader)),
        types: entries(raw.types.as_ref()).iter().filter_map(|entry| terms(entry, names, reader)).collect(),
        ..default
    }
}

fn heartbeat(raw: &raw::Heartbeat, reader: &mut Reader<'_>) -> Option<Heartbeat> {
    if let Some(every) = raw.every.as_ref().filter(|every| every.value < HEARTBEAT_MIN) {
        reader.report(Finding::new(Code::OutOfRange, every.span, "at most once a second"));
    }
    let every = value_or(raw.every.as_ref(), Duration::from_mins(1));
    Some(Heartbeat { url: raw.url.as_ref()?.value.clone(), every })
}

fn terms(entry: &Entry<raw::IncidentType>, names: &mut Names, reader: &mut Reader<'_>) -> Option<(String, TypeTerms)> {
    check_name(&entry.name, "a type of incidents", reader);
    let raw = &entry.value.as_ref()?.value;
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
    let mut with = BTreeMap::new();
    for entry in entries(raw.with.as_ref()) {
        let Some(words) = &entry.value else { continue };
        if words.value.is_empty() {
            super::empty(words.span, "a list of words", reader);
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

/// The texts of a list.
pub(super) fn texts(raw: Option<&At<Vec<At<String>>>>) -> Vec<String> {
    raw.map_or(&[][..], |list| &list.value).iter().map(|text| text.value.clone()).collect()
}

/// What may be told, and whether anything refers to it.
pub(super) struct Names {
    channels: BTreeMap<String, Known<Reach>>,
    people: BTreeMap<String, Known<()>>,
    schedules: BTreeMap<String, Known<()>>,
    policies: BTreeMap<String, Known<()>>,
}

/// Whom a channel reaches.
#[derive(Clone)]
struct Reach {
    /// It sends mail, and to nobody but the person who is told.
    person_only: bool,
    fallback: Option<String>,
}

impl Names {
    fn new(root: &Root) -> Names {
        let channels = entries(root.notify.as_ref()).iter().map(|entry| {
            let raw = entry.value.as_ref().map(|raw| &raw.value);
            let mail = raw.and_then(|raw| raw.email.as_ref());
            let person_only = mail.is_some_and(|mail| mail.value.to.as_ref().is_none_or(|to| to.value.is_empty()));
            let fallback = raw.and_then(|raw| value(raw.fallback.clone()));
            known(&entry.name, Reach { person_only, fallback })
        });
        let oncall = root.oncall.as_ref().map(|oncall| &oncall.value);
        Names {
            channels: channels.collect(),
            people: named(oncall.and_then(|oncall| oncall.people.as_ref())),
            schedules: named(oncall.and_then(|oncall| oncall.schedules.as_ref())),
            policies: named(oncall.and_then(|oncall| oncall.policies.as_ref())),
        }
    }

    /// A channel is named as a fallback.
    pub(super) fn fallback(&mut self, name: &At<String>, reader: &mut Reader<'_>) {
        find(&mut self.channels, name, "channel", reader);
    }

    /// A channel is told, and no person with it.
    pub(super) fn channel(&mut self, name: &At<String>, reader: &mut Reader<'_>) {
        if find(&mut self.channels, name, "channel", reader).is_some() {
            self.reaches(name, "give the channel `to: [ops@example.org]`", reader);
        }
    }

    /// A channel is to reach a person, who has an address for mail or not.
    pub(super) fn channel_of(&mut self, name: &At<String>, has_address: bool, reader: &mut Reader<'_>) {
        if find(&mut self.channels, name, "channel", reader).is_some() && !has_address {
            self.reaches(name, "give the person an `email`, or the channel `to: [ops@example.org]`", reader);
        }
    }

    pub(super) fn person(&mut self, name: &At<String>, reader: &mut Reader<'_>) {
        find(&mut self.people, name, "person", reader);
    }

    pub(super) fn schedule(&mut self, name: &At<String>, reader: &mut Reader<'_>) {
        find(&mut self.schedules, name, "schedule", reader);
    }

    fn policy(&mut self, name: &At<String>, reader: &mut Reader<'_>) {
        find(&mut self.policies, name, "escalation policy", reader);
    }

    /// The channels that are used after one another where each fails, the first first.
    fn chain<'a>(&'a self, first: &'a str) -> impl Iterator<Item = (&'a str, &'a Known<Reach>)> {
        let known = |name: &'a str| self.channels.get(name).map(|channel| (name, channel));
        let next = move |(_, channel): &(&'a str, &'a Known<Reach>)| channel.facts.fallback.as_deref().and_then(known);
        std::iter::successors(known(first), next).take(notify::CHANNELS_MAX + 1)
    }

    /// Whether a channel falls back to itself in the end, and is the first of its circle in the text.
    pub(super) fn starts_circle(&self, name: &str) -> bool {
        let chain: Vec<_> = self.chain(name).collect();
        let back = chain.iter().skip(1).position(|(one, _)| *one == name);
        back.is_some_and(|last| chain[..=last].iter().all(|(_, channel)| chain[0].1.at <= channel.at))
    }

    fn reaches(&self, name: &At<String>, help: &str, reader: &mut Reader<'_>) {
        if let Some((mail, _)) = self.chain(&name.value).find(|(_, channel)| channel.facts.person_only) {
            let message = if mail == name.value {
                format!("the channel `{mail}` does not know whom to mail")
            } else {
                format!("`{}` falls back to `{mail}`, which does not know whom to mail", name.value)
            };
            reader.report(Finding::new(Code::Unreached, name.span, message).help(help));
        }
    }

    fn report_unused(&self, reader: &mut Reader<'_>) {
        let help = "name it where somebody is told, or remove it";
        report_unused(&self.channels, "nothing uses the channel", help, reader);
        report_unused(&self.people, "no layer and no step names the person", help, reader);
        report_unused(&self.schedules, "no step tells the schedule", help, reader);
        report_unused(&self.policies, "no `escalation` names the policy", help, reader);
    }
}

fn named<T>(raw: Option<&At<Vec<Entry<T>>>>) -> BTreeMap<String, Known<()>> {
    entries(raw).iter().map(|entry| known(&entry.name, ())).collect()
}
