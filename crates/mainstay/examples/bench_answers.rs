//! What an answer from what is at hand costs: from the request's bytes to the answer's, with 100,000 rows, 10,000
//! keywords and 200 items to rank. Prints one JSON object per case: median, 99th percentile and mean in nanoseconds.
//!
//! Run on a quiet machine: `cargo run --release -p mainstay --example bench_answers`.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use mainstay_core::time::Time;
use mainstay_gateway::answers::LocalRoute;
use serde_json::json;

const ROWS: usize = 100_000;
const KEYWORDS: usize = 10_000;
const ITEMS: usize = 200;
const CALLS: usize = 20_000;

const CONFIG: &str = r"
service: bench
routes:
  - name: oip
    path: /v2/models/local/infer
    deadline: 1s
    ladder:
      - { level: 1, name: table, table: { file: DIR/table.csv, key: /parameters/key, max_age: 1h } }
      - { level: 1, name: keywords, keywords: { file: DIR/words.txt, text: /inputs/0/data/0, hit: { outputs: [{ name: verdict, value: block }] }, miss: { outputs: [{ name: verdict, value: pass }] } } }
      - { level: 2, name: velocity, velocity: { key: /parameters/key, max: 5, per: 1m, over: { outputs: [{ name: p, value: 1.0 }] }, under: { outputs: [{ name: p, value: 0.1 }] } } }
      - { level: 2, name: bm25 of own text, rank: { by: bm25, items: /inputs/0/data, query: /parameters/query } }
      - { level: 2, name: bm25 of a file, rank: { by: bm25, items: /inputs/0/data, query: /parameters/query, file: DIR/items.jsonl, column: id, fields: [title] } }
      - { level: 3, name: popularity of a file, rank: { by: popularity, items: /inputs/0/data, file: DIR/items.jsonl, column: id, value: clicks } }
      - { level: 3, name: recency of a file, rank: { by: recency, items: /inputs/0/data, file: DIR/items.jsonl, column: id, value: at } }
      - { level: 4, name: unranked, rank: { by: none, items: /inputs/0/data } }
      - { level: 4, respond: { outputs: [{ name: p, value: 0.5 }] } }
";

fn main() {
    let dir = std::env::temp_dir().join(format!("mainstay-bench-answers-{}", std::process::id()));
    write_files(&dir).expect("the bench's files can be written");
    let text = CONFIG.replace("DIR", &dir.display().to_string());
    let (plan, findings) = mainstay_config::load(&text);
    let plan = plan.unwrap_or_else(|| panic!("{findings:?}"));
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    let now = Time::ZERO + since;
    let route = LocalRoute::new(&plan, "oip", now).expect("the route is there");
    for entry in 0..route.entries().len() - 1 {
        case(&route, entry, now);
    }
    let _ = std::fs::remove_dir_all(&dir);
}

fn case(route: &LocalRoute, entry: usize, now: Time) {
    let name = route.entries()[entry].name.clone();
    let bodies = bodies(&name);
    let headers = HeaderMap::new();
    let mut took: Vec<u64> = Vec::with_capacity(CALLS);
    for call in 0..CALLS {
        let body = &bodies[call % bodies.len()];
        if name == "velocity" {
            route.note(&headers, body, now);
        }
        let began = Instant::now();
        let answer = route.answer(entry, &headers, body, now);
        took.push(began.elapsed().as_nanos() as u64);
        assert!(black_box(answer).is_ok(), "{name} has an answer");
    }
    took.sort_unstable();
    let mean = took.iter().sum::<u64>() / CALLS as u64;
    let (p50, p99) = (took[CALLS / 2], took[CALLS * 99 / 100]);
    println!("{}", json!({ "case": name, "p50_ns": p50, "p99_ns": p99, "mean_ns": mean, "bytes": bodies[0].len() }));
}

/// Requests of a case; keys and items change from one to the next.
fn bodies(name: &str) -> Vec<Vec<u8>> {
    let requests = (0..64usize).map(|n| {
        let start = n * 1_543;
        let data: Vec<String> = match name {
            "keywords" => vec![text(n)],
            "bm25 of own text" => (0..ITEMS).map(|at| title(start + at * 7)).collect(),
            _ => (0..ITEMS).map(|at| format!("item-{}", (start + at * 97) % ROWS)).collect(),
        };
        let data = if matches!(name, "table" | "velocity") { vec!["x".to_owned()] } else { data };
        let inputs = json!([{ "name": "x", "shape": [data.len()], "datatype": "BYTES", "data": data }]);
        let parameters =
            json!({ "key": format!("card-{}", (n * 1_543) % ROWS), "query": "red shoes for the long winter" });
        json!({ "id": "r", "parameters": parameters, "inputs": inputs }).to_string().into_bytes()
    });
    requests.collect()
}

/// About a kilobyte in which every third text has a keyword.
fn text(n: usize) -> String {
    let mut text = String::new();
    for at in 0..150 {
        let _ = write!(text, "{} ", WORDS[(n * 31 + at * 7) % WORDS.len()]);
    }
    if n.is_multiple_of(3) {
        let _ = write!(text, "Bad-W0rd{n}");
    }
    text
}

const WORDS: [&str; 16] = [
    "red", "blue", "shoes", "winter", "summer", "long", "short", "coat", "for", "the", "running", "leather", "warm",
    "light", "city", "Café",
];

fn title(n: usize) -> String {
    (0..8).map(|at| WORDS[(n * (at + 3) + at * 5) % WORDS.len()]).collect::<Vec<_>>().join(" ")
}

fn write_files(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let mut table = String::from("card,score,label\n");
    let mut items = String::new();
    for n in 0..ROWS {
        let _ = writeln!(table, "card-{n},0.{:03},label-{}", n % 1000, n % 7);
        let item = json!({ "id": format!("item-{n}"), "title": title(n), "clicks": n % 977, "at": 1_700_000_000 + n });
        let _ = writeln!(items, "{item}");
    }
    let words = (0..KEYWORDS).map(|n| format!("badword{n}\tlist\n")).collect::<Vec<_>>().concat();
    std::fs::write(dir.join("table.csv"), table)?;
    std::fs::write(dir.join("items.jsonl"), items)?;
    std::fs::write(dir.join("words.txt"), words)
}
