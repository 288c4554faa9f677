//! A support chat. The stand-in for a language model is none: it finds the sentence of the conversation, or of what it was
//! told about the shop, that fits the question best, and gives it back.
//!
//! That is enough to see what a level costs: a question about something that was said long ago can be answered only by who
//! was given that turn, and one about the shop only by who knows the shop.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use mainstay_core::rng::Rng;
use serde_json::{Value, json};

use super::Files;
use super::learn::{pick, shuffle, words};

const SEED: u64 = 305;
const JUDGED: usize = 120;

/// Tokens that fit into the large and the small stand-in.
const LARGE_CONTEXT: u64 = 4096;
const SMALL_CONTEXT: u64 = 512;

/// Turns of the conversation that the small stand-in looks at, and how much of the shop it knows.
const SMALL_TURNS: usize = 4;
const SMALL_KNOWLEDGE: usize = 9;

/// What is asked about the shop, by what word, and the answer.
const SHOP: [(&str, &str, &str); 10] = [
    ("refund", "How do I get a refund?", "A refund is paid within 14 days once the parcel is back with us."),
    ("delivery", "How long does delivery take?", "Delivery takes 2 to 4 working days."),
    ("warranty", "How long is the warranty?", "The warranty covers 3 years from the day of purchase."),
    ("invoice", "Where do I find my invoice?", "Every invoice is in your account under Documents."),
    ("password", "How do I reset my password?", "Choose Forgot password on the login page to reset the password."),
    ("opening", "What are the opening hours?", "The opening hours are 9 to 18 on weekdays."),
    ("voucher", "How do I use a voucher?", "A voucher is entered on the last page of the checkout."),
    ("newsletter", "How do I leave the newsletter?", "Each newsletter has a link at its end to leave it."),
    ("assembly", "Do you offer assembly?", "Assembly costs 49 euros and is booked with the order."),
    ("student", "Is there a student discount?", "A student discount of 10 percent is given with a valid card."),
];

/// What a customer tells of themselves, and asks about later; `{}` is what is to be remembered.
const FACTS: [(&str, &str); 6] = [
    ("My order number is {}.", "What was my order number?"),
    ("The parcel should go to {}.", "Where should the parcel go?"),
    ("I bought the lamp in {}.", "When did I buy the lamp?"),
    ("My cat is called {}.", "What is my cat called?"),
    ("The desk is {} wide.", "How wide is the desk?"),
    ("You can reach me at extension {}.", "At what extension can you reach me?"),
];

const VALUES: [[&str; 4]; 6] = [
    ["48213", "77120", "90514", "31866"],
    ["Lisbon", "Gdansk", "Trieste", "Bergen"],
    ["January", "March", "August", "November"],
    ["Miso", "Pepper", "Juno", "Ziggy"],
    ["120 cm", "140 cm", "155 cm", "180 cm"],
    ["4417", "2290", "8035", "6652"],
];

const TALK: [&str; 12] = [
    "I looked at the shelf in the showroom last week and liked the colour a lot.",
    "The weather was so bad that I stayed in and read the catalogue.",
    "My neighbour has the same table and is happy with it.",
    "I will think about the chairs again when we have moved.",
    "The drawers run smoothly since I oiled them.",
    "We painted the hall in a light green that goes well with oak.",
    "The instructions had a drawing that I found hard to read.",
    "I like that the screws are numbered.",
    "The carpet came rolled up and is flat by this time.",
    "There is room for two more plants at the window.",
    "The mirror hangs a little too high for the children.",
    "I measured the kitchen twice to be sure.",
];

const REPLIES: [&str; 4] =
    ["Thank you for telling us.", "That sounds good.", "I see, is there anything else?", "Noted, please go on."];

/// Words that say nothing about what is asked.
const IDLE: [&str; 36] = [
    "the", "a", "is", "to", "i", "my", "me", "of", "in", "at", "it", "do", "does", "did", "how", "what", "where",
    "when", "was", "should", "you", "can", "get", "are", "there", "on", "and", "for", "be", "with", "that", "and",
    "so", "am", "from", "your",
];

