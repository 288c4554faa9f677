//! The trait's calls: what is too large or makes no sense is turned away here, before it waits.

use std::fs;
use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use mainstay_core::time::Time;

use super::change::Changes;
use super::ingest::Ingest;
use super::lock::beside;
use super::sums::AddSums;
use super::{Sqlite, read};
use crate::audit::Recorded;
use crate::bucket::Series;
use crate::change::Change;
use crate::error::StoreError;
use crate::item::{Counted, Item, ItemQuery, Kind, Sketch, State, Stored, Sums, Verdict};
use crate::limits;
use crate::record::{Document, Event, EventQuery, Run, RunQuery};
use crate::registry::{Moved, Version};
use crate::store::{Answer, Maintained, Stats, Store};

impl Store for Sqlite {
    fn ingest(&self, items: Vec<Item>, now: Time) -> Answer<'_, Vec<Verdict>> {
        Box::pin(async move {
            limits::items(&items)?;
            if items.is_empty() {
                return Ok(Vec::new());
            }
            self.write(Ingest { items, now }).await
        })
    }

    fn add_sums(&self, sums: Sums, now: Time) -> Answer<'_, Counted> {
        Box::pin(async move {
            limits::sums(&sums)?;
            self.write(AddSums { sums, now }).await
        })
    }

    fn change(&self, changes: Vec<Change>, now: Time) -> Answer<'_, Vec<u64>> {
        Box::pin(async move {
            limits::changes(&changes)?;
            if changes.is_empty() {
                return Ok(Vec::new());
            }
            self.write(Changes { changes, now }).await
        })
    }

    fn maintain(&self, now: Time) -> Answer<'_, Maintained> {
        Box::pin(self.maintain_all(now))
    }

    fn load(&self) -> Answer<'_, Vec<Series>> {
        Box::pin(read::load(&self.readers))
    }

    fn last_sequence(&self, source: &str) -> Answer<'_, Option<u64>> {
        let source = source.to_owned();
        Box::pin(async move { read::last_sequence(&self.readers, &source).await })
    }

    fn sketches(&self, since: Time) -> Answer<'_, Vec<Sketch>> {
        Box::pin(read::sketches(&self.readers, since))
    }

    fn states(&self, prefix: &str) -> Answer<'_, Vec<State>> {
        let prefix = prefix.to_owned();
        Box::pin(async move { read::states(&self.readers, &prefix).await })
    }

    fn item(&self, kind: Kind, client: &str, id: &str) -> Answer<'_, Option<Stored>> {
        let (client, id) = (client.to_owned(), id.to_owned());
        Box::pin(async move { read::item(&self.readers, kind, &client, &id).await })
    }

    fn items(&self, query: ItemQuery) -> Answer<'_, Vec<Stored>> {
        Box::pin(read::items(&self.readers, query))
    }

    fn about(&self, client: &str, request: &str) -> Answer<'_, Vec<Stored>> {
        let (client, request) = (client.to_owned(), request.to_owned());
        Box::pin(async move { read::about(&self.readers, &client, &request).await })
    }

    fn document(&self, kind: &str, id: &str) -> Answer<'_, Option<Document>> {
        let (kind, id) = (kind.to_owned(), id.to_owned());
        Box::pin(async move { read::document(&self.readers, &kind, &id).await })
    }

    fn documents(&self, kind: &str, after: &str) -> Answer<'_, Vec<Document>> {
        let (kind, after) = (kind.to_owned(), after.to_owned());
        Box::pin(async move { read::documents(&self.readers, &kind, &after).await })
    }

    fn documents_before(&self, kind: &str, before: &str, limit: usize) -> Answer<'_, Vec<Document>> {
        let (kind, before) = (kind.to_owned(), before.to_owned());
        Box::pin(async move { read::documents_before(&self.readers, &kind, &before, limit).await })
    }

    fn documents_page(&self, kind: &str, skip: usize, limit: usize) -> Answer<'_, (Vec<Document>, usize)> {
        let kind = kind.to_owned();
        Box::pin(async move { read::documents_page(&self.readers, &kind, skip, limit).await })
    }

    fn events(&self, query: EventQuery) -> Answer<'_, Vec<Event>> {
        Box::pin(read::events(&self.readers, query))
    }

    fn run(&self, id: &str) -> Answer<'_, Option<Run>> {
        let id = id.to_owned();
        Box::pin(async move { read::run(&self.readers, &id).await })
    }

    fn runs(&self, query: RunQuery) -> Answer<'_, Vec<Run>> {
        Box::pin(read::runs(&self.readers, query))
    }

    fn versions(&self, model: Option<&str>) -> Answer<'_, Vec<Version>> {
        let model = model.map(str::to_owned);
        Box::pin(async move { read::versions(&self.readers, model.as_deref()).await })
    }

    fn pointers(&self, model: Option<&str>) -> Answer<'_, Vec<Moved>> {
        let model = model.map(str::to_owned);
        Box::pin(async move { read::pointers(&self.readers, model.as_deref()).await })
    }

    fn moves(&self, model: &str, pointer: &str, limit: usize) -> Answer<'_, Vec<Moved>> {
        let (model, pointer) = (model.to_owned(), pointer.to_owned());
        Box::pin(async move { read::moves(&self.readers, &model, &pointer, limit).await })
    }

    fn audit(&self, after: u64, limit: usize) -> Answer<'_, Vec<Recorded>> {
        Box::pin(read::audit(&self.readers, after, limit))
    }

    fn verify_audit(&self) -> Answer<'_, u64> {
        Box::pin(read::verify_audit(&self.readers))
    }

    fn backup(&self, to: &Path) -> Answer<'_, u64> {
        let to = to.to_path_buf();
        Box::pin(async move { self.copy(&to).await })
    }

    fn check(&self) -> Answer<'_, ()> {
        Box::pin(read::check(&self.readers))
    }

    fn stats(&self) -> Stats {
        let counts = &self.queue.counts;
        let size = |path: &Path| fs::metadata(path).map_or(0, |data| data.len());
        Stats {
            queued: self.queue.depth() as u64,
            queue_max: self.queue.depth_max as u64,
            commits: counts.commits.load(Ordering::Relaxed),
            writes: counts.writes.load(Ordering::Relaxed),
            refused: counts.refused.load(Ordering::Relaxed),
            failed: counts.failed.load(Ordering::Relaxed),
            commit_nanos: counts.commit_nanos.load(Ordering::Relaxed),
            commit_nanos_max: counts.commit_nanos_max.load(Ordering::Relaxed),
            size_bytes: size(&self.path),
            log_bytes: size(&beside(&self.path, "-wal")),
        }
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            self.queue.close();
            let writer = self.writer.lock().await.take();
            if let Some(writer) = writer {
                writer.await.map_err(|_| StoreError::Closed)?;
            }
            self.readers.close().await;
            self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
            Ok(())
        })
    }
}
