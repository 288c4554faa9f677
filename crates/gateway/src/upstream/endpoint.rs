//! Where a backend is: a base URL, taken apart once.

use http::HeaderValue;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};

/// One base URL of a backend.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// As configured.
    pub(crate) url: String,
    /// Name or address to connect to, without brackets.
    pub(crate) host: String,
    /// Port to connect to.
    pub(crate) port: u16,
    /// Whether TLS is spoken.
    pub(crate) tls: bool,
    /// Whether HTTP/2 is spoken without asking.
    pub(crate) h2c: bool,
    /// `host[:port]` as it goes into requests.
    pub(crate) authority: Authority,
    /// The same as a header value.
    pub(crate) host_header: HeaderValue,
    /// Path prefix without a trailing slash; usually empty.
    prefix: String,
}

/// A base URL that nothing can be sent to.
#[derive(Debug, thiserror::Error)]
#[error("`{url}` is not a base URL: {why}")]
pub struct BadEndpoint {
    url: String,
    why: &'static str,
}

impl Endpoint {
    pub(crate) fn parse(url: &str, h2c: bool) -> Result<Endpoint, BadEndpoint> {
        let bad = |why| BadEndpoint { url: url.to_owned(), why };
        let uri: Uri = url.parse().map_err(|_| bad("it does not parse"))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(bad("it starts with neither http:// nor https://")),
        };
        let authority = uri.authority().cloned().ok_or_else(|| bad("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("it holds a user name; use `keys`"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let host_header =
            HeaderValue::from_str(authority.as_str()).map_err(|_| bad("its host is not a header value"))?;
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(Endpoint { url: url.to_owned(), host, port, tls, h2c, authority, host_header, prefix })
    }

    /// The target of a request: origin form on HTTP/1.1, absolute on HTTP/2.
    pub(crate) fn target(&self, path: &PathAndQuery, absolute: bool) -> Uri {
        let path = if self.prefix.is_empty() {
            path.clone()
        } else {
            let joined = format!("{}{}", self.prefix, path.as_str());
            PathAndQuery::try_from(joined).unwrap_or_else(|_| path.clone())
        };
        let mut parts = http::uri::Parts::default();
        parts.path_and_query = Some(path);
        if absolute {
            parts.scheme = Some(if self.tls { Scheme::HTTPS } else { Scheme::HTTP });
            parts.authority = Some(self.authority.clone());
        }
        Uri::from_parts(parts).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_taken_apart() {
        let e = Endpoint::parse("https://[::1]:9443/models/", false).unwrap();
        assert_eq!((e.host.as_str(), e.port, e.tls), ("::1", 9443, true));
        let path = PathAndQuery::from_static("/v2/x?y=1");
        assert_eq!(e.target(&path, true).to_string(), "https://[::1]:9443/models/v2/x?y=1");
        assert_eq!(e.target(&path, false).to_string(), "/models/v2/x?y=1");
    }

    #[test]
    fn what_is_no_base_url_says_why() {
        for (url, why) in [
            ("127.0.0.1:9001", "neither"),
            ("ftp://host", "neither"),
            ("http://user:pass@host", "user name"),
            ("http://", "does not parse"),
        ] {
            let error = Endpoint::parse(url, false).unwrap_err().to_string();
            assert!(error.contains(why), "{url}: {error}");
        }
    }
}
