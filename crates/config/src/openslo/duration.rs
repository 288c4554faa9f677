//! `duration-shorthand`: a whole number and one of `m h d w M Q Y`.

use std::time::Duration;

use crate::code::Code;
use crate::finding::Finding;
use crate::read::Reader;
use crate::span::At;

/// A stretch of time: of a fixed length, or of the calendar.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stretch {
    Fixed(Duration),
    Months(u64),
}

impl Stretch {
    pub(super) fn parse(words: &str) -> Option<Stretch> {
        let unit = words.chars().next_back()?;
        let number: u64 = words[..words.len() - unit.len_utf8()].parse().ok().filter(|number| *number > 0)?;
        let fixed = |seconds: u64| number.checked_mul(seconds).map(|secs| Stretch::Fixed(Duration::from_secs(secs)));
        let months = |each: u64| number.checked_mul(each).map(Stretch::Months);
        match unit {
            'm' => fixed(60),
            'h' => fixed(3_600),
            'd' => fixed(86_400),
            'w' => fixed(7 * 86_400),
            'M' => months(1),
            'Q' => months(3),
            'Y' => months(12),
            _ => None,
        }
    }

    /// Reads one, or reports why it is none.
    pub(super) fn read(at: &At<String>, reader: &mut Reader<'_>) -> Option<Stretch> {
        let stretch = Stretch::parse(&at.value);
        if stretch.is_none() {
            let message = format!("`{}` is not a duration of OpenSLO", at.value.chars().take(60).collect::<String>());
            let help = "a whole number above zero and m, h, d, w, M (months), Q or Y, such as `30d`";
            reader.report(Finding::new(Code::Duration, at.span, message).help(help));
        }
        stretch
    }

    /// Reads one of a fixed length.
    pub(super) fn read_fixed(at: &At<String>, reader: &mut Reader<'_>) -> Option<Duration> {
        match Stretch::read(at, reader)? {
            Stretch::Fixed(duration) => Some(duration),
            Stretch::Months(_) => {
                let message = "months, quarters and years have no fixed length, and one is needed here";
                reader.report(Finding::new(Code::Duration, at.span, message).help("in days, such as `30d`"));
                None
            }
        }
    }
}

/// A duration in the largest unit that OpenSLO has for it; `None` where it has none.
pub(super) fn shorthand(duration: Duration) -> Option<String> {
    let secs = duration.as_secs();
    let units = [(86_400, 'd'), (3_600, 'h'), (60, 'm')];
    let whole =
        units.into_iter().find(|(each, _)| secs > 0 && secs.is_multiple_of(*each) && duration.subsec_nanos() == 0);
    whole.map(|(each, unit)| format!("{}{unit}", secs / each))
}

/// A duration in the largest unit of ours that writes it whole.
pub(crate) fn written(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let units: [(u128, &str); 6] = [
        (86_400_000_000_000, "d"),
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
    ];
    let whole = units.into_iter().find(|(each, _)| nanos > 0 && nanos.is_multiple_of(*each));
    whole.map_or_else(|| format!("{}us", nanos as f64 / 1e3), |(each, unit)| format!("{}{unit}", nanos / each))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shorthands_are_whole_numbers_with_a_unit() {
        assert_eq!(Stretch::parse("30d"), Some(Stretch::Fixed(Duration::from_hours(720))));
        assert_eq!(Stretch::parse("4w"), Stretch::parse("28d"));
        assert_eq!(Stretch::parse("5m"), Some(Stretch::Fixed(Duration::from_mins(5))));
        assert_eq!(Stretch::parse("1Q"), Stretch::parse("3M"));
        for wrong in ["", "d", "0d", "1.5h", "-1d", "30", "30s", "1é", "99999999999999999999d", "18446744073709551615w"]
        {
            assert_eq!(Stretch::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations_are_written_in_the_largest_unit_that_fits() {
        for (seconds, ours, theirs) in
            [(86_400 * 30, "30d", Some("30d")), (5_400, "90m", Some("90m")), (30, "30s", None)]
        {
            assert_eq!(written(Duration::from_secs(seconds)), ours);
            assert_eq!(shorthand(Duration::from_secs(seconds)).as_deref(), theirs);
        }
        assert_eq!(written(Duration::from_micros(1_500)), "1500us");
    }
}
