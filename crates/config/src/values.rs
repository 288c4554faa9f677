//! The small values that a config is written with: durations, rates, sizes, addresses, references to secrets.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use mainstay_core::expr::Program;
use mainstay_core::plan::{PathMatch, Secret, SecretSource};
use mainstay_core::route::{Class, Level};
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::cel;
use crate::code::Code;
use crate::finding::Finding;
use crate::read::{Kind, Reader};
use crate::tree::{Node, Value};

/// Longest duration: what is meant to be longer is meant to be off.
const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);

/// Why a text is not the value that is expected: help, where there is any to give.
type Refused = Option<String>;

/// Declares a value that is written as text and parsed by a function.
macro_rules! text_value {
    ($(#[doc = $doc:literal])* $name:ident: $out:ty = $what:literal, $code:expr, $parse:path, $schema:tt) => {
        $(#[doc = $doc])*
        pub(crate) struct $name;

        impl Kind for $name {
            type Out = $out;

            fn read(node: &Node, reader: &mut Reader<'_>) -> Option<$out> {
                let words = scalar(node, reader, $what)?;
                match $parse(&words) {
                    Ok(value) => Some(value),
                    Err(help) => {
                        let message = format!("`{}` is not {}", shortened(&words), $what);
                        reader.report(Finding::new($code, node.span, message).help_maybe(help));
                        None
                    }
                }
            }

            fn schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

text_value! {
    /// A duration above zero.
    Dur: Duration = "a duration such as `200ms`, `5s`, `30m`, `6h` or `7d`", Code::Duration, duration,
    { "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(us|ms|s|m|h|d|w)$" }
}
text_value! {
    /// A duration that may be zero.
    Wait: Duration = "a duration such as `0ms`, `200ms` or `5s`", Code::Duration, duration_or_zero,
    { "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(us|ms|s|m|h|d|w)$" }
}
text_value! {
    /// A rate, in events per second.
    Rate: f64 = "a rate such as `500/s` or `30/m`", Code::Rate, rate,
    { "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?/(s|m|h)$" }
}
text_value! {
    /// A share of the whole, as a number from 0 to 1.
    Ratio: f64 = "a percentage such as `99.9%`", Code::Ratio, ratio,
    { "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?%$" }
}
text_value! {
    /// A size in bytes.
    Size: usize = "a size such as `64KiB`, `4MiB` or `1GiB`", Code::Size, size,
    { "type": "string", "pattern": r"^[0-9]+(B|KiB|MiB|GiB|KB|MB|GB)$" }
}
text_value! {
    /// An RFC 6901 pointer.
    Pointer: String = "a JSON pointer such as `/outputs/0/data/0`", Code::Pointer, pointer,
    { "type": "string", "pattern": "^(/([^~]|~[01])*)?$" }
}
text_value! {
    /// An address to listen on.
    Listen: SocketAddr = "an address such as `127.0.0.1:8080`", Code::Address, listen,
    { "type": "string" }
}
text_value! {
    /// A network, or one address.
    Network: IpNet = "a network such as `10.0.0.0/8`", Code::Address, network,
    { "type": "string" }
}
text_value! {
    /// A header's name, in lower case.
    Header: String = "the name of a header", Code::Name, header,
    { "type": "string" }
}
text_value! {
    /// The path of a route.
    Route: PathMatch = "a path such as `/v2/models/fraud/infer`, or a prefix such as `/v1/*`", Code::Path, route_path,
    { "type": "string", "pattern": "^/" }
}
text_value! {
    /// The path of a request.
    UrlPath: String = "a path such as `/v2/health/ready`", Code::Path, url_path,
    { "type": "string", "pattern": "^/" }
}
text_value! {
    /// A file.
    File: PathBuf = "the path of a file", Code::Path, file,
    { "type": "string", "minLength": 1 }
}

/// The text of a scalar. A number is shown as it is: what it lacks is its unit.
fn scalar(node: &Node, reader: &mut Reader<'_>, what: &str) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        Value::Number(_) => Some(reader.text[node.span.range()].to_owned()),
        Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => {
            reader.wrong_kind(node, what);
            None
        }
    }
}

fn shortened(words: &str) -> String {
    const SHOWN: usize = 60;
    let mut short: String = words.chars().take(SHOWN).collect();
    if short.len() < words.len() {
        short.push_str("...");
    }
    short
}

/// A decimal number without sign or exponent, and what follows it.
fn leading_number(words: &str) -> Option<(f64, &str)> {
    let end = words.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(words.len());
    let (number, rest) = words.split_at(end);
    let well_formed = number.starts_with(|c: char| c.is_ascii_digit()) && !number.ends_with('.');
    let value = number.parse::<f64>().ok().filter(|value| well_formed && value.is_finite())?;
    Some((value, rest.trim_start()))
}

fn duration_or_zero(words: &str) -> Result<Duration, Refused> {
    let (number, unit) = leading_number(words.trim()).ok_or(None)?;
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        "w" => 7.0 * 86_400.0,
        "" => return Err(Some(format!("a unit is missing: `{number}ms` or `{number}s`?"))),
        "min" | "mins" | "minutes" => return Err(Some(format!("did you mean `{number}m`?"))),
        "sec" | "secs" | "seconds" => return Err(Some(format!("did you mean `{number}s`?"))),
        "hours" | "hour" => return Err(Some(format!("did you mean `{number}h`?"))),
        "days" | "day" => return Err(Some(format!("did you mean `{number}d`?"))),
        _ => return Err(Some("units are us, ms, s, m, h, d, w".to_owned())),
    };
    let duration = Duration::try_from_secs_f64(number * seconds).map_err(|_| None)?;
    if duration > LONGEST {
        return Err(Some("at most ten years".to_owned()));
    }
    Ok(duration)
}

fn duration(words: &str) -> Result<Duration, Refused> {
    let duration = duration_or_zero(words)?;
    if duration.is_zero() { Err(Some("it must be above zero".to_owned())) } else { Ok(duration) }
}

fn rate(words: &str) -> Result<f64, Refused> {
    let (number, unit) = leading_number(words.trim()).ok_or(None)?;
    let per_second = match unit {
        "/s" => number,
        "/m" => number / 60.0,
        "/h" => number / 3600.0,
        "" => return Err(Some(format!("per what? `{number}/s`?"))),
        _ => return Err(Some("rates are per `/s`, `/m` or `/h`".to_owned())),
    };
    if per_second > 0.0 { Ok(per_second) } else { Err(Some("it must be above zero".to_owned())) }
}

fn ratio(words: &str) -> Result<f64, Refused> {
    let (number, unit) = leading_number(words.trim()).ok_or(None)?;
    match unit {
        "%" if number <= 100.0 => Ok(number / 100.0),
        "%" => Err(Some("at most `100%`".to_owned())),
        "" if number <= 1.0 => {
            let percent = (number * 1e9).round() / 1e7;
            Err(Some(format!("write the unit: `{number}%`, or `{percent}%` if the share {number} is meant")))
        }
        "" => Err(Some(format!("write the unit: `{number}%`"))),
        _ => Err(None),
    }
}

fn size(words: &str) -> Result<usize, Refused> {
    let (number, unit) = leading_number(words.trim()).ok_or(None)?;
    let unit_bytes: f64 = match unit {
        "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        "KB" | "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "" => return Err(Some(format!("a unit is missing: `{number}KiB` or `{number}MiB`?"))),
        _ => return Err(Some("units are B, KiB, MiB, GiB, KB, MB, GB".to_owned())),
    };
    let bytes = number * unit_bytes;
    if bytes < 1.0 || bytes > (1_u64 << 40) as f64 {
        return Err(Some("from 1 byte to 1024 GiB".to_owned()));
    }
    Ok(bytes as usize)
}

fn pointer(words: &str) -> Result<String, Refused> {
    if !words.is_empty() && !words.starts_with('/') {
        return Err(Some(format!("it starts with a slash: `/{}`", words.replace('.', "/"))));
    }
    let escapes_hold = words.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
    if escapes_hold { Ok(words.to_owned()) } else { Err(Some("a `~` is written `~0`".to_owned())) }
}

fn listen(words: &str) -> Result<SocketAddr, Refused> {
    words.parse().map_err(|_| match words.rsplit_once(':') {
        Some(("" | "*", port)) => Some(format!("all interfaces are `0.0.0.0:{port}`")),
        Some(("localhost", port)) => Some(format!("a name is not an address: `127.0.0.1:{port}`")),
        Some(_) => Some("an IP address and a port".to_owned()),
        None if words.parse::<IpAddr>().is_ok() => Some(format!("the port is missing: `{words}:8080`")),
        None => None,
    })
}

fn network(words: &str) -> Result<IpNet, Refused> {
    words.parse().or_else(|_| words.parse::<IpAddr>().map(IpNet::from)).map_err(|_| None)
}

fn header(words: &str) -> Result<String, Refused> {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if words.is_empty() || words.len() > 256 || !words.chars().all(token) {
        return Err(None);
    }
    Ok(words.to_ascii_lowercase())
}

fn url_path(words: &str) -> Result<String, Refused> {
    if !words.starts_with('/') {
        return Err(Some(format!("it starts with a slash: `/{words}`")));
    }
    let plain = words.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '#' | '"' | '<' | '>' | '\\'));
    if plain { Ok(words.to_owned()) } else { Err(Some("other characters are percent-encoded".to_owned())) }
}

fn route_path(words: &str) -> Result<PathMatch, Refused> {
    let path = url_path(words)?;
    if path.contains('?') {
        return Err(Some("a route takes a path with any query".to_owned()));
    }
    match path.strip_suffix('*') {
        Some(prefix) if prefix.ends_with('/') && !prefix.contains('*') => Ok(PathMatch::Prefix(prefix.to_owned())),
        None if !path.contains('*') => Ok(PathMatch::Exact(path)),
        Some(_) | None => Err(Some("a `*` stands alone after the last slash, as in `/v1/*`".to_owned())),
    }
}

fn file(words: &str) -> Result<PathBuf, Refused> {
    if words.is_empty() || words.contains('\0') { Err(None) } else { Ok(PathBuf::from(words)) }
}

/// A base URL without a trailing slash.
pub(crate) struct Url;

impl Kind for Url {
    type Out = String;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
        let words = scalar(node, reader, "a URL")?;
        let (code, help) = match base_url(&words) {
            Ok(url) => return Some(url),
            Err(UrlFault::Credentials) => (Code::LiteralSecret, "give the key by `keys: [env:NAME]`"),
            Err(UrlFault::Shape(help)) => (Code::Url, help),
        };
        // What was written is not repeated: it may hold a password.
        let finding = Finding::new(code, node.span, "this is not a base URL such as `http://127.0.0.1:9001`");
        reader.report(finding.help(help));
        None
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^https?://" })
    }
}

