//! Who changed what: a log that only grows, each entry holding the hash of all before it.

use mainstay_core::time::Time;
use ring::digest::{Context, SHA256};

/// The hash before the first entry.
pub const GENESIS: Hash = Hash([0; 32]);

/// SHA-256 over the hash before and the entry: each field as its length (8 bytes, little-endian) and its bytes, in the order of
/// declaration, the time as nanoseconds since 1970 in decimal, an absent one as the length `u64::MAX`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hash(pub [u8; 32]);

/// What somebody did.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// Who: a token's name, a client, `system`.
    pub actor: String,
    /// Through what: `api`, `config`, `engine`.
    pub source: String,
    /// What was done, for instance `level.pin`.
    pub action: String,
    /// To what.
    pub subject: String,
    /// What was before, as JSON.
    pub before: Option<String>,
    /// What is after, as JSON.
    pub after: Option<String>,
    /// Why, in the actor's words.
    pub reason: String,
}

/// An entry at rest.
#[derive(Clone, PartialEq, Debug)]
pub struct Recorded {
    /// 1 for the first, one more with each.
    pub seq: u64,
    /// When it was recorded.
    pub at: Time,
    /// What somebody did.
    pub entry: Entry,
    /// The hash of this entry and all before it.
    pub hash: Hash,
}

impl Entry {
    /// The hash of the entry at `at`, after `before`.
    pub fn hash(&self, before: Hash, at: Time) -> Hash {
        let mut context = Context::new(&SHA256);
        context.update(&before.0);
        let at = at.as_nanos().to_string();
        let given = [&at, &self.actor, &self.source, &self.action, &self.subject];
        for field in given.map(Some).into_iter().chain([self.before.as_ref(), self.after.as_ref(), Some(&self.reason)])
        {
            let length = field.map_or(u64::MAX, |field| field.len() as u64);
            context.update(&length.to_le_bytes());
            context.update(field.map_or(b"", |field| field.as_bytes()));
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Hash(hash)
    }
}
