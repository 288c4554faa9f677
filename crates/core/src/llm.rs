//! Answers of language models as they come: read, judged, passed on, and ended truthfully.
//!
//! An answer is read event by event ([`sse`]), each event says something in one vocabulary ([`delta`]), and [`answering`] decides what
//! its caller gets to see, in the caller's own dialect ([`render`]). What providers' errors mean stands in [`taxonomy`].
//! An answer that is not streamed is a [`whole`]; requests and errors cross from one dialect to another in [`translate`].
//!
//! Sources: the HTML standard's section on server-sent events; OpenAI's and Anthropic's references of their streaming APIs.

pub mod sse;
pub mod delta;
pub mod taxonomy;
pub mod render;
pub mod answering;
pub mod prefill;
pub mod translate;
pub mod whole;
#[cfg(test)]
mod recorded;

/// How a stream of a language model is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// OpenAI's `/chat/completions`.
    OpenaiChat,
    /// OpenAI's `/completions`.
    OpenaiCompletions,
    /// Anthropic's `/messages`.
    AnthropicMessages,
}

impl Dialect {
    /// The dialect of a path, if a language model streams there.
    ///
    /// ```
    /// use mainstay_core::llm::Dialect;
    ///
    /// assert_eq!(Dialect::of_path("/v1/chat/completions"), Some(Dialect::OpenaiChat));
    /// assert_eq!(Dialect::of_path("/v1/messages"), Some(Dialect::AnthropicMessages));
    /// assert_eq!(Dialect::of_path("/v1/embeddings"), None);
    /// ```
    pub fn of_path(path: &str) -> Option<Dialect> {
        if path.ends_with("/chat/completions") {
            Some(Dialect::OpenaiChat)
        } else if path.ends_with("/completions") {
            Some(Dialect::OpenaiCompletions)
        } else if path.ends_with("/messages") {
            Some(Dialect::AnthropicMessages)
        } else {
            None
        }
    }
}

/// What is asked of a language model at a path, in the words of OpenTelemetry's conventions; `None`: it is not known to be asked.
///
/// ```
/// use mainstay_core::llm::operation;
///
/// assert_eq!(operation("/v1/messages"), Some("chat"));
/// assert_eq!(operation("/v1/models"), None);
/// ```
pub fn operation(path: &str) -> Option<&'static str> {
    match Dialect::of_path(path) {
        Some(Dialect::OpenaiChat | Dialect::AnthropicMessages) => Some("chat"),
        Some(Dialect::OpenaiCompletions) => Some("text_completion"),
        None if path.ends_with("/responses") => Some("chat"),
        None if path.ends_with("/embeddings") => Some("embeddings"),
        None => None,
    }
}

/// Whether what is answered at a path is a text that a person reads. Where it is not (embeddings, files), an answer of our own is JSON.
///
/// ```
/// use mainstay_core::llm::answers_text;
///
/// assert!(answers_text("/v1/responses"));
/// assert!(!answers_text("/v1/embeddings"));
/// ```
pub fn answers_text(path: &str) -> bool {
    Dialect::of_path(path).is_some() || path.ends_with("/responses")
}

/// Tokens of an answer, as far as its backend counted them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Tokens of the request.
    pub input: Option<u64>,
    /// Tokens of the answer.
    pub output: Option<u64>,
}

impl Usage {
    /// What is known of either, the later one first.
    #[must_use]
    pub fn or(self, earlier: Usage) -> Usage {
        Usage { input: self.input.or(earlier.input), output: self.output.or(earlier.output) }
    }

    /// Whether anything is known.
    pub const fn is_known(self) -> bool {
        self.input.is_some() || self.output.is_some()
    }
}

/// Why a model stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finish {
    /// It had said all, or met a stop sequence.
    Stop,
    /// It was not allowed to say more.
    Length,
    /// It wants a tool to be called.
    Tool,
    /// A filter stopped it.
    Content,
    /// Something that only its provider knows.
    Other(String),
}

impl Finish {
    /// Read from either dialect's word.
    pub fn parse(word: &str) -> Finish {
        match word {
            // The last is the word of Together and of open servers.
            "stop" | "end_turn" | "stop_sequence" | "eos" => Finish::Stop,
            "length" | "max_tokens" | "model_context_window_exceeded" => Finish::Length,
            "tool_calls" | "function_call" | "tool_use" => Finish::Tool,
            "content_filter" | "refusal" => Finish::Content,
            other => Finish::Other(other.chars().take(64).collect()),
        }
    }

    /// Whether the model was stopped by something that broke: what it had said by then is not its answer.
    ///
    /// ```
    /// use mainstay_core::llm::Finish;
    ///
    /// assert!(Finish::parse("abort").is_break());
    /// assert!(!Finish::parse("length").is_break());
    /// ```
    pub fn is_break(&self) -> bool {
        // vLLM's, SGLang's and TensorRT-LLM's words; those of proxies; DeepSeek's.
        matches!(self, Finish::Other(word) if matches!(word.as_str(), "abort" | "error" | "cancelled" | "insufficient_system_resource"))
    }

    /// OpenAI's word.
    pub fn openai(&self) -> &str {
        match self {
            Finish::Stop => "stop",
            Finish::Length => "length",
            Finish::Tool => "tool_calls",
            Finish::Content => "content_filter",
            Finish::Other(word) => word,
        }
    }

    /// Anthropic's word.
    pub fn anthropic(&self) -> &str {
        match self {
            Finish::Stop => "end_turn",
            Finish::Length => "max_tokens",
            Finish::Tool => "tool_use",
            Finish::Content => "refusal",
            Finish::Other(word) => word,
        }
    }
}
