//! The two ways of speaking.

use serde_json::Value;

use super::{anthropic, openai};

/// Who is imitated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Chat completions.
    Openai,
    /// Messages.
    Anthropic,
}

/// What is counted of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    pub(super) prompt: usize,
    pub(super) completion: usize,
}

/// What the provider says is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    RateLimit,
    Server,
    Overloaded,
    ContextLength,
    ContentPolicy,
    Prefill,
    NotFound,
}

impl Trouble {
    pub(super) const fn status(self, dialect: Dialect) -> u16 {
        match (self, dialect) {
            (Self::RateLimit, _) => 429,
            (Self::Server, _) => 500,
            (Self::Overloaded, _) => 503,
            (Self::NotFound, _) => 404,
            (Self::ContextLength | Self::ContentPolicy | Self::Prefill, _) => 400,
        }
    }
}

impl Dialect {
    /// By the path's end: a gateway may have put something in front.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        if path.ends_with("/chat/completions") {
            Some(Self::Openai)
        } else if path.ends_with("/messages") {
            Some(Self::Anthropic)
        } else {
            None
        }
    }

    pub(super) fn error(self, trouble: Trouble, message: &str) -> Value {
        match self {
            Self::Openai => openai::error(trouble, message),
            Self::Anthropic => anthropic::error(trouble, message),
        }
    }

    pub(super) fn whole(self, model: &str, text: &str, usage: Usage) -> Value {
        match self {
            Self::Openai => openai::whole(model, text, usage),
            Self::Anthropic => anthropic::whole(model, text, usage),
        }
    }

    /// The events before the first token.
    pub(super) fn opening(self, model: &str, usage: Usage) -> Vec<Vec<u8>> {
        match self {
            Self::Openai => openai::opening(model),
            Self::Anthropic => anthropic::opening(model, usage),
        }
    }

    pub(super) fn token(self, model: &str, text: &str) -> Vec<u8> {
        match self {
            Self::Openai => openai::token(model, text),
            Self::Anthropic => anthropic::token(text),
        }
    }

    /// The events after the last token, but for the last mark.
    pub(super) fn closing(self, model: &str, usage: Usage, include_usage: bool) -> Vec<Vec<u8>> {
        match self {
            Self::Openai => openai::closing(model, usage, include_usage),
            Self::Anthropic => anthropic::closing(usage),
        }
    }

    /// The last mark.
    pub(super) fn mark(self) -> Vec<u8> {
        match self {
            Self::Openai => b"data: [DONE]\n\n".to_vec(),
            Self::Anthropic => anthropic::mark(),
        }
    }

    /// An event whose data is no JSON.
    pub(super) fn broken(self) -> Vec<u8> {
        match self {
            Self::Openai => b"data: {\"choices\": [{\"delta\": {\"content\": \"brok\n\n".to_vec(),
            Self::Anthropic => {
                b"event: content_block_delta\ndata: {\"type\": \"content_block_delta\", \"delta\": {\"te\n\n".to_vec()
            }
        }
    }

    /// An error as an event of a stream.
    pub(super) fn error_event(self, trouble: Trouble, message: &str) -> Vec<u8> {
        let body = self.error(trouble, message);
        match self {
            Self::Openai => format!("data: {body}\n\n").into_bytes(),
            Self::Anthropic => format!("event: error\ndata: {body}\n\n").into_bytes(),
        }
    }
}
