//! Levels that answer from what is at hand: what they read of the request, and what they make of it.

mod keywords;
mod places;
mod rank;
mod rows;
mod table;
mod velocity;

use std::sync::Arc;

use http::HeaderMap;
use mainstay_core::plan::{Answer, AnswerBy, Route, Template};
use mainstay_core::route::Protocol;
use mainstay_core::time::Time;
use serde_json::Value;

use super::files::{DataFile, Use, Version};
use crate::json::{Pointer, PointerError};
use crate::protocol::json_part;
use crate::reviews::ReviewLine;

pub(crate) use velocity::Counts;

/// An entry's pointers, files and counts, ready to answer.
#[derive(Debug)]
pub(crate) enum Local {
    /// It needs none, or is no local answer.
    Nothing,
    Table {
        file: Arc<DataFile>,
        pointer: Pointer,
    },
    Rank {
        file: Option<Arc<DataFile>>,
        places: rank::Places,
    },
    Keywords {
        file: Arc<DataFile>,
        text: Option<Pointer>,
    },
    Velocity {
        pointer: Pointer,
        counts: Arc<Counts>,
    },
    Hold(Arc<ReviewLine>),
}

/// What an answer is made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) protocol: Protocol,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    pub(crate) now: Time,
}

/// An answer, or one per row of a batch.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Found {
    One(Answer),
    Rows(Vec<Answer>),
}

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Miss {
    /// The entry was asked and passes the request on by its own rule.
    Declined(&'static str),
    /// Something is not as the entry expects it.
    Failed(&'static str),
}

impl Local {
    /// Makes an entry ready. Counts of an entry that is as before are `running`'s.
    pub(crate) fn new(
        answer: &AnswerBy,
        files: &[Arc<DataFile>],
        lines: &[Arc<ReviewLine>],
        running: Option<&Local>,
        seed: u64,
    ) -> Result<Local, PointerError> {
        let file = || {
            let used_as = Use::of(answer)?;
            files.iter().find(|file| file.used_as == used_as).cloned()
        };
        Ok(match answer {
            AnswerBy::Table(table) => match file() {
                Some(file) => Local::Table { file, pointer: Pointer::parse(&table.pointer)? },
                None => Local::Nothing,
            },
            AnswerBy::Rank(rank) => Local::Rank { file: file(), places: rank::Places::new(rank)? },
            AnswerBy::Keywords(keywords) => match file() {
                Some(file) => Local::Keywords { file, text: keywords.text.as_deref().map(Pointer::parse).transpose()? },
                None => Local::Nothing,
            },
            AnswerBy::Velocity(velocity) => {
                let pointer = Pointer::parse(&velocity.pointer)?;
                let counts = match running {
                    Some(Local::Velocity { counts, .. }) if counts.fit(velocity) => Arc::clone(counts),
                    Some(_) | None => Arc::new(Counts::new(velocity, seed)),
                };
                Local::Velocity { pointer, counts }
            }
            AnswerBy::Hold(hold) => lines
                .iter()
                .find(|line| line.name == hold.queue.name)
                .map_or(Local::Nothing, |line| Local::Hold(Arc::clone(line))),
            AnswerBy::Backend { .. } | AnswerBy::Rules { .. } | AnswerBy::Cache { .. } | AnswerBy::Respond(_) => {
                Local::Nothing
            }
        })
    }

    /// The answer of an entry that needs neither rules nor people.
    pub(crate) fn answer(&self, answer: &AnswerBy, asked: &Asked<'_>) -> Result<Found, Miss> {
        match (self, answer) {
            (Local::Table { file, pointer }, AnswerBy::Table(table)) => table::answer(table, file, pointer, asked),
            (Local::Rank { file, places }, AnswerBy::Rank(rank)) => rank::answer(rank, file.as_deref(), places, asked),
            (Local::Keywords { file, text }, AnswerBy::Keywords(keywords)) => {
                keywords::answer(keywords, file, text.as_ref(), asked)
            }
            (Local::Velocity { pointer, counts }, AnswerBy::Velocity(velocity)) => {
                velocity::answer(velocity, counts, pointer, asked)
            }
            (
                Local::Nothing
                | Local::Table { .. }
                | Local::Rank { .. }
                | Local::Keywords { .. }
                | Local::Velocity { .. }
                | Local::Hold(_),
                _,
            ) => Err(Miss::Failed("not_local")),
        }
    }

    /// A request came, whichever level will answer it.
    pub(crate) fn note(&self, asked: &Asked<'_>) {
        if let Local::Velocity { pointer, counts } = self
            && let Ok(keys) = places::keys(asked, pointer)
        {
            for key in keys.all() {
                counts.note(key, asked.now);
            }
        }
    }
}

/// What the entries of a route need, in their order.
pub(crate) fn entries(
    route: &Route,
    files: &[Arc<DataFile>],
    lines: &[Arc<ReviewLine>],
    running: &[Local],
    seed: u64,
) -> Result<Vec<Local>, PointerError> {
    let entries = route.ladder.iter().enumerate();
    entries.map(|(at, entry)| Local::new(&entry.answer, files, lines, running.get(at), seed)).collect()
}

impl<'a> Asked<'a> {
    /// The part of the body that is JSON.
    fn json(&self) -> Result<&'a [u8], Miss> {
        json_part(self.headers, self.body).map_err(|_| Miss::Failed("request_not_json"))
    }
}

impl Found {
    /// One answer: the rows of a batch are put together.
    pub(crate) fn whole(self) -> Result<Answer, Miss> {
        match self {
            Found::One(answer) => Ok(answer),
            Found::Rows(answers) => rows::together(answers).ok_or(Miss::Failed("rows_differ")),
        }
    }
}

/// The version of a file that is young enough.
fn version(file: &DataFile, max_age: Option<std::time::Duration>, now: Time) -> Result<Arc<Version>, Miss> {
    let version = file.version().ok_or(Miss::Failed("file_not_usable"))?;
    let is_young = max_age.is_none_or(|max| now.since(version.modified) <= max);
    if is_young { Ok(version) } else { Err(Miss::Failed("file_too_old")) }
}

/// A template, filled from what is at hand.
fn fill(template: &Template, value_of: &dyn Fn(&str) -> Option<Value>) -> Result<Answer, Miss> {
    template.fill(value_of).map_err(|_| Miss::Failed("value_missing"))
}
