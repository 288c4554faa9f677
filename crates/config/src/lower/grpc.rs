//! Routes over gRPC: what points into JSON has no place there.

use crate::code::Code;
use crate::finding::Finding;
use crate::raw::route as raw;
use crate::read::Reader;
use crate::span::Span;

/// Refuses what would have to read JSON.
pub(super) fn check(route: &raw::Route, reader: &mut Reader<'_>) {
    let prediction = route.prediction.as_ref().map(|at| ("a `prediction`", at.span));
    let pointer = route.confidence.as_ref().and_then(|at| at.value.pointer.as_ref());
    let confidence = pointer.map(|at| ("a `confidence` by pointer", at.span));
    let places = route.request.as_ref().map(|at| ("`request`", at.span));
    for (what, span) in prediction.into_iter().chain(confidence).chain(places) {
        refuse(what, span, reader);
    }
    let classes = route.priority.iter().flat_map(|rules| &rules.value).filter_map(|rule| rule.value.when.as_ref());
    let entries = route.ladder.iter().flat_map(|ladder| &ladder.value);
    let rules = entries.clone().filter_map(|entry| entry.value.rules.as_ref()).flat_map(|rules| &rules.value);
    let programs = classes.chain(rules.filter_map(|rule| rule.value.when.as_ref()));
    for program in programs.filter(|program| program.value.reads_request()) {
        refuse("CEL about `request`", program.span, reader);
    }
    for entry in entries {
        for (what, span) in looks(&entry.value) {
            refuse(what, span, reader);
        }
    }
}

/// What of an entry looks into requests.
fn looks(entry: &raw::Entry) -> impl Iterator<Item = (&'static str, Span)> {
    let all = [
        entry.features.as_ref().map(|at| ("`features`", at.span)),
        entry.table.as_ref().map(|at| ("a `table`", at.span)),
        entry.rank.as_ref().map(|at| ("a `rank`", at.span)),
        entry.keywords.as_ref().map(|at| ("`keywords`", at.span)),
        entry.velocity.as_ref().map(|at| ("a `velocity`", at.span)),
        entry.queue.as_ref().map(|at| ("a `queue`", at.span)),
    ];
    all.into_iter().flatten()
}

/// Says that something has no JSON to read.
pub(super) fn refuse(what: &str, span: Span, reader: &mut Reader<'_>) {
    let finding = Finding::new(Code::Grpc, span, format!("{what}: over gRPC there is no JSON to look into"));
    reader.report(finding.help("leave it out, or let the backends speak `open-inference`"));
}
