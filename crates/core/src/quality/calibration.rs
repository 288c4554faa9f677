//! Whether scores are chances, and how to make them so.

use super::Estimate;
use super::scores::Scored;

/// How scores are put into bins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bins {
    /// Of one width over `[0, 1]`.
    Width(usize),
    /// Of about one size, by the order of scores.
    Mass(usize),
}

/// Scores of a bin.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bin {
    /// How many.
    pub count: f64,
    /// The sum of their scores.
    pub said: f64,
    /// How many of them came true.
    pub came: f64,
}

/// Scores by bins; empty ones are there as well.
pub fn reliability(scored: &[Scored], bins: Bins) -> Vec<Bin> {
    let put = |bin: &mut Bin, (score, truth): &Scored| {
        bin.count += 1.0;
        bin.said += score;
        bin.came += f64::from(u8::from(*truth));
    };
    match bins {
        Bins::Width(count) => {
            let mut all = vec![Bin::default(); count.max(1)];
            for one in scored {
                // A bin ends at its right edge; the first one has its left one as well.
                let at = ((one.0 * count as f64).ceil() as usize).saturating_sub(1).min(count.max(1) - 1);
                put(&mut all[at], one);
            }
            all
        }
        Bins::Mass(count) => {
            let mut sorted = scored.to_vec();
            sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
            // As NumPy's array_split: the first bins have one more.
            let (count, n) = (count.max(1), sorted.len());
            let mut rest = &sorted[..];
            let sizes = (0..count).map(|at| n / count + usize::from(at < n % count));
            sizes
                .map(|size| {
                    let (own, further) = rest.split_at(size);
                    rest = further;
                    own.iter().fold(Bin::default(), |mut bin, one| {
                        put(&mut bin, one);
                        bin
                    })
                })
                .collect()
        }
    }
}

/// The expected calibration error: `sum |bin| / n |mean score - share that came|`. Of few scores it is too high even where they are chances.
pub fn ece(scored: &[Scored], bins: Bins) -> Option<Estimate> {
    ece_of(&reliability(scored, bins))
}

/// The same from bins; the error is that of the bins' shares.
pub fn ece_of(bins: &[Bin]) -> Option<Estimate> {
    let n: f64 = bins.iter().map(|bin| bin.count).sum();
    if n <= 0.0 {
        return None;
    }
    let held = bins.iter().filter(|bin| bin.count > 0.0);
    let value = held.clone().map(|bin| (bin.said - bin.came).abs() / n).sum();
    let variance: f64 = held
        .map(|bin| {
            // With one more of each: a bin of which all came is not certain.
            let share = (bin.came + 1.0) / (bin.count + 2.0);
            (bin.count / n).powi(2) * share * (1.0 - share) / bin.count
        })
        .sum();
    Estimate::normal(value, variance.sqrt(), n, (0.0, 1.0))
}

/// A rising step function between points, drawn by straight lines (Zadrozny and Elkan 2002).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Isotonic {
    /// Scores, ascending.
    pub x: Vec<f64>,
    /// Chances at them.
    pub y: Vec<f64>,
}

impl Isotonic {
    /// Fits it by pooling adjacent violators; `None` without scores.
    pub fn fit(scored: &[Scored]) -> Option<Isotonic> {
        let mut sorted = scored.to_vec();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let points: Vec<(f64, f64, f64)> = sorted
            .chunk_by(|a, b| a.0 == b.0)
            .map(|run| (run[0].0, run.iter().filter(|(_, truth)| *truth).count() as f64, run.len() as f64))
            .collect();
        // Blocks of points: sum, weight, how many points.
        let mut blocks: Vec<(f64, f64, usize)> = Vec::new();
        for (_, hits, weight) in &points {
            let mut block = (*hits, *weight, 1);
            while let Some(last) = blocks.last().filter(|last| last.0 / last.1 >= block.0 / block.1) {
                block = (block.0 + last.0, block.1 + last.1, block.2 + last.2);
                blocks.pop();
            }
            blocks.push(block);
        }
        let y: Vec<f64> =
            blocks.iter().flat_map(|(hits, weight, points)| std::iter::repeat_n(hits / weight, *points)).collect();
        // Points between two of the same height add nothing.
        let last = y.len().checked_sub(1)?;
        let kept = |at: usize| at == 0 || at == last || y[at] != y[at - 1] || y[at] != y[at + 1];
        let kept: Vec<usize> = (0..y.len()).filter(|at| kept(*at)).collect();
        Some(Isotonic { x: kept.iter().map(|at| points[*at].0).collect(), y: kept.iter().map(|at| y[*at]).collect() })
    }

