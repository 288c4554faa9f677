//! Reads, each in a snapshot of its own.

use mainstay_core::time::Time;
use sqlx::{QueryBuilder, SqlitePool};

use super::failure;
use super::insert::{nanos, time};
use crate::audit::{Entry, GENESIS, Hash, Recorded};
use crate::bucket::{Bucket, HOUR, MINUTE, Series};
use crate::error::StoreError;
use crate::item::{ITEMS_MAX, Item, ItemQuery, Kind, Sketch, State, Stored};
use crate::pack;
use crate::record::{Document, Event, EventQuery, PAGE_MAX, Run, RunQuery};
use crate::registry::{Moved, Version};

pub(super) fn damaged(what: String) -> StoreError {
    StoreError::Corrupt(what.into())
}

fn limit(limit: usize, max: usize) -> i64 {
    limit.min(max) as i64
}

/// Two rows per objective of minutes and hours, and one text per moment of tens: a row for each bucket would take most of
/// the time.
pub(super) async fn load(readers: &SqlitePool) -> Result<Vec<Series>, StoreError> {
    let mut snapshot = readers.begin().await.map_err(failure::store)?;
    let query = sqlx::query_as("SELECT id, name FROM objective ORDER BY name");
    let objectives: Vec<(i64, String)> = query.fetch_all(&mut *snapshot).await.map_err(failure::store)?;
    let query = sqlx::query_as(
        "SELECT start, string_agg(objective || ',' || good || ',' || bad, ';') FROM bucket GROUP BY start ORDER BY start",
    );
    let moments: Vec<(i64, String)> = query.fetch_all(&mut *snapshot).await.map_err(failure::store)?;
    let query = sqlx::query_as("SELECT objective, width, data FROM packed");
    let packed: Vec<(i64, i64, Vec<u8>)> = query.fetch_all(&mut *snapshot).await.map_err(failure::store)?;
    drop(snapshot);

    let mut all = All::new(objectives);
    for (start, text) in &moments {
        all.add_moment(*start, text).ok_or_else(|| damaged(format!("the counts of second {start}")))?;
    }
    for (id, width, data) in packed {
        let series = all.series(id).ok_or_else(|| damaged(format!("counts of an objective {id} without a name")))?;
        let buckets = unpacked(&series.objective, width, &data)?;
        if width as u64 == MINUTE { series.minutes = buckets } else { series.hours = buckets }
    }
    Ok(all.series)
}

/// Series in the order of names, found by number.
struct All {
    series: Vec<Series>,
    /// Numbers and places in `series`, in the order of numbers.
    places: Vec<(i64, usize)>,
}

impl All {
    fn new(objectives: Vec<(i64, String)>) -> All {
        let mut places: Vec<_> = objectives.iter().enumerate().map(|(place, (id, _))| (*id, place)).collect();
        places.sort_unstable();
        let series = |(_, objective)| Series { objective, ..Series::default() };
        All { series: objectives.into_iter().map(series).collect(), places }
    }

    fn series(&mut self, id: i64) -> Option<&mut Series> {
        let n = self.places.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        let (_, place) = self.places.get(n)?;
        self.series.get_mut(*place)
    }

    /// `objective,good,bad;objective,good,bad`.
    fn add_moment(&mut self, start: i64, text: &str) -> Option<()> {
        let start = Time::from_secs(u64::try_from(start).ok()?);
        for bucket in text.split(';') {
            let mut numbers = bucket.split(',');
            let id = numbers.next()?.parse().ok()?;
            let mut count = || numbers.next()?.parse().ok();
            let (good, bad) = (count()?, count()?);
            self.series(id)?.tens.push(Bucket { start, good, bad });
        }
        Some(())
    }
}

/// The buckets of a row of `packed`.
pub(super) fn unpacked(objective: &str, width: i64, data: &[u8]) -> Result<Vec<Bucket>, StoreError> {
    let width = u64::try_from(width).ok().filter(|width| [MINUTE, HOUR].contains(width));
    let width = width.ok_or_else(|| damaged(format!("packed buckets of {objective} have an unknown width")))?;
    pack::unpack(data, width).map_err(|error| damaged(format!("packed buckets of {objective}: {error}")))
}

pub(super) async fn last_sequence(readers: &SqlitePool, source: &str) -> Result<Option<u64>, StoreError> {
    let query = sqlx::query_scalar("SELECT sequence FROM source WHERE name = $1").bind(source);
    let found: Option<i64> = query.fetch_optional(readers).await.map_err(failure::store)?;
    Ok(found.map(|sequence| sequence as u64))
}

