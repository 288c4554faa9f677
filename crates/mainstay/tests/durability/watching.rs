//! Monitors of live traffic: a reference is learned, a shift is found and told, and all of it outlives the process.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Place, Server, exchange};

const CONFIG: &str = "service: test
listen: 127.0.0.1:0
admin: { listen: '127.0.0.1:0' }
store: sqlite:mainstay.db
routes:
  - { name: score, path: /score, deadline: 1s, ladder: [{ level: 4, respond: { body: {} } }] }
drift:
  window: { values: 400, time: 1h }
  rate: 100000/s
  names:
    amount: { route: score, request: /amount, learn: 1000 }
    country: { route: score, request: /country, kind: category, learn: 1000 }
";

/// Requests on one connection; `at` gives the body of each.
fn send(listen: &str, range: std::ops::Range<u32>, at: impl Fn(u32) -> String) {
    let mut stream = TcpStream::connect(listen).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut buffer = [0; 4096];
    for n in range {
        let body = at(n);
        let length = body.len();
        let head = format!(
            "POST /score HTTP/1.1\r\nhost: x\r\nx-request-id: r-{n}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let mut seen = Vec::new();
        // The answer is an object without another in it.
        while !seen.ends_with(b"}") {
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&buffer[..read]);
        }
    }
}

fn usual(n: u32) -> String {
    let country = ["NO", "SE", "DK"][(n % 3) as usize];
    json!({ "amount": f64::from(n * 7_919 % 1_000), "country": country }).to_string()
}

fn monitor(server: &Server, name: &str) -> Value {
    exchange(&server.admin, "GET", &format!("/api/v1/drift/{name}"), "").unwrap().1
}

