//! CEL programs within YAML: a fault is shown at its place in the file, whatever way the text is quoted.

use mainstay_core::expr::{CompileError, Program};

use crate::code::Code;
use crate::finding::Finding;
use crate::read::Reader;
use crate::span::Span;

/// Compiles a program that is written in `span`, and reports what is wrong or odd.
pub(crate) fn compile(source: &str, span: Span, reader: &mut Reader<'_>) -> Option<Program> {
    report(Program::compile(source), source, span, reader)
}

/// The same for one that was compiled already.
pub(crate) fn report(
    compiled: Result<Program, CompileError>,
    source: &str,
    span: Span,
    reader: &mut Reader<'_>,
) -> Option<Program> {
    match compiled {
        Ok(program) => {
            for warning in program.warnings() {
                let place = place(reader.text, span, source, warning.offset);
                let message = format!("this CEL expression may fail: {}", warning.message);
                reader.report(Finding::new(Code::CelIndex, place, message));
            }
            Some(program)
        }
        Err(error) => {
            let place = place(reader.text, span, source, error.offset);
            let message = format!("this CEL expression does not compile: {}", error.message);
            reader.report(Finding::new(Code::CelCompile, place, message).label("here"));
            None
        }
    }
}

/// The place in the file of a byte of the decoded text: one character wide.
pub(crate) fn place(text: &str, span: Span, decoded: &str, offset: usize) -> Span {
    let raw = &text[span.range()];
    let at = span.start + raw_offset(raw, decoded, offset).min(raw.len());
    let width = text[at..].chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8);
    Span::new(at, at + width).within(text)
}

/// Walks both texts: where they differ, the written one has quotes, escapes or indentation.
fn raw_offset(raw: &str, decoded: &str, offset: usize) -> usize {
    let quote = raw.chars().next().filter(|c| matches!(c, '"' | '\''));
    let mut at = quote.map_or(0, char::len_utf8);
    for (index, character) in decoded.char_indices() {
        at += before(&raw[at..], character, quote);
        if index >= offset {
            return at;
        }
        at += width(&raw[at..], quote);
    }
    at
}

/// Bytes to skip until the character that stands for `wanted`.
fn before(raw: &str, wanted: char, quote: Option<char>) -> usize {
    if quote == Some('"') && raw.starts_with('\\') {
        return 0;
    }
    let blank = |c: char| c.is_whitespace() || matches!(c, '|' | '>' | '-' | '+');
    match raw.find(wanted) {
        Some(distance) if raw[..distance].chars().all(blank) => distance,
        // A line break that YAML folded into a space.
        Some(_) | None => 0,
    }
}

/// Bytes that stand for one character.
fn width(raw: &str, quote: Option<char>) -> usize {
    let escape = match quote {
        Some('"') if raw.starts_with('\\') => match raw[1..].chars().next() {
            Some('x') => 4,
            Some('u') => 6,
            Some('U') => 10,
            Some(other) => 1 + other.len_utf8(),
            None => 1,
        },
        Some('\'') if raw.starts_with("''") => 2,
        Some(_) | None => raw.chars().next().map_or(0, char::len_utf8),
    };
    let mut end = escape.min(raw.len());
    while !raw.is_char_boundary(end) {
        end -= 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::raw_offset;

    #[test]
    fn a_place_in_the_decoded_text_is_found_in_the_written_one() {
        for (raw, decoded, wanted) in [
            ("a == b", "a == b", "b"),
            ("'a == ''b'' + c'", "a == 'b' + c", "c"),
            (r#""a == \"b\" + \u0041 + c""#, "a == \"b\" + A + c", "c"),
            ("|\n    a ==\n      b + c\n", "a ==\n  b + c\n", "c"),
            (">-\n    a ==\n    b", "a == b", "b"),
        ] {
            let offset = decoded.find(wanted).unwrap();
            let found = raw_offset(raw, decoded, offset);
            assert_eq!(raw.get(found..found + 1), Some(wanted), "{raw:?} at {found}");
        }
    }
}
