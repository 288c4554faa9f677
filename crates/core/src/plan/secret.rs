//! Secrets, by reference.

use std::fmt;
use std::path::PathBuf;

/// A secret by reference: `env:NAME` or `file:PATH`; an address that may hold one can also be written out. The value never appears in a log, an error or an event.
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
    /// The config itself: an address that holds no secret.
    Written,
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretSource::Env(name) => write!(f, "env:{name}"),
            SecretSource::File(path) => write!(f, "file:{}", path.display()),
            SecretSource::Written => f.write_str("written in the config"),
        }
    }
}

impl Secret {
    /// A reference that nobody has resolved yet.
    pub fn unresolved(source: SecretSource) -> Secret {
        Secret { source, value: None }
    }

    /// What the config says itself.
    pub fn written(value: String) -> Secret {
        Secret { source: SecretSource::Written, value: Some(value) }
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
