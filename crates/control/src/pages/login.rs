//! The way in and out: a token once, a session from then on.

use std::sync::Arc;

use axum::Extension;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};

use super::form::{self, Form};
use super::frame;
use super::parts::Asked;
use crate::access::{COOKIE, LASTING};
use crate::guard::Guard;
use crate::problem::{Kind, Problem};

pub(super) const PATH: &str = "/login";

pub(super) async fn page(Extension(guard): Extension<Arc<Guard>>, asked: Asked) -> Response {
    let next = asked.or_empty("next");
    if !guard.tokens.are_asked_for() {
        return Redirect::to(within(next)).into_response();
    }
    bare("Log in", &fields(next, None))
}

/// A page that is shown where a session has ended and something was to be done.
pub(super) fn refused() -> Response {
    bare("Log in", &fields("", Some("Your session has ended. Nothing was done: log in and try again.")))
}

fn fields(next: &str, wrong: Option<&str>) -> Markup {
    html! {
        @if let Some(wrong) = wrong { p.alert #wrong role="alert" { (wrong) } }
        form.login method="post" action=(PATH) {
            input type="hidden" name="next" value=(within(next));
            p {
                label for="token" { "Token" }
                input #token type="password" name="token" required autofocus autocomplete="current-password"
                    aria-describedby=(if wrong.is_some() { "wrong hint" } else { "hint" })
                    aria-invalid=[wrong.map(|_| "true")];
            }
            p.note #hint { "One of " code { "admin.tokens" } " in the config. It counts here for twelve hours." }
            p { button.main type="submit" { "Log in" } }
        }
    }
}

pub(super) async fn enter(Extension(guard): Extension<Arc<Guard>>, request: Request) -> Result<Response, Problem> {
    let peer = Guard::peer(request.extensions());
    let is_safe = is_https(request.headers());
    let (_, form) = form::read(request).await?;
    let token = form.get("token").as_bytes();
    if let Err(problem) = guard.tokens.open(token, peer) {
        let wrong = if problem.is(Kind::TooManyFailures) {
            "Too many wrong tokens: wait a little."
        } else {
            "This token is not known."
        };
        return Ok((problem.status(), bare("Log in", &fields(form.get("next"), Some(wrong)))).into_response());
    }
    let session = guard.tokens.session(token, guard.plane.now());
    let session = session.ok_or_else(|| Problem::new(Kind::Unavailable, "this service makes no sessions"))?;
    Ok(with_cookie(Redirect::to(within(form.get("next"))), &session, LASTING.as_secs(), is_safe))
}

pub(super) async fn leave(_: Form) -> Response {
    with_cookie(Redirect::to(PATH), "", 0, false)
}

fn with_cookie(to: Redirect, value: &str, seconds: u64, is_safe: bool) -> Response {
    let safe = if is_safe { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{safe}");
    let mut response = to.into_response();
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// Whether the browser speaks to a proxy with TLS: it says where a form comes from.
fn is_https(headers: &HeaderMap) -> bool {
    headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
}

/// A path of this site; anything else is the overview.
fn within(next: &str) -> &str {
    let is_path = next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\r', '\n', '\t']);
    if is_path { next } else { "/" }
}

/// A page without navigation.
pub(super) fn bare(title: &str, content: &Markup) -> Response {
    let body = html! {
        header.top { p.brand { a href="/" { "mainstay" } } }
        main #main { h1 { (title) } (content) }
    };
    frame::send(title, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        for (next, to) in [
            ("/incidents?status=open", "/incidents?status=open"),
            ("", "/"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("/\t/evil.example", "/"),
            ("javascript:alert(1)", "/"),
        ] {
            assert_eq!(within(next), to, "{next:?}");
        }
    }
}
