//! Measures of scores: how well they order, and how far they are from what came.

use super::Estimate;

/// A score of the positive class, and whether it was right to be high.
pub type Scored = (f64, bool);

/// Scores, ascending, and where runs of equal ones end.
fn sorted(scored: &[Scored]) -> Vec<Scored> {
    let mut sorted = scored.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    sorted
}

/// The chance that a positive one scores higher than a negative one, ties half (Mann and Whitney 1947), with the error of DeLong and others
/// (1988); `None` where a class is missing.
pub fn auc(scored: &[Scored]) -> Option<Estimate> {
    let sorted = sorted(scored);
    let positives = sorted.iter().filter(|(_, truth)| *truth).count() as f64;
    let negatives = sorted.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    // Of each: the share of the other class that it beats.
    let (mut beaten_by_positive, mut beaten_by_negative) = (Vec::new(), Vec::new());
    let (mut positives_below, mut negatives_below) = (0.0, 0.0);
    for run in sorted.chunk_by(|a, b| a.0 == b.0) {
        let own_positives = run.iter().filter(|(_, truth)| *truth).count() as f64;
        let own_negatives = run.len() as f64 - own_positives;
        for (_, truth) in run {
            if *truth {
                beaten_by_positive.push((negatives_below + own_negatives / 2.0) / negatives);
            } else {
                let above = positives - positives_below - own_positives;
                beaten_by_negative.push((above + own_positives / 2.0) / positives);
            }
        }
        positives_below += own_positives;
        negatives_below += own_negatives;
    }
    let value = beaten_by_positive.iter().sum::<f64>() / positives;
    let variance = |parts: &[f64]| {
        let n = parts.len() as f64;
        if n < 2.0 {
            f64::INFINITY
        } else {
            parts.iter().map(|part| (part - value).powi(2)).sum::<f64>() / (n - 1.0) / n
        }
    };
    let error = (variance(&beaten_by_positive) + variance(&beaten_by_negative)).sqrt();
    area(value, error, (positives, negatives), sorted.len() as f64)
}

/// An area with its error. Where the classes do not overlap the error is zero and says nothing: then Wilson's interval of as many trials as the
/// rarer class has.
pub(super) fn area(value: f64, error: f64, (positives, negatives): (f64, f64), n: f64) -> Option<Estimate> {
    if error > 0.0 {
        return Estimate::normal(value, error, n, (0.0, 1.0));
    }
    let interval = crate::stats::proportion::wilson(value, positives.min(negatives), crate::stats::Z_95);
    Some(Estimate { value, interval, n })
}

/// The error of Hanley and McNeil (1982) of an area, from the sizes alone.
pub fn hanley_mcneil(area: f64, positives: f64, negatives: f64) -> f64 {
    let (one, two) = (area / (2.0 - area), 2.0 * area * area / (1.0 + area));
    let square = area * area;
    let sum = area * (1.0 - area) + (positives - 1.0) * (one - square) + (negatives - 1.0) * (two - square);
    (sum / (positives * negatives)).max(0.0).sqrt()
}

/// `sum (R_n - R_(n-1)) P_n` over falling scores, with the logit interval of Boyd and others (2013); `None` without a positive one.
pub fn average_precision(scored: &[Scored]) -> Option<Estimate> {
    let mut sorted = sorted(scored);
    sorted.reverse();
    let positives = sorted.iter().filter(|(_, truth)| *truth).count() as f64;
    if positives == 0.0 {
        return None;
    }
    let (mut hits, mut seen, mut sum) = (0.0, 0.0, 0.0);
    for run in sorted.chunk_by(|a, b| a.0 == b.0) {
        let own = run.iter().filter(|(_, truth)| *truth).count() as f64;
        (hits, seen) = (hits + own, seen + run.len() as f64);
        sum += own / positives * (hits / seen);
    }
    Some(logit(sum, positives, sorted.len() as f64))
}

/// An interval that is even on the scale of log odds.
pub(super) fn logit(value: f64, events: f64, n: f64) -> Estimate {
    let spread = crate::stats::Z_95 / (events * value * (1.0 - value)).sqrt();
    let at = |shift: f64| if spread.is_finite() { 1.0 / (1.0 + (1.0 - value) / value * (-shift).exp()) } else { value };
    let interval = if spread.is_finite() {
        crate::stats::Interval { low: at(-spread), high: at(spread) }
    } else {
        // None, or all: as many trials without an exception.
        crate::stats::proportion::wilson(value, events, crate::stats::Z_95)
    };
    Estimate { value, interval, n }
}

