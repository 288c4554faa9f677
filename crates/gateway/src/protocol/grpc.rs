//! gRPC as it looks in HTTP/2: frames around messages, statuses in trailers, deadlines in a header.
//!
//! Sources: "gRPC over HTTP2" (the wire), "HTTP to gRPC Status Code Mapping", and proposal A6 (pushback on retries).

mod details;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use mainstay_core::resilience::outcome::{FailureKind, Outcome};
use mainstay_core::time::Time;

use super::error::{Failure, FailureCause};
use super::retry_after;

/// The content type; what follows it names the messages' coding.
pub const CONTENT_TYPE: &str = "application/grpc";
/// How long the caller waits.
pub const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// The codings of messages that are understood.
pub const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// What stands before a message: whether it is compressed, and its length in four bytes.
const PREFIX_BYTES: usize = 5;
/// Most bytes of a status message that is written.
const MESSAGE_MAX: usize = 1024;

/// The status codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Code {
    /// All is well.
    Ok = 0,
    /// The caller left.
    Cancelled = 1,
    /// Nobody says what it is.
    Unknown = 2,
    /// The request is wrong.
    InvalidArgument = 3,
    /// It took too long.
    DeadlineExceeded = 4,
    /// No such model.
    NotFound = 5,
    /// It exists already.
    AlreadyExists = 6,
    /// The caller may not.
    PermissionDenied = 7,
    /// Too much is asked at once, or of a quota.
    ResourceExhausted = 8,
    /// Not in this state.
    FailedPrecondition = 9,
    /// Others were in the way.
    Aborted = 10,
    /// Beyond an end.
    OutOfRange = 11,
    /// No such method.
    Unimplemented = 12,
    /// The server broke.
    Internal = 13,
    /// Not there at this moment.
    Unavailable = 14,
    /// Data are lost.
    DataLoss = 15,
    /// Nobody knows the caller.
    Unauthenticated = 16,
}

impl Code {
    const ALL: [Code; 17] = [
        Code::Ok,
        Code::Cancelled,
        Code::Unknown,
        Code::InvalidArgument,
        Code::DeadlineExceeded,
        Code::NotFound,
        Code::AlreadyExists,
        Code::PermissionDenied,
        Code::ResourceExhausted,
        Code::FailedPrecondition,
        Code::Aborted,
        Code::OutOfRange,
        Code::Unimplemented,
        Code::Internal,
        Code::Unavailable,
        Code::DataLoss,
        Code::Unauthenticated,
    ];

    /// The code in trailers, or in the headers of an answer that has no body. `None`: there is none. One that nobody knows is
    /// [`Code::Unknown`].
    ///
    /// ```
    /// use http::{HeaderMap, HeaderValue};
    /// use mainstay_gateway::protocol::grpc::Code;
    ///
    /// let mut trailers = HeaderMap::new();
    /// assert_eq!(Code::of(&trailers), None);
    /// trailers.insert("grpc-status", HeaderValue::from_static("14"));
    /// assert_eq!(Code::of(&trailers), Some(Code::Unavailable));
    /// ```
    pub fn of(trailers: &HeaderMap) -> Option<Code> {
        let text = trailers.get(&STATUS)?.to_str().ok().map(str::trim);
        let number = text.and_then(|text| text.parse::<usize>().ok());
        Some(number.and_then(|number| Code::ALL.get(number).copied()).unwrap_or(Code::Unknown))
    }

    /// The HTTP status that comes closest: requests are counted under it.
    pub const fn http_status(self) -> u16 {
        match self {
            Code::Ok => 200,
            Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => 400,
            Code::Unauthenticated => 401,
            Code::PermissionDenied => 403,
            Code::NotFound | Code::Unimplemented => 404,
            Code::AlreadyExists => 409,
            Code::ResourceExhausted => 429,
            Code::Cancelled => 499,
            Code::Unknown | Code::Aborted | Code::Internal | Code::DataLoss => 500,
            Code::Unavailable => 503,
            Code::DeadlineExceeded => 504,
        }
    }

    /// What an HTTP status means where gRPC was expected: a proxy's error.
    pub const fn of_http(status: u16) -> Code {
        match status {
            400 => Code::Internal,
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 => Code::Unimplemented,
            429 | 502..=504 => Code::Unavailable,
            _ => Code::Unknown,
        }
    }

