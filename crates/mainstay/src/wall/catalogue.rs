//! The models of the wall.

/// What a model does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One of the sixteen, by its number.
    Scenario(u8),
    /// Answers; goes on from the start of an answer, or refuses to.
    Healthy { prefill: bool },
    /// So many at a time, each for so long.
    Capacity,
    /// Keys are at their limit, but for some.
    Keyed,
    /// A stream at a chosen speed.
    Slow,
    /// 503 without end.
    Down,
    /// Answers in an unusual form.
    Quirk(Quirk),
}

/// Unusual forms of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quirk {
    Bom,
    Crlf,
    Split,
    Long,
    Gzip,
    Html,
    HtmlStream,
    Comments,
    InBand,
    Empty,
}

/// One line of the list.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    kind: Kind,
}

/// All models, in the order of the list.
pub(crate) fn entries() -> impl Iterator<Item = &'static Entry> {
    SCENARIOS.iter().chain(&MORE)
}

pub(super) fn kind(name: &str) -> Option<Kind> {
    entries().find(|entry| entry.name == name).map(|entry| entry.kind)
}

const fn scenario(number: u8, name: &'static str, about: &'static str) -> Entry {
    Entry { name, about, kind: Kind::Scenario(number) }
}

const fn entry(name: &'static str, kind: Kind, about: &'static str) -> Entry {
    Entry { name, about, kind }
}

const fn quirk(name: &'static str, quirk: Quirk, about: &'static str) -> Entry {
    Entry { name, about, kind: Kind::Quirk(quirk) }
}

const SCENARIOS: [Entry; 16] = [
    scenario(1, "s01", "first attempt: 429 with `retry-after: 2`; then healthy"),
    scenario(2, "s02", "429 without a hint, without end"),
    scenario(3, "s03", "first attempt: 500; then healthy"),
    scenario(4, "s04", "503 without end"),
    scenario(5, "s05", "first attempt: the connection is reset before a byte of the answer; then healthy"),
    scenario(6, "s06", "takes the request and is silent for 120 s"),
    scenario(7, "s07", "headers at once, the first token after 20 s"),
    scenario(8, "s08", "breaks off after 40 of 60 tokens, without the end of the body"),
    scenario(9, "s09", "20 tokens, 30 s of silence, then breaks off"),
    scenario(10, "s10", "one event in the stream that is no JSON"),
    scenario(11, "s11", "a whole stream without its last mark (`[DONE]`, `message_stop`)"),
    scenario(12, "s12", "400: the context is too long"),
    scenario(13, "s13", "400: the content is against the rules"),
    scenario(14, "s14", "as s08; its partner is `fallback-noprefill`"),
    scenario(15, "s15", "503 for 60 s from the first attempt on, then healthy (knob: down=60s)"),
    scenario(16, "s16", "503 without end; what counts is what is told of the fallback"),
];

const MORE: [Entry; 17] = [
    entry(
        "fallback",
        Kind::Healthy { prefill: true },
        "healthy; goes on from an assistant message that begins the answer",
    ),
    entry("fallback-noprefill", Kind::Healthy { prefill: false }, "healthy; refuses a last message of the assistant"),
    entry("capacity", Kind::Capacity, "so many at a time, the others wait (knobs: slots=4, service=100ms, queue=1000)"),
    entry("keyed", Kind::Keyed, "429 for every key but those named (knob: good=KEY+KEY)"),
    entry("slow", Kind::Slow, "a stream at a chosen speed (knobs: rate=20 a second, tokens=60, stamp)"),
    entry("down", Kind::Down, "503 without end and without a hint"),
    quirk("bom", Quirk::Bom, "the stream begins with a byte order mark"),
    quirk("crlf", Quirk::Crlf, "lines end with CR LF"),
    quirk("split", Quirk::Split, "every byte in a chunk of its own, through the middle of characters"),
    quirk("long", Quirk::Long, "an event on a line of 1 MiB"),
    quirk("gzip", Quirk::Gzip, "compressed, asked for or not"),
    quirk("html", Quirk::Html, "502 with a page of HTML"),
    quirk("html-stream", Quirk::HtmlStream, "200 with a page of HTML where a stream should be"),
    quirk("comments", Quirk::Comments, "comments and unknown fields between the events"),
    quirk("inband", Quirk::InBand, "20 tokens, then an error as an event, then a clean end"),
    quirk("empty", Quirk::Empty, "a stream that ends before its first token, cleanly"),
    entry("healthy", Kind::Healthy { prefill: true }, "as `fallback`"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_scenarios_bear_their_numbers() {
        let names: std::collections::BTreeSet<_> = entries().map(|entry| entry.name).collect();
        assert_eq!(names.len(), entries().count());
        for n in 1..=16 {
            assert_eq!(kind(&format!("s{n:02}")), Some(Kind::Scenario(n)));
        }
    }
}
