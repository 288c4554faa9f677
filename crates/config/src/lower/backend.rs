//! Backends.

use std::time::Duration;

use mainstay_core::plan::{Backend, Health, SecretSource};
use mainstay_core::resilience::keys::KEYS_MAX;
use mainstay_core::resilience::{breaker, limiter};
use mainstay_core::route::Protocol;

use super::{check_name, empty, entries, no_effect, value, value_or};
use crate::code::Code;
use crate::finding::Finding;
use crate::raw::backend as raw;
use crate::read::{Entry, Reader};
use crate::span::{At, Span};

const ATTEMPTS: u64 = 2;
const CONNECT: Duration = Duration::from_secs(1);
const HEALTH_EVERY: Duration = Duration::from_secs(2);
const HEALTH_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) fn backends(raw: Option<&At<Vec<Entry<raw::Backend>>>>, reader: &mut Reader<'_>) -> Option<Vec<Backend>> {
    // Each is checked, also after one was refused.
    let lowered: Vec<Option<Backend>> = entries(raw).iter().map(|entry| backend(entry, reader)).collect();
    groups(entries(raw), reader);
    lowered.into_iter().collect()
}

/// A group of one shares its fate with nobody.
fn groups(entries: &[Entry<raw::Backend>], reader: &mut Reader<'_>) {
    let groups: Vec<&At<String>> =
        entries.iter().filter_map(|entry| entry.value.as_ref()?.value.group.as_ref()).collect();
    for group in &groups {
        check_name(group, "a group", reader);
        if groups.iter().filter(|other| other.value == group.value).count() == 1 {
            no_effect(group.span, "no other backend is of this group", reader);
        }
    }
}

fn backend(entry: &Entry<raw::Backend>, reader: &mut Reader<'_>) -> Option<Backend> {
    check_name(&entry.name, "a backend", reader);
    let raw = &entry.value.as_ref()?.value;
    let endpoints = endpoints(raw, entry.name.span, reader);
    let protocol = raw.protocol.as_ref().map(|protocol| protocol.value);
    let follows_registry = follows_registry(raw, reader);
    let health = raw.health.as_ref().map(health);
    let limit = raw.limit.as_ref().map_or(Some(limiter::Config::default()), |limit| self::limit(limit, reader));
    let ramp = raw.breaker.as_ref().and_then(|raw| raw.value.ramp.as_ref());
    let breaker = breaker(raw.breaker.as_ref(), reader);
    if let Some(endpoints) = &endpoints {
        transport(raw, endpoints, reader);
    }
    keys(raw, reader);
    Some(Backend {
        name: entry.name.value.clone(),
        endpoints: endpoints?,
        protocol: protocol?,
        model: value(raw.model.clone()),
        version: value(raw.version.clone()).filter(|_| !follows_registry),
        follows_registry,
        group: value(raw.group.clone()),
        keys: raw.keys.iter().flat_map(|keys| &keys.value).map(|key| key.value.clone()).collect(),
        ca: value(raw.ca.clone()),
        h2c: value_or(raw.h2c.as_ref(), protocol.is_some_and(Protocol::is_grpc)),
        health: health.flatten(),
        limit: limit?,
        breaker,
        ramp: value_or(ramp, Duration::ZERO),
        attempts: raw.retry.as_ref().map_or(ATTEMPTS, |retry| value_or(retry.value.attempts.as_ref(), ATTEMPTS)) as u32,
        connect_timeout: value_or(raw.connect_timeout.as_ref(), CONNECT),
        context: value(raw.context.clone()),
        prefill: value_or(raw.prefill.as_ref(), false),
    })
}

/// `version: registry` is whichever version is the model's champion.
fn follows_registry(raw: &raw::Backend, reader: &mut Reader<'_>) -> bool {
    let Some(version) = raw.version.as_ref().filter(|version| version.value == "registry") else { return false };
    if raw.model.is_none() {
        let finding = Finding::new(Code::MissingKey, version.span, "the champion of which model?");
        reader.report(finding.help("name it: `model: NAME`"));
    }
    true
}

