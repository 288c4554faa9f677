//! Arms that are blocks of time.

use std::time::Duration;

use super::experiment::{Design, Experiment};
use super::order::Blocks;

/// Least number of blocks: three with the fault and three without.
const LEAST: u32 = 6;
/// The part of a block that counts for no arm is one of so many.
const WASHOUT: u32 = 6;
/// Shortest block.
const SHORTEST_BLOCK: Duration = Duration::from_secs(3);
/// Longest block.
const LONGEST_BLOCK: Duration = Duration::from_mins(5);

/// Shortest experiment in blocks.
pub const SHORTEST: Duration = Duration::from_secs(3 * LEAST as u64);
/// The part of a block that counts.
pub const COUNTED: f64 = 1.0 - 1.0 / WASHOUT as f64;

/// The blocks of an experiment; `None`: its arms are at the same time.
pub fn of(experiment: &Experiment) -> Option<Blocks> {
    let in_blocks = experiment.design() == Design::Switchback;
    let length = (experiment.duration / LEAST).clamp(SHORTEST_BLOCK, LONGEST_BLOCK);
    in_blocks.then_some(Blocks { length, washout: length / WASHOUT })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experiment(duration: &str, share: &str) -> Experiment {
        let text = format!(
            r#"{{"name": "a", "hypothesis": "b", "route": "c", "fault": {{"model_error": {{}}}}, "blast": "full",
                "duration": "{duration}", "cohort": {{"share": "{share}"}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn at_least_six_blocks_that_are_neither_too_short_nor_too_long() {
        for (duration, length) in [("18s", 3), ("1m", 10), ("15m", 150), ("30m", 300), ("24h", 300)] {
            let experiment = experiment(duration, "100%");
            let blocks = of(&experiment).unwrap();
            assert_eq!(
                blocks,
                Blocks { length: Duration::from_secs(length), washout: Duration::from_secs(length) / 6 }
            );
            assert!(blocks.length * 6 <= experiment.duration);
        }
        assert_eq!(of(&experiment("15m", "50%")), None);
    }
}
