//! One object, or one object a line.

/// The media type of one object.
pub(crate) const JSON: &str = "application/json";
/// The media types of one object a line.
pub(crate) const JSON_LINES: [&str; 3] = ["application/x-ndjson", "application/jsonl", "application/json-lines"];

/// How a body is cut up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Media {
    /// One object.
    Object,
    /// One object a line.
    Lines,
}

impl Media {
    /// What a media type stands for.
    pub(crate) fn of(media_type: &str) -> Media {
        if media_type == JSON { Media::Object } else { Media::Lines }
    }
}

/// The parts of a body with their line numbers, from 1. Blank lines are nothing.
pub(super) fn split(body: &[u8], media: Media) -> impl Iterator<Item = (usize, &[u8])> {
    let whole = (media == Media::Object).then_some(body);
    let lines = (media == Media::Lines).then(|| body.split(|byte| *byte == b'\n'));
    let parts = whole.into_iter().chain(lines.into_iter().flatten());
    parts.enumerate().map(|(at, part)| (at + 1, part)).filter(|(_, part)| !part.trim_ascii().is_empty())
}
