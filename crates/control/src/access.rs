//! Who asks, and what they may do.
//!
//! Tokens are kept as SHA-256 hashes and nothing else. What a caller shows is hashed too and compared with every one in
//! constant time, so that the time taken tells nothing. A peer that guesses is made to wait: see [`failures`]. A browser
//! shows a token once and a cookie in its place afterwards: see [`session`].

mod failures;
mod session;

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use mainstay_core::plan::{Role, Token};
use mainstay_core::time::Time;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use crate::problem::{Kind, Problem};
use failures::Failures;
use session::Sessions;
pub(crate) use session::{COOKIE, FormToken, LASTING};

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The name of its token; `anyone` where no tokens are asked for.
    pub(crate) name: String,
    role: Role,
    /// Whether it showed a token.
    known: bool,
}

impl Caller {
    /// The name of its token; empty where nobody knows who it is.
    pub(crate) fn person(&self) -> &str {
        if self.known { &self.name } else { "" }
    }

    /// Whether it has the role, or a greater one.
    pub(crate) fn may(&self, least: Role) -> bool {
        self.role >= least
    }

    /// The role's name.
    pub(crate) fn role_name(&self) -> &'static str {
        self.role.name()
    }
}

/// Where a request comes from; whoever accepts connections tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The tokens that are accepted.
pub(crate) struct Tokens {
    known: Vec<Known>,
    failures: Mutex<Failures>,
    sessions: Option<Sessions>,
}

struct Known {
    name: String,
    role: Role,
    hash: [u8; SHA256_OUTPUT_LEN],
}

impl Tokens {
    /// Keeps the hashes of `tokens`; `None` where one of them is empty or has no value.
    pub(crate) fn new(tokens: &[Token]) -> Option<Tokens> {
        let known = tokens.iter().map(Known::new).collect::<Option<_>>()?;
        Some(Tokens { known, failures: Mutex::default(), sessions: None })
    }

    /// Makes sessions and tokens of forms with this key; without one there are neither.
    pub(crate) fn set_key(&mut self, key: &[u8; 32]) {
        self.sessions = Some(Sessions::new(key));
    }

    /// Who shows this header, or, where a cookie counts, whose session that is at this time. Without tokens everybody is an
    /// operator: then only this machine can ask.
    pub(crate) fn identify(
        &self,
        headers: &HeaderMap,
        peer: IpAddr,
        cookie_at: Option<Time>,
    ) -> Result<Caller, Problem> {
        if !self.are_asked_for() {
            return Ok(Caller { name: "anyone".to_owned(), role: Role::Operator, known: false });
        }
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
        match (shown, cookie_at) {
            (Some(shown), _) => self.open(shown, peer),
            // Nothing shown is nothing guessed: it does not count against the peer.
            (None, None) => Err(Problem::new(Kind::Unauthorized, "there is no Authorization: Bearer header")),
            (None, Some(now)) => self.resume(headers, now),
        }
    }

    /// Whether anybody has to show a token.
    pub(crate) fn are_asked_for(&self) -> bool {
        !self.known.is_empty()
    }

    /// Whose token this is. A wrong one counts against the peer.
    pub(crate) fn open(&self, shown: &[u8], peer: IpAddr) -> Result<Caller, Problem> {
        let now = Instant::now();
        if let Some(wait) = self.failures().wait(peer, now) {
            return Err(too_many(wait));
        }
        let found = self.find(shown).map(Known::caller);
        found.ok_or_else(|| {
            self.failures().count(peer, now);
            Problem::new(Kind::Unauthorized, "the token is not known")
        })
    }

    /// The value of a cookie that stands for this token from now on; `None` where the token is not known, or there are no sessions.
    pub(crate) fn session(&self, shown: &[u8], now: Time) -> Option<String> {
        Some(self.sessions.as_ref()?.begin(&self.find(shown)?.hash, now))
    }

    fn resume(&self, headers: &HeaderMap, now: Time) -> Result<Caller, Problem> {
        let none = || Problem::new(Kind::Unauthorized, "there is no Authorization: Bearer header, and no session");
        let value = session::cookie(headers).ok_or_else(none)?;
        let is_of = |known: &&Known| self.sessions.as_ref().is_some_and(|it| it.is_of(value, &known.hash, now));
        let ended = || Problem::new(Kind::Unauthorized, "the session has ended");
        self.known.iter().find(is_of).map(Known::caller).ok_or_else(ended)
    }

    /// What a form of this browser must hold; `None` where no form is believed.
    pub(crate) fn form_token(&self, headers: &HeaderMap) -> Option<FormToken> {
        Some(self.sessions.as_ref()?.form_token(session::cookie(headers).unwrap_or_default()))
    }

    /// Compares with every token, whether one was found already or not.
    fn find(&self, shown: &[u8]) -> Option<&Known> {
        let shown = digest(&SHA256, shown);
        let mut found = None;
        for known in &self.known {
            if bool::from(known.hash.as_slice().ct_eq(shown.as_ref())) {
                found = Some(known);
            }
        }
        found
    }

    fn failures(&self) -> std::sync::MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn new(token: &Token) -> Option<Known> {
        let secret = token.secret.expose().filter(|secret| !secret.trim().is_empty())?;
        let hash = digest(&SHA256, secret.as_bytes()).as_ref().try_into().ok()?;
        Some(Known { name: token.name.clone(), role: token.role, hash })
    }

    fn caller(&self) -> Caller {
        Caller { name: self.name.clone(), role: self.role, known: true }
    }
}

/// Lets those pass who have the role, or a greater one. Whoever is no [`Caller`] was let in by the guard without one.
pub(crate) async fn check_role(least: Role, request: Request, next: Next) -> Response {
    match request.extensions().get::<Caller>() {
        Some(caller) if caller.role < least => {
            let detail =
                format!("this needs the role {}, and `{}` is {}", least.name(), caller.name, caller.role.name());
            Problem::new(Kind::Forbidden, detail).into_response()
        }
        Some(_) | None => next.run(request).await,
    }
}

fn too_many(wait: Duration) -> Problem {
    Problem::new(Kind::TooManyFailures, "wait before the next attempt").with_retry_after(wait)
}

/// The token of `Bearer TOKEN`; the scheme's name is case-insensitive.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}
