//! What an injector is told, and who meets the fault by it: a pure function of the request.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::experiment::{Caps, Cohort};
use super::fault::Fault;
use super::written;
use crate::rng::Rng;

/// Most arms' worth of a route that a control takes.
const CONTROL_MAX: f64 = 0.5;

/// An order to an injector. It is in force for `ttl` from when it was given or renewed last, and never longer than `hard_stop`,
/// by the injector's own clock.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Order {
    /// The run of an experiment.
    pub run: String,
    /// Later orders have higher numbers; what an earlier one says then counts no more.
    pub generation: u64,
    /// Decides, with a request's own key, who meets the fault.
    pub seed: u64,
    /// The route.
    pub route: String,
    /// The backend or feature set; absent where the fault is the route's own.
    pub target: Option<String>,
    /// What goes wrong.
    pub fault: Fault,
    /// The chance that a request of the experiment's arm meets it.
    pub dose: f64,
    /// Whom it may touch.
    pub cohort: Cohort,
    /// What bounds it.
    pub caps: Caps,
    /// Blocks of time, where the arms are not at the same time.
    pub blocks: Option<Blocks>,
    /// Whether the fault is in force, or both arms are only watched.
    pub injects: bool,
    /// How long the order stands without being renewed.
    #[serde(with = "written::duration")]
    pub ttl: Duration,
    /// How long it stands at most.
    #[serde(with = "written::duration")]
    pub hard_stop: Duration,
}

/// Blocks of time: with the fault and without it in turn, the first without.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Blocks {
    /// How long a block is.
    #[serde(with = "written::duration")]
    pub length: Duration,
    /// How much of its start counts for no arm: what the block before left behind.
    #[serde(with = "written::duration")]
    pub washout: Duration,
}

/// The two arms.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// What is compared with.
    Control,
    /// What may meet the fault.
    Experiment,
}

impl Arm {
    /// As an index.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl Order {
    /// The arm of a unit, by its hash alone: the same for the whole run. `None`: the unit is in neither. Where the arms are blocks of
    /// time all units of the share are in [`Arm::Experiment`] here, and [`Blocks::arm_at`] says which arm it is.
    pub fn arm(&self, unit: u64) -> Option<Arm> {
        let at = Rng::new(unit ^ self.seed).unit();
        let share = self.cohort.share;
        if at < share {
            Some(Arm::Experiment)
        } else if self.blocks.is_none() && at >= 1.0 - share.min(CONTROL_MAX) {
            Some(Arm::Control)
        } else {
            None
        }
    }

    /// Whether a request of the experiment's arm meets the fault, by its own key.
    pub fn is_dosed(&self, request: u64) -> bool {
        // Another sequence than the one that assigns the arm.
        Rng::new(request.rotate_left(32) ^ self.seed ^ 0x6d61_696e_7374_6179).unit() < self.dose
    }

    /// The random numbers of one request's fault.
    pub fn draws(&self, request: u64) -> Rng {
        Rng::new(request ^ self.seed.rotate_left(17))
    }
}

impl Blocks {
    /// The arm of a moment, counted from when the fault came into force; `None` in a block's washout.
    pub fn arm_at(&self, since: Duration) -> Option<Arm> {
        let length = self.length.as_nanos().max(1);
        let (block, within) = (since.as_nanos() / length, since.as_nanos() % length);
        if within < self.washout.as_nanos() {
            return None;
        }
        Some(if block % 2 == 0 { Arm::Control } else { Arm::Experiment })
    }

    /// Whether the fault is in force at a moment.
    pub fn injects_at(&self, since: Duration) -> bool {
        (since.as_nanos() / self.length.as_nanos().max(1)) % 2 == 1
    }
}

/// A text's hash, for a unit or a request (FNV-1a).
pub fn hash(text: &[u8]) -> u64 {
    text.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::fault::Failing;
    use crate::stats::binomial;

    fn order(share: f64, dose: f64) -> Order {
        Order {
            run: "EXP-1".to_owned(),
            generation: 1,
            seed: 42,
            route: "score".to_owned(),
            target: None,
            fault: Fault::ModelError(Failing::default()),
            dose,
            cohort: Cohort { share, ..Cohort::default() },
            caps: Caps::default(),
            blocks: None,
            injects: true,
            ttl: Duration::from_secs(5),
            hard_stop: Duration::from_mins(1),
        }
    }

    #[test]
    fn both_arms_have_their_share_and_the_dose_is_what_it_says() {
        for (share, dose) in [(0.05, 0.1), (0.25, 0.5), (0.5, 1.0)] {
            let order = order(share, dose);
            let mut counts = [0_u64; 2];
            let mut dosed = 0;
            let n = 40_000;
            for id in 0..n {
                let key = hash(format!("request-{id}").as_bytes());
                let Some(arm) = order.arm(key) else { continue };
                counts[arm.index()] += 1;
                dosed += u64::from(arm == Arm::Experiment && order.is_dosed(key));
            }
            for count in counts {
                assert!(binomial::lower(count, n, 0.9999) < share && share < binomial::upper(count, n, 0.9999));
            }
            let (low, high) = (binomial::lower(dosed, counts[1], 0.9999), binomial::upper(dosed, counts[1], 0.9999));
            assert!(low < dose && (dose < high || dose == 1.0), "{dosed} of {}", counts[1]);
        }
    }

    #[test]
    fn blocks_alternate_and_leave_their_start_out() {
        let blocks = Blocks { length: Duration::from_mins(1), washout: Duration::from_secs(10) };
        let at = |secs| blocks.arm_at(Duration::from_secs(secs));
        assert_eq!(
            [at(5), at(10), at(59), at(60), at(70), at(120), at(130)],
            [None, Some(Arm::Control), Some(Arm::Control), None, Some(Arm::Experiment), None, Some(Arm::Control)]
        );
        assert!(!blocks.injects_at(Duration::from_secs(59)) && blocks.injects_at(Duration::from_mins(1)));
    }
}
