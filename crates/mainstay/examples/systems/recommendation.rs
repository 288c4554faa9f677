//! A shop: customers with a taste, things of six categories, and a log of what was clicked.
//!
//! The taste is the truth: a customer likes a thing as far as their hidden vectors agree. The personalised model learns
//! from the whole log; the small backend knows last night's vectors of the things only and asks for those that are like
//! what the customer clicked; the tables know what everybody clicked.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use mainstay_core::rng::Rng;
use serde_json::{Value, json};

use super::Files;
use super::learn::{Factors, Shown, best_first, cosine, normal, pick, shuffle, sigmoid};
use super::serve::{Model, input_texts, open_inference, row_of_numbers, row_of_texts};

const SEED: u64 = 301;
const CATEGORIES: [&str; 6] = ["books", "garden", "kitchen", "music", "outdoor", "toys"];
const ITEMS: usize = 90;
const USERS: usize = 240;
/// Length of a hidden vector.
const TASTES: usize = 4;
/// Things that each customer was shown in the log.
const SHOWN: usize = 60;
/// Things that can be had when a request comes in.
const CANDIDATES: usize = 50;
const JUDGED: usize = 120;
/// Things that a list answers when it is not ordered for anybody.
const LISTED: usize = 20;

/// The hidden truth, and what the shop has seen of it.
struct Shop {
    category: Vec<usize>,
    items: Vec<Vec<f64>>,
    quality: Vec<f64>,
    users: Vec<Vec<f64>>,
    log: Vec<Shown>,
}

impl Shop {
    fn open(rng: &mut Rng) -> Shop {
        let centres: Vec<Vec<f64>> = CATEGORIES.iter().map(|_| vector(rng, 1.0)).collect();
        let near =
            |rng: &mut Rng, centre: &[f64]| -> Vec<f64> { centre.iter().map(|x| x + 0.6 * normal(rng)).collect() };
        let category: Vec<usize> = (0..ITEMS).map(|n| n % CATEGORIES.len()).collect();
        let items = category.iter().map(|&c| near(rng, &centres[c])).collect();
        let quality = (0..ITEMS).map(|_| 1.6 * normal(rng)).collect();
        let users = (0..USERS).map(|n| near(rng, &centres[n % CATEGORIES.len()])).collect();
        let mut shop = Shop { category, items, quality, users, log: Vec::new() };
        for user in 0..USERS {
            for _ in 0..SHOWN {
                let item = rng.below(ITEMS as u64) as usize;
                let clicked = rng.unit() < sigmoid(shop.liking(user, item) - 1.0);
                shop.log.push((user, item, clicked));
            }
        }
        shop
    }

    /// How much a customer likes a thing: the truth.
    fn liking(&self, user: usize, item: usize) -> f64 {
        super::learn::dot(&self.users[user], &self.items[item]) + self.quality[item]
    }

    fn clicks(&self) -> Vec<f64> {
        let mut clicks = vec![0.0; ITEMS];
        for &(_, item, _) in self.log.iter().filter(|(_, _, clicked)| *clicked) {
            clicks[item] += 1.0;
        }
        clicks
    }

    /// Where a customer clicks most.
    fn favourite(&self, user: usize) -> usize {
        let mut clicks = [0.0; CATEGORIES.len()];
        for &(_, item, _) in self.log.iter().filter(|&&(who, _, clicked)| who == user && clicked) {
            clicks[self.category[item]] += 1.0;
        }
        best_first(&clicks)[0]
    }
}

fn vector(rng: &mut Rng, size: f64) -> Vec<f64> {
    (0..TASTES).map(|_| size * normal(rng)).collect()
}

/// The files of the example, and the requests that it is judged by.
pub(crate) fn files() -> Files {
    let mut rng = Rng::new(SEED);
    let shop = Shop::open(&mut rng);
    let clicks = shop.clicks();
    let mut popularity = "item,clicks\n".to_owned();
    for (item, clicks) in clicks.iter().enumerate() {
        // Writing into a string cannot fail.
        let _ = writeln!(popularity, "{},{clicks}", id(item));
    }
    let mut defaults = String::new();
    for (number, name) in CATEGORIES.iter().enumerate() {
        let of_category = |item: &usize| shop.category[*item] == number;
        let items: Vec<String> = best_first(&clicks).into_iter().filter(of_category).take(LISTED).map(id).collect();
        let _ = writeln!(defaults, "{}", json!({ "category": name, "items": items }));
    }
    let judged = judged(&shop, &mut rng);
    vec![("popularity.csv", popularity), ("category_defaults.jsonl", defaults), ("judged.jsonl", judged)]
}

