//! Files that levels answer from: read when the plan starts, and again when they change.
//!
//! A thread of its own looks at them ([`watch`]); no request waits for a file. A file is read when it has not changed
//! between two looks, so that one that is being written is left alone. A version that cannot be used is told and passed
//! over: the last good one serves on, until it is too old for who asks.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use arc_swap::{ArcSwap, ArcSwapOption};
use mainstay_core::answer::keywords::{self, Boundaries, Matcher};
use mainstay_core::answer::rank::{self, By, Index};
use mainstay_core::plan::{AnswerBy, Plan, TableFile};
use mainstay_core::status::FileStatus;
use mainstay_core::time::Time;
use mainstay_tower::clock::Clock;

use super::table::{self, Row, Rows};
use crate::shared::Shared;

/// How often files are looked at.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How many items of a file are kept in order.
const BEST_KEPT: usize = 1000;

/// What is made of a file.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Use {
    /// Rows by key.
    Rows(TableFile),
    /// An inverted index of some columns (all where none is named), by key.
    Texts(TableFile, Vec<String>),
    /// A number per key: popularity, or a time. `None`: the first column that is not the key.
    Numbers(TableFile, Option<String>, Number),
    /// A matcher.
    Keywords(PathBuf, Boundaries),
}

/// How a number is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Number {
    Popularity,
    Time,
}

/// What was made of it.
#[derive(Debug)]
pub(crate) enum Content {
    Rows(Rows),
    Texts {
        rows: Rows,
        index: Index,
        /// Rows by the number of their text.
        ids: Vec<u32>,
        /// The number of each row's text; of a row that does not count, one that there is not.
        texts: Vec<u32>,
    },
    Numbers {
        rows: Rows,
        numbers: Vec<f64>,
        best: Vec<(Box<str>, f64)>,
    },
    Keywords(Matcher),
}

/// A good version of a file.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) content: Content,
    /// When the file was written, by its own time.
    pub(crate) modified: Time,
    loaded: Time,
    bytes: u64,
}

/// A file and its last good version.
#[derive(Debug)]
pub(crate) struct DataFile {
    pub(crate) used_as: Use,
    version: ArcSwapOption<Version>,
    seen: Mutex<Seen>,
}

/// What the last looks saw.
#[derive(Debug, Default)]
struct Seen {
    /// The file as it was last read, whether it could be used or not.
    read: Option<Mark>,
    /// The file as it was at the last look.
    looked: Option<Mark>,
    /// What is wrong with it, since when.
    fault: Option<(String, Time)>,
    /// Versions that could not be used.
    refused: u64,
}

/// What tells one version of a file from another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Mark {
    modified: Time,
    length: u64,
    inode: u64,
}

impl Use {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Use::Rows(file) | Use::Texts(file, _) | Use::Numbers(file, _, _) => &file.path,
            Use::Keywords(path, _) => path,
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Use::Rows(_) => "table",
            Use::Texts(_, _) => "texts",
            Use::Numbers(_, _, _) => "numbers",
            Use::Keywords(_, _) => "keywords",
        }
    }

    /// What an entry needs of a file, if it needs one.
    pub(crate) fn of(answer: &AnswerBy) -> Option<Use> {
        match answer {
            AnswerBy::Table(table) => Some(Use::Rows(table.file.clone())),
            AnswerBy::Keywords(keywords) => Some(Use::Keywords(keywords.file.clone(), keywords.boundaries)),
            AnswerBy::Rank(rank) => {
                let file = rank.file.clone()?;
                Some(match rank.by {
                    By::Bm25(_) => Use::Texts(file, rank.fields.clone()),
                    By::Popularity => Use::Numbers(file, rank.value.clone(), Number::Popularity),
                    By::Recency => Use::Numbers(file, rank.value.clone(), Number::Time),
                    By::Unranked => Use::Rows(file),
                })
            }
            AnswerBy::Backend { .. }
            | AnswerBy::Rules { .. }
            | AnswerBy::Velocity(_)
            | AnswerBy::Hold(_)
            | AnswerBy::Cache { .. }
            | AnswerBy::Respond(_) => None,
        }
    }

    fn make(&self, bytes: &[u8]) -> Result<Content, String> {
        let read = |file: &TableFile| table::read(file.format, bytes, file.key.as_deref()).map_err(|e| e.to_string());
        match self {
            Use::Rows(file) => Ok(Content::Rows(read(file)?)),
            Use::Texts(file, fields) => texts(read(file)?, fields),
            Use::Numbers(file, column, number) => numbers(read(file)?, column.as_deref(), *number),
            Use::Keywords(_, boundaries) => {
                let list = keywords::parse(bytes)
                    .map_err(|lines| lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
                Matcher::new(list, *boundaries).map(Content::Keywords).map_err(|fault| fault.to_string())
            }
        }
    }
}

