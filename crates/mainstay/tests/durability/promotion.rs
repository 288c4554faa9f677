//! A new champion: whoever serves it is told, the gateway asks for it, or all is as it was.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use crate::support::{Place, Server, exchange};

/// A model server: it answers inference, is told of versions at `/load`, and remembers what it was asked.
struct ModelServer {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<(String, Value)>>>,
    /// The status with which it answers `/load`.
    loads: Arc<Mutex<u16>>,
}

impl ModelServer {
    fn start() -> ModelServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, loads) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(200)));
        let (record, status) = (Arc::clone(&seen), Arc::clone(&loads));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &record, &status);
            }
        });
        ModelServer { address, seen, loads }
    }

    /// The paths at which it was asked for inference since this was last called, and the versions that it was told of.
    fn take(&self) -> (Vec<String>, Vec<String>) {
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        let (loads, paths): (Vec<_>, Vec<_>) = seen.into_iter().partition(|(path, _)| path == "/load");
        let version = |(_, body): (String, Value)| body["version"].as_str().unwrap().to_owned();
        (paths.into_iter().map(|(path, _)| path).collect(), loads.into_iter().map(version).collect())
    }
}

fn answer(stream: TcpStream, record: &Mutex<Vec<(String, Value)>>, loads: &Mutex<u16>) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    let mut length = 0;
    let mut path = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if path.is_empty() {
            line.split(' ').nth(1).unwrap_or_default().clone_into(&mut path);
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let status = if path == "/load" { *loads.lock().unwrap() } else { 200 };
    record.lock().unwrap().push((path, body));
    let text =
        json!({ "model_name": "fraud", "outputs": [{ "name": "p", "shape": [1], "datatype": "FP64", "data": [0.9] }] });
    let text = text.to_string();
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}",
        text.len()
    );
    let _ = write!(reader.into_inner(), "{head}\r\n\r\n{text}");
}

fn config(model: &ModelServer, hook: &str) -> String {
    format!(
        "service: test
listen: 127.0.0.1:0
admin: {{ listen: '127.0.0.1:0' }}
store: sqlite:mainstay.db
backends:
  primary: {{ url: 'http://{}', protocol: open-inference, model: fraud, version: registry }}
routes:
  - name: score
    path: /v2/models/fraud/infer
    deadline: 5s
    ladder: [{{ level: 0, backend: primary }}, {{ level: 4, respond: {{ outputs: [{{ name: decision, value: review }}] }} }}]
training: {{ models: {{ fraud: {{ {hook} }} }} }}
",
        model.address
    )
}

fn champion(server: &Server) -> String {
    let (_, model) = exchange(&server.admin, "GET", "/api/v1/models/fraud", "").unwrap();
    model["champion"].as_str().unwrap_or_default().to_owned()
}

/// Asks for one inference; the path at which the model server was asked.
fn asked(server: &Server, model: &ModelServer) -> String {
    model.take();
    let request = json!({ "inputs": [{ "name": "x", "shape": [1], "datatype": "FP64", "data": [1.0] }] }).to_string();
    let (status, answer) = post(&server.listen, "/v2/models/fraud/infer", &request);
    assert_eq!(status, 200, "{answer}");
    let (paths, _) = model.take();
    assert_eq!(paths.len(), 1, "{paths:?}");
    paths[0].clone()
}

fn post(address: &str, path: &str, body: &str) -> (u16, Value) {
    request(address, "POST", path, body)
}

fn request(address: &str, method: &str, path: &str, body: &str) -> (u16, Value) {
    try_request(address, method, path, body).unwrap()
}

/// `None` where the answer broke off.
fn try_request(address: &str, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}",
        body.len()
    );
    write!(stream, "{head}\r\n\r\n{body}").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let status = text.split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_str(text.split_once("\r\n\r\n")?.1).unwrap_or_default()))
}

fn register(server: &Server, version: &str) {
    let body =
        json!({ "digest": format!("sha256:{version}"), "gates": "passed", "artifact": format!("/models/{version}") });
    let (status, answer) =
        request(&server.admin, "PUT", &format!("/api/v1/models/fraud/versions/{version}"), &body.to_string());
    assert!(status < 300, "{answer}");
}

fn promote(server: &Server, version: &str) -> (u16, Value) {
    post(&server.admin, "/api/v1/models/fraud/promote", &json!({ "version": version, "reason": "a test" }).to_string())
}

fn reload(place: &Place, server: &Server, config: &str) {
    std::fs::write(place.0.join("mainstay.yaml"), config).unwrap();
    let (status, answer) = post(&server.admin, "/api/v1/config/reload", "{}");
    assert_eq!(status, 200, "{answer}");
}

