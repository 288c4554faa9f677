//! Text from outside, made fit for cells of a terminal.

use ratatui::style::Style;
use ratatui::text::Span;

use crate::words;

/// Most characters that share one place: a letter with an accent or two, a family of four.
const STACKED_MAX: usize = 8;

/// A text in one line in which nothing is obeyed, nothing is hidden and no place holds more than a terminal draws; no longer than so many
/// characters.
pub(super) fn harmless(text: &str, most: usize) -> String {
    // What is cut off is not worth looking at, however long it is.
    let start: String = text.chars().take(most.saturating_add(1)).collect();
    let line = words::line(&start);
    let mut out = String::with_capacity(line.len());
    for place in places(&line) {
        match place.chars().count() {
            0..=STACKED_MAX => out.push_str(&place),
            _ => out.extend(place.chars().take(STACKED_MAX)),
        }
    }
    if text.chars().nth(most).is_some() {
        out.push('…');
    }
    out
}

/// How many columns a text takes.
pub(super) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// The text in exactly so many columns, filled up with spaces or cut with a mark.
pub(super) fn fit(text: &str, columns: usize, is_right: bool) -> String {
    let (shown, used) = cut(text, columns);
    let space = " ".repeat(columns - used);
    if is_right { format!("{space}{shown}") } else { format!("{shown}{space}") }
}

/// As much of a text as fits into so many columns, and how many it takes.
pub(super) fn cut(text: &str, columns: usize) -> (String, usize) {
    let whole = width(text);
    if whole <= columns {
        return (text.to_owned(), whole);
    }
    let (mut shown, mut used) = (String::new(), 0);
    for place in places(text) {
        let more = width(&place);
        if used + more + 1 > columns {
            break;
        }
        shown.push_str(&place);
        used += more;
    }
    if columns > 0 {
        shown.push('…');
        used += 1;
    }
    (shown, used)
}

/// A text in lines of at most so many columns, broken between words where that is possible.
pub(super) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0);
    for word in text.split(' ') {
        let long = width(word);
        let gap = usize::from(used > 0);
        if used + gap + long <= columns {
            line.extend(std::iter::repeat_n(' ', gap));
            line.push_str(word);
            used += gap + long;
            continue;
        }
        if used > 0 {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        for place in places(word) {
            let more = width(&place);
            if used + more > columns && used > 0 {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push_str(&place);
            used += more;
        }
    }
    lines.push(line);
    lines
}

/// What a person takes for one character each.
fn places(text: &str) -> Vec<String> {
    Span::raw(text).styled_graphemes(Style::new()).map(|place| place.symbol.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_obeyed_and_nothing_is_longer_than_it_may_be() {
        assert_eq!(harmless("a\u{1b}[2J\n\u{202e}b\t c", 100), r"a\u{1b}[2J \u{202e}b c");
        assert_eq!(harmless(&"x".repeat(10_000), 5), "xxxxxx…");
        let stacked = format!("e{}!", "\u{301}".repeat(500));
        assert_eq!(harmless(&stacked, 1_000), format!("e{}!", "\u{301}".repeat(STACKED_MAX - 1)));
        assert_eq!(harmless("東京 👨\u{200d}👩\u{200d}👧", 100), "東京 👨\u{200d}👩\u{200d}👧");
    }

    #[test]
    fn cells_are_exactly_as_wide_as_they_should_be() {
        assert_eq!([fit("ab", 4, false), fit("ab", 4, true), fit("abcde", 4, false)], ["ab  ", "  ab", "abc…"]);
        // A character of two columns is not cut in two.
        assert_eq!([fit("東京都", 5, false), fit("東京都", 6, false)], ["東京…", "東京都"]);
        assert_eq!([fit("東京都", 4, false), fit("東", 1, false), fit("x", 0, false)], ["東… ", "…", ""]);
        for columns in 0..12 {
            for text in ["", "plain text", "東京 都府", "👨\u{200d}👩\u{200d}👧 x", "e\u{301}e\u{301}e\u{301}"]
            {
                assert_eq!(width(&fit(text, columns, false)), columns, "{text} in {columns}");
                assert!(wrapped(text, columns).iter().all(|line| width(line) <= columns.max(2)), "{text} in {columns}");
            }
        }
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("abcdefghij kl", 4), ["abcd", "efgh", "ij", "kl"]);
    }
}
