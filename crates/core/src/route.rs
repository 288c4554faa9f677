//! The nouns of the request path: classes, levels, protocols. Plain data.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How much a request matters: 0 is safety-critical, 1 premium, 2 an identified user, 3 anonymous or background.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Class(u8);

impl Class {
    /// The number of classes.
    pub const COUNT: usize = 4;
    /// The most important class: served first, shed last.
    pub const BEST: Class = Class(0);
    /// The least important class: what a request gets that no rule places.
    pub const WORST: Class = Class(3);

    /// The class with this number, if there is one.
    pub const fn new(number: u8) -> Option<Class> {
        if number < 4 { Some(Class(number)) } else { None }
    }

    /// The less important of the two.
    pub fn worse_of(self, other: Class) -> Class {
        self.max(other)
    }

    /// 0 to 3.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// As an index into an array of [`Class::COUNT`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A degradation level: 0 is full service, 4 the static fallback.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Level(u8);

impl Level {
    /// The number of levels.
    pub const COUNT: usize = 5;
    /// Full service.
    pub const FULL: Level = Level(0);
    /// The static fallback.
    pub const STATIC: Level = Level(4);

    /// The level with this number, if there is one.
    pub const fn new(number: u8) -> Option<Level> {
        if number < 5 { Some(Level(number)) } else { None }
    }

    /// 0 to 4.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// As an index into an array of [`Level::COUNT`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The level's standard name.
    pub const fn name(self) -> &'static str {
        match self.0 {
            0 => "full_service",
            1 => "cached_features",
            2 => "simpler_model",
            3 => "rule_based",
            _ => "static_fallback",
        }
    }
}

macro_rules! small_number {
    ($name:ident, $what:literal) => {
        impl TryFrom<u8> for $name {
            type Error = &'static str;
            fn try_from(number: u8) -> Result<Self, Self::Error> {
                Self::new(number).ok_or($what)
            }
        }
        impl From<$name> for u8 {
            fn from(value: $name) -> u8 {
                value.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}
small_number!(Class, "a class is 0, 1, 2 or 3");
small_number!(Level, "a level is 0, 1, 2, 3 or 4");

/// What is spoken with a backend, and on the routes that use it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Open Inference Protocol v2 over REST (KServe, Triton, MLServer).
    OpenInference,
    /// The same over gRPC, whose messages are binary.
    OpenInferenceGrpc,
    /// OpenAI's chat completions, completions and embeddings.
    Openai,
    /// Anthropic's messages.
    Anthropic,
    /// Anything else over HTTP.
    Http,
}

impl Protocol {
    /// Whether language models speak it.
    pub const fn is_of_language_models(self) -> bool {
        matches!(self, Protocol::Openai | Protocol::Anthropic)
    }

    /// Whether its messages are frames of gRPC and no JSON, so that nothing in them can be pointed at.
    pub const fn is_grpc(self) -> bool {
        matches!(self, Protocol::OpenInferenceGrpc)
    }

    /// The name that the config uses.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::OpenInference => "open-inference",
            Protocol::OpenInferenceGrpc => "open-inference-grpc",
            Protocol::Openai => "openai",
            Protocol::Anthropic => "anthropic",
            Protocol::Http => "http",
        }
    }
}
