//! Listeners, bounds, callers.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use mainstay_core::plan::{Admin, Client, Limits, ServerTls, Store, Trust};
use mainstay_core::route::Class;

use super::{check_distinct, check_name, entries, value, value_or};
use crate::code::Code;
use crate::finding::Finding;
use crate::raw::{self, Root};
use crate::read::{Entry, Reader};
use crate::span::{At, Span};

const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8090);

/// Most tokens of the admin API.
const TOKENS_MAX: usize = 64;

pub(super) fn service(service: Option<&At<String>>, reader: &mut Reader<'_>) -> Option<String> {
    let service = service?;
    check_name(service, "a service", reader)?;
    Some(service.value.clone())
}

pub(super) fn data_listen(root: &Root) -> SocketAddr {
    value_or(root.listen.as_ref(), LISTEN)
}

fn admin_listen(root: &Root) -> SocketAddr {
    let admin = root.admin.as_ref().and_then(|admin| admin.value.listen.as_ref());
    value_or(admin, ADMIN)
}

/// What is open to everyone must not lend keys or be steered by anyone.
pub(super) fn exposure(root: &Root, reader: &mut Reader<'_>) {
    let (data, admin) = (data_listen(root), admin_listen(root));
    if data == admin && data.port() != 0 {
        let span = root.listen.as_ref().map_or(Span::default(), |listen| listen.span);
        let message = format!("the data plane and the admin API both listen on {data}");
        reader.report(Finding::new(Code::Duplicate, span, message).help("give the admin API its own port"));
    }
    open_data_plane(root, data, reader);
    open_admin(root, admin, reader);
}

fn open_data_plane(root: &Root, listen: SocketAddr, reader: &mut Reader<'_>) {
    let keyed = entries(root.backends.as_ref())
        .iter()
        .find(|entry| entry.value.as_ref().is_some_and(|raw| raw.value.given.contains("keys")));
    if let (false, false, Some(keyed), Some(at)) =
        (listen.ip().is_loopback(), root.given.contains("clients"), keyed, &root.listen)
    {
        let message = format!(
            "anyone who reaches {listen} could spend the keys of backend `{}`: there are no `clients`",
            keyed.name.value
        );
        let help = "name the callers under `clients`, or listen on 127.0.0.1";
        reader.report(Finding::new(Code::OpenDataPlane, at.span, message).label("open to the network").help(help));
    }
}

fn open_admin(root: &Root, listen: SocketAddr, reader: &mut Reader<'_>) {
    let Some(admin) = root.admin.as_ref().filter(|_| !listen.ip().is_loopback()) else { return };
    let Some(at) = &admin.value.listen else { return };
    if admin.value.tokens.as_ref().is_some_and(|tokens| !tokens.value.is_empty()) {
        let message = format!("tokens and answers cross the network to {listen} in the clear");
        let help = "listen on 127.0.0.1 behind a proxy that speaks TLS, or keep to a network that you trust";
        reader.report(Finding::new(Code::PlainAdmin, at.span, message).label("without TLS").help(help));
    } else {
        let message = format!("anyone who reaches {listen} could steer this service: there are no `tokens`");
        let help = "add `tokens: [env:MAINSTAY_TOKEN]`, or listen on 127.0.0.1";
        reader.report(Finding::new(Code::OpenAdmin, at.span, message).label("open to the network").help(help));
    }
}

pub(super) fn admin(raw: Option<At<raw::admin::Admin>>, reader: &mut Reader<'_>) -> Admin {
    let raw = value(raw).unwrap_or_default();
    let tokens = raw.tokens.map_or_else(Vec::new, |tokens| tokens.value);
    check_distinct(tokens.iter().filter_map(|token| token.value.name.as_ref()), "a token named", reader);
    if let Some(beyond) = tokens.get(TOKENS_MAX) {
        let message = format!("there are more than {TOKENS_MAX} tokens");
        reader.report(Finding::new(Code::OutOfRange, beyond.span, message).help("each request is compared with all"));
    }
    let tokens = tokens.into_iter().map(|token| token.value.into_plan()).collect();
    Admin { listen: value_or(raw.listen.as_ref(), ADMIN), tokens }
}

