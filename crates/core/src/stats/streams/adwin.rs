//! A window that shrinks where its two parts differ.

use std::collections::VecDeque;

/// Values are summed in buckets of 1, 2, 4, ... of them; at most this many of a size.
const BUCKETS: usize = 5;
/// Each part of a cut has at least so many values.
const PART_LEAST: f64 = 5.0;
/// Nothing is cut before there are more values than this.
const GRACE: f64 = 10.0;

/// Adaptive windowing (Bifet and Gavaldà 2007), as river 0.26 has it: at a detection the oldest bucket is dropped until no two parts
/// differ, and the update after a detection begins anew. Memory grows with the logarithm of the width.
///
/// ```
/// use mainstay_core::stats::streams::Adwin;
///
/// let mut adwin = Adwin::new(0.002, 32);
/// let detected: Vec<usize> = (0..2_000).filter(|&at| adwin.push(if at < 1_000 { 0.0 } else { 1.0 })).collect();
/// assert_eq!(detected.len(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct Adwin {
    delta: f64,
    clock: u64,
    /// By size, the smallest first; within a size the oldest first.
    rows: Vec<VecDeque<Bucket>>,
    ticks: u64,
    all: Bucket,
    width: f64,
    detected: bool,
}

/// A sum of values, and their squares about their mean.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    total: f64,
    squares: f64,
}

impl Adwin {
    /// A detector that looks for a cut every `clock` values, each at the confidence `1 - delta`.
    pub fn new(delta: f64, clock: u64) -> Adwin {
        Adwin {
            delta,
            clock: clock.max(1),
            rows: vec![VecDeque::new()],
            ticks: 0,
            all: Bucket::default(),
            width: 0.0,
            detected: false,
        }
    }

    /// Takes in a value; whether a change was detected. What is no finite number is left out.
    pub fn push(&mut self, value: f64) -> bool {
        if !value.is_finite() {
            return false;
        }
        if self.detected {
            *self = Adwin::new(self.delta, self.clock);
        }
        self.insert(value);
        self.ticks += 1;
        if self.ticks.is_multiple_of(self.clock) && self.width > GRACE {
            while self.has_cut() {
                self.detected = true;
                self.drop_oldest();
            }
        }
        self.detected
    }

    /// How many values the window has.
    pub fn width(&self) -> f64 {
        self.width
    }

    /// The mean of the window; 0 where it is empty.
    pub fn mean(&self) -> f64 {
        if self.width > 0.0 { self.all.total / self.width } else { 0.0 }
    }

    /// The sum of squares about the mean of the window.
    pub fn squares(&self) -> f64 {
        self.all.squares
    }

    fn insert(&mut self, value: f64) {
        self.rows[0].push_back(Bucket { total: value, squares: 0.0 });
        self.width += 1.0;
        if self.width > 1.0 {
            let before = self.width - 1.0;
            self.all.squares += before * (value - self.all.total / before).powi(2) / self.width;
        }
        self.all.total += value;
        for row in 0.. {
            if self.rows[row].len() <= BUCKETS {
                break;
            }
            let (Some(a), Some(b)) = (self.rows[row].pop_front(), self.rows[row].pop_front()) else { break };
            let n = size(row);
            let apart = n * n * (a.total / n - b.total / n).powi(2) / (n + n);
            if self.rows.len() == row + 1 {
                self.rows.push(VecDeque::new());
            }
            let merged = Bucket { total: a.total + b.total, squares: a.squares + b.squares + apart };
            self.rows[row + 1].push_back(merged);
        }
    }

    /// Whether the values before some cut differ from those after it; all cuts between buckets are looked at, the oldest first.
    fn has_cut(&self) -> bool {
        let (mut n, mut m) = (0.0, self.width);
        let (mut older, mut newer) = (0.0, self.all.total);
        for (row, buckets) in self.rows.iter().enumerate().rev() {
            for bucket in buckets {
                n += size(row);
                m -= size(row);
                older += bucket.total;
                newer -= bucket.total;
                if n >= PART_LEAST && m >= PART_LEAST && (older / n - newer / m).abs() > self.tolerance(n, m) {
                    return true;
                }
            }
        }
        false
    }

    fn tolerance(&self, n: f64, m: f64) -> f64 {
        let strict = (2.0 * self.width.ln() / self.delta).ln();
        let mean = 1.0 / (n - PART_LEAST + 1.0) + 1.0 / (m - PART_LEAST + 1.0);
        (2.0 * mean * (self.all.squares / self.width) * strict).sqrt() + 2.0 / 3.0 * strict * mean
    }

    fn drop_oldest(&mut self) {
        let row = self.rows.len() - 1;
        let Some(bucket) = self.rows[row].pop_front() else { return };
        let n = size(row);
        self.width -= n;
        self.all.total -= bucket.total;
        let apart = (bucket.total / n - self.mean()).powi(2);
        self.all.squares -= bucket.squares + n * self.width * apart / (n + self.width);
        if self.rows[row].is_empty() && row > 0 {
            self.rows.pop();
        }
    }
}

fn size(row: usize) -> f64 {
    2_f64.powi(row as i32)
}
