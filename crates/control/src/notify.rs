//! Tells people: delivers a notice by a channel.
//!
//! ```text
//! Notice --payload (pure)--> request --HTTP or SMTP, with limits--> answer --> Outcome
//! ```
//!
//! A [`Sender`] tries once. When to try again, and where else, is for others to decide; an [`Outcome`] says what they
//! need for it. The id of a delivery is the same for all its tries, so that a receiver can tell a repetition.

mod answer;
mod hush;
mod payload;
mod smtp;
mod target;
mod text;
mod web;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method};
use mainstay_core::incident::notice::Notice;
use mainstay_core::plan::{Channel, ChannelBy, Heartbeat, Secret};
pub use mainstay_core::response::delivery::Outcome;
use mainstay_core::time::Time;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use serde_json::Value;

use crate::outgoing;
use hush::Hush;
use web::{Fault, Outgoing};

/// How long a connection may take.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long a whole try may take.
pub const ATTEMPT_LIMIT: Duration = Duration::from_secs(15);
/// Longest answer that is read, in bytes.
pub const ANSWER_MAX: usize = 64 << 10;
/// Longest id of a delivery, in bytes.
const ID_MAX: usize = 256;
/// Longest name of a channel in a reason.
const NAME_MAX: usize = 100;
/// Who calls.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("mainstay/", env!("CARGO_PKG_VERSION")));

/// Delivers notices.
pub struct Sender {
    tls: Arc<ClientConfig>,
    trusted: Vec<CertificateDer<'static>>,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl Default for Sender {
    fn default() -> Sender {
        Sender::new()
    }
}

impl Sender {
    /// One that trusts the public roots.
    pub fn new() -> Sender {
        Sender::trusting(Vec::new()).expect("the public roots are good, and ring knows all versions of TLS")
    }

    /// One that trusts these authorities too.
    pub fn trusting(authorities: Vec<CertificateDer<'static>>) -> Result<Sender, rustls::Error> {
        Ok(Sender { tls: outgoing::tls(&authorities)?, trusted: authorities })
    }

    /// Tries once to deliver a notice; ends within [`ATTEMPT_LIMIT`]. `id` names the delivery in all its tries.
    pub async fn send(&self, channel: &Channel, id: &str, notice: &Notice, now: Time) -> Outcome {
        let id: String = id.chars().filter(char::is_ascii_graphic).take(ID_MAX).collect();
        let hush = hush(&channel.by);
        let sent = tokio::time::timeout(ATTEMPT_LIMIT, self.deliver(channel, &hush, &id, notice, now)).await;
        let outcome = match sent.unwrap_or_else(|_| Err(Fault::late("no answer", ATTEMPT_LIMIT))) {
            Ok(outcome) => outcome,
            Err(fault) if fault.is_temporary => Outcome::Later { after: None, why: fault.why(&hush) },
            Err(fault) => Outcome::Refused { why: fault.why(&hush) },
        };
        let told = |why: &str| format!("{}: {}", text::clip(&text::line(&channel.name), NAME_MAX), text::line(why));
        match outcome {
            Outcome::Delivered { provider } => Outcome::Delivered { provider },
            Outcome::Later { after, why } => Outcome::Later { after, why: told(&why) },
            Outcome::Refused { why } => Outcome::Refused { why: told(&why) },
        }
    }

    async fn deliver(
        &self,
        channel: &Channel,
        hush: &Hush,
        id: &str,
        notice: &Notice,
        now: Time,
    ) -> Result<Outcome, Fault> {
        if let ChannelBy::Email { host, port, tls, login, from, to } = &channel.by {
            let login = login.as_ref().map(|(name, password)| Ok((name.as_str(), exposed(password)?))).transpose()?;
            let envelope = smtp::Envelope::read(from, to, notice.email.as_deref()).map_err(Fault::never)?;
            let server = smtp::Server { host, port: *port, tls: *tls, login, trusted: &self.trusted };
            return Ok(smtp::send(&server, &envelope, hush, (id, notice, now)).await);
        }
        let (url, outgoing) = request(&channel.by, id, notice, now)?;
        let answer = web::send(&self.tls, &url, &outgoing, channel.private_redirects).await?;
        Ok(answer.outcome(hush, now))
    }