/// `None` where the certificate is written and incomplete.
#[expect(clippy::option_option, reason = "absent, and refused")]
pub(super) fn tls(raw: Option<At<raw::Tls>>) -> Option<Option<ServerTls>> {
    let Some(raw) = value(raw) else { return Some(None) };
    Some(Some(ServerTls { cert: raw.cert?.value, key: raw.key?.value }))
}

pub(super) fn store(raw: Option<&At<String>>, reader: &mut Reader<'_>) -> Option<Store> {
    let Some(raw) = raw else { return Some(Store::Sqlite(PathBuf::from("mainstay.db"))) };
    let finding = match raw.value.split_once(':') {
        Some(("sqlite", path)) if !path.is_empty() => return Some(Store::Sqlite(PathBuf::from(path))),
        Some(("postgres" | "postgresql", _)) => {
            Finding::new(Code::NotBuilt, raw.span, "a store in PostgreSQL, shared by a fleet, is not built yet")
                .help("one machine needs `store: sqlite:mainstay.db`")
        }
        Some(_) | None => Finding::new(Code::Store, raw.span, "this is not a store").help("write `sqlite:mainstay.db`"),
    };
    reader.report(finding);
    None
}

pub(super) fn limits(raw: Option<At<raw::Limits>>) -> Limits {
    let (raw, default) = (value(raw).unwrap_or_default(), Limits::default());
    Limits {
        workers: raw.workers.map(|workers| workers.value as usize),
        head_bytes: value_or(raw.head.as_ref(), default.head_bytes),
        body_bytes: value_or(raw.body.as_ref(), default.body_bytes),
        replay_bytes: value_or(raw.replay.as_ref(), default.replay_bytes),
        answer_bytes: value_or(raw.answer.as_ref(), default.answer_bytes),
        connections: raw.connections.map_or(default.connections, |most| most.value as usize),
        head_timeout: value_or(raw.head_timeout.as_ref(), default.head_timeout),
        drain: value_or(raw.drain.as_ref(), default.drain),
    }
}

pub(super) fn clients(
    raw: Option<&At<Vec<Entry<raw::Client>>>>,
    reader: &mut Reader<'_>,
) -> Option<BTreeMap<String, Client>> {
    for entry in entries(raw) {
        check_name(&entry.name, "a client", reader);
    }
    entries(raw).iter().map(client).collect()
}

fn client(entry: &Entry<raw::Client>) -> Option<(String, Client)> {
    let raw = &entry.value.as_ref()?.value;
    let client = Client {
        key: raw.key.as_ref()?.value.clone(),
        max_class: value_or(raw.max_class.as_ref(), Class::WORST),
        rate: value(raw.rate.clone()),
    };
    Some((entry.name.value.clone(), client))
}

pub(super) fn trust(raw: Option<At<raw::Trust>>) -> Trust {
    let raw = value(raw).unwrap_or_default();
    let from = raw.from.map_or_else(this_machine, |from| from.value.into_iter().map(|at| at.value).collect());
    let headers = raw.headers.map_or_else(Vec::new, |headers| headers.value.into_iter().map(|at| at.value).collect());
    Trust { from, headers }
}

fn this_machine() -> Vec<IpNet> {
    let loopback = IpNet::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8).ok();
    loopback.into_iter().chain([IpNet::from(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST))]).collect()
}

pub(super) fn objectives(raw: Option<At<Vec<Entry<Class>>>>) -> BTreeMap<String, Class> {
    let entries = raw.map_or_else(Vec::new, |raw| raw.value);
    entries.into_iter().filter_map(|entry| Some((entry.name.value, entry.value?.value))).collect()
}
