//! `notify`: a channel is exactly one service, and what it falls back to is another.

use std::time::Duration;

use mainstay_core::plan::{Channel, ChannelBy, MailTls};

use super::incidents::Names;
use super::{at_most, check_name, entries, no_effect, value, value_or};
use crate::code::Code;
use crate::finding::Finding;
use crate::raw::notify as raw;
use crate::read::{Entry, Reader};
use crate::span::At;

/// Most channels.
pub(super) const CHANNELS_MAX: usize = 100;
/// Most mailboxes of a channel.
const MAILBOXES_MAX: usize = 100;
/// What is older is no news.
const DEADLINE_MAX: Duration = Duration::from_hours(7 * 24);

pub(super) fn channels(
    raw: Option<&At<Vec<Entry<raw::Channel>>>>,
    names: &mut Names,
    reader: &mut Reader<'_>,
) -> Vec<Channel> {
    if let Some(raw) = raw {
        at_most(raw, CHANNELS_MAX, "channels", reader);
    }
    entries(raw).iter().filter_map(|entry| channel(entry, names, reader)).collect()
}

fn channel(entry: &Entry<raw::Channel>, names: &mut Names, reader: &mut Reader<'_>) -> Option<Channel> {
    check_name(&entry.name, "a channel", reader);
    let at = entry.value.as_ref()?;
    let raw = &at.value;
    if let Some(fallback) = &raw.fallback {
        names.fallback(fallback, reader);
        if names.starts_circle(&entry.name.value) {
            let message = format!("`{}` falls back to itself in the end", entry.name.value);
            reader.report(
                Finding::new(Code::Loop, fallback.span, message).help("let the last channel have no `fallback`"),
            );
        }
    }
    if let Some(deadline) = raw.deadline.as_ref().filter(|deadline| deadline.value > DEADLINE_MAX) {
        reader.report(Finding::new(Code::OutOfRange, deadline.span, "a notice is tried for seven days at most"));
    }
    if let Some(flag) = raw.private_redirects.as_ref().filter(|_| raw.email.is_some()) {
        no_effect(flag.span, "mail is not sent on", reader);
    }
    Some(Channel {
        name: entry.name.value.clone(),
        by: by(at, reader)?,
        fallback: value(raw.fallback.clone()),
        deadline: value_or(raw.deadline.as_ref(), Duration::from_hours(1)),
        private_redirects: value_or(raw.private_redirects.as_ref(), false),
    })
}

fn by(at: &At<raw::Channel>, reader: &mut Reader<'_>) -> Option<ChannelBy> {
    const SERVICES: [&str; 7] = ["pagerduty", "alertmanager", "slack", "teams", "discord", "webhook", "email"];
    let raw = &at.value;
    if SERVICES.into_iter().filter(|service| raw.given.contains(service)).count() != 1 {
        let message = "a channel is exactly one of pagerduty, alertmanager, slack, teams, discord, webhook, email";
        reader.report(Finding::new(Code::ExactlyOne, at.span, message).help("give one of them"));
        return None;
    }
    if let Some(At { value: raw, .. }) = &raw.pagerduty {
        let url = value_or(raw.url.as_ref(), "https://events.pagerduty.com".to_owned());
        return Some(ChannelBy::PagerDuty { url, key: raw.key.as_ref()?.value.clone() });
    }
    if let Some(At { value: raw, .. }) = &raw.alertmanager {
        return Some(ChannelBy::Alertmanager { url: raw.url.as_ref()?.value.clone() });
    }
    let address = |chat: &At<raw::ChatWebhook>| value(chat.value.url.clone());
    if let Some(chat) = &raw.slack {
        return Some(ChannelBy::Slack { url: address(chat)? });
    }
    if let Some(chat) = &raw.teams {
        return Some(ChannelBy::Teams { url: address(chat)? });
    }
    if let Some(chat) = &raw.discord {
        return Some(ChannelBy::Discord { url: address(chat)? });
    }
    if let Some(At { value: raw, .. }) = &raw.webhook {
        return Some(ChannelBy::Webhook { url: raw.url.as_ref()?.value.clone(), secret: value(raw.secret.clone()) });
    }
    email(&raw.email.as_ref()?.value, reader)
}

fn email(raw: &raw::Email, reader: &mut Reader<'_>) -> Option<ChannelBy> {
    let tls = value_or(raw.tls.as_ref(), MailTls::Start);
    let usual = match tls {
        MailTls::Implicit => 465,
        MailTls::Start => 587,
        MailTls::None => 25,
    };
    if let Some(to) = &raw.to {
        at_most(to, MAILBOXES_MAX, "mailboxes", reader);
    }
    let half = match (raw.given.contains("user"), raw.given.contains("password")) {
        (true, false) => {
            raw.user.as_ref().map(|user| (user.span, "a user logs in with a password", "password: env:NAME"))
        }
        (false, true) => raw.password.as_ref().map(|password| (password.span, "a password of whom?", "user: NAME")),
        _ => None,
    };
    if let Some((span, message, help)) = half {
        reader.report(Finding::new(Code::MissingKey, span, message).help(format!("give `{help}` beside it")));
    }
    let server = raw.server.as_ref()?;
    let (host, port) = server.value.clone();
    let here = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    if let Some(password) = raw.password.as_ref().filter(|_| tls == MailTls::None && !here) {
        let message = format!("this password goes to {host} in the clear");
        reader
            .report(Finding::new(Code::PlainMail, password.span, message).help("use `tls: start` or `tls: implicit`"));
    }
    Some(ChannelBy::Email {
        host,
        port: port.unwrap_or(usual),
        tls,
        login: value(raw.user.clone()).zip(value(raw.password.clone())),
        from: raw.from.as_ref()?.value.clone(),
        to: raw.to.as_ref().map_or(&[][..], |to| &to.value).iter().map(|to| to.value.clone()).collect(),
    })
}