    /// The chance at a score; beyond the ends that of the end.
    pub fn at(&self, score: f64) -> f64 {
        let after = self.x.partition_point(|x| *x < score);
        match (after.checked_sub(1), self.x.get(after)) {
            (_, Some(x)) if *x == score => self.y[after],
            (Some(before), Some(x)) => {
                let slope = (self.y[after] - self.y[before]) / (x - self.x[before]);
                slope * (score - self.x[before]) + self.y[before]
            }
            (None, Some(_)) => self.y[0],
            (_, None) => self.y.last().copied().unwrap_or(f64::NAN),
        }
    }
}

/// `1 / (1 + exp(a f + b))` (Platt 1999).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Platt {
    /// The slope: below zero where higher scores are likelier.
    pub a: f64,
    /// The shift.
    pub b: f64,
}

impl Platt {
    /// Fits it to targets that are drawn in a little, `(n+ + 1) / (n+ + 2)` and `1 / (n- + 2)`, by Newton's method (Lin, Lin and Weng 2007);
    /// `None` where a class is missing.
    #[expect(clippy::many_single_char_names, reason = "named as in the paper")]
    pub fn fit(scored: &[Scored]) -> Option<Platt> {
        let positives = scored.iter().filter(|(_, truth)| *truth).count() as f64;
        let negatives = scored.len() as f64 - positives;
        if positives == 0.0 || negatives == 0.0 {
            return None;
        }
        let target = |truth: bool| if truth { (positives + 1.0) / (positives + 2.0) } else { 1.0 / (negatives + 2.0) };
        let loss = |a: f64, b: f64| -> f64 {
            let of = |(score, truth): &Scored| {
                let z = a * score + b;
                // ln(1 + e^z) without overflow; the target's part is linear.
                z.max(0.0) + (-z.abs()).exp().ln_1p() - (1.0 - target(*truth)) * z
            };
            scored.iter().map(of).sum()
        };
        let (mut a, mut b) = (0.0, ((negatives + 1.0) / (positives + 1.0)).ln());
        let mut now = loss(a, b);
        for _ in 0..200 {
            let (mut g, mut h) = ([0.0; 2], [1e-12, 0.0, 1e-12]);
            for (score, truth) in scored {
                let p = 1.0 / (1.0 + (a * score + b).exp());
                let (off, weight) = (target(*truth) - p, p * (1.0 - p));
                g[0] += score * off;
                g[1] += off;
                h[0] += score * score * weight;
                h[1] += score * weight;
                h[2] += weight;
            }
            if g[0].abs() + g[1].abs() < 1e-12 {
                break;
            }
            let det = h[0] * h[2] - h[1] * h[1];
            let (da, db) = (-(h[2] * g[0] - h[1] * g[1]) / det, -(h[0] * g[1] - h[1] * g[0]) / det);
            let mut step = 1.0;
            let better = loop {
                let next = loss(a + step * da, b + step * db);
                if next < now {
                    break Some(next);
                }
                step /= 2.0;
                if step < 1e-12 {
                    break None;
                }
            };
            let Some(next) = better else { break };
            (a, b, now) = (a + step * da, b + step * db, next);
        }
        Some(Platt { a, b })
    }

    /// The chance at a score.
    pub fn at(&self, score: f64) -> f64 {
        1.0 / (1.0 + (self.a * score + self.b).exp())
    }
}
