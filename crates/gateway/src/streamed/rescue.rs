//! Who takes over an answer whose beginning its caller has.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri};
use mainstay_core::llm::answering::{Begun, Rescue};
use mainstay_core::route::Class;

use super::Upstream;
use crate::pipeline;
use crate::until::Until;
use crate::worker::State;

/// The request, as far as it has to be asked again.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) state: Rc<State>,
    pub(crate) route: usize,
    /// The entry that answered last: who comes after it is asked.
    pub(crate) entry: usize,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) class: Class,
    pub(crate) client: String,
    pub(crate) trusted: bool,
    pub(crate) id: HeaderValue,
    pub(crate) deadline: Until,
    /// What stands for the request at breakers.
    pub(crate) key: u64,
    /// The context of the largest model that refused it as too long.
    pub(crate) too_long_for: Option<u64>,
    /// Attempts so far.
    pub(crate) attempts: u32,
}

/// What came of looking for somebody.
pub(crate) struct Rescued {
    pub(crate) by: By,
    /// Attempts so far.
    pub(crate) attempts: u32,
}

/// Who took over.
pub(crate) enum By {
    /// A backend.
    Upstream {
        /// Its stream.
        upstream: Box<Upstream>,
        /// Whether it goes on or begins again.
        begun: Begun,
        /// Which entry of the ladder it stands at.
        entry: usize,
    },
    /// An answer of our own, as its stream.
    Local {
        /// The stream.
        bytes: Bytes,
        /// Which entry of the ladder it stands at.
        entry: usize,
    },
    /// Nobody.
    Nobody,
}

impl Plan {
    /// Looks for somebody.
    pub(crate) fn start(&self, rescue: Rescue) -> Pin<Box<dyn Future<Output = Rescued>>> {
        Box::pin(pipeline::take_over(self.clone(), rescue))
    }
}
