//! Features from a feature store: what to ask, what the answer means, what to do where it has holes.
//!
//! ```text
//! request --keys--> Keys --request--> Feast's body ....(the shell's HTTP call).... answer --absorb--> Retrieved
//!                     `---------------------- retrieve_cached -----------------------------------------^
//! ```
//!
//! Each value is taken from the first of these that has it: the store's answer, the last known good value of the same
//! entity (no older than `cache.max_age`), the default. A value that none of them has is *missing*, and a ladder entry
//! that needs it is skipped. A value that the store explicitly says is null is not replaced by an older one.
//!
//! The cache holds values with their times; which of them counts, and whether it is stale or too old, is decided by
//! `mainstay_core::resilience::features`.

mod cache;
mod feast;
mod inject;
mod keys;
mod retrieved;
mod spoil;

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use mainstay_core::plan::{FeatureSet, Into};
use mainstay_core::resilience::features::{Ages, Source};
use mainstay_core::time::Time;
use serde_json::Value;

pub use self::feast::FeastError;
pub use self::inject::InjectError;
pub use self::keys::{KeyError, Keys, MAX_ROWS};
pub use self::retrieved::Retrieved;
pub use self::spoil::Spoil;

use self::cache::{Cache, Known};
use self::feast::Cell;
use self::inject::Target;
use self::retrieved::Gather;
use crate::json::{Pointer, PointerError};

/// The path of Feast's online retrieval, below the store's base URL.
pub const FEAST_PATH: &str = "/get-online-features";

/// A feature set, ready to run: one per set, shared by all requests.
#[derive(Clone, Debug)]
pub struct FeatureStage {
    refs: Arc<[String]>,
    entity: Vec<(String, Pointer)>,
    defaults: Vec<Option<Value>>,
    ages: Ages,
    target: Option<Target>,
    cache: Cache,
}

/// Why a feature set cannot run.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FeatureSetError {
    /// A pointer is none.
    #[error("pointer `{text}`: {source}")]
    Pointer {
        /// The text.
        text: String,
        /// What is wrong.
        source: PointerError,
    },
    /// The values would replace the whole request.
    #[error("`into` points at the whole request")]
    IntoRoot,
    /// A tensor's datatype that the protocol does not know.
    #[error("`{0}` is not a datatype of the open inference protocol")]
    Datatype(String),
}

impl FeatureStage {
    /// Compiles a feature set.
    pub fn new(set: &FeatureSet) -> Result<FeatureStage, FeatureSetError> {
        let entity = set.entity.iter().map(|(key, text)| Ok((key.clone(), pointer(text)?)));
        Ok(FeatureStage {
            refs: set.refs.clone().into(),
            entity: entity.collect::<Result<_, _>>()?,
            defaults: set.refs.iter().map(|name| set.defaults.get(name).cloned()).collect(),
            ages: Ages { stale: set.max_age, known: set.cache.max_age },
            target: set.into.as_ref().map(target).transpose()?,
            cache: Cache::new(&set.cache),
        })
    }

    /// The feature references, in the order of the tensor's columns.
    pub fn refs(&self) -> &[String] {
        &self.refs
    }

    /// How many entities the last-known-good cache holds, as far as it has been tidied up.
    pub fn cached_entities(&self) -> u64 {
        self.cache.entities()
    }

    /// Finds the entities of a request: one per row.
    pub fn keys(&self, headers: &HeaderMap, body: &[u8]) -> Result<Keys, KeyError> {
        Keys::read(&self.entity, headers, body)
    }

    /// The body of the call to [`FEAST_PATH`].
    pub fn request(&self, keys: &Keys) -> Bytes {
        feast::request(&self.refs, keys)
    }

    /// Takes the store's answer (of a 2xx) in: fills the cache and the holes. An answer that cannot be trusted changes
    /// nothing; go on with [`retrieve_cached`](Self::retrieve_cached) then.
    pub fn absorb(&self, response: &[u8], keys: &Keys, now: Time) -> Result<Retrieved, FeastError> {
        self.take_in(response, keys, None, true, now)
    }

