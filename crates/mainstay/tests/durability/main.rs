//! What `serve` acknowledged survives `kill -9`, once. `MAINSTAY_CRASH_ROUNDS` and `MAINSTAY_CRASH_SEED` choose how often and when.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod checked;
mod kept;
mod labels;
mod promotion;
mod support;
mod training;
mod watching;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use support::{CONFIG, Place, Server, exchange};

/// The `n`th batch: four requests, one of them bad, a label; and of every fifth a flag.
fn batch(n: u64) -> Vec<(&'static str, String)> {
    let line =
        |at: u64| json!({ "type": "request", "id": format!("r{n}-{at}"), "code": if at == 0 { 500 } else { 200 } });
    let events = (0..4).map(|at| format!("{}\n", line(at))).collect::<Vec<_>>().concat();
    let mut posts = vec![("/api/v1/events", events)];
    posts.push(("/api/v1/labels", json!({ "request_id": format!("r{n}-1"), "label": 1 }).to_string()));
    if n.is_multiple_of(5) {
        posts.push(("/api/v1/flags", json!({ "request_id": format!("r{n}-1"), "verdict": "confirmed" }).to_string()));
    }
    posts
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn what_was_acknowledged_is_there_once_whenever_the_process_is_killed() {
    let of_the_clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let seed = number("MAINSTAY_CRASH_SEED").unwrap_or(of_the_clock);
    let rounds = number("MAINSTAY_CRASH_ROUNDS").unwrap_or(10);
    println!("MAINSTAY_CRASH_SEED={seed} MAINSTAY_CRASH_ROUNDS={rounds}");
    let mut rng = mainstay_core::rng::Rng::new(seed);
    let place = Place::new("kill");
    let mut next = 0;
    for round in 0..rounds {
        let server = Server::start(&place);
        let kill_at = (rng.unit() * 400.0) as u64;
        let posted = Arc::new(AtomicU64::new(0));
        let (admin, counter) = (server.admin.clone(), Arc::clone(&posted));
        let first = next;
        // Sends until the server is gone; answers with the first batch that was not acknowledged whole.
        let sender = thread::spawn(move || {
            let mut n = first;
            loop {
                for (path, body) in batch(n) {
                    let Some((status, answer)) = exchange(&admin, "POST", path, &body) else { return n };
                    assert_eq!(status, 202, "{answer}");
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                n += 1;
            }
        });
        thread::sleep(Duration::from_millis(kill_at));
        drop(server);
        let broken = sender.join().unwrap();
        let again = Server::start(&place);
        // A batch that broke off is sent again, as its sender would; so is an older one, which is known.
        for (path, body) in batch(broken) {
            assert_eq!(again.post(path, &body).0, 202, "round {round}");
        }
        if let Some(older) = broken.checked_sub(1) {
            for (path, body) in batch(older) {
                let (status, answer) = again.post(path, &body);
                assert_eq!((status, &answer["accepted"]), (202, &json!(0)), "round {round}: {answer}");
            }
        }
        next = broken + 1;
        let flags = next.div_ceil(5);
        assert_eq!(again.slo("availability"), (3 * next, next, Value::Null), "round {round}");
        assert_eq!(again.slo("safety"), (3 * next - flags, flags, json!("r0-1")), "round {round}");
        println!("round {round}: killed after {kill_at} ms and {} posts", posted.load(Ordering::Relaxed));
    }
}

/// Slices of ten minutes, of which that before the last is bad, and latencies that a route was measured with.
#[test]
fn slices_and_percentiles_are_the_same_after_a_restart() {
    let place = Place::new("restart");
    let slos =
        "  - availability: { name: sliced, target: 90%, budgeting: { timeslices: { window: 10m, target: 90% } } }
  - latency: { name: fast, p99: 1s, route: local }
";
    let route = "  - { name: local, path: /local, deadline: 1s, ladder: [{ level: 4, respond: { body: {} } }] }\n";
    let config = CONFIG.replace("slos:\n", &format!("{route}slos:\n{slos}"));
    std::fs::write(place.0.join("mainstay.yaml"), config).unwrap();
    let server = Server::start(&place);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let event = |n: u64, minutes: u64, code: u16| {
        let at = jiff::Timestamp::from_second((now - minutes * 60) as i64).unwrap().to_string();
        format!("{}\n", json!({ "type": "request", "id": n.to_string(), "code": code, "at": at }))
    };
    // Two hours ago, and the day before: by now they rest in longer buckets than their slices.
    let minutes = [20, 30, 40, 120, 130, 1_500, 1_510, 1_520];
    let events: String =
        (0..80).map(|n| event(n, minutes[(n / 10) as usize], if n / 10 == 1 { 500 } else { 200 })).collect();
    assert_eq!(server.post("/api/v1/events", &events).0, 202);
    for _ in 0..50 {
        assert_eq!(exchange(&server.listen, "POST", "/local", "{}").unwrap().0, 200);
    }
    // Slices are judged once they are over, and latencies handed over: within ten seconds.
    let told = |server: &Server| {
        let (_, fast) = exchange(&server.admin, "GET", "/api/v1/slos/fast", "").unwrap();
        (server.slo("sliced"), fast["good"].clone(), fast["percentiles"].clone())
    };
    let began = std::time::Instant::now();
    let before = loop {
        let before = told(&server);
        if before.0 == (7, 1, Value::Null) && before.1 == 50 && before.2.as_array().is_some_and(|all| !all.is_empty()) {
            break before;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{before:?}");
        thread::sleep(Duration::from_millis(50));
    };
    let mut server = server;
    for signal in ["TERM", "KILL", "TERM"] {
        server.end(signal);
        server = Server::start(&place);
        assert_eq!(told(&server), before, "after {signal}");
    }
}

/// A file that may not grow, as a disk that is full: what was acknowledged stays, what is refused says so, and when there is
/// room again all goes on.
#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    let place = Place::new("full");
    let server = Server::start(&place);
    let limit = |bytes: &str| {
        let mut set = Command::new("prlimit");
        set.args(["--pid", &server.child.id().to_string(), &format!("--fsize={bytes}")]);
        assert!(set.status().unwrap().success());
    };
    let events = |batch: u64| {
        (0..100)
            .map(|n| format!("{}\n", json!({ "type": "request", "id": format!("{batch}-{n}"), "code": 200 })))
            .collect::<Vec<_>>()
            .concat()
    };
    assert_eq!(server.post("/api/v1/events", &events(0)).0, 202);
    limit("1:unlimited");
    for batch in 1..=5 {
        let (status, problem) = server.post("/api/v1/events", &events(batch));
        assert_eq!(status, 503, "{problem}");
    }
    assert_eq!(server.slo("availability"), (100, 0, Value::Null), "what was refused counts nothing");
    limit("unlimited:unlimited");
    let began = std::time::Instant::now();
    for batch in 1..=5 {
        while server.post("/api/v1/events", &events(batch)).0 != 202 {
            assert!(began.elapsed() < Duration::from_secs(20), "it does not recover");
            thread::sleep(Duration::from_millis(100));
        }
    }
    assert_eq!(server.slo("availability"), (600, 0, Value::Null));
    drop(server);
    let server = Server::start(&place);
    assert_eq!(server.slo("availability"), (600, 0, Value::Null), "after a kill");
}

/// More events than can be stored at once, while the config changes again and again: what was taken is counted once, by the
/// objectives that stay and by the one that comes and goes.
#[test]
fn reloads_in_a_crowd_count_everything_once() {
    let place = Place::new("crowd");
    let server = Server::start(&place);
    let guest = "  - availability: { name: guest, target: 99% }\n";
    let acknowledged = Arc::new(AtomicU64::new(0));
    let senders: Vec<_> = (0..6)
        .map(|sender| {
            let (admin, acknowledged) = (server.admin.clone(), Arc::clone(&acknowledged));
            thread::spawn(move || {
                for batch in 0..15 {
                    let event =
                        |n: u64| json!({ "type": "request", "id": format!("{sender}-{batch}-{n}"), "code": 200 });
                    let events = (0..200).map(|n| format!("{}\n", event(n))).collect::<Vec<_>>().concat();
                    loop {
                        let (status, answer) = exchange(&admin, "POST", "/api/v1/events", &events).unwrap();
                        if status == 202 {
                            acknowledged.fetch_add(answer["accepted"].as_u64().unwrap(), Ordering::Relaxed);
                            break;
                        }
                        assert_eq!(status, 503, "{answer}");
                    }
                }
            })
        })
        .collect();
    let with_guest = format!("{CONFIG}{guest}");
    let mut reloads = 0;
    while !senders.iter().all(thread::JoinHandle::is_finished) || reloads < 5 {
        let config = if reloads % 2 == 0 { with_guest.as_str() } else { CONFIG };
        std::fs::write(place.0.join("mainstay.yaml"), config).unwrap();
        assert_eq!(exchange(&server.admin, "POST", "/api/v1/config/reload", "").unwrap().0, 200);
        reloads += 1;
        thread::sleep(Duration::from_millis(20));
    }
    for sender in senders {
        sender.join().unwrap();
    }
    assert_eq!(acknowledged.load(Ordering::Relaxed), 6 * 15 * 200);
    assert_eq!(server.slo("availability"), (18_000, 0, Value::Null), "after {reloads} reloads");
    drop(server);
    std::fs::write(place.0.join("mainstay.yaml"), &with_guest).unwrap();
    let server = Server::start(&place);
    assert_eq!(server.slo("availability"), (18_000, 0, Value::Null), "after a kill");
    assert!(server.slo("guest").0 <= 18_000);
}

#[test]
fn a_store_belongs_to_one_process() {
    let place = Place::new("two");
    let first = Server::start(&place);
    let second = place.serve().output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(3), "{said}");
    assert!(said.contains(&format!("process {} has it open", first.child.id())), "{said}");
}

#[test]
fn a_bad_batch_is_refused_with_its_lines_and_counts_nothing() {
    let place = Place::new("bad");
    let server = Server::start(&place);
    let bad = "{\"type\":\"request\",\"id\":\"fine\",\"code\":200}\n\
               {\"type\":\"request\",\"id\":\"a\",\"code\":200,\"at\":\"2999-01-01T00:00:00Z\"}\n\
               {\"type\":\"request\",\"id\":\"b\",\"code\":200,\"confidence\":NaN}\n\
               {\"type\":\"request\",\"id\":\"c\",\"code\":200,\"route\":\"nowhere\"}\n\
               no JSON\n";
    let (status, problem) = server.post("/api/v1/events", bad);
    let lines: Vec<u64> = problem["lines"].as_array().unwrap().iter().map(|l| l["line"].as_u64().unwrap()).collect();
    assert_eq!((status, lines), (422, vec![2, 3, 4, 5]), "{problem}");
    assert_eq!(server.slo("availability"), (0, 0, Value::Null));

    let one = |code: u16| json!({ "type": "request", "id": "one", "code": code }).to_string();
    assert_eq!(server.post("/api/v1/events", &one(200)).0, 202);
    let (status, problem) = server.post("/api/v1/events", &one(500));
    assert_eq!((status, &problem["lines"][0]["line"]), (409, &json!(1)), "{problem}");
    assert_eq!(server.slo("availability"), (1, 0, Value::Null));
}
