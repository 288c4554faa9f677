//! How a backend of a drill behaves.

use std::time::Duration;

use mainstay_core::drill::engine::{Lengths, Long, Promise};
use mainstay_core::drill::{Engine, Model, Servers};

use super::raw;
use crate::code::Code;
use crate::finding::Finding;
use crate::read::Reader;
use crate::span::{At, Span};

/// The model of a backend: servers, or the engine of a language model.
pub(super) fn model(raw: raw::Model, span: Span, reader: &mut Reader<'_>) -> Option<Model> {
    let of_servers = raw.servers.is_some() || raw.time.is_some() || raw.spread.is_some() || raw.drag.is_some();
    let of_servers = of_servers || raw.parts.is_some();
    let of_engines = raw.prompt.is_some() || raw.output.is_some() || raw.long.is_some() || raw.promise.is_some();
    let (servers, time) = (raw.servers.as_ref(), raw.time.as_ref());
    match (servers, time, &raw.engine) {
        (Some(servers), Some(time), None) if !of_engines => {
            if let Some(parts) = raw.parts.as_ref().filter(|parts| parts.value > servers.value) {
                let message = format!("{} servers cannot be in {} parts", servers.value, parts.value);
                reader.report(Finding::new(Code::OutOfRange, parts.span, message).help("a part has at least one"));
            }
            Some(Model::Servers(Servers {
                servers: u32::try_from(servers.value).unwrap_or(u32::MAX),
                mean: time.value,
                spread: spread(raw.spread),
                drag: raw.drag.map_or(0.0, |it| it.value.max(0.0)),
                parts: raw.parts.map_or(1, |it| u32::try_from(it.value).unwrap_or(1)),
            }))
        }
        (None, None, Some(_)) if !of_servers => Some(Model::Engine(engine(raw))),
        _ => {
            let message = "a backend is `servers` with a `time`, or an `engine`";
            let help = "write `{ servers: 32, time: 50ms }`, or `{ engine: {}, prompt: { median: 400 } }`";
            reader.report(Finding::new(Code::ExactlyOne, span, message).help(help));
            None
        }
    }
}

/// A sigma within reason.
pub(super) fn spread(written: Option<At<f64>>) -> f64 {
    written.map_or(0.0, |it| it.value.clamp(0.0, 3.0))
}

fn engine(raw: raw::Model) -> Engine {
    let engine = raw.engine.map(|it| it.value).unwrap_or_default();
    let whole =
        |it: Option<At<u64>>, default: u32| it.map_or(default, |it| u32::try_from(it.value).unwrap_or(u32::MAX));
    let time = |it: Option<At<Duration>>, default: Duration| it.map_or(default, |it| it.value);
    let promise = raw.promise.map(|it| it.value).unwrap_or_default();
    Engine {
        sequences: whole(engine.sequences, 64),
        cache: whole(engine.cache, 76_800),
        chunk: whole(engine.chunk, 2_048),
        step: time(engine.step, Duration::from_millis(12)),
        decode: time(engine.decode, Duration::from_micros(200)),
        prefill: time(engine.prefill, Duration::from_micros(60)),
        prompt: lengths(raw.prompt, Lengths { median: 400.0, spread: 0.8, max: 8_000 }),
        output: lengths(raw.output, Lengths { median: 150.0, spread: 1.0, max: 2_048 }),
        long: raw.long.map_or(Long::default(), |it| Long {
            share: it.value.share.map_or(0.0, |it| it.value),
            prompt: whole(it.value.prompt, 0),
        }),
        promise: Promise {
            first_token: time(promise.first_token, Duration::from_secs(2)),
            prompt_token: time(promise.prompt_token, Duration::ZERO),
            token: time(promise.token, Duration::from_millis(60)),
        },
    }
}

fn lengths(raw: Option<At<raw::Lengths>>, default: Lengths) -> Lengths {
    let Some(At { value: raw, .. }) = raw else { return default };
    Lengths {
        median: raw.median.map_or(default.median, |it| it.value),
        spread: spread(raw.spread),
        max: raw.max.map_or(1_000_000, |it| u32::try_from(it.value).unwrap_or(u32::MAX)),
    }
}
