//! Sends a notice that comes as JSON by standard input, `notices send CHANNEL ID`, or reads the body of Alertmanager's
//! webhook, `notices alerts`; prints what came of it as JSON.
//!
//! A channel is JSON too: `{"alertmanager": URL}`, `{"webhook": URL, "secret": TEXT}` or `{"host": .., "port": ..,
//! "tls": "implicit" | "start" | "none", "login": [NAME, PASSWORD], "from": .., "to": [..], "ca": FILE}`.

use std::error::Error;
use std::io::Read as _;
use std::time::{Duration, SystemTime};

use mainstay_control::alerts;
use mainstay_control::notify::{Outcome, Sender};
use mainstay_core::event::format_time;
use mainstay_core::incident::notice::Notice;
use mainstay_core::plan::{Channel, ChannelBy, MailTls, Secret, SecretSource};
use mainstay_core::time::Time;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input)?;
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let told = match words.as_slice() {
        ["send", channel, id] => send(&serde_json::from_str(channel)?, id, &serde_json::from_slice(&input)?).await?,
        ["alerts"] => alerts::read(&input).map_or_else(|error| json!({ "error": error.to_string() }), |it| read(&it)),
        _ => return Err("usage: notices send CHANNEL ID | notices alerts".into()),
    };
    println!("{told}");
    Ok(())
}

async fn send(told: &Value, id: &str, notice: &Notice) -> Result<Value, Box<dyn Error>> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let sender = match told["ca"].as_str() {
        Some(file) => Sender::trusting(CertificateDer::pem_file_iter(file)?.collect::<Result<_, _>>()?)?,
        None => Sender::new(),
    };
    let by = by(told).ok_or("no channel")?;
    let deadline = Duration::from_hours(1);
    let channel = Channel { name: "peer".to_owned(), by, fallback: None, deadline, private_redirects: false };
    Ok(match sender.send(&channel, id, notice, Time::ZERO + since).await {
        Outcome::Delivered { provider } => json!({ "outcome": "delivered", "provider": provider }),
        Outcome::Later { after, why } => {
            json!({ "outcome": "later", "after": after.map(|it| it.as_secs_f64()), "why": why })
        }
        Outcome::Refused { why } => json!({ "outcome": "refused", "why": why }),
    })
}

fn by(told: &Value) -> Option<ChannelBy> {
    let text = |name: &str| told[name].as_str().map(str::to_owned);
    if let Some(url) = text("alertmanager") {
        return Some(ChannelBy::Alertmanager { url });
    }
    if let Some(url) = text("webhook") {
        return Some(ChannelBy::Webhook { url: secret(url), secret: text("secret").map(secret) });
    }
    let tls = match told["tls"].as_str()? {
        "implicit" => MailTls::Implicit,
        "start" => MailTls::Start,
        _ => MailTls::None,
    };
    let login = told["login"].as_array().and_then(|login| {
        let [name, password] = login.as_slice() else { return None };
        Some((name.as_str()?.to_owned(), secret(password.as_str()?.to_owned())))
    });
    let to = told["to"].as_array()?.iter().filter_map(|it| it.as_str().map(str::to_owned)).collect();
    let port = u16::try_from(told["port"].as_u64()?).ok()?;
    Some(ChannelBy::Email { host: text("host")?, port, tls, login, from: text("from")?, to })
}

fn secret(value: String) -> Secret {
    let mut secret = Secret::unresolved(SecretSource::Env("PEER".to_owned()));
    secret.resolve(value);
    secret
}

fn read(webhook: &alerts::Webhook) -> Value {
    let alerts: Vec<Value> = webhook
        .alerts
        .iter()
        .map(|alert| {
            json!({
                "firing": alert.firing,
                "labels": alert.labels,
                "annotations": alert.annotations,
                "starts_at": format_time(alert.starts_at),
                "ends_at": alert.ends_at.map(format_time),
                "fingerprint": alert.fingerprint,
                "generator": alert.generator,
            })
        })
        .collect();
    json!({
        "group_key": webhook.group_key,
        "firing": webhook.status == alerts::Status::Firing,
        "receiver": webhook.receiver,
        "truncated": webhook.truncated,
        "alerts": alerts,
    })
}
