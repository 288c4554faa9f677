//! What is kept of single requests, what is taken out of them, and where they go.

use mainstay_core::observe::redact::Detector;
use mainstay_core::plan::Format;

use crate::read::{Flag, List, Named, Text, choice, section};
use crate::values::{Dur, File, Rate, Ratio, SecretRef, Share, Size, Url, Whole};

section! {
    /// What is kept of single requests, what is taken out of them, and where they go.
    Observability = "`observability`" {
        /// Which requests are kept.
        sample: Sample,
        /// What is taken out of them, before they go anywhere.
        redact: Redact,
        /// Files that they go to. Default: none.
        files: Files,
        /// A collector of OpenTelemetry that they go to. Default: none.
        otlp: Otlp,
    }
}

section! {
    /// Which requests are kept.
    Sample = "`sample`" {
        /// The uniform share. Default: 1%.
        log: Ratio,
        /// How many the uniform reservoir holds. Default: 10000.
        reservoir: Whole<0, 1_000_000>,
        /// Below this confidence a request is kept. Default: 0.5.
        low_confidence: Share,
        /// Requests of each reason (error, slower than an objective, degraded, low confidence), on average. Default: 5/s.
        per_reason: Rate,
    }
}

section! {
    /// What is taken out of kept requests.
    Redact = "`redact`" {
        /// Features whose words are kept, by reference. Default: none; numbers are kept in any case.
        allow: List<Text>,
        /// What is looked for in texts. Default: all.
        detect: List<Detect>,
        /// Keep predictions that are texts. Default: false.
        content: Flag,
        /// Show clients by pseudonyms; `key` makes them. Default: false.
        pseudonyms: Flag,
        /// The key of pseudonyms.
        key: SecretRef,
    }
}

choice! {
    /// What is looked for in texts.
    Detect = "what is looked for" {
        "email" => Detector::Email,
        "ip" => Detector::Ip,
        "card" => Detector::Card,
        "iban" => Detector::Iban,
        "token" => Detector::Token,
        "phone" => Detector::Phone,
    } -> Detector
}

section! {
    /// Files that kept requests go to.
    Files = "`files`" {
        /// The folder.
        dir (required): File,
        /// jsonl or parquet. Default: jsonl.
        format: FormatName,
        /// A file ends with so many bytes. Default: 100MiB.
        size: Size,
        /// Or when it is so old. Default: 1h.
        age: Dur,
        /// So many are kept. Default: 20.
        keep: Whole<1, 100_000>,
    }
}

choice! {
    /// Formats of files.
    FormatName = "a format" {
        "jsonl" => Format::Jsonl,
        "parquet" => Format::Parquet,
    } -> Format
}

section! {
    /// A collector of OpenTelemetry, over HTTP.
    Otlp = "`otlp`" {
        /// Its base URL, `http://`.
        endpoint (required): Url,
        /// Headers that it wants to see.
        headers: Named<SecretRef>,
        /// Send a span of each kept request. Default: true.
        traces: Flag,
        /// Send a log record of each kept request. Default: false.
        logs: Flag,
        /// How often to send metrics. Default: never.
        metrics: Dur,
        /// How long it may take. Default: 5s.
        timeout: Dur,
    }
}
