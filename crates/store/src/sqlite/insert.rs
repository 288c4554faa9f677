//! Many rows in few statements.

use std::collections::BTreeMap;

use mainstay_core::time::Time;
use sqlx::{QueryBuilder, Sqlite};

use super::failure;
use super::writer::Session;
use crate::bucket::{TEN_SECONDS, floor};
use crate::error::StoreError;
use crate::item::Delta;

/// Rows in one statement at most.
const ROWS_MAX: usize = 64;

/// What a time is at rest.
pub(super) fn nanos(time: Time) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// The time of a number at rest.
pub(super) fn time(nanos: i64) -> Time {
    Time::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// Slices whose lengths are powers of two: few texts of statements, so that each stays prepared.
pub(super) fn chunks<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        if rows.is_empty() {
            return None;
        }
        let fits = rows.len().min(ROWS_MAX);
        let (chunk, rest) = rows.split_at(1 << fits.ilog2());
        rows = rest;
        Some(chunk)
    })
}

/// Counts per objective and start of bucket in seconds.
#[derive(Default)]
pub(super) struct Counts<'a>(BTreeMap<(&'a str, u64), (u64, u64)>);

impl<'a> Counts<'a> {
    pub(super) fn add(&mut self, delta: &'a Delta) {
        let start = floor(delta.start.as_nanos() / 1_000_000_000, TEN_SECONDS);
        let (good, bad) = self.0.entry((&delta.objective, start)).or_default();
        *good += delta.good;
        *bad += delta.bad;
    }

    /// Adds them to the buckets.
    pub(super) async fn store(&self, session: &mut Session) -> Result<(), StoreError> {
        let mut rows = Vec::with_capacity(self.0.len());
        for ((objective, start), (good, bad)) in &self.0 {
            let number = objective_number(session, objective).await?;
            rows.push((number, *start as i64, *good as i64, *bad as i64));
        }
        rows.sort_unstable_by_key(|(objective, start, _, _)| (*start, *objective));
        for chunk in chunks(&rows) {
            let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO bucket (start, objective, good, bad) ");
            query.push_values(chunk, |mut row, (objective, start, good, bad)| {
                row.push_bind(*start).push_bind(*objective).push_bind(*good).push_bind(*bad);
            });
            query.push(" ON CONFLICT (start, objective) DO UPDATE SET good = bucket.good + excluded.good, bad = bucket.bad + excluded.bad");
            query.build().execute(&mut session.connection).await.map_err(failure::store)?;
        }
        Ok(())
    }
}

async fn objective_number(session: &mut Session, name: &str) -> Result<i64, StoreError> {
    if let Some(number) = session.objectives.get(name) {
        return Ok(*number);
    }
    let made = sqlx::query("INSERT INTO objective (name) VALUES ($1) ON CONFLICT DO NOTHING").bind(name);
    made.execute(&mut session.connection).await.map_err(failure::store)?;
    let found = sqlx::query_scalar("SELECT id FROM objective WHERE name = $1").bind(name);
    let number = found.fetch_one(&mut session.connection).await.map_err(failure::store)?;
    session.objectives.insert(name.to_owned(), number);
    Ok(number)
}
