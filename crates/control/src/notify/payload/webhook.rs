//! A webhook of one's own: the notice as JSON, signed as the Standard Webhooks specification says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mainstay_core::event::format_time;
use mainstay_core::incident::notice::Notice;
use mainstay_core::time::Time;
use ring::hmac;
use serde_json::{Value, json};

use super::{link, word};
use crate::notify::text::{clip, line, lines, list};

/// The version of the body.
const VERSION: u32 = 1;
/// What secrets in base64 begin with.
const SECRET_PREFIX: &str = "whsec_";
/// Longest texts.
const TITLE_MAX: usize = 1_000;
const SUMMARY_MAX: usize = 16_000;
const LINE_MAX: usize = 1_000;
/// Most lines of a list.
const LINES_MAX: usize = 100;

/// The notice, its times as RFC 3339 writes them.
pub(in crate::notify) fn body(id: &str, notice: &Notice) -> Value {
    let listed =
        |items: &[String]| -> Vec<String> { list(items, LINES_MAX).iter().map(|it| clip(it, LINE_MAX)).collect() };
    let mut body = json!({
        "version": VERSION,
        "id": id,
        "purpose": notice.purpose.as_str(),
        "incident": word(&notice.incident),
        "service": word(&notice.service),
        "environment": word(&notice.environment),
        "type": word(&notice.kind),
        "severity": notice.severity.as_str(),
        "status": notice.status.as_str(),
        "title": clip(&line(&notice.title), TITLE_MAX),
        "summary": clip(&lines(&notice.summary), SUMMARY_MAX),
        "signals": listed(&notice.signals),
        "actions": listed(&notice.actions),
        "detected": format_time(notice.detected),
    });
    let more = [
        ("route", notice.route.as_deref().map(word)),
        ("person", notice.person.as_deref().map(word)),
        ("email", notice.email.as_deref().map(word)),
        ("resolved", notice.resolved.map(format_time)),
        ("link", link(notice).map(str::to_owned)),
    ];
    for (name, value) in more {
        if let Some(value) = value {
            body[name] = json!(value);
        }
    }
    body
}

/// The headers that say who sent a body, and when; `None` where a secret that says to be base64 is not.
pub(in crate::notify) fn headers(
    secret: Option<&str>,
    id: &str,
    body: &[u8],
    now: Time,
) -> Option<Vec<(&'static str, String)>> {
    let at = (now.as_millis() / 1000).to_string();
    let mut headers = vec![("webhook-id", id.to_owned()), ("webhook-timestamp", at.clone())];
    if let Some(secret) = secret {
        let key = match secret.strip_prefix(SECRET_PREFIX) {
            Some(encoded) => STANDARD.decode(encoded).ok()?,
            None => secret.as_bytes().to_vec(),
        };
        let mut signing = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key));
        for part in [id.as_bytes(), b".", at.as_bytes(), b".", body] {
            signing.update(part);
        }
        headers.push(("webhook-signature", format!("v1,{}", STANDARD.encode(signing.sign()))));
    }
    Some(headers)
}