    /// Calls the address that notices when mainstay is gone; ends within [`ATTEMPT_LIMIT`]. The error says what was
    /// wrong, and holds nothing of the address.
    pub async fn beat(&self, heartbeat: &Heartbeat) -> Result<(), String> {
        let url = exposed(&heartbeat.url).map_err(|fault| fault.what)?;
        let hush = Hush::default().url(url);
        let headers = HeaderMap::from_iter([(header::USER_AGENT, AGENT)]);
        let outgoing = Outgoing { method: Method::GET, headers, body: Bytes::new() };
        let call = web::send(&self.tls, url, &outgoing, false);
        match tokio::time::timeout(ATTEMPT_LIMIT, call).await {
            Ok(Ok(answer)) if answer.status.is_success() => Ok(()),
            Ok(Ok(answer)) => Err(answer.why(&hush)),
            Ok(Err(fault)) => Err(fault.why(&hush)),
            Err(_) => Err(Fault::late("no answer", ATTEMPT_LIMIT).what),
        }
    }
}

fn exposed(secret: &Secret) -> Result<&str, Fault> {
    secret.expose().ok_or_else(|| Fault::never(format!("the secret {} has no value", secret.source)))
}

/// What must not be told of a channel.
fn hush(by: &ChannelBy) -> Hush {
    let of = |secret: &Secret| secret.expose().unwrap_or_default().to_owned();
    let hush = Hush::default();
    match by {
        ChannelBy::PagerDuty { key, .. } => hush.key(&of(key)),
        ChannelBy::Alertmanager { .. } | ChannelBy::Email { login: None, .. } => hush,
        ChannelBy::Slack { url }
        | ChannelBy::Teams { url }
        | ChannelBy::Discord { url }
        | ChannelBy::Webhook { url, secret: None } => hush.url(&of(url)),
        ChannelBy::Webhook { url, secret: Some(secret) } => hush.url(&of(url)).key(&of(secret)),
        ChannelBy::Email { login: Some((_, password)), .. } => hush.key(&of(password)),
    }
}

/// Where a notice goes by HTTP, and as what.
fn request(by: &ChannelBy, id: &str, notice: &Notice, now: Time) -> Result<(String, Outgoing), Fault> {
    let (url, body) = match by {
        ChannelBy::PagerDuty { url, key } => {
            (below(url, "/v2/enqueue"), payload::pagerduty::event(exposed(key)?, notice))
        }
        ChannelBy::Alertmanager { url } => (below(url, "/api/v2/alerts"), payload::alertmanager::alerts(notice, now)),
        ChannelBy::Slack { url } => (exposed(url)?.to_owned(), payload::slack::message(notice)),
        ChannelBy::Teams { url } => (exposed(url)?.to_owned(), payload::teams::message(notice)),
        ChannelBy::Discord { url } => (exposed(url)?.to_owned(), payload::discord::message(notice)),
        ChannelBy::Webhook { url, .. } => (exposed(url)?.to_owned(), payload::webhook::body(id, notice)),
        ChannelBy::Email { .. } => return Err(Fault::never("mail goes by SMTP")),
    };
    let mut outgoing = outgoing(id, &body);
    if let ChannelBy::Webhook { secret, .. } = by {
        let secret = secret.as_ref().map(exposed).transpose()?;
        let signed = payload::webhook::headers(secret, id, &outgoing.body, now);
        for (name, value) in signed.ok_or_else(|| Fault::never("the secret begins with whsec_ and is no base64"))? {
            outgoing.headers.insert(HeaderName::from_static(name), header_value(&value));
        }
    }
    Ok((url, outgoing))
}

/// An API's path at its address, which may hold it already.
fn below(url: &str, path: &str) -> String {
    let base = url.trim_end_matches('/');
    format!("{}{path}", base.strip_suffix(path).unwrap_or(base))
}

fn outgoing(id: &str, body: &Value) -> Outgoing {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::USER_AGENT, AGENT);
    headers.insert(HeaderName::from_static("idempotency-key"), header_value(id));
    Outgoing { method: Method::POST, headers, body: Bytes::from(body.to_string()) }
}

fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("letters, digits and punctuation of ASCII alone")
}
