//! How much of the time is kept with the suggested interval between saves, and with others: a table, by simulation.

use std::time::Duration;

use mainstay_core::rng::Rng;
use mainstay_core::training::interval::{World, simulated_goodput, suggested};

/// Runs that a figure is the mean of.
const RUNS: u64 = 20;

/// By which means of so many runs differ by chance: where an hour is nearly the suggested interval, either may come first.
const NOISE: f64 = 0.01;

fn main() {
    println!(
        "| mean time between failures | a save | suggested | goodput | a quarter of it | four times it | each hour |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (mtbf, save) in [(30, 5), (180, 60), (720, 120)] {
        let world = World {
            save: Duration::from_secs(save),
            mtbf: Duration::from_mins(mtbf),
            restart: Duration::from_mins(2),
            work: Duration::from_hours(200),
        };
        let every = suggested(world.save, world.mtbf);
        let goodput = |every: Duration| {
            let run = |seed| simulated_goodput(world, every, &mut Rng::new(seed));
            (0..RUNS).map(run).sum::<f64>() / RUNS as f64
        };
        let [ours, short, long] = [every, every / 4, every * 4].map(goodput);
        let hourly = goodput(Duration::from_hours(1));
        println!(
            "| {mtbf} min | {save} s | {:.0} s | {ours:.3} | {short:.3} | {long:.3} | {hourly:.3} |",
            every.as_secs_f64()
        );
        let best = short.max(long).max(hourly);
        assert!(ours > best - NOISE, "the suggested interval is to win");
    }
}
