//! Who may ask: checks before any endpoint runs.
//!
//! A page in somebody's browser can send requests to a loopback listener. Two checks keep it out, whatever name it
//! resolves to this machine: the `Host` must be one that is served here, and a request that changes something must
//! come from no site or from this one. Tokens are the only check that counts where the listener is not a loopback
//! address.
//!
//! A browser's session reads everything that its token may; it changes something through the forms of the pages alone,
//! which hold a token of their own.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::access::{Peer, Tokens};
use crate::data_plane::Plane;
use crate::problem::{Kind, Problem};

/// What is checked.
pub(crate) struct Guard {
    /// Bearer tokens.
    pub(crate) tokens: Tokens,
    /// Tells the time, for sessions.
    pub(crate) plane: Plane,
    /// Paths that need no token: orchestrators' probes have none, and the answers say next to nothing.
    pub(crate) open: Vec<&'static str>,
    /// Whether only loopback names, and `hosts`, are served.
    pub(crate) loopback_only: bool,
    /// Further names, in lower case and without ports.
    pub(crate) hosts: Vec<String>,
}

/// The middleware.
pub(crate) async fn check(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    match guard.check(&mut request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

impl Guard {
    /// Lets a request pass, and tells it who asks.
    fn check(&self, request: &mut Request) -> Result<(), Problem> {
        let authority = authority(request.uri(), request.headers())?;
        self.check_host(host_of(authority))?;
        if changes(request.method()) {
            check_origin(request.headers(), authority)?;
        }
        if !self.open.contains(&request.uri().path()) {
            let peer = Guard::peer(request.extensions());
            let is_form = !request.uri().path().starts_with("/api/");
            let cookie_counts = is_form || !changes(request.method());
            let cookie_at = cookie_counts.then(|| self.plane.now());
            let caller = self.tokens.identify(request.headers(), peer, cookie_at)?;
            request.extensions_mut().insert(caller);
        }
        if let Some(token) = self.tokens.form_token(request.headers()) {
            request.extensions_mut().insert(token);
        }
        Ok(())
    }

    /// Where a request comes from.
    pub(crate) fn peer(request: &axum::http::Extensions) -> IpAddr {
        request.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0)
    }

    fn check_host(&self, host: &str) -> Result<(), Problem> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        if !self.loopback_only || is_loopback(&host) || self.hosts.contains(&host) {
            return Ok(());
        }
        Err(Problem::new(Kind::ForeignHost, "the Host is neither a loopback name nor a configured one"))
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
