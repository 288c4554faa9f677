//! Checks of what models answer.

use std::time::Duration;

use regex::{RegexSet, RegexSetBuilder};

use super::Secret;
use crate::expr::Program;
use crate::route::Level;

/// Most patterns of one check.
pub const PATTERNS_MAX: usize = 256;
/// Longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 1_024;
/// What the compiled patterns of one check may take, in bytes; and once more what a search in them may.
const COMPILED_BYTES_MAX: usize = 8 << 20;

/// A check of answers.
#[derive(Clone, Debug)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// Indices into [`Plan::routes`](super::Plan::routes): whose answers it is about.
    pub routes: Vec<usize>,
    /// Who judges.
    pub by: CheckBy,
    /// When.
    pub when: CheckWhen,
    /// What a flag keeps from the caller; `None`: nothing, it is recorded only.
    pub block: Option<Block>,
    /// Whether a flag is harm that is certain; otherwise it is a suspicion, which no objective counts.
    pub confirmed: bool,
    /// Longest text that is looked at, in bytes: of a longer one it is unknown.
    pub longest: usize,
}

/// Who judges an answer.
#[derive(Clone, Debug)]
pub enum CheckBy {
    /// A server.
    Moderation(Moderation),
    /// An expression: it holds for what is flagged.
    Rule(Program),
    /// Regular expressions: a text in which one is found is flagged.
    Patterns(Patterns),
}

/// When an answer is checked.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum CheckWhen {
    /// Before it is shown.
    Inline,
    /// Once it was shown.
    After {
        /// Which share of the answers, chosen by their ids.
        share: f64,
    },
}

/// What is kept from the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    /// The level at which the request goes on; `None`: the next entry of its ladder.
    pub level: Option<Level>,
    /// Whether an answer of which the check cannot tell is kept from the caller as well.
    pub unknown: bool,
}

/// A server that judges texts, in the shape of OpenAI's moderation endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Moderation {
    /// Its base URL, below which `/v1/moderations` is asked.
    pub url: String,
    /// The model that is asked for; `None`: the server's usual one.
    pub model: Option<String>,
    /// Its key.
    pub key: Option<Secret>,
    /// The categories that count; empty: whatever the server flags.
    pub categories: Vec<String>,
    /// How long it may take, the wait for a place included.
    pub timeout: Duration,
    /// Most calls at once.
    pub at_once: usize,
}

/// Regular expressions, compiled once. A search takes time in proportion to the text, whatever the expressions are.
///
/// ```
/// use mainstay_core::plan::Patterns;
///
/// let patterns = Patterns::new(&["(?i)secret-[0-9]{4}"]).unwrap();
/// assert_eq!(patterns.first_in("my SECRET-1234"), Some("(?i)secret-[0-9]{4}"));
/// assert_eq!(patterns.first_in("my secret"), None);
/// assert!(Patterns::new(&["("]).is_err());
/// ```
#[derive(Clone, Debug)]
pub struct Patterns(RegexSet);

impl Patterns {
    /// Compiles them; the error says in a line what is wrong.
    pub fn new(texts: &[impl AsRef<str>]) -> Result<Patterns, String> {
        let built =
            RegexSetBuilder::new(texts).size_limit(COMPILED_BYTES_MAX).dfa_size_limit(COMPILED_BYTES_MAX).build();
        built.map(Patterns).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "it is too large when compiled".to_owned(),
            error => {
                let text = error.to_string();
                text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
            }
        })
    }

    /// The first of them, in the order in which they were written, that is found in a text.
    pub fn first_in(&self, text: &str) -> Option<&str> {
        let found = self.0.matches(text).into_iter().next()?;
        self.0.patterns().get(found).map(String::as_str)
    }

    /// Their texts.
    pub fn texts(&self) -> &[String] {
        self.0.patterns()
    }
}
