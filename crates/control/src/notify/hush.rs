//! What is told of a failure: short, one line, and without secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::text::{clip, line};

/// Longest reason.
const WHY_MAX: usize = 300;
/// Shorter pieces of a secret than this are words that an answer may hold by chance.
const PIECE_MIN: usize = 5;

/// The secrets of a channel, in the pieces that an answer may repeat.
#[derive(Default)]
pub(super) struct Hush {
    pieces: Vec<String>,
}

impl Hush {
    /// Keeps quiet about a key or a password, also where it is base64, and about each part of it.
    pub(super) fn key(mut self, key: &str) -> Hush {
        self.pieces.extend([key.to_owned(), STANDARD.encode(key)]);
        self.parts(key)
    }

    /// Keeps quiet about a URL: about the whole, and about each part of its path and query.
    pub(super) fn url(mut self, url: &str) -> Hush {
        let after_host = url.split_once("://").map_or(url, |(_, rest)| rest);
        let path = after_host.find(['/', '?']).map_or("", |at| &after_host[at..]);
        self.pieces.push(url.to_owned());
        self.parts(path)
    }

    /// Quotes and escapes may stand between the parts.
    fn parts(mut self, text: &str) -> Hush {
        let parts = text.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.' | '~'));
        self.pieces.extend(parts.filter(|part| part.len() >= PIECE_MIN).map(str::to_owned));
        self
    }

    /// A text that may be shown: nothing of it where it repeats a secret.
    pub(super) fn shown(&self, text: &str) -> String {
        let raw = text.to_lowercase();
        let text = line(text);
        let plain = text.to_lowercase();
        let tells = |piece: &String| {
            let piece = piece.to_lowercase();
            !piece.is_empty() && (plain.contains(&piece) || raw.contains(&piece))
        };
        if self.pieces.iter().any(tells) { "(it repeats a secret)".to_owned() } else { clip(&text, WHY_MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_a_secret_is_not_shown() {
        let hush = Hush::default().url("https://h.example/services/T0AB1/xyzzy?sig=plugh-1").key("open sesame");
        for told in [
            "no T0AB1",
            "xyzzy",
            "SIG=PLUGH-1",
            "it was open sesame",
            "b3BlbiBzZXNhbWU=",
            "a\u{1b}[0mxyzzy",
            "a sesame",
        ] {
            assert_eq!(hush.shown(told), "(it repeats a secret)", "{told}");
        }
        assert_eq!(hush.shown("h.example\r\nis\u{202e} away"), "h.example is away");
        assert!(hush.shown(&"x".repeat(1000)).encode_utf16().count() <= WHY_MAX);
    }
}
