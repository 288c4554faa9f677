//! The texts of values: what they mean, or help where they mean nothing.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use mainstay_core::plan::PathMatch;

/// Longest duration: what is meant to be longer is meant to be off.
const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);

/// Why a text is not the value that is expected: help, where there is any to give.
pub(super) type Refused = Option<String>;

/// A decimal number without sign or exponent, and what follows it.
fn leading_number(words: &str) -> Option<(f64, &str)> {
    let end = words.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(words.len());
    let (number, rest) = words.split_at(end);
    let well_formed = number.starts_with(|c: char| c.is_ascii_digit()) && !number.ends_with('.');
    let value = number.parse::<f64>().ok().filter(|value| well_formed && value.is_finite())?;
    Some((value, rest.trim_start()))
}

pub(super) fn duration_or_zero(words: &str) -> Result<Duration, Refused> {
    let (number, unit) = leading_number(words.trim()).ok_or(None)?;
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        "w" => 7.0 * 86_400.0,
        "" => return Err(Some(format!("a unit is missing: `{number}ms` or `{number}s`?"))),
        "min" | "mins" | "minutes" => return Err(Some(format!("did you mean `{number}m`?"))),
        "sec" | "secs" | "seconds" => return Err(Some(format!("did you mean `{number}s`?"))),
        "hours" | "hour" => return Err(Some(format!("did you mean `{number}h`?"))),
        "days" | "day" => return Err(Some(format!("did you mean `{number}d`?"))),
        _ => return Err(Some("units are us, ms, s, m, h, d, w".to_owned())),
    };
    let duration = Duration::try_from_secs_f64(number * seconds).map_err(|_| None)?;
    if duration > LONGEST {
        return Err(Some("at most ten years".to_owned()));
    }
    Ok(duration)
}

pub(super) fn duration(words: &str) -> Result<Duration, Refused> {
    let duration = duration_or_zero(words)?;
    if duration.is_zero() { Err(Some("it must be above zero".to_owned())) } else { Ok(duration) }
}

pub(super) fn rate(words: &str) -> Result<f64, Refused> {
    let (number, unit) = leading_number(words.trim()).ok_or(None)?;
    let per_second = match unit {
        "/s" => number,
        "/m" => number / 60.0,
        "/h" => number / 3600.0,
        "" => return Err(Some(format!("per what? `{number}/s`?"))),
        _ => return Err(Some("rates are per `/s`, `/m` or `/h`".to_owned())),
    };
    if per_second > 0.0 { Ok(per_second) } else { Err(Some("it must be above zero".to_owned())) }
}

pub(super) fn ratio(words: &str) -> Result<f64, Refused> {
    let (number, unit) = leading_number(words.trim()).ok_or(None)?;
    match unit {
        "%" if number <= 100.0 => Ok(hundredth(words, number)),
        "%" => Err(Some("at most `100%`".to_owned())),
        "" if number <= 1.0 => {
            let percent = (number * 1e9).round() / 1e7;
            Err(Some(format!("write the unit: `{number}%`, or `{percent}%` if the share {number} is meant")))
        }
        "" => Err(Some(format!("write the unit: `{number}%`"))),
        _ => Err(None),
    }
}

/// A hundredth by the digits: `99.9 / 100` is one step off 0.999, and ratios are shown again.
fn hundredth(words: &str, number: f64) -> f64 {
    let digits = words.trim().trim_end_matches('%').trim_end();
    format!("{digits}e-2").parse().unwrap_or(number / 100.0)
}

pub(super) fn size(words: &str) -> Result<usize, Refused> {
    let (number, unit) = leading_number(words.trim()).ok_or(None)?;
    let unit_bytes: f64 = match unit {
        "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        "KB" | "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "" => return Err(Some(format!("a unit is missing: `{number}KiB` or `{number}MiB`?"))),
        _ => return Err(Some("units are B, KiB, MiB, GiB, KB, MB, GB".to_owned())),
    };
    let bytes = number * unit_bytes;
    if bytes < 1.0 || bytes > (1_u64 << 40) as f64 {
        return Err(Some("from 1 byte to 1024 GiB".to_owned()));
    }
    Ok(bytes as usize)
}