    const fn value(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Code::Ok => "0",
            Code::Cancelled => "1",
            Code::Unknown => "2",
            Code::InvalidArgument => "3",
            Code::DeadlineExceeded => "4",
            Code::NotFound => "5",
            Code::AlreadyExists => "6",
            Code::PermissionDenied => "7",
            Code::ResourceExhausted => "8",
            Code::FailedPrecondition => "9",
            Code::Aborted => "10",
            Code::OutOfRange => "11",
            Code::Unimplemented => "12",
            Code::Internal => "13",
            Code::Unavailable => "14",
            Code::DataLoss => "15",
            Code::Unauthenticated => "16",
        })
    }

    const fn of_cause(cause: FailureCause) -> Code {
        match cause {
            FailureCause::BadRequest
            | FailureCause::TooLarge
            | FailureCause::Veiled
            | FailureCause::HeadTooLarge
            | FailureCause::NotGrpc => Code::InvalidArgument,
            FailureCause::Unauthenticated => Code::Unauthenticated,
            FailureCause::Forbidden | FailureCause::Blocked => Code::PermissionDenied,
            FailureCause::NotFound | FailureCause::MethodNotAllowed => Code::Unimplemented,
            FailureCause::BodyTimeout | FailureCause::Deadline => Code::DeadlineExceeded,
            FailureCause::Shed | FailureCause::RateLimited => Code::ResourceExhausted,
            FailureCause::Internal => Code::Internal,
            FailureCause::Upstream | FailureCause::Exhausted => Code::Unavailable,
        }
    }
}

/// What a backend's status says about the backend.
///
/// - RESOURCE_EXHAUSTED that says a message is too large is the caller's mistake, and INVALID_ARGUMENT or FAILED_PRECONDITION that says a
///   model "is not ready yet" is none.
/// - How long the backend wants to be left alone stands in `grpc-retry-pushback-ms`; below 0 it wants no retry at all, which is an hour here.
///   Otherwise in `google.rpc.RetryInfo`, among the status' details.
pub fn outcome(code: Code, trailers: &HeaderMap, now: Time) -> Outcome {
    let failure = |kind| Outcome::Failure { kind, retry_after: pushback(trailers, now) };
    let caller = || Outcome::Caller { status: code.http_status() };
    let says = |text: &str| {
        trailers.get(&MESSAGE).is_some_and(|said| memchr::memmem::find(said.as_bytes(), text.as_bytes()).is_some())
    };
    match code {
        Code::Ok => Outcome::Success,
        Code::InvalidArgument | Code::FailedPrecondition if says("is not ready yet") => failure(FailureKind::Server),
        Code::ResourceExhausted if says("larger than max") || says("exceeds maximum size") => {
            Outcome::Caller { status: 413 }
        }
        Code::ResourceExhausted => Outcome::Throttled { retry_after: pushback(trailers, now) },
        Code::DeadlineExceeded => failure(FailureKind::Timeout),
        Code::Cancelled | Code::Unknown | Code::Aborted | Code::Internal | Code::Unavailable | Code::DataLoss => {
            failure(FailureKind::Server)
        }
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => caller(),
    }
}

fn pushback(trailers: &HeaderMap, now: Time) -> Option<Duration> {
    let Some(value) = trailers.get(&PUSHBACK) else {
        let told = details::retry_delay(trailers).map(|wait| wait.min(super::MAX_RETRY_AFTER));
        return told.or_else(|| retry_after(trailers, now));
    };
    let millis: i64 = value.to_str().ok()?.trim().parse().ok()?;
    let wait = u64::try_from(millis).map_or(super::QUOTA_PAUSE, Duration::from_millis);
    Some(wait.min(super::MAX_RETRY_AFTER))
}

/// Whether headers say that gRPC is spoken.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let said = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let rest = said.strip_prefix(CONTENT_TYPE.as_bytes());
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// The first message of a body, where it is there in whole and not compressed.
///
/// ```
/// use mainstay_gateway::protocol::grpc::{first_message, frame};
///
/// let framed = frame(b"message");
/// assert_eq!(first_message(&framed), Some(&b"message"[..]));
/// assert_eq!(first_message(&framed[..10]), None);
/// ```
pub fn first_message(body: &[u8]) -> Option<&[u8]> {
    let end = first_frame_end(body)?;
    (body[0] == 0).then(|| &body[PREFIX_BYTES..end])
}

/// Where the first frame ends; `None`: it is not there in whole.
pub fn first_frame_end(body: &[u8]) -> Option<usize> {
    let (_, length) = body.split_first_chunk::<1>()?;
    let (length, rest) = length.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length) as usize;
    (rest.len() >= length).then_some(PREFIX_BYTES + length)
}

/// Whether a body is one message, compressed or not, and nothing else.
pub fn is_one_message(body: &[u8]) -> bool {
    first_frame_end(body) == Some(body.len())
}

/// A message as a body.
pub fn frame(message: &[u8]) -> Bytes {
    let mut framed = Vec::with_capacity(PREFIX_BYTES + message.len());
    framed.push(0);
    // A message is far below `limits.body`, which is far below 4 GiB.
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    framed.extend_from_slice(message);
    framed.into()
}

/// The trailers of a success.
pub fn ok() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(STATUS, Code::Ok.value());
    trailers
}

/// The trailers of an answer that came to nothing.
pub fn trailers(code: Code, message: &str) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    write_status(code, message, &mut trailers);
    trailers
}

fn write_status(code: Code, message: &str, fields: &mut HeaderMap) {
    fields.insert(STATUS, code.value());
    if let Ok(message) = HeaderValue::from_str(&percent(message)) {
        fields.insert(MESSAGE, message);
    }
}

