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
mod levels;
mod login;
mod model;
mod models;
mod overview;
mod parts;
mod quality;
mod response;
mod run;
mod service;
mod slo;
mod slos;
mod talk;

use axum::Router;
use axum::handler::Handler;
use axum::middleware;
use axum::routing::{MethodRouter, get, post};
use mainstay_core::plan::Role;

pub(crate) use dress::dress;

use crate::site::Site;
use crate::{access, endpoints};

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
    let router = page(router, service::ROUTES, service::routes_page);
    let router = page(router, "/routes/{name}", levels::page);
    let router = page(router, service::BACKENDS, service::backends_page);
    let router = page(router, service::FEATURES, service::features_page);
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
    let router = page(router, "/models/{name}", model::page);
    let router = page(router, "/runs/{id}", run::page);
    page(router, "/explore", explorer::page)
}

/// Something to do, by a form that one of the pages holds.
struct Action {
    path: &'static str,
    /// The API's own way to do it, whose role it takes.
    operation: &'static str,
    handler: MethodRouter<Site>,
}

fn act<H, T>(path: &'static str, operation: &'static str, handler: H) -> Action
where
    H: Handler<T, Site>,
    T: 'static,
{
    Action { path, operation, handler: post(handler) }
}

fn acts() -> Vec<Action> {
    vec![
        act("/levels/pin", "pin_level", levels::pin_it),
        act("/levels/auto", "release_level", levels::release_it),
        act("/incidents/open", "open_incident", incidents::open),
        act("/incidents/{id}/ack", "acknowledge", response::ack),
        act("/incidents/{id}/notes", "note", response::note),
        act("/incidents/{id}/status", "set_incident", response::status),
        act("/incidents/{id}/actions", "act", response::act),
        act("/incidents/{id}/undo", "undo", response::undo),
        act("/incidents/{id}/review", "write_review", response::write),
        act("/experiments/start", "start_experiment", experiments::start),
        act("/experiments/approve", "approve_experiment", experiments::approve),
        act("/experiments/{id}/stop", "stop_experiment", experiments::stop),
        act("/experiments/halt", "halt_chaos", experiments::halt),
        act("/experiments/resume", "resume_chaos", experiments::resume),
        act("/gamedays/start", "start_gameday", gamedays::start),
        act("/gamedays/{id}/stop", "stop_gameday", gamedays::stop),
        act("/gamedays/{id}/answers", "answer_gameday", talk::answer),
        act("/models/{name}/promote", "promote", model::promote),
        act("/models/{name}/rollback", "roll_back", model::roll_back),
    ]
}

/// The forms of the dashboard: where each is sent, the operation of the API that it stands for, and the least role, which is that operation's.
pub fn forms() -> Vec<(&'static str, &'static str, Role)> {
    let endpoints = endpoints::all();
    let role = |operation: &str| endpoints.iter().find(|it| it.operation == operation).and_then(|it| it.role);
    acts().iter().map(|it| (it.path, it.operation, role(it.operation).unwrap_or(Role::Operator))).collect()
}

fn actions(router: Router<Site>) -> Router<Site> {
    acts().into_iter().zip(forms()).fold(router, |router, (it, (path, _, least))| {
        let guarded = middleware::from_fn(move |request, next| access::check_role(least, request, next));
        router.route(path, it.handler.route_layer(guarded))
    })
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
