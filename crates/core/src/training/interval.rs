//! How often to save.

use std::time::Duration;

use crate::rng::Rng;

/// The interval that loses least, in first order: the root of 2 times the time that a save takes times the mean time
/// between failures (Young 1974, <https://doi.org/10.1145/361147.361115>). Daly (2006) adds terms that matter only where a
/// save takes nearly as long as a failure needs to come; there the mean time itself is used, as Daly does.
pub fn suggested(save: Duration, mtbf: Duration) -> Duration {
    let (delta, mean) = (save.as_secs_f64(), mtbf.as_secs_f64());
    if delta >= mean / 2.0 {
        return mtbf;
    }
    let ratio = (delta / (2.0 * mean)).sqrt();
    let daly = (2.0 * delta * mean).sqrt() * (1.0 + ratio / 3.0 + ratio * ratio / 9.0) - delta;
    Duration::from_secs_f64(daly.max(delta))
}

/// A machine that fails and a script that saves, for [`simulated_goodput`].
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// Time that steps wait for a save.
    pub save: Duration,
    /// Mean time between failures, which come by chance.
    pub mtbf: Duration,
    /// From a failure to the first step.
    pub restart: Duration,
    /// Work to do.
    pub work: Duration,
}

/// Most wall time that is simulated, in multiples of the work: a run that never ends has little goodput, not none.
const PATIENCE: f64 = 50.0;

/// Share of wall time that went into work which is kept, when a checkpoint follows each `every` of work.
pub fn simulated_goodput(world: World, every: Duration, rng: &mut Rng) -> f64 {
    let (work, save) = (world.work.as_secs_f64(), world.save.as_secs_f64());
    let (mut wall, mut kept) = (0.0, 0.0);
    let mut failure = rng.exponential(world.mtbf.as_secs_f64());
    while kept < work && wall < PATIENCE * work {
        let piece = every.as_secs_f64().min(work - kept);
        if wall + piece + save <= failure {
            wall += piece + save;
            kept += piece;
        } else {
            wall = failure + world.restart.as_secs_f64();
            failure = wall + rng.exponential(world.mtbf.as_secs_f64());
        }
    }
    kept / wall
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suggested_interval_beats_hourly_saves() {
        let minutes = Duration::from_mins;
        let mut table = vec!["mtbf  save  interval  suggested  hourly".to_owned()];
        for (mtbf, save) in [(30, 5), (180, 60), (720, 120)] {
            let world = World {
                save: Duration::from_secs(save),
                mtbf: minutes(mtbf),
                restart: minutes(2),
                work: minutes(60 * 100),
            };
            let every = suggested(world.save, world.mtbf);
            let ours = simulated_goodput(world, every, &mut Rng::new(1));
            let hourly = simulated_goodput(world, minutes(60), &mut Rng::new(1));
            table.push(format!("{mtbf:>3}m  {save:>3}s  {:>6.0}s   {ours:>8.3}  {hourly:>6.3}", every.as_secs_f64()));
            assert!(ours > hourly, "{}", table.join("\n"));
        }
        println!("{}", table.join("\n"));
    }
}
