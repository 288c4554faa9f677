//! The file of a queue: one record a line, each with a check sum, appended.
//!
//! ```text
//! 8 hex digits of SHA-256 of the JSON, a space, the JSON, a line break
//! ```
//!
//! A last line that is not whole is what a crash left of a write that nobody was told of: it is cut off. A damaged line
//! before whole ones is passed over and counted; it is kept until the file is next compacted.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use mainstay_core::answer::review::{Decision, Held, Record};
use mainstay_core::time::Time;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

/// Longest file that is read.
const FILE_MAX: u64 = 8 << 30;
/// Hex digits of a check sum.
const SUM_DIGITS: usize = 8;

/// What was read of a file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Restored {
    /// The records, in order.
    pub records: Vec<Record>,
    /// Bytes up to the end of the last whole record.
    pub length: u64,
    /// Bytes of a torn last record.
    pub torn: u64,
    /// Lines that are no records.
    pub damaged: u64,
}

/// Opens a file for appending, reads it and cuts a torn end off.
pub(super) fn open(path: &Path) -> std::io::Result<(File, Restored)> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = private(OpenOptions::new().read(true).write(true).create(true).truncate(false)).open(path)?;
    if file.metadata()?.len() > FILE_MAX {
        return Err(std::io::Error::other("longer than 8 GiB"));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let read = restore(&bytes);
    if read.torn > 0 {
        file.set_len(read.length)?;
        file.sync_all()?;
    }
    file.seek(SeekFrom::Start(read.length))?;
    Ok((file, read))
}

/// Requests may be personal: only the service's user reads them.
pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Reads records.
///
/// ```
/// use mainstay_core::answer::review::Record;
/// use mainstay_gateway::reviews::log::{restore, write};
///
/// let mut bytes = Vec::new();
/// write(&Record::Withdrawn(7), &mut bytes);
/// bytes.extend_from_slice(b"0123abcd {\"torn");
/// let read = restore(&bytes);
/// assert_eq!((read.records, read.torn), (vec![Record::Withdrawn(7)], 15));
/// ```
pub fn restore(bytes: &[u8]) -> Restored {
    let mut read = Restored::default();
    let mut start = 0;
    let mut damaged = 0;
    for end in memchr::memchr_iter(b'\n', bytes) {
        match record(&bytes[start..end]) {
            Some(record) => {
                read.records.push(record);
                read.damaged += std::mem::take(&mut damaged);
                read.length = end as u64 + 1;
            }
            None => damaged += 1,
        }
        start = end + 1;
    }
    read.torn = bytes.len() as u64 - read.length;
    read
}

/// Appends a record as it stands in the file.
pub fn write(record: &Record, out: &mut Vec<u8>) {
    let json = to_json(record).to_string();
    out.extend_from_slice(sum(json.as_bytes()).as_bytes());
    out.push(b' ');
    out.extend_from_slice(json.as_bytes());
    out.push(b'\n');
}

/// A new file with these records in place of the one at `path`; durable when this returns.
pub(super) fn replace(path: &Path, records: &[Record]) -> std::io::Result<(File, u64)> {
    let mut bytes = Vec::new();
    for record in records {
        write(record, &mut bytes);
    }
    let aside = path.with_extension("compacting");
    let mut file = private(OpenOptions::new().write(true).create(true).truncate(true)).open(&aside)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    std::fs::rename(&aside, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()?;
    Ok((file, bytes.len() as u64))
}

fn sum(json: &[u8]) -> String {
    let digest = digest(&SHA256, json);
    let digits = digest.as_ref().iter().take(SUM_DIGITS / 2).flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}

fn record(line: &[u8]) -> Option<Record> {
    let (written, json) = line.split_at_checked(SUM_DIGITS)?;
    let json = json.strip_prefix(b" ")?;
    if written != sum(json).as_bytes() {
        return None;
    }
    from_json(&serde_json::from_slice(json).ok()?)
}

fn to_json(record: &Record) -> Value {
    match record {
        Record::Held(id, held) => json!({
            "held": id,
            "at_us": micros(held.at),
            "route": held.route,
            "client": held.client,
            "request_id": held.request_id,
            "reason": held.reason,
            "body": held.body,
        }),
        Record::Decided(id, decision) => json!({
            "decided": id,
            "at_us": micros(decision.at),
            "decision": decision.decision,
            "by": decision.by,
            "note": decision.note,
        }),
        Record::Withdrawn(id) => json!({ "withdrawn": id }),
    }
}

fn from_json(json: &Value) -> Option<Record> {
    let text = |key: &str| json[key].as_str().map(str::to_owned);
    let at = || Some(Time::ZERO + Duration::from_micros(json["at_us"].as_u64()?));
    if let Some(id) = json["held"].as_u64() {
        let held = Held {
            at: at()?,
            route: text("route")?,
            client: text("client")?,
            request_id: text("request_id")?,
            reason: text("reason")?,
            body: text("body")?,
        };
        return Some(Record::Held(id, held));
    }
    if let Some(id) = json["decided"].as_u64() {
        let decision = Decision { decision: text("decision")?, by: text("by")?, note: text("note")?, at: at()? };
        return Some(Record::Decided(id, decision));
    }
    json["withdrawn"].as_u64().map(Record::Withdrawn)
}

fn micros(at: Time) -> u64 {
    at.as_nanos() / 1000
}
