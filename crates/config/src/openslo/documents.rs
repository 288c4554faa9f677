//! The documents of a text by kind and name.

use std::collections::BTreeMap;

use super::{alpha, wire};
use crate::code::Code;
use crate::finding::Finding;
use crate::lower::line_of;
use crate::read::{Kind, Reader, Text};
use crate::span::{At, Span};
use crate::suggest::did_you_mean;
use crate::tree::Node;

/// Longest text for people.
const DESCRIPTION_MAX: usize = 1050;

const KINDS: [&str; 7] =
    ["DataSource", "SLO", "SLI", "AlertPolicy", "AlertCondition", "AlertNotificationTarget", "Service"];

/// What a text holds.
#[derive(Default)]
pub(super) struct Documents {
    /// Where Prometheus is if no document says it.
    pub(super) prometheus: Option<String>,
    pub(super) slos: Vec<SloDocument>,
    pub(super) slis: BTreeMap<String, Named<wire::Sli>>,
    pub(super) sources: BTreeMap<String, Named<wire::DataSource>>,
    pub(super) services: BTreeMap<String, Named<wire::Service>>,
    pub(super) policies: BTreeMap<String, Named<wire::AlertPolicy>>,
    pub(super) conditions: BTreeMap<String, Named<wire::AlertCondition>>,
    pub(super) targets: BTreeMap<String, Named<wire::NotificationTarget>>,
}

/// A document that others refer to by name. `spec` is absent where it was refused.
pub(super) struct Named<T> {
    pub(super) at: Span,
    pub(super) spec: Option<T>,
}

/// An objective of either version.
pub(super) struct SloDocument {
    pub(super) name: At<String>,
    pub(super) annotations: Vec<(String, At<String>)>,
    pub(super) spec: SloSpec,
}

impl SloDocument {
    pub(super) fn description(&self) -> Option<&At<String>> {
        match &self.spec {
            SloSpec::V1(spec) => spec.description.as_ref(),
            SloSpec::V1Alpha(spec) => spec.description.as_ref(),
        }
    }
}

pub(super) enum SloSpec {
    V1(Box<wire::Slo>),
    V1Alpha(Box<alpha::Slo>),
}

/// The parts of a document before its kind gives them a meaning.
struct Envelope<'n> {
    version: Version,
    kind: At<String>,
    metadata: wire::Metadata,
    name: At<String>,
    spec: Option<&'n Node>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V1Alpha,
}

impl Documents {
    pub(super) fn read(nodes: &[Node], prometheus: Option<&str>, reader: &mut Reader<'_>) -> Documents {
        let mut documents = Documents { prometheus: prometheus.map(str::to_owned), ..Documents::default() };
        for node in nodes {
            if let Some(envelope) = envelope(node, reader) {
                documents.add(node, envelope, reader);
            }
        }
        documents
    }

    fn add(&mut self, node: &Node, envelope: Envelope<'_>, reader: &mut Reader<'_>) {
        let kind = envelope.kind.value.as_str();
        if envelope.version == Version::V1Alpha && !["SLO", "Service"].contains(&kind) {
            let message = format!("v1alpha has no kind `{kind}`");
            reader
                .report(Finding::new(Code::UnknownWord, envelope.kind.span, message).help("`apiVersion: openslo/v1`"));
            return;
        }
        let Some(spec) = envelope.spec else {
            reader.missing_key(node, "spec", "an OpenSLO document");
            return;
        };
        let name = &envelope.name;
        match kind {
            "SLO" => self.add_slo(spec, envelope, reader),
            "SLI" => keep(&mut self.slis, name, spec, reader, |sli: &wire::Sli| sli.description.as_ref()),
            "DataSource" => {
                keep(&mut self.sources, name, spec, reader, |source: &wire::DataSource| source.description.as_ref());
            }
            "Service" => {
                keep(&mut self.services, name, spec, reader, |service: &wire::Service| service.description.as_ref());
            }
            "AlertPolicy" => {
                keep(&mut self.policies, name, spec, reader, |policy: &wire::AlertPolicy| policy.description.as_ref());
            }
            "AlertCondition" => keep(&mut self.conditions, name, spec, reader, |condition: &wire::AlertCondition| {
                condition.description.as_ref()
            }),
            "AlertNotificationTarget" => {
                keep(&mut self.targets, name, spec, reader, |target: &wire::NotificationTarget| {
                    target.description.as_ref()
                });
            }
            other => {
                let message = format!("`{other}` is not a kind of OpenSLO document");
                let help = did_you_mean(other, &KINDS);
                reader.report(Finding::new(Code::UnknownWord, envelope.kind.span, message).help_maybe(help));
            }
        }
    }