enum UrlFault {
    Credentials,
    Shape(&'static str),
}

fn base_url(words: &str) -> Result<String, UrlFault> {
    let rest = words.strip_prefix("http://").or_else(|| words.strip_prefix("https://"));
    let rest = rest.ok_or(UrlFault::Shape("it starts with `http://` or `https://`"))?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err(UrlFault::Credentials);
    }
    if path.contains(['?', '#']) {
        return Err(UrlFault::Shape("a base URL has no query and no fragment"));
    }
    if !path.is_empty() && url_path(path).is_err() {
        return Err(UrlFault::Shape("other characters are percent-encoded"));
    }
    if !authority_holds(authority) {
        return Err(UrlFault::Shape("after `//` come a host and, where it is not the usual one, a port"));
    }
    Ok(words.trim_end_matches('/').to_owned())
}

fn authority_holds(authority: &str) -> bool {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (authority, None),
    };
    let port_holds = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let host_holds = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            !host.is_empty() && host.len() <= 253 && host.chars().all(plain)
        }
    };
    port_holds && host_holds
}

/// A secret by reference.
pub(crate) struct SecretRef;

impl Kind for SecretRef {
    type Out = Secret;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Secret> {
        if let Value::Text(words) = &node.value {
            if let Some(name) = words.strip_prefix("env:").filter(|name| is_variable(name)) {
                return Some(Secret::unresolved(SecretSource::Env(name.to_owned())));
            }
            if let Some(path) = words.strip_prefix("file:").filter(|path| !path.is_empty()) {
                return Some(Secret::unresolved(SecretSource::File(PathBuf::from(path))));
            }
        }
        let finding = Finding::new(Code::LiteralSecret, node.span, "a secret is given by reference only")
            .label("this looks like the secret itself")
            .help("write `env:NAME` or `file:PATH`, and change the secret if this file was shared");
        reader.report(finding);
        None
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$" })
    }
}

