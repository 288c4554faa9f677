//! Roll-up and retention, in short transactions, so that writes get in between.

use std::sync::atomic::Ordering;

use mainstay_core::time::Time;

use super::Sqlite;
use super::failure;
use super::insert::nanos;
use super::roll_up::{Ages, OBJECTIVES_MAX, RollUp};
use super::writer::{Doing, Session, Write};
use crate::error::StoreError;
use crate::store::Maintained;

/// Rows deleted in one transaction.
const DELETE_MAX: u64 = 2000;

impl Sqlite {
    pub(super) async fn maintain_all(&self, now: Time) -> Result<Maintained, StoreError> {
        let retention = self.options.retention;
        let mut done = Maintained { rolled_up: self.roll_up(now).await?, ..Maintained::default() };
        done.items_deleted = self.delete(Old::Items, now - retention.items).await?;
        done.events_deleted = self.delete(Old::Events, now - retention.events).await?;
        done.sketches_deleted = self.delete(Old::Sketches, now - retention.sketches).await?;
        self.delete(Old::Sources, now - retention.sources).await?;
        Ok(done)
    }

    /// Looks at objectives where ten seconds are old, and at all of them once an hour, when minutes may be.
    async fn roll_up(&self, now: Time) -> Result<u64, StoreError> {
        let ages = Ages::new(&self.options.retention, now);
        let oldest = sqlx::query_scalar("SELECT min(start) FROM bucket").fetch_one(&self.readers);
        let oldest: Option<i64> = oldest.await.map_err(failure::store)?;
        let is_old = oldest.is_some_and(|oldest| oldest < ages.tens as i64);
        if !is_old && self.hours_from.load(Ordering::Relaxed) == ages.minutes {
            return Ok(0);
        }
        let query = sqlx::query_as("SELECT id, name FROM objective ORDER BY id");
        let objectives: Vec<(i64, String)> = query.fetch_all(&self.readers).await.map_err(failure::store)?;
        let mut rolled = 0;
        for some in objectives.chunks(OBJECTIVES_MAX) {
            rolled += self.write(RollUp { objectives: some.to_vec(), ages }).await?;
        }
        self.hours_from.store(ages.minutes, Ordering::Relaxed);
        Ok(rolled)
    }

    async fn delete(&self, old: Old, before: Time) -> Result<u64, StoreError> {
        let mut deleted = 0;
        loop {
            let some = self.write(Delete { old, before }).await?;
            deleted += some;
            if some < DELETE_MAX {
                return Ok(deleted);
            }
        }
    }
}

/// What is deleted by age.
#[derive(Clone, Copy)]
enum Old {
    Items,
    Events,
    Sketches,
    Sources,
}

struct Delete {
    old: Old,
    before: Time,
}

impl Write for Delete {
    type Output = u64;

    fn apply<'a>(&'a self, session: &'a mut Session) -> Doing<'a, u64> {
        Box::pin(async move {
            // Numbers of items grow as they arrive: the oldest come first, and no index by time is needed.
            let (text, before) = match self.old {
                Old::Items => (
                    "DELETE FROM item WHERE seq IN (SELECT seq FROM \
                     (SELECT seq, received FROM item ORDER BY seq LIMIT $2) oldest WHERE received < $1)",
                    nanos(self.before),
                ),
                Old::Events => (
                    "DELETE FROM event WHERE seq IN (SELECT seq FROM event WHERE at < $1 ORDER BY at LIMIT $2)",
                    nanos(self.before),
                ),
                Old::Sketches => (
                    "DELETE FROM sketch WHERE (series, start, width) IN \
                     (SELECT series, start, width FROM sketch WHERE start + width <= $1 AND start <= $1 LIMIT $2)",
                    (self.before.as_nanos() / 1_000_000_000) as i64,
                ),
                Old::Sources => (
                    "DELETE FROM source WHERE name IN (SELECT name FROM source WHERE at < $1 LIMIT $2)",
                    nanos(self.before),
                ),
            };
            let query = sqlx::query(text).bind(before).bind(DELETE_MAX as i64);
            Ok(query.execute(&mut session.connection).await.map_err(failure::store)?.rows_affected())
        })
    }

    fn bytes(&self) -> usize {
        64
    }
}
