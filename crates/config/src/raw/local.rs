//! Levels that answer without a backend, from what is at hand.

use mainstay_core::answer::keywords::Boundaries;
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::raw::route::Answer;
use crate::read::{Kind, List, Reader, Text, choice, section};
use crate::span::At;
use crate::tree::{Node, Value};
use crate::values::{Dur, File, Pointer, Positive, Share, Whole};

section! {
    /// Where requests of a route hold what its levels ask for; a level's own pointer goes before these.
    RequestPlaces = "`request`" {
        /// JSON pointer to the items that are ranked, a list.
        items: Pointer,
        /// JSON pointer to the words that are looked for. Default: that of `text`.
        query: Pointer,
        /// JSON pointer to the text that is judged. Default on a chat route: what the user said last.
        text: Pointer,
        /// JSON pointer to the user.
        user: Pointer,
        /// JSON pointer to the key of tables and counts, such as a card or an account. Default: that of `user`.
        key: Pointer,
    }
}

section! {
    /// Batch-computed answers by key.
    Table = "`table`" {
        /// The table: `.csv`, `.jsonl` or `.parquet`, indexed in memory and read again when it changes.
        file (required): File,
        /// JSON pointer to the key, or to a list of keys (a row of the answer each). Default: `request.key`.
        key: Pointer,
        /// The column that holds the keys. Default: the first.
        column: Text,
        /// An older table has no answer.
        max_age (required): Dur,
        /// The column that says when a row was computed (RFC 3339, or seconds since 1970). Default: the file's own time.
        updated: Text,
        /// The answer, with places for columns. Default: all columns but the key, as outputs or as one object.
        respond: Answer,
    }
}

section! {
    /// An order of items.
    Rank = "`rank`" {
        /// JSON pointer to the items. Default: `request.items`; without it the rows of `file` are the items.
        items: Pointer,
        /// What decides: bm25, popularity, recency, or none (as they are).
        by (required): RankBy,
        /// JSON pointer to the words that are looked for (bm25). Default: `request.query`.
        query: Pointer,
        /// Where an item's text is (bm25): pointers into the item, or columns of `file`. Default: the item itself, or all
        /// columns.
        fields: List<Text>,
        /// JSON pointer to an item's id, by which `file` is asked. Default: the item itself.
        id: Pointer,
        /// A table by item: popularity, times, or texts.
        file: File,
        /// The column of `file` that holds the ids. Default: the first.
        column: Text,
        /// Where an item's popularity or time is: a pointer into the item, or a column of `file`. Default: the second column.
        value: Text,
        /// An older file is not used. Default: of any age.
        max_age: Dur,
        /// How many items are given. Default: all, of a file 10.
        top: Whole<1, 1000>,
        /// How soon a repeated word counts no more (bm25). Default: 1.2.
        k1: Positive,
        /// How much longer texts are held back (bm25), 0 to 1. Default: 0.75.
        b: Share,
        /// The answer, with places `items`, `ranking`, `scores` and `ranked_scores`. Default: outputs `ranking` and
        /// `scores`, or an object of `items` and `scores`.
        respond: Answer,
    }
}

/// What decides an order, as it is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RankWord {
    Bm25,
    Popularity,
    Recency,
    None,
}

choice! {
    /// What decides an order.
    RankBy = "a way to rank" {
        "bm25" => RankWord::Bm25,
        "popularity" => RankWord::Popularity,
        "recency" => RankWord::Recency,
        "none" => RankWord::None,
    } -> RankWord
}

section! {
    /// A filter of words.
    Keywords = "`keywords`" {
        /// One keyword a line; what follows a tab is its label, `#` begins a comment. Read again when it changes.
        file (required): File,
        /// JSON pointer to the text, or to a list of texts. Default: `request.text`.
        text: Pointer,
        /// An older file is not used. Default: of any age.
        max_age: Dur,
        /// Where a keyword may begin and end: word (at the edges of words) or none (anywhere). Default: word.
        boundaries: BoundariesWord,
        /// The answer where a keyword is found, with places `keyword` and `label`.
        hit (required): Answer,
        /// The answer where none is, or `next` for the next entry. Default: next.
        miss: AnswerOrNext,
    }
}

choice! {
    /// Where a keyword may begin and end.
    BoundariesWord = "a kind of boundaries" {
        "word" => Boundaries::Word,
        "none" => Boundaries::None,
    } -> Boundaries
}

section! {
    /// A count of requests by key in a sliding window. Every request of the route counts, whichever level answers it.
    Velocity = "`velocity`" {
        /// JSON pointer to the key, or to a list of keys. Default: `request.key`.
        key: Pointer,
        /// Most requests of a key within the window.
        max (required): Whole<1, 1_000_000>,
        /// The window.
        per (required): Dur,
        /// Most keys that are counted one by one; beyond them counts are estimates to the high side. Default: 100000.
        keys: Whole<1, 10_000_000>,
        /// The answer of a key beyond `max`, with places `key` and `count`.
        over (required): Answer,
        /// The answer of the others, or `next` for the next entry. Default: next.
        under: AnswerOrNext,
    }
}

section! {
    /// A line in which requests wait for a person.
    ReviewQueue = "`queue`" {
        /// Its name; levels that give the same name share it.
        name (required): Text,
        /// The answer of a request that is held for sure, with the place `id`.
        respond (required): Answer,
        /// The answer where it cannot be held: the line is full, or the disk is slow or broken.
        otherwise (required): Answer,
        /// Most requests that wait. Default: 10000.
        max: Whole<1, 10_000_000>,
        /// Its file. Default: `reviews-NAME.log` beside the store.
        file: File,
    }
}

section! {
    /// What a backend is given of a chat.
    Context = "`context`" {
        /// Most tokens, by an estimate: the oldest turns are left out, the system's and the user's last message stay.
        max_tokens (required): Whole<1, 100_000_000>,
    }
}

/// An answer, or the word `next`.
pub(crate) struct AnswerOrNext;

/// What is written under `miss` or `under`.
#[derive(Debug)]
pub(crate) enum AnswerWord {
    Next,
    Answer(Box<At<Answer>>),
}

impl Kind for AnswerOrNext {
    type Out = AnswerWord;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<AnswerWord> {
        match &node.value {
            Value::Text(_) => {
                crate::read::word(node, reader, "an answer or `next`", &["next"]).map(|_| AnswerWord::Next)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
                reader.field::<Answer>(node).map(|answer| AnswerWord::Answer(Box::new(answer)))
            }
        }
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "const": "next" }, Answer::schema(generator)] })
    }
}