    fn add_slo(&mut self, spec: &Node, envelope: Envelope<'_>, reader: &mut Reader<'_>) {
        let read = match envelope.version {
            Version::V1 => wire::Slo::read(spec, reader).map(|spec| {
                description(spec.description.as_ref(), reader);
                SloSpec::V1(Box::new(spec))
            }),
            Version::V1Alpha => alpha::Slo::read(spec, reader).map(|spec| {
                description(spec.description.as_ref(), reader);
                SloSpec::V1Alpha(Box::new(spec))
            }),
        };
        let Some(spec) = read else { return };
        if let Some(first) = self.slos.iter().find(|slo| slo.name.value == envelope.name.value) {
            duplicate("the SLO", &envelope.name, first.name.span, reader);
        }
        let annotations = envelope.metadata.annotations.map_or_else(Vec::new, |annotations| annotations.value);
        let annotations = annotations.into_iter().filter_map(|entry| Some((entry.name.value, entry.value?))).collect();
        self.slos.push(SloDocument { name: envelope.name, annotations, spec });
    }
}

/// Keeps what others refer to; it is found also where its `spec` was refused.
fn keep<K: Kind<Out = K>>(
    known: &mut BTreeMap<String, Named<K>>,
    name: &At<String>,
    spec: &Node,
    reader: &mut Reader<'_>,
    about: impl Fn(&K) -> Option<&At<String>>,
) {
    let spec = K::read(spec, reader);
    description(spec.as_ref().and_then(about), reader);
    if let Some(first) = known.insert(name.value.clone(), Named { at: name.span, spec }) {
        duplicate("a document of this kind named", name, first.at, reader);
    }
}

fn envelope<'n>(node: &'n Node, reader: &mut Reader<'_>) -> Option<Envelope<'n>> {
    const KEYS: [&str; 4] = ["apiVersion", "kind", "metadata", "spec"];
    let entries = reader.entries(node, "a map for an OpenSLO document")?;
    for (key, _) in entries.iter().filter(|(key, _)| !KEYS.contains(&key.value.as_str())) {
        reader.unknown_key(key, &KEYS, "an OpenSLO document");
    }
    let find = |key: &str| entries.iter().find(|(known, _)| known.value == key).map(|(_, value)| value);
    for key in KEYS.iter().take(3).filter(|key| find(key).is_none()) {
        reader.missing_key(node, key, "an OpenSLO document");
    }
    let version = find("apiVersion").and_then(|node| version(node, reader));
    let kind = find("kind").and_then(|node| reader.field::<Text>(node));
    let metadata = find("metadata").and_then(|node| wire::Metadata::read(node, reader));
    // What lacks its version or its name would only be found wrong for that again.
    let (version, kind, metadata) = (version?, kind?, metadata?);
    let name = metadata.name.clone()?;
    check_metadata(&metadata, reader);
    Some(Envelope { version, kind, metadata, name, spec: find("spec") })
}

fn version(node: &Node, reader: &mut Reader<'_>) -> Option<Version> {
    let written = reader.field::<Text>(node)?;
    let (code, message, help) = match written.value.as_str() {
        "openslo/v1" => return Some(Version::V1),
        "openslo/v1alpha" => return Some(Version::V1Alpha),
        "openslo.com/v1" => (Code::UnknownWord, "`openslo.com/v1` is not the specification's name", "`openslo/v1`"),
        "openslo.com/v2alpha" | "openslo.com/v2alpha1" | "openslo/v2alpha1" => {
            (Code::NotBuilt, "v2alpha of OpenSLO is a draft and is not read", "`openslo/v1` and `openslo/v1alpha` are")
        }
        other => {
            let message = format!("`{other}` is not a version of OpenSLO that is read");
            let help = "`openslo/v1` and `openslo/v1alpha` are";
            reader.report(Finding::new(Code::UnknownWord, written.span, message).help(help));
            return None;
        }
    };
    reader.report(Finding::new(code, written.span, message).help(help));
    None
}

pub(super) fn check_metadata(metadata: &wire::Metadata, reader: &mut Reader<'_>) {
    if let Some(name) = metadata.name.as_ref().filter(|name| !is_dns_label(&name.value)) {
        let message = format!("`{}` is not a name by RFC 1123", name.value.chars().take(80).collect::<String>());
        let help = "at most 63 lower-case letters, digits and `-`, the first and the last a letter or digit";
        reader.report(Finding::new(Code::OpenSloName, name.span, message).help(help));
    }
    if let Some(long) = metadata.displayName.as_ref().filter(|name| name.value.chars().count() > 63) {
        reader.report(Finding::new(Code::OutOfRange, long.span, "`displayName` has at most 63 characters"));
    }
}

/// <https://www.rfc-editor.org/rfc/rfc1123>, as Kubernetes reads it.
pub(super) fn is_dns_label(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 63 && name.starts_with(plain) && name.ends_with(plain) && name.chars().all(|c| plain(c) || c == '-')
}

fn description(text: Option<&At<String>>, reader: &mut Reader<'_>) {
    if let Some(long) = text.filter(|text| text.value.chars().count() > DESCRIPTION_MAX) {
        let message = format!("a description has at most {DESCRIPTION_MAX} characters");
        reader.report(Finding::new(Code::OutOfRange, long.span, message));
    }
}

fn duplicate(what: &str, name: &At<String>, first: Span, reader: &mut Reader<'_>) {
    let line = if reader.is_full() { 0 } else { line_of(reader.text, first) };
    let message = format!("{what} `{}` exists already, on line {line}", name.value);
    reader.report(Finding::new(Code::Duplicate, name.span, message).help("give each its own name"));
}