fn check_columns<'a>(rows: &Rows, columns: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
    match columns.into_iter().find(|column| !rows.columns().any(|known| known == *column)) {
        Some(missing) => Err(format!("there is no column `{missing}`")),
        None => Ok(()),
    }
}

fn texts(rows: Rows, fields: &[String]) -> Result<Content, String> {
    check_columns(&rows, fields.iter().map(String::as_str))?;
    let key = rows.key_column().to_owned();
    let all: Vec<String> = rows.columns().filter(|column| *column != key).map(str::to_owned).collect();
    let fields = if fields.is_empty() { &all } else { fields };
    let (mut index, mut ids) = (Index::default(), Vec::with_capacity(rows.len()));
    let mut numbers = vec![u32::MAX; rows.capacity()];
    for (key, row) in rows.iter() {
        let number = rows.find(key).expect("a key of the table");
        let parts: Vec<&str> = fields.iter().filter_map(|field| row.get(field)?.as_str()).collect();
        numbers[number as usize] = index.len() as u32;
        index.add(&parts);
        ids.push(number);
    }
    if index.words() == 0 {
        return Err("no text in the columns that are searched".to_owned());
    }
    Ok(Content::Texts { index, ids, texts: numbers, rows })
}

fn numbers(rows: Rows, column: Option<&str>, number: Number) -> Result<Content, String> {
    let key = rows.key_column().to_owned();
    let column = match column {
        Some(column) => column.to_owned(),
        None => rows.columns().find(|known| *known != key).ok_or("there is only one column")?.to_owned(),
    };
    check_columns(&rows, [column.as_str()])?;
    let of = |row: &Row<'_>| match number {
        Number::Popularity => rank::popularity(row.get(&column)?),
        Number::Time => rank::time(row.get(&column)?),
    };
    let mut numbers = vec![f64::NAN; rows.capacity()];
    let mut best: Vec<(Box<str>, f64)> = Vec::with_capacity(rows.len());
    for (at, (key, row)) in rows.iter().enumerate() {
        let found = of(&row).ok_or_else(|| format!("row {}: `{column}` is not {}", at + 1, number.what()))?;
        numbers[rows.find(key).expect("a key of the table") as usize] = found;
        best.push((key.into(), found));
    }
    best.sort_by(|a, b| b.1.total_cmp(&a.1));
    best.truncate(BEST_KEPT);
    best.shrink_to_fit();
    Ok(Content::Numbers { rows, numbers, best })
}

impl Number {
    const fn what(self) -> &'static str {
        match self {
            Number::Popularity => "a number",
            Number::Time => "a time",
        }
    }
}

impl Content {
    /// Rows, or keywords.
    fn entries(&self) -> usize {
        match self {
            Content::Rows(rows) | Content::Texts { rows, .. } | Content::Numbers { rows, .. } => rows.len(),
            Content::Keywords(matcher) => matcher.len(),
        }
    }
}

impl DataFile {
    fn new(used_as: Use, now: Time) -> DataFile {
        let file = DataFile { used_as, version: ArcSwapOption::empty(), seen: Mutex::default() };
        let mark = mark(file.used_as.path());
        file.read(mark, now);
        file
    }

