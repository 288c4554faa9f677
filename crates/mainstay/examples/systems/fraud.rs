//! An hour of card payments: most are honest, some come from stolen cards.
//!
//! Stolen cards show in three ways: a burst of payments, one large payment at a new shop, and one that looks like any other.
//! The scorer sees the payment and, from the feature store, what the card usually does; the batch scores know the card
//! alone (some stolen ones were in a breach that is known of); the velocity limit sees the bursts alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use mainstay_core::rng::Rng;
use serde_json::{Value, json};

use super::Files;
use super::learn::{Features, Logistic, normal, shuffle};
use super::serve::{self, Model, feast, input_numbers, numbers, open_inference, texts};

const SEED: u64 = 304;
const CARDS: usize = 400;
/// Simulated hours to learn from.
const TRAINING_HOURS: u64 = 20;
/// Share of cards that are stolen and used within the hour.
const STOLEN: f64 = 0.05;
/// From this probability on a payment is declined, and from the other on a person looks at it.
const DECLINE_FROM: f64 = 0.7;
const REVIEW_FROM: f64 = 0.2;

/// What is known of a card before the hour begins.
struct Card {
    amount_avg: f64,
    chargebacks: f64,
    in_breach: bool,
    stolen: bool,
}

/// One payment.
#[derive(Clone)]
struct Payment {
    card: usize,
    amount: f64,
    hour: f64,
    foreign: bool,
    online: bool,
    new_shop: bool,
    fraud: bool,
}

/// An hour: its cards, and its payments in the order in which they come.
fn hour(rng: &mut Rng) -> (Vec<Card>, Vec<Payment>) {
    let cards: Vec<Card> = (0..CARDS).map(|_| card(rng)).collect();
    let mut payments = Vec::new();
    for (number, card) in cards.iter().enumerate() {
        if rng.unit() < 0.6 {
            payments.extend((0..=rng.below(2)).map(|_| honest(number, card, rng)));
        }
        if card.stolen {
            let count = match rng.below(3) {
                0 => 4 + rng.below(4),
                _ => 1,
            };
            let quiet = rng.unit() < 0.25;
            payments.extend((0..count).map(|_| {
                if quiet { Payment { fraud: true, ..honest(number, card, rng) } } else { stolen(number, card, rng) }
            }));
        }
    }
    shuffle(rng, &mut payments);
    (cards, payments)
}

fn card(rng: &mut Rng) -> Card {
    let stolen = rng.unit() < STOLEN;
    Card {
        amount_avg: round(40.0 * (0.5 * normal(rng)).exp()),
        chargebacks: if rng.unit() < 0.05 { 1.0 } else { 0.0 },
        in_breach: rng.unit() < if stolen { 0.5 } else { 0.04 },
        stolen,
    }
}

fn honest(number: usize, card: &Card, rng: &mut Rng) -> Payment {
    Payment {
        card: number,
        amount: round(card.amount_avg * (0.6 * normal(rng)).exp()),
        hour: rng.between(8.0, 23.0).floor(),
        foreign: rng.unit() < 0.08,
        online: rng.unit() < 0.4,
        new_shop: rng.unit() < 0.2,
        fraud: false,
    }
}

fn stolen(number: usize, card: &Card, rng: &mut Rng) -> Payment {
    Payment {
        card: number,
        amount: round(card.amount_avg * (1.3 + 0.5 * normal(rng)).exp()),
        hour: rng.between(0.0, 24.0).floor(),
        foreign: rng.unit() < 0.6,
        online: rng.unit() < 0.8,
        new_shop: rng.unit() < 0.95,
        fraud: true,
    }
}

impl Payment {
    /// What the caller sends.
    fn sent(&self) -> [f64; 5] {
        let flag = |flag: bool| f64::from(u8::from(flag));
        [self.amount, self.hour, flag(self.foreign), flag(self.online), flag(self.new_shop)]
    }
}

impl Card {
    /// What the feature store holds.
    fn stored(&self) -> [f64; 3] {
        [self.amount_avg, self.chargebacks, f64::from(u8::from(self.in_breach))]
    }
}

