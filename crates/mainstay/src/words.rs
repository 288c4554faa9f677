//! What the admin API says, in words for people.
//!
//! Much of it came from outside: titles, notes, labels. Whatever a terminal would obey rather than show is written as its number, so
//! that it can be seen and does nothing.

use jiff::Timestamp;
use serde_json::Value;

/// A value as a word, in one line and harmless; what is absent is a dash.
pub(crate) fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => line(text),
        other => line(&other.to_string()),
    }
}

/// The same, no longer than so many characters.
pub(crate) fn clipped(value: &Value, most: usize) -> String {
    let word = word(value);
    if word.chars().count() <= most {
        return word;
    }
    word.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// A text in one line: runs of white space are one space, and what is hidden is its number.
pub(crate) fn line(text: &str) -> String {
    text.split_whitespace().map(shown).collect::<Vec<_>>().join(" ")
}

/// A text in its lines; what is hidden is its number.
pub(crate) fn lines(text: &str) -> String {
    text.lines().map(|line| shown(&line.replace('\t', "    "))).collect::<Vec<_>>().join("\n")
}

/// A page that somebody else laid out: nothing in it is obeyed by a terminal, and its lines, tabs and characters without width stay.
pub(crate) fn page(text: &str) -> String {
    let obeyed = |c: char| !matches!(c, '\n' | '\t') && (c.is_control() || changes_direction(c));
    written(text, obeyed)
}

fn shown(text: &str) -> String {
    written(text, is_hidden)
}

/// A text in which some characters are their numbers.
fn written(text: &str, by_number: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if by_number(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// Control characters, marks of direction, what has no width, and tags. The joiners of emoji and of Persian are not.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control() || changes_direction(c) || has_no_width(c)
}

/// Whether it changes the direction of what stands beside it, or where lines end.
fn changes_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}')
}

fn has_no_width(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{feff}')
        || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e0fff}')
}

/// Words with commas between them; a dash where there is none.
pub(crate) fn listed(values: &Value) -> String {
    let words: Vec<String> = array(values).iter().map(word).collect();
    if words.is_empty() { "-".to_owned() } else { words.join(", ") }
}

/// A moment in UTC, to the second; what is none is as it came.
pub(crate) fn when(value: &Value) -> String {
    match moment(value) {
        Some(moment) => moment.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        None => word(value),
    }
}

/// The moment that a value says, in RFC 3339.
pub(crate) fn moment(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// How long it is from one moment to another, in the two largest units; a dash where one is missing or the second is before the first.
pub(crate) fn between(from: Option<Timestamp>, to: Option<Timestamp>) -> String {
    let seconds = from.zip(to).map(|(from, to)| to.duration_since(from).as_secs_f64());
    span(seconds.filter(|seconds| *seconds >= 0.0))
}

/// The items of a list; what is none has none.
pub(crate) fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A share as a percentage, with a digit more where it is small.
pub(crate) fn percent(share: &Value) -> String {
    match share.as_f64() {
        None => "-".to_owned(),
        Some(share) if share != 0.0 && share.abs() < 0.01 => format!("{:.3} %", share * 100.0),
        Some(share) => format!("{:.1} %", share * 100.0),
    }
}

/// Seconds in the two largest units that fit.
pub(crate) fn span(seconds: Option<f64>) -> String {
    let Some(seconds) = seconds else { return "-".to_owned() };
    let whole = seconds as u64;
    let parts = [(whole / 86_400, "d"), (whole / 3_600 % 24, "h"), (whole / 60 % 60, "m"), (whole % 60, "s")];
    let parts = parts.iter().skip_while(|(count, _)| *count == 0).take(2).filter(|(count, _)| *count > 0);
    let text: Vec<String> = parts.map(|(count, unit)| format!("{count}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text.join(" ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_as_its_number() {
        let hostile = "a\u{1b}[31mred\u{7} \u{9b}2Jb\u{202e}txt\u{2066}x\u{200b}y\u{feff}\u{e0041}\u{0}";
        let seen = r"a\u{1b}[31mred\u{7} \u{9b}2Jb\u{202e}txt\u{2066}x\u{200b}y\u{feff}\u{e0041}\u{0}";
        assert_eq!(line(hostile), seen);
        assert_eq!(word(&json!({ "note": "\u{202e}\u{9b}" })), r#"{"note":"\u{202e}\u{9b}"}"#);
        // Lines are not made, and not taken over, by what stands in one.
        assert_eq!(line("two\r\n  lines\u{2028}and\ttabs\u{85}"), "two lines and tabs");
        assert_eq!(lines("a\r\nb\rc\n\td\u{2028}e\n"), "a\nb\\u{d}c\n    d\\u{2028}e");
        assert_eq!(page("# a\n\tb\u{200b}\r\u{1b}[m\u{202e}"), "# a\n\tb\u{200b}\\u{d}\\u{1b}[m\\u{202e}");
        for c in (0..=0x0010_ffff).filter_map(char::from_u32).filter(|c| is_hidden(*c)) {
            let (one, many) = (line(&format!("x{c}y")), lines(&format!("x{c}y")));
            assert!(![one, many.replace('\n', "")].iter().any(|it| it.chars().any(is_hidden)), "{c:?}");
        }
        // A family, a Persian word and other scripts are as they were.
        let kept = "👨\u{200d}👩 می\u{200c}خواهم Zoë 東京 ✓";
        assert_eq!((line(kept), lines(kept)), (kept.to_owned(), kept.to_owned()));
    }

    #[test]
    fn what_is_clipped_says_so() {
        assert_eq!([4, 5, 9].map(|most| clipped(&json!("äbcde"), most)), ["äbc…", "äbcde", "äbcde"]);
    }

    #[test]
    fn moments_are_in_utc_and_apart() {
        assert_eq!(when(&json!("2026-03-01T13:00:00.25+01:00")), "2026-03-01 12:00:00");
        assert_eq!([json!(null), json!("soon")].map(|it| when(&it)), ["-", "soon"]);
        let at = |text: &str| moment(&json!(text));
        assert_eq!(between(at("2026-03-01T12:00:00Z"), at("2026-03-01T13:02:03Z")), "1h 2m");
        assert_eq!(between(at("2026-03-01T12:00:00Z"), at("2026-03-01T11:00:00Z")), "-");
        assert_eq!(between(None, at("2026-03-01T11:00:00Z")), "-");
    }

    #[test]
    fn spans_and_shares_are_short() {
        let spans = [0.4, 59.0, 3_600.0, 3_661.0, 90_000.0, 2_592_000.0].map(|seconds| span(Some(seconds)));
        assert_eq!(spans, ["0s", "59s", "1h", "1h 1m", "1d 1h", "30d"]);
        assert_eq!(
            [json!(0.001), json!(0.5), json!(-2.0), json!(null)].map(|share| percent(&share)),
            ["0.100 %", "50.0 %", "-200.0 %", "-"]
        );
    }
}
