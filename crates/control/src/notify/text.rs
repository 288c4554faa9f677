//! Text that came from outside, without what only a terminal or a renderer would see, and short.

/// In one line: line breaks and runs of white space become one space.
pub(super) fn line(text: &str) -> String {
    let shown = shown(text);
    let mut out = String::with_capacity(shown.len());
    for word in shown.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// In lines: line breaks stay, and nothing else that is not shown.
pub(super) fn lines(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let lines: Vec<String> = text.split(['\n', '\r']).map(|part| shown(part).trim_end().to_owned()).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

/// A list's lines, at most `most` of them; the last one says how many are missing.
pub(super) fn list(items: &[String], most: usize) -> Vec<String> {
    let mut kept: Vec<String> = items.iter().take(most).map(|item| line(item)).collect();
    if items.len() > most {
        kept.push(format!("… and {} more", items.len() - most));
    }
    kept
}

/// At most `max` UTF-16 units (the widest of the measures in use) of the text as `write` renders each character: never
/// cut within a character or within what stands for it, and with an ellipsis where something is missing.
pub(super) fn fit(text: &str, max: usize, write: impl Fn(char, &mut String)) -> String {
    let (mut out, mut used, mut room) = (String::new(), 0, 0);
    for c in text.chars() {
        let before = out.len();
        write(c, &mut out);
        used += out[before..].encode_utf16().count();
        if used > max {
            out.truncate(room);
            out.push('…');
            return out;
        }
        if used < max {
            room = out.len();
        }
    }
    out
}

/// At most `max` UTF-16 units of the text as it is.
pub(super) fn clip(text: &str, max: usize) -> String {
    fit(text, max, |c, out| out.push(c))
}

/// Without terminal sequences; white space of all kinds is a space; what is not shown, or changes the direction of what
/// is shown, is gone.
fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\u{1b}' | '\u{9b}' => rest = after_sequence(c, rest),
            c if c.is_whitespace() || matches!(c, '\0') => out.push(' '),
            c if c.is_control() || is_hidden(c) => {}
            c => out.push(c),
        }
    }
    out
}

/// What follows a well-formed terminal sequence such as `ESC [ 31 m`; otherwise only the introducer is passed over.
fn after_sequence(introducer: char, rest: &str) -> &str {
    let body = if introducer == '\u{9b}' { Some(rest) } else { rest.strip_prefix('[') };
    let Some(body) = body else { return rest };
    let end = body.find(|c: char| !matches!(c, ' '..='?'));
    match end.filter(|end| matches!(body.as_bytes()[*end], b'@'..=b'~')) {
        Some(end) => &body[end + 1..],
        None => rest,
    }
}

/// Marks and overrides of direction, characters without a width, and tags. The joiners of emoji and of Persian stay.
fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_hold_nothing_that_is_not_shown() {
        assert_eq!(line("a\r\nb\tc\u{2028}d  e"), "a b c d e");
        assert_eq!(line("\u{1b}[31;1mred\u{1b}[0m \u{9b}2Jx \u{1b}]0;title\u{7}y"), "red x ]0;titley");
        // A sequence that is not one takes nothing with it.
        assert_eq!(line("\u{1b}[31\u{e9}rest"), "[31\u{e9}rest");
        assert_eq!(line("\u{1b}["), "[");
        assert_eq!(line("a\u{202e}b\u{2066}c\u{200b}d\u{feff}e\u{e0041}"), "abcde");
        // A family and a Persian word keep their joiners.
        assert_eq!(line("👨\u{200d}👩 می\u{200c}خواهم"), "👨\u{200d}👩 می\u{200c}خواهم");
        assert_eq!(lines("a\r\nb\n\n\u{8}c \n"), "a\nb\n\nc");
    }

    #[test]
    fn what_is_cut_says_so_and_is_whole() {
        assert_eq!(clip("abcd", 4), "abcd");
        assert_eq!(clip("abcde", 4), "abc…");
        // Two units each: three do not leave room for the ellipsis, two do.
        assert_eq!(clip("😀😀😀😀", 6), "😀😀…");
        let html = |c: char, out: &mut String| if c == '&' { out.push_str("&amp;") } else { out.push(c) };
        assert_eq!(fit("a&&", 7, html), "a&amp;…");
        assert_eq!(fit("a&&", 11, html), "a&amp;&amp;");
        for max in 1..20 {
            assert!(fit("x&😀é&&&&😀", max, html).encode_utf16().count() <= max);
        }
    }

    #[test]
    fn lists_say_what_is_missing() {
        let items: Vec<String> = (0..5).map(|n| format!("item\n{n}")).collect();
        assert_eq!(list(&items, 2), ["item 0", "item 1", "… and 3 more"]);
        assert_eq!(list(&items, 5).len(), 5);
    }
}