/// What the scorer reads: the payment, the card, and how they go together.
fn features(sent: &[f64], stored: &[f64]) -> Features {
    let [amount, hour, foreign, online, new_shop] = [0, 1, 2, 3, 4].map(|n| sent[n]);
    let ratio = (amount / stored[0].max(1.0)).max(0.01).ln();
    let night = f64::from(u8::from(hour < 7.0));
    let values =
        [ratio, night, foreign, online, new_shop, stored[1], stored[2], ratio.max(0.0) * new_shop, foreign * new_shop];
    values.into_iter().enumerate().collect()
}

/// The scorer, and the model that scores cards overnight.
fn learn() -> (Logistic, Logistic) {
    let mut rng = Rng::new(SEED + 1);
    let (mut payments, mut cards) = (Vec::new(), Vec::new());
    for _ in 0..TRAINING_HOURS {
        let (known, made) = hour(&mut rng);
        payments.extend(
            made.iter().map(|payment| (features(&payment.sent(), &known[payment.card].stored()), payment.fraud)),
        );
        cards.extend(known.iter().map(|card| (card_features(card), card.stolen)));
    }
    (Logistic::train(&payments, 9, &mut rng), Logistic::train(&cards, 2, &mut rng))
}

fn card_features(card: &Card) -> Features {
    vec![(0, card.chargebacks), (1, f64::from(u8::from(card.in_breach)))]
}

/// The files of the example, and the payments that it is judged by.
pub(crate) fn files() -> Files {
    let (cards, payments) = hour(&mut Rng::new(SEED));
    let (_, overnight) = learn();
    let mut scores = "card,score,decision\n".to_owned();
    for (number, card) in cards.iter().enumerate() {
        let score = round(overnight.probability(&card_features(card)));
        let _ = writeln!(scores, "{},{score},{}", id(number), decision(score));
    }
    let mut judged = String::new();
    for (number, payment) in payments.iter().enumerate() {
        let request = json!({
            "id": format!("payment-{number}"),
            "parameters": {
                "card": id(payment.card), "amount": payment.amount, "foreign": payment.foreign, "new_shop": payment.new_shop,
            },
            "inputs": [{ "name": "payment", "datatype": "FP64", "shape": [1, 5], "data": payment.sent() }],
        });
        let _ = writeln!(judged, "{}", json!({ "request": request, "fraud": payment.fraud }));
    }
    vec![("batch_scores.csv", scores), ("judged.jsonl", judged)]
}

/// The scorer or the feature store.
pub(crate) fn backend(name: &str) -> Option<Router> {
    match name {
        "scorer" => Some(open_inference("scorer", scored(learn().0))),
        "features" => {
            let (cards, _) = hour(&mut Rng::new(SEED));
            let values: BTreeMap<_, _> =
                cards.iter().enumerate().map(|(n, card)| (id(n), card.stored().to_vec())).collect();
            Some(feast(serve::Features {
                view: "card",
                entity: "card_id",
                names: &["amount_avg", "chargebacks", "in_breach"],
                values,
            }))
        }
        _ => None,
    }
}

fn scored(model: Logistic) -> Model {
    Arc::new(move |request: &Value| {
        let (sent, stored) = (input_numbers(request, "payment")?, input_numbers(request, "card")?);
        if (sent.len(), stored.len()) != (5, 3) {
            return Err("`payment` must have the shape [1, 5] and `card` [1, 3]".to_owned());
        }
        let fraud = model.probability(&features(&sent, &stored));
        Ok(vec![texts("decision", &[decision(fraud).to_owned()]), numbers("fraud", &[fraud])])
    })
}

fn decision(probability: f64) -> &'static str {
    match probability {
        p if p >= DECLINE_FROM => "decline",
        p if p >= REVIEW_FROM => "review",
        _ => "approve",
    }
}

fn id(card: usize) -> String {
    format!("c{card:03}")
}

fn round(x: f64) -> f64 {
    (x * 1000.0).round() / 1000.0
}
