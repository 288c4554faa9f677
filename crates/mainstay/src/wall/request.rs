//! Requests of HTTP/1.1, read from a raw socket.

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Longest head.
const HEAD_MAX: usize = 64 * 1024;

/// Longest body.
const BODY_MAX: usize = 32 << 20;

/// One request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    /// Without what stands behind `?`.
    pub(super) path: String,
    pub(super) query: String,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The caller's key, in either provider's header.
    pub(super) fn key(&self) -> &str {
        let bearer = self.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        bearer.or_else(|| self.header("x-api-key")).unwrap_or_default()
    }

    fn of_head(head: &str) -> Option<Self> {
        let mut lines = head.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let header = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        Some(Self {
            method,
            path: path.into(),
            query: query.into(),
            headers: lines.filter_map(header).collect(),
            body: Vec::new(),
        })
    }
}

/// The next request; `None` where the connection ends, or what comes is no request within bounds. `buffer` keeps what came too much.
pub(super) async fn next(socket: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<Request> {
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        more(socket, buffer, HEAD_MAX).await?;
    };
    let mut request = Request::of_head(std::str::from_utf8(&buffer[..head_end]).ok()?)?;
    buffer.drain(..head_end + 4);
    if request.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        request.body = chunked(socket, buffer).await?;
        return Some(request);
    }
    let length = request.header("content-length").map_or(Some(0), |length| length.parse::<usize>().ok())?;
    while buffer.len() < length {
        more(socket, buffer, length.min(BODY_MAX)).await?;
    }
    request.body = buffer.drain(..length).collect();
    Some(request)
}

async fn chunked(socket: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line_end = loop {
            if let Some(at) = buffer.windows(2).position(|two| two == b"\r\n") {
                break at;
            }
            more(socket, buffer, BODY_MAX).await?;
        };
        let size = std::str::from_utf8(&buffer[..line_end]).ok()?.split(';').next()?.trim().to_owned();
        let size = usize::from_str_radix(&size, 16).ok().filter(|size| body.len() + size <= BODY_MAX)?;
        buffer.drain(..line_end + 2);
        while buffer.len() < size + 2 {
            more(socket, buffer, BODY_MAX + 2).await?;
        }
        body.extend(buffer.drain(..size));
        buffer.drain(..2);
        if size == 0 {
            return Some(body);
        }
    }
}

async fn more(socket: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>, max: usize) -> Option<()> {
    if buffer.len() > max {
        return None;
    }
    let read = socket.read_buf(buffer).await.ok()?;
    (read > 0).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_follow_each_other_on_one_connection() {
        let mut sent: &[u8] = b"POST /v1/messages?beta=true HTTP/1.1\r\nX-Api-Key: k\r\nContent-Length: 2\r\n\r\n{}\
            POST /x HTTP/1.1\r\nauthorization: Bearer b\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\nGET";
        let mut buffer = Vec::new();
        let first = next(&mut sent, &mut buffer).await.unwrap();
        assert_eq!((first.path.as_str(), first.query.as_str(), first.key()), ("/v1/messages", "beta=true", "k"));
        assert_eq!(first.json(), Some(serde_json::json!({})));
        let second = next(&mut sent, &mut buffer).await.unwrap();
        assert_eq!((second.body.as_slice(), second.key()), (b"abcd".as_slice(), "b"));
        assert_eq!(next(&mut sent, &mut buffer).await, None, "it breaks off");
        let mut long: &[u8] = b"POST / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n";
        assert_eq!(next(&mut long, &mut Vec::new()).await, None);
    }
}
