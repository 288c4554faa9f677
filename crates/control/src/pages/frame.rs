//! What is around every page: navigation, who looks, and what a browser may load.

use axum::extract::{FromRef, FromRequestParts};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use mainstay_core::plan::Role;
use mainstay_core::time::Time;
use maud::{DOCTYPE, Markup, html};

use super::parts::when;
use super::{assets, form};
use crate::access::{Caller, FormToken};
use crate::data_plane::Plane;
use crate::problem::{Kind, Problem};
use crate::review::text::Text;
use crate::site::Site;

/// Nothing but what this server itself gives, and no one may put a page in a frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The parts of the dashboard, in the order of the navigation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Overview,
    Slos,
    Quality,
    Incidents,
    Experiments,
    Gamedays,
    Models,
    Explorer,
}

impl Part {
    const ALL: [Part; 8] = [
        Part::Overview,
        Part::Slos,
        Part::Quality,
        Part::Incidents,
        Part::Experiments,
        Part::Gamedays,
        Part::Models,
        Part::Explorer,
    ];

    const fn link(self) -> (&'static str, &'static str) {
        match self {
            Part::Overview => ("/", "Overview"),
            Part::Slos => ("/slos", "SLOs"),
            Part::Quality => ("/quality", "Quality"),
            Part::Incidents => ("/incidents", "Incidents"),
            Part::Experiments => ("/experiments", "Experiments"),
            Part::Gamedays => ("/gamedays", "Game days"),
            Part::Models => ("/models", "Models"),
            Part::Explorer => ("/explore", "Requests"),
        }
    }
}

/// Who looks, and when.
pub(super) struct Viewer {
    caller: Caller,
    token: Option<FormToken>,
    service: String,
    pub(super) now: Time,
}

impl FromRequestParts<Site> for Viewer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Viewer, Problem> {
        let caller = parts.extensions.get::<Caller>().cloned();
        let plane = Plane::from_ref(site);
        Ok(Viewer {
            caller: caller.ok_or_else(|| Problem::new(Kind::Unauthorized, "nobody has asked"))?,
            token: parts.extensions.get::<FormToken>().cloned(),
            service: plane.status().service,
            now: plane.now(),
        })
    }
}

impl Viewer {
    /// Whether whoever looks may do what needs this role, in a form.
    pub(super) fn may(&self, least: Role) -> bool {
        self.token.is_some() && self.caller.may(least)
    }

    pub(super) fn token(&self) -> Option<&str> {
        self.token.as_ref().map(FormToken::as_str)
    }
}

/// A whole page; one that is `live` shows what changes while it is open.
pub(super) fn page(viewer: &Viewer, part: Part, title: &str, content: &Markup) -> Response {
    let title = Text::short(title);
    let body = html! {
        a.skip href="#main" { "Skip to the content" }
        header.top {
            p.brand { a href="/" { "mainstay" } " " span.service { (Text::short(&viewer.service).as_str()) } }
            nav aria-label="Pages" {
                ul {
                    @for it in Part::ALL {
                        @let (path, name) = it.link();
                        li { a href=(path) aria-current=[(it == part).then_some("page")] { (name) } }
                    }
                }
            }
            (who(viewer))
        }
        p #connection role="status" hidden {}
        main #main tabindex="-1" data-live="/api/v1/live" {
            h1 { (title.as_str()) }
            (content)
            p.note.asof { "As of " (when(viewer.now)) " UTC." }
        }
    };
    send(title.as_str(), &body)
}

fn who(viewer: &Viewer) -> Markup {
    html! {
        @if viewer.caller.person().is_empty() {
            p.who { "Everybody on this machine may do everything: the config has no tokens." }
        } @else {
            form.who method="post" action="/logout" {
                (form::hidden(viewer))
                span { (Text::short(&viewer.caller.name).as_str()) " (" (viewer.caller.role_name()) ")" }
                " "
                button type="submit" { "Log out" }
            }
        }
    }
}

/// A document around a body, with what a browser may load.
pub(super) fn send(title: &str, body: &Markup) -> Response {
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · mainstay" }
                link rel="icon" href=(assets::address(assets::ICON)) type="image/svg+xml";
                link rel="stylesheet" href=(assets::address(assets::STYLE));
                script src=(assets::address(assets::SCRIPT)) defer {}
            }
            body { (body) }
        }
    };
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        // With `no-referrer` a browser would not say either where a form comes from.
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, document.into_string()).into_response()
}
