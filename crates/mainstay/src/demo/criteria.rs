//! Whether the promise was kept, judged by what the callers saw.

use mainstay_core::route::{Class, Level};

use super::script::{Fault, PHASES, recovery_of};
use super::tally::{Tally, ratio};

/// Of class 1, the share that may go without an answer.
const PREMIUM_UNANSWERED_MAX: f64 = 0.002;

/// Once a fault has settled, at least this share of the answers must come from below full service, and once it is
/// over, at least this share must be full service again.
const SETTLED_MIN: f64 = 0.95;

/// Under overload, how much full service a class may have beyond the class above it: what chance alone can do.
const ORDER_TOLERANCE: f64 = 0.02;

/// Under overload, how much more full service class 0 must have than class 3.
const SPREAD_MIN: f64 = 0.20;

/// One promise, and whether it was kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Criterion {
    pub(super) name: &'static str,
    pub(super) held: bool,
    pub(super) measured: String,
}

const CACHED_FEATURES: Level = Level::new(1).expect("there are five levels");
const SIMPLER_MODEL: Level = Level::new(2).expect("there are five levels");
const RULES: Level = Level::new(3).expect("there are five levels");
const PREMIUM: Class = Class::new(1).expect("there are four classes");

/// Judges the whole run.
pub(super) fn judge(tally: &Tally) -> Vec<Criterion> {
    let mut criteria = vec![class_0_always_answered(tally), class_1_nearly_always_answered(tally)];
    for (index, phase) in PHASES.iter().enumerate() {
        match phase.fault {
            Some(Fault::StoreSlow) => criteria.push(Criterion {
                name: "slow feature store: the ladder moved down and came back",
                ..moved_and_came_back(CACHED_FEATURES, index, tally)
            }),
            Some(Fault::PrimaryKilled) => criteria.push(Criterion {
                name: "primary model killed: the ladder moved down and came back",
                ..moved_and_came_back(SIMPLER_MODEL, index, tally)
            }),
            Some(Fault::ModelsKilled) => criteria.push(Criterion {
                name: "both models killed: the ladder moved down and came back",
                ..moved_and_came_back(RULES, index, tally)
            }),
            Some(Fault::Overload) => {
                criteria.extend([shed_lower_first(index, tally), came_back_after_overload(index, tally)]);
            }
            None => {}
        }
    }
    criteria
}

fn class_0_always_answered(tally: &Tally) -> Criterion {
    let cell = tally.class(Class::BEST);
    Criterion {
        name: "class 0 always answered",
        held: cell.sent() > 0 && cell.unanswered() == 0,
        measured: format!("{} of {} unanswered", cell.unanswered(), cell.sent()),
    }
}

fn class_1_nearly_always_answered(tally: &Tally) -> Criterion {
    let cell = tally.class(PREMIUM);
    let share = ratio(cell.unanswered(), cell.sent());
    Criterion {
        name: "class 1 at most 0.2 % unanswered",
        held: share.is_some_and(|share| share <= PREMIUM_UNANSWERED_MAX),
        measured: format!("{} of {} unanswered ({})", cell.unanswered(), cell.sent(), percent(share)),
    }
}

/// Answers came from `level` or deeper once the fault had settled, and from full service once it was over.
fn moved_and_came_back(level: Level, phase: usize, tally: &Tally) -> Criterion {
    let moved = tally.phase(phase).late_at_or_below(level);
    let back = back_at_full_service(phase, tally);
    Criterion {
        name: "",
        held: moved.is_some_and(|share| share >= SETTLED_MIN) && back.is_some_and(|share| share >= SETTLED_MIN),
        measured: format!(
            "{} of the answers at {} or deeper, then {} at {}",
            percent(moved),
            level.name(),
            percent(back),
            Level::FULL.name()
        ),
    }
}

fn came_back_after_overload(phase: usize, tally: &Tally) -> Criterion {
    let back = back_at_full_service(phase, tally);
    Criterion {
        name: "full service came back after the overload",
        held: back.is_some_and(|share| share >= SETTLED_MIN),
        measured: format!("{} at {}", percent(back), Level::FULL.name()),
    }
}

