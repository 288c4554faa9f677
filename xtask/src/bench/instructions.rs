//! Instructions of a worker for one request, counted by valgrind: steady where seconds are not.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::http::{Connection, request};
use super::verdict;
use crate::{debian, shell};

/// How much is counted.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Another mainstay binary, such as one of an earlier commit, to compare with
    #[arg(long)]
    against: Option<PathBuf>,
    /// Requests that are counted
    #[arg(long, default_value_t = 2_000)]
    requests: u64,
    /// Times that each binary is counted
    #[arg(long, default_value_t = 3)]
    times: usize,
}

/// What a binary may take more than the other.
const MORE_MAX: f64 = 1.01;
const PATH: &str = "/v2/models/m/infer";
const BODY: &str = r#"{"parameters":{"account_id":7},"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[5.1,3.5,1.4,0.2]}]}"#;
const ANSWER: &str =
    r#"{"model_name":"m","model_version":"1","outputs":[{"name":"p","shape":[1],"datatype":"FP64","data":[0.93]}]}"#;
/// Requests before those that are counted: what is done once is done.
const WARM: u64 = 300;
/// A program runs some fifty times slower while it is counted.
const START_LIMIT: Duration = Duration::from_mins(2);
const STOP_LIMIT: Duration = Duration::from_mins(1);

/// Prints a table; true when this build takes no more than the other.
pub(crate) fn run(args: &Args) -> Result<bool> {
    ensure!(args.requests > 0 && args.times > 0, "all must be greater than 0");
    debian::install(&[("valgrind", "valgrind")])?;
    let built = shell::watch(&mut shell::cargo(&["build", "--release", "--package", "mainstay", "--bin", "mainstay"]))?;
    ensure!(built.success, "the mainstay binary does not build");
    let upstream = upstream()?;
    let mut counted = Vec::new();
    let own = shell::target().join("release/mainstay");
    for (name, binary) in [("this build", Some(&own)), ("the other", args.against.as_ref())] {
        let Some(binary) = binary else { continue };
        let mut all =
            (0..args.times).map(|_| per_request(binary, upstream, args.requests)).collect::<Result<Vec<_>>>()?;
        all.sort_by(f64::total_cmp);
        counted.push((name, all));
    }
    println!("| binary | instructions of the worker per request (all {} counts) | median |\n|---|---|---|", args.times);
    for (name, all) in &counted {
        let listed = all.iter().map(|count| format!("{count:.0}")).collect::<Vec<_>>().join(", ");
        println!("| {name} | {listed} | {:.0} |", all[all.len() / 2]);
    }
    let [(_, this), (_, other)] = &counted[..] else { return Ok(true) };
    let ratio = this[this.len() / 2] / other[other.len() / 2];
    println!("\nratio {ratio:.4}: at most {MORE_MAX} is asked: {}", verdict(ratio <= MORE_MAX));
    Ok(ratio <= MORE_MAX)
}

/// The difference of two runs, so that the start and the end do not count.
fn per_request(binary: &Path, upstream: u16, requests: u64) -> Result<f64> {
    let few = worker_instructions(binary, upstream, WARM)?;
    let many = worker_instructions(binary, upstream, WARM + requests)?;
    Ok((many.saturating_sub(few)) as f64 / requests as f64)
}

/// What the busiest thread of a run executed: the one worker.
fn worker_instructions(binary: &Path, upstream: u16, requests: u64) -> Result<u64> {
    let directory = tempfile::tempdir()?;
    let (listen, admin) = (free_port()?, free_port()?);
    let config = directory.path().join("mainstay.yaml");
    fs::write(&config, config_text(listen, admin, upstream, directory.path()))?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--separate-threads=yes", "--callgrind-out-file=counted"]).arg(binary);
    command.args(["serve", "--log", "error", "--config"]).arg(&config);
    command.current_dir(directory.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = Running(command.spawn().context("cannot start valgrind")?);
    let mut connection = running.connect(listen)?;
    let asked = request(PATH, BODY);
    for _ in 0..requests {
        let answer = connection.exchange(&asked)?;
        ensure!(answer.status == 200 && answer.level == Some(0), "{answer:?}");
    }
    running.end()?;
    let mut most = 0;
    for entry in fs::read_dir(directory.path())? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("counted")) {
            most = most.max(total(&fs::read_to_string(&path)?).unwrap_or(0));
        }
    }
    ensure!(most > 0, "valgrind counted nothing");
    Ok(most)
}

/// The sum at the end of callgrind's file.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")));
    line?.split_whitespace().next()?.parse().ok()
}

fn config_text(listen: u16, admin: u16, upstream: u16, directory: &Path) -> String {
    format!(
        r#"service: counted
listen: 127.0.0.1:{listen}
admin: {{ listen: 127.0.0.1:{admin} }}
store: 'sqlite:{}/mainstay.db'
limits: {{ workers: 1 }}
trust: {{ from: [127.0.0.0/8], headers: [x-safety-critical, x-user-tier, x-user-id] }}
backends:
  primary: {{ url: 'http://127.0.0.1:{upstream}', protocol: open-inference, model: m, version: "1", limit: {{ knee: {{}} }}, retry: {{ attempts: 2 }} }}
routes:
  - name: score
    path: {PATH}
    deadline: 60s
    confidence: {{ pointer: /outputs/0/data/0, as: probability }}
    priority:
      - {{ class: 0, when: 'header("x-safety-critical") == "true"' }}
      - {{ class: 1, when: 'header("x-user-tier") == "premium"' }}
    ladder:
      - {{ level: 0, backend: primary, timeout: 50s }}
      - {{ level: 4, respond: {{ outputs: [{{ name: decision, value: review }}] }} }}
slos:
  - availability: {{ target: 99.9%, window: 30d }}
"#,
        directory.display()
    )
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A model server that gives the same answer to everything.
fn upstream() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            thread::spawn(move || answer_all(socket));
        }
    });
    Ok(port)
}

fn answer_all(mut socket: TcpStream) {
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{ANSWER}",
        ANSWER.len()
    );
    let (mut seen, mut part) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = socket.read(&mut part) {
        seen.extend_from_slice(&part[..read]);
        // A request is whole when its body's last byte is there: all bodies are the same.
        if seen.ends_with(BODY.as_bytes()) || seen.ends_with(b"\r\n\r\n") && seen.starts_with(b"GET") {
            seen.clear();
            if socket.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

/// A process that is counted.
struct Running(Child);

impl Running {
    fn connect(&mut self, port: u16) -> Result<Connection> {
        let began = Instant::now();
        loop {
            if let Ok(connection) = Connection::open(port) {
                return Ok(connection);
            }
            if let Some(status) = self.0.try_wait()? {
                bail!("mainstay ended with {status}");
            }
            ensure!(began.elapsed() < START_LIMIT, "mainstay does not listen");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Asks it to end, and waits for what it counted.
    fn end(&mut self) -> Result<()> {
        Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status()?;
        let began = Instant::now();
        while self.0.try_wait()?.is_none() {
            ensure!(began.elapsed() < STOP_LIMIT, "mainstay does not end");
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_sum_is_found() {
        assert_eq!(super::total("events: Ir\nfl=a\n1 2\ntotals: 12345\n"), Some(12345));
        assert_eq!(super::total("nothing"), None);
    }
}
