//! The dashboard: pages that are written here, work without scripts, and ask nothing of any other machine.
//!
//! ```text
//! dress --> guard (Host, Origin, token or session) --> role --> a page --> frame (navigation, policy of what may be loaded)
//!   `-- a failure on its way to a person becomes a page, or the way to the login        |
//!                                     the same questions as the API asks: Site <--------'
//! ```
//!
//! A page is a file. It reads what the API reads, and what it does it asks of whom the API asks. Everything that came from outside is
//! escaped by the templates and cut by [`Text`](crate::review::text::Text).

mod assets;
mod dress;
mod drift;
mod experiment;
mod experiments;
mod explorer;
mod form;
mod frame;
mod gamedays;
mod incident;
mod incidents;
mod json;
mod login;
mod models;
mod overview;
mod parts;
mod quality;
mod response;
mod slo;
mod slos;

use axum::Router;
use axum::handler::Handler;
use axum::middleware;
use axum::routing::{get, post};
use mainstay_core::plan::Role;

pub(crate) use dress::dress;

use crate::access;
use crate::site::Site;

/// What needs no token: the way in, and what every page is drawn with.
pub(crate) const OPEN: [&str; 4] = [login::PATH, assets::STYLE, assets::SCRIPT, assets::ICON];

/// All pages, without the guard.
pub(crate) fn router() -> Router<Site> {
    let router = Router::new()
        .route(assets::STYLE, get(assets::style))
        .route(assets::SCRIPT, get(assets::script))
        .route(assets::ICON, get(assets::icon))
        .route(login::PATH, get(login::page).post(login::enter))
        .route("/logout", post(login::leave));
    actions(looks(router))
}

fn looks(router: Router<Site>) -> Router<Site> {
    let router = page(router, "/", overview::page);
    let router = page(router, "/slos", slos::page);
    let router = page(router, "/slos/{name}", slo::page);
    let router = page(router, "/quality", quality::page);
    let router = page(router, "/drift/{name}", drift::page);
    let router = page(router, "/incidents", incidents::page);
    let router = page(router, "/incidents/{id}", incident::page);
    let router = page(router, "/experiments", experiments::page);
    let router = page(router, "/experiments/{id}", experiment::page);
    let router = page(router, "/gamedays", gamedays::page);
    let router = page(router, "/gamedays/{id}", gamedays::one);
    let router = page(router, "/models", models::page);
    let router = page(router, "/runs/{id}", models::run);
    page(router, "/explore", explorer::page)
}

/// The least role of each is that of the API's own way to do it.
fn actions(router: Router<Site>) -> Router<Site> {
    let (responder, operator) = (Role::Responder, Role::Operator);
    let router = act(router, "/incidents/open", responder, incidents::open);
    let router = act(router, "/incidents/{id}/ack", responder, response::ack);
    let router = act(router, "/incidents/{id}/notes", responder, response::note);
    let router = act(router, "/incidents/{id}/status", responder, response::status);
    let router = act(router, "/incidents/{id}/actions", operator, response::act);
    let router = act(router, "/incidents/{id}/undo", operator, response::undo);
    let router = act(router, "/incidents/{id}/review", responder, response::write);
    let router = act(router, "/experiments/start", operator, experiments::start);
    let router = act(router, "/experiments/approve", operator, experiments::approve);
    let router = act(router, "/experiments/{id}/stop", responder, experiments::stop);
    let router = act(router, "/experiments/halt", responder, experiments::halt);
    let router = act(router, "/experiments/resume", operator, experiments::resume);
    let router = act(router, "/gamedays/start", operator, gamedays::start);
    act(router, "/gamedays/{id}/stop", responder, gamedays::stop)
}

/// Something to do, by a form that one of the pages holds.
fn act<H, T>(router: Router<Site>, path: &'static str, least: Role, handler: H) -> Router<Site>
where
    H: Handler<T, Site>,
    T: 'static,
{
    router
        .route(path, post(handler).route_layer(middleware::from_fn(move |q, next| access::check_role(least, q, next))))
}

/// Something to look at; a viewer may.
fn page<H, T>(router: Router<Site>, path: &'static str, handler: H) -> Router<Site>
where
    H: Handler<T, Site>,
    T: 'static,
{
    router
        .route(path, get(handler).route_layer(middleware::from_fn(|q, next| access::check_role(Role::Viewer, q, next))))
}