/// Of the last answers of the recovery from `phase`, the share at full service.
fn back_at_full_service(phase: usize, tally: &Tally) -> Option<f64> {
    let below = tally.phase(recovery_of(phase)).late_at_or_below(CACHED_FEATURES)?;
    Some(1.0 - below)
}

fn shed_lower_first(phase: usize, tally: &Tally) -> Criterion {
    let shares: Option<Vec<f64>> =
        (0..Class::COUNT as u8).map(|class| tally.cell(phase, Class::new(class)?).full_service()).collect();
    let held = shares.as_deref().is_some_and(|shares| {
        let ordered = shares.windows(2).all(|pair| pair[1] <= pair[0] + ORDER_TOLERANCE);
        ordered && shares[0] - shares[Class::WORST.index()] >= SPREAD_MIN
    });
    let listed: Vec<String> = shares
        .unwrap_or_default()
        .iter()
        .enumerate()
        .map(|(class, share)| format!("class {class} {}", percent(Some(*share))))
        .collect();
    Criterion {
        name: "overload took full service from the lower classes first",
        held,
        measured: format!("full service: {}", listed.join(", ")),
    }
}

/// A share as a person reads it.
pub(super) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "none".to_owned(), |share| format!("{:.1} %", 100.0 * share))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tally::{Outcome, Sample, Why};
    use super::*;

    /// A run in which everything went as promised: 100 requests per phase and class.
    fn good_run() -> Tally {
        let mut tally = Tally::default();
        for (phase, script) in PHASES.iter().enumerate() {
            for class in (0..4).filter_map(Class::new) {
                for n in 0..100 {
                    let level = match script.fault {
                        Some(Fault::StoreSlow) => 1,
                        Some(Fault::PrimaryKilled) => 2,
                        Some(Fault::ModelsKilled) => 3,
                        Some(Fault::Overload) => 2 * u8::from(n < 30 * class.number()),
                        None => 0,
                    };
                    let outcome = Outcome::Answered { level: Level::new(level).unwrap(), right: Some(true) };
                    tally.count(&Sample { phase, late: n >= 60, class, latency: Duration::from_millis(5), outcome });
                }
            }
        }
        tally
    }

    fn broken(tally: &Tally) -> Vec<&'static str> {
        judge(tally).into_iter().filter(|criterion| !criterion.held).map(|criterion| criterion.name).collect()
    }

    fn lose(tally: &mut Tally, class: u8, why: Why) {
        let class = Class::new(class).unwrap();
        let outcome = Outcome::Unanswered(why);
        tally.count(&Sample { phase: 6, late: false, class, latency: Duration::ZERO, outcome });
    }

    #[test]
    fn a_good_run_holds_and_an_empty_one_does_not() {
        assert_eq!(broken(&good_run()), [""; 0]);
        assert_eq!(broken(&Tally::default()).len(), judge(&Tally::default()).len());
    }

    #[test]
    fn one_lost_answer_of_class_0_is_too_many_and_two_of_class_1_are() {
        for why in [Why::Shed, Why::Error, Why::Timeout, Why::Transport] {
            let mut tally = good_run();
            lose(&mut tally, 1, why);
            assert_eq!(broken(&tally), [""; 0], "1 of 801 is 0.12 %");
            lose(&mut tally, 1, why);
            assert_eq!(broken(&tally), ["class 1 at most 0.2 % unanswered"]);
            lose(&mut tally, 0, why);
            assert_eq!(broken(&tally)[0], "class 0 always answered");
        }
    }

    #[test]
    fn a_ladder_that_stays_down_or_never_moves_is_found() {
        let mut tally = good_run();
        let class = Class::WORST;
        for phase in [1, 5, 7] {
            // Phase 1 stays at full service for many; phases 5 and 7 do not come back.
            let level = Level::new(if phase == 1 { 0 } else { 2 }).unwrap();
            let outcome = Outcome::Answered { level, right: None };
            for _ in 0..50 {
                tally.count(&Sample { phase, late: true, class, latency: Duration::ZERO, outcome });
            }
        }
        let broken = broken(&tally);
        assert_eq!(broken.len(), 4, "{broken:?}");
        assert!(broken[3].starts_with("full service came back"));
    }
}
