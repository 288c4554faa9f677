//! How often to save.

use std::time::Duration;

use crate::rng::Rng;

/// The interval that wastes least: the root of 2 x save time x mean time between failures (Young 1974), with Daly's (2006)
/// higher-order terms where the save time is not small; never shorter than the save time.
///
/// ```
/// use std::time::Duration;
/// use mainstay_core::training::interval::suggested;
///
/// let every = suggested(Duration::from_secs(5), Duration::from_mins(30)).as_secs_f64();
/// assert!((every - 131.0).abs() < 2.0, "{every}");
/// ```
pub fn suggested(save: Duration, between_failures: Duration) -> Duration {
    let (save_s, mtbf) = (save.as_secs_f64(), between_failures.as_secs_f64());
    if save_s <= 0.0 || mtbf <= 0.0 {
        return save;
    }
    if save_s >= 2.0 * mtbf {
        return between_failures.max(save);
    }
    let ratio = save_s / (2.0 * mtbf);
    let daly = (2.0 * save_s * mtbf).sqrt() * (1.0 + ratio.sqrt() / 3.0 + ratio / 9.0) - save_s;
    Duration::from_secs_f64(daly.max(save_s))
}

/// A job, as the simulation sees it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Job {
    /// Time of useful work.
    pub work: Duration,
    /// Time of one save.
    pub save: Duration,
    /// Time from a failure to the first new step.
    pub restart: Duration,
    /// Mean time between failures.
    pub between_failures: Duration,
}

/// The share of wall time that is work which was kept, where a save is made each `every` of work: the mean of `runs` seeded runs.
/// Failures come at random (exponential) and undo what was not saved. A run is given up at a hundred times its work.
pub fn goodput(job: Job, every: Duration, runs: u32, rng: &mut Rng) -> f64 {
    (0..runs).map(|_| one(job, every, rng)).sum::<f64>() / f64::from(runs.max(1))
}

fn one(job: Job, every: Duration, rng: &mut Rng) -> f64 {
    let (work, save, restart) = (job.work.as_secs_f64(), job.save.as_secs_f64(), job.restart.as_secs_f64());
    let (every, mtbf) = (every.as_secs_f64().max(1e-3), job.between_failures.as_secs_f64());
    let longest = work * 100.0;
    let (mut wall, mut kept) = (0.0, 0.0);
    let mut failure = rng.exponential(mtbf);
    while kept < work && wall < longest {
        let piece = every.min(work - kept);
        let end = wall + piece + save;
        if failure < end {
            wall = failure + restart;
            failure = wall + rng.exponential(mtbf);
        } else {
            (wall, kept) = (end, kept + piece);
        }
    }
    kept / wall.max(work.min(1e-9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suggested_interval_beats_its_quarter_its_fourfold_and_an_hour() {
        for (save, mtbf) in [(5, 1_800), (60, 10_800)] {
            let job = Job {
                work: Duration::from_hours(24),
                save: Duration::from_secs(save),
                restart: Duration::from_mins(1),
                between_failures: Duration::from_secs(mtbf),
            };
            let best = suggested(job.save, job.between_failures);
            let of = |every: Duration| goodput(job, every, 40, &mut Rng::new(9));
            let suggested = of(best);
            for other in [best / 4, best * 4, Duration::from_hours(1)] {
                assert!(
                    suggested > of(other),
                    "save {save} s, failing each {mtbf} s: {suggested} against {}",
                    of(other)
                );
            }
        }
    }
}
