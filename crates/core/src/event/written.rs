//! Times as RFC 3339 in what is written: for `#[serde(with = "...")]`.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

use super::rfc3339;
use crate::time::Time;

/// Writes a time.
pub fn serialize<S: Serializer>(time: &Time, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&rfc3339::format(*time))
}

/// Reads a time.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
    let text = String::deserialize(from)?;
    rfc3339::parse(&text).ok_or_else(|| D::Error::custom("not a time of RFC 3339 since 1970"))
}

/// The same where there may be none.
pub mod optional {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::rfc3339;
    use crate::time::Time;

    /// Writes a time, or nothing.
    pub fn serialize<S: Serializer>(time: &Option<Time>, to: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::serialize(time, to),
            None => to.serialize_none(),
        }
    }

    /// Reads a time, or nothing.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Time>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
        rfc3339::parse(&text).map(Some).ok_or_else(|| D::Error::custom("not a time of RFC 3339 since 1970"))
    }
}
