//! Whether the fault reached as many requests as it should, and each arm as many requests as the other.

use crate::chaos::experiment::{Design, Unit};
use crate::chaos::fault::Fault;
use crate::chaos::record::{Phase, Run, Slice};
use crate::chaos::verdict::{Assignment, Dose};
use crate::stats::{binomial, law};

use super::blocks::Block;

/// How sure the dose's interval is, on both sides together.
const DOSE_CONFIDENCE: f64 = 0.999;
/// The most of the dosed requests that a cap may have spared.
const SPARED_MOST: f64 = 0.5;
/// The least of the load that a load generator must have sent.
const SENT_LEAST: f64 = 0.8;
/// A split less likely than this is no chance.
const SPLIT_LEAST: f64 = 0.0005;
/// How many times as many requests one arm may have as the other, where whole clients or users are assigned.
const UNITS_UNEVEN_MOST: u64 = 4;

fn injecting(run: &Run) -> impl Iterator<Item = &Slice> + Clone {
    run.slices.iter().filter(|slice| slice.phase == Phase::Injecting)
}

fn total(values: impl Iterator<Item = u64>) -> u64 {
    values.fold(0, u64::saturating_add)
}

/// The dose; `None` before anything came.
///
/// A request that was to meet the fault may not have come to where it works: a breaker was open, or an earlier entry of the ladder had no
/// permit. That is a defence and no wrong dose. So requests without the fault that were answered from a deeper level, or not at all, may
/// have been meant for it, and what a cap spared was.
pub(super) fn dose(run: &Run) -> Option<Dose> {
    let slices = injecting(run);
    let eligible = total(slices.clone().map(|slice| slice.requests[1]));
    if let Fault::Overload(overload) = run.experiment.fault {
        return load(&slices, overload.factor - 1.0);
    }
    if eligible == 0 {
        return None;
    }
    let injected = total(slices.clone().map(|slice| slice.injected)).min(eligible);
    let spared = total(slices.clone().map(|slice| slice.spared));
    let sum = |levels: &[u64]| total(levels.iter().copied());
    let elsewhere = total(slices.map(|slice| {
        let deeper = sum(&slice.levels[1][1..]).saturating_sub(sum(&slice.injected_levels[1..]));
        let lost = slice.injected.saturating_sub(sum(&slice.injected_levels));
        deeper.saturating_add(slice.unanswered[1].saturating_sub(lost))
    }));
    let meant = injected.saturating_add(spared).min(eligible);
    let meant_most = meant.saturating_add(elsewhere).min(eligible);
    let one_sided = 1.0 - (1.0 - DOSE_CONFIDENCE) / 2.0;
    let planned = run.experiment.dose;
    let reached = binomial::lower(meant, eligible, one_sided) <= planned
        && planned <= binomial::upper(meant_most, eligible, one_sided);
    let held = reached && injected > 0 && spared as f64 <= SPARED_MOST * (injected as f64 + spared as f64);
    let (low, high) = (binomial::lower(injected, eligible, one_sided), binomial::upper(injected, eligible, one_sided));
    Some(Dose { planned, eligible, injected, low, high, spared, held })
}

/// Of a load generator: how much it sent on top of the requests that came, and what it could not send as what was spared.
fn load<'a>(slices: &(impl Iterator<Item = &'a Slice> + Clone), planned: f64) -> Option<Dose> {
    let sent = |at: usize| total(slices.clone().map(|slice| slice.sent[at]));
    let (injected, spared) = (sent(0), sent(1));
    let eligible = total(slices.clone().map(|slice| slice.requests[1]));
    if eligible == 0 && injected == 0 {
        return None;
    }
    let share = injected as f64 / (eligible.max(1)) as f64;
    let held = injected > 0 && injected as f64 >= SENT_LEAST * (injected as f64 + spared as f64);
    Some(Dose { planned, eligible, injected, low: share, high: share, spared, held })
}