    /// The version that serves.
    pub(crate) fn version(&self) -> Option<Arc<Version>> {
        self.version.load_full()
    }

    /// Reads the file where it has changed and is at rest.
    pub(crate) fn look(&self, now: Time) {
        let mark = mark(self.used_as.path());
        let settled = {
            let mut seen = self.seen.lock().expect("looking does not panic");
            let settled = seen.looked == mark.as_ref().ok().copied();
            seen.looked = mark.as_ref().ok().copied();
            settled && (mark.is_err() || seen.read != mark.as_ref().ok().copied())
        };
        if settled {
            self.read(mark, now);
        }
    }

    fn read(&self, mark: Result<Mark, String>, now: Time) {
        let made = mark.map(|mark| (mark, self.make(mark, now)));
        let mut seen = self.seen.lock().expect("looking does not panic");
        let (mark, made) = match made {
            Ok((mark, made)) => (Some(mark), made),
            Err(fault) => (None, Err(fault)),
        };
        let is_new = mark.is_none() || seen.read != mark;
        seen.read = mark;
        seen.looked = mark;
        match made {
            Ok(version) => {
                seen.fault = None;
                self.version.store(Some(Arc::new(version)));
            }
            Err(fault) => {
                let told = seen.fault.as_ref().is_some_and(|(known, _)| *known == fault);
                if !told {
                    tracing::warn!(file = %self.used_as.path().display(), fault, "a file cannot be used");
                    seen.fault = Some((fault, now));
                }
                seen.refused += u64::from(is_new && !told);
            }
        }
    }

    fn make(&self, mark: Mark, now: Time) -> Result<Version, String> {
        if mark.length > table::MAX_BYTES {
            return Err("longer than 1 GiB".to_owned());
        }
        let bytes = std::fs::read(self.used_as.path()).map_err(|error| error.to_string())?;
        let content = self.used_as.make(&bytes)?;
        Ok(Version { content, modified: mark.modified, loaded: now, bytes: mark.length })
    }

    pub(crate) fn status(&self) -> FileStatus {
        let version = self.version();
        let seen = self.seen.lock().expect("looking does not panic");
        FileStatus {
            path: self.used_as.path().display().to_string(),
            used_as: self.used_as.name(),
            entries: version.as_ref().map_or(0, |version| version.content.entries() as u64),
            bytes: version.as_ref().map_or(0, |version| version.bytes),
            modified: version.as_ref().map(|version| version.modified),
            loaded: version.as_ref().map(|version| version.loaded),
            fault: seen.fault.clone(),
            refused: seen.refused,
        }
    }
}

fn mark(path: &Path) -> Result<Mark, String> {
    let about = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => error.to_string(),
    })?;
    if !about.is_file() {
        return Err("not a file".to_owned());
    }
    let modified = about.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(&about);
    #[cfg(not(unix))]
    let inode = 0;
    Ok(Mark { modified: Time::ZERO + modified, length: about.len(), inode })
}

/// The files that a plan needs; those that are known are not read again.
pub(crate) fn files(plan: &Plan, known: &[Arc<DataFile>], now: Time) -> Vec<Arc<DataFile>> {
    let mut files: Vec<Arc<DataFile>> = Vec::new();
    for used_as in plan.routes.iter().flat_map(|route| &route.ladder).filter_map(|entry| Use::of(&entry.answer)) {
        if files.iter().any(|file| file.used_as == used_as) {
            continue;
        }
        let same = known.iter().find(|file| file.used_as == used_as);
        files.push(same.map_or_else(|| Arc::new(DataFile::new(used_as, now)), Arc::clone));
    }
    files
}

/// Looks at the files of the current plan until `stop` is dropped.
pub(crate) fn watch(current: &ArcSwap<Shared>, clock: Clock, stop: &std::sync::mpsc::Receiver<()>) {
    use std::sync::mpsc::RecvTimeoutError;
    while stop.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        for file in &current.load_full().files {
            file.look(clock.now());
        }
    }
}
