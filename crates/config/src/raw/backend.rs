//! Backends: where they are, how they are called, when they are left alone.

use mainstay_core::route::Protocol;
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::code::Code;
use crate::finding::Finding;
use crate::read::{Flag, Kind, List, Reader, Text, choice, section};
use crate::tree::{Node, Value};
use crate::values::{Dur, File, Positive, SecretRef, Share, Url, UrlPath, Wait, Whole};

section! {
    /// Something that answers requests.
    Backend = "a backend" {
        /// Base URL, `http[s]://host[:port][/prefix]`. Give this or `endpoints`.
        url: Url,
        /// Several base URLs: the less loaded of two is called, failing ones are left out, at most half and never the
        /// last.
        endpoints: List<Url>,
        /// What it speaks: open-inference, open-inference-grpc, openai, anthropic or http.
        protocol (required): ProtocolName,
        /// The model's name at the backend. Default: what the request says.
        model: Text,
        /// The model's version, or `registry`: whichever is the model's champion. Default: what the request says.
        version: Text,
        /// What it shares its fate with, such as a region or a provider: where several backends of a group fail and none answers, all of it is left
        /// alone, and tried again by one call at a time. Default: it stands alone.
        group: Text,
        /// Keys that are sent to it, used in turn. One that is refused, spent or asked too often rests, and the others go on.
        keys: List<SecretRef>,
        /// PEM file with extra certificate authorities for `https` URLs.
        ca: File,
        /// Whether it is spoken to in HTTP/2 without TLS. Default: true for open-inference-grpc, otherwise false.
        h2c: Flag,
        /// How it is asked whether it is well. Default: it is not asked.
        health: Health,
        /// How many calls at once. Default: `knee: {}`.
        limit: Limit,
        /// When it is left alone.
        breaker: Breaker,
        /// How often one level tries it.
        retry: Retry,
        /// How long a connection may take to open. Default: 1s.
        connect_timeout: Dur,
        /// Longest context in tokens, for language models. Default: unknown.
        context: Whole<1, 1_000_000_000>,
        /// Whether it accepts a started answer to continue. Default: false.
        prefill: Flag,
    }
}

choice! {
    /// What a backend speaks.
    ProtocolName = "a protocol" {
        "open-inference" => Protocol::OpenInference,
        "open-inference-grpc" => Protocol::OpenInferenceGrpc,
        "openai" => Protocol::Openai,
        "anthropic" => Protocol::Anthropic,
        "http" => Protocol::Http,
    } -> Protocol
}

section! {
    /// How a component is asked whether it is well.
    Health = "`health`" {
        /// Path that answers 2xx when well; over gRPC a method that says so, `/inference.GRPCInferenceService/ServerReady`.
        path (required): UrlPath,
        /// How often. Default: 2s.
        every: Dur,
        /// How long an answer may take. Default: 1s.
        timeout: Dur,
    }
}

section! {
    /// When a backend is left alone.
    Breaker = "`breaker`" {
        /// Hard failures in a row that open the breaker of a backend that was well; one that is known to fail now and
        /// then needs more. Default: 5.
        consecutive: Whole<2, 10_000>,
        /// How far back calls are judged. Default: 10s.
        window: Dur,
        /// Fewest calls for a judgement by shares. Default: 20.
        min_calls: Whole<5, 1_000_000>,
        /// Share of failures that opens, with 95 % certainty. Default: 0.4.
        failure_share: Share,
        /// A call that takes longer is slow. Default: 10s.
        slow_after: Dur,
        /// Share of slow calls that opens. Default: 0.8.
        slow_share: Share,
        /// How long it stays open for the first time. Default: 5s.
        open: Dur,
        /// Longest time open. Default: 30s.
        open_max: Dur,
        /// Successes in a row that close it. Default: 3.
        successes: Whole<1, 1000>,
        /// Most calls at once while it is half-open. Default: 8.
        half_open_max: Whole<1, 1000>,
        /// Once it has closed, or its route is back at its level, its share of the requests grows from a tenth to the
        /// whole over this time; the others go on to the next entry. Default: 0s, all at once.
        ramp: Wait,
    }
}

section! {
    /// How often one level tries a backend.
    Retry = "`retry`" {
        /// Attempts, the first included. Default: 2.
        attempts: Whole<1, 10>,
    }
}

/// How many calls at once: `none`, or a map with the one key that names the rule.
pub(crate) struct Limit;

/// What is written under `limit`.
#[derive(Debug)]
pub(crate) enum LimitWord {
    None,
    Rule(Box<LimitRule>),
}

impl Kind for Limit {
    type Out = LimitWord;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<LimitWord> {
        match &node.value {
            Value::Text(word) if word == "none" => Some(LimitWord::None),
            Value::Text(word) => {
                let rule = crate::suggest::nearest(word, ["knee", "ttft", "latency", "fixed"]).unwrap_or("knee");
                let finding = Finding::new(Code::UnknownWord, node.span, format!("`{word}` is not a limit"));
                reader.report(finding.help(format!("write `none`, or a map such as `{{ {rule}: {{}} }}`")));
                None
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
                LimitRule::read(node, reader).map(|rule| LimitWord::Rule(Box::new(rule)))
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "const": "none" }, LimitRule::schema(generator)] })
    }
}

section! {
    /// How many calls at once; exactly one of these.
    LimitRule = "`limit`" {
        /// The most that goes through before answers slow down, found by measurement.
        knee: Knee,
        /// As many as keep the time to the first token at its target.
        ttft: Ttft,
        /// As many as keep the 95th percentile of latency at its target.
        latency: Latency,
        /// A fixed number.
        fixed: Fixed,
    }
}

section! {
    /// A limit that is measured.
    Knee = "`knee`" {
        /// Where it starts. Default: 20.
        initial: Whole<1, 1_000_000>,
        /// Never less. Default: 2.
        min: Whole<1, 1_000_000>,
        /// Never more. Default: 1000.
        max: Whole<1, 1_000_000>,
    }
}

section! {
    /// A limit by the time to the first token.
    Ttft = "`ttft`" {
        /// The target of its 80th percentile. Default: 500ms.
        target: Dur,
    }
}

section! {
    /// A limit by latency.
    Latency = "`latency`" {
        /// The target of its 95th percentile. Default: 100ms.
        target: Dur,
        /// The limit to start from. Default: 64.
        base: Whole<1, 1_000_000>,
        /// Never less than this times `base`. Default: 0.5.
        floor: Positive,
        /// Never more than this times `base`. Default: 1.5.
        ceiling: Positive,
    }
}

section! {
    /// A limit that does not move.
    Fixed = "`fixed`" {
        /// Calls at once. Default: 64.
        max: Whole<1, 1_000_000>,
    }
}
