//! Durations and shares as people write them: `500ms`, `15m`, `5%`.

use std::time::Duration;

/// Longest duration of an experiment's document.
const LONGEST: Duration = Duration::from_hours(31 * 24);

const UNITS: [(&str, u64); 6] =
    [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

/// The duration that a text means; the error says what is wrong with it.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration: write `500ms`, `30s`, `15m` or `1h`");
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let (_, micros) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let duration = Duration::try_from_secs_f64(number * (*micros as f64) / 1e6).map_err(|_| wrong())?;
    if duration > LONGEST {
        return Err(format!("`{text}` is too long: at most 31 days"));
    }
    Ok(duration)
}

/// A duration in the longest unit that it is a whole number of.
pub fn format_duration(duration: Duration) -> String {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    if micros == 0 {
        return "0s".to_owned();
    }
    let (name, unit) = UNITS.iter().find(|(_, unit)| micros.is_multiple_of(*unit)).copied().unwrap_or(("us", 1));
    format!("{}{name}", micros / unit)
}

/// The share, from 0 to 1, that a text such as `5%` means.
pub fn parse_share(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` is no share: write `5%`");
    match number_and_unit(text).ok_or_else(wrong)? {
        (number, "%") if number <= 100.0 => Ok(number / 100.0),
        _ => Err(wrong()),
    }
}

/// A share in per cent.
pub fn format_share(share: f64) -> String {
    format!("{}%", (share * 1e8).round() / 1e6)
}

fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(end);
    let well_formed = number.starts_with(|c: char| c.is_ascii_digit()) && !number.ends_with('.');
    let number = number.parse::<f64>().ok().filter(|number| well_formed && number.is_finite())?;
    Some((number, unit.trim_start()))
}

/// `#[serde(with)]` for durations.
pub mod duration {
    use std::time::Duration;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes it.
    pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::format_duration(*duration))
    }

    /// Reads it.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        super::parse_duration(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// `#[serde(with)]` for durations that may be absent.
pub mod optional_duration {
    use std::time::Duration;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes it.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => to.serialize_str(&super::format_duration(*duration)),
            None => to.serialize_none(),
        }
    }

    /// Reads it.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| super::parse_duration(&text)).transpose().map_err(D::Error::custom)
    }
}

/// `#[serde(with)]` for shares.
pub mod share {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes it.
    pub fn serialize<S: Serializer>(share: &f64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::format_share(*share))
    }

    /// Reads it.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        super::parse_share(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        for text in ["500ms", "1500us", "15m", "1h", "90s", "2d", "0s"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
        assert_eq!(format_duration(parse_duration("1.5s").unwrap()), "1500ms");
        for text in ["5%", "0.1%", "100%", "12.5%", "0%"] {
            assert_eq!(format_share(parse_share(text).unwrap()), text);
        }
        for wrong in ["", "5", "s", "-1s", "1e3s", "5 minutes", "32d", "1.", "99999999999999d"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "5", "%", "101%", "-1%", "0.05"] {
            assert!(parse_share(wrong).is_err(), "{wrong}");
        }
    }
}