pub(super) async fn sketches(readers: &SqlitePool, since: Time) -> Result<Vec<Sketch>, StoreError> {
    let query = sqlx::query_as(
        "SELECT series, start, width, data FROM sketch WHERE start + width > $1 ORDER BY series, start, width",
    );
    let query = query.bind((since.as_nanos() / 1_000_000_000) as i64);
    let rows: Vec<(String, i64, i64, Vec<u8>)> = query.fetch_all(readers).await.map_err(failure::store)?;
    let sketch = |(series, start, width, data): (String, i64, i64, Vec<u8>)| Sketch {
        series,
        start: Time::from_secs(u64::try_from(start).unwrap_or(0)),
        width_secs: u32::try_from(width).unwrap_or(0),
        data,
    };
    Ok(rows.into_iter().map(sketch).collect())
}

pub(super) async fn states(readers: &SqlitePool, prefix: &str) -> Result<Vec<State>, StoreError> {
    let query = sqlx::query_as("SELECT key, data FROM state WHERE substr(key, 1, length($1)) = $1 ORDER BY key");
    let rows: Vec<(String, Vec<u8>)> = query.bind(prefix).fetch_all(readers).await.map_err(failure::store)?;
    Ok(rows.into_iter().map(|(key, data)| State { key, data }).collect())
}

const ITEM: &str = "SELECT seq, kind, client, id, about, at, received, settled, body FROM item";

type ItemRow = (i64, String, String, String, Option<String>, i64, i64, Option<i64>, String);

fn stored((seq, kind, client, id, about, at, received, settled, body): ItemRow) -> Result<Stored, StoreError> {
    let kind = Kind::from_word(&kind).ok_or_else(|| damaged(format!("item {seq} is of no known kind")))?;
    let item = Item { kind, client, id, about, at: time(at), body, deltas: Vec::new() };
    Ok(Stored { seq: seq as u64, received: time(received), settled: settled.map(time), item })
}

pub(super) async fn item(
    readers: &SqlitePool,
    kind: Kind,
    client: &str,
    id: &str,
) -> Result<Option<Stored>, StoreError> {
    let mut query = QueryBuilder::<sqlx::Sqlite>::new(ITEM);
    query.push(" WHERE client = ").push_bind(client.to_owned()).push(" AND id = ").push_bind(id.to_owned());
    query.push(" AND kind = ").push_bind(kind.as_str());
    let row = query.build_query_as::<ItemRow>().fetch_optional(readers).await.map_err(failure::store)?;
    row.map(stored).transpose()
}

pub(super) async fn items(readers: &SqlitePool, wanted: ItemQuery) -> Result<Vec<Stored>, StoreError> {
    let mut query = QueryBuilder::<sqlx::Sqlite>::new(ITEM);
    query.push(" WHERE seq > ").push_bind(wanted.after as i64);
    if let Some(kind) = wanted.kind {
        query.push(" AND kind = ").push_bind(kind.as_str());
    }
    if let Some(client) = wanted.client {
        query.push(" AND client = ").push_bind(client);
    }
    if wanted.waiting {
        query.push(" AND about IS NOT NULL AND settled IS NULL");
    }
    query.push(" ORDER BY seq LIMIT ").push_bind(limit(wanted.limit, ITEMS_MAX));
    let rows = query.build_query_as::<ItemRow>().fetch_all(readers).await.map_err(failure::store)?;
    rows.into_iter().map(stored).collect()
}

pub(super) async fn about(readers: &SqlitePool, client: &str, request: &str) -> Result<Vec<Stored>, StoreError> {
    let mut query = QueryBuilder::<sqlx::Sqlite>::new(ITEM);
    query.push(" WHERE client = ").push_bind(client.to_owned()).push(" AND about = ").push_bind(request.to_owned());
    query.push(" ORDER BY seq LIMIT ").push_bind(limit(ITEMS_MAX, ITEMS_MAX));
    let rows = query.build_query_as::<ItemRow>().fetch_all(readers).await.map_err(failure::store)?;
    rows.into_iter().map(stored).collect()
}

type DocumentRow = (String, String, i64, String, i64);

fn to_document((kind, id, revision, body, at): DocumentRow) -> Document {
    Document { kind, id, revision: revision as u64, body, at: time(at) }
}

pub(super) async fn document(readers: &SqlitePool, kind: &str, id: &str) -> Result<Option<Document>, StoreError> {
    let query = sqlx::query_as("SELECT kind, id, revision, body, at FROM document WHERE kind = $1 AND id = $2");
    let row: Option<DocumentRow> = query.bind(kind).bind(id).fetch_optional(readers).await.map_err(failure::store)?;
    Ok(row.map(to_document))
}

