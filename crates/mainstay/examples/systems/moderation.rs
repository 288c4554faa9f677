//! Messages to a forum: most are fine, some are scams, threats or insults.
//!
//! A third of the harmful ones use plain words, a third hides them (digits for letters, split words), a third needs none of
//! them. Some harmless ones use the same words. The large classifier sees words, pairs of words and pieces of words; the
//! small one words alone.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use mainstay_core::rng::Rng;
use serde_json::{Value, json};

use super::Files;
use super::learn::{Features, Logistic, bucket, pick, words};
use super::serve::{Model, input_texts, numbers, open_inference, texts};

const SEED: u64 = 303;
const TRAINING: usize = 1500;
const JUDGED: usize = 400;
/// Share of harmful messages.
const HARMFUL: f64 = 0.3;
/// From this probability on a message is blocked, and from the other on a person looks at it.
const BLOCK_FROM: f64 = 0.8;
const REVIEW_FROM: f64 = 0.3;

/// Words that are harmful in nearly any message, and what kind of harm they speak of.
const BLOCKED: [(&str, &str); 18] = [
    ("idiot", "insult"),
    ("worthless", "insult"),
    ("pathetic", "insult"),
    ("moron", "insult"),
    ("loser", "insult"),
    ("hurt you", "threat"),
    ("find you", "threat"),
    ("make you pay", "threat"),
    ("where you live", "threat"),
    ("free prize", "scam"),
    ("wire transfer", "scam"),
    ("inheritance", "scam"),
    ("lottery", "scam"),
    ("crypto giveaway", "scam"),
    ("double your money", "scam"),
    ("gift cards", "scam"),
    ("act now", "scam"),
    ("claim your reward", "scam"),
];

/// Words at which a person should look.
const WATCHED: [&str; 10] =
    ["password", "bank", "card number", "investment", "guaranteed", "ugly", "shut up", "regret", "winner", "verify"];

const PLAIN_HARM: [&str; 12] = [
    "you are such a {insult} and {everyone} knows it",
    "only a {insult} would {write} that",
    "what a {insult} go away",
    "i will hurt you {when}",
    "i know where you live and i will find you {when}",
    "{when} i will make you pay for this",
    "you won a free prize {person} act now",
    "claim your reward of {amount} {when}",
    "crypto giveaway {person} double your money {when}",
    "send a wire transfer of {amount} to release the inheritance",
    "buy gift cards for {amount} and read me the codes {person}",
    "lottery winner {person} act now to get {amount}",
];

const QUIET_HARM: [&str; 12] = [
    "nobody here would miss people like you {person}",
    "go back to where you came from {person} you do not belong here",
    "watch your back after class {person}",
    "something bad happens to people who {write} like you",
    "your kind should not be allowed to {write} here",
    "you should disappear {when} {person}",
    "send me the digits on the back of your card {person} so the profile stays open",
    "my uncle left {amount} to you {person} just pay the small fee {when}",
    "this fund pays {amount} every week {person} just transfer a deposit {when}",
    "your parcel is held {person} pay {amount} at this link {when}",
    "tell me the code that was sent to your phone {person} {when}",
    "we saw what you did on your camera {person} pay {amount} {when}",
];

const HARMLESS: [&str; 22] = [
    "the {thing} works well since the last update thanks {person}",
    "how do i change the {thing} {person}",
    "has anybody tried the new {thing} {when}",
    "i wrote about the {thing} {when} here is the link",
    "great answer {person} that fixed my {thing}",
    "my {thing} arrived {when} and it looks good",
    "where can i read more about the {thing}",
    "see you at the meeting {when} {person}",
    "thanks {person} i will try that {when}",
    "i paid {amount} for the {thing} and it was worth it",
    "could somebody explain how the {thing} is used",
    "the picture of your {thing} is beautiful {person}",
    "we moved the {thing} to the other room {when}",
    "is the {thing} back in stock {person}",
    // Harmless words that look like the others.
    "i felt like an idiot when i saw that the {thing} was off",
    "i forgot my password how do i reset it {person}",
    "which bank do you use {person} mine takes fees for the {thing}",
    "is {amount} a good investment for a {thing} or will i regret it",
    "please verify that the {thing} is plugged in {person}",
    "we pay by wire transfer or card for every {thing}",
    "did it hurt you when the {thing} fell {person}",
    "congratulations to the winner of the {thing} contest {person}",
];

const SLOTS: [(&str, &[&str]); 7] = [
    ("insult", &["idiot", "worthless person", "pathetic loser", "moron", "loser"]),
    ("everyone", &["everyone", "this whole forum", "your team", "the class"]),
    ("write", &["post", "write", "say", "think", "talk"]),
    ("when", &["today", "tonight", "tomorrow", "this week", "right away", "on monday", "before noon"]),
    ("person", &["my friend", "alex", "sam", "kim", "dear member", "everyone", "robin", "jo"]),
    ("amount", &["50 euros", "200 dollars", "900 pounds", "1500 dollars", "20000 euros"]),
    ("thing", &["keyboard", "lamp", "garden chair", "recipe", "camera", "app", "bicycle", "printer", "guitar", "tent"]),
];

