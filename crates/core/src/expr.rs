//! CEL programs: the one language for priorities and for rule-based answers.
//!
//! A [`Program`] is compiled once, when a config is read, and evaluated against the [`Facts`] of a request. It sees
//! the variables `request`, `headers`, `features`, `route` and `client`, and two functions that never fail where
//! something is absent: `header("x")` gives `""`, `feature("ref", DEFAULT)` gives the default.
//!
//! ```text
//! text --bounds--> parse --checks--> tree --native?--> matcher      no allocation, tens of nanoseconds
//!                                         `-otherwise-> CEL interpreter, over the facts that the text mentions
//! ```
//!
//! # What bounds a program's cost
//!
//! - The text is at most [`MAX_BYTES`] long, brackets nest at most [`MAX_NESTING`] deep and there are at most
//!   [`MAX_OPERATORS`] operators: parser and interpreter recurse no deeper than that.
//! - CEL has no loops but its macros over lists (`all`, `exists`, `exists_one`, `map`, `filter`). One may not stand
//!   within another, so there is no way to multiply them; none may run over a map; and none may join texts, so that
//!   what it collects stays as small as what it reads.
//! - Only the parts of the facts that the text mentions are handed to the interpreter, at most [`MAX_NODES`] JSON
//!   values with [`MAX_TEXT_BYTES`] of text; a request that has more there is an [`EvalError`].
//! - There are no regular expressions.
//!
//! An evaluation therefore takes as many steps as the program has nodes, times [`MAX_NODES`] where it iterates, and a
//! step costs at most the size of the values that it reads.

mod check;
mod interpret;
mod native;
mod parse;

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use check::Mentions;
use native::Matcher;

/// Longest program, in bytes.
pub const MAX_BYTES: usize = 4096;
/// Deepest nesting of brackets in a program.
pub const MAX_NESTING: usize = 24;
/// Most operators, selections and brackets in a program.
pub const MAX_OPERATORS: usize = 256;
/// Most JSON values of `request` and `features` that one evaluation looks at.
pub const MAX_NODES: usize = 4096;
/// Longest text, in bytes and in all, in those values.
pub const MAX_TEXT_BYTES: usize = 1 << 20;

/// What a program may ask about a request.
pub trait Facts {
    /// The first value of a header; `name` is in lower case.
    fn header(&self, name: &str) -> Option<&str>;
    /// All headers, names in lower case.
    fn headers(&self) -> Vec<(String, String)>;
    /// The request's body, where it is JSON.
    fn request(&self) -> Option<&Value>;
    /// The value of a feature, where there is one; `null` counts as none.
    fn feature(&self, reference: &str) -> Option<Value>;
    /// All features that have a value.
    fn features(&self) -> Vec<(String, Value)>;
    /// The route's name.
    fn route(&self) -> &str;
    /// The client's name, `""` where the caller is none.
    fn client(&self) -> &str;
    /// The answer to the request, as [`Program::compile_for_answers`] has it.
    fn answer(&self) -> Option<&Value> {
        None
    }
}

/// A compiled program. Cheap to clone.
///
/// ```
/// use mainstay_core::expr::Program;
///
/// let program = Program::compile(r#"header("x-user-tier") == "premium" && route != "chat""#)?;
/// assert!(program.is_native());
/// assert!(program.warnings().is_empty());
/// let bad = Program::compile(r#"header("x-user-tier") = "premium""#).unwrap_err();
/// assert_eq!(bad.offset, 22);
/// # Ok::<(), mainstay_core::expr::CompileError>(())
/// ```
#[derive(Clone)]
pub struct Program(Arc<Inner>);

struct Inner {
    source: String,
    tree: cel::IdedExpr,
    mentions: Mentions,
    warnings: Vec<Warning>,
    native: Option<Matcher>,
}

/// Why a text is not a program.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct CompileError {
    /// What is wrong.
    pub message: String,
    /// Where, in bytes from the start of the text; at most its length.
    pub offset: usize,
}

/// Something in a program that works and is probably not meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Warning {
    /// What is odd, and what to write.
    pub message: String,
    /// Where, in bytes from the start of the text; at most its length.
    pub offset: usize,
}

/// Why a program has no answer for a request.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EvalError {
    /// The program gave something that is neither true nor false.
    #[error("the expression is neither true nor false")]
    NotBoolean,
    /// A feature is compared with a number and is none.
    #[error("the feature is not a number")]
    NotNumber,
    /// What the program looks at has more than [`MAX_NODES`] JSON values or [`MAX_TEXT_BYTES`] of text.
    #[error("the request is too large to be looked at")]
    TooLarge,
    /// The interpreter gave up, for instance because a key is absent.
    #[error("{0}")]
    Failed(String),
}

impl Program {
    /// Compiles a text.
    pub fn compile(source: &str) -> Result<Program, CompileError> {
        Program::compile_with(source, false)
    }

    /// Compiles a text that judges answers. It sees one variable more: `answer`, with `answer.text`, which is all that the answer says, and
    /// `answer.body`, which is its JSON.
    ///
    /// ```
    /// use mainstay_core::expr::Program;
    ///
    /// assert!(Program::compile_for_answers(r#"answer.text.contains("password")"#).is_ok());
    /// assert!(Program::compile(r#"answer.text.contains("password")"#).is_err());
    /// ```
    pub fn compile_for_answers(source: &str) -> Result<Program, CompileError> {
        Program::compile_with(source, true)
    }

    fn compile_with(source: &str, answers: bool) -> Result<Program, CompileError> {
        let (tree, places) = parse::parse(source)?;
        let checked = check::check(&tree, &places, answers)?;
        let native = Matcher::build(&tree);
        Ok(Program(Arc::new(Inner {
            source: source.to_owned(),
            tree,
            mentions: checked.mentions,
            warnings: checked.warnings,
            native,
        })))
    }

    /// Whether the program holds for a request.
    pub fn matches(&self, facts: &dyn Facts) -> Result<bool, EvalError> {
        match &self.0.native {
            Some(matcher) => matcher.matches(facts),
            None => self.interpret(facts),
        }
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// What is odd about it, in the order of the text.
    pub fn warnings(&self) -> &[Warning] {
        &self.0.warnings
    }

    /// Whether it runs without the interpreter.
    pub fn is_native(&self) -> bool {
        self.0.native.is_some()
    }

    /// The features that it names, in alphabetical order.
    pub fn features(&self) -> impl Iterator<Item = &str> {
        self.0.mentions.feature_names()
    }

    /// Whether it looks at the request's body.
    pub fn reads_request(&self) -> bool {
        self.0.mentions.request.is_some()
    }

    fn interpret(&self, facts: &dyn Facts) -> Result<bool, EvalError> {
        interpret::evaluate(&self.0.tree, &self.0.mentions, facts)
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Program({:?})", self.0.source)
    }
}

impl PartialEq for Program {
    fn eq(&self, other: &Program) -> bool {
        self.0.source == other.0.source
    }
}

impl Eq for Program {}

/// Names that the parser gives to what `header` and `feature` stand for; no text can contain them.
mod names {
    pub(super) const HEADER: &str = "@header:";
    pub(super) const FEATURE: &str = "@feature:";
    pub(super) const HAS_FEATURE: &str = "@has_feature:";
}

#[cfg(test)]
mod tests;
