//! Writes until it is killed, and says what was acknowledged.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::rng::Rng;
use mainstay_store::audit::Entry;
use mainstay_store::change::Change;
use mainstay_store::item::{Item, Verdict};
use mainstay_store::record::Expect;
use mainstay_store::{Options, Retention, Sqlite, Store};
use tokio::task::JoinSet;

use crate::traffic::{self, NOON};

/// Time that a child gets before it may be killed.
pub(crate) const START: Duration = Duration::from_millis(60);
pub(crate) const WRITERS: u64 = 4;

pub(crate) fn write(path: &Path, seed: u64, round: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // Ten seconds become minutes, and minutes hours, while the traffic goes on.
        let (tens, minutes) = (Duration::from_mins(1), Duration::from_hours(1));
        let retention = Retention { tens, minutes, ..Retention::default() };
        let store = Arc::new(Sqlite::open(path, Options { retention, ..Options::default() }).await.unwrap());
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            writers.spawn(stream(Arc::clone(&store), seed, round, writer));
        }
        writers.join_all().await;
    });
}

async fn stream(store: Arc<Sqlite>, seed: u64, round: u64, writer: u64) {
    let mut random = Rng::new(seed ^ (round << 32) ^ writer);
    for n in 1_u64.. {
        let now = NOON + Duration::from_secs(round * 600 + n * 5);
        let start = round * 300 + random.below(n * 20);
        // Some of them were sent before, by this writer or another.
        let numbers: Vec<u64> = (0..=random.below(40)).map(|k| start + k).collect();
        let batch: Vec<Item> = numbers.iter().map(|n| traffic::item(*n)).collect();
        let verdicts = store.ingest(batch, now).await.unwrap();
        assert!(!verdicts.contains(&Verdict::Conflict), "the same number is the same item");
        say(&format!("items {} {}", numbers[0], numbers.len()));
        store.add_sums(traffic::sums(round, writer, n), now).await.unwrap();
        say(&format!("sums {} {n}", traffic::source(round, writer)));
        let change = store.change(changes(writer), now).await.unwrap();
        say(&format!("document {writer} {} {}", change[0], change[1]));
        if n % 5 == 0 {
            store.maintain(now).await.unwrap();
        }
    }
}

/// A document and its audit entry: together or not at all.
fn changes(writer: u64) -> Vec<Change> {
    let id = writer.to_string();
    let entry = Entry {
        actor: "child".to_owned(),
        source: "test".to_owned(),
        action: "document.put".to_owned(),
        subject: id.clone(),
        before: None,
        after: None,
        reason: String::new(),
    };
    let document = Change::Document { kind: "d".to_owned(), id, expect: Expect::Any, body: "{}".to_owned() };
    vec![document, Change::Audit(entry)]
}

/// In one call, so that the line is in the pipe or is not.
fn say(line: &str) {
    std::io::stdout().lock().write_all(format!("\n{line}\n").as_bytes()).unwrap();
}
