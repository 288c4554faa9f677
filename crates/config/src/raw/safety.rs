//! Checks of what models answer.

use crate::read::{List, Named, Text, choice, section};
use crate::values::{AnswerCel, Dur, LevelNumber, Ratio, SecretRef, Size, Url, Whole};

section! {
    /// Checks of what models answer.
    Safety = "`safety`" {
        /// The checks, by name.
        checks (required): Named<Check>,
    }
}

section! {
    /// A check of answers. It is exactly one of `moderation`, `cel` and `patterns`.
    Check = "a check" {
        /// The routes whose answers it is about. Default: all.
        routes: List<Text>,
        /// A server in the shape of OpenAI's moderation endpoint.
        moderation: Moderation,
        /// An expression over `answer.text`, `answer.body` and the request: it holds for what is flagged.
        cel: AnswerCel,
        /// Regular expressions: a text in which one is found is flagged.
        patterns: List<Text>,
        /// inline (before the answer is shown) or after. Default: inline.
        when: WhenWord,
        /// Which share of the answers is looked at afterwards. Default: 100%.
        share: Ratio,
        /// block (the next level answers) or record. Default: block for a check that is inline.
        on_flag: OnFlag,
        /// What becomes of an answer of which a check that blocks cannot tell: block or serve. Default: block.
        on_unknown: OnUnknown,
        /// The level at which a request goes on whose answer is blocked. Default: the next entry.
        level: LevelNumber,
        /// confirmed (safety objectives count it) or suspected. Default: confirmed.
        verdict: VerdictWord,
        /// Longest text that is looked at; of a longer one the check cannot tell. Default: 256KiB.
        longest: Size,
    }
}

section! {
    /// A server in the shape of OpenAI's moderation endpoint.
    Moderation = "`moderation`" {
        /// Its base URL, without `/v1/moderations`.
        url (required): Url,
        /// The model that is asked for. Default: the server's usual one.
        model: Text,
        /// Its key, sent as `Authorization: Bearer`.
        key: SecretRef,
        /// The categories that count. Default: whatever the server flags.
        categories: List<Text>,
        /// How long it may take. Default: 500ms.
        timeout: Dur,
        /// Most calls at once. Default: 32.
        at_once: Whole<1, 4096>,
    }
}

/// When an answer is checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum When {
    Inline,
    After,
}

choice! {
    /// When an answer is checked.
    WhenWord = "when a check looks" {
        "inline" => When::Inline,
        "after" => When::After,
    } -> When
}

choice! {
    /// What a flag does: whether it blocks.
    OnFlag = "what a flag does" {
        "block" => true,
        "record" => false,
    } -> bool
}

choice! {
    /// What becomes of an answer of which a check cannot tell: whether it is blocked.
    OnUnknown = "what becomes of an answer that was not checked" {
        "block" => true,
        "serve" => false,
    } -> bool
}

choice! {
    /// What a flag stands for: whether it is certain.
    VerdictWord = "a verdict" {
        "confirmed" => true,
        "suspected" => false,
    } -> bool
}
