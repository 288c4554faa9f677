//! Answers in forms that are allowed, or at least seen.

use super::answer::{ANSWER, tokens_after};
use super::catalogue::Quirk;
use super::dialect::Trouble;
use super::script::{Asked, End, STALL_AFTER, Script, Step};
use super::streams;

/// Length of the long line.
const LONG_BYTES: usize = 1 << 20;

const PAGE: &str = "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>\
<body><h1>Bad Gateway</h1><p>The server took too long to respond.</p></body></html>\n";

/// Characters of two, three and four bytes.
const ACCENTS: &str = "\u{e9}\u{20ac}\u{1f309} ";

pub(super) fn play(quirk: Quirk, asked: &Asked) -> Script {
    match quirk {
        Quirk::Html => Script::body(502, Vec::new(), "text/html", PAGE.into()),
        Quirk::HtmlStream => Script::body(200, Vec::new(), "text/html", PAGE.into()),
        Quirk::Gzip => gzip(asked),
        _ if !asked.stream => whole(asked),
        Quirk::Bom => of_bytes([b"\xef\xbb\xbf".to_vec(), events(&tokens_after(""), asked)].concat()),
        Quirk::Crlf => of_bytes(replaced(&events(&tokens_after(""), asked), b"\r\n")),
        Quirk::Split => split(asked),
        Quirk::Long => of_bytes(events(&[&"x".repeat(LONG_BYTES), ANSWER], asked)),
        Quirk::Comments => comments(asked),
        Quirk::InBand => in_band(asked),
        Quirk::Empty => streams::of(opening(asked), End::Whole),
    }
}

fn whole(asked: &Asked) -> Script {
    let tokens = tokens_after("");
    Script::json(200, Vec::new(), &asked.dialect.whole(&asked.name, ANSWER, asked.usage(tokens.len())))
}

/// A whole stream as bytes, with its last mark.
fn events(tokens: &[&str], asked: &Asked) -> Vec<u8> {
    let mut bytes = streams::events(tokens, asked).concat();
    bytes.extend(asked.dialect.mark());
    bytes
}

/// In one chunk.
fn of_bytes(bytes: Vec<u8>) -> Script {
    streams::of(vec![Step::Send(bytes)], End::Whole)
}

fn replaced(bytes: &[u8], line_end: &[u8]) -> Vec<u8> {
    bytes.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(line_end)
}

fn split(asked: &Asked) -> Script {
    let tokens: Vec<&str> = [ACCENTS].into_iter().chain(tokens_after("")).collect();
    let bytes = events(&tokens, asked);
    streams::of(bytes.iter().map(|byte| Step::Send(vec![*byte])).collect(), End::Whole)
}

fn comments(asked: &Asked) -> Script {
    let events = streams::events(&tokens_after(""), asked).into_iter().chain([asked.dialect.mark()]);
    let commented = events.map(|event| Step::Send([b": still here\n\nid: 7\nretry: 1000\n".to_vec(), event].concat()));
    streams::of(commented.collect(), End::Whole)
}

fn opening(asked: &Asked) -> Vec<Step> {
    asked.dialect.opening(&asked.name, asked.usage(0)).into_iter().map(Step::Send).collect()
}

fn in_band(asked: &Asked) -> Script {
    let mut steps = opening(asked);
    let tokens = tokens_after("").into_iter().take(STALL_AFTER);
    steps.extend(tokens.map(|token| Step::Send(asked.dialect.token(&asked.name, token))));
    steps.push(Step::Send(asked.dialect.error_event(Trouble::Overloaded, "The engine is currently overloaded.")));
    streams::of(steps, End::Whole)
}

fn gzip(asked: &Asked) -> Script {
    let compressed = ("content-encoding", "gzip".to_owned());
    if asked.stream {
        let mut script = of_bytes(stored(&events(&tokens_after(""), asked)));
        script.head.iter_mut().for_each(|head| head.headers.push(compressed.clone()));
        return script;
    }
    let tokens = tokens_after("");
    let document = asked.dialect.whole(&asked.name, ANSWER, asked.usage(tokens.len())).to_string();
    Script::body(200, vec![compressed], "application/json", stored(document.as_bytes()))
}

/// A gzip member of stored blocks (RFC 1952, RFC 1951 section 3.2.4): in the right form, if not smaller.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let blocks: Vec<&[u8]> = bytes.chunks(usize::from(u16::MAX)).collect();
    for (n, block) in blocks.iter().enumerate() {
        let length = block.len() as u16;
        out.push(u8::from(n + 1 == blocks.len()));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend_from_slice(block);
    }
    out.extend(crc32(bytes).to_le_bytes());
    out.extend((bytes.len() as u32).to_le_bytes());
    out
}

/// RFC 1952, section 8, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wall::dialect::Dialect;

    #[test]
    fn what_is_called_gzip_is_gzip() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926, "the check value of CRC-32");
        let packed = stored(b"hello");
        assert_eq!(packed[10..15], [1, 5, 0, 0xfa, 0xff]);
        assert_eq!(stored(&vec![7; 70_000]).len(), 10 + 2 * 5 + 70_000 + 8);
    }

    #[test]
    fn dialects_differ_in_their_marks() {
        assert_ne!(Dialect::Openai.mark(), Dialect::Anthropic.mark());
    }
}
