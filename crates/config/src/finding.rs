//! What is wrong with a config, and where.

use crate::code::Code;
use crate::span::Span;

/// One thing that is wrong, or looks wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Which kind of finding; it is stable, and [`crate::explained`] tells more.
    pub code: Code,
    /// One sentence.
    pub message: String,
    /// Where in the text.
    pub span: Span,
    /// A few words beside the caret.
    pub label: Option<String>,
    /// What to do.
    pub help: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// The config is refused.
    Error,
    /// The config is accepted.
    Warning,
}

impl Severity {
    /// As words.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

impl Finding {
    pub(crate) fn new(code: Code, span: Span, message: impl Into<String>) -> Finding {
        Finding { code, message: message.into(), span, label: None, help: None }
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Finding {
        self.label = Some(label.into());
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Finding {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn help_maybe(mut self, help: Option<String>) -> Finding {
        self.help = self.help.or(help);
        self
    }

    /// How bad it is.
    pub const fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// Whether the config is refused for it.
    pub const fn is_error(&self) -> bool {
        matches!(self.severity(), Severity::Error)
    }
}