/// Which of the patterns a message may follow: the classifiers learn from some and are judged by all.
#[derive(Clone, Copy)]
enum Patterns {
    Known,
    All,
}

/// One message, and whether it is harmful: the truth.
fn message(patterns: Patterns, rng: &mut Rng) -> (String, bool) {
    let harmful = rng.unit() < HARMFUL;
    if !harmful {
        return (filled(one_of(&HARMLESS, patterns, rng), rng), false);
    }
    let text = match rng.below(3) {
        0 => filled(one_of(&PLAIN_HARM, patterns, rng), rng),
        1 => hidden(&filled(one_of(&PLAIN_HARM, patterns, rng), rng), rng),
        _ => filled(one_of(&QUIET_HARM, patterns, rng), rng),
    };
    (text, true)
}

/// Every third pattern is unknown to the classifiers.
fn one_of(from: &[&'static str], patterns: Patterns, rng: &mut Rng) -> &'static str {
    loop {
        let number = rng.below(from.len() as u64) as usize;
        if matches!(patterns, Patterns::All) || number % 3 != 2 {
            return from[number];
        }
    }
}

fn filled(pattern: &str, rng: &mut Rng) -> String {
    let mut text = pattern.to_owned();
    for (slot, words) in SLOTS {
        while let Some(at) = text.find(&format!("{{{slot}}}")) {
            text.replace_range(at..at + slot.len() + 2, pick(rng, words));
        }
    }
    text
}

/// Hides the words from a filter: digits for letters, or letters set apart.
fn hidden(text: &str, rng: &mut Rng) -> String {
    let leet = |c: char| match c {
        'i' => '1',
        'e' => '3',
        'o' => '0',
        'a' => '4',
        other => other,
    };
    let hide = |word: &str, rng: &mut Rng| match rng.below(4) {
        0 if word.len() > 3 => word.chars().map(String::from).collect::<Vec<_>>().join("."),
        1 | 2 => word.chars().map(leet).collect(),
        _ => word.to_owned(),
    };
    text.split(' ').map(|word| hide(word, rng)).collect::<Vec<_>>().join(" ")
}

/// The files of the example, and the messages that it is judged by.
pub(crate) fn files() -> Files {
    let mut blocklist = String::new();
    for (word, label) in BLOCKED {
        let _ = writeln!(blocklist, "{word}\t{label}");
    }
    let mut rng = Rng::new(SEED);
    let mut judged = String::new();
    for number in 0..JUDGED {
        let (text, harmful) = message(Patterns::All, &mut rng);
        let request = json!({ "id": format!("message-{number}"), "inputs": [texts("text", &[text])] });
        let _ = writeln!(judged, "{}", json!({ "request": request, "harmful": harmful }));
    }
    vec![("blocklist.txt", blocklist), ("watchlist.txt", WATCHED.join("\n") + "\n"), ("judged.jsonl", judged)]
}

/// The large or the small classifier.
pub(crate) fn backend(name: &str) -> Option<Router> {
    let (name, width, features): (_, usize, fn(&str, usize) -> Features) = match name {
        "classifier" => ("classifier", 1 << 14, all_features),
        "classifier-small" => ("classifier-small", 1 << 6, word_features),
        _ => return None,
    };
    // Other messages than the judged ones, from the same source.
    let mut rng = Rng::new(SEED + 1);
    let examples: Vec<(Features, bool)> = (0..TRAINING)
        .map(|_| {
            let (text, harmful) = message(Patterns::Known, &mut rng);
            (features(&text, width), harmful)
        })
        .collect();
    let model = Logistic::train(&examples, width, &mut rng);
    Some(open_inference(name, decided(move |text| model.probability(&features(text, width)))))
}

fn word_features(text: &str, width: usize) -> Features {
    words(text).iter().map(|word| (bucket(word, width), 1.0)).collect()
}

fn all_features(text: &str, width: usize) -> Features {
    let words = words(text);
    let mut found: Vec<String> = words.iter().map(|word| format!("w {word}")).collect();
    found.extend(words.windows(2).map(|pair| pair.join(" ")));
    let letters: Vec<char> = format!(" {} ", words.join(" ")).chars().collect();
    found.extend(letters.windows(3).map(|three| three.iter().collect::<String>()));
    found.iter().map(|feature| (bucket(feature, width), 0.5)).collect()
}

/// A model that turns a probability of harm into a decision.
fn decided(probability: impl Fn(&str) -> f64 + Send + Sync + 'static) -> Model {
    Arc::new(move |request: &Value| {
        let harm: Vec<f64> = input_texts(request, "text")?.iter().map(|text| probability(text)).collect();
        let decide = |&p: &f64| match p {
            p if p >= BLOCK_FROM => "block".to_owned(),
            p if p >= REVIEW_FROM => "review".to_owned(),
            _ => "allow".to_owned(),
        };
        let decisions: Vec<String> = harm.iter().map(decide).collect();
        Ok(vec![texts("decision", &decisions), numbers("harmful", &harm)])
    })
}