/// Waits until a monitor is as it shall be.
fn until(server: &Server, name: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let seen = monitor(server, name);
        if holds(&seen) {
            return seen;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "in vain waited for {what}: {seen:#}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn page(server: &Server, path: &str) -> String {
    let mut stream = TcpStream::connect(&server.admin).unwrap();
    let head =
        format!("GET {path} HTTP/1.1\r\nhost: {}\r\naccept: text/html\r\nconnection: close\r\n\r\n", server.admin);
    stream.write_all(head.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn mainstay(server: &Server, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
    command.args(arguments).args(["--url", &format!("http://{}", server.admin)]);
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_shift_in_live_traffic_is_found_and_a_reference_outlives_the_process() {
    let place = Place::new("watching");
    std::fs::write(place.0.join("mainstay.yaml"), CONFIG).unwrap();
    let mut server = Server::start(&place);
    assert_eq!(monitor(&server, "amount")["status"], "learning");
    send(&server.listen, 0..1_000, usual);
    until(&server, "amount", "a reference", |seen| seen["reference"]["count"] == 1_000);
    send(&server.listen, 1_000..1_700, usual);
    let well = until(&server, "amount", "a window", |seen| seen["status"] == "ok");
    assert_eq!((&well["window"]["missing"], &well["reference"]["source"]), (&json!(0), &json!("learned")));
    let (code, table, _) = mainstay(&server, &["drift", "status"]);
    assert_eq!(code, Some(0), "{table}");

    // The unfinished window waits for a minute or the end; a reference does not.
    server.end("KILL");
    let mut server = Server::start(&place);
    let again = monitor(&server, "amount");
    assert_eq!((&again["reference"]["count"], &again["status"]), (&json!(1_000), &json!("no_data")));

    // A third of the amounts is of another kind, a country is new, and some are gone.
    send(&server.listen, 2_000..2_900, |n| match n % 3 {
        0 => json!({ "amount": 5_000, "country": "ZZ" }).to_string(),
        1 => json!({ "amount": n % 1_000, "country": null }).to_string(),
        _ => usual(n),
    });
    let drifted = until(&server, "amount", "a verdict", |seen| seen["status"] == "alert");
    let most = &drifted["window"]["bins"][0];
    let examples = most["examples"].as_array().unwrap();
    let is_one = |id: &Value| id.as_str().unwrap().trim_start_matches("r-").parse::<u32>().unwrap().is_multiple_of(3);
    assert!(most["bin"].as_str().unwrap().starts_with(">= ") && examples.len() == 3, "{most}");
    assert!(examples.iter().filter(|id| is_one(id)).count() >= 1, "{most}");
    assert_eq!(drifted["window"]["rates"]["out_of_range"]["drifted"], true);
    let country = monitor(&server, "country");
    assert!(country["window"]["new_words"]["ZZ"].as_u64().unwrap() > 100, "{country:#}");
    assert_eq!(country["window"]["rates"]["missing"]["drifted"], true);

    // It is an event, a metric, and exit code 1.
    let began = Instant::now();
    loop {
        // The log of events is written a moment later.
        let (_, events) = exchange(&server.admin, "GET", "/api/v1/events?type=drift.status_changed", "").unwrap();
        if events["events"].to_string().contains("amount") {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{events:#}");
        std::thread::sleep(Duration::from_millis(20));
    }
    let (code, table, _) = mainstay(&server, &["drift", "status", "amount"]);
    assert!(code == Some(1) && table.contains("alert") && table.contains("psi"), "{code:?} {table}");

    // The dashboard shows it side by side, and leads to the requests.
    let shown = page(&server, "/drift/amount");
    let example = format!("/explore?id={}\"", examples[0].as_str().unwrap());
    for part in ["Side by side", "<svg", "Compared with 1000 values", "Where it comes from", "class 3", &example] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let list = page(&server, "/quality");
    assert!(list.contains(r#"href="/drift/country""#) && list.contains(">alert<"), "{list}");
    assert!(page(&server, "/drift/amuont").contains("did you mean `amount`?"));
    let typo = mainstay(&server, &["level", "pin", "scoer", "4"]);
    assert!(typo.0 != Some(0) && typo.2.contains("there is no route `scoer`: did you mean `score`?"), "{typo:?}");

    // Another reference is put in force, and rests.
    std::fs::write(place.0.join("now.csv"), "amount\n".to_owned() + &"1\n2\n3\n4\n5000\n".repeat(100)).unwrap();
    let now = place.0.join("now.csv");
    let made = mainstay(&server, &["drift", "baseline", "amount", now.to_str().unwrap(), "--column", "amount"]);
    assert_eq!(made.0, Some(0), "{made:?}");
    let put = monitor(&server, "amount");
    assert_eq!((&put["reference"]["source"], &put["reference"]["count"]), (&json!("put"), &json!(500)));
    let wrong = mainstay(&server, &["drift", "baseline", "country", now.to_str().unwrap(), "--column", "amount"]);
    assert!(wrong.0 != Some(0) && wrong.2.contains("of kind number"), "{wrong:?}");
    let unknown = mainstay(&server, &["drift", "baseline", "x", now.to_str().unwrap(), "--column", "amount"]);
    assert!(unknown.0 != Some(0) && unknown.2.contains("there is no monitor `x`"), "{unknown:?}");
    server.end("TERM");
    let server = Server::start(&place);
    assert_eq!(monitor(&server, "amount")["reference"]["source"], "put");
    // The window that was open when it ended goes on.
    assert!(monitor(&server, "country")["open"].as_u64().unwrap() > 0);
}

/// A model server: every answer is this sure. It lives as long as the test's process.
fn model_server() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(read) = stream.read(&mut buffer)
                    && read > 0
                {
                    let body = "{\"p\":0.7}";
                    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n";
                    let _ = stream.write_all(format!("{head}{body}").as_bytes());
                }
            });
        }
    });
    address
}

#[test]
fn another_version_of_a_model_has_another_reference_of_what_it_says() {
    let place = Place::new("versions");
    let model = model_server();
    let config = |version: u32| {
        format!(
            "service: test
listen: 127.0.0.1:0
admin: {{ listen: '127.0.0.1:0' }}
store: sqlite:mainstay.db
backends: {{ model: {{ url: 'http://{model}', protocol: http, model: m, version: '{version}' }} }}
routes:
  - name: score
    path: /score
    deadline: 5s
    prediction: {{ pointer: /p }}
    ladder: [{{ level: 0, backend: model }}, {{ level: 4, respond: {{ body: {{}} }} }}]
drift:
  rate: 100000/s
  names:
    asked: {{ route: score, request: /amount, learn: 1000 }}
    said: {{ route: score, of: prediction, learn: 1000 }}
"
        )
    };
    std::fs::write(place.0.join("mainstay.yaml"), config(1)).unwrap();
    let server = Server::start(&place);
    send(&server.listen, 0..1_050, usual);
    let learned = until(&server, "said", "a reference", |seen| seen["reference"]["count"] == 1_000);
    assert_eq!((&learned["reference"]["model"], &learned["reference"]["model_version"]), (&json!("m"), &json!("1")));
    std::fs::write(place.0.join("mainstay.yaml"), config(2)).unwrap();
    let reloaded = Command::new("kill").args(["-HUP", &server.child.id().to_string()]).status().unwrap();
    assert!(reloaded.success());
    let began = Instant::now();
    // Requests are needed for the other version to be seen.
    while monitor(&server, "said")["status"] != "learning" {
        assert!(began.elapsed() < Duration::from_secs(20), "{:#}", monitor(&server, "said"));
        send(&server.listen, 0..10, usual);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(monitor(&server, "asked")["reference"]["count"], 1_000, "what is asked is as it was");
    send(&server.listen, 0..1_050, usual);
    until(&server, "said", "another reference", |seen| seen["reference"]["model_version"] == "2");
}
