//! Texts for which requests are blocked, looked for in bodies.
//!
//! Texts are compared without regard to case: by way of upper case, so that `ß` is `ss`, `ς` is `σ`. A body is looked through as it is,
//! and where it has backslashes once more with JSON's escapes resolved. In JSON these stand within strings only, so the second text
//! holds every string as it is meant; that it need not be valid JSON leaves no way around by a body that is broken.
//! Escapes within escapes stay, as does everything else that makes a text another one: a word in other letters needs its own pattern.

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use http::{HeaderMap, header};
use mainstay_core::time::Time;

/// A text for which requests are blocked.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    /// As it is compared.
    pub(crate) text: String,
    /// From when on it is not.
    pub(crate) until: Time,
}

impl Pattern {
    pub(crate) fn new(text: &str, until: Time) -> Pattern {
        Pattern { text: folded(text), until }
    }
}

/// All patterns of a route at once.
#[derive(Debug)]
pub(crate) struct Blocked {
    automaton: AhoCorasick,
    /// By pattern: when it ends.
    ends: Vec<Time>,
}

impl Blocked {
    pub(crate) fn new(patterns: &[Pattern]) -> Blocked {
        // Of the kinds of automaton this one is small; the fastest takes megabytes for long patterns.
        let texts = patterns.iter().map(|pattern| &pattern.text);
        let automaton = AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).build(texts);
        Blocked {
            automaton: automaton.expect("a hundred short patterns have few enough states"),
            ends: patterns.iter().map(|pattern| pattern.until).collect(),
        }
    }

    /// How many of the patterns have not ended.
    pub(crate) fn in_force(&self, now: Time) -> usize {
        self.ends.iter().filter(|end| **end > now).count()
    }

    /// Whether a body holds a pattern that is in force.
    pub(crate) fn is_in(&self, body: &[u8], now: Time) -> bool {
        let text = String::from_utf8_lossy(body);
        self.is_in_text(&text, now) || unescaped(&text).is_some_and(|text| self.is_in_text(&text, now))
    }

    fn is_in_text(&self, text: &str, now: Time) -> bool {
        let text = folded(text);
        // Overlapping ones too: one that has ended must not hide another.
        let mut found = self.automaton.find_overlapping_iter(&text);
        found.any(|found| self.ends.get(found.pattern().as_usize()).is_some_and(|end| *end > now))
    }
}

/// Whether a body may mean another text than the one that its bytes are: compressed, in another encoding, or said to be.
pub(crate) fn is_veiled(headers: &HeaderMap, body: &[u8]) -> bool {
    let is_coded = |value: &http::HeaderValue| !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity");
    let is_foreign = |value: &http::HeaderValue| value.to_str().map_or(true, names_other_charset);
    headers.get_all(header::CONTENT_ENCODING).iter().any(is_coded)
        || headers.get_all(header::CONTENT_TYPE).iter().any(is_foreign)
        || is_wide(body)
}

fn names_other_charset(content_type: &str) -> bool {
    let parameters = content_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let mut charsets = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    let plain = ["utf-8", "utf8", "us-ascii", "ascii"];
    charsets.any(|(_, value)| {
        let value = value.trim().trim_matches('"');
        !plain.iter().any(|plain| plain.eq_ignore_ascii_case(value))
    })
}

/// UTF-16 and UTF-32, which many servers read without being told: a byte order mark, or a zero among the first four bytes.
fn is_wide(body: &[u8]) -> bool {
    body.starts_with(&[0xfe, 0xff]) || body.starts_with(&[0xff, 0xfe]) || body.iter().take(4).any(|byte| *byte == 0)
}

fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// A text with JSON's escapes resolved; `None` where it has none. What is no escape stays.
fn unescaped(text: &str) -> Option<String> {
    let mut at = memchr::memchr(b'\\', text.as_bytes())?;
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    loop {
        out.push_str(&rest[..at]);
        let (meant, length) = escape(&rest[at..]);
        out.push(meant);
        rest = &rest[at + length..];
        let Some(next) = memchr::memchr(b'\\', rest.as_bytes()) else { break };
        at = next;
    }
    out.push_str(rest);
    Some(out)
}

/// What a text that starts with a backslash means there, and how many bytes that takes.
fn escape(text: &str) -> (char, usize) {
    let meant = match text.as_bytes().get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(byte @ (b'"' | b'\\' | b'/')) => char::from(*byte),
        Some(b'u') => return unit_escape(text),
        _ => return ('\\', 1),
    };
    (meant, 2)
}

/// `\u` and four digits; two of them where they are a pair.
fn unit_escape(text: &str) -> (char, usize) {
    let Some(first) = unit(text, 0) else { return ('\\', 1) };
    match char::decode_utf16([first].into_iter().chain(unit(text, 6))).next() {
        Some(Ok(meant)) => (meant, if meant.len_utf16() == 2 { 12 } else { 6 }),
        Some(Err(_)) | None => (char::REPLACEMENT_CHARACTER, 6),
    }
}

