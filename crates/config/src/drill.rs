//! Drills: Markdown with YAML in it, read where it stands.
//!
//! ````text
//! ---            name, seed, `for`, perhaps `config: FILE`
//! ---
//! # A title      all text between the blocks is for people
//! ```yaml config   the config itself, as in `mainstay.yaml`
//! ```yaml world    backends and users
//! ```yaml script   what happens
//! ```yaml expect   what must hold
//! ````

mod around;
mod check;
mod model;
mod raw;
mod script;

use std::time::Duration;

use mainstay_core::drill::{Around, Drill, Expectation, Happening, ITEMS_MAX, Users, facts};
use mainstay_core::plan::Plan;
use mainstay_core::route::Class;

use crate::cel;
use crate::code::Code;
use crate::finding::Finding;
use crate::gameday::markdown::{self, Part};
use crate::read::{Entry, Kind, Reader};
use crate::span::{At, Span};
use crate::suggest::did_you_mean;
use crate::tree::Node;
use crate::{lower, raw as config};

/// Longest text of a drill, in bytes.
const BYTES_MAX: usize = 1 << 20;
/// The blocks that there are.
const BLOCKS: [&str; 4] = ["config", "world", "script", "expect"];

/// Where the parts of a drill stand.
#[derive(Default)]
struct Blocks {
    front: Option<Span>,
    title: Option<String>,
    config: Option<Span>,
    world: Option<Span>,
    script: Vec<Span>,
    expect: Vec<Span>,
}

/// Reads a drill; `file` fetches the text of a config that it names. The drill, unless an error was found, and all findings in the
/// order of the text.
///
/// ```
/// let (drill, findings) = mainstay_config::drill("# Nothing\n", &mut |_| Err("no files here".to_owned()));
/// assert!(drill.is_none());
/// assert_eq!(findings[0].code.as_str(), "E0903");
/// ```
pub fn drill(text: &str, file: &mut dyn FnMut(&str) -> Result<String, String>) -> (Option<Drill>, Vec<Finding>) {
    if text.len() > BYTES_MAX {
        let message = format!("the file has {} bytes; a drill has at most {BYTES_MAX}", text.len());
        return (None, vec![Finding::new(Code::TooLarge, Span::default(), message)]);
    }
    let mut reader = Reader::new(text);
    let drill = read(text, file, &mut reader);
    (drill.filter(|_| !reader.refused()), reader.into_findings())
}

fn read(text: &str, file: &mut dyn FnMut(&str) -> Result<String, String>, reader: &mut Reader<'_>) -> Option<Drill> {
    let blocks = blocks(text, reader);
    let missing = |reader: &mut Reader<'_>, what: &str, help: &str| {
        reader.report(Finding::new(Code::Drill, Span::default(), format!("the drill has no {what}")).help(help));
    };
    let Some(front) = blocks.front else {
        missing(reader, "head", "begin it with `---`, `name: NAME`, `for: 60s` and `---`, each on its own line");
        return None;
    };
    let node = markdown::yaml(text, front, reader)?;
    let front = raw::Front::read(&node, reader);
    let plan = match (blocks.config, front.as_ref().and_then(|front| front.config.as_ref())) {
        (Some(span), None) => inline(text, span, reader),
        (None, Some(named)) => elsewhere(named, file, reader),
        (None, None) => {
            missing(reader, "config", "write a block ```yaml config, or `config: FILE` at the top");
            None
        }
        (Some(_), Some(named)) => {
            let message = "the config is both named and written here";
            reader.report(Finding::new(Code::ExactlyOne, named.span, message).help("keep one of them"));
            None
        }
    };
    let world = match blocks.world {
        Some(span) => markdown::yaml(text, span, reader).and_then(|node| raw::World::read(&node, reader)),
        None => {
            missing(reader, "world", "write a block ```yaml world with `backends` and `users`");
            None
        }
    };
    if blocks.expect.is_empty() {
        missing(reader, "expectations", "write a block ```yaml expect with a list of `{ name, holds }`");
    }
    let (front, plan, world) = (front?, plan?, world?);
    let mut drill = Drill {
        name: front.name?.value,
        title: front.title.map(|it| it.value).or(blocks.title).unwrap_or_default(),
        seed: front.seed.map_or(1, |it| it.value),
        length: front.r#for.as_ref()?.value,
        models: vec![None; plan.backends.len()],
        plan,
        users: Vec::new(),
        script: Vec::new(),
        expect: Vec::new(),
        around: Around::default(),
    };
    around::read(&world, front.starts.as_ref(), &mut drill, reader);
    models(world.backends.map(|it| it.value).unwrap_or_default(), &mut drill, reader);
    let users = users(world.users.map(|it| it.value).unwrap_or_default(), &mut drill, reader);
    let script = listed::<raw::Happening>(text, &blocks.script, reader);
    let happenings: Vec<(Happening, Span)> =
        script.into_iter().filter_map(|it| script::happening(it, &drill, &users, reader)).collect();
    let expect = listed::<raw::Expectation>(text, &blocks.expect, reader);
    let expected: Vec<(Expectation, Span)> =
        expect.into_iter().filter_map(|it| expectation(it, &drill, reader)).collect();
    if reader.refused() {
        return None;
    }
    check::check(&mut drill, happenings, expected, front.r#for?.span, reader);
    Some(drill)
}

