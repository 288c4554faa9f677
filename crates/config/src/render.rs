//! Findings for people (the line, a caret, a hint) and for programs.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde_json::json;

use crate::code::Code;
use crate::finding::{Finding, Severity};
use crate::span::Span;

/// The findings as people read them: each with its line, a caret and a hint. `text` is the text they were found in;
/// secrets that were written into it are masked.
pub fn render(findings: &[Finding], file_name: &str, text: &str, color: bool) -> String {
    let masked = masked(findings, text);
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    for finding in findings {
        out.push_str(&renderer.render(&[group(finding, file_name, &masked)]));
        out.push_str("\n\n");
    }
    out.push_str(&summary(findings, file_name));
    out
}

fn group<'a>(finding: &'a Finding, file_name: &'a str, text: &'a str) -> annotate_snippets::Group<'a> {
    let level = match finding.severity() {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let span = finding.span.within(text);
    // One line at a time: the renderer looks at all that it is given.
    let start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let end = text[span.end..].find('\n').map_or(text.len(), |at| span.end + at);
    let mut annotation = AnnotationKind::Primary.span(span.start - start..span.end - start);
    if let Some(label) = &finding.label {
        annotation = annotation.label(label);
    }
    let line = text[..start].matches('\n').count() + 1;
    let snippet = Snippet::source(&text[start..end]).path(file_name).line_start(line).annotation(annotation);
    let group = level.primary_title(&*finding.message).id(finding.code.as_str()).element(snippet);
    match &finding.help {
        Some(help) => group.element(Level::HELP.message(&**help)),
        None => group,
    }
}

fn summary(findings: &[Finding], file_name: &str) -> String {
    let errors = findings.iter().filter(|finding| finding.is_error()).count();
    let warnings = findings.len() - errors;
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    match (errors, warnings) {
        (0, 0) => format!("{file_name}: nothing found\n"),
        (0, _) => format!("{file_name}: {}\n", count(warnings, "warning")),
        (_, 0) => format!("{file_name}: {}\n", count(errors, "error")),
        (_, _) => format!("{file_name}: {}, {}\n", count(errors, "error"), count(warnings, "warning")),
    }
}

/// The text with asterisks for what should not have been written into it, places unchanged.
fn masked(findings: &[Finding], text: &str) -> String {
    let mut bytes = text.to_owned();
    for finding in findings.iter().filter(|finding| finding.code == Code::LiteralSecret) {
        let span = finding.span.within(text);
        bytes.replace_range(span.range(), &"*".repeat(span.end - span.start));
    }
    bytes
}

/// The findings as JSON: `file`, `line` and `column` (from 1, in characters), `span` in bytes.
pub fn to_json(findings: &[Finding], file_name: &str, text: &str) -> serde_json::Value {
    findings
        .iter()
        .map(|finding| {
            let (line, column) = position(text, finding.span);
            json!({
                "file": file_name,
                "line": line,
                "column": column,
                "span": { "start": finding.span.start, "end": finding.span.end },
                "severity": finding.severity().name(),
                "code": finding.code.as_str(),
                "message": finding.message,
                "label": finding.label,
                "help": finding.help,
            })
        })
        .collect()
}

fn position(text: &str, span: Span) -> (usize, usize) {
    let before = &text[..span.within(text).start];
    let line = before.rfind('\n').map_or(before, |at| &before[at + 1..]);
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}
