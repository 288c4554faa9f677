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

/// What runs for a page. It ends with the page.
#[derive(Default)]
pub(crate) struct Live {
    ports: BTreeMap<String, String>,
    children: Vec<Child>,
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
        self.children.push(command.spawn().unwrap());
        let deadline = Instant::now() + PATIENCE;
        while asked(&address, "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").is_err() {
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

    /// The text with each address on this machine moved to a free one, always the same.
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
        moved + rest
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
