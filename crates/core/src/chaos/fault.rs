//! What goes wrong: one fault, with its parameters, at a named point of the request path.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::written;
use crate::rng::Rng;

/// Longest delay that a law gives: a draw from a heavy tail is cut there.
pub const DELAY_MAX: Duration = Duration::from_mins(10);

/// One fault.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A backend fails: by a status (429 among them), at the connection, or with an error in the body of a 200.
    ModelError(Failing),
    /// A backend answers later.
    ModelLatency(Delay),
    /// A feature store answers later.
    FeatureLatency(Delay),
    /// A feature store fails.
    FeatureError(Failing),
    /// A feature store's values are older than they are.
    StaleFeatures(Stale),
    /// A feature store's values are not what they should be.
    DataQuality(Spoiled),
    /// Another version of the model is asked.
    WrongVersion(Version),
    /// A streamed answer begins later.
    SlowFirstToken(Delay),
    /// A streamed answer stops in its middle and stays open.
    StalledStream(After),
    /// A streamed answer ends in its middle.
    TruncatedStream(After),
    /// A backend's answer cannot be read.
    MalformedAnswer(Malformed),
    /// More traffic: the route's own recent requests again, on top of the real ones.
    Overload(Overload),
}

/// How something fails.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failing {
    /// In which way; a status where nothing is said.
    #[serde(default)]
    pub how: How,
    /// The status, from 400 to 599; with `how: status` only. 503 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What `Retry-After` says, with a status only; absent: no such header.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "written::optional_duration")]
    pub retry_after: Option<Duration>,
}

/// A way to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// An answer with a status.
    #[default]
    Status,
    /// The connection is refused.
    Connect,
    /// The TLS handshake fails.
    Tls,
    /// The connection breaks before the answer.
    Reset,
    /// Status 200, and an error of the protocol in its body.
    ErrorBody,
}

/// By how much something is later.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Delay {
    /// Always as much.
    Fixed(#[serde(with = "written::duration")] Duration),
    /// Lognormal: half of the delays are below the median, and the logarithm has the deviation `sigma`.
    Lognormal {
        /// The median.
        #[serde(with = "written::duration")]
        median: Duration,
        /// The deviation of the natural logarithm, above 0 and at most 3.
        sigma: f64,
    },
    /// Pareto, a heavy tail: P(delay > x) = (least / x)^alpha, cut at [`DELAY_MAX`].
    Pareto {
        /// The least delay.
        #[serde(with = "written::duration")]
        least: Duration,
        /// The tail's index, from 0.5 to 10; the mean is infinite up to 1.
        alpha: f64,
    },
}

/// By how much values are older.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stale {
    /// By how much.
    #[serde(with = "written::duration")]
    pub age: Duration,
}

/// What becomes of values.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spoiled {
    /// What becomes of them.
    pub change: Change,
    /// The features by reference; none: all of the set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refs: Vec<String>,
}

/// What becomes of a value.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The store does not know it.
    Missing,
    /// So much is added to a number.
    Shifted(f64),
    /// A number is multiplied, as where units are mixed up.
    Scaled(f64),
    /// Each value stands where the next of the references should.
    Swapped,
    /// A number beyond any that occurs: 1e9.
    OutOfRange,
}

/// Another version of a model.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// The model; absent: the backend's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Where in a streamed answer something happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    /// After so many parts that hold something; a language model's server sends one for each token, or nearly so.
    pub parts: u32,
}

/// How an answer cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Malformed {
    /// In which way.
    pub how: Shape,
}

/// What is left of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Its first half.
    Broken,
    /// Nothing.
    Empty,
    /// JSON of another shape.
    OtherShape,
}

/// More traffic.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overload {
    /// All of the traffic as a multiple of the real one, above 1 and at most 100.
    pub factor: f64,
}

/// The point of the request path at which a fault works.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Point {
    /// A call to a backend.
    Backend,
    /// A call to a feature store.
    Features,
    /// A streamed answer.
    Stream,
    /// A route's door.
    Admission,
}

