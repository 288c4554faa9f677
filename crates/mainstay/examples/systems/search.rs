//! A help centre: articles on eight subjects, queries, and how readers behaved.
//!
//! How well an article answers a query is known: it is about the query's subject, about the very thing that is asked,
//! well written, and of late where that matters. Clicks and reading times in the feature store are what readers left of
//! that. The full model reads the text and the clicks, the smaller one the text alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use mainstay_core::rng::Rng;
use serde_json::{Value, json};

use super::Files;
use super::learn::{Features, Logistic, best_first, normal, pick, shuffle, sigmoid, words};
use super::serve::{self, Model, feast, input, input_texts, open_inference, row_of_numbers, row_of_texts};

const SEED: u64 = 302;
const ARTICLES: usize = 240;
const CANDIDATES: usize = 30;
const TRAINING: usize = 300;
const JUDGED: usize = 120;
/// Days over which the articles were written.
const DAYS: f64 = 720.0;

const SUBJECTS: [(&str, [&str; 10]); 8] = [
    (
        "billing",
        ["invoice", "refund", "receipt", "charge", "tax", "discount", "currency", "statement", "renewal", "coupon"],
    ),
    (
        "account",
        [
            "password",
            "login",
            "profile",
            "email",
            "recovery",
            "username",
            "verification",
            "session",
            "device",
            "avatar",
        ],
    ),
    (
        "shipping",
        ["parcel", "courier", "tracking", "address", "delay", "pickup", "customs", "label", "warehouse", "signature"],
    ),
    (
        "returns",
        [
            "exchange",
            "warranty",
            "damage",
            "repair",
            "replacement",
            "packaging",
            "defect",
            "inspection",
            "credit",
            "deadline",
        ],
    ),
    (
        "privacy",
        ["consent", "deletion", "export", "cookie", "retention", "sharing", "audit", "anonymous", "policy", "request"],
    ),
    (
        "network",
        ["router", "firewall", "latency", "proxy", "certificate", "port", "gateway", "packet", "bandwidth", "timeout"],
    ),
    (
        "storage",
        ["backup", "restore", "snapshot", "quota", "bucket", "archive", "volume", "replica", "encryption", "checksum"],
    ),
    ("team", ["invitation", "role", "permission", "owner", "member", "seat", "group", "guest", "approval", "transfer"]),
];

const FILLER: [&str; 24] = [
    "how", "when", "your", "open", "settings", "page", "choose", "then", "after", "before", "please", "note", "button",
    "list", "change", "see", "help", "next", "first", "some", "cases", "need", "also", "here",
];

struct Article {
    subject: usize,
    /// The two things it is about.
    about: [usize; 2],
    quality: f64,
    age_days: f64,
    title: String,
    body: String,
}

struct Query {
    subject: usize,
    asked: usize,
    /// Whether only the latest word counts.
    wants_news: bool,
    text: String,
}

struct Centre {
    articles: Vec<Article>,
    /// Click rate and seconds of reading, by article.
    behaviour: Vec<[f64; 2]>,
    /// How rare a word is, as BM25 has it.
    rarity: BTreeMap<String, f64>,
}

impl Centre {
    fn open(rng: &mut Rng) -> Centre {
        let articles: Vec<Article> = (0..ARTICLES).map(|number| write(number, rng)).collect();
        let behaviour = articles
            .iter()
            .map(|article| {
                let clicks = sigmoid(article.quality + 0.3 * normal(rng));
                let reading = 60.0 + 25.0 * article.quality + 10.0 * normal(rng);
                [round(clicks), round(reading)]
            })
            .collect();
        let mut found: BTreeMap<String, f64> = BTreeMap::new();
        for article in &articles {
            for word in words(&article.body).into_iter().collect::<BTreeSet<_>>() {
                *found.entry(word).or_default() += 1.0;
            }
        }
        let rarity = |found: f64| (1.0 + (ARTICLES as f64 - found + 0.5) / (found + 0.5)).ln();
        let rarity = found.into_iter().map(|(word, found)| (word, rarity(found))).collect();
        Centre { articles, behaviour, rarity }
    }