fn unit(text: &str, at: usize) -> Option<u16> {
    let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const NOW: Time = Time::from_secs(1_000);

    fn blocks(pattern: &str, body: &[u8]) -> bool {
        Blocked::new(&[Pattern::new(pattern, Time::MAX)]).is_in(body, NOW)
    }

    #[test]
    fn case_and_escapes_are_no_way_around() {
        for body in [
            r#"{"q": "make a BoMb now"}"#,
            r#"{"q": "make a b\u006fmb now"}"#,
            r#"{"q": "make a \u0042\u004F\u004d\u0062"}"#,
            r#"{"bomb": 1}"#,
            "bomb, and no JSON \\",
            r#"{"q": "\u0062omb"#,
            r#"{"q": "\\\u0062omb"}"#,
        ] {
            assert!(blocks("bOmb", body.as_bytes()), "{body}");
        }
        for body in [r#"{"q": "bom b"}"#, r#"{"q": "b\\u006fmb"}"#, r#"{"q": "b\u006gmb"}"#, "b\\omb", "", "\\u00"] {
            assert!(!blocks("bomb", body.as_bytes()), "{body}");
        }
        assert!(blocks("a\"b\\c/d\n", br#"{"q": "A\"B\\C\/D\n"}"#), "a pattern is meant as it is read");
        assert!(blocks("straße", "STRASSE".as_bytes()) && blocks("ΟΔΟΣ", "οδος".as_bytes()));
        assert!(blocks("бомба", r#"{"q": "\u0411ОМБА"}"#.as_bytes()));
        assert!(blocks("😀", br#""\uD83D\uDE00""#) && !blocks("😀", br#""\uD83D \uDE00""#));
        assert!(blocks("bomb", b"\xff\x04\0\0\0bomb\xfe"), "beside bytes that are no text");
    }

    #[test]
    fn a_pattern_that_has_ended_hides_no_other() {
        let patterns = [("abcd", NOW), ("bc", Time::MAX), ("b", NOW)];
        let blocked = Blocked::new(&patterns.map(|(text, until)| Pattern::new(text, until)));
        assert_eq!(blocked.in_force(NOW), 1);
        assert!(blocked.is_in(b"xabcdx", NOW));
        assert!(!blocked.is_in(b"xab cdx", NOW) && blocked.is_in(b"xab cdx", Time::from_secs(999)));
    }

    #[test]
    fn what_may_be_read_as_another_text_is_told() {
        let veiled = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.append("content-encoding", HeaderValue::from_static("identity"));
            headers.append(name, HeaderValue::from_static(value));
            is_veiled(&headers, b"{}")
        };
        for (name, value) in [
            ("content-encoding", "gzip"),
            ("content-encoding", ""),
            ("content-type", "application/json; charset=utf-7"),
            ("content-type", "text/plain; q=1; Charset = \"UTF-16\""),
        ] {
            assert!(veiled(name, value), "{name}: {value}");
        }
        for (name, value) in [
            ("content-encoding", " Identity"),
            ("content-type", "application/json"),
            ("content-type", "application/json; charset=UTF-8"),
            ("content-type", "multipart/form-data; boundary=x"),
        ] {
            assert!(!veiled(name, value), "{name}: {value}");
        }
        for text in ["{}", "[\"a\"]", "\n[]"] {
            let wide = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
            let wider: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect();
            for body in
                [wide(u16::to_le_bytes), wide(u16::to_be_bytes), wider, [&[0xff, 0xfe], text.as_bytes()].concat()]
            {
                assert!(is_veiled(&HeaderMap::new(), &body), "{body:?}");
            }
            assert!(!is_veiled(&HeaderMap::new(), text.as_bytes()));
        }
    }

    proptest! {
        /// However a JSON string is written, a pattern in it is found.
        #[test]
        fn a_pattern_in_a_json_string_is_found(
            before in ".{0,8}", pattern in "\\PC{1,8}", after in ".{0,8}", escaped in prop::collection::vec(any::<bool>(), 64),
        ) {
            let text = format!("{before}{pattern}{after}");
            let mut written = String::new();
            for (c, escape) in text.chars().zip(escaped.iter().cycle()) {
                let plain = serde_json::to_string(&c).unwrap();
                if *escape {
                    let mut units = [0; 2];
                    for unit in c.encode_utf16(&mut units) {
                        write!(written, "\\u{unit:04x}").unwrap();
                    }
                } else {
                    written += &plain[1..plain.len() - 1];
                }
            }
            let body = format!(r#"{{"x": ["{written}"]}}"#);
            let read: serde_json::Value = serde_json::from_str(&body).unwrap();
            prop_assert_eq!(read["x"][0].as_str(), Some(&*text));
            prop_assert!(blocks(&pattern, body.as_bytes()));
        }
    }
}