fn endpoints(raw: &raw::Backend, name: Span, reader: &mut Reader<'_>) -> Option<Vec<String>> {
    let (one, several) = (raw.given.contains("url"), raw.given.contains("endpoints"));
    if one == several {
        let message =
            if one { "`url` and `endpoints` exclude each other" } else { "a backend needs `url` or `endpoints`" };
        let span = raw.endpoints.as_ref().filter(|_| one).map_or(name, |endpoints| endpoints.span);
        reader.report(Finding::new(Code::ExactlyOne, span, message).help("give one of them"));
        return None;
    }
    if let Some(url) = &raw.url {
        return Some(vec![url.value.clone()]);
    }
    let endpoints = raw.endpoints.as_ref()?;
    if endpoints.value.is_empty() {
        empty(endpoints.span, "`endpoints`", reader);
    }
    super::check_distinct(&endpoints.value, "endpoint", reader);
    Some(endpoints.value.iter().map(|url| url.value.clone()).collect())
}

/// Each key is one of a bounded number, and written once: a second time it would be taken for another.
fn keys(raw: &raw::Backend, reader: &mut Reader<'_>) {
    let Some(keys) = &raw.keys else { return };
    if keys.value.len() > KEYS_MAX {
        let message = format!("a backend has at most {KEYS_MAX} keys, not {}", keys.value.len());
        reader.report(Finding::new(Code::OutOfRange, keys.span, message));
    }
    let mut seen: Vec<&SecretSource> = Vec::new();
    for key in &keys.value {
        if seen.contains(&&key.value.source) && !reader.is_full() {
            let message = format!("`{}` is written twice", key.value.source);
            reader.report(Finding::new(Code::Duplicate, key.span, message).help("give each key once"));
        }
        seen.push(&key.value.source);
    }
}

/// Keys about the transport that the URLs do not call for.
fn transport(raw: &raw::Backend, endpoints: &[String], reader: &mut Reader<'_>) {
    let https = endpoints.iter().any(|url| url.starts_with("https://"));
    let http = endpoints.iter().any(|url| url.starts_with("http://"));
    if let Some(ca) = raw.ca.as_ref().filter(|_| !https) {
        no_effect(ca.span, "`ca` is for `https` URLs, and there is none here", reader);
    }
    if let Some(h2c) = raw.h2c.as_ref().filter(|h2c| h2c.value && !http) {
        no_effect(h2c.span, "`h2c` is for `http` URLs, and there is none here", reader);
    }
    let grpc = raw.protocol.as_ref().is_some_and(|protocol| protocol.value.is_grpc());
    if let Some(h2c) = raw.h2c.as_ref().filter(|h2c| grpc && http && !h2c.value) {
        let finding = Finding::new(Code::Grpc, h2c.span, "gRPC needs HTTP/2");
        reader.report(finding.help("leave `h2c` out: it is true for open-inference-grpc"));
    }
}

pub(super) fn health(raw: &At<raw::Health>) -> Option<Health> {
    Some(Health {
        path: raw.value.path.as_ref()?.value.clone(),
        every: value_or(raw.value.every.as_ref(), HEALTH_EVERY),
        timeout: value_or(raw.value.timeout.as_ref(), HEALTH_TIMEOUT),
    })
}

