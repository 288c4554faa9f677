//! Local answers against naive models.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use mainstay_core::answer::context::{Message, PER_CHAT, PER_MESSAGE, Role, fit};
use mainstay_core::answer::keywords::{Boundaries, Keyword, Matcher};
use mainstay_core::answer::rank::{Bm25, Index, order};
use mainstay_core::answer::review::{Decision, Full, Held, Holding, Line, Record};
use mainstay_core::answer::text::skeleton;
use mainstay_core::answer::velocity::{SLOTS, Velocity};
use mainstay_core::time::Time;
use proptest::prelude::*;

/// BM25 as its formula is written, word by word.
fn naive_bm25(bm25: Bm25, query: &str, items: &[String]) -> Vec<f64> {
    let words = |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_lowercase).collect() };
    let items: Vec<Vec<String>> = items.iter().map(|item| words(item)).collect();
    let mut terms = words(query);
    terms.sort();
    terms.dedup();
    let all: usize = items.iter().map(Vec::len).sum();
    let average = (all as f64 / items.len().max(1) as f64).max(1.0);
    let score = |item: &Vec<String>| -> f64 {
        let of_term = |term: &String| {
            let having = items.iter().filter(|item| item.contains(term)).count() as f64;
            let idf = (1.0 + (items.len() as f64 - having + 0.5) / (having + 0.5)).ln();
            let tf = item.iter().filter(|word| *word == term).count() as f64;
            let norm = bm25.k1 * (1.0 - bm25.b + bm25.b * item.len() as f64 / average);
            if tf == 0.0 { 0.0 } else { idf * tf * (bm25.k1 + 1.0) / (tf + norm) }
        };
        terms.iter().map(of_term).sum()
    };
    items.iter().map(score).collect()
}

