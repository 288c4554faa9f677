//! Levels that answer without leaving the process, from what is at hand: tables, the request's own items, words, counts,
//! and people.

use std::path::PathBuf;
use std::time::Duration;

use crate::answer::keywords::Boundaries;
use crate::answer::rank::By;
use crate::answer::template::Template;

/// A file of rows that is read again when it changes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TableFile {
    /// Where it is.
    pub path: PathBuf,
    /// How it is written.
    pub format: TableFormat,
    /// The column that names a row; `None`: the first.
    pub key: Option<String>,
}

/// How a table is written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TableFormat {
    /// Comma-separated values with a line of names (RFC 4180).
    Csv,
    /// One JSON object a line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
}

/// A batch-computed answer by key.
#[derive(Clone, PartialEq, Debug)]
pub struct Table {
    /// The rows.
    pub file: TableFile,
    /// Where the request holds its key, or a list of keys: one row of the answer each.
    pub pointer: String,
    /// An older table, or an older row, has no answer.
    pub max_age: Duration,
    /// The column that says when a row was computed; `None`: the file's own time counts for all.
    pub updated: Option<String>,
    /// The answer of a row; `None`: all its columns, as outputs or as one object.
    pub respond: Option<Template>,
}

/// An order of items, of the request or of a file.
#[derive(Clone, PartialEq, Debug)]
pub struct Rank {
    /// Where the request holds its items, a list; `None`: the rows of the file are the items.
    pub items: Option<String>,
    /// What decides.
    pub by: By,
    /// Where the request holds the words that are looked for (`by: bm25`).
    pub query: Option<String>,
    /// Where an item holds its text: pointers into the item, or columns where there is a file. Empty: the item is text.
    pub fields: Vec<String>,
    /// Where an item holds its id; `None`: the item is the id.
    pub id: Option<String>,
    /// Popularity, times or texts by id.
    pub file: Option<TableFile>,
    /// An older file is not used; `None`: of any age.
    pub max_age: Option<Duration>,
    /// Where an item holds its popularity or its time: a pointer into the item, or a column where there is a file.
    pub value: Option<String>,
    /// How many are given; `None`: all.
    pub top: Option<usize>,
    /// The answer, with the places `items`, `ranking`, `scores` and `ranked_scores`; `None`: as the protocol has it.
    pub respond: Option<Template>,
}

/// A filter of words.
#[derive(Clone, PartialEq, Debug)]
pub struct Keywords {
    /// One a line; what comes after a tab is its label.
    pub file: PathBuf,
    /// An older file is not used; `None`: of any age.
    pub max_age: Option<Duration>,
    /// Where the request holds the text; `None`: what the user said last (chat).
    pub text: Option<String>,
    /// Where a match may begin and end.
    pub boundaries: Boundaries,
    /// The answer where one of them is found, with the places `keyword` and `label`.
    pub hit: Template,
    /// The answer where none is; `None`: the next entry.
    pub miss: Option<Template>,
}

/// A count of requests by key in a sliding window. Every request of the route counts, whichever level answers it.
#[derive(Clone, PartialEq, Debug)]
pub struct Velocity {
    /// Where the request holds its key, or a list of keys.
    pub pointer: String,
    /// Most requests of a key within the window.
    pub max: u32,
    /// The window.
    pub per: Duration,
    /// Most keys that are counted one by one; beyond them counts are estimates that err to the high side.
    pub keys: usize,
    /// The answer of a key beyond `max`, with the places `key` and `count`.
    pub over: Template,
    /// The answer of the others; `None`: the next entry.
    pub under: Option<Template>,
}

/// A line in which requests wait for a person.
#[derive(Clone, PartialEq, Debug)]
pub struct Hold {
    /// Which line.
    pub queue: ReviewQueue,
    /// The answer of a request that is held for sure, with the place `id`.
    pub respond: Template,
    /// The answer where it cannot be held: the line is full, or the disk is slow or broken.
    pub otherwise: Template,
}

/// A line in which requests wait for a person, as far as its file needs to know. Entries with one name share it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReviewQueue {
    /// Its name.
    pub name: String,
    /// Its file; entries are appended.
    pub file: PathBuf,
    /// Most requests that are held and not decided.
    pub max: usize,
}
