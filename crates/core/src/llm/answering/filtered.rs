//! An answer that a filter of its provider cut, where others are asked then.
//!
//! Before the commit it is a failed attempt, afterwards the stream's policy says who takes over. Where that is nobody, the answer ends as its
//! provider ended it: the caller reads that a filter did.

use super::super::delta::{Part, Piece, What, bit};
use super::super::{Finish, Usage};
use super::source::Source;
use super::{Answering, Fault, RESCUES_MAX};
use crate::plan::AfterCommit;
use crate::time::Time;

/// The end that the filter made.
#[derive(Clone, Debug)]
pub(super) struct Filtered {
    usage: Usage,
    repeats: bool,
    model: Option<String>,
}

impl Answering {
    /// Whether a part ends the only choice of an answer by a filter, and somebody else may still give it.
    pub(super) fn others_are_asked(&self, part: &Part) -> bool {
        let Some(source) = self.source.as_ref().filter(|_| self.settings.others_on_filter) else { return false };
        let is_cut = part.pieces.iter().any(|piece| piece.what == What::Finish(Finish::Content));
        let is_only_one = source.has_finished() && source.stopped == bit(0);
        let rescues = match self.settings.stream.after_commit {
            AfterCommit::Restart => true,
            AfterCommit::Continue => self.text_only && self.settings.choices < 2,
            AfterCommit::Atomic | AfterCommit::Fail => false,
        };
        is_cut && is_only_one && (!self.committed || (rescues && self.summary.rescues < RESCUES_MAX))
    }

    /// Shows what comes before the cut, and has others asked.
    pub(super) fn filter_cut(&mut self, mut part: Part, now: Time) {
        part.pieces.retain(|piece| piece.what.is_token());
        if self.committed && !part.pieces.is_empty() {
            self.renderer.write(&part, &mut self.held);
        }
        let end = |it: &Source| Filtered { usage: it.usage, repeats: it.repeats, model: it.model.clone() };
        self.filtered = self.source.as_ref().map(end);
        self.fail(Fault::Filtered, now);
    }

    /// Nobody took over.
    pub(super) fn end_as_filtered(&mut self, filtered: Filtered) {
        let Filtered { usage, repeats, model } = filtered;
        let told = self.counted.told(usage, repeats);
        let pieces = vec![Piece { choice: 0, what: What::Finish(Finish::Content) }];
        self.renderer.write(&Part { pieces, usage: told, ..Part::default() }, &mut self.held);
        self.renderer.usage(told, &mut self.held);
        self.renderer.end(told, &mut self.held);
        (self.summary.usage, self.summary.finish) = (usage, Some(Finish::Content));
        self.summary.model = model;
        self.send();
        self.finish(true);
    }
}
