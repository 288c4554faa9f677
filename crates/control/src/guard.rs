//! Who may ask: checks before any endpoint runs.
//!
//! A page in somebody's browser can send requests to a loopback listener. Two checks keep it out, whatever name it
//! resolves to this machine: the `Host` must be one that is served here, and a request that changes something must
//! come from no site or from this one. Tokens are the only check that counts where the listener is not a loopback
//! address.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use crate::problem::{Kind, Problem};

/// What is checked.
pub(crate) struct Guard {
    /// Bearer tokens; empty: none is asked for.
    pub(crate) tokens: Vec<String>,
    /// Whether only loopback names, and `hosts`, are served.
    pub(crate) loopback_only: bool,
    /// Further names, in lower case and without ports.
    pub(crate) hosts: Vec<String>,
}

/// Probes that may ask without a token: orchestrators have none, and the answers say next to nothing.
const OPEN: &[&str] = &["/healthz", "/readyz"];

/// The middleware.
pub(crate) async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.check(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

impl Guard {
    fn check(&self, request: &Request) -> Result<(), Problem> {
        let authority = authority(request.uri(), request.headers())?;
        self.check_host(host_of(authority))?;
        if changes(request.method()) {
            check_origin(request.headers(), authority)?;
        }
        if OPEN.contains(&request.uri().path()) { Ok(()) } else { self.check_token(request.headers()) }
    }

    fn check_host(&self, host: &str) -> Result<(), Problem> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        if !self.loopback_only || is_loopback(&host) || self.hosts.contains(&host) {
            return Ok(());
        }
        Err(Problem::new(Kind::ForeignHost, "the Host is neither a loopback name nor a configured one"))
    }

    /// Compares with every token, each in constant time, so that the time taken tells nothing of their contents.
    fn check_token(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if self.tokens.is_empty() {
            return Ok(());
        }
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
        let Some(shown) = shown else {
            return Err(Problem::new(Kind::Unauthorized, "there is no Authorization: Bearer header"));
        };
        let equal = self.tokens.iter().fold(0, |equal, token| equal | token.as_bytes().ct_eq(shown).unwrap_u8());
        if equal == 1 { Ok(()) } else { Err(Problem::new(Kind::Unauthorized, "the token is not known")) }
    }
}

/// The one authority that the request names.
fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<&'a str, Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    if hosts.next().is_some() {
        return Err(Problem::new(Kind::BadRequest, "there is more than one Host header"));
    }
    let named = uri.authority().map(axum::http::uri::Authority::as_str).or(host);
    named.ok_or_else(|| Problem::new(Kind::BadRequest, "there is no readable Host header"))
}

/// The host of `name:port` or `[address]:port`.
fn host_of(authority: &str) -> &str {
    if let Some(bracketed) = authority.strip_prefix('[') {
        return bracketed.split(']').next().unwrap_or("");
    }
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Browsers say where a request that changes something comes from; other callers say nothing.
fn check_origin(headers: &HeaderMap, authority: &str) -> Result<(), Problem> {
    let foreign = || Err(Problem::new(Kind::ForeignOrigin, "the request comes from another site"));
    if let Some(origin) = headers.get(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or("");
        let site = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        return if site.is_some_and(|site| site.eq_ignore_ascii_case(authority)) { Ok(()) } else { foreign() };
    }
    match headers.get("sec-fetch-site").map(axum::http::HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => foreign(),
    }
}

/// The token of `Bearer TOKEN`; the scheme's name is case-insensitive.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}