fn is_variable(name: &str) -> bool {
    let start = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    start && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A whole number from `MIN` to `MAX`.
pub(crate) struct Whole<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> Kind for Whole<MIN, MAX> {
    type Out = u64;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<u64> {
        let Value::Number(number) = &node.value else {
            reader.wrong_kind(node, "a whole number");
            return None;
        };
        let inside = number.as_u64().filter(|number| (MIN..=MAX).contains(number));
        if inside.is_none() {
            let message = format!("`{number}` is not a whole number from {MIN} to {MAX}");
            reader.report(Finding::new(Code::OutOfRange, node.span, message));
        }
        inside
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

/// A number.
pub(crate) struct Real;

impl Kind for Real {
    type Out = f64;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<f64> {
        if let Value::Number(number) = &node.value {
            return number.as_f64();
        }
        reader.wrong_kind(node, "a number");
        None
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number" })
    }
}

/// A number from 0 to 1.
pub(crate) struct Share;

impl Kind for Share {
    type Out = f64;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<f64> {
        let number = Real::read(node, reader)?;
        if (0.0..=1.0).contains(&number) {
            return Some(number);
        }
        let message = format!("`{number}` is not from 0 to 1");
        reader.report(Finding::new(Code::OutOfRange, node.span, message));
        None
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0, "maximum": 1 })
    }
}

/// A number above zero.
pub(crate) struct Positive;

impl Kind for Positive {
    type Out = f64;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<f64> {
        let number = Real::read(node, reader)?;
        if number > 0.0 {
            return Some(number);
        }
        let message = format!("`{number}` is not above zero");
        reader.report(Finding::new(Code::OutOfRange, node.span, message));
        None
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "exclusiveMinimum": 0 })
    }
}

/// A class of requests.
pub(crate) struct ClassNumber;

impl Kind for ClassNumber {
    type Out = Class;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Class> {
        Class::new(Whole::<0, 3>::read(node, reader)? as u8)
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        Whole::<0, 3>::schema(generator)
    }
}

/// A level of a ladder.
pub(crate) struct LevelNumber;

impl Kind for LevelNumber {
    type Out = Level;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Level> {
        Level::new(Whole::<0, 4>::read(node, reader)? as u8)
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        Whole::<0, 4>::schema(generator)
    }
}

/// A CEL program.
pub(crate) struct Cel;

impl Kind for Cel {
    type Out = Program;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Program> {
        match &node.value {
            Value::Text(source) => cel::compile(source, node.span, reader),
            Value::Bool(flag) => Program::compile(&flag.to_string()).ok(),
            Value::Null | Value::Number(_) | Value::List(_) | Value::Map(_) => {
                reader.wrong_kind(node, "a CEL expression");
                None
            }
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "boolean"], "description": "a CEL expression" })
    }
}