pub(super) async fn documents(readers: &SqlitePool, kind: &str, after: &str) -> Result<Vec<Document>, StoreError> {
    let query = sqlx::query_as(
        "SELECT kind, id, revision, body, at FROM document WHERE kind = $1 AND id > $2 ORDER BY id LIMIT $3",
    );
    let query = query.bind(kind).bind(after).bind(limit(PAGE_MAX, PAGE_MAX));
    let rows: Vec<DocumentRow> = query.fetch_all(readers).await.map_err(failure::store)?;
    Ok(rows.into_iter().map(to_document).collect())
}

pub(super) async fn documents_before(
    readers: &SqlitePool,
    kind: &str,
    before: &str,
    most: usize,
) -> Result<Vec<Document>, StoreError> {
    let query = sqlx::query_as(
        "SELECT kind, id, revision, body, at FROM document WHERE kind = $1 AND ($2 = '' OR id < $2) ORDER BY id DESC LIMIT $3",
    );
    let query = query.bind(kind).bind(before).bind(limit(most, PAGE_MAX));
    let rows: Vec<DocumentRow> = query.fetch_all(readers).await.map_err(failure::store)?;
    Ok(rows.into_iter().map(to_document).collect())
}

pub(super) async fn documents_page(
    readers: &SqlitePool,
    kind: &str,
    skip: usize,
    most: usize,
) -> Result<(Vec<Document>, usize), StoreError> {
    let mut snapshot = readers.begin().await.map_err(failure::store)?;
    let query = sqlx::query_scalar("SELECT count(*) FROM document WHERE kind = $1").bind(kind);
    let total: i64 = query.fetch_one(&mut *snapshot).await.map_err(failure::store)?;
    let query = sqlx::query_as(
        "SELECT kind, id, revision, body, at FROM document WHERE kind = $1 ORDER BY id DESC LIMIT $2 OFFSET $3",
    );
    let query = query.bind(kind).bind(limit(most, PAGE_MAX)).bind(i64::try_from(skip).unwrap_or(i64::MAX));
    let rows: Vec<DocumentRow> = query.fetch_all(&mut *snapshot).await.map_err(failure::store)?;
    Ok((rows.into_iter().map(to_document).collect(), usize::try_from(total).unwrap_or(0)))
}

pub(super) async fn events(readers: &SqlitePool, wanted: EventQuery) -> Result<Vec<Event>, StoreError> {
    let mut query = QueryBuilder::<sqlx::Sqlite>::new("SELECT seq, at, kind, body FROM event WHERE seq > ");
    query.push_bind(wanted.after as i64);
    match wanted.kind {
        // The end of a range of texts that start alike: "/" follows "." in every encoding that sorts by bytes.
        Some(kind) if kind.ends_with('.') => {
            let end = format!("{}/", kind.trim_end_matches('.'));
            query.push(" AND kind >= ").push_bind(kind).push(" AND kind < ").push_bind(end);
        }
        Some(kind) => {
            query.push(" AND kind = ").push_bind(kind);
        }
        None => {}
    }
    if wanted.from > Time::ZERO {
        query.push(" AND at >= ").push_bind(nanos(wanted.from));
    }
    if wanted.until < Time::MAX {
        query.push(" AND at < ").push_bind(nanos(wanted.until));
    }
    query.push(" ORDER BY seq LIMIT ").push_bind(limit(wanted.limit, PAGE_MAX));
    let rows = query.build_query_as::<(i64, i64, String, String)>().fetch_all(readers).await.map_err(failure::store)?;
    let event = |(seq, at, kind, body): (i64, _, _, _)| Event { seq: seq as u64, at: time(at), kind, body };
    Ok(rows.into_iter().map(event).collect())
}

type RunRow = (String, String, String, i64, i64, String);

fn to_run((id, name, state, created, updated, body): RunRow) -> Run {
    Run { id, name, state, body, created: time(created), updated: time(updated) }
}

pub(super) async fn run(readers: &SqlitePool, id: &str) -> Result<Option<Run>, StoreError> {
    let query = sqlx::query_as("SELECT id, name, state, created, updated, body FROM run WHERE id = $1").bind(id);
    let row: Option<RunRow> = query.fetch_optional(readers).await.map_err(failure::store)?;
    Ok(row.map(to_run))
}

pub(super) async fn runs(readers: &SqlitePool, wanted: RunQuery) -> Result<Vec<Run>, StoreError> {
    let mut query = QueryBuilder::<sqlx::Sqlite>::new("SELECT id, name, state, created, updated, body FROM run");
    query.push(" WHERE 1 = 1");
    if let Some(name) = wanted.name {
        query.push(" AND name = ").push_bind(name);
    }
    if let Some(state) = wanted.state {
        query.push(" AND state = ").push_bind(state);
    }
    query.push(" ORDER BY updated DESC, id LIMIT ").push_bind(limit(wanted.limit, PAGE_MAX));
    let rows = query.build_query_as::<RunRow>().fetch_all(readers).await.map_err(failure::store)?;
    Ok(rows.into_iter().map(to_run).collect())
}

