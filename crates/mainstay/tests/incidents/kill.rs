//! `kill -9` at any moment between detection and delivery. `MAINSTAY_CRASH_ROUNDS` and `MAINSTAY_CRASH_SEED` choose how often and when.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mainstay_core::rng::Rng;
use serde_json::{Value, json};

use crate::receiver::{Mood, Receiver};
use crate::story::{ask, config};
use crate::support::{Place, Server};

const ROUTES: &str =
    "routes: [{ name: score, path: /score, deadline: 1s, ladder: [{ level: 4, respond: { body: {} } }] }]\n";

/// Most alerts of a round.
const ALERTS_MAX: u32 = 3;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What Alertmanager would send of one alert of its own name.
fn webhook(name: &str) -> String {
    json!({
        "version": "4", "groupKey": "{}:{}", "status": "firing", "receiver": "mainstay",
        "alerts": [{ "status": "firing", "labels": { "alertname": name, "severity": "critical" }, "startsAt": "2026-03-01T12:00:00Z" }]
    })
    .to_string()
}

/// Incidents by their titles; a title that two have is two ids of one cause.
fn incidents(admin: &str) -> Option<BTreeMap<String, Value>> {
    let (status, text) = ask(admin, "GET", "/api/v1/incidents?limit=1000", "")?;
    assert_eq!(status, 200, "{text}");
    let all: Value = serde_json::from_str(&text).ok()?;
    Some(all["incidents"].as_array()?.iter().map(|it| (it["id"].as_str().unwrap().to_owned(), it.clone())).collect())
}

#[test]
fn every_page_arrives_none_after_somebody_has_it_and_ids_never_repeat() {
    let of_the_clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let seed = number("MAINSTAY_CRASH_SEED").unwrap_or(of_the_clock);
    let rounds = number("MAINSTAY_CRASH_ROUNDS").unwrap_or(10);
    println!("MAINSTAY_CRASH_SEED={seed} MAINSTAY_CRASH_ROUNDS={rounds}");
    let mut rng = Rng::new(seed);
    let (place, receiver) = (Place::new("incidents-kill"), Receiver::start());
    std::fs::write(place.0.join("mainstay.yaml"), config(ROUTES, &receiver, "")).unwrap();
    // Who was told that nobody else is paged, and when.
    let mut acknowledged: BTreeMap<String, Instant> = BTreeMap::new();
    let mut titles: BTreeMap<String, String> = BTreeMap::new();
    let mut alerts = 0_u64;
    for round in 0..rounds {
        receiver.set([Mood::Fails, Mood::Hangs, Mood::Waits, Mood::Takes][rng.below(4) as usize]);
        let server = Server::start(&place);
        let (admin, end) = (server.admin.clone(), Instant::now() + Duration::from_millis(50 + rng.below(1_200)));
        let mut choices = Rng::new(rng.next_u64());
        let killer = thread::spawn(move || {
            thread::sleep(end.saturating_duration_since(Instant::now()));
            drop(server);
        });
        // Alerts, and acknowledgements of every other incident, until the server is gone; the others are owed their page.
        let mut posts = 0;
        loop {
            if posts < ALERTS_MAX {
                let posted = ask(&admin, "POST", "/api/v1/alerts", &webhook(&format!("Cause{alerts}")));
                let Some((status, said)) = posted else { break };
                assert_eq!(status, 200, "{said}");
                (alerts, posts) = (alerts + 1, posts + 1);
            }
            if choices.below(2) == 0 {
                let Some(open) = incidents(&admin) else { break };
                let is_odd = |id: &str| id.ends_with(['1', '3', '5', '7', '9']);
                let mut untaken = open.iter().filter(|(id, it)| is_odd(id) && it["acknowledged_by"].is_null());
                if let Some((id, _)) = untaken.next_back() {
                    let path = format!("/api/v1/incidents/{id}");
                    let Some((200, _)) = ask(&admin, "POST", &format!("{path}/ack"), "{}") else { break };
                    acknowledged.insert(id.clone(), Instant::now());
                    let over = json!({ "status": "resolved" }).to_string();
                    let Some((200, _)) = ask(&admin, "POST", &format!("{path}/status"), &over) else { break };
                }
            }
            thread::sleep(Duration::from_millis(choices.below(60)));
        }
        killer.join().unwrap();
        // Whatever was there once is there under the same id.
        let again = Server::start(&place);
        let seen = incidents(&again.admin).unwrap();
        for (id, title) in &titles {
            assert_eq!(seen[id]["title"], title.as_str(), "round {round}");
        }
        for (id, it) in &seen {
            titles.entry(id.clone()).or_insert_with(|| it["title"].as_str().unwrap().to_owned());
        }
        for id in acknowledged.keys() {
            assert!(!seen[id]["acknowledged_by"].is_null(), "round {round}: {id} was acknowledged");
        }
        let named: BTreeSet<&String> = titles.values().collect();
        assert_eq!(named.len(), titles.len(), "round {round}: two ids of one cause");
        drop(again);
    }
    // In the end everything arrives.
    receiver.set(Mood::Takes);
    let server = Server::start(&place);
    let seen = incidents(&server.admin).unwrap();
    assert!(seen.len() as u64 >= rounds && alerts as usize >= seen.len() / 2, "{} incidents", seen.len());
    assert!(acknowledged.len() as u64 >= rounds / 4, "{} were acknowledged", acknowledged.len());
    let owed: Vec<&String> = seen.keys().filter(|id| seen[*id]["acknowledged_by"].is_null()).collect();
    assert!(owed.len() as u64 >= rounds / 4, "{} are owed a page", owed.len());
    let began = Instant::now();
    while let Some(id) = owed.iter().find(|id| !receiver.of(id, "page").iter().any(|got| got.taken)) {
        let waiting = ask(&server.admin, "GET", &format!("/api/v1/incidents/{id}"), "");
        assert!(began.elapsed() < Duration::from_mins(3), "{id} was never paged: {waiting:?}");
        thread::sleep(Duration::from_millis(50));
    }
    // A page that was on its way to somebody who has it would come by now as well.
    thread::sleep(Duration::from_secs(2));
    for (id, when) in &acknowledged {
        let late: Vec<_> = receiver.of(id, "page").into_iter().filter(|got| got.at > *when).collect();
        assert!(late.is_empty(), "{id} was paged {:?} after it was acknowledged", late[0].at.duration_since(*when));
    }
    // One key is one page: whoever tells repetitions by it sees each once.
    let mut keys: BTreeMap<String, String> = BTreeMap::new();
    for got in receiver.got() {
        let body = got.body.to_string();
        let first = keys.entry(got.key.clone()).or_insert_with(|| body.clone());
        assert_eq!(*first, body, "one key has one content");
    }
    println!(
        "{} incidents, {} of them acknowledged, {} requests to the receiver",
        seen.len(),
        acknowledged.len(),
        receiver.got().len()
    );
}
