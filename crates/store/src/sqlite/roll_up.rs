//! Ten seconds become minutes, minutes become hours, hours go.

use std::collections::BTreeMap;

use mainstay_core::time::Time;

use super::failure;
use super::read::{damaged, unpacked};
use super::writer::{Doing, Session, Write};
use crate::bucket::{Bucket, HOUR, MINUTE, floor};
use crate::error::StoreError;
use crate::options::Retention;
use crate::pack;

/// Objectives in one transaction.
pub(super) const OBJECTIVES_MAX: usize = 50;

/// Rolls up some objectives.
pub(super) struct RollUp {
    pub(super) objectives: Vec<(i64, String)>,
    pub(super) retention: Retention,
    pub(super) now: Time,
}

/// Before which second something is too old for its resolution.
struct Ages {
    tens: u64,
    minutes: u64,
    hours: u64,
}

/// Start in seconds -> good, bad.
type Counts = BTreeMap<u64, (u64, u64)>;

impl Write for RollUp {
    /// How many buckets of ten seconds became minutes.
    type Output = u64;

    fn apply<'a>(&'a self, session: &'a mut Session) -> Doing<'a, u64> {
        Box::pin(async move {
            let mut rolled = 0;
            for (objective, name) in &self.objectives {
                rolled += self.roll(*objective, name, session).await?;
            }
            Ok(rolled)
        })
    }

    fn bytes(&self) -> usize {
        64 * self.objectives.len()
    }
}

impl RollUp {
    /// An hour is never split: minutes before a full hour alone become one, and ten seconds before a full minute.
    fn ages(&self) -> Ages {
        let before = |age| (self.now - age).as_nanos() / 1_000_000_000;
        Ages {
            tens: floor(before(self.retention.tens), MINUTE),
            minutes: floor(before(self.retention.minutes), HOUR),
            hours: floor(before(self.retention.hours), HOUR),
        }
    }

    async fn roll(&self, objective: i64, name: &str, session: &mut Session) -> Result<u64, StoreError> {
        let ages = self.ages();
        let tens = old_tens(objective, ages.tens, session).await?;
        let mut minutes = packed(objective, name, MINUTE, session).await?;
        let aged = minutes.first_key_value().is_some_and(|(start, _)| *start < ages.minutes);
        if tens.is_empty() && !aged {
            return Ok(0);
        }
        let rolled = tens.len() as u64;
        for (start, counts) in tens {
            add(&mut minutes, floor(start, MINUTE), counts);
        }
        let young = minutes.split_off(&ages.minutes);
        if !minutes.is_empty() {
            let mut hours = packed(objective, name, HOUR, session).await?;
            for (start, counts) in minutes {
                add(&mut hours, floor(start, HOUR), counts);
            }
            let hours = hours.split_off(&ages.hours);
            put_packed(objective, HOUR, &hours, session).await?;
        }
        put_packed(objective, MINUTE, &young, session).await?;
        let query = sqlx::query("DELETE FROM bucket WHERE objective = $1 AND start < $2");
        let query = query.bind(objective).bind(ages.tens as i64);
        query.execute(&mut session.connection).await.map_err(failure::store)?;
        Ok(rolled)
    }
}

fn add(to: &mut Counts, start: u64, (good, bad): (u64, u64)) {
    let sum = to.entry(start).or_default();
    sum.0 = sum.0.saturating_add(good);
    sum.1 = sum.1.saturating_add(bad);
}

async fn old_tens(objective: i64, before: u64, session: &mut Session) -> Result<Vec<(u64, (u64, u64))>, StoreError> {
    let query = sqlx::query_as("SELECT start, good, bad FROM bucket WHERE objective = $1 AND start < $2");
    let query = query.bind(objective).bind(before as i64);
    let rows: Vec<(i64, i64, i64)> = query.fetch_all(&mut session.connection).await.map_err(failure::store)?;
    let number = |value: i64| u64::try_from(value).map_err(|_| damaged(format!("a bucket of objective {objective}")));
    rows.into_iter().map(|(start, good, bad)| Ok((number(start)?, (number(good)?, number(bad)?)))).collect()
}

async fn packed(objective: i64, name: &str, width: u64, session: &mut Session) -> Result<Counts, StoreError> {
    let query = sqlx::query_scalar("SELECT data FROM packed WHERE objective = $1 AND width = $2");
    let query = query.bind(objective).bind(width as i64);
    let data: Option<Vec<u8>> = query.fetch_optional(&mut session.connection).await.map_err(failure::store)?;
    let Some(data) = data else { return Ok(Counts::new()) };
    let buckets = unpacked(name, width as i64, &data)?;
    let counts = |bucket: Bucket| (bucket.start.as_nanos() / 1_000_000_000, (bucket.good, bucket.bad));
    Ok(buckets.into_iter().map(counts).collect())
}

async fn put_packed(objective: i64, width: u64, counts: &Counts, session: &mut Session) -> Result<(), StoreError> {
    let bucket =
        |(start, (good, bad)): (&u64, &(u64, u64))| Bucket { start: Time::from_secs(*start), good: *good, bad: *bad };
    let buckets: Vec<Bucket> = counts.iter().map(bucket).collect();
    let query = sqlx::query(
        "INSERT INTO packed (objective, width, data) VALUES ($1, $2, $3) ON CONFLICT (objective, width) \
         DO UPDATE SET data = excluded.data",
    );
    let query = query.bind(objective).bind(width as i64).bind(pack::pack(&buckets, width));
    query.execute(&mut session.connection).await.map_err(failure::store)?;
    Ok(())
}
