//! Streams, whole and troubled.

use super::answer::{TOKENS, tokens_after};
use super::model::Knobs;
use super::script::{Asked, CUT_AFTER, End, FIRST_TOKEN, Framing, Head, STALL, STALL_AFTER, Script, Step};

/// The event that is no JSON comes after so many tokens.
const BROKEN_AFTER: usize = 9;

/// Stands where the time of sending is put in.
const STAMP: &str = "@";

fn head() -> Head {
    let headers = vec![("content-type", "text/event-stream".to_owned()), ("cache-control", "no-cache".to_owned())];
    Head { status: 200, headers, framing: Framing::Chunked }
}

/// A stream of these steps, each a chunk.
pub(super) fn of(steps: Vec<Step>, end: End) -> Script {
    Script { head: Some(head()), steps, end }
}

/// All events of a whole stream but its last mark.
pub(super) fn events(tokens: &[&str], asked: &Asked) -> Vec<Vec<u8>> {
    let (dialect, usage) = (asked.dialect, asked.usage(tokens.len()));
    let mut events = dialect.opening(&asked.name, usage);
    events.extend(tokens.iter().map(|token| dialect.token(&asked.name, token)));
    events.extend(dialect.closing(&asked.name, usage, asked.include_usage));
    events
}

pub(super) fn whole(tokens: &[&str], asked: &Asked) -> Script {
    let marked = events(tokens, asked).into_iter().chain([asked.dialect.mark()]);
    of(marked.map(Step::Send).collect(), End::Whole)
}

/// At the speed of the knobs.
pub(super) fn slow(knobs: &Knobs, asked: &Asked) -> Script {
    let (tokens, dialect, name) = (asked.tokens(knobs), asked.dialect, &asked.name);
    if !asked.stream {
        let document = dialect.whole(name, &tokens.concat(), asked.usage(tokens.len()));
        let mut script = Script::json(200, Vec::new(), &document);
        script
            .steps
            .insert(0, Step::Wait(knobs.pause().saturating_mul(u32::try_from(tokens.len()).unwrap_or(u32::MAX))));
        return script;
    }
    let usage = asked.usage(tokens.len());
    let sent = |event| Step::Send(event);
    let mut steps: Vec<Step> = dialect.opening(name, usage).into_iter().map(sent).collect();
    for token in &tokens {
        steps.push(Step::Wait(knobs.pause()));
        steps.push(if knobs.stamp { stamped(asked) } else { Step::Send(dialect.token(name, token)) });
    }
    steps.extend(dialect.closing(name, usage, asked.include_usage).into_iter().map(sent));
    steps.push(Step::Send(dialect.mark()));
    of(steps, End::Whole)
}

fn stamped(asked: &Asked) -> Step {
    let event = asked.dialect.token(&asked.name, STAMP);
    match event.iter().rposition(|byte| STAMP.as_bytes() == [*byte]) {
        Some(at) => Step::Stamp(event[..at].to_vec(), event[at + 1..].to_vec()),
        None => Step::Send(event),
    }
}

/// The scenarios that are about streams. Asked for a whole answer, they play the same fault on its body.
pub(super) fn troubled(number: u8, asked: &Asked) -> Script {
    if !asked.stream {
        return troubled_body(number, asked);
    }
    let tokens = tokens_after(asked.prefill.as_deref().unwrap_or_default());
    let mut script = whole(&tokens, asked);
    let opening = asked.dialect.opening(&asked.name, asked.usage(0)).len();
    let after = |count: usize| (opening + count).min(script.steps.len());
    match number {
        7 => script.steps.insert(opening, Step::Wait(FIRST_TOKEN)),
        8 | 14 => {
            script.steps.truncate(after(CUT_AFTER));
            script.end = End::Cut;
        }
        9 => {
            script.steps.truncate(after(STALL_AFTER));
            script.steps.push(Step::Wait(STALL));
            script.end = End::Cut;
        }
        10 => script.steps.insert(after(BROKEN_AFTER), Step::Send(asked.dialect.broken())),
        _ => drop(script.steps.pop()),
    }
    script
}

fn troubled_body(number: u8, asked: &Asked) -> Script {
    let text = tokens_after(asked.prefill.as_deref().unwrap_or_default()).concat();
    let document = asked.dialect.whole(&asked.name, &text, asked.usage(TOKENS)).to_string().into_bytes();
    let part = document[..document.len() * CUT_AFTER / TOKENS].to_vec();
    let mut script = Script::body(200, Vec::new(), "application/json", document);
    match number {
        7 => script.steps.insert(0, Step::Wait(FIRST_TOKEN)),
        8 | 14 => (script.steps, script.end) = (vec![Step::Send(part)], End::Cut),
        9 => (script.steps, script.end) = (vec![Step::Send(part), Step::Wait(STALL)], End::Cut),
        10 => script = Script::body(200, Vec::new(), "application/json", part),
        _ => {}
    }
    script
}

/// Between two of the events of a stream that is cut later.
#[cfg(test)]
pub(super) fn waits(script: &Script) -> Vec<std::time::Duration> {
    let wait = |step: &Step| match step {
        Step::Wait(wait) => Some(*wait),
        Step::Send(_) | Step::Stamp(..) => None,
    };
    script.steps.iter().filter_map(wait).collect()
}
