//! What the stand-ins learn with: logistic regression on sparse features, and a factorisation of who clicked what.
//!
//! Both are stochastic gradient descent in a few lines, so that a model is learnt within a second in an unoptimised build.

use mainstay_core::rng::Rng;

/// The features of one example: index and value.
pub(crate) type Features = Vec<(usize, f64)>;

/// Passes over the examples.
const EPOCHS: usize = 30;

/// First step of AdaGrad (Duchi, Hazan, Singer 2011), which shrinks it per weight.
const STEP: f64 = 0.3;

/// How strongly a weight is drawn to zero at each touch.
const RIDGE: f64 = 1e-4;

/// The probability of "yes", given features.
#[derive(Debug)]
pub(crate) struct Logistic {
    weights: Vec<f64>,
    bias: f64,
}

impl Logistic {
    /// Learns from examples and their answers; indices are below `width`.
    pub(crate) fn train(examples: &[(Features, bool)], width: usize, rng: &mut Rng) -> Logistic {
        let mut model = Logistic { weights: vec![0.0; width], bias: 0.0 };
        let (mut seen, mut seen_bias) = (vec![1e-8; width], 1e-8);
        for _ in 0..EPOCHS * examples.len() {
            let (features, yes) = &examples[rng.below(examples.len() as u64) as usize];
            let error = f64::from(u8::from(*yes)) - model.probability(features);
            for &(index, value) in features {
                let gradient = error * value - RIDGE * model.weights[index];
                seen[index] += gradient * gradient;
                model.weights[index] += STEP * gradient / seen[index].sqrt();
            }
            seen_bias += error * error;
            model.bias += STEP * error / f64::sqrt(seen_bias);
        }
        model
    }

    /// Between 0 and 1.
    pub(crate) fn probability(&self, features: &Features) -> f64 {
        sigmoid(self.score(features))
    }

    /// The log odds: what ranks.
    pub(crate) fn score(&self, features: &Features) -> f64 {
        self.bias + features.iter().map(|&(index, value)| self.weights[index] * value).sum::<f64>()
    }
}

/// One thing shown to somebody, by their numbers, and whether it was clicked.
pub(crate) type Shown = (usize, usize, bool);

/// Vectors of users and items whose product says how likely a click is.
#[derive(Debug)]
pub(crate) struct Factors {
    pub(crate) users: Vec<Vec<f64>>,
    pub(crate) items: Vec<Vec<f64>>,
    /// How much an item is liked by everybody.
    pub(crate) liked: Vec<f64>,
}

impl Factors {
    /// Learns `rank` numbers for each user and item (logistic matrix factorisation).
    pub(crate) fn train(log: &[Shown], users: usize, items: usize, rank: usize, rng: &mut Rng) -> Factors {
        let mut start = |count: usize| -> Vec<Vec<f64>> {
            (0..count).map(|_| (0..rank).map(|_| rng.between(-0.1, 0.1)).collect()).collect()
        };
        let mut model = Factors { users: start(users), items: start(items), liked: vec![0.0; items] };
        for epoch in 0..EPOCHS {
            let step = 0.1 / (1.0 + epoch as f64 / 10.0);
            for _ in 0..log.len() {
                let (user, item, clicked) = log[rng.below(log.len() as u64) as usize];
                let error = f64::from(u8::from(clicked)) - sigmoid(model.score(user, item));
                model.liked[item] += step * error;
                for n in 0..rank {
                    let (p, q) = (model.users[user][n], model.items[item][n]);
                    model.users[user][n] += step * (error * q - 0.03 * p);
                    model.items[item][n] += step * (error * p - 0.03 * q);
                }
            }
        }
        model
    }

    /// The log odds of a click.
    pub(crate) fn score(&self, user: usize, item: usize) -> f64 {
        self.liked[item] + dot(&self.users[user], &self.items[item])
    }
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The angle between two vectors, as its cosine; 0 where one is zero.
pub(crate) fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths > 0.0 { dot(a, b) / lengths } else { 0.0 }
}

pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// A number below `width` for a text: FNV-1a.
pub(crate) fn bucket(text: &str, width: usize) -> usize {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    (hash % width as u64) as usize
}

/// Words in lower case, without punctuation.
pub(crate) fn words(text: &str) -> Vec<String> {
    let separators = |c: char| !(c.is_alphanumeric() || c == '\'');
    text.split(separators).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// A normal deviate (sum of twelve uniform ones).
pub(crate) fn normal(rng: &mut Rng) -> f64 {
    (0..12).map(|_| rng.unit()).sum::<f64>() - 6.0
}

/// One of several.
pub(crate) fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.below(from.len() as u64) as usize]
}

/// Puts things into an order that the generator decides (Fisher, Yates).
pub(crate) fn shuffle<T>(rng: &mut Rng, things: &mut [T]) {
    for last in (1..things.len()).rev() {
        things.swap(last, rng.below(last as u64 + 1) as usize);
    }
}

/// Numbers of the things from best to worst.
pub(crate) fn best_first(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order
}
