//! Times as RFC 3339 writes them. Days and dates follow Howard Hinnant's algorithms for the proleptic Gregorian
//! calendar ("chrono-Compatible Low-Level Date Algorithms").

use std::time::Duration;

use crate::time::Time;

const DAY: u64 = 86_400;

/// A time in UTC: `2026-03-01T12:00:00.25Z`, without trailing zeros of the second.
pub fn format(time: Time) -> String {
    let (seconds, nanos) = (time.as_nanos() / 1_000_000_000, time.as_nanos() % 1_000_000_000);
    let (year, month, day) = date(seconds / DAY);
    let second = seconds % DAY;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if nanos > 0 {
        text += format!(".{nanos:09}").trim_end_matches('0');
    }
    text.push('Z');
    text
}

/// Reads a time with any offset; `None` where the text is no such time, or it lies before 1970 or after 2554. Digits
/// beyond the nanosecond are dropped. The leap second 60 is the second after 59.
pub fn parse(text: &str) -> Option<Time> {
    let (date, rest) = text.split_once(['T', 't'])?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let clock_end = rest.find(['.', 'Z', 'z', '+', '-'])?;
    let [hour, minute, second] = numbers(&rest[..clock_end], ':', [2, 2, 2])?;
    let (nanos, zone) = fraction(&rest[clock_end..])?;
    if !(1..=12).contains(&month) || day == 0 || day > days_in(year, month) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let local = days(year, month, day)? * DAY + hour * 3600 + minute * 60 + second;
    let seconds = local.checked_add_signed(-offset(zone)?)?;
    let nanos = seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?;
    Some(Time::ZERO + Duration::from_nanos(nanos))
}

/// Numbers of fixed widths between separators.
fn numbers<const N: usize>(text: &str, separator: char, widths: [usize; N]) -> Option<[u64; N]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; N];
    for (number, width) in numbers.iter_mut().zip(widths) {
        *number = digits(parts.next().filter(|part| part.len() == width)?)?;
    }
    parts.next().is_none().then_some(numbers)
}

fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The nanoseconds at the start of `.25Z`, and what follows them.
fn fraction(text: &str) -> Option<(u64, &str)> {
    let Some(rest) = text.strip_prefix('.') else { return Some((0, text)) };
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    let kept = &rest[..end.min(9)];
    let nanos = digits(kept).filter(|_| end > 0)? * 10_u64.pow(9 - u32::try_from(kept.len()).ok()?);
    Some((nanos, &rest[end..]))
}

/// Seconds east of UTC.
fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let (sign, clock) = match zone.as_bytes().first()? {
        b'+' => (1, &zone[1..]),
        b'-' => (-1, &zone[1..]),
        _ => return None,
    };
    let [hour, minute] = numbers(clock, ':', [2, 2])?;
    let seconds = i64::try_from(hour * 3600 + minute * 60).ok()?;
    (hour < 24 && minute < 60).then_some(sign * seconds)
}

/// Year, month and day of a day since 1970.
fn date(day: u64) -> (u64, u64, u64) {
    let shifted = day + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// Days since 1970 of a date.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = year.checked_sub(u64::from(month <= 2))?;
    let (era, year_of_era) = (year / 400, year % 400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    (era * 146_097 + of_era).checked_sub(719_468)
}

fn days_in(year: u64, month: u64) -> u64 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