fn blocks(text: &str, reader: &mut Reader<'_>) -> Blocks {
    let mut out = Blocks::default();
    for part in markdown::parts(text) {
        match part {
            Part::Front(span) => out.front = Some(span),
            Part::Heading(1, heading) => drop(out.title.get_or_insert(heading)),
            Part::Heading(..) | Part::Line(_) => {}
            Part::Block(span, label) => {
                let twice = match label.as_str() {
                    "config" => out.config.replace(span).is_some(),
                    "world" => out.world.replace(span).is_some(),
                    "script" => {
                        out.script.push(span);
                        false
                    }
                    "expect" => {
                        out.expect.push(span);
                        false
                    }
                    // An example among the text.
                    "" => false,
                    _ => {
                        let message = format!("`{label}` is no block of a drill");
                        let help = did_you_mean(&label, &BLOCKS);
                        reader.report(Finding::new(Code::UnknownWord, span, message).help_maybe(help));
                        false
                    }
                };
                if twice {
                    let message = format!("there are two blocks `{label}`");
                    reader.report(Finding::new(Code::Duplicate, span, message).help("keep one"));
                }
            }
        }
    }
    out
}

/// The items of all blocks of a kind.
fn listed<K: Kind>(text: &str, spans: &[Span], reader: &mut Reader<'_>) -> Vec<At<K::Out>> {
    let nodes: Vec<Node> =
        spans.iter().filter_map(|span| markdown::yaml(text, *span, reader)).flat_map(markdown::items).collect();
    if nodes.len() > ITEMS_MAX {
        let message = format!("there are more than {ITEMS_MAX} items");
        reader.report(Finding::new(Code::TooLarge, nodes[ITEMS_MAX].span, message));
    }
    nodes.iter().take(ITEMS_MAX).filter_map(|node| reader.field::<K>(node)).collect()
}

fn inline(text: &str, span: Span, reader: &mut Reader<'_>) -> Option<Plan> {
    let node = markdown::yaml(text, span, reader)?;
    config::Root::read(&node, reader).and_then(|root| lower::plan(root, reader))
}

fn elsewhere(
    named: &At<String>,
    file: &mut dyn FnMut(&str) -> Result<String, String>,
    reader: &mut Reader<'_>,
) -> Option<Plan> {
    let refuse = |reader: &mut Reader<'_>, message: String| {
        reader.report(Finding::new(Code::Drill, named.span, message));
        None
    };
    match file(&named.value) {
        Err(error) => refuse(reader, format!("the config cannot be read: {error}")),
        Ok(text) => match crate::load(&text) {
            (Some(plan), _) => Some(plan),
            (None, findings) => {
                let first = findings.iter().find(|finding| finding.is_error());
                let first = first.map_or("", |finding| finding.message.as_str());
                refuse(reader, format!("the config has errors, such as: {first}; `mainstay check` shows all"))
            }
        },
    }
}

