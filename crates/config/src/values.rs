//! The small values that a config is written with: durations, rates, sizes, addresses, references to secrets.

mod chaos;
mod notify;
mod oncall;
mod parse;

use std::net::SocketAddr;
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
use parse::{UrlFault, base_url};

pub(crate) use self::chaos::{ClockEnd, Day, DayOrClock, Moment};
pub(crate) use self::notify::{Address, MailServer, Mailbox};
pub(crate) use self::oncall::{CivilTime, Told, TurnLength};

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

use text_value;

text_value! {
    /// A duration above zero.
    Dur: Duration = "a duration such as `200ms`, `5s`, `30m`, `6h` or `7d`", Code::Duration, parse::duration,
    { "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(us|ms|s|m|h|d|w)$" }
}
text_value! {
    /// A time of day.
    Clock: jiff::civil::Time = "a time of day such as `02:30`", Code::Clock, parse::clock,
    { "type": "string", "pattern": r"^([01][0-9]|2[0-3]):[0-5][0-9]$" }
}
text_value! {
    /// A duration that may be zero.
    Wait: Duration = "a duration such as `0ms`, `200ms` or `5s`", Code::Duration, parse::duration_or_zero,
    { "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(us|ms|s|m|h|d|w)$" }
}
text_value! {
    /// A rate, in events per second.
    Rate: f64 = "a rate such as `500/s` or `30/m`", Code::Rate, parse::rate,
    { "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?/(s|m|h)$" }
}
text_value! {
    /// A share of the whole, as a number from 0 to 1.
    Ratio: f64 = "a percentage such as `99.9%`", Code::Ratio, parse::ratio,
    { "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?%$" }
}
text_value! {
    /// A size in bytes.
    Size: usize = "a size such as `64KiB`, `4MiB` or `1GiB`", Code::Size, parse::size,
    { "type": "string", "pattern": r"^[0-9]+(B|KiB|MiB|GiB|KB|MB|GB)$" }
}
text_value! {
    /// An RFC 6901 pointer.
    Pointer: String = "a JSON pointer such as `/outputs/0/data/0`", Code::Pointer, parse::pointer,
    { "type": "string", "pattern": "^(/([^~]|~[01])*)?$" }
}
text_value! {
    /// An address to listen on.
    Listen: SocketAddr = "an address such as `127.0.0.1:8080`", Code::Address, parse::listen,
    { "type": "string" }
}
text_value! {
    /// A network, or one address.
    Network: IpNet = "a network such as `10.0.0.0/8`", Code::Address, parse::network,
    { "type": "string" }
}
text_value! {
    /// A header's name, in lower case.
    Header: String = "the name of a header", Code::Name, parse::header,
    { "type": "string" }
}
text_value! {
    /// The path of a route.
    Route: PathMatch = "a path such as `/v2/models/fraud/infer`, or a prefix such as `/v1/*`", Code::Path, parse::route_path,
    { "type": "string", "pattern": "^/" }
}
text_value! {
    /// The path of a request.
    UrlPath: String = "a path such as `/v2/health/ready`", Code::Path, parse::url_path,
    { "type": "string", "pattern": "^/" }
}
text_value! {
    /// A file.
    File: PathBuf = "the path of a file", Code::Path, parse::file,
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

/// Any number, or a share as a percentage.
pub(crate) struct Figure;

impl Kind for Figure {
    type Out = f64;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<f64> {
        let Value::Text(words) = &node.value else { return Real::read(node, reader) };
        match parse::ratio(words) {
            Ok(share) => Some(share),
            Err(help) => {
                let message = format!("`{}` is not a number, nor a percentage such as `2%`", shortened(words));
                reader.report(Finding::new(Code::Ratio, node.span, message).help_maybe(help));
                None
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [Real::schema(generator), Ratio::schema(generator)] })
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

/// A CEL program that judges answers.
pub(crate) struct AnswerCel;

impl Kind for AnswerCel {
    type Out = Program;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Program> {
        let Value::Text(source) = &node.value else {
            reader.wrong_kind(node, "a CEL expression");
            return None;
        };
        cel::report(Program::compile_for_answers(source), source, node.span, reader)
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "a CEL expression over `answer` and the request" })
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