#[test]
fn a_promotion_reaches_whoever_serves_or_is_taken_back() {
    let place = Place::new("promotion");
    let model = ModelServer::start();
    let http = format!("http: 'http://{}/load', timeout: 5s", model.address);
    std::fs::write(place.0.join("mainstay.yaml"), config(&model, &http)).unwrap();
    let mut server = Server::start(&place);
    assert_eq!(asked(&server, &model), "/v2/models/fraud/infer", "there is no champion: the request says the version");
    register(&server, "1");
    register(&server, "2");
    assert_eq!(asked(&server, &model), "/v2/models/fraud/infer", "what is registered is not served");
    assert_eq!(promote(&server, "1").0, 200);
    assert_eq!(model.take().1, ["1"]);
    assert_eq!(asked(&server, &model), "/v2/models/fraud/versions/1/infer");

    *model.loads.lock().unwrap() = 500;
    let (status, problem) = promote(&server, "2");
    assert!(status == 502 && problem.to_string().contains("500"), "{problem}");
    assert_eq!(model.take().1, ["2", "1"], "the old one is told again");
    assert_eq!(champion(&server), "1");
    assert_eq!(asked(&server, &model), "/v2/models/fraud/versions/1/infer");

    *model.loads.lock().unwrap() = 200;
    assert_eq!(promote(&server, "2").0, 200);
    assert_eq!(asked(&server, &model), "/v2/models/fraud/versions/2/infer");
    let (_, status) = exchange(&server.admin, "GET", "/api/v1/status", "").unwrap();
    assert_eq!(status["backends"][0]["version"], "2");
    server.end("KILL");
    server = Server::start(&place);
    assert_eq!(asked(&server, &model), "/v2/models/fraud/versions/2/infer", "after a kill");
    assert_eq!(post(&server.admin, "/api/v1/models/fraud/rollback", r#"{"reason":"a test"}"#).0, 200);
    assert_eq!(asked(&server, &model), "/v2/models/fraud/versions/1/infer");
    reload(&place, &server, &config(&model, &http));
    assert_eq!(asked(&server, &model), "/v2/models/fraud/versions/1/infer", "a reload changes nothing");
}

#[test]
fn hooks_that_fail_in_any_way_change_nothing() {
    let place = Place::new("hooks");
    let model = ModelServer::start();
    let told = place.0.join("told");
    let note = format!(
        "command: [sh, -c, 'echo $MAINSTAY_VERSION after $MAINSTAY_PREVIOUS at $MAINSTAY_ARTIFACT >> {}']",
        told.display()
    );
    std::fs::write(place.0.join("mainstay.yaml"), config(&model, &note)).unwrap();
    let mut server = Server::start(&place);
    register(&server, "1");
    register(&server, "2");
    assert_eq!(promote(&server, "1").0, 200);
    assert_eq!(std::fs::read_to_string(&told).unwrap(), "1 after at /models/1\n");

    for (hook, why) in [
        ("command: ['false']", "exit code 1"),
        ("command: [sh, -c, 'echo disk full >&2; exit 7']", "disk full"),
        ("command: [no-such-program]", "cannot be run"),
        ("command: [sleep, '60'], timeout: 200ms", "did not end"),
        ("http: 'http://127.0.0.1:1/load'", "refused"),
    ] {
        reload(&place, &server, &config(&model, hook));
        let (status, problem) = promote(&server, "2");
        assert!(status == 502 && problem.to_string().contains(why), "{hook}: {problem}");
        assert_eq!(champion(&server), "1", "{hook}");
        assert_eq!(asked(&server, &model), "/v2/models/fraud/versions/1/infer", "{hook}");
    }

    // The process dies between the pointer's move and its end.
    reload(&place, &server, &config(&model, "command: [sh, -c, 'kill -9 $PPID']"));
    let body = json!({ "version": "2", "reason": "a test" }).to_string();
    assert_eq!(try_request(&server.admin, "POST", "/api/v1/models/fraud/promote", &body), None, "it died");
    server.child.wait().unwrap();
    std::fs::write(place.0.join("mainstay.yaml"), config(&model, &note)).unwrap();
    std::fs::remove_file(&told).unwrap();
    server = Server::start(&place);
    assert_eq!(champion(&server), "1", "what was interrupted is taken back");
    assert_eq!(asked(&server, &model), "/v2/models/fraud/versions/1/infer");
    assert_eq!(std::fs::read_to_string(&told).unwrap(), "1 after 2 at /models/1\n");
    assert_eq!(promote(&server, "2").0, 200);
    assert_eq!(asked(&server, &model), "/v2/models/fraud/versions/2/infer");
}
