//! Items: the new ones are stored and counted, in one transaction.

use std::collections::BTreeMap;

use mainstay_core::time::Time;
use sqlx::{QueryBuilder, Sqlite};

use super::failure;
use super::insert::{Counts, chunks, nanos};
use super::writer::{Doing, Session, Write};
use crate::error::StoreError;
use crate::item::{Item, Verdict};

pub(super) struct Ingest {
    pub(super) items: Vec<Item>,
    pub(super) now: Time,
}

type Key<'a> = (&'a str, &'a str, &'a str);

fn key(item: &Item) -> Key<'_> {
    (item.kind.as_str(), &item.client, &item.id)
}

impl Write for Ingest {
    type Output = Vec<Verdict>;

    fn apply<'a>(&'a self, session: &'a mut Session) -> Doing<'a, Vec<Verdict>> {
        Box::pin(async move {
            let mut firsts: BTreeMap<Key<'_>, &Item> = BTreeMap::new();
            for item in &self.items {
                firsts.entry(key(item)).or_insert(item);
            }
            // In the order of the call, so that numbers follow it.
            let first = |item: &&Item| firsts.get(&key(item)).is_some_and(|first| std::ptr::eq(*first, *item));
            let rows: Vec<&Item> = self.items.iter().filter(first).collect();
            let new = insert(&rows, self.now, session).await?;
            let mut counts = Counts::default();
            let fresh = rows.iter().filter(|item| new.contains_key(&owned(key(item))));
            fresh.flat_map(|item| &item.deltas).for_each(|delta| counts.add(delta));
            counts.store(session).await?;
            self.verdicts(&firsts, &new, session).await
        })
    }

    fn bytes(&self) -> usize {
        let deltas = |item: &Item| item.deltas.iter().map(|delta| 48 + delta.objective.len()).sum::<usize>();
        let texts = |item: &Item| item.client.len() + item.id.len() + item.body.len();
        self.items.iter().map(|item| 160 + texts(item) + deltas(item)).sum()
    }
}

impl Ingest {
    async fn verdicts(
        &self,
        firsts: &BTreeMap<Key<'_>, &Item>,
        new: &New,
        session: &mut Session,
    ) -> Result<Vec<Verdict>, StoreError> {
        let mut verdicts = Vec::with_capacity(self.items.len());
        for item in &self.items {
            let first = firsts.get(&key(item)).copied().unwrap_or(item);
            let verdict = match new.get(&owned(key(item))) {
                Some(seq) if std::ptr::eq(first, item) => Verdict::New(*seq),
                Some(_) => same(first.about == item.about && first.body == item.body),
                None => same(matches_stored(item, session).await?),
            };
            verdicts.push(verdict);
        }
        Ok(verdicts)
    }
}

fn same(same: bool) -> Verdict {
    if same { Verdict::Duplicate } else { Verdict::Conflict }
}

/// Numbers of the items that were not there.
type New = BTreeMap<(String, String, String), u64>;

fn owned((kind, client, id): Key<'_>) -> (String, String, String) {
    (kind.to_owned(), client.to_owned(), id.to_owned())
}

async fn insert(rows: &[&Item], now: Time, session: &mut Session) -> Result<New, StoreError> {
    let mut new = New::new();
    for chunk in chunks(rows) {
        let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO item (kind, client, id, about, at, received, body) ");
        query.push_values(chunk, |mut row, item| {
            row.push_bind(item.kind.as_str()).push_bind(item.client.clone()).push_bind(item.id.clone());
            row.push_bind(item.about.clone()).push_bind(nanos(item.at)).push_bind(nanos(now));
            row.push_bind(item.body.clone());
        });
        query.push(" ON CONFLICT (client, id, kind) DO NOTHING RETURNING seq, kind, client, id");
        let query = query.build_query_as::<(i64, String, String, String)>();
        let rows = query.fetch_all(&mut session.connection).await.map_err(failure::store)?;
        new.extend(rows.into_iter().map(|(seq, kind, client, id)| ((kind, client, id), seq as u64)));
    }
    Ok(new)
}

async fn matches_stored(item: &Item, session: &mut Session) -> Result<bool, StoreError> {
    let query = sqlx::query_as("SELECT about, body FROM item WHERE client = $1 AND id = $2 AND kind = $3");
    let query = query.bind(&item.client).bind(&item.id).bind(item.kind.as_str());
    let (about, body): (Option<String>, String) =
        query.fetch_one(&mut session.connection).await.map_err(failure::store)?;
    Ok(about == item.about && body == item.body)
}
