//! Text that can be shown: nothing in it is invisible, moves what stands beside it, or goes on for ever.

use std::fmt::Write as _;
use std::time::Duration;

use mainstay_core::event::format_time;
use mainstay_core::time::Time;

/// Most characters of a label.
const SHORT_MAX: usize = 80;
/// Most characters of a line.
const LINE_MAX: usize = 500;
/// Most characters of a text that people wrote.
const LONG_MAX: usize = 4_000;

/// A line without control characters, in which spaces are single; it still has to be escaped for where it goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Text(String);

impl Text {
    /// A label.
    pub(crate) fn short(text: impl AsRef<str>) -> Text {
        Text(shown(text.as_ref(), SHORT_MAX))
    }

    /// A line.
    pub(crate) fn line(text: impl AsRef<str>) -> Text {
        Text(shown(text.as_ref(), LINE_MAX))
    }

    /// What people wrote.
    pub(crate) fn long(text: impl AsRef<str>) -> Text {
        Text(shown(text.as_ref(), LONG_MAX))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// At most `max` characters, the last an ellipsis where there were more. What cannot be seen is written as its number.
fn shown(text: &str, max: usize) -> String {
    let (mut out, mut length) = (String::new(), 0);
    for word in text.split_whitespace() {
        let space = if out.is_empty() { "" } else { " " };
        let seen = word.chars().flat_map(|it| {
            let number = is_hidden(it).then(|| it.escape_unicode());
            let itself = number.is_none().then_some(it);
            number.into_iter().flatten().chain(itself)
        });
        for it in space.chars().chain(seen) {
            if length + 1 == max {
                out.push('…');
                return out;
            }
            out.push(it);
            length += 1;
        }
    }
    out
}

/// Control characters, marks of direction, what has no width, tags, and what XML does not allow.
fn is_hidden(it: char) -> bool {
    it.is_control()
        || matches!(
            it,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
        )
        || matches!(it, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}')
        || matches!(it, '\u{e0000}'..='\u{e0fff}')
}

/// `2026-03-01 12:00:00`, in UTC.
pub(crate) fn utc(time: Time) -> String {
    let whole = Time::from_secs(time.as_nanos() / 1_000_000_000);
    format_time(whole).replace('T', " ").replace('Z', "")
}

/// A duration in its two largest units.
pub(crate) fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (large, small) = match seconds {
        0 => return if duration.is_zero() { "0 s".to_owned() } else { format!("{} ms", duration.as_millis().max(1)) },
        1..60 => return format!("{seconds} s"),
        60..3_600 => ((seconds / 60, "min"), (seconds % 60, "s")),
        3_600..86_400 => ((seconds / 3_600, "h"), (seconds / 60 % 60, "min")),
        _ => ((seconds / 86_400, "d"), (seconds / 3_600 % 24, "h")),
    };
    let mut text = format!("{} {}", large.0, large.1);
    if small.0 > 0 {
        write!(text, " {} {}", small.0, small.1).expect("a string takes all");
    }
    text
}

/// A figure with at most four digits that matter.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "not known".to_owned();
    }
    if size < 1e9 && value.fract() == 0.0 {
        return format!("{}", value as i64);
    }
    if !(1e-3..1e9).contains(&size) {
        return format!("{value:.3e}");
    }
    let digits = (3 - size.log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A share as a percentage.
pub(crate) fn percent(share: f64) -> String {
    if share.is_finite() { format!("{} %", number((share * 1e3).round() / 10.0)) } else { "not known".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_written_as_its_number() {
        let seen = |text: &str| Text::line(text).as_str().to_owned();
        assert_eq!(seen("a\u{1b}[31mred\u{7}"), r"a\u{1b}[31mred\u{7}");
        assert_eq!(seen("user\u{202e}txt\u{2066}x\u{feff}"), r"user\u{202e}txt\u{2066}x\u{feff}");
        assert_eq!(seen(" two\n\n  lines\u{2028}and\ttabs\u{85} "), "two lines and tabs");
        assert_eq!(seen("Zoë 東京 ✓"), "Zoë 東京 ✓");
    }

    #[test]
    fn a_text_has_a_length() {
        let long = "x".repeat(1_000_000);
        for (text, max) in
            [(Text::short(&long), SHORT_MAX), (Text::line(&long), LINE_MAX), (Text::long(&long), LONG_MAX)]
        {
            assert_eq!(text.as_str().chars().count(), max);
            assert!(text.as_str().ends_with('…'));
        }
        assert_eq!(Text::line("x".repeat(LINE_MAX - 1)).as_str(), "x".repeat(LINE_MAX - 1));
        assert_eq!(Text::short("\u{1b}".repeat(SHORT_MAX)).as_str().chars().count(), SHORT_MAX);
    }

    #[test]
    fn figures_are_short() {
        let seconds = |it| spoken(Duration::from_secs(it));
        assert_eq!(
            [0, 59, 60, 61, 3_600, 3_661, 90_061].map(seconds),
            ["0 s", "59 s", "1 min", "1 min 1 s", "1 h", "1 h 1 min", "1 d 1 h"]
        );
        assert_eq!(spoken(Duration::from_micros(3)), "1 ms");
        let told = [0.0, 12.0, 0.123_456, 1_234.56, -0.5, 1e-9, 2.5e12, f64::NAN].map(number);
        assert_eq!(told, ["0", "12", "0.1235", "1235", "-0.5", "1.000e-9", "2.500e12", "not known"]);
        assert_eq!([0.0, 0.123_45, 1.0, f64::INFINITY].map(percent), ["0 %", "12.3 %", "100 %", "not known"]);
        assert_eq!(utc(Time::from_millis(1_999)), "1970-01-01 00:00:01");
    }
}
