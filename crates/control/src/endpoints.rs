//! What can be asked. One table makes the router, the roles and `openapi.json`, so that none of them knows what the
//! others do not. The table is written where the handlers are, a module per noun.

mod alerts;
pub(crate) mod drift;
mod events;
pub(crate) mod experiments;
mod formats;
mod gamedays;
pub(crate) mod incidents;
mod ingest;
pub(crate) mod levels;
mod live;
mod maintenance;
pub(crate) mod models;
mod oncall;
mod quality;
pub(crate) mod read;
mod requests;
mod reviews;
mod runbooks;
mod runs;
mod service;
pub(crate) mod slos;
mod store;
mod verdicts;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware;
use axum::routing::{MethodFilter, MethodRouter, on};
use mainstay_core::plan::Role;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::access;
use crate::pages;
use crate::problem::{Kind, Problem};
use crate::site::Site;

/// One thing that can be asked.
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    /// The path, with parameters in braces.
    pub(crate) path: &'static str,
    pub(crate) operation: &'static str,
    pub(crate) summary: &'static str,
    /// What may be asked in the query.
    pub(crate) parameters: &'static [Parameter],
    /// What the body is.
    pub(crate) request: Option<Body>,
    pub(crate) answer: Answer,
    /// The failures that it has beyond those that all have.
    pub(crate) problems: &'static [u16],
    /// The least role that may ask; `None`: anyone, without a token.
    pub(crate) role: Option<Role>,
    handler: MethodRouter<Site>,
}

/// Makes the schema of a type.
pub(crate) type MakeSchema = fn(&mut SchemaGenerator) -> Schema;

/// What an endpoint reads.
pub(crate) struct Body {
    pub(crate) schema: MakeSchema,
    /// The media types that are read.
    pub(crate) media: &'static [&'static str],
}

/// What an endpoint answers with.
pub(crate) enum Answer {
    /// JSON of a type.
    Json(MakeSchema),
    /// Any JSON object.
    Object,
    /// Text of these media types.
    Text(&'static [&'static str]),
    /// JSON of a type, with 202: it is durable.
    Accepted(MakeSchema),
    /// Nothing: 204.
    Nothing,
}

/// A parameter of a query.
#[derive(Clone, Copy)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
}

/// Everything that can be asked, in the order of the documentation.
pub(crate) fn all() -> Vec<Endpoint> {
    let nouns = [
        service::endpoints(),
        live::endpoints(),
        levels::endpoints(),
        reviews::endpoints(),
        models::endpoints(),
        runs::endpoints(),
        slos::endpoints(),
        formats::endpoints(),
        maintenance::endpoints(),
        drift::endpoints(),
        quality::endpoints(),
        incidents::endpoints(),
        gamedays::endpoints(),
        runbooks::endpoints(),
        oncall::endpoints(),
        alerts::endpoints(),
        experiments::endpoints(),
        verdicts::endpoints(),
        events::endpoints(),
        requests::endpoints(),
        ingest::endpoints(),
        store::endpoints(),
    ];
    nouns.into_iter().flatten().collect()
}

/// The paths that need no token.
pub(crate) fn open_paths() -> Vec<&'static str> {
    all().into_iter().filter(|endpoint| endpoint.role.is_none()).map(|endpoint| endpoint.path).collect()
}

