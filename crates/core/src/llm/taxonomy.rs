//! What providers' errors mean, as data: the table is `taxonomy.json`, the first row that fits decides.

use std::sync::LazyLock;

use serde::Deserialize;

use super::Dialect;
use super::delta::Told;

/// What an error means.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The provider, or this model of it, has too much to do: everybody is affected.
    Capacity,
    /// This key asks too often.
    Rate,
    /// This key's money is spent.
    Spend,
    /// This key is not accepted.
    Auth,
    /// The request has more tokens than the model takes.
    Context,
    /// A filter of the provider's refuses the content.
    Content,
    /// No error, and no answer.
    Silent,
    /// The answer broke off.
    Cut,
    /// What came is no answer.
    Malformed,
    /// Something at the provider broke.
    Server,
    /// The caller's own mistake.
    Caller,
}

/// What is done about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// The same backend once more, after a pause.
    RetrySame,
    /// Another key of the same backend; without one the next level.
    NextKey,
    /// The next level.
    NextLevel,
    /// A level that takes more tokens, or sends fewer.
    LargerContext,
    /// Nothing: the caller is told.
    Stop,
}

impl Kind {
    /// What is done about it.
    ///
    /// ```
    /// use mainstay_core::llm::taxonomy::{Action, Kind};
    ///
    /// assert_eq!(Kind::Spend.action(), Action::NextKey);
    /// assert_eq!(Kind::Content.action(), Action::Stop);
    /// ```
    pub const fn action(self) -> Action {
        match self {
            Kind::Capacity | Kind::Rate | Kind::Server | Kind::Cut => Action::RetrySame,
            Kind::Spend | Kind::Auth => Action::NextKey,
            Kind::Context => Action::LargerContext,
            Kind::Silent | Kind::Malformed => Action::NextLevel,
            Kind::Content | Kind::Caller => Action::Stop,
        }
    }

    /// In one word, for headers and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Capacity => "capacity",
            Kind::Rate => "rate",
            Kind::Spend => "spend",
            Kind::Auth => "auth",
            Kind::Context => "context",
            Kind::Content => "content",
            Kind::Silent => "silent",
            Kind::Cut => "cut",
            Kind::Malformed => "malformed",
            Kind::Server => "server",
            Kind::Caller => "caller",
        }
    }
}

#[derive(Deserialize)]
struct Row {
    /// Statuses that it is for; none: all of them, and errors within a stream.
    #[serde(default)]
    status: Vec<u16>,
    /// Words one of which stands in the code, the kind or the message; lower case. None: it always fits.
    #[serde(default)]
    says: Vec<String>,
    means: Kind,
}

static TABLE: LazyLock<Vec<Row>> =
    LazyLock::new(|| serde_json::from_str(include_str!("taxonomy.json")).expect("a test reads the table"));

/// How much of a body is searched.
const START_BYTES: usize = 4096;

/// What an answer with this status and this beginning of its body means. `None`: it is no error.
///
/// ```
/// use mainstay_core::llm::taxonomy::{Kind, of_answer};
///
/// let body = br#"{"error":{"code":"context_length_exceeded"}}"#;
/// assert_eq!(of_answer(400, body), Some(Kind::Context));
/// assert_eq!(of_answer(529, b"<html>"), Some(Kind::Capacity));
/// assert_eq!(of_answer(200, b"{}"), None);
/// ```
pub fn of_answer(status: u16, body: &[u8]) -> Option<Kind> {
    if status < 400 {
        return None;
    }
    let start = String::from_utf8_lossy(&body[..body.len().min(START_BYTES)]).to_lowercase();
    Some(find(Some(status), &start).unwrap_or(if status < 500 { Kind::Caller } else { Kind::Server }))
}

/// What an error within a stream means.
pub fn of_stream(told: &Told) -> Kind {
    let text = format!("{} {} {}", told.code, told.kind, told.message);
    let start: String = text.chars().take(START_BYTES).collect();
    find(None, &start.to_lowercase()).unwrap_or(Kind::Server)
}

fn find(status: Option<u16>, text: &str) -> Option<Kind> {
    let fits = |row: &&Row| {
        let by_status = row.status.is_empty() || status.is_some_and(|status| row.status.contains(&status));
        by_status && (row.says.is_empty() || row.says.iter().any(|words| text.contains(words.as_str())))
    };
    TABLE.iter().find(fits).map(|row| row.means)
}

