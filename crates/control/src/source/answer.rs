//! What `/api/v1/query` answers (<https://prometheus.io/docs/prometheus/latest/querying/api/>).

use serde::Deserialize;

use super::{QueryError, SERIES_MAX};

/// Longest part of an error that is kept.
const REASON_CHARS_MAX: usize = 300;

#[derive(Deserialize)]
struct Answer {
    status: String,
    #[serde(default)]
    data: Option<Data>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: serde_json::Value,
}

#[derive(Deserialize)]
struct Series {
    value: Option<(f64, String)>,
}

/// The sum of a result's series. Series that are not a number (a ratio of nothing) count as absent.
pub(super) fn value(status: u16, body: &[u8]) -> Result<Option<f64>, QueryError> {
    let answer: Answer = match serde_json::from_slice(body) {
        Ok(answer) => answer,
        Err(_) if !(200..300).contains(&status) => {
            return Err(QueryError::Refused { status, reason: shortened(&String::from_utf8_lossy(body)) });
        }
        Err(error) => return Err(QueryError::Answer(error.to_string())),
    };
    match answer.data {
        Some(data) if answer.status == "success" => sum(data),
        Some(_) | None => {
            let reason = answer.error.as_deref().map_or_else(|| "no reason given".to_owned(), shortened);
            Err(QueryError::Refused { status, reason })
        }
    }
}

fn sum(data: Data) -> Result<Option<f64>, QueryError> {
    let numbers = match data.kind.as_str() {
        "vector" => vector(data.result)?,
        "scalar" => {
            let (_, value): (f64, String) = understood(data.result)?;
            vec![number(&value)?]
        }
        "matrix" | "string" => {
            let message = format!("a {} is not one value per series; the expression may lack a function", data.kind);
            return Err(QueryError::Shape(message));
        }
        other => return Err(QueryError::Answer(format!("a result of the unknown type {}", shortened(other)))),
    };
    let numbers: Vec<f64> = numbers.into_iter().filter(|number| !number.is_nan()).collect();
    let sum: f64 = numbers.iter().sum();
    if numbers.is_empty() {
        Ok(None)
    } else if sum.is_finite() {
        Ok(Some(sum))
    } else {
        Err(QueryError::Shape("the value is infinite".to_owned()))
    }
}

fn vector(result: serde_json::Value) -> Result<Vec<f64>, QueryError> {
    let series: Vec<Series> = understood(result)?;
    if series.len() > SERIES_MAX {
        let message = format!("{} series; at most {SERIES_MAX} are added up, wrap it in sum()", series.len());
        return Err(QueryError::Shape(message));
    }
    let lacks = || QueryError::Shape("a series without a plain value, such as a native histogram".to_owned());
    series.into_iter().map(|series| number(&series.value.ok_or_else(lacks)?.1)).collect()
}

fn understood<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> Result<T, QueryError> {
    serde_json::from_value(value).map_err(|error| QueryError::Answer(error.to_string()))
}

/// Prometheus writes `NaN`, `+Inf` and `-Inf` as words.
fn number(words: &str) -> Result<f64, QueryError> {
    words.parse().map_err(|_| QueryError::Answer(format!("`{}` is not a number", shortened(words))))
}

fn shortened(words: &str) -> String {
    words.chars().take(REASON_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn success(data: &str) -> Result<Option<f64>, QueryError> {
        value(200, format!(r#"{{"status":"success","data":{data}}}"#).as_bytes())
    }

    #[test]
    fn series_are_added_up_and_what_is_no_number_is_absent() {
        let two = r#"{"resultType":"vector","result":[{"metric":{},"value":[1.5,"2"]},{"metric":{"a":"b"},"value":[1.5,"0.5"]}]}"#;
        assert_eq!(success(two).unwrap(), Some(2.5));
        assert_eq!(success(r#"{"resultType":"scalar","result":[1,"7"]}"#).unwrap(), Some(7.0));
        assert_eq!(success(r#"{"resultType":"vector","result":[]}"#).unwrap(), None);
        let nothing = r#"{"resultType":"vector","result":[{"metric":{},"value":[1,"NaN"]}]}"#;
        assert_eq!(success(nothing).unwrap(), None);
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        let infinite = r#"{"resultType":"vector","result":[{"metric":{},"value":[1,"+Inf"]}]}"#;
        assert!(matches!(success(infinite), Err(QueryError::Shape(_))));
        assert!(matches!(success(r#"{"resultType":"matrix","result":[]}"#), Err(QueryError::Shape(_))));
        let histogram = r#"{"resultType":"vector","result":[{"metric":{},"histogram":[1,{}]}]}"#;
        assert!(matches!(success(histogram), Err(QueryError::Shape(_))));
        assert!(matches!(success(r#"{"resultType":"tensor","result":[]}"#), Err(QueryError::Answer(_))));
        assert!(matches!(value(200, b"<html>"), Err(QueryError::Answer(_))));
        assert!(matches!(value(503, b"down"), Err(QueryError::Refused { status: 503, .. })));
        let refused = value(400, br#"{"status":"error","errorType":"bad_data","error":"parse error"}"#);
        assert_eq!(refused.unwrap_err().to_string(), "refused with 400: parse error");
        let many = (0..=SERIES_MAX).map(|_| r#"{"metric":{},"value":[1,"1"]}"#).collect::<Vec<_>>().join(",");
        let many = success(&format!(r#"{{"resultType":"vector","result":[{many}]}}"#));
        assert!(many.unwrap_err().to_string().contains("sum()"));
    }
}
