//! Answers that need no backend: rules, tables, orders, words, counts, and the last good answer to the same request. How a static answer looks on
//! the wire is in [`protocol::render`](crate::protocol::render).

mod alone;
mod cache;
pub(crate) mod files;
mod flights;
mod key;
pub(crate) mod local;
pub mod table;

use std::cell::OnceCell;

use http::HeaderMap;
use mainstay_core::expr::{self, Program};
use mainstay_core::plan::{Answer, AnswerRule, PriorityRule};
use mainstay_core::route::Class;
use serde_json::Value;

pub use self::alone::{LocalRoute, Without};
pub use self::cache::{AnswerCache, CachedAnswer, NotStored};
pub(crate) use self::flights::{Flights, Lead, Led, Upshot};
pub use self::key::{KeyParts, MAX_KEYED_BYTES, RequestKey};

use crate::features::Retrieved;
use crate::protocol::json_part;

/// What programs see of one request. The body is parsed when a program first looks at it, once.
#[derive(Debug)]
pub struct RequestFacts<'a> {
    headers: &'a HeaderMap,
    body: &'a [u8],
    features: &'a [Option<Retrieved>],
    route: &'a str,
    client: &'a str,
    request: OnceCell<Option<Value>>,
}

impl<'a> RequestFacts<'a> {
    /// The facts of a request; `client` is `""` where the caller is none. Headers that are not to be trusted must be
    /// gone from `headers`.
    pub fn new(route: &'a str, client: &'a str, headers: &'a HeaderMap, body: &'a [u8]) -> RequestFacts<'a> {
        RequestFacts { headers, body, features: &[], route, client, request: OnceCell::new() }
    }

    /// Adds features, by feature set as far as they were retrieved. Of a batch, programs see the first entity.
    pub fn with_features(self, features: &'a [Option<Retrieved>]) -> RequestFacts<'a> {
        RequestFacts { features, ..self }
    }

    fn retrieved(&self) -> impl Iterator<Item = &'a Retrieved> {
        self.features.iter().flatten()
    }
}

impl expr::Facts for RequestFacts<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        // A look over a few names is cheaper than making a header name of the text.
        let (_, value) = self.headers.iter().find(|(other, _)| other.as_str() == name)?;
        value.to_str().ok()
    }

    fn headers(&self) -> Vec<(String, String)> {
        let readable =
            |name: &http::HeaderName| Some((name.as_str().to_owned(), self.header(name.as_str())?.to_owned()));
        self.headers.keys().filter_map(readable).collect()
    }

    fn request(&self) -> Option<&Value> {
        let parse = || serde_json::from_slice(json_part(self.headers, self.body).ok()?).ok();
        self.request.get_or_init(parse).as_ref()
    }

    fn feature(&self, reference: &str) -> Option<Value> {
        self.retrieved().find_map(|set| set.get(reference)).cloned()
    }

    fn features(&self) -> Vec<(String, Value)> {
        let first = self.retrieved().flat_map(|set| set.row(0));
        first.filter_map(|(name, value)| Some((name.to_owned(), value?.clone()))).collect()
    }

    fn route(&self) -> &str {
        self.route
    }

    fn client(&self) -> &str {
        self.client
    }
}

/// The first rule that holds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Decision<T> {
    /// What it decides; `None` where no rule holds.
    pub decided: Option<T>,
    /// Rules that could not be evaluated; they count as not holding.
    pub errors: u32,
}

/// The class that the first priority rule that holds gives; [`Class::WORST`] without one is the caller's to say.
pub fn class_by_rules(rules: &[PriorityRule], facts: &dyn expr::Facts) -> Decision<Class> {
    first_that_holds(rules.iter().map(|rule| (&rule.when, rule.class)), facts)
}

/// The answer of the first rule that holds, or else `otherwise`; `None` sends the request to the next entry.
pub fn answer_by_rules<'a>(
    rules: &'a [AnswerRule],
    otherwise: Option<&'a Answer>,
    facts: &dyn expr::Facts,
) -> Decision<&'a Answer> {
    let Decision { decided, errors } = first_that_holds(rules.iter().map(|rule| (&rule.when, &rule.respond)), facts);
    Decision { decided: decided.or(otherwise), errors }
}

fn first_that_holds<'a, T>(rules: impl Iterator<Item = (&'a Program, T)>, facts: &dyn expr::Facts) -> Decision<T> {
    let mut errors = 0;
    for (when, decides) in rules {
        match when.matches(facts) {
            Ok(true) => return Decision { decided: Some(decides), errors },
            Ok(false) => {}
            Err(_) => errors += 1,
        }
    }
    Decision { decided: None, errors }
}
