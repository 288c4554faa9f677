//! What a script says: mstp/1, one JSON object a line. Unknown types and fields are ignored; what is wrong is counted.

use serde_json::{Map, Value};

/// The version of the protocol.
pub const VERSION: u64 = 1;
/// Longest line, its end included.
pub const LINE_MAX: usize = 64 * 1024;
/// Steps beyond this are no steps.
const STEP_MAX: u64 = 1 << 53;
/// Metrics of one line.
const METRICS_MAX: usize = 256;

/// A line of a script.
#[derive(Clone, PartialEq, Debug)]
pub enum Message {
    /// It is there.
    Hello {
        /// Its process.
        pid: u32,
        /// Its rank.
        rank: u64,
        /// How many ranks there are.
        world: Option<u64>,
        /// Its attempt.
        attempt: Option<u64>,
    },
    /// A phase begins.
    Phase {
        /// Its name.
        name: String,
        /// How long it may last, in seconds.
        budget_s: Option<f64>,
    },
    /// A step was made.
    Progress {
        /// Steps made.
        step: u64,
        /// All steps.
        total: Option<u64>,
    },
    /// Numbers of a step. `None`: not a finite number.
    Metric {
        /// The step.
        step: u64,
        /// The numbers.
        values: Vec<(String, Option<f64>)>,
    },
    /// A checkpoint is being written into a directory.
    CheckpointBegin {
        /// Its step.
        step: u64,
    },
    /// A checkpoint's files are written.
    CheckpointReady {
        /// Its step.
        step: u64,
        /// The directory with the files.
        directory: String,
        /// Where the data stands.
        cursor: Value,
        /// What it achieves.
        metrics: Map<String, Value>,
        /// How long steps waited, in seconds.
        blocking_s: Option<f64>,
    },
    /// An evaluation.
    Eval {
        /// The step that was evaluated.
        step: u64,
        /// What was found; `n` is how many samples were evaluated, where that was told.
        metrics: Map<String, Value>,
    },
    /// The process lives. No progress.
    Heartbeat,
    /// Something is wrong.
    Error {
        /// `user`, `data`, `storage`, `oom`, `numeric`.
        kind: String,
        /// Whether another attempt may help.
        retryable: bool,
        /// What.
        message: String,
    },
    /// All steps are made.
    Done {
        /// The last step.
        step: u64,
    },
    /// A type of a later version.
    Other,
}

/// Why a line was ignored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, thiserror::Error)]
pub enum Reject {
    /// More than [`LINE_MAX`].
    #[error("too_long")]
    TooLong,
    /// Not a JSON object with a `type`.
    #[error("not_json")]
    NotJson,
    /// A field is missing or of the wrong kind.
    #[error("bad_field")]
    BadField,
    /// A step that is smaller than one before, or a line before `hello`.
    #[error("out_of_order")]
    OutOfOrder,
    /// Said by a process that is not of this run, or of an attempt that is over.
    #[error("wrong_process")]
    WrongProcess,
}

impl Message {
    /// Reads a line, without its end.
    pub fn parse(line: &[u8]) -> Result<Message, Reject> {
        if line.len() >= LINE_MAX {
            return Err(Reject::TooLong);
        }
        let value: Value = serde_json::from_slice(line).map_err(|_| Reject::NotJson)?;
        let Value::Object(fields) = value else { return Err(Reject::NotJson) };
        let kind = fields.get("type").and_then(Value::as_str).ok_or(Reject::NotJson)?;
        Message::of(kind, &fields).ok_or(Reject::BadField)
    }

    fn of(kind: &str, fields: &Map<String, Value>) -> Option<Message> {
        let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
        let seconds = |name: &str| fields.get(name).and_then(Value::as_f64).filter(|s| (0.0..1e9).contains(s));
        let count = |name: &str| fields.get(name).and_then(Value::as_u64).filter(|n| *n <= STEP_MAX);
        let object = |name: &str| fields.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
        Some(match kind {
            "hello" => Message::Hello {
                pid: u32::try_from(count("pid")?).ok()?,
                rank: count("rank").unwrap_or(0),
                world: count("world"),
                attempt: count("attempt"),
            },
            "phase" => Message::Phase { name: text("name")?, budget_s: seconds("budget_s") },
            "progress" => Message::Progress { step: count("step")?, total: count("total") },
            "metric" => Message::Metric { step: count("step")?, values: numbers(fields) },
            "ckpt_begin" => Message::CheckpointBegin { step: count("step")? },
            "ckpt_ready" => Message::CheckpointReady {
                step: count("step")?,
                directory: text("tmp")?,
                cursor: fields.get("cursor").cloned().unwrap_or(Value::Null),
                metrics: object("metrics"),
                blocking_s: seconds("blocking_s"),
            },
            "eval" => {
                let mut metrics = object("metrics");
                if let Some(n) = count("n") {
                    metrics.entry("n").or_insert(n.into());
                }
                Message::Eval { step: count("step")?, metrics }
            }
            "heartbeat" => Message::Heartbeat,
            "error" => Message::Error {
                kind: text("kind").unwrap_or_default(),
                retryable: fields.get("retryable").and_then(Value::as_bool).unwrap_or(true),
                message: text("message").unwrap_or_default(),
            },
            "done" => Message::Done { step: count("step")? },
            _ => Message::Other,
        })
    }
}

/// All fields but `type` and `step`. JSON has no word for what is not finite: `"nan"`, `"inf"`, `"-inf"` and null are.
fn numbers(fields: &Map<String, Value>) -> Vec<(String, Option<f64>)> {
    let named = fields.iter().filter(|(name, _)| *name != "type" && *name != "step");
    let numbers = named.filter_map(|(name, value)| match value {
        Value::Number(number) => Some((name.clone(), number.as_f64())),
        Value::Null => Some((name.clone(), None)),
        Value::String(word) if matches!(word.as_str(), "nan" | "inf" | "-inf") => Some((name.clone(), None)),
        Value::String(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    });
    numbers.take(METRICS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_read_and_garbage_is_named() {
        let parse = |line: &str| Message::parse(line.as_bytes());
        assert_eq!(parse(r#"{"type":"progress","step":5,"new":1}"#), Ok(Message::Progress { step: 5, total: None }));
        assert_eq!(parse(r#"{"type":"later"}"#), Ok(Message::Other));
        let values = vec![("grad_norm".to_owned(), Some(2.0)), ("loss".to_owned(), None)];
        assert_eq!(
            parse(r#"{"type":"metric","step":5,"loss":"nan","grad_norm":2}"#),
            Ok(Message::Metric { step: 5, values })
        );
        assert_eq!(parse(r#"{"type":"progress","step":-5}"#), Err(Reject::BadField));
        assert_eq!(parse(r#"{"step":5}"#), Err(Reject::NotJson));
        assert_eq!(parse("step 5"), Err(Reject::NotJson));
        assert_eq!(parse("[1]"), Err(Reject::NotJson));
        assert_eq!(parse(&format!(r#"{{"type":"{}"}}"#, "x".repeat(LINE_MAX))), Err(Reject::TooLong));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::parse(&line);
        }
    }
}