/// The files of the example, and the conversations that it is judged by.
pub(crate) fn files() -> Files {
    let mut rng = Rng::new(SEED);
    let mut templates = String::new();
    for (word, _, answer) in SHOP {
        let _ = writeln!(templates, "{word}\t{answer}");
    }
    let mut judged = String::new();
    for number in 0..JUDGED {
        let (messages, expected) = conversation(&mut rng);
        let request = json!({ "model": "assistant", "user": format!("customer-{number}"), "messages": messages });
        let _ = writeln!(judged, "{}", json!({ "request": request, "expected": expected }));
    }
    vec![("templates.txt", templates), ("judged.jsonl", judged)]
}

/// A conversation and what the answer must contain.
fn conversation(rng: &mut Rng) -> (Vec<Value>, &'static str) {
    let mut messages = vec![turn("system", "You answer customers of a furniture shop.")];
    let fact = rng.below(FACTS.len() as u64) as usize;
    let value = pick(rng, &VALUES[fact]);
    let before = rng.below(3);
    let after = rng.below(11);
    let mut talk = TALK;
    shuffle(rng, &mut talk);
    let mut talk = talk.iter().cycle();
    let say = |messages: &mut Vec<Value>, rng: &mut Rng, text: &str| {
        messages.push(turn("user", text));
        messages.push(turn("assistant", pick(rng, &REPLIES)));
    };
    for _ in 0..before {
        say(&mut messages, rng, talk.next().expect("a cycle never ends"));
    }
    say(&mut messages, rng, &FACTS[fact].0.replace("{}", value));
    for _ in 0..after {
        say(&mut messages, rng, talk.next().expect("a cycle never ends"));
    }
    if rng.unit() < 0.5 {
        messages.push(turn("user", FACTS[fact].1));
        return (messages, value);
    }
    let (_, question, answer) = pick(rng, &SHOP);
    messages.push(turn("user", question));
    (messages, answer)
}

fn turn(role: &str, content: &str) -> Value {
    json!({ "role": role, "content": content })
}

/// What a stand-in can do.
struct Stand {
    name: &'static str,
    context: u64,
    /// Most of the last turns that it looks at.
    turns: usize,
    /// What it knows of the shop.
    knowledge: &'static [(&'static str, &'static str, &'static str)],
    /// Prompts with more tokens than this are turned away: what a provider does that is short of capacity.
    outage: AtomicU64,
}

/// The large or the small stand-in.
pub(crate) fn backend(name: &str) -> Option<Router> {
    let stand = |name, context, turns, known: usize| Stand {
        name,
        context,
        turns,
        knowledge: &SHOP[..known],
        outage: AtomicU64::new(u64::MAX),
    };
    let stand = match name {
        "large" => stand("large", LARGE_CONTEXT, usize::MAX, SHOP.len()),
        "small" => stand("small", SMALL_CONTEXT, SMALL_TURNS, SMALL_KNOWLEDGE),
        _ => return None,
    };
    let router = Router::new()
        .route("/v1/chat/completions", post(complete))
        .route(
            "/v1/models",
            get(async |State(stand): State<Arc<Stand>>| {
                Json(json!({ "object": "list", "data": [{ "id": stand.name, "object": "model" }] }))
            }),
        )
        // For outages that are staged: `{"prompt_tokens_max": 60}`, and `{}` to end it.
        .route("/outage", put(stage));
    Some(router.with_state(Arc::new(stand)))
}

async fn stage(State(stand): State<Arc<Stand>>, Json(outage): Json<Value>) {
    stand.outage.store(outage["prompt_tokens_max"].as_u64().unwrap_or(u64::MAX), Ordering::Relaxed);
}

