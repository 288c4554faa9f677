//! Measures of what language models write: by people, by judges, by the model itself.

use super::Estimate;

/// A rating from here on is an approval.
pub const APPROVED: f64 = 4.0;

/// The share of ratings of at least [`APPROVED`]: of ratings from one to five, or `0` and `5` for thumbs.
pub fn approval_rate(ratings: &[f64]) -> Option<Estimate> {
    let approved = ratings.iter().filter(|rating| **rating >= APPROVED).count() as f64;
    Estimate::share(approved, ratings.len() as f64, ratings.len() as f64)
}

/// How a comparison of two answers ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Ours was better.
    Win,
    /// Neither was.
    Tie,
    /// The other was better.
    Loss,
}

/// `(wins + ties / 2) / n`, with Student's interval since ties are halves.
pub fn win_rate(comparisons: &[Comparison]) -> Option<Estimate> {
    let points: Vec<f64> = comparisons
        .iter()
        .map(|comparison| match comparison {
            Comparison::Win => 1.0,
            Comparison::Tie => 0.5,
            Comparison::Loss => 0.0,
        })
        .collect();
    Estimate::mean(&points).map(Estimate::of_unit)
}

/// The mean of a judge's scores.
pub fn judge_score(scores: &[f64]) -> Option<Estimate> {
    Estimate::mean(scores)
}

/// `exp(- sum ln p / tokens)` over answers, each with the sum of its tokens' `ln p` and their number; the error is that of a ratio.
pub fn perplexity(answers: &[(f64, f64)]) -> Option<Estimate> {
    let n = answers.len() as f64;
    let tokens: f64 = answers.iter().map(|(_, tokens)| tokens).sum();
    if tokens <= 0.0 {
        return None;
    }
    let ratio = answers.iter().map(|(sum, _)| sum).sum::<f64>() / tokens;
    let squares: f64 = answers.iter().map(|(sum, own)| (sum - ratio * own).powi(2)).sum();
    let error = (squares / (n - 1.0).max(1.0) * n).sqrt() / tokens;
    Some(Estimate::normal(-ratio, error, n, (f64::NEG_INFINITY, f64::INFINITY))?.mapped(f64::exp))
}
