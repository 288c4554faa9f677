use mainstay_core::llm::Dialect;
use mainstay_core::llm::answering::{Answering, Begun, CONTINUED_BYTES_MAX, Effect, End, Rescue, Settings, Summary};
use mainstay_core::llm::sse::EVENT_BYTES_MAX;
use mainstay_core::plan::{AfterCommit, Stream};
use mainstay_core::time::Time;
use serde_json::Value;

const DIALECTS: [Dialect; 3] = [Dialect::OpenaiChat, Dialect::AnthropicMessages, Dialect::OpenaiCompletions];
const POLICIES: [AfterCommit; 4] =
    [AfterCommit::Fail, AfterCommit::Continue, AfterCommit::Restart, AfterCommit::Atomic];

/// Two whole answers for whoever takes over.
const OPENAI: &[u8] = b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"All of it.\"}}]}\n\n\
    data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
const ANTHROPIC: &[u8] = b"data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"m\"}}\n\n\
    data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"All of it.\"}}\n\n\
    data: {\"type\":\"content_block_stop\",\"index\":0}\n\n\
    data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\ndata: {\"type\":\"message_stop\"}\n\n";

/// Five bytes that say who speaks what, to whom, in which pieces, what is done about a failure and how the stream ends; then the stream:
/// the caller reads a whole answer or an error, and nothing beyond the bounds is held.
pub fn answering(bytes: &[u8]) {
    let Some(([from, to, policy, piece, end], stream)) = bytes.split_first_chunk() else { return };
    let (from, to) = (DIALECTS[usize::from(*from) % 3], DIALECTS[usize::from(*to) % 2]);
    let end = if end % 2 == 0 { End::Clean } else { End::Broken };
    let plan = Stream { after_commit: POLICIES[usize::from(*policy) % 4], buffer_tokens: 2, ..Stream::default() };
    let now = Time::from_secs(1_795_000_000);
    let mut answering = Answering::new(Settings::new(to, plan));
    answering.handle_upstream(from, Begun::Fresh, now);
    let (mut sent, mut summary) = (Vec::new(), None);
    for bytes in stream.chunks(usize::from(*piece).max(1)) {
        answering.handle_bytes(bytes, now);
        assert!(answering.held_bytes() <= 2 * EVENT_BYTES_MAX + CONTINUED_BYTES_MAX, "too much is held");
    }
    answering.handle_end(end, now);
    let mut is_committed = false;
    while let Some(effect) = answering.poll_effect() {
        match effect {
            Effect::Commit => assert!(!std::mem::replace(&mut is_committed, true), "two beginnings"),
            Effect::Send(bytes) => {
                assert!(is_committed && summary.is_none(), "out of turn");
                sent.extend(bytes);
            }
            Effect::Failed(_) | Effect::Rescue(Rescue::Restart, _) => take_over(&mut answering, to, Begun::Fresh, now),
            Effect::Rescue(Rescue::Continue { .. }, _) => take_over(&mut answering, to, Begun::Continued, now),
            Effect::Done(done) => assert!(summary.replace(*done).is_none(), "two ends"),
        }
    }
    judge(to, &sent, &summary.expect("every answer ends"));
}

fn take_over(answering: &mut Answering, dialect: Dialect, begun: Begun, now: Time) {
    answering.handle_upstream(dialect, begun, now);
    let stream = match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiCompletions => OPENAI,
        Dialect::AnthropicMessages => ANTHROPIC,
    };
    answering.handle_bytes(stream, now);
}

#[derive(Debug, Default)]
struct Read {
    finished: bool,
    ended: bool,
    failed: bool,
}

/// What the clients of either dialect make of the bytes.
fn judge(dialect: Dialect, sent: &[u8], summary: &Summary) {
    let mut read = Read::default();
    for block in std::str::from_utf8(sent).expect("text").split("\n\n").filter(|block| !block.is_empty()) {
        let lines: Vec<_> = block.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        if lines.is_empty() {
            continue;
        }
        assert!(!read.ended && !read.failed, "something after the end: {block}");
        let data = lines.join("\n");
        match dialect {
            Dialect::OpenaiChat | Dialect::OpenaiCompletions => read.openai(&data),
            Dialect::AnthropicMessages => read.anthropic(&data),
        }
    }
    let text = String::from_utf8_lossy(sent);
    if summary.complete {
        assert!(read.ended && read.finished && !read.failed, "no whole answer: {read:?} {text}");
    } else {
        assert!(!read.ended && (read.failed || sent.is_empty()), "cut off, and not told: {read:?} {text}");
    }
}

impl Read {
    fn openai(&mut self, data: &str) {
        if data == "[DONE]" {
            self.ended = true;
            return;
        }
        let chunk: Value = json(data);
        self.failed |= chunk["error"].is_object();
        let choices = chunk["choices"].as_array().map(Vec::as_slice).unwrap_or_default();
        self.finished |= choices.iter().any(|choice| choice["finish_reason"].is_string());
    }

    fn anthropic(&mut self, data: &str) {
        let event: Value = json(data);
        self.finished |= event["delta"]["stop_reason"].is_string();
        self.ended |= event["type"] == "message_stop";
        self.failed |= event["type"] == "error";
    }
}

/// Half a surrogate pair and a number beyond all floats are JSON to most clients, and pass where nobody has to look at them.
fn json(data: &str) -> Value {
    let mut data = data.replace("\\ud", "\\u0").replace("\\uD", "\\u0");
    loop {
        match serde_json::from_str(&data) {
            Ok(value) => return value,
            // A digit of the number that is too large becomes a zero, until it is small enough.
            Err(error) if error.to_string().starts_with("number out of range") => {
                let end = error.column().min(data.len());
                let at = data[..end].rfind(|letter| matches!(letter, '1'..='9')).expect("a digit");
                data.replace_range(at..=at, "0");
            }
            Err(error) => panic!("no JSON: {error}: {data}"),
        }
    }
}