    /// From 0 to about 3: the truth.
    fn relevance(&self, query: &Query, article: usize) -> f64 {
        let article = &self.articles[article];
        if article.subject != query.subject {
            return 0.0;
        }
        let exact = f64::from(u8::from(article.about.contains(&query.asked)));
        let late = if query.wants_news { 1.0 - article.age_days / DAYS } else { 0.5 };
        (0.5 + 1.4 * exact + 0.7 * article.quality + 0.8 * late).max(0.0)
    }

    fn candidates(&self, query: &Query, rng: &mut Rng) -> Vec<usize> {
        let mut all: Vec<usize> = (0..ARTICLES).collect();
        shuffle(rng, &mut all);
        // What a search index finds: most of it is on the subject, some of it is not.
        let (on, off): (Vec<usize>, Vec<usize>) =
            all.into_iter().partition(|&n| self.articles[n].subject == query.subject);
        let mut found: Vec<usize> = on.into_iter().take(CANDIDATES * 2 / 3).collect();
        found.extend(off.into_iter().take(CANDIDATES - found.len()));
        shuffle(rng, &mut found);
        found
    }

    /// What the models see of a query and an article; behaviour is there in the full model alone.
    fn features(&self, query: &str, article: usize, behaviour: Option<[f64; 2]>) -> Features {
        let article = &self.articles[article];
        let asked = words(query);
        // Rare words say more (the logarithm of BM25), and the second mention adds little.
        let weigh = |text: &str| {
            let text = words(text);
            let weight = |word: &String| {
                let count = text.iter().filter(|other| *other == word).count() as f64;
                self.rarity.get(word).copied().unwrap_or_default() * count / (count + 1.0)
            };
            asked.iter().map(weight).sum::<f64>()
        };
        let recent = 1.0 - article.age_days / DAYS;
        let news = f64::from(u8::from(asked.iter().any(|word| word == "latest")));
        let mut features = vec![(0, weigh(&article.title)), (1, weigh(&article.body)), (2, recent), (3, news * recent)];
        if let Some([clicks, reading]) = behaviour {
            features.extend([(4, clicks), (5, reading / 60.0)]);
        }
        features
    }

    /// Learns which of two articles answers a query better, from differences of features.
    fn train(&self, with_behaviour: bool, rng: &mut Rng) -> Logistic {
        let mut pairs = Vec::new();
        for _ in 0..TRAINING {
            let query = ask(rng);
            let found = self.candidates(&query, rng);
            for _ in 0..15 {
                let (a, b) = (pick(rng, &found), pick(rng, &found));
                let difference = self.relevance(&query, a) - self.relevance(&query, b) + 0.3 * normal(rng);
                let side = |article: usize| {
                    self.features(&query.text, article, with_behaviour.then(|| self.behaviour[article]))
                };
                let features = side(a).into_iter().zip(side(b)).map(|((index, a), (_, b))| (index, a - b)).collect();
                pairs.push((features, difference > 0.0));
            }
        }
        Logistic::train(&pairs, 6, rng)
    }
}

fn write(number: usize, rng: &mut Rng) -> Article {
    let subject = number % SUBJECTS.len();
    let (name, things) = SUBJECTS[subject];
    let about = [rng.below(10) as usize, rng.below(10) as usize];
    let title = format!("{name} {} {}", things[about[0]], pick(rng, &FILLER));
    let mut body: Vec<&str> = (0..14).map(|_| pick(rng, &FILLER)).collect();
    body.extend([name, things[about[0]], things[about[1]], things[about[1]]]);
    // Articles mention other things of their subject, and now and then of another.
    body.extend((0..4).map(|_| pick(rng, &things)));
    let other = rng.below(8) as usize;
    body.push(pick(rng, &SUBJECTS[other].1));
    shuffle(rng, &mut body);
    let (quality, age_days) = (0.7 * normal(rng), rng.between(1.0, DAYS));
    Article { subject, about, quality, age_days, title, body: body.join(" ") }
}

fn ask(rng: &mut Rng) -> Query {
    let subject = rng.below(8) as usize;
    let asked = rng.below(10) as usize;
    let wants_news = rng.unit() < 0.3;
    let latest = if wants_news { "latest " } else { "" };
    let thing = SUBJECTS[subject].1[asked];
    // Some ask for the thing without naming the subject.
    let name = if rng.unit() < 0.6 { SUBJECTS[subject].0 } else { pick(rng, &FILLER) };
    Query { subject, asked, wants_news, text: format!("{latest}{thing} {name}") }
}

