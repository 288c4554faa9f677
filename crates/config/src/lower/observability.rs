//! `observability`: pseudonyms have a key, files are large enough to hold something.

use std::time::Duration;

use mainstay_core::observe::redact::Redaction;
use mainstay_core::observe::sample::Rules;
use mainstay_core::plan::{Files, Format, Observability, Otlp};

use super::{entries, no_effect, value, value_or};
use crate::code::Code;
use crate::finding::Finding;
use crate::raw::observability as raw;
use crate::read::Reader;
use crate::span::At;

/// A file holds at least a few requests.
const SIZE_MIN: usize = 64 << 10;

pub(super) fn observability(raw: Option<&At<raw::Observability>>, reader: &mut Reader<'_>) -> Observability {
    let default = Observability::default();
    let Some(At { value: raw, .. }) = raw else { return default };
    let sample = raw.sample.as_ref().map(|sample| &sample.value);
    let rules = Rules {
        log: value_or(sample.and_then(|sample| sample.log.as_ref()), default.rules.log),
        low_confidence: sample.and_then(|sample| value(sample.low_confidence.clone())).or(default.rules.low_confidence),
        per_reason: value_or(sample.and_then(|sample| sample.per_reason.as_ref()), default.rules.per_reason),
    };
    let reservoir = sample.and_then(|sample| sample.reservoir.as_ref());
    let redact = raw.redact.as_ref().map(|redact| &redact.value);
    Observability {
        rules,
        reservoir: reservoir.map_or(default.reservoir, |most| most.value as usize),
        redaction: redact.map_or(default.redaction, |redact| redaction(redact, reader)),
        key: redact.and_then(|redact| value(redact.key.clone())),
        files: raw.files.as_ref().and_then(|files| self::files(&files.value, reader)),
        otlp: raw.otlp.as_ref().and_then(|otlp| self::otlp(&otlp.value, reader)),
    }
}

fn redaction(raw: &raw::Redact, reader: &mut Reader<'_>) -> Redaction {
    let default = Redaction::default();
    let pseudonyms = value_or(raw.pseudonyms.as_ref(), false);
    match (&raw.pseudonyms, &raw.key) {
        (Some(asked), None) if asked.value => {
            let finding = Finding::new(Code::MissingKey, asked.span, "pseudonyms are made with a key");
            reader.report(finding.help("give `key: env:NAME` beside it"));
        }
        (asked, Some(key)) if !asked.as_ref().is_some_and(|asked| asked.value) => {
            no_effect(key.span, "nothing is made with this key unless `pseudonyms: true`", reader);
        }
        _ => {}
    }
    let detect = raw.detect.as_ref().map(|kinds| kinds.value.iter().map(|kind| kind.value).collect());
    let allow = raw.allow.as_ref().map(|names| names.value.iter().map(|name| name.value.clone()).collect());
    Redaction {
        allow: Some(allow.unwrap_or_default()),
        detect: detect.unwrap_or(default.detect),
        content: value_or(raw.content.as_ref(), false),
        pseudonyms,
    }
}

fn files(raw: &raw::Files, reader: &mut Reader<'_>) -> Option<Files> {
    if let Some(size) = raw.size.as_ref().filter(|size| size.value < SIZE_MIN) {
        reader.report(Finding::new(Code::OutOfRange, size.span, "a file needs 64KiB at least"));
    }
    Some(Files {
        dir: raw.dir.as_ref()?.value.clone(),
        format: value_or(raw.format.as_ref(), Format::Jsonl),
        max_bytes: value_or(raw.size.as_ref(), 100 << 20) as u64,
        max_age: value_or(raw.age.as_ref(), Duration::from_hours(1)),
        keep: raw.keep.as_ref().map_or(20, |keep| keep.value as usize),
    })
}

fn otlp(raw: &raw::Otlp, reader: &mut Reader<'_>) -> Option<Otlp> {
    let endpoint = raw.endpoint.as_ref()?;
    if !endpoint.value.starts_with("http://") {
        let message = "only http is spoken to a collector";
        reader.report(Finding::new(Code::Url, endpoint.span, message).help("run a collector on this machine"));
    }
    let headers = entries(raw.headers.as_ref()).iter();
    Some(Otlp {
        endpoint: endpoint.value.clone(),
        headers: headers
            .filter_map(|entry| Some((entry.name.value.to_ascii_lowercase(), entry.value.as_ref()?.value.clone())))
            .collect(),
        traces: value_or(raw.traces.as_ref(), true),
        logs: value_or(raw.logs.as_ref(), false),
        metrics: value(raw.metrics.clone()),
        timeout: value_or(raw.timeout.as_ref(), Duration::from_secs(5)),
    })
}
