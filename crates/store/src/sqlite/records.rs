//! Documents, states, sketches, runs, events, the audit log: one change each.

use mainstay_core::time::Time;

use super::failure;
use super::insert::{nanos, time};
use super::writer::Session;
use crate::audit::{Entry, GENESIS, Hash};
use crate::error::StoreError;
use crate::item::{Sketch, State};
use crate::record::{Event, Expect, Run};

pub(super) async fn put_document(
    kind: &str,
    id: &str,
    expect: Expect,
    body: &str,
    now: Time,
    session: &mut Session,
) -> Result<u64, StoreError> {
    let revision = expected(kind, id, expect, session).await?.unwrap_or(0) + 1;
    let query = sqlx::query(
        "INSERT INTO document (kind, id, revision, at, body) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (kind, id) \
         DO UPDATE SET revision = excluded.revision, at = excluded.at, body = excluded.body",
    );
    let query = query.bind(kind).bind(id).bind(revision as i64).bind(nanos(now)).bind(body);
    query.execute(&mut session.connection).await.map_err(failure::store)?;
    Ok(revision)
}

pub(super) async fn delete_document(
    kind: &str,
    id: &str,
    expect: Expect,
    session: &mut Session,
) -> Result<u64, StoreError> {
    let revision = expected(kind, id, expect, session).await?;
    let revision = revision.ok_or_else(|| StoreError::Unknown(format!("{kind} {id}")))?;
    let query = sqlx::query("DELETE FROM document WHERE kind = $1 AND id = $2").bind(kind).bind(id);
    query.execute(&mut session.connection).await.map_err(failure::store)?;
    Ok(revision)
}

/// The document's revision, if it is as expected.
async fn expected(kind: &str, id: &str, expect: Expect, session: &mut Session) -> Result<Option<u64>, StoreError> {
    let query = sqlx::query_scalar("SELECT revision FROM document WHERE kind = $1 AND id = $2").bind(kind).bind(id);
    let found: Option<i64> = query.fetch_optional(&mut session.connection).await.map_err(failure::store)?;
    let found = found.map(|revision| revision as u64);
    let wanted = match expect {
        Expect::Any => found,
        Expect::Absent => None,
        Expect::Revision(revision) => Some(revision),
    };
    if found == wanted {
        return Ok(found);
    }
    let found = found.map_or("it does not exist".to_owned(), |revision| format!("it is at revision {revision}"));
    Err(StoreError::Conflict { what: format!("{kind} {id}"), found })
}

pub(super) async fn put_state(state: &State, now: Time, session: &mut Session) -> Result<u64, StoreError> {
    let query = sqlx::query(
        "INSERT INTO state (key, data, at) VALUES ($1, $2, $3) ON CONFLICT (key) \
         DO UPDATE SET data = excluded.data, at = excluded.at",
    );
    let query = query.bind(&state.key).bind(&state.data).bind(nanos(now));
    query.execute(&mut session.connection).await.map_err(failure::store)?;
    Ok(0)
}

pub(super) async fn forget_state(key: &str, session: &mut Session) -> Result<u64, StoreError> {
    let query = sqlx::query("DELETE FROM state WHERE key = $1").bind(key);
    query.execute(&mut session.connection).await.map_err(failure::store)?;
    Ok(0)
}

pub(super) async fn put_sketch(sketch: &Sketch, session: &mut Session) -> Result<u64, StoreError> {
    let query = sqlx::query(
        "INSERT INTO sketch (series, start, width, data) VALUES ($1, $2, $3, $4) ON CONFLICT (series, start, width) \
         DO UPDATE SET data = excluded.data",
    );
    let start = sketch.start.as_nanos() / 1_000_000_000;
    let query = query.bind(&sketch.series).bind(start as i64).bind(i64::from(sketch.width_secs)).bind(&sketch.data);
    query.execute(&mut session.connection).await.map_err(failure::store)?;
    Ok(0)
}

pub(super) async fn put_run(run: &Run, now: Time, session: &mut Session) -> Result<u64, StoreError> {
    let query = sqlx::query_scalar("SELECT 1 FROM run WHERE id = $1").bind(&run.id);
    let found: Option<i64> = query.fetch_optional(&mut session.connection).await.map_err(failure::store)?;
    let query = sqlx::query(
        "INSERT INTO run (id, name, state, created, updated, body) VALUES ($1, $2, $3, $4, $4, $5) ON CONFLICT (id) \
         DO UPDATE SET name = excluded.name, state = excluded.state, updated = excluded.updated, body = excluded.body",
    );
    let query = query.bind(&run.id).bind(&run.name).bind(&run.state).bind(nanos(now)).bind(&run.body);
    query.execute(&mut session.connection).await.map_err(failure::store)?;
    Ok(u64::from(found.is_none()))
}

pub(super) async fn append_event(event: &Event, session: &mut Session) -> Result<u64, StoreError> {
    let query = sqlx::query_scalar("INSERT INTO event (at, kind, body) VALUES ($1, $2, $3) RETURNING seq");
    let query = query.bind(nanos(event.at)).bind(&event.kind).bind(&event.body);
    let seq: i64 = query.fetch_one(&mut session.connection).await.map_err(failure::store)?;
    Ok(seq as u64)
}

pub(super) async fn append_audit(entry: &Entry, now: Time, session: &mut Session) -> Result<u64, StoreError> {
    let query = sqlx::query_as("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1");
    let last: Option<(i64, Vec<u8>)> = query.fetch_optional(&mut session.connection).await.map_err(failure::store)?;
    let (seq, before) = match last {
        None => (0, GENESIS),
        Some((seq, hash)) => (seq, Hash(hash.try_into().map_err(|_| damaged(seq))?)),
    };
    let query = sqlx::query(
        "INSERT INTO audit (seq, at, actor, source, action, subject, before, after, reason, hash) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    );
    let query = query.bind(seq + 1).bind(nanos(now)).bind(&entry.actor).bind(&entry.source).bind(&entry.action);
    let query = query.bind(&entry.subject).bind(&entry.before).bind(&entry.after).bind(&entry.reason);
    let query = query.bind(entry.hash(before, time(nanos(now))).0.to_vec());
    query.execute(&mut session.connection).await.map_err(failure::store)?;
    Ok(seq as u64 + 1)
}

fn damaged(seq: i64) -> StoreError {
    StoreError::Corrupt(format!("the audit log's entry {seq} has no hash").into())
}

pub(super) async fn settle(items: &[u64], now: Time, session: &mut Session) -> Result<u64, StoreError> {
    let mut waited = 0;
    for seq in items {
        let query =
            sqlx::query("UPDATE item SET settled = $1 WHERE seq = $2 AND about IS NOT NULL AND settled IS NULL");
        let query = query.bind(nanos(now)).bind(*seq as i64);
        waited += query.execute(&mut session.connection).await.map_err(failure::store)?.rows_affected();
    }
    Ok(waited)
}