/// The index of a name, or a finding.
fn index(name: &At<String>, names: &[&str], what: &str, reader: &mut Reader<'_>) -> Option<usize> {
    let found = names.iter().position(|known| *known == name.value);
    if found.is_none() {
        let message = format!("there is no {what} `{}`", name.value);
        let help = did_you_mean(&name.value, names);
        reader.report(Finding::new(Code::NoSuch, name.span, message).help_maybe(help));
    }
    found
}

fn models(written: Vec<Entry<raw::Model>>, drill: &mut Drill, reader: &mut Reader<'_>) {
    let names: Vec<&str> = drill.plan.backends.iter().map(|backend| backend.name.as_str()).collect();
    for Entry { name, value } in written {
        let Some(at) = index(&name, &names, "backend", reader) else { continue };
        let Some(At { value: model, span }) = value else { continue };
        drill.models[at] = model::model(model, span, reader);
    }
}

fn users(written: Vec<Entry<raw::Users>>, drill: &mut Drill, reader: &mut Reader<'_>) -> Vec<String> {
    let routes: Vec<&str> = drill.plan.routes.iter().map(|route| route.name.as_str()).collect();
    let mut names = Vec::new();
    for Entry { name, value } in written {
        names.push(name.value.clone());
        let Some(At { value: users, .. }) = value else { continue };
        let Some(route) = users.route.as_ref().and_then(|route| index(route, &routes, "route", reader)) else {
            continue;
        };
        let Some(rate) = users.rate else { continue };
        let classes = match users.classes {
            Some(written) => shares(&written, reader),
            None => Some([0.0, 0.0, 0.0, 1.0]),
        };
        let asked = drill.plan.routes[route].ladder.iter().filter_map(|entry| entry.answer.asked());
        for backend in asked.map(|asked| asked.backend.0).filter(|at| drill.models[*at].is_none()) {
            let message = format!(
                "the world says nothing of backend `{}`, which route `{}` asks",
                drill.plan.backends[backend].name, routes[route]
            );
            reader.report(Finding::new(Code::NoSuch, name.span, message).help("describe it under `backends`"));
        }
        let retries = users.retries.map_or(0, |it| it.value as u32);
        let day = users.day.and_then(|day| around::day(day.value, reader));
        let Some(classes) = classes else { continue };
        drill.users.push(Users { name: name.value, route, rate: rate.value, classes, retries, day });
    }
    names
}

/// Weights as shares of one.
fn shares(written: &At<Vec<At<f64>>>, reader: &mut Reader<'_>) -> Option<[f64; Class::COUNT]> {
    let numbers: Vec<f64> = written.value.iter().map(|it| it.value).collect();
    let sum: f64 = numbers.iter().sum();
    let fine = numbers.len() == Class::COUNT && numbers.iter().all(|it| *it >= 0.0) && sum > 0.0 && sum.is_finite();
    if !fine {
        let message = "expected four shares, none below zero and not all zero: of class 0, 1, 2 and 3";
        reader.report(Finding::new(Code::OutOfRange, written.span, message));
        return None;
    }
    Some(std::array::from_fn(|class| numbers[class] / sum))
}

fn expectation(raw: At<raw::Expectation>, drill: &Drill, reader: &mut Reader<'_>) -> Option<(Expectation, Span)> {
    let raw = raw.value;
    let holds = raw.holds?;
    if let Err(error) = facts::compile(&holds.value) {
        let place = cel::place(reader.text, holds.span, &holds.value, error.offset);
        let message = format!("this expectation does not compile: {}", error.message);
        reader.report(Finding::new(Code::CelCompile, place, message).label("here"));
        return None;
    }
    let slos: Vec<&str> = drill.plan.slos.iter().map(|slo| slo.name.as_str()).collect();
    for (offset, name) in facts::budgets(&holds.value) {
        let place = cel::place(reader.text, holds.span, &holds.value, offset);
        index(&At { value: name, span: place }, &slos, "objective", reader);
    }
    let expectation = Expectation {
        name: raw.name?.value,
        holds: holds.value,
        from: raw.from.map_or(Duration::ZERO, |it| it.value),
        to: raw.to.map_or(drill.length, |it| it.value),
        known: raw.known.map(|it| it.value),
    };
    Some((expectation, holds.span))
}

#[cfg(test)]
mod tests;
