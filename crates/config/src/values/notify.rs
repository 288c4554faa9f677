//! Addresses of channels: webhooks, mailboxes, mail servers.

use mainstay_core::plan::Secret;
use schemars::{Schema, SchemaGenerator, json_schema};

use super::parse::{UrlFault, base_url};
use super::{SecretRef, scalar, shortened, text_value};
use crate::code::Code;
use crate::finding::Finding;
use crate::read::{Kind, Reader};
use crate::tree::{Node, Value};

/// Services whose addresses are secrets: who knows one can post. Their subdomains are meant as well.
const SECRET_HOSTS: [&str; 9] = [
    "hooks.slack.com",
    "discord.com",
    "discordapp.com",
    "webhook.office.com",
    "logic.azure.com",
    "api.powerplatform.com",
    "hc-ping.com",
    "healthchecks.io",
    "uptime.betterstack.com",
];

text_value! {
    /// Where mail reaches somebody.
    Mailbox: String = "an address such as `ops@example.org`", Code::Mailbox, mailbox,
    { "type": "string", "pattern": "^[^@ ]+@[^@ ]+$" }
}
text_value! {
    /// A mail server and, where it is not the usual one, its port.
    MailServer: (String, Option<u16>) = "a mail server such as `smtp.example.org:587`", Code::Address, mail_server,
    { "type": "string" }
}

/// An address that may hold a secret: by reference, or written out where it holds none.
pub(crate) struct Address;

impl Kind for Address {
    type Out = Secret;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Secret> {
        let Value::Text(words) = &node.value else { return SecretRef::read(node, reader) };
        if words.starts_with("env:") || words.starts_with("file:") {
            return SecretRef::read(node, reader);
        }
        // What was written is not repeated: it may hold a secret.
        let finding = match base_url(words) {
            Ok(_) if !is_secret(words) => return Some(Secret::written(words.clone())),
            Ok(_) | Err(UrlFault::Credentials) => {
                Finding::new(Code::LiteralSecret, node.span, "who knows this address can post to it: it is a secret")
                    .label("this is the secret itself")
                    .help("write `env:NAME` or `file:PATH`, and change the address if this file was shared")
            }
            Err(UrlFault::Shape(_)) if words.contains(['?', '#']) && words.starts_with("http") => {
                Finding::new(Code::LiteralSecret, node.span, "an address with a query is given by reference only")
                    .help("write `env:NAME` or `file:PATH`")
            }
            Err(UrlFault::Shape(help)) => {
                let message =
                    "this is neither `env:NAME` nor `file:PATH` nor a URL such as `http://127.0.0.1:9000/hook`";
                Finding::new(Code::Url, node.span, message).help(help)
            }
        };
        reader.report(finding);
        None
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+|https?://.+)$" })
    }
}

fn is_secret(url: &str) -> bool {
    let authority = url.split('/').nth(2).unwrap_or_default().to_ascii_lowercase();
    let host = authority.split(':').next().unwrap_or_default();
    SECRET_HOSTS.iter().any(|secret| host.strip_suffix(secret).is_some_and(|sub| sub.is_empty() || sub.ends_with('.')))
}

fn mailbox(words: &str) -> Result<String, Option<String>> {
    if words.contains(['<', '>']) {
        return Err(Some("the address alone, without a name".to_owned()));
    }
    let plain =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_graphic() && !"()<>@,;:\\\"[]".contains(c));
    let holds = words.len() <= 254 && words.split_once('@').is_some_and(|(user, host)| plain(user) && plain(host));
    if holds { Ok(words.to_owned()) } else { Err(None) }
}

fn mail_server(words: &str) -> Result<(String, Option<u16>), Option<String>> {
    if words.contains("//") {
        return Err(Some("a name and a port, without `smtp://`".to_owned()));
    }
    let (host, port) = match words.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok().filter(|port| *port > 0).ok_or(None)?)),
        None => (words, None),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let holds = !host.is_empty() && host.len() <= 253 && host.chars().all(plain);
    if holds { Ok((host.to_owned(), port)) } else { Err(None) }
}
