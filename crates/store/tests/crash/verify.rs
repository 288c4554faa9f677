//! What rests, compared with what was acknowledged and with a naive count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mainstay_store::item::{Delta, Item, ItemQuery, Sums};
use mainstay_store::{Options, Sqlite, Store};

use crate::child::WRITERS;
use crate::traffic;

/// What the children said.
#[derive(Default)]
pub(crate) struct Acknowledged {
    items: BTreeSet<u64>,
    sums: BTreeMap<String, u64>,
    documents: BTreeMap<String, u64>,
    audit: u64,
    lines: usize,
}

impl Acknowledged {
    pub(crate) fn count(&self) -> usize {
        self.lines
    }

    pub(crate) fn note(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |word: &str| word.parse::<u64>().unwrap();
        match words[..] {
            ["items", first, count] => self.items.extend((0..number(count)).map(|n| number(first) + n)),
            ["sums", source, sequence] => {
                self.sums.insert(source.to_owned(), number(sequence));
            }
            ["document", id, revision, entry] => {
                self.documents.insert(id.to_owned(), number(revision));
                self.audit = self.audit.max(number(entry));
            }
            _ => return,
        }
        self.lines += 1;
    }
}

/// Counts per objective.
type Totals = BTreeMap<String, (u64, u64)>;

/// Opens the store and compares; the number of items that rest.
pub(crate) fn verify(path: &Path, rounds: u64, acknowledged: &Acknowledged) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Sqlite::open(path, Options::default()).await.unwrap();
        store.check().await.unwrap();
        let items = all_items(&store).await;
        let mut expected = Totals::new();
        for stored in &items {
            let known = traffic::item(stored.id.parse().unwrap());
            assert_eq!(*stored, Item { deltas: Vec::new(), ..known.clone() });
            count(&mut expected, &known.deltas);
        }
        let present: BTreeSet<u64> = items.iter().map(|item| item.id.parse().unwrap()).collect();
        assert_eq!(present.len(), items.len(), "an item rests twice");
        let lost: Vec<_> = acknowledged.items.difference(&present).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        sums(&store, rounds, acknowledged, &mut expected).await;
        assert_eq!(totals(&store).await, expected);
        changes(&store, acknowledged).await;
        store.close().await.unwrap();
        items.len()
    })
}

async fn all_items(store: &dyn Store) -> Vec<Item> {
    let (mut items, mut after) = (Vec::new(), 0);
    loop {
        let page = store.items(ItemQuery { after, ..ItemQuery::default() }).await.unwrap();
        let Some(last) = page.last() else { return items };
        after = last.seq;
        items.extend(page.into_iter().map(|stored| stored.item));
    }
}

/// Each source counted up to some number, at least the acknowledged one, each number once.
async fn sums(store: &dyn Store, rounds: u64, acknowledged: &Acknowledged, expected: &mut Totals) {
    for (round, writer) in (0..=rounds).flat_map(|round| (0..WRITERS).map(move |writer| (round, writer))) {
        let source = traffic::source(round, writer);
        let last = store.last_sequence(&source).await.unwrap().unwrap_or(0);
        let said = acknowledged.sums.get(&source).copied().unwrap_or(0);
        assert!(said <= last && last <= said + 1, "{source}: acknowledged {said}, at rest {last}");
        for sequence in 1..=last {
            let Sums { deltas, .. } = traffic::sums(round, writer, sequence);
            count(expected, &deltas);
        }
    }
}

/// A document and its entry in the audit log came together.
async fn changes(store: &dyn Store, acknowledged: &Acknowledged) {
    let entries = store.verify_audit().await.unwrap();
    assert!(entries >= acknowledged.audit);
    let documents = store.documents("d", "").await.unwrap();
    assert_eq!(documents.iter().map(|document| document.revision).sum::<u64>(), entries);
    for document in documents {
        assert!(document.revision >= acknowledged.documents.get(&document.id).copied().unwrap_or(0));
    }
}

fn count(totals: &mut Totals, deltas: &[Delta]) {
    for delta in deltas.iter().filter(|delta| delta.good + delta.bad > 0) {
        let total = totals.entry(delta.objective.clone()).or_default();
        *total = (total.0 + delta.good, total.1 + delta.bad);
    }
}

async fn totals(store: &dyn Store) -> Totals {
    let mut totals = Totals::new();
    for series in store.load().await.unwrap() {
        for bucket in series.tens.iter().chain(&series.minutes).chain(&series.hours) {
            let (objective, start) = (series.objective.clone(), bucket.start);
            count(&mut totals, &[Delta { objective, start, good: bucket.good, bad: bucket.bad }]);
        }
    }
    totals
}