/// Requests of customers, with a grade from 0 to 3 for each candidate.
fn judged(shop: &Shop, rng: &mut Rng) -> String {
    let mut lines = String::new();
    for number in 0..JUDGED {
        let user = rng.below(USERS as u64) as usize;
        let mut items: Vec<usize> = (0..ITEMS).collect();
        shuffle(rng, &mut items);
        items.truncate(CANDIDATES);
        let liking: Vec<f64> = items.iter().map(|&item| shop.liking(user, item)).collect();
        let mut grades = vec![0; items.len()];
        for (place, at) in best_first(&liking).into_iter().enumerate() {
            grades[at] = [3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 1].get(place).copied().unwrap_or(0);
        }
        let ids: Vec<String> = items.into_iter().map(id).collect();
        // A customer often looks at the category that they click in most, and as often at another.
        let category = if rng.unit() < 0.4 { CATEGORIES[shop.favourite(user)] } else { pick(rng, &CATEGORIES) };
        let request = json!({
            "id": format!("rec-{number}"),
            "parameters": { "user": format!("u{user:03}"), "category": category },
            "inputs": [row_of_texts("candidates", &ids)],
        });
        let _ = writeln!(lines, "{}", json!({ "request": request, "grades": grades }));
    }
    lines
}

fn id(item: usize) -> String {
    format!("i{item:02}")
}

fn number(id: &str, letter: char, below: usize) -> Option<usize> {
    id.strip_prefix(letter)?.parse().ok().filter(|number| *number < below)
}

/// The personalised model, or the one of cached vectors.
pub(crate) fn backend(name: &str) -> Option<Router> {
    let mut rng = Rng::new(SEED);
    let shop = Shop::open(&mut rng);
    let mut rng = Rng::new(SEED + 1);
    match name {
        "personalised" => {
            let factors = Factors::train(&shop.log, USERS, ITEMS, TASTES, &mut rng);
            let score = move |user: usize, item: usize| factors.score(user, item);
            Some(open_inference("personalised", ordered(score)))
        }
        "neighbours" => {
            // Last night's vectors: they lack the later half of each customer's clicks.
            let old: Vec<Shown> = shop.log.chunks(SHOWN).flat_map(|shown| shown[..SHOWN / 2].to_vec()).collect();
            let factors = Factors::train(&old, USERS, ITEMS, TASTES, &mut rng);
            let mut liked: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
            for &(user, item, _) in old.iter().filter(|(_, _, clicked)| *clicked) {
                liked.entry(user).or_default().push(item);
            }
            let score = move |user: usize, item: usize| {
                let mut near: Vec<f64> = liked
                    .get(&user)
                    .into_iter()
                    .flatten()
                    .map(|&other| cosine(&factors.items[other], &factors.items[item]))
                    .collect();
                near.sort_by(|a, b| b.total_cmp(a));
                near.truncate(5);
                near.iter().sum::<f64>() / 5.0
            };
            Some(open_inference("neighbours", ordered(score)))
        }
        _ => None,
    }
}

/// A model that puts a request's candidates into the order of `score`.
fn ordered(score: impl Fn(usize, usize) -> f64 + Send + Sync + 'static) -> Model {
    Arc::new(move |request: &Value| {
        let user = request["parameters"]["user"].as_str().and_then(|id| number(id, 'u', USERS));
        let user = user.ok_or("`parameters.user` names nobody")?;
        let ids = input_texts(request, "candidates")?;
        let items = ids.iter().map(|id| number(id, 'i', ITEMS).ok_or(format!("there is no item {id}")));
        let scores: Vec<f64> = items.map(|item| item.map(|item| score(user, item))).collect::<Result<_, _>>()?;
        let order = best_first(&scores);
        let ranked: Vec<String> = order.iter().map(|&at| ids[at].clone()).collect();
        let scores: Vec<f64> = order.iter().map(|&at| scores[at]).collect();
        Ok(vec![row_of_texts("items", &ranked), row_of_numbers("scores", &scores)])
    })
}