/// The arms' sizes, where both are at the same time: equal shares are planned. `None` otherwise, and before anything came.
///
/// What is still on its way when counting ends is missing from an arm, and more of it from a slow arm: as many requests as come within
/// the 99 % quantile of its latency are allowed for. Where whole clients or users are assigned their number is not known, and requests
/// are no independent draws: only a split beyond 4 to 1 is wrong.
pub(super) fn assignment(run: &Run, all: &Block) -> Option<Assignment> {
    if run.design == Design::Switchback {
        return None;
    }
    let seconds = total(injecting(run).map(|slice| u64::from(slice.seconds))).max(1) as f64;
    let [control, experiment] = [0, 1].map(|arm| total(injecting(run).map(|slice| slice.requests[arm])));
    let both = control as f64 + experiment as f64;
    if both == 0.0 {
        return None;
    }
    let longest = all.latency.iter().filter_map(|histogram| histogram.quantile(0.99)).max().unwrap_or_default();
    let on_their_way = control.max(experiment) as f64 * (longest.as_secs_f64() / seconds).min(1.0);
    let off = (control.abs_diff(experiment) as f64 - on_their_way).max(0.0);
    let p_value = law::chi_square_above(off * off / both, 1.0);
    let held = match run.experiment.cohort.by {
        Unit::Request => p_value > SPLIT_LEAST,
        Unit::Client | Unit::Header(_) => {
            p_value > SPLIT_LEAST
                || control.max(experiment) <= control.min(experiment).saturating_mul(UNITS_UNEVEN_MOST)
        }
    };
    Some(Assignment { control, experiment, p_value, held })
}

#[cfg(test)]
mod tests {
    use super::super::blocks::paired;
    use super::super::tests::{run, slice};
    use super::*;

    fn dosed(dose: f64, slice: Slice) -> Dose {
        let mut run = run([slice]);
        run.experiment.dose = dose;
        super::dose(&run).unwrap()
    }

    #[test]
    fn a_dose_is_what_was_planned_or_is_not() {
        let with = |injected, spared| {
            let mut slice = slice([1_000, 1_000], [0, 0]);
            (slice.injected, slice.spared) = (injected, spared);
            slice
        };
        for (injected, spared, held) in
            [(100, 0, true), (60, 0, false), (150, 0, false), (0, 0, false), (60, 40, true), (40, 60, false)]
        {
            assert_eq!(dosed(0.1, with(injected, spared)).held, held, "{injected} and {spared}");
        }
        assert!(dosed(1.0, with(1_000, 0)).held && !dosed(1.0, with(900, 0)).held);
        assert!(dose(&run([])).is_none());
    }

    #[test]
    fn an_open_breaker_is_no_wrong_dose() {
        let mut shielded = slice([1_000, 1_000], [0, 0]);
        shielded.injected = 30;
        shielded.injected_levels = [0, 0, 30, 0, 0];
        shielded.levels[1] = [0, 0, 1_000, 0, 0];
        assert!(dosed(1.0, shielded.clone()).held);
        shielded.levels[1] = [900, 0, 100, 0, 0];
        assert!(!dosed(1.0, shielded).held, "most were answered by what should have failed");
    }

    fn split(requests: [u64; 2], by: Unit) -> bool {
        let mut run = run([slice(requests, [0, 0])]);
        run.experiment.cohort.by = by;
        assignment(&run, &Block::sum(&paired(&run, Phase::Injecting))).unwrap().held
    }

    #[test]
    fn arms_have_as_many_requests() {
        assert!(split([10_000, 10_400], Unit::Request));
        assert!(!split([10_000, 10_900], Unit::Request));
        assert!(split([10_000, 30_000], Unit::Client) && !split([1_000, 5_000], Unit::Client));
        assert!(!split([1_000, 0], Unit::Client));
        assert!(assignment(&run([]), &Block::default()).is_none());
    }
}
