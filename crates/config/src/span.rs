//! Places in the text.

use std::ops::Range;

/// A range of bytes of the config's text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Span {
    /// Byte at which it starts.
    pub start: usize,
    /// Byte after its last one.
    pub end: usize,
}

impl Span {
    /// From the first byte to before the last.
    pub const fn new(start: usize, end: usize) -> Span {
        Span { start, end }
    }

    /// As the standard library's range.
    pub const fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// The span, moved to character boundaries of the text and cut to its length.
    pub(crate) fn within(self, text: &str) -> Span {
        let start = floor_boundary(text, self.start);
        Span { start, end: floor_boundary(text, self.end).max(start) }
    }

    /// The part on the first line: what a caret can underline.
    pub(crate) fn first_line(self, text: &str) -> Span {
        let span = self.within(text);
        let part = &text[span.range()];
        let line = part.lines().next().unwrap_or(part);
        Span { start: span.start, end: span.start + line.trim_end().len() }
    }
}

fn floor_boundary(text: &str, index: usize) -> usize {
    let mut index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

/// A value and where it is written.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

impl<T> At<T> {
    pub(crate) const fn new(value: T, span: Span) -> At<T> {
        At { value, span }
    }
}
