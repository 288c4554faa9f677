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

/// Where the time between checkpoints comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Interval {
    /// The script decides.
    #[default]
    Script,
    /// Somebody decided.
    Fixed(Duration),
    /// What is measured of saves and failures decides.
    Auto,
}

/// The time between failures that is expected before any was seen, weighed like one failure.
const PRIOR_MTBF: Duration = Duration::from_hours(24);
/// Share of time that saves may cost: the bound of CheckFreq (FAST 2021).
const OVERHEAD_MAX: f64 = 0.035;
/// Until a save was measured; early, so that one is.
const FIRST: Duration = Duration::from_mins(5);
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_hours(1);

impl Interval {
    /// Time between checkpoints; `save`: how long steps waited for one, `worked`: the time in which `failures` came.
    /// The mean time between failures is that of a Gamma prior of one failure.
    pub fn in_force(self, save: Option<Duration>, worked: Duration, failures: u32) -> Option<Duration> {
        match (self, save) {
            (Interval::Script, _) => None,
            (Interval::Fixed(every), _) => Some(every),
            (Interval::Auto, None) => Some(FIRST),
            (Interval::Auto, Some(save)) => {
                let mtbf = (PRIOR_MTBF + worked) / failures.saturating_add(1);
                let cheapest = save.div_f64(OVERHEAD_MAX);
                Some(suggested(save, mtbf).max(cheapest).clamp(SHORTEST, LONGEST))
            }
        }
    }
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
    fn what_is_measured_decides_within_bounds() {
        let (secs, hours) = (Duration::from_secs, Duration::from_hours);
        assert_eq!(Interval::Script.in_force(Some(secs(1)), hours(1), 1), None);
        assert_eq!(Interval::Fixed(secs(7)).in_force(Some(secs(1)), hours(1), 1), Some(secs(7)));
        assert_eq!(Interval::Auto.in_force(None, hours(1), 1), Some(FIRST));
        let auto = |save: f64, worked, failures| {
            Interval::Auto.in_force(Some(Duration::from_secs_f64(save)), worked, failures).unwrap().as_secs()
        };
        assert_eq!(auto(1.0, hours(0), 0), 415, "Daly for 1 s and 86 400 s");
        assert!(auto(1.0, hours(24), 20) < 130, "what fails often saves often");
        assert_eq!(auto(10.0, hours(24), 1000), 285, "saves cost 3.5 % at most");
        assert_eq!((auto(0.0, hours(0), 0), auto(600.0, hours(0), 0)), (1, 3600));
    }

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
