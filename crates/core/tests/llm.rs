//! What each event of a stream costs: a thousand streams at a time pass the machine.

use mainstay_core::llm::Dialect;
use mainstay_core::llm::answering::{Answering, Begun, Settings};
use mainstay_core::plan::Stream;
use mainstay_core::time::Time;

const EVENTS: u64 = 1000;

const CHUNK: &str = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"big-2026-01-01\",\
    \"service_tier\":\"default\",\"system_fingerprint\":\"fp_1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\
    \"logprobs\":null,\"finish_reason\":null}],\"usage\":null,\"obfuscation\":\"x1y2z3\"}\n\n";

const DELTA: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
    \"delta\":{\"type\":\"text_delta\",\"text\":\" word\"}}\n\n";

/// Allocations, and bytes allocated for each of the event's.
fn cost(from: Dialect, to: Dialect, event: &str) -> (f64, f64) {
    let now = Time::from_secs(1000);
    let mut answering = Answering::new(Settings::new(to, Stream::default()));
    answering.handle_upstream(from, Begun::Fresh, now);
    let mut pass = |events: u64| {
        for _ in 0..events {
            answering.handle_bytes(event.as_bytes(), now);
            while answering.poll_effect().is_some() {}
        }
    };
    pass(100);
    let spent = allocation_counter::measure(|| pass(EVENTS));
    let (count, bytes) = (spent.count_total as f64 / EVENTS as f64, spent.bytes_total as f64 / EVENTS as f64);
    (count, bytes / event.len() as f64)
}

#[test]
fn an_event_that_is_passed_on_costs_a_few_allocations() {
    for (dialect, event) in [(Dialect::OpenaiChat, CHUNK), (Dialect::AnthropicMessages, DELTA)] {
        let (count, bytes) = cost(dialect, dialect, event);
        println!("{dialect:?}: {count} allocations, {bytes:.1} bytes for each of the event's {}", event.len());
        assert!(count <= 9.0, "{dialect:?}: {count} allocations");
        assert!(bytes <= 8.0, "{dialect:?}: {bytes} bytes for each of the event's");
    }
}
