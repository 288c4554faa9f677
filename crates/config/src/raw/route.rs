//! Routes: a path, a deadline, who comes first, and the ladder of answers.

use mainstay_core::plan::{AfterCommit, ConfidenceScale, FeatureMode, OnRefusal};
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::raw::local;
use crate::read::{Flag, Json, Kind, List, Reader, Text, choice, section};
use crate::tree::{Node, Value};
use crate::values::{
    Cel, ClassNumber, Dur, Header, LevelNumber, Pointer, Rate, Ratio, Real, Route as RoutePath, Share, Wait, Whole,
};

section! {
    /// A path and what it promises.
    Route = "a route" {
        /// Its name.
        name (required): Text,
        /// The path, exact, or a prefix that ends in `/*`.
        path (required): RoutePath,
        /// One deadline for all levels; a caller may shorten it, never lengthen it.
        deadline (required): Dur,
        /// Where an answer's prediction is found. Default: it is not read.
        prediction: Prediction,
        /// Where an answer's confidence is found. Default: it is not read.
        confidence: Confidence,
        /// CEL rules that place a request in a class; the first that holds, otherwise class 3.
        priority: List<Priority>,
        /// Bounds of the waiting line.
        queue: Queue,
        /// Who is turned away when a backend is full: `queue`, or thresholds of saturation. Default: queue.
        shed: ShedBy,
        /// The level from which on a request is shed and not served. Default: none, degrade rather than shed.
        shed_before: LevelNumber,
        /// How slowly the current level follows health.
        hysteresis: Hysteresis,
        /// Bounds of a streamed answer.
        stream: Stream,
        /// What is done where a provider's filter refuses what is asked: stop or next. Default: stop, the caller is told.
        on_content_refusal: OnRefusalWord,
        /// Whether a call whose answer is late to begin is made a second time beside the first, at another backend, endpoint or key of its
        /// level: true, or a map. Default: false.
        hedge: HedgeBy,
        /// Where requests hold what levels ask for: items, text, user, key.
        request: local::RequestPlaces,
        /// What answers, level by level; the last must be local and always answer.
        ladder (required): List<Entry>,
    }
}

section! {
    /// Where an answer's prediction is found.
    Prediction = "`prediction`" {
        /// JSON pointer into the answer.
        pointer (required): Pointer,
        /// What kind of prediction it is. Default: unknown.
        task: Task,
        /// From which value on a binary prediction is positive. Default: 0.5.
        threshold: Real,
    }
}

choice! {
    /// Kinds of prediction.
    Task = "a task" {
        "binary" => "binary",
        "multiclass" => "multiclass",
        "regression" => "regression",
        "ranking" => "ranking",
        "generation" => "generation",
    } -> &'static str
}

section! {
    /// Where an answer's confidence is found: give `pointer` or `header`. A batch counts its minimum.
    Confidence = "`confidence`" {
        /// JSON pointer into the answer.
        pointer: Pointer,
        /// A header of the answer.
        header: Header,
        /// How the number is read: score, probability (max(p, 1-p)) or margin. Default: score.
        r#as: Scale,
    }
}

choice! {
    /// How a confidence is read.
    Scale = "a kind of confidence" {
        "score" => ConfidenceScale::Score,
        "probability" => ConfidenceScale::Probability,
        "margin" => ConfidenceScale::Margin,
    } -> ConfidenceScale
}

section! {
    /// A rule that places a request in a class.
    Priority = "a priority rule" {
        /// The class, 0 to 3.
        class (required): ClassNumber,
        /// When it holds; a rule that errors does not match and is counted.
        when (required): Cel,
    }
}

section! {
    /// Bounds of the waiting line.
    Queue = "`queue`" {
        /// Most requests that wait. Default: 64.
        max: Whole<0, 1_000_000>,
        /// Longest wait. Default: 50ms.
        wait: Wait,
    }
}

/// `queue`, or a map with `thresholds`.
pub(crate) struct ShedBy;

/// What is written under `shed`.
#[derive(Debug)]
pub(crate) enum ShedWord {
    Queue,
    Thresholds(Thresholds),
}

impl Kind for ShedBy {
    type Out = ShedWord;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<ShedWord> {
        match &node.value {
            Value::Text(_) => crate::read::word(node, reader, "a way to shed", &["queue"]).map(|_| ShedWord::Queue),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
                Thresholds::read(node, reader).map(ShedWord::Thresholds)
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "const": "queue" }, Thresholds::schema(generator)] })
    }
}

section! {
    /// Thresholds of saturation.
    Thresholds = "`shed`" {
        /// The saturations from which on classes 3, 2 and 1 are turned away, such as `[0.70, 0.85, 0.95]`.
        thresholds (required): List<Share>,
    }
}

section! {
    /// How slowly the current level follows health.
    Hysteresis = "`hysteresis`" {
        /// How often the level is judged. Default: 5s (in a demo: 1s).
        window: Dur,
        /// Bad windows in a row before a step down. Default: 2.
        down: Whole<1, 1000>,
        /// How long all must be well before each step up. Default: 30s (in a demo: 3s).
        up: Dur,
    }
}

