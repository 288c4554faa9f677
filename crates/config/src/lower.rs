//! From sections to a plan: what no single value can tell, such as whether a name stands for something.
//!
//! Each function reports what it finds and goes on; a missing value stands for a finding that was made. The plan is
//! kept only where no error was reported.

mod answer;
mod backend;
mod bounds;
mod chaos;
mod features;
mod grpc;
mod hedge;
mod incidents;
mod ladder;
mod local;
mod notify;
mod observability;
mod oncall;
mod policy;
mod retention;
mod route;
mod safety;
mod server;
pub(crate) mod slo;
mod training;
mod types;
mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mainstay_core::plan::{BackendId, Environment, FeatureSetId, Plan, ReviewQueue, Store};
use mainstay_core::route::Protocol;

use crate::code::Code;
use crate::finding::Finding;
use crate::raw::{RESERVED, Root};
use crate::read::{Entry, Reader};
use crate::span::{At, Span};
use crate::suggest::did_you_mean;

/// Checks the whole config and makes the plan.
pub(crate) fn plan(root: Root, reader: &mut Reader<'_>) -> Option<Plan> {
    reserved(&root, reader);
    let environment = value_or(root.environment.as_ref(), Environment::Production);
    server::exposure(&root, reader);
    let service = server::service(root.service.as_ref(), reader);
    let store = server::store(root.store.as_ref(), reader);
    let clients = server::clients(root.clients.as_ref(), reader);
    let backends = backend::backends(root.backends.as_ref(), reader);
    let features = features::sets(root.features.as_ref(), reader);
    let mut names = Names::new(&root, store.as_ref());
    let routes = route::routes(root.routes.as_ref(), environment, &mut names, reader);
    let slos = slo::objectives(&root, service.as_deref().unwrap_or_default(), reader);
    let policies = policy::policies(&root, reader);
    let maintenance = policy::maintenance(&root, &slos, reader);
    let around = watch::Around {
        routes: routes.as_deref().unwrap_or_default(),
        features: features.as_deref().unwrap_or_default(),
    };
    let known = root.drift.as_ref().filter(|_| routes.is_some() && features.is_some());
    let drift = watch::drift(known, &around, reader);
    let checks = safety::checks(root.safety.as_ref(), around.routes, reader);
    let labels = watch::labels(root.labels.as_ref(), &slos);
    let training = training::training(root.training.as_ref(), reader);
    let incidents = incidents::incidents(&root, reader);
    let gamedays = root.gamedays.as_ref().and_then(|it| it.value.scenarios.as_ref());
    let gamedays =
        gamedays.map(|files| files.value.iter().map(|file| file.value.clone()).collect()).unwrap_or_default();
    let chaos = chaos::chaos(root.chaos.as_ref(), reader);
    names.report_unused(reader);
    let plan = Plan {
        service: service?,
        environment,
        listen: server::data_listen(&root),
        tls: server::tls(root.tls)?,
        admin: server::admin(root.admin, reader),
        store: store?,
        retention: retention::retention(root.retention.as_ref(), &slos, reader),
        limits: server::limits(root.limits),
        clients: clients?,
        trust: server::trust(root.trust),
        objectives: server::objectives(root.objectives),
        backends: backends?,
        features: features?,
        routes: routes?,
        checks,
        slos,
        policies,
        maintenance,
        observability: observability::observability(root.observability.as_ref(), reader),
        drift,
        labels,
        training,
        incidents,
        chaos,
        gamedays,
    };
    chaos::references(root.chaos.as_ref(), &plan, reader);
    hedge::references(root.routes.as_ref(), &plan, reader);
    Some(plan)
}

fn reserved(root: &Root, reader: &mut Reader<'_>) {
    let sections = [&root.block];
    for (key, section) in RESERVED.iter().zip(sections) {
        if let Some(section) = section {
            let message = format!("`{key}` is not built yet and has no effect");
            reader
                .report(Finding::new(Code::Reserved, section.span, message).help("it is kept for later; leave it out"));
        }
    }
}

/// The value of a key, or what it is without.
pub(crate) fn value_or<T: Clone>(field: Option<&At<T>>, default: T) -> T {
    field.map_or(default, |field| field.value.clone())
}

/// The value of an optional key.
pub(crate) fn value<T>(field: Option<At<T>>) -> Option<T> {
    field.map(|field| field.value)
}

/// Names that appear in paths, labels and logs: letters, digits, `_`, `-`, `.`.
pub(crate) fn check_name(name: &At<String>, what: &str, reader: &mut Reader<'_>) -> Option<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !name.value.is_empty() && name.value.len() <= 64 && name.value.chars().all(plain) {
        return Some(());
    }
    let finding = Finding::new(Code::Name, name.span, format!("this cannot be the name of {what}"))
        .help("1 to 64 letters, digits, `_`, `-` or `.`");
    reader.report(finding);
    None
}

/// A name is taken once.
pub(crate) fn check_distinct<'a>(names: impl IntoIterator<Item = &'a At<String>>, what: &str, reader: &mut Reader<'_>) {
    let mut seen = BTreeMap::new();
    for name in names {
        if let Some(first) = seen.insert(&name.value, name.span) {
            let line = if reader.is_full() { 0 } else { line_of(reader.text, first) };
            let message = format!("{what} `{}` exists already, on line {line}", name.value);
            reader.report(Finding::new(Code::Duplicate, name.span, message).help("give each its own"));
        }
    }
}

/// The number of a place's line, from 1.
pub(crate) fn line_of(text: &str, span: Span) -> usize {
    text[..span.within(text).start].matches('\n').count() + 1
}