type VersionRow = (String, String, String, String, i64, Option<i64>, String);

pub(super) async fn versions(readers: &SqlitePool, model: Option<&str>) -> Result<Vec<Version>, StoreError> {
    let query = sqlx::query_as(
        "SELECT model, version, stage, digest, created, data_max_event_time, lineage FROM version \
         WHERE $1 IS NULL OR model = $1 ORDER BY model, created, version",
    );
    let rows: Vec<VersionRow> = query.bind(model).fetch_all(readers).await.map_err(failure::store)?;
    let version = |(model, version, stage, digest, created, latest, lineage): VersionRow| {
        let data_max_event_time = latest.map(time);
        Version { model, version, stage, digest, created: time(created), data_max_event_time, lineage }
    };
    Ok(rows.into_iter().map(version).collect())
}

type MoveRow = (String, String, i64, String, Option<String>, i64, String, String);

fn moved((model, pointer, revision, version, previous, at, actor, reason): MoveRow) -> Moved {
    Moved { model, pointer, revision: revision as u64, version, previous, at: time(at), actor, reason }
}

pub(super) async fn pointers(readers: &SqlitePool, model: Option<&str>) -> Result<Vec<Moved>, StoreError> {
    let query = sqlx::query_as(
        "SELECT model, pointer, revision, version, previous, at, actor, reason FROM move WHERE ($1 IS NULL OR model = $1) \
         AND revision = (SELECT max(m.revision) FROM move m WHERE m.model = move.model AND m.pointer = move.pointer) \
         ORDER BY model, pointer",
    );
    let rows: Vec<MoveRow> = query.bind(model).fetch_all(readers).await.map_err(failure::store)?;
    Ok(rows.into_iter().map(moved).collect())
}

pub(super) async fn moves(
    readers: &SqlitePool,
    model: &str,
    pointer: &str,
    most: usize,
) -> Result<Vec<Moved>, StoreError> {
    let query = sqlx::query_as(
        "SELECT model, pointer, revision, version, previous, at, actor, reason FROM move \
         WHERE model = $1 AND pointer = $2 ORDER BY revision DESC LIMIT $3",
    );
    let query = query.bind(model).bind(pointer).bind(limit(most, PAGE_MAX));
    let rows: Vec<MoveRow> = query.fetch_all(readers).await.map_err(failure::store)?;
    Ok(rows.into_iter().map(moved).collect())
}

type AuditRow = (i64, i64, String, String, String, String, Option<String>, Option<String>, String, Vec<u8>);

pub(super) async fn audit(readers: &SqlitePool, after: u64, most: usize) -> Result<Vec<Recorded>, StoreError> {
    let query = sqlx::query_as(
        "SELECT seq, at, actor, source, action, subject, before, after, reason, hash FROM audit \
         WHERE seq > $1 ORDER BY seq LIMIT $2",
    );
    let query = query.bind(after as i64).bind(limit(most, PAGE_MAX));
    let rows: Vec<AuditRow> = query.fetch_all(readers).await.map_err(failure::store)?;
    rows.into_iter().map(recorded).collect()
}

fn recorded(row: AuditRow) -> Result<Recorded, StoreError> {
    let (seq, at, actor, source, action, subject, before, after, reason, hash) = row;
    let hash = hash.try_into().map_err(|_| damaged(format!("the audit log's entry {seq} has no hash")))?;
    let entry = Entry { actor, source, action, subject, before, after, reason };
    Ok(Recorded { seq: seq as u64, at: time(at), entry, hash: Hash(hash) })
}

pub(super) async fn verify_audit(readers: &SqlitePool) -> Result<u64, StoreError> {
    let (mut seq, mut hash) = (0, GENESIS);
    loop {
        let page = audit(readers, seq, PAGE_MAX).await?;
        if page.is_empty() {
            return Ok(seq);
        }
        for recorded in page {
            hash = recorded.entry.hash(hash, recorded.at);
            seq += 1;
            if recorded.seq != seq || recorded.hash != hash {
                return Err(damaged(format!("the audit log's entry {seq} is not what was recorded")));
            }
        }
    }
}

pub(super) async fn check(readers: &SqlitePool) -> Result<(), StoreError> {
    let query = sqlx::query_scalar("PRAGMA integrity_check(10)");
    let lines: Vec<String> = query.fetch_all(readers).await.map_err(failure::store)?;
    if lines != ["ok"] {
        return Err(damaged(lines.join("; ")));
    }
    load(readers).await?;
    verify_audit(readers).await.map(drop)
}