impl Endpoint {
    fn new(
        method: Method,
        (path, operation, summary): (&'static str, &'static str, &'static str),
        answer: Answer,
        role: Role,
        handler: MethodRouter<Site>,
    ) -> Endpoint {
        Endpoint {
            method,
            path,
            operation,
            summary,
            parameters: &[],
            request: None,
            answer,
            problems: &[],
            role: Some(role),
            handler,
        }
    }

    /// Something to read; a viewer may.
    fn get<H, T>(
        path: &'static str,
        operation: &'static str,
        summary: &'static str,
        answer: Answer,
        handler: H,
    ) -> Endpoint
    where
        H: Handler<T, Site>,
        T: 'static,
    {
        let described = (path, operation, summary);
        Endpoint::new(Method::GET, described, answer, Role::Viewer, on(MethodFilter::GET, handler))
    }

    /// Something to do; an operator may, unless [`Endpoint::for_role`] says otherwise.
    fn post<H, T>(
        path: &'static str,
        operation: &'static str,
        summary: &'static str,
        answer: Answer,
        handler: H,
    ) -> Endpoint
    where
        H: Handler<T, Site>,
        T: 'static,
    {
        let described = (path, operation, summary);
        Endpoint::new(Method::POST, described, answer, Role::Operator, on(MethodFilter::POST, handler))
    }

    /// Something to put in place; an operator may, unless [`Endpoint::for_role`] says otherwise.
    fn put<H, T>(
        path: &'static str,
        operation: &'static str,
        summary: &'static str,
        answer: Answer,
        handler: H,
    ) -> Endpoint
    where
        H: Handler<T, Site>,
        T: 'static,
    {
        let described = (path, operation, summary);
        Endpoint::new(Method::PUT, described, answer, Role::Operator, on(MethodFilter::PUT, handler))
    }

    /// Something to take away; an operator may, unless [`Endpoint::for_role`] says otherwise.
    fn delete<H, T>(path: &'static str, operation: &'static str, summary: &'static str, handler: H) -> Endpoint
    where
        H: Handler<T, Site>,
        T: 'static,
    {
        let described = (path, operation, summary);
        Endpoint::new(Method::DELETE, described, Answer::Nothing, Role::Operator, on(MethodFilter::DELETE, handler))
    }

    /// Its body is JSON of this type.
    fn takes<T: JsonSchema>(self) -> Endpoint {
        Endpoint { request: Some(Body { schema: schema::<T>, media: &["application/json"] }), ..self }
    }

    /// Its body is an object of this type, or one a line, as the media type says.
    fn takes_lines<T: JsonSchema>(self, media: &'static [&'static str]) -> Endpoint {
        Endpoint { request: Some(Body { schema: schema::<T>, media }), ..self }
    }

    /// Its body is text of these media types.
    fn takes_text(self, media: &'static [&'static str]) -> Endpoint {
        Endpoint { request: Some(Body { schema: schema::<String>, media }), ..self }
    }

    fn parameters(self, parameters: &'static [Parameter]) -> Endpoint {
        Endpoint { parameters, ..self }
    }

    fn problems(self, problems: &'static [u16]) -> Endpoint {
        Endpoint { problems, ..self }
    }

    /// The least role that may ask.
    fn for_role(self, role: Role) -> Endpoint {
        Endpoint { role: Some(role), ..self }
    }

    /// Anyone may ask, without a token.
    fn for_anyone(self) -> Endpoint {
        Endpoint { role: None, ..self }
    }

    /// The handler behind its role.
    fn guarded(self) -> MethodRouter<Site> {
        match self.role {
            Some(role) => self
                .handler
                .route_layer(middleware::from_fn(move |request, next| access::check_role(role, request, next))),
            None => self.handler,
        }
    }
}

/// Does something to its end, also where whoever asked for it has left: what is durable must be in force as well.
pub(crate) async fn finished<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    let panicked = |_| Problem::new(Kind::Unavailable, "this went wrong on our side");
    tokio::spawn(work).await.unwrap_or_else(|error| Err(panicked(error)))
}

fn json<T: JsonSchema>() -> Answer {
    Answer::Json(schema::<T>)
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The endpoints as a service, without the guard.
pub(crate) fn router(site: Site) -> Router {
    let routes =
        all().into_iter().fold(Router::new(), |router, endpoint| router.route(endpoint.path, endpoint.guarded()));
    routes.merge(pages::router()).fallback(nothing_here).method_not_allowed_fallback(other_methods).with_state(site)
}

async fn nothing_here() -> Problem {
    Problem::new(Kind::NotFound, "see /openapi.json for what there is")
}

async fn other_methods(method: Method) -> Problem {
    Problem::new(Kind::MethodNotAllowed, format!("{method} is not one of them"))
}
