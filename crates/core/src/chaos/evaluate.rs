//! What a run showed: both arms compared, and whether the comparison can be trusted.
//!
//! The arms are compared at the same time, never before with after: a trend would be taken for an effect. Blocks of time are paired, so
//! that what strikes both arms is no difference, and blocks that are alike one after the other count as fewer. "Tolerated" is a statement
//! that needs evidence: the interval of the effect must lie within the margin. No value is left out as an outlier: the tail is what
//! faults make.
//!
//! The mission's words, in this order: not recovered, aborted (a run that was stopped for the harm that it did is violated where its
//! figures show as much, at a stricter level because it was stopped for them), invalid, violated, inconclusive, degraded, tolerated.

mod advice;
mod amounts;
mod blocks;
mod bounds;
mod checks;
mod errors;
mod latency;

use super::experiment::{Design, Unit};
use super::record::{Phase, Run};
use super::verdict::{Assessment, Compared, Verdict};
use super::written::format_share;
use crate::stats::law;
use blocks::{Block, paired};
use bounds::{BLOCKS_LEAST, Bounds, stopped_level};
use checks::{Facts, Lead};

/// The chance that an arm that is no worse is called worse, over both figures together.
const ALPHA: f64 = 0.05;
/// The power of [`detectable`].
const POWER: f64 = 0.8;
/// Why a run is stopped for the harm that it does itself.
const OWN_HARM: [&str; 3] = ["errors", "guard", "burn_rate"];

