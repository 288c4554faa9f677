//! What each channel is sent: pure functions of a notice.

pub(super) mod alertmanager;
pub(super) mod discord;
pub(super) mod mail;
pub(super) mod pagerduty;
pub(super) mod slack;
pub(super) mod teams;
pub(super) mod webhook;

use mainstay_core::event::format_time;
use mainstay_core::incident::notice::{Notice, Purpose};

use super::text::{clip, line};
use crate::outgoing::Place;

/// Longest word of a notice: a service, a type, a route.
const WORD_MAX: usize = 256;
/// Longest link.
const LINK_MAX: usize = 2_000;

/// The notice in one line, without anything that a line cannot hold.
fn headline(notice: &Notice) -> String {
    let said = match notice.purpose {
        Purpose::Page | Purpose::Notify => "",
        Purpose::Acknowledged => "Acknowledged: ",
        Purpose::Resolved => "Resolved: ",
        Purpose::Undelivered => "Undelivered: ",
    };
    let severity = notice.severity.as_str().to_uppercase();
    format!("{said}[{severity}] {}: {}", word(&notice.service), line(&notice.title))
}

/// A word of a notice, as one short line.
fn word(text: &str) -> String {
    clip(&line(text), WORD_MAX)
}

/// What is known of an incident in words: names and values.
fn facts(notice: &Notice) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("Service", word(&notice.service)),
        ("Environment", word(&notice.environment)),
        ("Severity", notice.severity.as_str().to_owned()),
        ("Status", notice.status.as_str().to_owned()),
        ("Type", word(&notice.kind)),
    ];
    facts.extend(notice.route.as_deref().map(|route| ("Route", word(route))));
    facts.push(("Detected", format_time(notice.detected)));
    facts.extend(notice.resolved.map(|at| ("Resolved", format_time(at))));
    facts.extend(notice.person.as_deref().map(|person| ("For", word(person))));
    facts.push(("Incident", word(&notice.incident)));
    facts
}

/// The link, where it is one that a browser opens.
fn link(notice: &Notice) -> Option<&str> {
    let link = notice.link.as_deref()?;
    let is_plain = link.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'|'));
    (link.len() <= LINK_MAX && is_plain && Place::parse(link).is_ok()).then_some(link)
}
