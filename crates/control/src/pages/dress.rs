//! Failures as pages, for people. Programs do not ask for HTML, and get the documents of the API.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};

use super::login;
use super::parts::encoded;
use crate::problem::Told;

/// Makes a page of a failure on its way to a browser.
pub(crate) async fn dress(request: Request, next: Next) -> Response {
    let by_person = wants_html(request.headers());
    let (method, from_elsewhere) = (request.method().clone(), is_from_elsewhere(request.headers()));
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let response = next.run(request).await;
    let Some(told) = response.extensions().get::<Told>().filter(|_| by_person) else { return response };
    if told.status != StatusCode::UNAUTHORIZED {
        return failure(told, &response);
    }
    if method != Method::GET && method != Method::HEAD {
        return (StatusCode::UNAUTHORIZED, login::refused()).into_response();
    }
    // A browser keeps a strict cookie back when a link on another site was followed: it is asked for once more from here.
    if from_elsewhere { again(&path) } else { Redirect::to(&format!("/login?next={}", encoded(&path))).into_response() }
}

fn wants_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    accepted.flat_map(|accept| accept.split(',')).any(|range| range.trim().starts_with("text/html"))
}

fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site" || site == "same-site")
}

/// The same address, asked for by a page of this site.
fn again(path: &str) -> Response {
    let refresh = HeaderValue::from_str(&format!("0; url={path}"));
    let page = login::bare("One moment", &html! { p { a href=(path) { "Go on" } } });
    let mut response = page.into_response();
    if let Ok(refresh) = refresh {
        response.headers_mut().insert("refresh", refresh);
    }
    response
}

fn failure(told: &Told, before: &Response) -> Response {
    let mut response = (told.status, login::bare(told.title, &said(told))).into_response();
    if let Some(wait) = before.headers().get(header::RETRY_AFTER) {
        response.headers_mut().insert(header::RETRY_AFTER, wait.clone());
    }
    response
}

fn said(told: &Told) -> Markup {
    html! {
        p role="alert" { (told.detail) }
        @if !told.more.is_empty() { ul { @for line in &told.more { li { (line) } } } }
        p { a href="/" { "Overview" } }
    }
}
