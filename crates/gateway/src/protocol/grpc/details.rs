//! What a status says besides its code: `google.rpc.Status` in `grpc-status-details-bin`, as far as it says when to come back.
//!
//! Sources: "Richer error model" (grpc.io), `google/rpc/status.proto`, `google/rpc/error_details.proto`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, HeaderName};
use prost::Message;

const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
/// The end of a type's address.
const RETRY_INFO: &str = "/google.rpc.RetryInfo";

/// Senders leave the padding out, or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Span>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// How long the server asks to be left alone (`google.rpc.RetryInfo`). Details that cannot be read say nothing.
pub(super) fn retry_delay(trailers: &HeaderMap) -> Option<Duration> {
    // Values of one name may have been joined.
    let values = trailers.get_all(DETAILS).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    values.into_iter().find_map(|value| told(value.trim_ascii()))
}

fn told(value: &[u8]) -> Option<Duration> {
    let status = Status::decode(&*BASE64.decode(value).ok()?).ok()?;
    let info = status.details.iter().find(|detail| detail.type_url.ends_with(RETRY_INFO))?;
    let Span { seconds, nanos } = RetryInfo::decode(&*info.value).ok()?.retry_delay?;
    let nanos = u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(u64::try_from(seconds).ok()?, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    /// RESOURCE_EXHAUSTED, "slow down", with a `google.rpc.ErrorInfo` (`reason: RATE`) and a `RetryInfo` of 2.5 s, made by hand.
    const TOLD: &str = "CAgSCXNsb3cgZG93bhoyCih0eXBlLmdvb2dsZWFwaXMuY29tL2dvb2dsZS5ycGMuRXJyb3JJbmZvEgYKBFJBVEUaNgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIKCggIAhCAyrXuAQ==";

    fn read(values: &[&str]) -> Option<Duration> {
        let value = |text: &&str| (DETAILS, HeaderValue::from_str(text).expect("ASCII"));
        retry_delay(&values.iter().map(value).collect())
    }

    fn written(type_url: &str, seconds: i64, nanos: i32) -> String {
        let value = RetryInfo { retry_delay: Some(Span { seconds, nanos }) }.encode_to_vec();
        BASE64.encode(Status { details: vec![Any { type_url: type_url.to_owned(), value }] }.encode_to_vec())
    }

    #[test]
    fn a_delay_is_found_among_the_details_padded_or_not() {
        assert_eq!(read(&[TOLD]), Some(Duration::from_millis(2500)));
        let of_google = "type.googleapis.com/google.rpc.RetryInfo";
        let whole = written(of_google, 7, 500_000_000);
        let half = Some(Duration::from_millis(7500));
        assert_eq!(read(&[&whole]), half);
        assert_eq!(read(&[whole.trim_end_matches('=')]), half);
        assert_eq!(read(&[&format!("AAAA, {whole}")]), half, "joined with another");
        assert_eq!(read(&["!", &whole]), half);
        assert_eq!(read(&[&written(of_google, 0, 0)]), Some(Duration::ZERO));
    }

    #[test]
    fn details_that_make_no_sense_say_nothing() {
        let of_google = "type.googleapis.com/google.rpc.RetryInfo";
        let whole = written(of_google, 7, 0);
        for end in 0..whole.len() {
            // Cut anywhere; what is left is never another delay.
            assert!(matches!(read(&[&whole[..end]]).map(|wait| wait.as_secs()), None | Some(7)), "cut at {end}");
        }
        for bad in [
            written(of_google, -1, 0),
            written(of_google, 1, -5),
            written(of_google, 1, i32::MAX),
            "%%%".into(),
            "/////w".into(),
        ] {
            assert_eq!(read(&[&bad]), None, "{bad}");
        }
        assert_eq!(read(&[&written("type.googleapis.com/google.rpc.ErrorInfo", 7, 0)]), None);
        assert_eq!(read(&[]), None);
    }
}
