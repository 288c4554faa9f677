//! Many words at once (Aho and Corasick, 1975), over texts as filters compare them ([`skeleton`]).

use aho_corasick::{AhoCorasick, MatchKind};

use super::text::skeleton;

/// Most keywords of a file.
pub const MAX_KEYWORDS: usize = 1_000_000;
/// Longest line of a file, in bytes.
pub const MAX_LINE: usize = 4096;
/// Most faults of a file that are told.
const MAX_FAULTS: usize = 20;

/// Where a match may begin and end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Boundaries {
    /// At the edges of words.
    Word,
    /// Anywhere.
    None,
}

/// A word that is looked for, and what it is called in answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keyword {
    /// The word or words, as written.
    pub keyword: String,
    /// What follows the tab; empty without one.
    pub label: String,
}

/// What is wrong with a line.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct BadLine {
    /// From 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

/// Kinds of faults.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// Bytes that are no text.
    #[error("not UTF-8")]
    Encoding,
    /// Longer than [`MAX_LINE`].
    #[error("longer than {MAX_LINE} bytes")]
    TooLong,
    /// Nothing is left of it that could be looked for.
    #[error("nothing to look for: neither letters nor digits")]
    Nothing,
    /// A line too many.
    #[error("more than {MAX_KEYWORDS} keywords")]
    TooMany,
    /// The file's last line has no end: who writes it may not be done.
    #[error("no line break at the end: the file may be half written")]
    Unfinished,
    /// No keyword at all.
    #[error("no keyword in the file")]
    Empty,
    /// The automaton would be too large.
    #[error("the keywords are too many or too long to be looked for at once")]
    TooLarge,
}

/// Reads a file of keywords: one a line, a label after a tab, comments after `#` at the start, blank lines between. A file
/// with any fault is refused in whole; its first faults are told.
pub fn parse(bytes: &[u8]) -> Result<Vec<Keyword>, Vec<BadLine>> {
    let (mut keywords, mut faults) = (Vec::new(), Vec::new());
    let mut line = 0;
    let body = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for written in body.split(|byte| *byte == b'\n') {
        line += 1;
        match keyword(written.strip_suffix(b"\r").unwrap_or(written)) {
            Ok(Some(_)) if keywords.len() == MAX_KEYWORDS => faults.push(BadLine { line, fault: Fault::TooMany }),
            Ok(Some(keyword)) => keywords.push(keyword),
            Ok(None) => {}
            Err(fault) => faults.push(BadLine { line, fault }),
        }
        if faults.len() >= MAX_FAULTS {
            return Err(faults);
        }
    }
    if faults.is_empty() && keywords.is_empty() {
        faults.push(BadLine { line, fault: Fault::Empty });
    } else if !body.ends_with(b"\n") {
        faults.push(BadLine { line, fault: Fault::Unfinished });
    }
    if faults.is_empty() { Ok(keywords) } else { Err(faults) }
}

fn keyword(line: &[u8]) -> Result<Option<Keyword>, Fault> {
    if line.len() > MAX_LINE {
        return Err(Fault::TooLong);
    }
    let line = std::str::from_utf8(line).map_err(|_| Fault::Encoding)?;
    if line.trim().is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (keyword, label) = line.split_once('\t').unwrap_or((line, ""));
    if skeleton(keyword).trim().is_empty() {
        return Err(Fault::Nothing);
    }
    Ok(Some(Keyword { keyword: keyword.trim().to_owned(), label: label.trim().to_owned() }))
}

/// Finds keywords in texts.
///
/// ```
/// use mainstay_core::answer::keywords::{Boundaries, Matcher, parse};
///
/// let list = parse(b"free money\tspam\n").unwrap();
/// let matcher = Matcher::new(list, Boundaries::Word).unwrap();
/// assert_eq!(matcher.find("Get FREE m0ney today").unwrap().label, "spam");
/// assert!(matcher.find("carefree moneybags").is_none());
/// ```
#[derive(Clone, Debug)]
pub struct Matcher {
    automaton: AhoCorasick,
    keywords: Vec<Keyword>,
}

impl Matcher {
    /// A matcher for a list. Of keywords that compare alike the first counts.
    pub fn new(keywords: Vec<Keyword>, boundaries: Boundaries) -> Result<Matcher, Fault> {
        let patterns = keywords.iter().map(|keyword| pattern(&keyword.keyword, boundaries));
        let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(patterns);
        Ok(Matcher { automaton: automaton.map_err(|_| Fault::TooLarge)?, keywords })
    }

    /// The keyword that begins first in the text, and of those the longest.
    pub fn find(&self, text: &str) -> Option<&Keyword> {
        let found = self.automaton.find(&skeleton(text))?;
        self.keywords.get(found.pattern().as_usize())
    }

    /// How many keywords it looks for.
    pub fn len(&self) -> usize {
        self.keywords.len()
    }

    /// Whether it looks for none.
    pub fn is_empty(&self) -> bool {
        self.keywords.is_empty()
    }
}

/// The spaces of the skeleton at both ends make a match begin and end where words do.
fn pattern(keyword: &str, boundaries: Boundaries) -> String {
    let pattern = skeleton(keyword);
    match boundaries {
        Boundaries::Word => pattern,
        Boundaries::None => pattern.trim().to_owned(),
    }
}