/// Writes a failure as an answer without a body: `grpc-status`, `grpc-message`, and `grpc-retry-pushback-ms`, which is -1 where the caller
/// shall not come again.
pub fn write_failure(failure: &Failure<'_>, fields: &mut HeaderMap) {
    write_status(Code::of_cause(failure.cause), &failure.message, fields);
    let pushback = match (failure.should_retry, failure.retry_after) {
        (Some(false), _) => Some(HeaderValue::from_static("-1")),
        (Some(true) | None, Some(after)) => {
            Some(HeaderValue::from(u64::try_from(after.as_millis()).unwrap_or(u64::MAX)))
        }
        (Some(true) | None, None) => None,
    };
    if let Some(pushback) = pushback {
        fields.insert(PUSHBACK, pushback);
    }
}

/// A status message on the wire: what is not printable ASCII, and `%`, is percent-encoded.
fn percent(message: &str) -> Cow<'_, str> {
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'%';
    if message.len() <= MESSAGE_MAX && message.bytes().all(plain) {
        return Cow::Borrowed(message);
    }
    let mut written = String::with_capacity(message.len() + 16);
    for byte in message.bytes().take(MESSAGE_MAX) {
        if plain(byte) {
            written.push(char::from(byte));
        } else {
            let _ = write!(written, "%{byte:02X}");
        }
    }
    Cow::Owned(written)
}

/// A deadline as `grpc-timeout` has it: up to eight digits and a unit. One of 0 has passed.
///
/// ```
/// use std::time::Duration;
/// use mainstay_gateway::protocol::grpc::timeout;
///
/// assert_eq!(timeout("250m"), Some(Duration::from_millis(250)));
/// assert_eq!(timeout("2S"), Some(Duration::from_secs(2)));
/// assert_eq!(timeout("1000000000n"), None, "nine digits are too many");
/// ```
pub fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// A duration as `grpc-timeout` has it, never longer than it is.
pub fn timeout_value(left: Duration) -> HeaderValue {
    let micros = left.as_micros();
    let text = match micros {
        0..=99_999_999 => format!("{micros}u"),
        100_000_000..=99_999_999_999 => format!("{}m", left.as_millis()),
        _ => format!("{}S", left.as_secs().min(99_999_999)),
    };
    HeaderValue::try_from(text).expect("digits and a letter are a header value")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_timeout_that_is_written_is_read_and_never_longer(micros in 0_u64..1 << 46) {
            let left = Duration::from_micros(micros);
            let written = timeout_value(left);
            let read = timeout(written.to_str().unwrap()).unwrap();
            prop_assert!(read <= left && read.as_secs_f64() >= left.as_secs_f64() * 0.99);
        }

        #[test]
        fn nothing_that_comes_is_read_beyond_its_end(body: Vec<u8>, text: String) {
            if let Some(end) = first_frame_end(&body) {
                prop_assert!((PREFIX_BYTES..=body.len()).contains(&end));
            }
            let _ = (first_message(&body), timeout(&text), percent(&text));
        }
    }

    #[test]
    fn a_status_message_is_encoded_where_it_has_to_be() {
        assert_eq!(percent("no route takes /x"), "no route takes /x");
        assert_eq!(percent("50% für alle\n"), "50%25 f%C3%BCr alle%0A");
    }

    #[test]
    fn statuses_say_who_is_to_blame() {
        let judged = |code: Code, said: &'static str, pushback: Option<&'static str>| {
            let mut all = trailers(code, said);
            if let Some(pushback) = pushback {
                all.insert(PUSHBACK, HeaderValue::from_static(pushback));
            }
            outcome(code, &all, Time::ZERO)
        };
        let hour = Some(Duration::from_hours(1));
        let second = Some(Duration::from_secs(1));
        let failed = |retry_after| Outcome::Failure { kind: FailureKind::Server, retry_after };
        assert_eq!(judged(Code::Ok, "", None), Outcome::Success);
        assert_eq!(judged(Code::Unavailable, "x", Some("1000")), failed(second));
        assert_eq!(judged(Code::Unavailable, "x", Some("-1")), failed(hour));
        assert_eq!(judged(Code::ResourceExhausted, "x", Some("1000")), Outcome::Throttled { retry_after: second });
        let large = "Received message larger than max (5 vs. 4)";
        assert_eq!(judged(Code::ResourceExhausted, large, None), Outcome::Caller { status: 413 });
        assert_eq!(judged(Code::InvalidArgument, "bad shape", None), Outcome::Caller { status: 400 });
        assert_eq!(judged(Code::InvalidArgument, "Model m is not ready yet.", None), failed(None));
        assert_eq!(judged(Code::DeadlineExceeded, "", None), Outcome::failure(FailureKind::Timeout));
        assert_eq!(judged(Code::Unimplemented, "", None), Outcome::Caller { status: 404 });
    }
}
