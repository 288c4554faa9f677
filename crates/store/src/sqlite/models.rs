//! Versions and pointers of models.

use mainstay_core::time::Time;

use super::failure;
use super::insert::nanos;
use super::writer::Session;
use crate::error::StoreError;
use crate::registry::{Move, Version};

pub(super) async fn put_version(version: &Version, session: &mut Session) -> Result<u64, StoreError> {
    let found = digest(&version.model, &version.version, session).await?;
    let is_new = found.is_none();
    if let Some(found) = found.filter(|found| *found != version.digest) {
        let what = format!("version {} of model {}", version.version, version.model);
        return Err(StoreError::Conflict { what, found: format!("it has the digest {found}") });
    }
    let query = sqlx::query(
        "INSERT INTO version (model, version, stage, digest, created, data_max_event_time, lineage) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (model, version) DO UPDATE SET stage = excluded.stage, \
         created = excluded.created, data_max_event_time = excluded.data_max_event_time, lineage = excluded.lineage",
    );
    let query = query.bind(&version.model).bind(&version.version).bind(&version.stage).bind(&version.digest);
    let query = query.bind(nanos(version.created)).bind(version.data_max_event_time.map(nanos)).bind(&version.lineage);
    query.execute(&mut session.connection).await.map_err(failure::store)?;
    Ok(u64::from(is_new))
}

pub(super) async fn make_move(to: &Move, now: Time, session: &mut Session) -> Result<u64, StoreError> {
    // The empty name is nowhere: the way back from a first move.
    if !to.version.is_empty() && digest(&to.model, &to.version, session).await?.is_none() {
        return Err(StoreError::Unknown(format!("version {} of model {}", to.version, to.model)));
    }
    let query = sqlx::query_as(
        "SELECT revision, version FROM move WHERE model = $1 AND pointer = $2 ORDER BY revision DESC LIMIT 1",
    );
    let query = query.bind(&to.model).bind(&to.pointer);
    let stands: Option<(i64, String)> = query.fetch_optional(&mut session.connection).await.map_err(failure::store)?;
    let (revision, previous) = stands.map_or((0, None), |(revision, version)| (revision, Some(version)));
    let stands = previous.as_deref().unwrap_or("");
    if to.expect.as_ref().is_some_and(|expect| expect != stands) {
        let found = if stands.is_empty() { "it stands nowhere".to_owned() } else { format!("it stands at {stands}") };
        return Err(StoreError::Conflict { what: format!("{} of model {}", to.pointer, to.model), found });
    }
    let query = sqlx::query(
        "INSERT INTO move (model, pointer, revision, version, previous, at, actor, reason) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    );
    let query = query.bind(&to.model).bind(&to.pointer).bind(revision + 1).bind(&to.version).bind(&previous);
    let query = query.bind(nanos(now)).bind(&to.actor).bind(&to.reason);
    query.execute(&mut session.connection).await.map_err(failure::store)?;
    Ok(revision as u64 + 1)
}

async fn digest(model: &str, version: &str, session: &mut Session) -> Result<Option<String>, StoreError> {
    let query = sqlx::query_scalar("SELECT digest FROM version WHERE model = $1 AND version = $2");
    let query = query.bind(model).bind(version);
    query.fetch_optional(&mut session.connection).await.map_err(failure::store)
}
