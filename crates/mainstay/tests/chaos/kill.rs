//! `kill -9` of whoever runs an experiment, at any moment. `MAINSTAY_CRASH_ROUNDS` and `MAINSTAY_CRASH_SEED` choose how often and when.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mainstay_core::event::parse_time;
use mainstay_core::rng::Rng;
use serde_json::{Value, json};

use crate::bed::{Bed, LEASE, experiment};
use crate::run::phases;

/// How often whoever holds a run must say so.
const HOLD: Duration = Duration::from_secs(2);
/// What a machine with something else to do may add.
const SLACK: Duration = Duration::from_secs(10);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn time(run: &Value, key: &str) -> mainstay_core::time::Time {
    parse_time(run[key].as_str().unwrap_or_else(|| panic!("no {key}: {run:#}"))).unwrap()
}

/// A client of its own process: it holds a run for as long as it lives.
fn holder(bed: &Bed, id: &str) -> std::process::Child {
    let (host, port) = bed.server.admin.split_once(':').unwrap();
    let hold = format!(
        "while :; do exec 3<>/dev/tcp/{host}/{port} || exit; \
         printf 'POST /api/v1/experiments/{id}/hold HTTP/1.1\\r\\nhost: {host}:{port}\\r\\nconnection: close\\r\\ncontent-length: 0\\r\\n\\r\\n' >&3; \
         cat <&3 >/dev/null; sleep 0.3; done"
    );
    Command::new("bash").args(["-c", &hold]).stdout(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_fault_goes_when_the_client_that_holds_its_run_is_killed() {
    let bed = Bed::new("holder", "demo", "");
    let _traffic = bed.traffic();
    let id = bed.start(&json!({ "experiment": experiment("late", json!({})), "hold_s": HOLD.as_secs() }));
    let mut client = holder(&bed, &id);
    bed.phase(&id, "injecting");
    // As long as it lives, so does the run.
    let began = Instant::now();
    while began.elapsed() < 3 * HOLD {
        bed.meets();
    }
    client.kill().unwrap();
    client.wait().unwrap();
    let took = bed.spared();
    assert!(took <= HOLD + LEASE + SLACK, "the fault was there for {took:?} after the client was killed");
    let run = bed.phase(&id, "ended");
    assert_eq!(run["stopped"]["reason"], "holder_lost", "{:#}", run["stopped"]);
    assert_eq!(run["assessment"]["verdict"], "aborted");
}

#[test]
fn a_service_that_is_killed_comes_back_without_faults_and_with_a_whole_journal() {
    let of_the_clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let seed = number("MAINSTAY_CRASH_SEED").unwrap_or(of_the_clock);
    let rounds = number("MAINSTAY_CRASH_ROUNDS").unwrap_or(5);
    println!("MAINSTAY_CRASH_SEED={seed} MAINSTAY_CRASH_ROUNDS={rounds}");
    let mut rng = Rng::new(seed);
    let mut bed = Bed::new("kill", "demo", "");
    let asked = json!({ "experiment": experiment("late", json!({ "duration": "2s", "recovery": "4s" })) });
    let mut ended: BTreeMap<String, Value> = BTreeMap::new();
    let mut killed: BTreeMap<String, u32> = BTreeMap::new();
    for round in 0..rounds {
        let traffic = bed.traffic();
        let id = bed.start(&asked);
        assert!(ended.keys().next_back().is_none_or(|last| *last < id), "round {round}: {id} comes after {ended:?}");
        // A run takes about seven seconds: any of its moments, some of them after its end.
        std::thread::sleep(Duration::from_millis(rng.below(7_500)));
        let before = bed.run(&id);
        bed.server.end("KILL");
        drop(traffic);
        bed.restart();
        *killed.entry(before["phase"].as_str().unwrap().to_owned()).or_default() += 1;
        assert!(bed.spared() < LEASE, "round {round}: a fault came back with the service");
        let traffic = bed.traffic();
        let run = bed.phase(&id, "ended");
        bed.spared();
        drop(traffic);
        check(&run, &before, round);
        for (id, was) in &ended {
            assert_eq!(bed.run(id), *was, "round {round}: what is over stays as it was");
        }
        ended.insert(id, run);
    }
    let listed = bed.get("/api/v1/experiments?limit=1000");
    let ids: Vec<&str> = listed["runs"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert!(ids.iter().copied().eq(ended.keys().rev().map(String::as_str)), "each once, the last first: {ids:?}");
    println!("killed while: {killed:?}");
}

/// What is left of a run that was in a phase, or further, when its process was killed.
fn check(run: &Value, before: &Value, round: u64) {
    let journal = run["journal"].as_array().unwrap();
    let has = |what: &str| journal.iter().any(|line| line["what"] == what);
    let was = before["journal"].as_array().unwrap();
    // Whatever permits a fault rests before it: its order is in the journal, and so is what ended it.
    assert!(has("end") && has("phase"), "round {round}: {journal:#?}");
    if before["phase"] == "injecting" {
        assert!(has("inject") && has("withdraw") && has("quiet"), "round {round}: {journal:#?}");
        assert!(time(run, "injected") <= time(run, "withdrawn"), "round {round}");
    }
    if before["phase"] == "ended" {
        assert_eq!(run, before, "round {round}: what is over stays as it was");
        return;
    }
    // A run that the kill met says so, unless it ended in the moment between both.
    if run["stopped"].is_null() {
        assert!(!has("restart"), "round {round}: {run:#}");
    } else {
        assert_eq!(run["stopped"]["reason"], "restart", "round {round}: {:#}", run["stopped"]);
        assert!(has("restart"), "round {round}: {journal:#?}");
    }
    assert!(phases(run).len() >= phases(before).len().min(1), "round {round}");
    // Lines that rested with a phase are there, in their order.
    let rested = was.iter().filter(|line| matches!(line["what"].as_str(), Some("phase" | "inject" | "withdraw")));
    let mut rest = journal.iter();
    for line in rested {
        assert!(rest.any(|it| it == line), "round {round}: {line} is lost: {journal:#?}");
    }
    let verdict = run["assessment"]["verdict"].as_str().unwrap();
    assert!(verdict != "not_recovered", "round {round}: {:#}", run["assessment"]);
}
