//! Measures of rankings, each the mean over queries with Student's interval.

use super::Estimate;

/// How much a relevance is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gain {
    /// The relevance itself.
    Linear,
    /// `2^relevance - 1`.
    Exponential,
}

impl Gain {
    fn of(self, relevance: f64) -> f64 {
        match self {
            Gain::Linear => relevance,
            Gain::Exponential => relevance.exp2() - 1.0,
        }
    }
}

/// A query's items: the relevance of each, and its score.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Relevances.
    pub relevance: Vec<f64>,
    /// Scores, in the same order.
    pub scores: Vec<f64>,
}

impl Query {
    /// Items in the order in which they were shown.
    pub fn shown(relevance: Vec<f64>) -> Query {
        let scores = (0..relevance.len()).rev().map(|at| at as f64).collect();
        Query { relevance, scores }
    }

    /// Places by falling score; of equal scores the first one first.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.relevance.len()).collect();
        order.sort_by(|a, b| self.scores[*b].total_cmp(&self.scores[*a]));
        order
    }

    /// The discounted gain of the first `k`; equal scores share their gain, as scikit-learn has it.
    pub fn dcg(&self, k: Option<usize>, gain: Gain) -> f64 {
        let order = self.order();
        let k = k.unwrap_or(order.len());
        let discount = |at: usize| if at < k { 1.0 / (at as f64 + 2.0).log2() } else { 0.0 };
        let (mut sum, mut at) = (0.0, 0);
        for run in order.chunk_by(|a, b| self.scores[*a] == self.scores[*b]) {
            let mean = run.iter().map(|item| gain.of(self.relevance[*item])).sum::<f64>() / run.len() as f64;
            sum += mean * (at..at + run.len()).map(discount).sum::<f64>();
            at += run.len();
        }
        sum
    }

    /// The gain as a share of the best order's; zero where nothing is relevant.
    pub fn ndcg(&self, k: Option<usize>, gain: Gain) -> f64 {
        let best = Query { relevance: self.relevance.clone(), scores: self.relevance.clone() }.dcg(k, gain);
        if best > 0.0 { self.dcg(k, gain) / best } else { 0.0 }
    }

    fn relevant(&self, least: f64) -> Vec<bool> {
        self.order().into_iter().map(|item| self.relevance[item] >= least).collect()
    }

    /// One over the place of the first relevant item; zero without any.
    pub fn reciprocal_rank(&self, least: f64) -> f64 {
        self.relevant(least).iter().position(|hit| *hit).map_or(0.0, |at| 1.0 / (at as f64 + 1.0))
    }

    /// The mean of the precisions at the relevant items' places; zero without any.
    pub fn average_precision(&self, least: f64) -> f64 {
        let (mut hits, mut sum) = (0.0, 0.0);
        for (at, hit) in self.relevant(least).into_iter().enumerate() {
            if hit {
                hits += 1.0;
                sum += hits / (at as f64 + 1.0);
            }
        }
        if hits > 0.0 { sum / hits } else { 0.0 }
    }

    /// Relevant items among the first `k`.
    fn hits(&self, k: usize, least: f64) -> f64 {
        self.relevant(least).iter().take(k).filter(|hit| **hit).count() as f64
    }

    /// Whether a relevant item is among the first `k`.
    pub fn hit(&self, k: usize, least: f64) -> bool {
        self.hits(k, least) > 0.0
    }

    /// The share of relevant items among the first `k`.
    pub fn precision(&self, k: usize, least: f64) -> f64 {
        if k == 0 { 0.0 } else { self.hits(k, least) / k as f64 }
    }

    /// The share of the relevant items that is among the first `k`; zero without any.
    pub fn recall(&self, k: usize, least: f64) -> f64 {
        let all = self.relevance.iter().filter(|relevance| **relevance >= least).count() as f64;
        if all > 0.0 { self.hits(k, least) / all } else { 0.0 }
    }
}

/// The mean of a measure over queries.
pub fn mean(queries: &[Query], of: impl Fn(&Query) -> f64) -> Option<Estimate> {
    Estimate::mean(&queries.iter().map(of).collect::<Vec<_>>())
}
