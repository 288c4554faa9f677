//! Incidents, deliveries and what belongs to them, as documents of the store.

use std::time::Duration;

use mainstay_core::event::{Event, EventKind};
use mainstay_core::incident::kind::Status;
use mainstay_core::incident::oncall::Override;
use mainstay_core::incident::record::{ActionState, Incident};
use mainstay_core::response::delivery::{Delivery, State};
use mainstay_core::response::desk::{Audited, Desk, Memory, Silence, Taken};
use mainstay_core::time::Time;
use mainstay_store::change::Change;
use mainstay_store::item;
use mainstay_store::record::{Document, EventQuery, Expect};
use mainstay_store::{Store, StoreError, audit};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::LOOK_BACK;
use crate::engine::logged;

/// Kinds of documents.
const INCIDENT: &str = "incident";
const DELIVERY: &str = "notice";
pub(super) const OVERRIDE: &str = "oncall_override";
pub(super) const SILENCE: &str = "silence";
/// What the desk remembers, among the store's states.
const MEMORY: &str = "incidents/memory";
/// About how long a piece of it is: a value has 1 MiB at most.
const PIECE_BYTES: usize = 512 << 10;
/// The number of the last event that it took in.
const CURSOR: &str = "incidents/cursor";
/// When the last heartbeat was.
const ALIVE: &str = "incidents/alive";

/// What rests.
#[derive(Default)]
pub(super) struct Rests {
    pub(super) memory: Memory,
    /// Those that the desk may still have to do with.
    pub(super) incidents: Vec<Incident>,
    pub(super) deliveries: Vec<Delivery>,
    pub(super) overrides: Vec<Override>,
    pub(super) silences: Vec<Silence>,
    pub(super) cursor: u64,
    /// In how many pieces the memory rests.
    pub(super) pieces: usize,
    /// The last id.
    pub(super) last: Option<String>,
}

pub(super) async fn load(store: &dyn Store, now: Time, reopen: Duration) -> Result<Rests, StoreError> {
    let mut rests = Rests::default();
    let mut cursor = None;
    for state in store.states("incidents/").await? {
        match state.key.as_str() {
            key if key.starts_with(MEMORY) => {
                rests.pieces += 1;
                if let Err(error) = rests.memory.add(&state.data) {
                    tracing::error!(%error, key, "what the desk remembers cannot be read: these facts begin anew");
                }
            }
            CURSOR => cursor = std::str::from_utf8(&state.data).ok().and_then(|text| text.parse().ok()),
            _ => {}
        }
    }
    rests.cursor = match cursor {
        Some(cursor) => cursor,
        None => last_event(store).await?,
    };
    let all: Vec<Incident> = documents(store, INCIDENT, "").await?;
    rests.last = all.iter().map(|it| it.id.clone()).max();
    rests.incidents = all.into_iter().filter(|it| is_of_use(it, now, reopen)).collect();
    let deliveries: Vec<Delivery> = documents(store, DELIVERY, "").await?;
    rests.deliveries = deliveries.into_iter().filter(|it| it.state == State::Pending).collect();
    let overrides: Vec<Override> = documents(store, OVERRIDE, "").await?;
    rests.overrides = overrides.into_iter().filter(|it| it.until + LOOK_BACK > now).collect();
    let silences: Vec<Silence> = documents(store, SILENCE, "").await?;
    rests.silences = silences.into_iter().filter(|it| it.until + LOOK_BACK > now).collect();
    Ok(rests)
}

fn is_of_use(incident: &Incident, now: Time, reopen: Duration) -> bool {
    let acts = |state| matches!(state, ActionState::Pending | ActionState::Active | ActionState::Undoing);
    incident.status.is_open()
        || (incident.status == Status::Resolved && incident.resolved.is_some_and(|at| now.since(at) <= reopen))
        || incident.actions.iter().any(|action| acts(action.state))
}

/// The number of the last event in the log.
async fn last_event(store: &dyn Store) -> Result<u64, StoreError> {
    let mut after = 0;
    loop {
        let page = store.events(EventQuery { after, ..EventQuery::default() }).await?;
        match page.last() {
            Some(last) => after = last.seq,
            None => return Ok(after),
        }
    }
}

/// What makes all that changed rest.
pub(super) fn changes(taken: &Taken, now: Time) -> Vec<Change> {
    let mut changes = Vec::new();
    for (incident, is_new) in &taken.incidents {
        let expect = if *is_new { Expect::Absent } else { Expect::Any };
        changes.push(document(INCIDENT, &incident.id, expect, incident));
    }
    changes.extend(taken.deliveries.iter().map(|it| document(DELIVERY, &it.id, Expect::Any, it)));
    changes.extend(taken.events.iter().map(|kind: &EventKind| logged(&Event { at: now, kind: kind.clone() })));
    changes.extend(taken.audits.iter().map(audited));
    changes
}