/// What a run showed; `recovered` says whether all was well again after the fault, where it is known.
pub fn evaluate(run: &Run, recovered: Option<bool>) -> Assessment {
    let blocks = paired(run, Phase::Injecting);
    let all = Block::sum(&blocks);
    let stopped = run.stopped.is_some();
    let seconds: f64 =
        run.slices.iter().filter(|slice| slice.phase == Phase::Injecting).map(|slice| f64::from(slice.seconds)).sum();
    let part = seconds / run.experiment.duration.as_secs_f64();
    let judge = Judge { stopped, part };
    let errors = errors::errors(&blocks, &all, stopped);
    let p99 = latency::latency(&blocks, &all, stopped, run.seed);
    let margin = run.experiment.margin;
    let figures: Vec<(&dyn Bounds, f64, f64)> = [
        errors.as_ref().map(|errors| (errors as &dyn Bounds, 0.0, margin.errors)),
        p99.as_ref().map(|p99| (p99 as &dyn Bounds, 1.0, margin.p99)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let share = |arm: usize| all.unanswered[arm] as f64 / all.requests[arm].max(1) as f64;
    let compared_errors = errors.as_ref().map(|errors| judge.compared(errors, [share(0), share(1)], margin.errors));
    let compared_p99 = p99.as_ref().map(|p99| judge.compared(p99, p99.quantiles, margin.p99));
    let dose = amounts::dose(run);
    let assignment = amounts::assignment(run, &all);
    let lead = Lead::of(run, &all);
    let facts = Facts { run, all: &all, errors: compared_errors, p99: compared_p99, dose, lead: &lead, recovered };
    let one_by_one = run.experiment.cohort.by == Unit::Request && run.design == Design::Concurrent;
    let found = Found {
        // Requests that are assigned one by one are right to compare even in a single block.
        enough: blocks.len() >= BLOCKS_LEAST || one_by_one,
        complete: figures.len() == 2,
        violated: judge.beyond(&figures, |(_, _, margin)| margin).contains(&true),
        worse: judge.beyond(&figures, |(_, none, _)| none).contains(&true),
        within: figures.iter().all(|(bounds, _, margin)| bounds.high(judge.level(ALPHA)) <= *margin),
    };
    let split_held = assignment.is_none_or(|assignment| assignment.held);
    let (verdict, why) = decide(&facts, &found, split_held);
    Assessment {
        verdict,
        reason: format!("{why}{}", facts.told()),
        errors: compared_errors,
        p99: compared_p99,
        dose,
        assignment,
        checks: checks::checks(&facts),
        recommendations: advice::advice(&facts, verdict, split_held),
    }
}

/// What the figures say.
struct Found {
    enough: bool,
    complete: bool,
    violated: bool,
    worse: bool,
    within: bool,
}

fn decide(facts: &Facts, found: &Found, split_held: bool) -> (Verdict, String) {
    let told = |verdict, why: &str| (verdict, why.to_owned());
    if facts.recovered == Some(false) {
        return told(Verdict::NotRecovered, "the fault was taken away, and not all was well again in time");
    }
    let alike = facts.lead.alike != Some(false);
    if let Some(stopped) = &facts.run.stopped {
        let own = OWN_HARM.contains(&&*stopped.reason);
        return if own && found.violated && alike && split_held {
            (Verdict::Violated, format!("it was stopped ({}), and did more harm than is tolerated", stopped.reason))
        } else {
            (
                Verdict::Aborted,
                format!("it was stopped ({}) before it could show whether it is tolerated", stopped.reason),
            )
        };
    }
    let Some(dose) = facts.dose else {
        return told(Verdict::Inconclusive, "no request came that could have met the fault");
    };
    if dose.injected == 0 {
        return told(Verdict::Invalid, "no request met the fault");
    }
    if !dose.held {
        let why = if dose.spared > dose.injected {
            "the caps spared more requests than met the fault"
        } else {
            "the share of requests that met the fault is not the planned one"
        };
        return told(Verdict::Invalid, why);
    }
    if !split_held {
        return told(Verdict::Invalid, "the arms have too unequal numbers of requests for chance");
    }
    if !alike {
        return told(Verdict::Invalid, "the arms were not alike before the fault came");
    }
    if !found.enough {
        return told(Verdict::Inconclusive, "there are too few blocks of time to compare");
    }
    if found.violated {
        return told(Verdict::Violated, "the experiment's arm is worse than its control by more than is tolerated");
    }
    if facts.lead.struck == Some(true) {
        return told(Verdict::Inconclusive, "the control had many more unanswered requests than before, too");
    }
    if !found.complete {
        return told(Verdict::Inconclusive, "too few requests were seen to compare both figures");
    }
    match (found.within, found.worse) {
        (true, true) => {
            told(Verdict::Degraded, "the experiment's arm is worse than its control, within what is tolerated")
        }
        (true, false) => told(Verdict::Tolerated, "the experiment's arm is no worse than is tolerated"),
        (false, _) => told(Verdict::Inconclusive, "too little was seen to tell whether it is within what is tolerated"),
    }
}

/// At which levels intervals are looked at.
struct Judge {
    stopped: bool,
    part: f64,
}

impl Judge {
    fn level(&self, alpha: f64) -> f64 {
        if self.stopped { stopped_level(alpha, self.part) } else { alpha }
    }

    /// Which figures are beyond a bound, by Holm's procedure (1979) over all of them.
    fn beyond<'a>(
        &self,
        figures: &[(&'a dyn Bounds, f64, f64)],
        bound: impl Fn((&'a dyn Bounds, f64, f64)) -> f64,
    ) -> Vec<bool> {
        let at = |alpha: f64| -> Vec<bool> {
            figures.iter().map(|figure| figure.0.low(self.level(alpha)) > bound(*figure)).collect()
        };
        let first = at(ALPHA / figures.len().max(1) as f64);
        if first.contains(&true) { at(ALPHA) } else { first }
    }

    fn compared(&self, bounds: &dyn Bounds, values: [f64; 2], margin: f64) -> Compared {
        let level = self.level(ALPHA);
        Compared {
            control: values[0],
            experiment: values[1],
            effect: bounds.effect(),
            low: bounds.low(level),
            high: bounds.high(level),
            margin,
        }
    }
}

/// The smallest increase of the share of unanswered requests, from a share of `base_rate`, that is found with a power of 80 % where each
/// arm has so many requests: by the score test at the level that it has beside the latency's.
///
/// ```
/// use mainstay_core::chaos::evaluate::detectable;
///
/// let increase = detectable(4_000.0, 0.01);
/// assert!(increase > 0.005 && increase < 0.01);
/// assert!(detectable(100.0, 0.01) > 0.05, "a hundred requests tell little");
/// ```
pub fn detectable(requests_per_arm: f64, base_rate: f64) -> f64 {
    if requests_per_arm.is_nan() || requests_per_arm <= 0.0 {
        return 1.0;
    }
    let base = if base_rate.is_nan() { 0.0 } else { base_rate.clamp(0.0, 1.0) };
    let (alpha, beta) = (law::normal_quantile_above(ALPHA / 2.0), law::normal_quantile_above(1.0 - POWER));
    let is_found = |increase: f64| {
        let (raised, middle) = (base + increase, base + increase / 2.0);
        let equal = (2.0 * middle * (1.0 - middle)).sqrt();
        let apart = (base * (1.0 - base) + raised * (1.0 - raised)).sqrt();
        increase * requests_per_arm.sqrt() >= alpha * equal + beta * apart
    };
    let (mut low, mut high) = (0.0, 1.0 - base);
    if !is_found(high) {
        return 1.0;
    }
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if is_found(middle) { high = middle } else { low = middle }
    }
    high
}

/// A share as reasons tell it.
fn percent(share: f64) -> String {
    format_share((share * 1e4).round() / 1e4)
}

#[cfg(test)]
mod tests;
