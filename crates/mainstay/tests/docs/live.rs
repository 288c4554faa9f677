//! Servers that a page starts, and what it asks them. Each address of the page becomes one of this machine that is free.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const HOST: &str = "127.0.0.1:";
/// Where pages have the admin API.
const ADMIN: &str = "127.0.0.1:8090";
const PATIENCE: Duration = Duration::from_mins(1);
const READY: &str = "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// What runs for a page. It ends with the page.
#[derive(Default)]
pub(crate) struct Live {
    ports: BTreeMap<String, String>,
    children: Vec<Child>,
    /// Where each that serves listens for its admin, and its process.
    serving: Vec<(String, u32)>,
    /// What was said last that looks like an id, for `ID`, and like a hash, for `HASH`.
    id: String,
    hash: String,
    /// Where it runs, for paths that a page has elsewhere on the machine.
    folder: String,
}

impl Live {
    /// Starts `serve` or `wall` in a folder, and waits until it answers.
    pub(crate) fn start(&mut self, words: &[String], folder: &Path) -> Result<(), String> {
        let address = if words[0] == "serve" {
            let config = folder.join("mainstay.yaml");
            let text = std::fs::read_to_string(&config).map_err(|error| format!("no mainstay.yaml: {error}"))?;
            std::fs::write(config, self.moved(&text)).unwrap();
            self.moved(ADMIN)
        } else {
            let listen = words.iter().skip_while(|word| *word != "--listen").nth(1).ok_or("no `--listen`")?;
            self.moved(listen)
        };
        let words: Vec<String> = words.iter().map(|word| self.moved(word)).collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
        command.args(words).current_dir(folder).env_remove("MAINSTAY_TOKEN").env_remove("MAINSTAY_LOG");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let is_serve = command.get_args().next().is_some_and(|word| word == "serve");
        folder.to_str().unwrap().clone_into(&mut self.folder);
        self.children.push(command.spawn().unwrap());
        self.serving.extend(self.children.last().filter(|_| is_serve).map(|child| (address.clone(), child.id())));
        let deadline = Instant::now() + PATIENCE;
        while asked(&address, READY).is_err() {
            let ended = self.children.last_mut().and_then(|child| child.try_wait().unwrap());
            if let Some(status) = ended {
                return Err(format!("it ended with {status}"));
            }
            if Instant::now() > deadline {
                return Err(format!("nothing answers at {address}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The URL of the admin API.
    pub(crate) fn url(&mut self) -> String {
        format!("http://{}", self.moved(ADMIN))
    }

    /// A word as it is known to the page's server: `ID` is the last that it told, and numbers of the year and the day that pages have begin
    /// with those of today.
    pub(crate) fn known(&self, word: &str) -> String {
        match word {
            "ID" => return self.id.clone(),
            "HASH" => return self.hash.clone(),
            _ => {}
        }
        let today = jiff::Timestamp::now().strftime("%Y%m%d").to_string();
        let year = &today[..4];
        word.replace("AI-20260301-", &format!("AI-{today}-"))
            .replace("EXP-2026-", &format!("EXP-{year}-"))
            .replace("GD-2026-", &format!("GD-{year}-"))
    }

    /// Reads what a command said, for the commands after it.
    pub(crate) fn learn(&mut self, said: &str) {
        let is_id = |word: &&str| word.chars().any(|c| c.is_ascii_digit()) && !word.contains([':', '.', '/']);
        if let Some(id) = said.split_whitespace().find(is_id) {
            id.clone_into(&mut self.id);
        }
        let is_hash = |word: &&str| word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit());
        if let Some(hash) = said.split_whitespace().find(is_hash) {
            hash.clone_into(&mut self.hash);
        }
    }

    /// Has those that serve read their configs anew.
    pub(crate) fn reload(&mut self) -> Result<String, String> {
        for (address, id) in &self.serving {
            let sent = Command::new("kill").args(["-HUP", &id.to_string()]).status().unwrap();
            if !sent.success() {
                return Err("it is gone".to_owned());
            }
            asked(address, READY).map_err(|error| format!("it is gone: {error}"))?;
        }
        Ok(String::new())
    }

    /// Does what `curl` would do with these words: the answer's head and body, where it is a success.
    pub(crate) fn curl(&mut self, words: &[String], input: Option<&String>) -> Result<String, String> {
        let mut asked_for = Asked::default();
        let mut words = words.iter().map(|word| self.moved(word)).collect::<Vec<_>>().into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "-i" | "-N" | "-s" => {}
                "-X" => asked_for.method = words.next(),
                "-H" => asked_for.headers.extend(words.next()),
                "-d" => asked_for.body = words.next(),
                "--data-binary" if words.next().as_deref() == Some("@-") => asked_for.body = input.cloned(),
                url if url.starts_with("http://") => url.clone_into(&mut asked_for.url),
                other => return Err(format!("the test's curl does not know `{other}`")),
            }
        }
        let (address, request) = asked_for.request()?;
        let answer = asked(&address, &request).map_err(|error| format!("{address}: {error}"))?;
        let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
        if status.starts_with('2') { Ok(answer) } else { Err(format!("answered\n{answer}")) }
    }

    /// The text with each address on this machine moved to a free one, always the same, and backups to the page's folder.
    fn moved(&mut self, text: &str) -> String {
        let mut moved = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(HOST) {
            let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
            let (port, after) = after.split_at(digits);
            let free = self.ports.entry(port.to_owned()).or_insert_with(free_port);
            moved.extend([before, HOST, free]);
            rest = after;
        }
        (moved + rest).replace("/var/backups", &self.folder)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

#[derive(Default)]
struct Asked {
    method: Option<String>,
    headers: Vec<String>,
    body: Option<String>,
    url: String,
}

impl Asked {
    /// Whom to ask, and with which bytes.
    fn request(mut self) -> Result<(String, String), String> {
        let url = self.url.strip_prefix("http://").ok_or("no URL")?;
        let (address, path) = url.split_once('/').unwrap_or((url, ""));
        let usual = if self.body.is_some() { "POST" } else { "GET" };
        let method = self.method.as_deref().unwrap_or(usual);
        let body = self.body.unwrap_or_default();
        if !body.is_empty() && !self.headers.iter().any(|header| header.to_lowercase().starts_with("content-type:")) {
            self.headers.push("content-type: application/x-www-form-urlencoded".to_owned());
        }
        let own =
            [format!("host: {address}"), "connection: close".to_owned(), format!("content-length: {}", body.len())];
        self.headers.extend(own);
        let headers = self.headers.join("\r\n");
        Ok((address.to_owned(), format!("{method} /{path} HTTP/1.1\r\n{headers}\r\n\r\n{body}")))
    }
}

fn asked(address: &str, request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let (mut answer, mut part) = (Vec::new(), [0; 4096]);
    while !is_whole(&answer) {
        match stream.read(&mut part)? {
            0 => break,
            n => answer.extend_from_slice(&part[..n]),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Whether all that an answer says it has is there; a server need not close the connection then.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let mut lengths = head.lines().filter_map(|line| line.strip_prefix("content-length:"));
    lengths.next().and_then(|length| length.trim().parse().ok()).is_some_and(|length: usize| body.len() >= length)
}
