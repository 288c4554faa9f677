//! Mail: a subject, plain text, and headers that keep an incident's mails together.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use lettre::Message;
use lettre::address::Address;
use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Mailboxes};
use mainstay_core::incident::notice::Notice;
use mainstay_core::time::Time;

use super::{facts, headline, link};
use crate::notify::text::{clip, lines, list};

/// Longest subject.
const SUBJECT_MAX: usize = 200;
/// Longest summary, and line of a list.
const SUMMARY_MAX: usize = 16_000;
const LINE_MAX: usize = 1_000;
/// Most lines of a list.
const LINES_MAX: usize = 50;
/// Longest part of a message's id before its `@`.
const ID_MAX: usize = 200;

/// Tells other programs not to answer (RFC 3834).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(AutoSubmitted)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// The mail of a delivery.
pub(in crate::notify) fn mail(
    from: Mailbox,
    to: &[Address],
    id: &str,
    notice: &Notice,
    now: Time,
) -> Result<Message, lettre::error::Error> {
    let domain = from.email.domain().to_owned();
    let thread = format!("<incident.{}@{domain}>", id_text(&notice.incident));
    let to: Mailboxes = to.iter().map(|address| Mailbox::new(None, address.clone())).collect();
    Message::builder()
        .from(from)
        .mailbox(lettre::message::header::To::from(to))
        .subject(clip(&headline(notice), SUBJECT_MAX))
        .date(UNIX_EPOCH + Duration::from_nanos(now.as_nanos()))
        .message_id(Some(format!("<{}@{domain}>", id_text(id))))
        .in_reply_to(thread.clone())
        .references(thread)
        .header(AutoSubmitted)
        .header(ContentType::TEXT_PLAIN)
        .body(text(notice))
}

/// The text of the mail.
fn text(notice: &Notice) -> String {
    let mut text = headline(notice) + "\n\n";
    for (name, value) in facts(notice) {
        let _ = writeln!(text, "{name}: {value}");
    }
    let summary = clip(&lines(&notice.summary), SUMMARY_MAX);
    if !summary.is_empty() {
        let _ = writeln!(text, "\n{summary}");
    }
    for (name, items) in [("Signals", &notice.signals), ("First steps", &notice.actions)] {
        if !items.is_empty() {
            let _ = writeln!(text, "\n{name}:");
        }
        for item in list(items, LINES_MAX) {
            let _ = writeln!(text, "- {}", clip(&item, LINE_MAX));
        }
    }
    if let Some(link) = link(notice) {
        let _ = writeln!(text, "\n{link}");
    }
    text
}

/// As the first part of a message's id: other characters than letters, digits, `-` and `_` by their bytes.
fn id_text(id: &str) -> String {
    let mut text = String::new();
    for byte in id.bytes().take(ID_MAX) {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => text.push(char::from(byte)),
            other => {
                let _ = write!(text, "={other:02x}");
            }
        }
    }
    if text.is_empty() { "none".to_owned() } else { text }
}