/// What makes the desk's memory rest, in place of the `before` pieces in which it rested.
pub(super) fn remembered(desk: &Desk, before: &mut usize) -> Vec<Change> {
    let key = |n: usize| format!("{MEMORY}/{n:04}");
    let pieces = desk.memory().pieces(PIECE_BYTES);
    let count = pieces.len();
    let kept = pieces.into_iter().enumerate().map(|(n, data)| Change::State(item::State { key: key(n), data }));
    let changes = kept.chain((count..*before).map(|n| Change::ForgetState(key(n)))).collect();
    // Where this is not stored, what rests is no more than the most of both.
    *before = count.max(*before);
    changes
}

/// The last id that rests.
pub(super) async fn last_id(store: &dyn Store) -> Result<Option<String>, StoreError> {
    last_of(store, INCIDENT).await
}

/// That everything up to an event was taken in.
pub(super) fn cursor(last: u64) -> Change {
    Change::State(item::State { key: CURSOR.to_owned(), data: last.to_string().into_bytes() })
}

/// What a heartbeat leaves behind: that the store takes something.
pub(super) fn alive(now: Time) -> Change {
    Change::State(item::State { key: ALIVE.to_owned(), data: now.as_millis().to_string().into_bytes() })
}

fn audited(it: &Audited) -> Change {
    Change::Audit(audit::Entry {
        actor: it.actor.clone(),
        source: it.source.clone(),
        action: it.action.clone(),
        subject: it.subject.clone(),
        before: it.before.as_ref().map(ToString::to_string),
        after: it.after.as_ref().map(ToString::to_string),
        reason: it.reason.clone(),
    })
}

pub(crate) fn document(kind: &str, id: &str, expect: Expect, body: &impl Serialize) -> Change {
    let body = serde_json::to_string(body).expect("what rests becomes JSON");
    Change::Document { kind: kind.to_owned(), id: id.to_owned(), expect, body }
}

pub(crate) fn put(kind: &str, id: &str, body: &impl Serialize) -> Change {
    document(kind, id, Expect::Any, body)
}

pub(super) fn remove(kind: &str, id: &str) -> Change {
    Change::DeleteDocument { kind: kind.to_owned(), id: id.to_owned(), expect: Expect::Any }
}

pub(super) async fn incident(store: &dyn Store, id: &str) -> Result<Option<Incident>, StoreError> {
    Ok(store.document(INCIDENT, id).await?.and_then(|document| read(&document)))
}

/// All of them, the last first.
pub(super) async fn incidents(store: &dyn Store) -> Result<Vec<Incident>, StoreError> {
    let mut all: Vec<Incident> = documents(store, INCIDENT, "").await?;
    all.reverse();
    Ok(all)
}

/// Those before an id, the last first, at most `limit` of which are read, and the id to go on before; `None` where that was all.
pub(super) async fn incidents_before(
    store: &dyn Store,
    before: &str,
    limit: usize,
) -> Result<(Vec<Incident>, Option<String>), StoreError> {
    let page = store.documents_before(INCIDENT, before, limit).await?;
    let next = page.last().filter(|_| page.len() >= limit).map(|last| last.id.clone());
    Ok((page.iter().filter_map(read).collect(), next))
}

/// All of them, or those of one incident, by when they were made.
pub(super) async fn deliveries(store: &dyn Store, incident: Option<&str>) -> Result<Vec<Delivery>, StoreError> {
    let prefix = incident.map(|id| format!("{id}-")).unwrap_or_default();
    let mut all: Vec<Delivery> = documents(store, DELIVERY, &prefix).await?;
    all.sort_by(|a, b| a.made.cmp(&b.made).then_with(|| a.id.len().cmp(&b.id.len())).then_with(|| a.id.cmp(&b.id)));
    Ok(all)
}

/// The greatest id of a kind that rests.
pub(crate) async fn last_of(store: &dyn Store, kind: &str) -> Result<Option<String>, StoreError> {
    Ok(store.documents_before(kind, "", 1).await?.pop().map(|document| document.id))
}

/// Documents of a kind whose ids start with a prefix, in the order of ids.
pub(crate) async fn documents<T: DeserializeOwned>(
    store: &dyn Store,
    kind: &str,
    prefix: &str,
) -> Result<Vec<T>, StoreError> {
    let (mut all, mut after) = (Vec::new(), prefix.to_owned());
    loop {
        let page = store.documents(kind, &after).await?;
        let Some(last) = page.last() else { return Ok(all) };
        after.clone_from(&last.id);
        let of = page.iter().take_while(|document| document.id.starts_with(prefix));
        let before = all.len();
        all.extend(of.clone().filter_map(read));
        if of.count() < page.len() {
            debug_assert!(all.len() >= before);
            return Ok(all);
        }
    }
}

pub(crate) fn read<T: DeserializeOwned>(document: &Document) -> Option<T> {
    let read = serde_json::from_str(&document.body);
    read.inspect_err(
        |error| tracing::error!(kind = document.kind, id = document.id, %error, "a document cannot be read"),
    )
    .ok()
}
