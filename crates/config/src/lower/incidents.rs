//! `incidents`, and what `oncall` and `notify` share with it: names that refer to each other.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_core::plan::{Heartbeat, Incidents};
use mainstay_core::response::desk::LASTING_MAX;

use super::{Known, check_distinct, entries, find, known, notify, oncall, report_unused};
use super::{bounds, types, value, value_or};
use crate::code::Code;
use crate::finding::Finding;
use crate::raw::{Root, incidents as raw};
use crate::read::{Entry, Reader};
use crate::span::At;

/// Who calls more often than that is a load.
const HEARTBEAT_MIN: Duration = Duration::from_secs(1);

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
    if let Some(action) = raw.action.as_ref().filter(|action| action.value > LASTING_MAX) {
        let finding = Finding::new(Code::OutOfRange, action.span, "an action has effect for seven days at most");
        reader.report(finding.help("whoever approves it can approve it again"));
    }
    Incidents {
        page: page.unwrap_or(default.page),
        group: value_or(raw.group.as_ref(), default.group),
        reopen: value_or(raw.reopen.as_ref(), default.reopen),
        quiet: value_or(raw.quiet.as_ref(), default.quiet),
        hold: value_or(raw.hold.as_ref(), default.hold),
        auto_resolve: value_or(raw.auto_resolve.as_ref(), default.auto_resolve),
        notify: texts(raw.notify.as_ref()),
        policy: value(raw.escalation.clone()),
        link: value(raw.link.clone()),
        heartbeat: raw.heartbeat.as_ref().and_then(|raw| heartbeat(&raw.value, reader)),
        action: value_or(raw.action.as_ref(), default.action),
        bounds: bounds::bounds(raw.bounds.as_ref(), reader),
        types: types::types(raw.types.as_ref(), names, reader),
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

    pub(super) fn policy(&mut self, name: &At<String>, reader: &mut Reader<'_>) {
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