/// What routes may refer to.
pub(crate) struct Names {
    backends: BTreeMap<String, Known<(BackendId, Option<Protocol>)>>,
    features: BTreeMap<String, Known<FeatureFacts>>,
    /// Queues as they were first written, and where.
    queues: BTreeMap<String, (ReviewQueue, Span)>,
    /// The folder in which state rests.
    folder: PathBuf,
}

/// A named thing, and whether anything refers to it.
struct Known<T> {
    facts: T,
    at: Span,
    used: bool,
}

/// What a ladder must know of a feature set.
#[derive(Clone)]
pub(crate) struct FeatureFacts {
    pub(crate) id: FeatureSetId,
    pub(crate) refs: Vec<String>,
    /// Whether values go into a tensor (`Some(true)`) or to a pointer (`Some(false)`).
    pub(crate) into_tensor: Option<bool>,
}

impl Names {
    fn new(root: &Root, store: Option<&Store>) -> Names {
        let backends = entries(root.backends.as_ref()).iter().enumerate().map(|(index, entry)| {
            let protocol = entry.value.as_ref().and_then(|raw| raw.value.protocol.as_ref()).map(|at| at.value);
            known(&entry.name, (BackendId(index), protocol))
        });
        let features = entries(root.features.as_ref())
            .iter()
            .enumerate()
            .map(|(index, entry)| known(&entry.name, features::facts(FeatureSetId(index), entry)));
        let folder = match store {
            Some(Store::Sqlite(path)) => path.parent().map(Path::to_path_buf).unwrap_or_default(),
            None => PathBuf::new(),
        };
        Names { backends: backends.collect(), features: features.collect(), queues: BTreeMap::new(), folder }
    }

    pub(crate) fn backend(
        &mut self,
        name: &At<String>,
        reader: &mut Reader<'_>,
    ) -> Option<(BackendId, Option<Protocol>)> {
        find(&mut self.backends, name, "backend", reader)
    }

    pub(crate) fn features(&mut self, name: &At<String>, reader: &mut Reader<'_>) -> Option<FeatureFacts> {
        find(&mut self.features, name, "feature set", reader)
    }

    /// The queue of this name: the file and the bound that its first mention gives, or those that are written here.
    pub(crate) fn queue(&mut self, written: &ReviewQueue, at: Span, reader: &mut Reader<'_>) -> ReviewQueue {
        let (first, span) = self.queues.entry(written.name.clone()).or_insert_with(|| (written.clone(), at));
        if first != written && !reader.is_full() {
            let line = line_of(reader.text, *span);
            let message = format!("queue `{}` is written with another `max` or `file` on line {line}", written.name);
            reader
                .report(Finding::new(Code::Duplicate, at, message).help("write both alike, or give each its own name"));
        }
        first.clone()
    }

    /// Where a queue's file is unless it says so.
    pub(crate) fn queue_file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("reviews-{name}.log"))
    }

    fn report_unused(&self, reader: &mut Reader<'_>) {
        let help = "use it in a ladder, or remove it";
        report_unused(&self.backends, "no route uses the backend", help, reader);
        report_unused(&self.features, "no route uses the feature set", help, reader);
    }
}

fn known<T>(name: &At<String>, facts: T) -> (String, Known<T>) {
    (name.value.clone(), Known { facts, at: name.span, used: false })
}

fn entries<T>(named: Option<&At<Vec<Entry<T>>>>) -> &[Entry<T>] {
    named.map_or(&[], |named| &named.value)
}

fn find<T: Clone>(
    known: &mut BTreeMap<String, Known<T>>,
    name: &At<String>,
    what: &str,
    reader: &mut Reader<'_>,
) -> Option<T> {
    if let Some(found) = known.get_mut(&name.value) {
        found.used = true;
        return Some(found.facts.clone());
    }
    let names: Vec<&str> = known.keys().map(String::as_str).collect();
    no_such(name, what, &names, reader);
    None
}

/// Reports a reference to nothing.
pub(crate) fn no_such(name: &At<String>, what: &str, known: &[&str], reader: &mut Reader<'_>) {
    let message = format!("there is no {what} `{}`", name.value);
    let finding = Finding::new(Code::NoSuch, name.span, message).label("refers to nothing");
    let help = if reader.is_full() { None } else { did_you_mean(&name.value, known) };
    reader.report(finding.help_maybe(help));
}

fn report_unused<T>(known: &BTreeMap<String, Known<T>>, unused: &str, help: &str, reader: &mut Reader<'_>) {
    for (name, known) in known.iter().filter(|(_, known)| !known.used) {
        reader.report(Finding::new(Code::Unused, known.at, format!("{unused} `{name}`")).help(help));
    }
}

/// Reports a list that is longer than makes sense.
pub(crate) fn at_most<T>(list: &At<Vec<T>>, most: usize, what: &str, reader: &mut Reader<'_>) {
    if list.value.len() > most {
        reader.report(Finding::new(Code::OutOfRange, list.span, format!("there are more than {most} {what}")));
    }
}

/// Whether an expression is asked for a stretch of time: mainstay's mark, or Sloth's.
pub(crate) fn has_window(expression: &str) -> bool {
    ["$window", "{{.window}}", "{{ .window }}"].iter().any(|mark| expression.contains(mark))
}

/// Reports a list that must not be empty, unless it is since what it holds was refused.
pub(crate) fn empty(span: Span, what: &str, reader: &mut Reader<'_>) {
    if reader.refused_within(span) {
        return;
    }
    reader.report(Finding::new(Code::Empty, span, format!("{what} is empty")).help("at least one is needed"));
}

/// Reports a key that does nothing where it stands.
pub(crate) fn no_effect(span: Span, message: impl Into<String>, reader: &mut Reader<'_>) {
    reader.report(Finding::new(Code::NoEffect, span, message).label("has no effect"));
}
