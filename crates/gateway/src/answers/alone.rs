//! A route's local entries without a gateway around them: for measuring and for tools.

use std::sync::Arc;

use http::HeaderMap;
use mainstay_core::plan::{Entry, Plan, Route};
use mainstay_core::time::Time;

use super::files;
use super::local::{self, Asked, Found, Local, Miss};
use crate::protocol::{self, AnswerContext, Rendered};

/// The entries of one route that answer from tables, orders, words and counts, as a gateway asks them.
#[derive(Debug)]
pub struct LocalRoute {
    route: Route,
    locals: Vec<Local>,
}

/// Why an entry has no answer, in the word that headers and counters have.
pub type Without = &'static str;

impl LocalRoute {
    /// The route of this name, its files read; `None` where the plan has none, or a pointer of it is none.
    pub fn new(plan: &Plan, name: &str, now: Time) -> Option<LocalRoute> {
        let route = plan.routes.iter().find(|route| route.name == name)?.clone();
        let files: Vec<Arc<files::DataFile>> = files::files(plan, &[], now);
        let locals = local::entries(&route, &files, &[], &[], 0).ok()?;
        Some(LocalRoute { route, locals })
    }

    /// The entries, by index.
    pub fn entries(&self) -> &[Entry] {
        &self.route.ladder
    }

    /// A request comes: its keys are counted.
    pub fn note(&self, headers: &HeaderMap, body: &[u8], now: Time) {
        let asked = Asked { protocol: self.route.protocol, headers, body, now };
        self.locals.iter().for_each(|local| local.note(&asked));
    }

    /// The answer of an entry, as it is sent.
    pub fn answer(&self, entry: usize, headers: &HeaderMap, body: &[u8], now: Time) -> Result<Rendered, Without> {
        let (Some(plan), Some(local)) = (self.route.ladder.get(entry), self.locals.get(entry)) else {
            return Err("not_local");
        };
        let asked = Asked { protocol: self.route.protocol, headers, body, now };
        let answer = local.answer(&plan.answer, &asked).and_then(Found::whole).map_err(|miss| match miss {
            Miss::Declined(why) | Miss::Failed(why) => why,
        })?;
        let context = AnswerContext {
            path: "/v2/models/local/infer",
            headers,
            request_body: body,
            model: plan.answer.kind(),
            version: None,
            created: now.as_millis() / 1000,
            request_id: "local",
        };
        protocol::render(self.route.protocol, &answer, &context).map_err(|_| "not_renderable")
    }
}
