//! What the store of one machine does per second, what an item takes, and how long a start takes with a month of a thousand
//! objectives: `cargo run --release --example store_figures`.

#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "it measures, and says what")]

use std::error::Error;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay_core::time::Time;
use mainstay_store::item::{Delta, Item, Kind, Sums};
use mainstay_store::{Options, Sqlite, Store, StoreError};
use tokio::task::JoinSet;

const NOON: Time = Time::from_secs(1_767_268_800);
const SPAN: Duration = Duration::from_secs(3);
const OBJECTIVES: u64 = 1000;
const HOUR: u64 = 3600;

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let directory = std::env::temp_dir().join(format!("store-figures-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    println!("fsync of 4 KiB, nothing else     {:>10.0} /s", fsyncs(&directory)?);
    let store = Arc::new(Sqlite::open(&directory.join("items.db"), Options::default()).await?);
    println!("items, one caller, 1 per call    {:>10.0} /s", items(&store, 1, 1).await?);
    println!("items, 64 callers, 1 per call    {:>10.0} /s", items(&store, 64, 1).await?);
    println!("items, 1 caller, 100 per call    {:>10.0} /s", items(&store, 1, 100).await?);
    println!("items, 8 callers, 500 per call   {:>10.0} /s", items(&store, 8, 500).await?);
    let stats = store.stats();
    let count = store.items(mainstay_store::item::ItemQuery { limit: 1, ..Default::default() }).await?.len();
    println!("writes per commit, all of it     {:>10.1}", stats.writes as f64 / stats.commits as f64);
    assert_eq!(count, 1);
    store.close().await?;
    per_item(&directory).await?;
    month(&directory.join("month.db")).await?;
    fs::remove_dir_all(&directory)?;
    Ok(())
}

/// What the disk allows to a single writer that waits each time.
fn fsyncs(directory: &Path) -> Outcome<f64> {
    let mut file = File::create(directory.join("fsync"))?;
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < SPAN {
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

fn item(caller: u64, n: u64) -> Item {
    let body = format!(
        r#"{{"request_id":"{caller}-{n}","model":"fraud","version":"3","prediction":0.25,"confidence":0.93,"latency_ms":12.5,"level":0}}"#
    );
    Item {
        kind: Kind::Prediction,
        client: "checkout".to_owned(),
        id: format!("{caller:08x}-{n:012x}"),
        about: None,
        at: NOON,
        body,
        deltas: vec![Delta {
            objective: format!("o{}", n % 3),
            start: NOON + Duration::from_millis(n),
            good: 1,
            bad: 0,
        }],
    }
}

/// New items per second.
async fn items(store: &Arc<Sqlite>, callers: u64, per_call: u64) -> Outcome<f64> {
    let (start, mut tasks) = (Instant::now(), JoinSet::new());
    for caller in 0..callers {
        let store = Arc::clone(store);
        let base = (callers * 1000 + per_call) * 1_000_000;
        tasks.spawn(async move {
            let mut n = 0;
            while start.elapsed() < SPAN {
                store.ingest((0..per_call).map(|k| item(base + caller, n + k)).collect(), NOON).await?;
                n += per_call;
            }
            Ok::<u64, StoreError>(n)
        });
    }
    let mut done = 0;
    while let Some(count) = tasks.join_next().await {
        done += count??;
    }
    Ok(done as f64 / start.elapsed().as_secs_f64())
}

async fn per_item(directory: &Path) -> Outcome<()> {
    let store = Sqlite::open(&directory.join("size.db"), Options::default()).await?;
    let empty = store.stats().size_bytes;
    for n in 0..20 {
        store.ingest((0..1000).map(|k| item(1, n * 1000 + k)).collect(), NOON).await?;
    }
    store.close().await?;
    let bytes = fs::metadata(store.path())?.len() - empty;
    let body = item(1, 1).body.len();
    println!("bytes per item with a body of {body} {:>10.0}", bytes as f64 / 20_000.0);
    Ok(())
}

/// 30 days: hours of 29, minutes of the last, ten seconds of the last hour.
async fn month(path: &PathBuf) -> Outcome<()> {
    let store = Sqlite::open(path, Options::default()).await?;
    let end = NOON + Duration::from_secs(30 * 24 * HOUR);
    let days = (0..29 * 24).map(|hour| hour * HOUR);
    let day = (0..23 * 60).map(|minute| 29 * 24 * HOUR + minute * 60);
    let mut sequence = 0;
    for (n, secs) in days.chain(day).enumerate() {
        sequence += 1;
        add(&store, sequence, NOON + Duration::from_secs(secs)).await?;
        if n % 100 == 99 {
            // Later than all of it, so that it becomes minutes; hours follow with the last call.
            store.maintain(NOON + Duration::from_secs(secs + 2 * HOUR)).await?;
        }
    }
    store.maintain(end).await?;
    let start = Instant::now();
    for tens in 0..360 {
        sequence += 1;
        add(&store, sequence, end - Duration::from_secs(HOUR - 10 * tens)).await?;
    }
    println!("sums of 1,000 objectives         {:>10.0} buckets/s", 360_000.0 / start.elapsed().as_secs_f64());
    let start = Instant::now();
    store.maintain(end).await?;
    println!("maintain, nothing to do          {:>10.3} s", start.elapsed().as_secs_f64());
    store.close().await?;
    println!("a month of 1,000 objectives      {:>10.1} MB", fs::metadata(path)?.len() as f64 / 1e6);
    let start = Instant::now();
    let store = Sqlite::open(path, Options::default()).await?;
    let opened = start.elapsed();
    let series = store.load().await?;
    println!("open                             {:>10.3} s", opened.as_secs_f64());
    println!("open and load                    {:>10.3} s", start.elapsed().as_secs_f64());
    let count = |pick: fn(&mainstay_store::bucket::Series) -> usize| series.iter().map(pick).sum::<usize>();
    let (tens, minutes, hours) = (count(|it| it.tens.len()), count(|it| it.minutes.len()), count(|it| it.hours.len()));
    println!("buckets: {tens} of ten seconds, {minutes} of a minute, {hours} of an hour, {} objectives", series.len());
    let start = Instant::now();
    store.check().await?;
    println!("check                            {:>10.3} s", start.elapsed().as_secs_f64());
    let start = Instant::now();
    let size = store.backup(&path.with_extension("copy")).await?;
    println!("backup of {:.1} MB {:>25.3} s", size as f64 / 1e6, start.elapsed().as_secs_f64());
    let start = Instant::now();
    store.maintain(end + Duration::from_mins(10)).await?;
    println!("maintain, ten minutes later      {:>10.3} s", start.elapsed().as_secs_f64());
    store.close().await?;
    Ok(())
}

async fn add(store: &Sqlite, sequence: u64, start: Time) -> Result<(), StoreError> {
    let delta = |n| Delta { objective: format!("objective-{n}"), start, good: 3600 + n, bad: n % 7 };
    let deltas = (0..OBJECTIVES).map(delta).collect();
    store.add_sums(Sums { source: "gateway".to_owned(), sequence, deltas, ..Sums::default() }, start).await?;
    Ok(())
}
