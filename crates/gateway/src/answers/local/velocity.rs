//! `velocity`: how often a key was seen of late.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Mutex;
use std::time::Duration;

use mainstay_core::answer::velocity::Velocity as Machine;
use mainstay_core::plan::{Answer, Velocity};
use mainstay_core::time::Time;
use serde_json::Value;

use super::places::{self, Several};
use super::{Asked, Found, Miss, fill};
use crate::json::Pointer;

/// Parts that are locked on their own.
const SHARDS: usize = 8;

/// The counts of an entry, shared by all workers.
#[derive(Debug)]
pub(crate) struct Counts {
    shards: Vec<Mutex<Machine>>,
    window: Duration,
    keys: usize,
    seed: u64,
}

impl Counts {
    pub(super) fn new(velocity: &Velocity, seed: u64) -> Counts {
        let keys = velocity.keys.div_ceil(SHARDS);
        Counts {
            shards: (0..SHARDS).map(|_| Mutex::new(Machine::new(velocity.per, keys))).collect(),
            window: velocity.per,
            keys: velocity.keys,
            seed,
        }
    }

    /// Whether they count what the entry wants.
    pub(super) fn fit(&self, velocity: &Velocity) -> bool {
        self.window == velocity.per && self.keys == velocity.keys
    }

    pub(super) fn note(&self, key: &str, now: Time) -> u32 {
        let (hash, shard) = self.place(key);
        shard.lock().expect("counting does not panic").handle_key(hash, now)
    }

    fn count(&self, key: &str, now: Time) -> u32 {
        let (hash, shard) = self.place(key);
        shard.lock().expect("counting does not panic").count(hash, now)
    }

    /// The seed goes first, so that nobody outside can choose keys that count together.
    fn place(&self, key: &str) -> (u64, &Mutex<Machine>) {
        let mut hasher = DefaultHasher::new();
        (self.seed, key).hash(&mut hasher);
        let hash = hasher.finish();
        (hash, &self.shards[(hash >> 61) as usize % SHARDS])
    }
}

/// The request itself was counted when it came.
pub(super) fn answer(
    velocity: &Velocity,
    counts: &Counts,
    pointer: &Pointer,
    asked: &Asked<'_>,
) -> Result<Found, Miss> {
    let one = |key: &str| -> Result<Answer, Miss> {
        let count = counts.count(key, asked.now);
        let template = if count > velocity.max { Some(&velocity.over) } else { velocity.under.as_ref() };
        fill(template.ok_or(Miss::Declined("under_limit"))?, &|name| match name {
            "key" => Some(Value::from(key)),
            "count" => Some(Value::from(count)),
            _ => None,
        })
    };
    match places::keys(asked, pointer)? {
        Several::One(key) => one(&key).map(Found::One),
        Several::List(keys) => keys.iter().map(|key| one(key)).collect::<Result<_, _>>().map(Found::Rows),
    }
}