    /// The same for an answer that a fault on purpose came to: the cache does not learn from it.
    pub fn absorb_apart(
        &self,
        response: &[u8],
        keys: &Keys,
        spoil: Option<Spoil<'_>>,
        now: Time,
    ) -> Result<Retrieved, FeastError> {
        self.take_in(response, keys, spoil, false, now)
    }

    fn take_in(
        &self,
        response: &[u8],
        keys: &Keys,
        spoil: Option<Spoil<'_>>,
        learns: bool,
        now: Time,
    ) -> Result<Retrieved, FeastError> {
        let table = feast::parse(response, &self.refs, keys)?;
        let mut gather = self.gather(keys);
        for row in 0..keys.rows() {
            let entity = keys.entity(row);
            let known = self.cache.get(&entity);
            let mut cells = table.row(row);
            if let Some(spoil) = spoil {
                spoil.apply(&mut cells, &self.refs, now);
            }
            if learns {
                self.cache.learn(entity, known.as_deref(), &cells, now);
            }
            for (at, cell) in cells.iter().enumerate() {
                self.merge(&mut gather, at, cell, known.as_deref(), now);
            }
        }
        Ok(gather.finish())
    }

    /// The same from the cache and the defaults alone.
    pub fn retrieve_cached(&self, keys: &Keys, now: Time) -> Retrieved {
        let mut gather = self.gather(keys);
        for row in 0..keys.rows() {
            let known = self.cache.get(&keys.entity(row));
            for at in 0..self.refs.len() {
                self.recall(&mut gather, at, known.as_deref(), now);
            }
        }
        gather.finish()
    }

    /// Puts the values into the model's request; unchanged where the set has no `into`.
    pub fn inject(&self, headers: &HeaderMap, body: &Bytes, features: &Retrieved) -> Result<Bytes, InjectError> {
        match &self.target {
            Some(target) => target.inject(headers, body, features),
            None => Ok(body.clone()),
        }
    }

    fn gather(&self, keys: &Keys) -> Gather {
        Gather::new(self.refs.clone(), keys.rows())
    }

    fn merge(&self, gather: &mut Gather, at: usize, cell: &Cell, known: Option<&[Option<Known>]>, now: Time) {
        let known = known_at(known, at);
        let source = self.ages.online(cell.given(), known.map(Known::times), now);
        self.take(gather, at, (source, cell.value.as_ref(), known));
    }

    fn recall(&self, gather: &mut Gather, at: usize, known: Option<&[Option<Known>]>, now: Time) {
        let known = known_at(known, at);
        let source = self.ages.cached(known.map(Known::times), now);
        self.take(gather, at, (source, None, known));
    }

    /// Takes a value from where it was decided to come from.
    fn take(&self, gather: &mut Gather, at: usize, from: (Source, Option<&Value>, Option<&Known>)) {
        match from {
            (Source::Online { event, stale }, Some(value), _) => gather.online(value.clone(), event, stale),
            (Source::Cached { event, stale }, _, Some(known)) => gather.cached(known.value.clone(), event, stale),
            (Source::Absent { missed: true }, ..) => {
                gather.miss();
                gather.fill_in(self.defaults[at].as_ref());
            }
            (Source::Absent { .. } | Source::Online { .. } | Source::Cached { .. }, ..) => {
                gather.fill_in(self.defaults[at].as_ref());
            }
        }
    }
}

fn known_at(row: Option<&[Option<Known>]>, at: usize) -> Option<&Known> {
    row?.get(at)?.as_ref()
}

fn pointer(text: &str) -> Result<Pointer, FeatureSetError> {
    Pointer::parse(text).map_err(|source| FeatureSetError::Pointer { text: text.to_owned(), source })
}

fn target(into: &Into) -> Result<Target, FeatureSetError> {
    match into {
        Into::Tensor { input, datatype } => {
            Target::tensor(input, datatype).ok_or_else(|| FeatureSetError::Datatype(datatype.clone()))
        }
        Into::Pointer(text) => Target::pointer(&pointer(text)?).ok_or(FeatureSetError::IntoRoot),
    }
}