fn text(words: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["red", "Blue", "shoe", "COAT", "a", "b7"]), 0..words)
        .prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn bm25_is_its_formula(
        query in text(6),
        items in prop::collection::vec(text(12), 1..20),
        k1 in 0.1f64..3.0,
        b in 0.0f64..=1.0,
    ) {
        let bm25 = Bm25 { k1, b };
        let naive = naive_bm25(bm25, &query, &items);
        let parts: Vec<Vec<&str>> = items.iter().map(|item| vec![item.as_str()]).collect();
        let scores = bm25.scores(&query, &parts);
        let mut index = Index::default();
        for item in &items {
            index.add(&[item]);
        }
        let asked: Vec<Option<u32>> = (0..items.len() as u32).map(Some).chain([None]).collect();
        let indexed = index.scores_of(bm25, &query, &asked);
        for at in 0..items.len() {
            prop_assert!((scores[at] - naive[at]).abs() < 1e-9, "{at}: {} {}", scores[at], naive[at]);
            prop_assert!((indexed[at] - naive[at]).abs() < 1e-9, "{at}: {} {}", indexed[at], naive[at]);
        }
        prop_assert_eq!(indexed[items.len()], 0.0);
        let ranked = order(&indexed[..items.len()]);
        let best: Vec<usize> = index.best(bm25, &query, 5).into_iter().map(|(text, _)| text as usize).collect();
        let expected: Vec<usize> = ranked.into_iter().filter(|at| naive[*at] > 0.0).take(5).collect();
        prop_assert_eq!(best, expected);
    }

    #[test]
    fn a_matcher_finds_what_a_search_for_each_word_finds(
        words in prop::collection::vec("[abAB4@ .-]{0,4}[ab]", 1..8),
        text in "[abAB4@é\u{200b} .!-]{0,30}",
        bounded in any::<bool>(),
    ) {
        let boundaries = if bounded { Boundaries::Word } else { Boundaries::None };
        let list: Vec<Keyword> =
            words.iter().map(|word| Keyword { keyword: word.clone(), label: String::new() }).collect();
        let matcher = Matcher::new(list, boundaries).unwrap();
        let seen = skeleton(&text);
        let naive: Option<(usize, usize)> = words
            .iter()
            .filter_map(|word| {
                let pattern = skeleton(word);
                let pattern = if bounded { pattern.as_str() } else { pattern.trim() };
                let at = seen.find(pattern)?;
                Some((at, pattern.len()))
            })
            .min_by_key(|(at, length)| (*at, std::cmp::Reverse(*length)));
        let found = matcher.find(&text).map(|keyword| skeleton(&keyword.keyword));
        let found = found.map(|pattern| if bounded { pattern.len() } else { pattern.trim().len() });
        prop_assert_eq!(found, naive.map(|(_, length)| length), "{:?} in {:?}", words, seen);
    }

    /// Never less than what was seen within the window, never more than within one a slot longer; with few places the
    /// sketch counts, and is still never less.
    #[test]
    fn velocities_keep_their_stated_error(
        steps in prop::collection::vec((0u64..40, 0u64..400), 1..300),
        places in prop::sample::select(vec![2usize, 5, 1000]),
    ) {
        let window = Duration::from_millis(1600);
        let slot = window / SLOTS as u32;
        let mut seen: BTreeMap<u64, VecDeque<Time>> = BTreeMap::new();
        let mut velocity = Velocity::new(window, places);
        let mut now = Time::from_secs(1000);
        for (key, pause) in steps {
            now = now + Duration::from_millis(pause);
            let told = velocity.handle_key(key, now);
            let times = seen.entry(key).or_default();
            times.push_back(now);
            prop_assert_eq!(told, velocity.count(key, now));
            let within = |length: Duration| times.iter().filter(|at| now.since(**at) < length).count() as u32;
            prop_assert!(told >= within(window), "{told} of {}", within(window));
            if places == 1000 {
                prop_assert!(told <= within(window + slot), "{told} of {}", within(window + slot));
            }
            prop_assert!(velocity.keys() <= places);
        }
    }

    /// Whole turns, the oldest first, and no more of them than needed.
    #[test]
    fn a_context_keeps_the_system_the_last_turn_and_as_many_turns_as_fit(
        chat in prop::collection::vec((0u8..4, 0u64..50), 1..20),
        max in 0u64..400,
    ) {
        let role = |n: u8| match n { 0 => Role::System, 1 | 2 => Role::User, _ => Role::Other };
        let chat: Vec<Message> = chat.into_iter().map(|(n, tokens)| Message { role: role(n), tokens }).collect();
        let cost = |message: &Message| message.tokens + PER_MESSAGE;
        let last = chat.iter().rposition(|message| message.role == Role::User).unwrap_or(0);
        let bare: u64 = chat.iter().enumerate().filter(|(at, m)| *at >= last || m.role == Role::System).map(|(_, m)| cost(m)).sum();
        match fit(&chat, 0, max) {
            None => prop_assert!(bare + PER_CHAT > max),
            Some(kept) => {
                let left: u64 = chat.iter().zip(&kept.stays).filter(|(_, stays)| **stays).map(|(m, _)| cost(m)).sum();
                prop_assert_eq!(kept.tokens, left + PER_CHAT);
                prop_assert!(kept.tokens <= max);
                for (at, message) in chat.iter().enumerate() {
                    prop_assert!(kept.stays[at] || (message.role != Role::System && at < last));
                }
                // What is left begins where the user speaks, so no answer stands without its question.
                let first = chat.iter().zip(&kept.stays).position(|(m, stays)| *stays && m.role != Role::System);
                let dropped = kept.stays.iter().any(|stays| !stays);
                if let (true, Some(first)) = (dropped, first) {
                    prop_assert!(chat[first].role == Role::User || first == 0, "{:?}", chat);
                }
            }
        }
    }

    /// A line that is restored from its records is that line, and its bound holds.
    #[test]
    fn a_line_is_what_its_records_say(steps in prop::collection::vec((0u8..5, 0u64..12), 1..80)) {
        let now = Time::from_secs(1000);
        let max = 5;
        let mut line = Line::new(max);
        let mut records: Vec<Record> = Vec::new();
        let mut pending: Vec<(u64, Held)> = Vec::new();
        for (step, n) in steps {
            match step {
                0 | 1 => {
                    let held = held(n);
                    match line.handle_hold(&held) {
                        Ok(Holding::New(id)) => pending.push((id, held)),
                        Ok(Holding::Again(id)) => prop_assert_eq!(line.get(id, now).unwrap().held.request_id, held.request_id),
                        Err(Full) => prop_assert_eq!(line.size(now).open + pending.len(), max),
                    }
                }
                2 if !pending.is_empty() => {
                    let (id, held) = pending.remove(0);
                    records.push(Record::Held(id, held));
                    line.handle_durable(id);
                }
                3 if !pending.is_empty() => {
                    let (id, _) = pending.pop().unwrap();
                    line.handle_withdrawn(id);
                }
                _ => {
                    let decision = Decision { decision: "allow".into(), by: "ana".into(), note: String::new(), at: now };
                    if let Ok(Some(record)) = line.check_decision(n, &decision, now) {
                        records.push(record);
                        prop_assert!(line.handle_decided(n, decision).is_ok());
                    }
                }
            }
            prop_assert!(line.size(now).open + pending.len() <= max);
        }
        let restored = Line::restore(max, records);
        prop_assert_eq!(restored.list(None, 0, 100, now), line.list(None, 0, 100, now));
        let compacted = Line::restore(max, line.records());
        prop_assert_eq!(compacted.list(None, 0, 100, now), line.list(None, 0, 100, now));
    }
}

fn held(n: u64) -> Held {
    Held {
        at: Time::from_secs(n),
        route: "r".into(),
        client: String::new(),
        request_id: format!("id-{n}"),
        reason: "timeout".into(),
        body: "{}".into(),
    }
}

#[test]
fn leases_end_and_do_not_outlive_the_process() {
    let now = Time::from_secs(1000);
    let mut line = Line::restore(5, [Record::Held(1, held(1)), Record::Held(2, held(2))]);
    let lease = Duration::from_mins(1);
    assert_eq!(line.handle_claim(None, "ana", lease, now).unwrap().id, 1);
    assert_eq!(line.handle_claim(None, "bo", lease, now).unwrap().id, 2);
    assert!(line.handle_claim(None, "cy", lease, now).is_err());
    assert!(line.handle_claim(Some(1), "bo", lease, now).is_err());
    let later = now + lease;
    assert_eq!(line.handle_claim(None, "cy", lease, later).unwrap().id, 1, "a lease that ended is none");
    assert_eq!(line.size(later).claimed, 1);
    assert_eq!(Line::restore(5, line.records()).size(later).claimed, 0);
}