/// The files of the example, and the requests that it is judged by.
pub(crate) fn files() -> Files {
    let mut rng = Rng::new(SEED);
    let centre = Centre::open(&mut rng);
    let mut articles = "article,title,body\n".to_owned();
    let mut dates = "article,published\n".to_owned();
    let today = jiff::civil::date(2026, 11, 1);
    for (number, article) in centre.articles.iter().enumerate() {
        let published = today.saturating_sub(jiff::Span::new().days(article.age_days as i64));
        // Writing into a string cannot fail.
        let _ = writeln!(articles, "{},{},{}", id(number), article.title, article.body);
        let _ = writeln!(dates, "{},{published}T00:00:00Z", id(number));
    }
    let mut judged = String::new();
    for number in 0..JUDGED {
        let query = ask(&mut rng);
        let found = centre.candidates(&query, &mut rng);
        let grades: Vec<u8> = found.iter().map(|&n| centre.relevance(&query, n).round().min(3.0) as u8).collect();
        let ids: Vec<String> = found.into_iter().map(id).collect();
        let request = json!({
            "id": format!("search-{number}"),
            "parameters": { "query": query.text },
            "inputs": [row_of_texts("articles", &ids)],
        });
        let _ = writeln!(judged, "{}", json!({ "request": request, "grades": grades }));
    }
    vec![("articles.csv", articles), ("published.csv", dates), ("judged.jsonl", judged)]
}

/// The full ranking model, the one with fewer features, or the feature store.
pub(crate) fn backend(name: &str) -> Option<Router> {
    let centre = Centre::open(&mut Rng::new(SEED));
    let mut rng = Rng::new(SEED + 1);
    match name {
        "ranker" => {
            let model = centre.train(true, &mut rng);
            Some(open_inference("ranker", ordered(centre, model, true)))
        }
        "ranker-lite" => {
            let model = centre.train(false, &mut rng);
            Some(open_inference("ranker-lite", ordered(centre, model, false)))
        }
        "features" => {
            let values: BTreeMap<_, _> =
                centre.behaviour.iter().enumerate().map(|(n, row)| (id(n), row.to_vec())).collect();
            Some(feast(serve::Features {
                view: "article",
                entity: "article_id",
                names: &["click_rate", "reading_seconds"],
                values,
            }))
        }
        _ => None,
    }
}

/// A model that puts a request's articles into order; the full one wants the input `behaviour`, two numbers an article.
fn ordered(centre: Centre, model: Logistic, with_behaviour: bool) -> Model {
    Arc::new(move |request: &Value| {
        let query = request["parameters"]["query"].as_str().ok_or("`parameters.query` is missing")?;
        let ids = input_texts(request, "articles")?;
        let given: Vec<Option<f64>> =
            if with_behaviour { input(request, "behaviour")?.iter().map(Value::as_f64).collect() } else { Vec::new() };
        if with_behaviour && given.len() != 2 * ids.len() {
            return Err(format!("`behaviour` must have the shape [{}, 2]", ids.len()));
        }
        let mut scores = Vec::with_capacity(ids.len());
        for (row, id) in ids.iter().enumerate() {
            let article = number(id).ok_or(format!("there is no article {id}"))?;
            let behaviour = with_behaviour.then(|| [0, 1].map(|n| given[2 * row + n].unwrap_or_default()));
            scores.push(model.score(&centre.features(query, article, behaviour)));
        }
        let order = best_first(&scores);
        let ranked: Vec<String> = order.iter().map(|&at| ids[at].clone()).collect();
        let scores: Vec<f64> = order.iter().map(|&at| scores[at]).collect();
        Ok(vec![row_of_texts("articles", &ranked), row_of_numbers("scores", &scores)])
    })
}

fn id(article: usize) -> String {
    format!("a{article:03}")
}

fn number(id: &str) -> Option<usize> {
    id.strip_prefix('a')?.parse().ok().filter(|number| *number < ARTICLES)
}

fn round(x: f64) -> f64 {
    (x * 1000.0).round() / 1000.0
}