/// The mean of `-ln p` of what came; shares are at least the least difference of a double, as scikit-learn has it.
pub fn log_loss(scored: &[Scored]) -> Option<Estimate> {
    let losses: Vec<f64> = scored.iter().map(|(score, truth)| loss(*score, *truth)).collect();
    Estimate::mean(&losses)
}

/// `-ln p` of what came.
pub fn loss(score: f64, truth: bool) -> f64 {
    let score = score.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
    -(if truth { score } else { 1.0 - score }).ln()
}

/// The mean squared difference of score and truth (Brier 1950).
pub fn brier(scored: &[Scored]) -> Option<Estimate> {
    let squares: Vec<f64> = scored.iter().map(|(score, truth)| (score - f64::from(u8::from(*truth))).powi(2)).collect();
    Estimate::mean(&squares)
}

/// The largest distance between the scores' distribution functions of both classes.
pub fn ks_separation(scored: &[Scored]) -> Option<f64> {
    let of = |class: bool| {
        let mut scores: Vec<f64> =
            scored.iter().filter(|(_, truth)| *truth == class).map(|(score, _)| *score).collect();
        scores.sort_unstable_by(f64::total_cmp);
        scores
    };
    let (positive, negative) = (of(true), of(false));
    let both = !positive.is_empty() && !negative.is_empty();
    both.then(|| crate::drift::kolmogorov::distance(&positive, &negative))
}

/// Several classes: the shares that a prediction gave to each.
pub mod several {
    use super::{Estimate, auc};

    /// The mean of `-ln p` of the class that came.
    pub fn log_loss(rows: &[(Vec<f64>, usize)]) -> Option<Estimate> {
        let loss = |(shares, class): &(Vec<f64>, usize)| {
            let all: f64 = shares.iter().sum();
            let share = shares.get(*class).copied().unwrap_or(0.0) / all;
            -share.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln()
        };
        Estimate::mean(&rows.iter().map(loss).collect::<Vec<_>>())
    }

    /// The mean sum of squared differences over all classes.
    pub fn brier(rows: &[(Vec<f64>, usize)]) -> Option<Estimate> {
        let square = |(shares, class): &(Vec<f64>, usize)| {
            let off = |(at, share): (usize, &f64)| (share - f64::from(u8::from(at == *class))).powi(2);
            shares.iter().enumerate().map(off).sum()
        };
        Estimate::mean(&rows.iter().map(square).collect::<Vec<_>>())
    }

    /// The share of predictions whose class is among the `k` likeliest.
    pub fn top_k(rows: &[(Vec<f64>, usize)], k: usize) -> Option<Estimate> {
        let is_in = |(shares, class): &&(Vec<f64>, usize)| {
            let own = shares.get(*class).copied().unwrap_or(f64::NEG_INFINITY);
            let before = shares.iter().enumerate().filter(|(at, s)| **s > own || (**s == own && at < class)).count();
            before < k
        };
        let hits = rows.iter().filter(is_in).count() as f64;
        Estimate::share(hits, rows.len() as f64, rows.len() as f64)
    }

    /// The mean area of each class against the rest.
    pub fn auc_one_vs_rest(rows: &[(Vec<f64>, usize)], classes: usize) -> Option<f64> {
        let area = |class: usize| {
            let scored: Vec<_> = rows.iter().map(|(shares, truth)| (shares[class], *truth == class)).collect();
            Some(auc(&scored)?.value)
        };
        Some((0..classes).map(area).sum::<Option<f64>>()? / classes as f64)
    }

    /// The mean area of each pair of classes, both ways (Hand and Till 2001).
    pub fn auc_one_vs_one(rows: &[(Vec<f64>, usize)], classes: usize) -> Option<f64> {
        let area = |class: usize, other: usize| {
            let of_both = rows.iter().filter(|(_, truth)| *truth == class || *truth == other);
            let scored: Vec<_> = of_both.map(|(shares, truth)| (shares[class], *truth == class)).collect();
            Some(auc(&scored)?.value)
        };
        let (mut sum, mut pairs) = (0.0, 0.0);
        for class in 0..classes {
            for other in class + 1..classes {
                sum += f64::midpoint(area(class, other)?, area(other, class)?);
                pairs += 1.0;
            }
        }
        (pairs > 0.0).then_some(sum / pairs)
    }
}
