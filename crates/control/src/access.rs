//! Who asks, and what they may do.
//!
//! Tokens are kept as SHA-256 hashes and nothing else. What a caller shows is hashed too and compared with every one in
//! constant time, so that the time taken tells nothing. A peer that guesses is made to wait: see [`failures`].

mod failures;

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use mainstay_core::plan::{Role, Token};
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use crate::problem::{Kind, Problem};
use failures::Failures;

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The name of its token; `anyone` where no tokens are asked for.
    pub(crate) name: String,
    role: Role,
}

/// Where a request comes from; whoever accepts connections tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The tokens that are accepted.
pub(crate) struct Tokens {
    known: Vec<Known>,
    failures: Mutex<Failures>,
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
        Some(Tokens { known, failures: Mutex::default() })
    }

    /// Who shows this header. Without tokens everybody is an operator: then only this machine can ask.
    pub(crate) fn identify(&self, headers: &HeaderMap, peer: IpAddr) -> Result<Caller, Problem> {
        if self.known.is_empty() {
            return Ok(Caller { name: "anyone".to_owned(), role: Role::Operator });
        }
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
        // Nothing shown is nothing guessed: it does not count against the peer.
        let shown =
            shown.ok_or_else(|| Problem::new(Kind::Unauthorized, "there is no Authorization: Bearer header"))?;
        let now = Instant::now();
        if let Some(wait) = self.failures().wait(peer, now) {
            return Err(too_many(wait));
        }
        self.find(shown).ok_or_else(|| {
            self.failures().count(peer, now);
            Problem::new(Kind::Unauthorized, "the token is not known")
        })
    }

    /// Compares with every token, whether one was found already or not.
    fn find(&self, shown: &[u8]) -> Option<Caller> {
        let shown = digest(&SHA256, shown);
        let mut found = None;
        for known in &self.known {
            if bool::from(known.hash.as_slice().ct_eq(shown.as_ref())) {
                found = Some(known);
            }
        }
        found.map(|known| Caller { name: known.name.clone(), role: known.role })
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