impl Fault {
    /// Where it works.
    pub const fn point(&self) -> Point {
        match self {
            Fault::ModelError(_) | Fault::ModelLatency(_) | Fault::WrongVersion(_) | Fault::MalformedAnswer(_) => {
                Point::Backend
            }
            Fault::FeatureLatency(_) | Fault::FeatureError(_) | Fault::StaleFeatures(_) | Fault::DataQuality(_) => {
                Point::Features
            }
            Fault::SlowFirstToken(_) | Fault::StalledStream(_) | Fault::TruncatedStream(_) => Point::Stream,
            Fault::Overload(_) => Point::Admission,
        }
    }

    /// The name of its type, as metrics and documents have it.
    pub const fn name(&self) -> &'static str {
        match self {
            Fault::ModelError(_) => "model_error",
            Fault::ModelLatency(_) => "model_latency",
            Fault::FeatureLatency(_) => "feature_latency",
            Fault::FeatureError(_) => "feature_error",
            Fault::StaleFeatures(_) => "stale_features",
            Fault::DataQuality(_) => "data_quality",
            Fault::WrongVersion(_) => "wrong_version",
            Fault::SlowFirstToken(_) => "slow_first_token",
            Fault::StalledStream(_) => "stalled_stream",
            Fault::TruncatedStream(_) => "truncated_stream",
            Fault::MalformedAnswer(_) => "malformed_answer",
            Fault::Overload(_) => "overload",
        }
    }

    /// Whether a caller may get an answer that is wrong and looks right.
    pub const fn corrupts_answers(&self) -> bool {
        match self {
            Fault::DataQuality(spoiled) => !matches!(spoiled.change, Change::Missing),
            Fault::WrongVersion(_) | Fault::MalformedAnswer(_) => true,
            _ => false,
        }
    }

    /// What is wrong with its parameters, where anything is.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Fault::ModelError(failing) => failing.check(true),
            Fault::FeatureError(failing) => failing.check(false),
            Fault::ModelLatency(delay) | Fault::FeatureLatency(delay) | Fault::SlowFirstToken(delay) => delay.check(),
            Fault::StaleFeatures(stale) if stale.age.is_zero() => Err("`age` is above zero".to_owned()),
            Fault::DataQuality(spoiled) => spoiled.check(),
            Fault::WrongVersion(version) if version.model.is_none() && version.version.is_none() => {
                Err("`wrong_version` names a `model`, a `version` or both".to_owned())
            }
            Fault::Overload(overload) if !(overload.factor > 1.0 && overload.factor <= 100.0) => {
                Err("`factor` is above 1 and at most 100".to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl Failing {
    /// The status, where it fails by one.
    pub fn status(&self) -> u16 {
        self.status.unwrap_or(503)
    }

    fn check(&self, is_model: bool) -> Result<(), String> {
        if !(400..=599).contains(&self.status()) {
            return Err("`status` is from 400 to 599".to_owned());
        }
        if self.how != How::Status && (self.status.is_some() || self.retry_after.is_some()) {
            return Err("`status` and `retry_after` go with `how: status`".to_owned());
        }
        if !is_model && self.how == How::ErrorBody {
            return Err("a feature store has no `error_body`".to_owned());
        }
        Ok(())
    }
}

impl Spoiled {
    fn check(&self) -> Result<(), String> {
        match self.change {
            Change::Shifted(by) if !by.is_finite() || by == 0.0 => Err("`shifted` is a number other than 0".to_owned()),
            Change::Scaled(by) if !by.is_finite() || by == 1.0 => Err("`scaled` is a number other than 1".to_owned()),
            _ => Ok(()),
        }
    }
}

impl Delay {
    /// A delay by this law.
    pub fn draw(&self, rng: &mut Rng) -> Duration {
        let seconds = match self {
            Delay::Fixed(fixed) => return *fixed,
            Delay::Lognormal { median, sigma } => median.as_secs_f64() * (sigma * normal(rng)).exp(),
            Delay::Pareto { least, alpha } => least.as_secs_f64() * (1.0 - rng.unit()).powf(-1.0 / alpha),
        };
        Duration::try_from_secs_f64(seconds).unwrap_or(DELAY_MAX).min(DELAY_MAX)
    }

    fn check(&self) -> Result<(), String> {
        let (scale, shape) = match self {
            Delay::Fixed(fixed) => (*fixed, Ok(())),
            Delay::Lognormal { median, sigma } => {
                let ok = *sigma > 0.0 && *sigma <= 3.0;
                (*median, ok.then_some(()).ok_or("`sigma` is above 0 and at most 3"))
            }
            Delay::Pareto { least, alpha } => {
                let ok = (0.5..=10.0).contains(alpha);
                (*least, ok.then_some(()).ok_or("`alpha` is from 0.5 to 10"))
            }
        };
        if scale.is_zero() || scale > DELAY_MAX {
            return Err("a delay is above zero and at most 10 minutes".to_owned());
        }
        shape.map_err(str::to_owned)
    }
}

/// A draw from the standard normal law (Box and Muller 1958).
fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.unit()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.unit()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_read_as_they_are_written() {
        for text in [
            r#"{"model_error":{"how":"status","status":429,"retry_after":"2s"}}"#,
            r#"{"feature_latency":{"fixed":"500ms"}}"#,
            r#"{"model_latency":{"lognormal":{"median":"300ms","sigma":0.5}}}"#,
            r#"{"model_latency":{"pareto":{"least":"100ms","alpha":1.1}}}"#,
            r#"{"stale_features":{"age":"1d"}}"#,
            r#"{"data_quality":{"change":{"shifted":3.0},"refs":["account:amount"]}}"#,
            r#"{"data_quality":{"change":"missing"}}"#,
            r#"{"wrong_version":{"version":"2"}}"#,
            r#"{"truncated_stream":{"parts":3}}"#,
            r#"{"malformed_answer":{"how":"other_shape"}}"#,
            r#"{"overload":{"factor":2.0}}"#,
        ] {
            let fault: Fault = serde_json::from_str(text).unwrap();
            assert_eq!(fault.check(), Ok(()), "{text}");
            assert_eq!(serde_json::to_string(&fault).unwrap(), text);
            assert!(text.contains(fault.name()));
        }
        for wrong in [
            r#"{"model_error":{"status":200}}"#,
            r#"{"model_error":{"how":"connect","status":503}}"#,
            r#"{"feature_error":{"how":"error_body"}}"#,
            r#"{"model_latency":{"lognormal":{"median":"300ms","sigma":0.0}}}"#,
            r#"{"model_latency":{"pareto":{"least":"0s","alpha":1.0}}}"#,
            r#"{"model_latency":{"fixed":"11m"}}"#,
            r#"{"wrong_version":{}}"#,
            r#"{"overload":{"factor":1.0}}"#,
        ] {
            assert!(serde_json::from_str::<Fault>(wrong).unwrap().check().is_err(), "{wrong}");
        }
        assert!(serde_json::from_str::<Fault>(r#"{"model_error":{"code":503}}"#).is_err());
    }

    #[test]
    fn laws_have_their_quantiles() {
        let quantile = |delay: Delay, q: f64| {
            let mut rng = Rng::new(7);
            let mut drawn: Vec<f64> = (0..20_000).map(|_| delay.draw(&mut rng).as_secs_f64()).collect();
            drawn.sort_by(f64::total_cmp);
            drawn[(q * 20_000.0) as usize]
        };
        let lognormal = Delay::Lognormal { median: Duration::from_millis(300), sigma: 0.5 };
        assert!((quantile(lognormal, 0.5) / 0.3 - 1.0).abs() < 0.03);
        // 0.3 * exp(0.5 * 1.6449): the normal law's 95 % quantile.
        assert!((quantile(lognormal, 0.95) / (0.3 * (0.5_f64 * 1.6449).exp()) - 1.0).abs() < 0.05);
        let pareto = Delay::Pareto { least: Duration::from_millis(100), alpha: 2.0 };
        assert!((quantile(pareto, 0.5) / (0.1 * 2.0_f64.sqrt()) - 1.0).abs() < 0.03);
        assert!((quantile(pareto, 0.99) / 1.0 - 1.0).abs() < 0.15);
        assert!(quantile(pareto, 0.0) >= 0.1);
    }
}
