//! Headers that are taken away, and headers that mainstay adds.

use http::header::{self, HeaderMap, HeaderName};

pub(crate) const LEVEL: HeaderName = HeaderName::from_static("x-mainstay-level");
pub(crate) const DEGRADED: HeaderName = HeaderName::from_static("x-mainstay-degraded");
pub(crate) const ATTEMPTS: HeaderName = HeaderName::from_static("x-mainstay-attempts");
/// To backends: the how manieth attempt at the request this is, from the second one on. The next mainstay on the way does not count it as a new one.
pub(crate) const ATTEMPT: HeaderName = HeaderName::from_static("x-mainstay-attempt");
pub(crate) const REASON: HeaderName = HeaderName::from_static("x-mainstay-reason");
pub(crate) const BACKEND: HeaderName = HeaderName::from_static("x-mainstay-backend");
pub(crate) const STALE: HeaderName = HeaderName::from_static("x-mainstay-stale-features");
/// The run of an experiment that touched the request; told to trusted callers.
pub(crate) const EXPERIMENT: HeaderName = HeaderName::from_static("x-mainstay-experiment");
/// Where a request stands in a trace (W3C).
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Where a caller says who it is.
const CREDENTIALS: [&str; 4] = ["authorization", "x-api-key", "api-key", "x-goog-api-key"];

/// What a caller says of who it is, by header, in the same order whichever came first.
pub(crate) fn credentials(headers: &HeaderMap) -> impl Iterator<Item = (&'static str, &[u8])> {
    CREDENTIALS.into_iter().flat_map(|name| headers.get_all(name).iter().map(move |value| (name, value.as_bytes())))
}

/// From a trusted caller: the request is a probe, and counts towards no objective.
const SYNTHETIC: HeaderName = HeaderName::from_static("x-mainstay-synthetic");

/// Whether a request says that it is a probe and no user's.
pub(crate) fn is_synthetic(headers: &HeaderMap) -> bool {
    headers.get(SYNTHETIC).is_some_and(|value| value.as_bytes() == b"true")
}

/// Removes what a backend says in our name: it may be another mainstay.
pub(crate) fn strip_ours(headers: &mut HeaderMap) {
    if !headers.keys().any(|name| name.as_str().starts_with("x-mainstay-")) {
        return;
    }
    for name in [LEVEL, DEGRADED, ATTEMPTS, REASON, BACKEND, STALE, EXPERIMENT] {
        headers.remove(name);
    }
}

const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::TE,
    header::UPGRADE,
    header::TRAILER,
    header::PROXY_AUTHORIZATION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
];

/// Removes the fields that belong to one connection (RFC 9110, section 7.6.1), those that `connection` names included.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // Most messages have none: one look over a few names is cheaper than eight removals.
    if !headers.keys().any(|name| HOP_BY_HOP.contains(name)) {
        return;
    }
    if let Some(connection) = headers.remove(header::CONNECTION) {
        let named = connection.to_str().unwrap_or("");
        for name in named.split(',').filter_map(|n| HeaderName::try_from(n.trim()).ok()) {
            if name != header::CONTENT_LENGTH && name != header::CONTENT_TYPE {
                headers.remove(name);
            }
        }
    }
    for name in &HOP_BY_HOP[1..] {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn what_belongs_to_one_connection_goes_no_further() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, x-private, content-length"),
            ("x-private", "1"),
            ("content-length", "3"),
            ("transfer-encoding", "chunked"),
            ("keep-alive", "timeout=5"),
            ("x-public", "2"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        strip_hop_by_hop(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "x-public"]);
    }
}
