//! A service of its own folder, and requests to it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// The media type of lines of JSON.
const LINES: &str = "application/x-ndjson";
pub(crate) const CONFIG: &str = "service: test
listen: 127.0.0.1:0
admin: { listen: '127.0.0.1:0' }
store: sqlite:mainstay.db
backends: { model: { url: 'http://127.0.0.1:1', protocol: http } }
routes:
  - { name: score, path: /score, deadline: 1s, ladder: [{ level: 0, backend: model }, { level: 4, respond: { body: {} } }] }
slos:
  - availability: { name: availability, target: 99.9% }
  - safety: { name: safety, max_rate: 0.001 }
";

/// A folder with a config, gone at the end.
pub(crate) struct Place(pub(crate) PathBuf);

impl Place {
    pub(crate) fn new(name: &str) -> Place {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("durability-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("mainstay.yaml"), CONFIG).unwrap();
        Place(path)
    }

    pub(crate) fn serve(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
        command.args(["serve", "--config", "mainstay.yaml", "--format", "json", "--log", "error"]);
        command.current_dir(&self.0).env_remove("MAINSTAY_TOKEN").env_remove("MAINSTAY_LOG");
        command
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A `mainstay serve` that is killed at the end.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) admin: String,
    pub(crate) listen: String,
}

impl Server {
    pub(crate) fn start(place: &Place) -> Server {
        let mut child = place.serve().stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        let told = |key: &str| ready[key].as_str().unwrap().to_owned();
        Server { child, admin: told("admin"), listen: told("listen") }
    }

    pub(crate) fn end(&mut self, signal: &str) {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap();
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> (u16, Value) {
        exchange(&self.admin, "POST", path, body).unwrap()
    }

    /// Good and bad events of an objective, and the one that it names.
    pub(crate) fn slo(&self, name: &str) -> (u64, u64, Value) {
        let (_, answer) = exchange(&self.admin, "GET", "/api/v1/slos", "").unwrap();
        let slo = answer["slos"].as_array().unwrap().iter().find(|slo| slo["name"] == name).unwrap().clone();
        (slo["good"].as_u64().unwrap(), slo["bad"].as_u64().unwrap(), slo["first_bad"]["event"].clone())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request on a connection of its own; `None` where it broke off.
pub(crate) fn exchange(admin: &str, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect(admin).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\ncontent-type: {LINES}\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let status = text.split(' ').nth(1)?.parse().ok()?;
    let (_, body) = text.split_once("\r\n\r\n")?;
    Some((status, serde_json::from_str(body).ok()?))
}
