//! Secrets, by reference.

use std::fmt;
use std::path::PathBuf;

/// A secret by reference: `env:NAME` or `file:PATH`. The value never appears in a log, an error or an event.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// Where it comes from.
    pub source: SecretSource,
    value: Option<String>,
}

/// Where a secret comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    /// A file, read without its trailing newline.
    File(PathBuf),
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretSource::Env(name) => write!(f, "env:{name}"),
            SecretSource::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl Secret {
    /// A reference that nobody has resolved yet.
    pub fn unresolved(source: SecretSource) -> Secret {
        Secret { source, value: None }
    }

    /// Gives the reference its value.
    pub fn resolve(&mut self, value: String) {
        self.value = Some(value);
    }

    /// The value, once resolved.
    pub fn expose(&self) -> Option<&str> {
        self.value.as_deref()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.source)
    }
}
