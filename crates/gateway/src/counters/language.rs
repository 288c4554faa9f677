//! What is counted of language models, under the names of OpenTelemetry's conventions for generative AI.
//!
//! The times until and between tokens are those of answers that came to their end, as the conventions have it: what broke off
//! stands beside them, in the counts of streams.

use std::collections::BTreeMap;
use std::mem::take;

use mainstay_core::llm::Usage;
use mainstay_core::metric::{
    Family, GENAI_DURATION, GENAI_FIRST_TOKEN, GENAI_PER_TOKEN, GENAI_TOKENS, Histogram, Kind, Sample, Value,
};
use mainstay_core::plan::Plan;

use super::{Ended, Ending};

/// The counts of one worker: by route, backend (`None`: no model answered) and operation.
pub(crate) type Languages = BTreeMap<(usize, Option<usize>, &'static str), Language>;

/// Who spoke, by name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Speaker {
    route: String,
    operation: &'static str,
    /// The model and who provides it; `None`: no model answered.
    model: Option<(String, &'static str)>,
}

/// How one model did on one route.
#[derive(Debug)]
pub(crate) struct Language {
    /// By status, 0 for all successes: from the head of the request to the end of the answer.
    durations: BTreeMap<u16, Histogram>,
    /// The same from the call to the model that answered.
    calls: BTreeMap<u16, Histogram>,
    first_token: Histogram,
    per_token: Histogram,
    input: Histogram,
    output: Histogram,
    streams: Streams,
}

/// Streams that began, and how they ended.
#[derive(Clone, Copy, Debug, Default)]
struct Streams {
    begun: u64,
    complete: u64,
    broken: u64,
    left: u64,
    /// Events that could not be read.
    malformed: u64,
}

impl Streams {
    fn absorb(&mut self, theirs: &mut Streams) {
        let theirs = take(theirs);
        self.begun += theirs.begun;
        self.complete += theirs.complete;
        self.broken += theirs.broken;
        self.left += theirs.left;
        self.malformed += theirs.malformed;
    }
}

impl Default for Language {
    fn default() -> Language {
        Language {
            durations: BTreeMap::new(),
            calls: BTreeMap::new(),
            first_token: Histogram::new(GENAI_FIRST_TOKEN),
            per_token: Histogram::new(GENAI_PER_TOKEN),
            input: Histogram::new(GENAI_TOKENS),
            output: Histogram::new(GENAI_TOKENS),
            streams: Streams::default(),
        }
    }
}

impl Language {
    /// A stream of it began.
    pub(crate) fn begin_stream(&mut self) {
        self.streams.begun += 1;
    }

    /// So many of its events could not be read.
    pub(crate) fn pass_over(&mut self, events: u64) {
        self.streams.malformed += events;
    }

    /// Tokens of it went into an answer that another one ended.
    pub(crate) fn spend(&mut self, usage: Usage) {
        for (histogram, tokens) in [(&mut self.input, usage.input), (&mut self.output, usage.output)] {
            if let Some(tokens) = tokens {
                histogram.observe(tokens as f64);
            }
        }
    }

    pub(super) fn end(&mut self, ended: &Ended) {
        if ended.streamed {
            match ended.ending {
                Ending::BrokenOff => self.streams.broken += 1,
                Ending::Cancelled => self.streams.left += 1,
                Ending::Answered | Ending::Shed | Ending::CallersFault => self.streams.complete += 1,
            }
        }
        let whole = ended.ending == Ending::Answered && (200..300).contains(&ended.code);
        let status = match ended.ending {
            Ending::Answered | Ending::Shed | Ending::CallersFault if whole => 0,
            Ending::Answered | Ending::Shed | Ending::CallersFault => ended.code,
            Ending::BrokenOff => 502,
            Ending::Cancelled => 499,
        };
        let durations = self.durations.entry(status).or_insert_with(|| Histogram::new(GENAI_DURATION));
        durations.observe(ended.duration.as_secs_f64());
        if let Some(took) = ended.inference {
            let calls = self.calls.entry(status).or_insert_with(|| Histogram::new(GENAI_DURATION));
            calls.observe(took.as_secs_f64());
        }
        self.spend(ended.usage);
        if let Some(first) = ended.first_part.filter(|_| whole) {
            self.first_token.observe(first.as_secs_f64());
            if ended.tokens() > 1 {
                let rest = ended.duration.saturating_sub(first);
                self.per_token.observe(rest.as_secs_f64() / f64::from(ended.tokens() - 1));
            }
        }
    }

    fn absorb(&mut self, counted: &mut Language) {
        for (ours, theirs) in [(&mut self.durations, &mut counted.durations), (&mut self.calls, &mut counted.calls)] {
            for (status, theirs) in theirs {
                ours.entry(*status).or_insert_with(|| Histogram::new(GENAI_DURATION)).absorb(theirs);
            }
        }
        self.first_token.absorb(&mut counted.first_token);
        self.per_token.absorb(&mut counted.per_token);
        self.input.absorb(&mut counted.input);
        self.output.absorb(&mut counted.output);
        self.streams.absorb(&mut counted.streams);
    }
}

/// Takes over what a worker counted under `plan`, and leaves it empty.
pub(super) fn absorb(all: &mut BTreeMap<Speaker, Language>, plan: &Plan, counted: &mut Languages) {
    for ((route, backend, operation), counted) in counted {
        let model = backend.map(|at| {
            let backend = &plan.backends[at];
            (backend.model.clone().unwrap_or_else(|| backend.name.clone()), backend.protocol.name())
        });
        let speaker = Speaker { route: plan.routes[*route].name.clone(), operation, model };
        all.entry(speaker).or_default().absorb(counted);
    }
}

type Labels = Vec<(&'static str, String)>;

fn labels(speaker: &Speaker) -> Labels {
    let mut labels = vec![
        ("route", speaker.route.clone()),
        ("gen_ai_operation_name", speaker.operation.to_owned()),
        ("gen_ai_provider_name", speaker.model.as_ref().map_or("mainstay", |(_, provider)| provider).to_owned()),
    ];
    if let Some((model, _)) = &speaker.model {
        labels.push(("gen_ai_request_model", model.clone()));
    }
    labels
}

fn with(speaker: &Speaker, name: &'static str, value: impl Into<String>) -> Labels {
    let mut labels = labels(speaker);
    labels.push((name, value.into()));
    labels
}

fn family(name: &'static str, help: &'static str, kind: Kind, of: impl Iterator<Item = (Labels, Value)>) -> Family {
    Family { name, help, kind, samples: of.map(|(labels, value)| Sample { labels, value }).collect() }
}

fn histograms(name: &'static str, help: &'static str, of: impl Iterator<Item = (Labels, Histogram)>) -> Family {
    let of = of.filter(|(_, histogram)| histogram.count() > 0);
    family(name, help, Kind::Histogram, of.map(|(labels, histogram)| (labels, Value::Histogram(histogram))))
}

/// All families about language models.
pub(super) fn families(all: &BTreeMap<Speaker, Language>) -> Vec<Family> {
    let each = |pick: fn(&Language) -> &Histogram| all.iter().map(move |(s, l)| (labels(s), pick(l).clone()));
    let by_status = |pick: fn(&Language) -> &BTreeMap<u16, Histogram>| {
        all.iter().flat_map(move |(speaker, language)| {
            pick(language).iter().map(move |(status, seen)| match status {
                0 => (labels(speaker), seen.clone()),
                status => (with(speaker, "error_type", status.to_string()), seen.clone()),
            })
        })
    };
    let tokens = all.iter().flat_map(|(speaker, language)| {
        let of = |kind: &str, seen: &Histogram| (with(speaker, "gen_ai_token_type", kind), seen.clone());
        [of("input", &language.input), of("output", &language.output)]
    });
    let mut families = vec![
        histograms(
            "gen_ai_server_time_to_first_token",
            "From the head of a request to the first token of a stream that came to its end, in seconds.",
            each(|language| &language.first_token),
        ),
        histograms(
            "gen_ai_server_time_per_output_token",
            "Between the tokens of a stream that came to its end, on average, in seconds.",
            each(|language| &language.per_token),
        ),
        histograms(
            "gen_ai_server_request_duration",
            "From the head of a request for a language model to the end of its answer, in seconds.",
            by_status(|language| &language.durations),
        ),
        histograms(
            "gen_ai_client_operation_duration",
            "From the call to the language model that answered to the end of its answer, in seconds.",
            by_status(|language| &language.calls),
        ),
        histograms("gen_ai_client_token_usage", "Tokens of requests and answers, as the model counted them.", tokens),
    ];
    families.extend(streams(all));
    families
}

/// Streams by route, whichever model gave them.
fn streams(all: &BTreeMap<Speaker, Language>) -> [Family; 4] {
    let mut routes = BTreeMap::<&str, Streams>::new();
    for (speaker, language) in all {
        routes.entry(&speaker.route).or_default().absorb(&mut language.streams.clone());
    }
    routes.retain(|_, streams| streams.begun > 0);
    let label = |route: &str| vec![("route", route.to_owned())];
    let begun = routes.iter().map(|(route, streams)| (label(route), Value::Count(streams.begun)));
    let ended = routes.iter().flat_map(|(route, streams)| {
        [("complete", streams.complete), ("broken", streams.broken), ("caller_left", streams.left)].map(
            |(how, count)| {
                let mut labels = label(route);
                labels.push(("outcome", how.to_owned()));
                (labels, Value::Count(count))
            },
        )
    });
    let malformed = routes.iter().filter(|(_, streams)| streams.malformed > 0);
    let malformed = malformed.map(|(route, streams)| (label(route), Value::Count(streams.malformed)));
    let ratio = routes.iter().filter_map(|(route, streams)| {
        let ended = streams.complete + streams.broken;
        (ended > 0).then(|| (label(route), Value::Gauge(streams.complete as f64 / ended as f64)))
    });
    [
        family("mainstay_streams_begun", "Streams of language models whose beginning was shown.", Kind::Counter, begun),
        family("mainstay_streams_ended", "The same by how they ended.", Kind::Counter, ended),
        family(
            "mainstay_stream_events_malformed",
            "Events of those streams that could not be read, and were passed over.",
            Kind::Counter,
            malformed,
        ),
        family(
            "mainstay_streams_complete_ratio",
            "Of the streams that ended and whose callers stayed, the share that was complete, since the start.",
            Kind::Gauge,
            ratio,
        ),
    ]
}