pub(super) fn breaker(raw: Option<&At<raw::Breaker>>, reader: &mut Reader<'_>) -> breaker::Config {
    let default = breaker::Config::default();
    let Some(raw) = raw.map(|raw| &raw.value) else { return default };
    let config = breaker::Config {
        consecutive: whole(raw.consecutive.as_ref(), default.consecutive),
        window: value_or(raw.window.as_ref(), default.window),
        min_calls: value_or(raw.min_calls.as_ref(), default.min_calls),
        failure_share: value_or(raw.failure_share.as_ref(), default.failure_share),
        slow_after: value_or(raw.slow_after.as_ref(), default.slow_after),
        slow_share: value_or(raw.slow_share.as_ref(), default.slow_share),
        open: value_or(raw.open.as_ref(), default.open),
        open_max: value_or(raw.open_max.as_ref(), default.open_max),
        successes: whole(raw.successes.as_ref(), default.successes),
        half_open_max: whole(raw.half_open_max.as_ref(), default.half_open_max),
        ..default
    };
    if let Some(open) = raw.open.as_ref().filter(|_| config.open > config.open_max) {
        let message = format!("`open` is longer than `open_max` ({:?})", config.open_max);
        reader.report(Finding::new(Code::Order, open.span, message).help("`open` doubles up to `open_max`"));
    }
    for share in [&raw.failure_share, &raw.slow_share].into_iter().flatten().filter(|share| share.value == 0.0) {
        let finding = Finding::new(Code::OutOfRange, share.span, "a share of 0 would open the breaker always");
        reader.report(finding);
    }
    config
}

fn whole(field: Option<&At<u64>>, default: u32) -> u32 {
    field.map_or(default, |field| field.value as u32)
}

fn limit(raw: &At<raw::LimitWord>, reader: &mut Reader<'_>) -> Option<limiter::Config> {
    let rule = match &raw.value {
        raw::LimitWord::None => return Some(limiter::Config::None),
        raw::LimitWord::Rule(rule) => rule,
    };
    if rule.given.len() != 1 {
        let finding = Finding::new(Code::ExactlyOne, raw.span, "a limit is exactly one of knee, ttft, latency, fixed")
            .help("`knee: {}` fits most backends; `limit: none` has no limit");
        reader.report(finding);
        return None;
    }
    let knee = rule.knee.as_ref().map(|knee| self::knee(knee, reader));
    let ttft = rule.ttft.as_ref().map(|ttft| match limiter::Config::TTFT {
        limiter::Config::Ttft { target } => {
            limiter::Config::Ttft { target: value_or(ttft.value.target.as_ref(), target) }
        }
        other => other,
    });
    let latency = rule.latency.as_ref().map(|latency| self::latency(latency, reader));
    let fixed = rule.fixed.as_ref().map(|fixed| match limiter::Config::FIXED {
        limiter::Config::Fixed { max } => limiter::Config::Fixed { max: whole(fixed.value.max.as_ref(), max) },
        other => other,
    });
    knee.or(ttft).or(latency).or(fixed)
}

fn knee(raw: &At<raw::Knee>, reader: &mut Reader<'_>) -> limiter::Config {
    let limiter::Config::Knee { initial, min, max } = limiter::Config::KNEE else { return limiter::Config::KNEE };
    let (least, most) = (whole(raw.value.min.as_ref(), min), whole(raw.value.max.as_ref(), max));
    let start = whole(raw.value.initial.as_ref(), initial.clamp(least.min(most), most));
    if !(least <= start && start <= most) {
        let message = format!("a knee needs min <= initial <= max, not {least} <= {start} <= {most}");
        reader.report(Finding::new(Code::Order, raw.span, message));
    }
    limiter::Config::Knee { initial: start, min: least, max: most }
}

fn latency(raw: &At<raw::Latency>, reader: &mut Reader<'_>) -> limiter::Config {
    let default = limiter::Config::LATENCY;
    let limiter::Config::Latency { target, base, floor, ceiling } = default else { return default };
    let low = value_or(raw.value.floor.as_ref(), floor);
    let high = value_or(raw.value.ceiling.as_ref(), ceiling);
    if low > 1.0 || high < 1.0 {
        let message = format!("a latency limit needs floor <= 1 <= ceiling, not {low} and {high}");
        reader.report(Finding::new(Code::Order, raw.span, message).help("both are times `base`"));
    }
    limiter::Config::Latency {
        target: value_or(raw.value.target.as_ref(), target),
        base: whole(raw.value.base.as_ref(), base),
        floor: low,
        ceiling: high,
    }
}