/// The status that a caller of this dialect is used to for an error of this kind.
pub const fn status(dialect: Dialect, kind: Kind) -> u16 {
    match kind {
        Kind::Capacity => match dialect {
            Dialect::AnthropicMessages => 529,
            Dialect::OpenaiChat | Dialect::OpenaiCompletions => 503,
        },
        Kind::Rate | Kind::Spend => 429,
        Kind::Auth => 401,
        Kind::Context | Kind::Content | Kind::Caller => 400,
        Kind::Silent | Kind::Cut | Kind::Malformed | Kind::Server => 502,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::answering::{Answering, Begun, Effect, End, Fault, Settings};
    use crate::llm::whole::judge;
    use crate::plan::Stream;
    use crate::time::Time;

    #[derive(Deserialize)]
    struct Error {
        from: String,
        #[serde(flatten)]
        source: Source,
        #[serde(default)]
        status: Option<u16>,
        body: String,
        means: Kind,
    }

    /// Where a fixture is from: one of the two.
    #[derive(Deserialize)]
    struct Source {
        /// A recording: package, version, file, and which answer of it.
        #[serde(default)]
        recorded: Option<String>,
        /// Written by hand, in the shape that the provider documents.
        #[serde(default)]
        documented: bool,
    }

    impl Source {
        /// Whether it is a recording.
        fn is_recorded(&self) -> bool {
            assert_ne!(self.recorded.is_some(), self.documented, "{:?}", self.recorded);
            self.recorded.is_some()
        }
    }

    /// A success that is no answer, in whole or as a stream.
    #[derive(Deserialize)]
    struct NoAnswer {
        from: String,
        #[serde(flatten)]
        source: Source,
        dialect: String,
        #[serde(default)]
        body: Option<String>,
        #[serde(default)]
        stream: Option<String>,
        means: Kind,
    }

    impl NoAnswer {
        fn fault(&self) -> Option<Fault> {
            let dialect = match self.dialect.as_str() {
                "openai_chat" => Dialect::OpenaiChat,
                "openai_completions" => Dialect::OpenaiCompletions,
                _ => Dialect::AnthropicMessages,
            };
            if let Some(body) = &self.body {
                return judge(dialect, body.as_bytes()).err();
            }
            let now = Time::from_secs(1000);
            let mut answering = Answering::new(Settings::new(dialect, Stream::default()));
            answering.handle_upstream(dialect, Begun::Fresh, now);
            answering.handle_bytes(self.stream.as_deref().unwrap().as_bytes(), now);
            answering.handle_end(End::Clean, now);
            match answering.poll_effect() {
                Some(Effect::Failed(fault)) => Some(fault),
                _ => None,
            }
        }
    }

    /// A file per provider.
    const FIXTURES: [&str; 10] = [
        include_str!("fixtures/openai.json"),
        include_str!("fixtures/azure.json"),
        include_str!("fixtures/anthropic.json"),
        include_str!("fixtures/bedrock.json"),
        include_str!("fixtures/gemini.json"),
        include_str!("fixtures/groq.json"),
        include_str!("fixtures/mistral.json"),
        include_str!("fixtures/cerebras.json"),
        include_str!("fixtures/vllm.json"),
        include_str!("fixtures/proxies.json"),
    ];

    #[test]
    fn each_error_means_what_it_means() {
        let (mut seen, mut recordings) = (std::collections::BTreeSet::new(), 0);
        for file in FIXTURES {
            for error in serde_json::from_str::<Vec<Error>>(file).unwrap() {
                let Error { from, source, status, body, means } = error;
                let found = match status {
                    Some(status) => of_answer(status, body.as_bytes()),
                    None => Some(of_stream(&Told { message: body.clone(), ..Told::default() })),
                };
                assert_eq!(found, Some(means), "{from}: {status:?} {body}");
                seen.insert(means);
                recordings += u32::from(source.is_recorded());
            }
        }
        for broken in serde_json::from_str::<Vec<NoAnswer>>(include_str!("fixtures/no_answers.json")).unwrap() {
            let fault = broken.fault().map(|fault| fault.means());
            assert_eq!(fault, Some(broken.means), "{}", broken.from);
            seen.insert(broken.means);
            recordings += u32::from(broken.source.is_recorded());
        }
        assert_eq!(recordings, 25);
        for kind in [
            Kind::Capacity,
            Kind::Rate,
            Kind::Spend,
            Kind::Auth,
            Kind::Context,
            Kind::Content,
            Kind::Silent,
            Kind::Cut,
            Kind::Malformed,
            Kind::Server,
            Kind::Caller,
        ] {
            assert!(seen.contains(&kind), "no {}", kind.word());
        }
    }
}