section! {
    /// Bounds of a streamed answer.
    Stream = "`stream`" {
        /// Longest wait for the answer's head. Default: 10s.
        headers: Dur,
        /// Longest wait for the first token. Default: 10s.
        first_token: Dur,
        /// Longest pause between tokens. Default: 5s.
        gap: Dur,
        /// Fewest tokens per time. Default: no bound.
        min_tokens: Rate,
        /// What is held before the caller sees it, so that another level may still answer.
        buffer: Buffer,
        /// What happens to a stream that breaks after the caller saw some of it: atomic, continue, restart or fail.
        /// Default: fail.
        after_commit: AfterCommitWord,
        /// How long a caller waits for the head of its answer before it gets one, with signs of life until there is more. Its status is 200 then,
        /// and what would have had another one ends the stream as an error event. Default: as long as it takes.
        heartbeat: Dur,
    }
}

section! {
    /// What is held of a stream before the caller sees it.
    Buffer = "`buffer`" {
        /// Tokens. Default: 16.
        tokens: Whole<0, 1_000_000>,
        /// Time. Default: 500ms.
        time: Wait,
    }
}

choice! {
    /// What happens to a stream that breaks.
    AfterCommitWord = "what happens after the commit" {
        "atomic" => AfterCommit::Atomic,
        "continue" => AfterCommit::Continue,
        "restart" => AfterCommit::Restart,
        "fail" => AfterCommit::Fail,
    } -> AfterCommit
}

choice! {
    /// What is done where a provider's filter refuses what is asked.
    OnRefusalWord = "what is done about a refusal" {
        "stop" => OnRefusal::Stop,
        "next" => OnRefusal::Next,
    } -> OnRefusal
}

/// A flag, or a map with how much is hedged.
pub(crate) struct HedgeBy;

/// What is written under `hedge`.
#[derive(Debug)]
pub(crate) enum HedgeWord {
    Never,
    Within(Hedge),
}

impl Kind for HedgeBy {
    type Out = HedgeWord;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<HedgeWord> {
        match &node.value {
            Value::Bool(true) => Some(HedgeWord::Within(Hedge::default())),
            Value::Bool(false) => Some(HedgeWord::Never),
            Value::Null | Value::Text(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
                Hedge::read(node, reader).map(HedgeWord::Within)
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "boolean" }, Hedge::schema(generator)] })
    }
}

section! {
    /// How much is hedged, and when.
    Hedge = "`hedge`" {
        /// Most second calls, as a share of the first ones; they count towards the route's retry budget as well. Default: 2%.
        share: Ratio,
        /// The quantile of the time until an answer begins after which a call is late. Default: 0.95.
        quantile: Share,
        /// Over plain HTTP: that a request that is answered twice does no harm. Default: false.
        repeatable: Flag,
    }
}

section! {
    /// One entry of a ladder: a level and exactly one kind of answer.
    Entry = "a ladder entry" {
        /// The level, 0 (full service) to 4 (static fallback); several entries may share one and are tried in order.
        level (required): LevelNumber,
        /// Its name. Default: the level's.
        name: Text,
        /// What an answer from here costs in quality, in words.
        quality_impact: Text,
        /// A backend answers: its name.
        backend: Text,
        /// Features that are fetched before the backend is called; rules of deeper levels see them too.
        features: FeatureUse,
        /// How long the backend may take. Default: what the deadline leaves. A local answer is not cut off: one that takes
        /// longer is counted, and the last one has this time kept back for it.
        timeout: Dur,
        /// What the backend is given of a chat. Default: all of it.
        context: local::Context,
        /// CEL rules answer: the first that holds.
        rules: List<AnswerRule>,
        /// The answer where no rule holds. Default: the next entry.
        otherwise: Answer,
        /// The last good answer to the same request.
        cache: CachedAnswer,
        /// A static answer.
        respond: Answer,
        /// Batch-computed answers by key.
        table: local::Table,
        /// An order of the request's own items, or of a file's.
        rank: local::Rank,
        /// A filter of words.
        keywords: local::Keywords,
        /// A count of requests by key.
        velocity: local::Velocity,
        /// The request is held for a person.
        queue: local::ReviewQueue,
    }
}

section! {
    /// Which features an entry uses.
    FeatureUse = "`features`" {
        /// The feature set.
        set (required): Text,
        /// `online`: the store, then the cache, then the defaults. `cached`: without the store. Default: online.
        mode: Mode,
    }
}

choice! {
    /// Where an entry's features come from.
    Mode = "a feature mode" {
        "online" => FeatureMode::Online,
        "cached" => FeatureMode::Cached,
    } -> FeatureMode
}

section! {
    /// A rule that answers.
    AnswerRule = "a rule" {
        /// When it holds.
        when (required): Cel,
        /// What it answers.
        respond (required): Answer,
    }
}

section! {
    /// The last good answer to the same request.
    CachedAnswer = "`cache`" {
        /// Older answers are not used.
        max_age (required): Dur,
        /// Whether equal requests of one client that come at the same time wait for one call to level 0. Right where the
        /// answer depends on path, body and `accept` alone. Default: false.
        single_flight: Flag,
    }
}

section! {
    /// A local answer: exactly one of these, by the route's protocol.
    Answer = "an answer" {
        /// Open Inference Protocol: outputs, each `{name, value}` or a full tensor.
        outputs: List<Json>,
        /// Chat: the assistant's text.
        text: Text,
        /// Plain HTTP: a JSON body.
        body: Json,
    }
}
