use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use mainstay_core::route::{Class, Protocol};
use mainstay_core::time::Time;
use mainstay_gateway::protocol::{MAX_RETRY_AFTER, classify, hints, retry_after};

const PROTOCOLS: [Protocol; 4] = [Protocol::OpenInference, Protocol::Openai, Protocol::Anthropic, Protocol::Http];

/// Header lines, then an empty line, then the start of a body: waits are bounded, hints are sane, and every answer has
/// a class.
pub fn headers(bytes: &[u8]) {
    let (lines, body) = split(bytes);
    let headers = read(lines);
    let now = Time::from_secs(1_795_000_000);
    if let Some(wait) = retry_after(&headers, now) {
        assert!(wait <= MAX_RETRY_AFTER, "{wait:?}");
    }
    let objectives = BTreeMap::from_iter(Class::new(2).map(|class| ("batch".to_owned(), class)));
    let hints = hints(&headers, &objectives);
    assert!(hints.deadline.is_none_or(|deadline| !deadline.is_zero()));
    assert!(hints.ttft.is_none_or(|ttft| !ttft.is_zero()));
    for protocol in PROTOCOLS {
        for status in [200, 400, 404, 408, 422, 429, 500, 503, 529] {
            let outcome = classify(protocol, status, &headers, Some(body), now);
            assert!(outcome.retry_after().is_none_or(|wait| wait <= MAX_RETRY_AFTER), "{outcome:?}");
        }
    }
}

fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.windows(2).position(|two| two == b"\n\n").unwrap_or(bytes.len());
    (&bytes[..end], bytes.get(end + 2..).unwrap_or_default())
}

/// Lines that make no header are left out, as the HTTP library would refuse the request.
fn read(lines: &[u8]) -> HeaderMap {
    let fields = lines.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        Some((name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?))
    });
    fields.collect()
}