async fn complete(State(stand): State<Arc<Stand>>, Json(request): Json<Value>) -> Response {
    let messages: Vec<(&str, &str)> = request["messages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|message| Some((message["role"].as_str()?, message["content"].as_str()?)))
        .collect();
    let Some((last, _)) = messages.split_last().filter(|(last, _)| last.0 == "user") else {
        return refusal(
            StatusCode::BAD_REQUEST,
            "invalid_request_error",
            "invalid_messages",
            "the last message must be the user's",
        );
    };
    let prompt = messages.iter().map(|(_, content)| tokens(content)).sum::<u64>();
    if prompt > stand.context {
        let message = format!("the context is {} tokens, the prompt has {prompt}", stand.context);
        return refusal(StatusCode::BAD_REQUEST, "invalid_request_error", "context_length_exceeded", &message);
    }
    let most = stand.outage.load(Ordering::Relaxed);
    if prompt > most {
        let message = format!("request too large at this time: limit {most}, requested {prompt} tokens");
        return refusal(StatusCode::TOO_MANY_REQUESTS, "tokens", "rate_limit_exceeded", &message);
    }
    let text = answer(&stand, &messages[..messages.len() - 1], last.1);
    render(stand.name, &text, prompt, request["stream"] == true)
}

/// The sentence that shares most of the question's rare words.
fn answer(stand: &Stand, before: &[(&str, &str)], question: &str) -> String {
    let turns = before.iter().filter(|(role, _)| *role == "user").map(|(_, content)| *content);
    let turns: Vec<&str> = turns.collect();
    let seen = turns.iter().skip(turns.len().saturating_sub(stand.turns)).copied();
    let known = stand.knowledge.iter().map(|(_, _, answer)| *answer);
    let sentences: Vec<(&str, BTreeSet<String>)> =
        seen.chain(known).map(|sentence| (sentence, terms(sentence))).collect();
    let mut frequency: BTreeMap<&str, f64> = BTreeMap::new();
    for term in sentences.iter().flat_map(|(_, terms)| terms) {
        *frequency.entry(term).or_default() += 1.0;
    }
    let asked = terms(question);
    let score =
        |terms: &BTreeSet<String>| asked.intersection(terms).map(|term| 1.0 / frequency[term.as_str()]).sum::<f64>();
    let best = sentences.iter().map(|(sentence, terms)| (score(terms), *sentence)).max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((score, sentence)) if score > 0.0 => sentence.to_owned(),
        _ => "I do not know.".to_owned(),
    }
}

/// Words that say something, without the endings of their inflections.
fn terms(text: &str) -> BTreeSet<String> {
    let words = words(text).into_iter().filter(|word| !IDLE.contains(&word.as_str()));
    words.map(|word| if word == "buy" { "bought".to_owned() } else { word.trim_end_matches('s').to_owned() }).collect()
}

/// Four characters are about a token.
fn tokens(text: &str) -> u64 {
    text.len().div_ceil(4) as u64
}

fn render(model: &str, text: &str, prompt: u64, stream: bool) -> Response {
    let usage =
        json!({ "prompt_tokens": prompt, "completion_tokens": tokens(text), "total_tokens": prompt + tokens(text) });
    let envelope = |object: &str, choice: Value| json!({ "id": "chatcmpl-1", "object": object, "created": 1, "model": model, "choices": [choice] });
    if !stream {
        let message = json!({ "role": "assistant", "content": text });
        let mut whole = envelope("chat.completion", json!({ "index": 0, "message": message, "finish_reason": "stop" }));
        whole["usage"] = usage;
        return Json(whole).into_response();
    }
    let mut events = String::new();
    for word in text.split_inclusive(' ') {
        let choice = json!({ "index": 0, "delta": { "role": "assistant", "content": word }, "finish_reason": null });
        let _ = write!(events, "data: {}\n\n", envelope("chat.completion.chunk", choice));
    }
    let last = json!({ "index": 0, "delta": {}, "finish_reason": "stop" });
    let _ = write!(events, "data: {}\n\ndata: [DONE]\n\n", envelope("chat.completion.chunk", last));
    ([(header::CONTENT_TYPE, "text/event-stream")], events).into_response()
}

fn refusal(status: StatusCode, kind: &str, code: &str, message: &str) -> Response {
    let error = json!({ "error": { "message": message, "type": kind, "param": null, "code": code } });
    (status, Json(error)).into_response()
}