pub(super) fn pointer(words: &str) -> Result<String, Refused> {
    if !words.is_empty() && !words.starts_with('/') {
        return Err(Some(format!("it starts with a slash: `/{}`", words.replace('.', "/"))));
    }
    let escapes_hold = words.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
    if escapes_hold { Ok(words.to_owned()) } else { Err(Some("a `~` is written `~0`".to_owned())) }
}

pub(super) fn listen(words: &str) -> Result<SocketAddr, Refused> {
    words.parse().map_err(|_| match words.rsplit_once(':') {
        Some(("" | "*", port)) => Some(format!("all interfaces are `0.0.0.0:{port}`")),
        Some(("localhost", port)) => Some(format!("a name is not an address: `127.0.0.1:{port}`")),
        Some(_) => Some("an IP address and a port".to_owned()),
        None if words.parse::<IpAddr>().is_ok() => Some(format!("the port is missing: `{words}:8080`")),
        None => None,
    })
}

pub(super) fn network(words: &str) -> Result<IpNet, Refused> {
    words.parse().or_else(|_| words.parse::<IpAddr>().map(IpNet::from)).map_err(|_| None)
}

pub(super) fn header(words: &str) -> Result<String, Refused> {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if words.is_empty() || words.len() > 256 || !words.chars().all(token) {
        return Err(None);
    }
    Ok(words.to_ascii_lowercase())
}

pub(super) fn url_path(words: &str) -> Result<String, Refused> {
    if !words.starts_with('/') {
        return Err(Some(format!("it starts with a slash: `/{words}`")));
    }
    let plain = words.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '#' | '"' | '<' | '>' | '\\'));
    if plain { Ok(words.to_owned()) } else { Err(Some("other characters are percent-encoded".to_owned())) }
}

pub(super) fn route_path(words: &str) -> Result<PathMatch, Refused> {
    let path = url_path(words)?;
    if path.contains('?') {
        return Err(Some("a route takes a path with any query".to_owned()));
    }
    match path.strip_suffix('*') {
        Some(prefix) if prefix.ends_with('/') && !prefix.contains('*') => Ok(PathMatch::Prefix(prefix.to_owned())),
        None if !path.contains('*') => Ok(PathMatch::Exact(path)),
        Some(_) | None => Err(Some("a `*` stands alone after the last slash, as in `/v1/*`".to_owned())),
    }
}

pub(super) fn file(words: &str) -> Result<PathBuf, Refused> {
    if words.is_empty() || words.contains('\0') { Err(None) } else { Ok(PathBuf::from(words)) }
}

/// Why a text is no base URL.
pub(super) enum UrlFault {
    /// It carries a name and a password.
    Credentials,
    /// It is formed otherwise; help.
    Shape(&'static str),
}

pub(super) fn base_url(words: &str) -> Result<String, UrlFault> {
    let rest = words.strip_prefix("http://").or_else(|| words.strip_prefix("https://"));
    let rest = rest.ok_or(UrlFault::Shape("it starts with `http://` or `https://`"))?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err(UrlFault::Credentials);
    }
    if path.contains(['?', '#']) {
        return Err(UrlFault::Shape("a base URL has no query and no fragment"));
    }
    if !path.is_empty() && url_path(path).is_err() {
        return Err(UrlFault::Shape("other characters are percent-encoded"));
    }
    if !authority_holds(authority) {
        return Err(UrlFault::Shape("after `//` come a host and, where it is not the usual one, a port"));
    }
    Ok(words.trim_end_matches('/').to_owned())
}

fn authority_holds(authority: &str) -> bool {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (authority, None),
    };
    let port_holds = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let host_holds = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            !host.is_empty() && host.len() <= 253 && host.chars().all(plain)
        }
    };
    port_holds && host_holds
}

/// `HH:MM`, from `00:00` to `23:59`.
pub(super) fn clock(text: &str) -> Result<jiff::civil::Time, Option<String>> {
    let number = |digits: &str| -> Option<i8> {
        let plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if plain { digits.parse().ok() } else { None }
    };
    let parts = text.split_once(':').and_then(|(hour, minute)| Some((number(hour)?, number(minute)?)));
    parts.and_then(|(hour, minute)| jiff::civil::Time::new(hour, minute, 0, 0).ok()).ok_or(None)
}
