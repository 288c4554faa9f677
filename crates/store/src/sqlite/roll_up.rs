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
pub(super) const OBJECTIVES_MAX: usize = 200;
/// Ten seconds become minutes in strides of this many seconds: each time all minutes of an objective are written anew.
const STRIDE: u64 = 600;

/// Rolls up objectives that follow each other in the order of their numbers.
pub(super) struct RollUp {
    pub(super) objectives: Vec<(i64, String)>,
    pub(super) ages: Ages,
}

/// Before which second something is too old for its resolution.
#[derive(Clone, Copy)]
pub(super) struct Ages {
    pub(super) tens: u64,
    pub(super) minutes: u64,
    hours: u64,
}

impl Ages {
    /// An hour is never split: minutes before a full hour alone become one, and ten seconds before a full minute.
    pub(super) fn new(retention: &Retention, now: Time) -> Ages {
        let before = |age| (now - age).as_nanos() / 1_000_000_000;
        Ages {
            tens: floor(before(retention.tens), STRIDE),
            minutes: floor(before(retention.minutes), HOUR),
            hours: floor(before(retention.hours), HOUR),
        }
    }
}

/// Start in seconds -> good, bad.
type Counts = BTreeMap<u64, (u64, u64)>;

impl Write for RollUp {
    /// How many buckets of ten seconds became minutes.
    type Output = u64;

    fn apply<'a>(&'a self, session: &'a mut Session) -> Doing<'a, u64> {
        Box::pin(async move {
            let (Some((first, _)), Some((last, _))) = (self.objectives.first(), self.objectives.last()) else {
                return Ok(0);
            };
            let mut tens = old_tens(*first, *last, self.ages.tens, session).await?;
            for (objective, name) in &self.objectives {
                let tens = tens.remove(objective).unwrap_or_default();
                self.roll(*objective, name, tens, session).await?;
            }
            let query = sqlx::query("DELETE FROM bucket WHERE start < $1 AND objective >= $2 AND objective <= $3");
            let query = query.bind(self.ages.tens as i64).bind(first).bind(last);
            Ok(query.execute(&mut session.connection).await.map_err(failure::store)?.rows_affected())
        })
    }

    fn bytes(&self) -> usize {
        64 * self.objectives.len()
    }
}

impl RollUp {
    async fn roll(&self, objective: i64, name: &str, tens: Counts, session: &mut Session) -> Result<(), StoreError> {
        let mut minutes = packed(objective, name, MINUTE, session).await?;
        let aged = minutes.first_key_value().is_some_and(|(start, _)| *start < self.ages.minutes);
        if tens.is_empty() && !aged {
            return Ok(());
        }
        for (start, counts) in tens {
            add(&mut minutes, floor(start, MINUTE), counts);
        }
        let young = minutes.split_off(&self.ages.minutes);
        if !minutes.is_empty() {
            let mut hours = packed(objective, name, HOUR, session).await?;
            for (start, counts) in minutes {
                add(&mut hours, floor(start, HOUR), counts);
            }
            let hours = hours.split_off(&self.ages.hours);
            put_packed(objective, HOUR, &hours, session).await?;
        }
        put_packed(objective, MINUTE, &young, session).await
    }
}

fn add(to: &mut Counts, start: u64, (good, bad): (u64, u64)) {
    let sum = to.entry(start).or_default();
    sum.0 = sum.0.saturating_add(good);
    sum.1 = sum.1.saturating_add(bad);
}

/// Old buckets of some objectives, by objective.
async fn old_tens(
    first: i64,
    last: i64,
    before: u64,
    session: &mut Session,
) -> Result<BTreeMap<i64, Counts>, StoreError> {
    let query = sqlx::query_as(
        "SELECT objective, start, good, bad FROM bucket WHERE start < $1 AND objective >= $2 AND objective <= $3",
    );
    let query = query.bind(before as i64).bind(first).bind(last);
    let rows: Vec<(i64, i64, i64, i64)> = query.fetch_all(&mut session.connection).await.map_err(failure::store)?;
    let mut old: BTreeMap<i64, Counts> = BTreeMap::new();
    for (objective, start, good, bad) in rows {
        let number = |value: i64| u64::try_from(value).map_err(|_| damaged(format!("counts of objective {objective}")));
        old.entry(objective).or_default().insert(number(start)?, (number(good)?, number(bad)?));
    }
    Ok(old)
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
