//! A client of HTTP/1.1 on one kept connection: one request at a time, blocking, without allocation per request.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// No answer of the bench takes that long; one that does has failed.
const PATIENCE: Duration = Duration::from_secs(10);

const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The bytes of one request, made once.
pub(super) fn request(path: &str, body: &str) -> Vec<u8> {
    send("POST", path, body)
}

/// As `request`, with any method.
pub(super) fn send(method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").into()
}

/// What the bench wants to know of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// `x-mainstay-level`, where there is one.
    pub(super) level: Option<u8>,
}

/// One kept connection.
pub(super) struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(super) fn open(port: u16) -> Result<Self> {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("cannot connect to port {port}"))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket, buffer: Vec::with_capacity(4096) })
    }

    /// Sends one request and reads the whole answer.
    pub(super) fn exchange(&mut self, request: &[u8]) -> Result<Answer> {
        self.socket.write_all(request)?;
        self.buffer.clear();
        let mut chunk = [0; 4096];
        loop {
            let read = self.socket.read(&mut chunk)?;
            if read == 0 || self.buffer.len() > ANSWER_BYTES_MAX {
                bail!("the answer was cut off");
            }
            self.buffer.extend_from_slice(&chunk[..read]);
            if let Some(answer) = parse(&self.buffer)? {
                return Ok(answer);
            }
        }
    }

    /// As `exchange`, with the answer's body, which must have a length.
    pub(super) fn exchange_whole(&mut self, request: &[u8]) -> Result<(Answer, Vec<u8>)> {
        let answer = self.exchange(request)?;
        let head = self.buffer.windows(4).position(|four| four == b"\r\n\r\n").context("an answer has a head")?;
        let chunked = self.buffer[..head].windows(7).any(|seven| seven.eq_ignore_ascii_case(b"chunked"));
        ensure!(!chunked, "an answer came in chunks");
        Ok((answer, self.buffer[head + 4..].to_vec()))
    }
}

/// The answer, once all of it is there.
fn parse(bytes: &[u8]) -> Result<Option<Answer>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end])?;
    let body = &bytes[end + 4..];
    let status = head.get(9..12).and_then(|status| status.parse().ok()).context("an answer without a status")?;
    let header = |name: &str| {
        let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    };
    let complete = match header("content-length") {
        None if status == 204 => true,
        Some(length) => body.len() >= length.parse::<usize>()?,
        None => body.ends_with(b"0\r\n\r\n"),
    };
    let level = header("x-mainstay-level").and_then(|level| level.parse().ok());
    Ok(complete.then_some(Answer { status, level }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_with_its_length_or_its_last_chunk() {
        let counted = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Mainstay-Level: 2\r\n\r\nok";
        assert_eq!(parse(counted).unwrap(), Some(Answer { status: 200, level: Some(2) }));
        assert_eq!(parse(&counted[..counted.len() - 1]).unwrap(), None);
        let chunked = b"HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        assert_eq!(parse(chunked).unwrap(), Some(Answer { status: 503, level: None }));
        assert_eq!(parse(&chunked[..20]).unwrap(), None);
    }
}
