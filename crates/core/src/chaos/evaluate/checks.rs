//! Checks that hold or do not, beside the verdict.

use crate::chaos::experiment::Design;
use crate::chaos::fault::Fault;
use crate::chaos::record::{Phase, Run, Slice};
use crate::chaos::verdict::{Check, Compared, Dose};
use crate::stats::proportion::Pair;

use super::blocks::{Block, paired};
use super::bounds::Bounds;
use super::{errors, latency, percent};

/// Unanswered requests of the experiment's arm: below this share.
const ERRORS_BELOW: f64 = 0.01;
/// The 99 % quantile: below so many times its control's.
const P99_BELOW: f64 = 3.0;
/// One-sided level of the test of the instrument.
const UNLIKE: f64 = 0.0005;
/// How much of its requests the control may get worse answers for, or none, than before; a comparison with before is rough.
const WORSE_MOST: f64 = 0.05;

/// What the lead-in says.
#[derive(Clone, Debug)]
pub(super) struct Lead {
    /// Both arms were alike; `None`: nothing was seen.
    pub(super) alike: Option<bool>,
    alike_told: String,
    /// The control had many more unanswered requests with the fault than before.
    pub(super) struck: Option<bool>,
    /// The same, with answers from a deeper level too.
    pub(super) spilled: Option<bool>,
    spilled_told: String,
}

impl Lead {
    pub(super) fn of(run: &Run, all: &Block) -> Lead {
        let blocks = paired(run, Phase::LeadIn);
        let before = Block::sum(&blocks);
        let found = [
            errors::errors(&blocks, &before, false)
                .map(|b| (b.low(UNLIKE) <= 0.0 && b.high(UNLIKE) >= 0.0, b.effect())),
            latency::latency(&blocks, &before, false, run.seed)
                .map(|b| (b.low(UNLIKE) <= 1.0 && b.high(UNLIKE) >= 1.0, b.effect())),
        ];
        let alike_told = match found {
            [Some((_, errors)), Some((_, p99))] => {
                format!("unanswered {} apart, p99 {p99:.2} times the control's", percent(errors))
            }
            [Some((_, errors)), None] => format!("unanswered {} apart", percent(errors)),
            _ => "nothing was seen".to_owned(),
        };
        let of = |phase: Phase, deeper: bool| {
            let slices = run.slices.iter().filter(move |slice| slice.phase == phase);
            slices.fold((0_u64, 0_u64), |(bad, n), slice| {
                let deep = if deeper { below_full(&slice.levels[0]) } else { 0 };
                let unanswered = slice.unanswered[0].saturating_add(deep);
                (bad.saturating_add(unanswered), n.saturating_add(slice.requests[0]))
            })
        };
        let grown = |deeper: bool| {
            let pair = Pair { first: of(Phase::Injecting, deeper), second: of(Phase::LeadIn, deeper) };
            let low = pair.score(2.0 * UNLIKE)?.low;
            (run.design == Design::Concurrent && all.requests[0] > 0).then_some((low > WORSE_MOST, pair.difference()?))
        };
        let spilled = grown(true);
        Lead {
            alike: found.iter().flatten().map(|(alike, _)| *alike).reduce(|one, other| one && other),
            alike_told,
            struck: grown(false).map(|(struck, _)| struck),
            spilled: spilled.map(|(spilled, _)| spilled),
            spilled_told: spilled.map_or_else(
                || "nothing was seen".to_owned(),
                |(_, more)| {
                    format!(
                        "{} more of its requests than before were unanswered or answered from a deeper level",
                        percent(more)
                    )
                },
            ),
        }
    }
}

/// Answers that are not from level 0.
fn below_full(levels: &[u64; 5]) -> u64 {
    levels[1..].iter().copied().fold(0, u64::saturating_add)
}

/// All that checks, reasons and recommendations are made from.
pub(super) struct Facts<'a> {
    pub(super) run: &'a Run,
    pub(super) all: &'a Block,
    pub(super) errors: Option<Compared>,
    pub(super) p99: Option<Compared>,
    pub(super) dose: Option<Dose>,
    pub(super) lead: &'a Lead,
    pub(super) recovered: Option<bool>,
}

impl Facts<'_> {
    fn injecting(&self) -> impl Iterator<Item = &Slice> {
        self.run.slices.iter().filter(|slice| slice.phase == Phase::Injecting)
    }

    /// Requests that met the fault and were answered, by level. With more traffic nobody is marked: all of the arm are.
    fn touched(&self) -> [u64; 5] {
        let whole = matches!(self.run.experiment.fault, Fault::Overload(_));
        self.injecting().fold([0; 5], |mut sum, slice| {
            let levels = if whole { slice.levels[1] } else { slice.injected_levels };
            sum.iter_mut().zip(levels).for_each(|(sum, more)| *sum = sum.saturating_add(more));
            sum
        })
    }

    fn met(&self) -> bool {
        self.dose.is_some_and(|dose| dose.injected > 0)
    }

    /// Fewer than 1 % of the experiment's arm are unanswered.
    pub(super) fn errors_held(&self) -> Option<bool> {
        self.errors.map(|errors| errors.experiment < ERRORS_BELOW)
    }

    /// A request that met the fault was answered from a deeper level.
    pub(super) fn fell_back(&self) -> Option<bool> {
        self.met().then(|| below_full(&self.touched()) > 0)
    }

    /// The experiment's 99 % quantile is below three times its control's.
    pub(super) fn p99_held(&self) -> Option<bool> {
        self.p99.map(|p99| p99.effect < P99_BELOW)
    }

    /// Requests that met the fault were answered, and from no deeper level than is expected.
    pub(super) fn level_held(&self) -> Option<bool> {
        let expected = usize::from(self.run.experiment.expect.level?);
        let deepest = self.deepest();
        if self.met() && deepest.is_none() { Some(false) } else { deepest.map(|deepest| deepest <= expected) }
    }

    fn deepest(&self) -> Option<usize> {
        self.touched().iter().rposition(|count| *count > 0)
    }

    /// The figures in words, to follow a verdict.
    pub(super) fn told(&self) -> String {
        let errors = self.errors.map(|it| {
            format!(
                "unanswered {} against {} ({} to {} more, {} tolerated)",
                percent(it.experiment),
                percent(it.control),
                percent(it.low),
                percent(it.high),
                percent(it.margin)
            )
        });
        let p99 = self.p99.map(|it| {
            format!(
                "p99 {:.2} times the control's ({:.2} to {:.2}, {} tolerated)",
                it.effect, it.low, it.high, it.margin
            )
        });
        let told: Vec<String> = [errors, p99].into_iter().flatten().collect();
        if told.is_empty() { String::new() } else { format!(": {}", told.join("; ")) }
    }
}

/// All checks, in the order of reports.
pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    let check = |name: &str, held: Option<bool>, measured: String| Check { name: name.to_owned(), held, measured };
    let unseen = || "nothing was seen".to_owned();
    let too_few = || "too few answers for the quantile".to_owned();
    let touched = facts.touched();
    let answered: u64 = touched.iter().copied().fold(0, u64::saturating_add);
    let mut all = vec![
        check(
            "error_rate",
            facts.errors_held(),
            facts.errors.map_or_else(unseen, |errors| {
                let (unanswered, requests) = (facts.all.unanswered[1], facts.all.requests[1]);
                format!("{} unanswered ({unanswered} of {requests}); below 1%", percent(errors.experiment))
            }),
        ),
        check(
            "fallback",
            facts.fell_back(),
            if facts.met() {
                format!("{} of {answered} answers were from a deeper level", below_full(&touched))
            } else {
                unseen()
            },
        ),
        check(
            "p99",
            facts.p99_held(),
            facts.p99.map_or_else(too_few, |p99| format!("{:.2} times the control's; below {P99_BELOW}", p99.effect)),
        ),
    ];
    if let Some(expected) = facts.run.experiment.expect.level {
        let measured = match facts.deepest() {
            Some(deepest) => format!("level {deepest} at the deepest; {expected} expected"),
            None if facts.met() => "nobody that met the fault was answered".to_owned(),
            None => unseen(),
        };
        all.push(check("expected_level", facts.level_held(), measured));
    }
    all.push(check("alike_before", facts.lead.alike, facts.lead.alike_told.clone()));
    if facts.run.design == Design::Concurrent {
        let held = facts.lead.spilled.map(|spilled| !spilled);
        all.push(check("control_untouched", held, facts.lead.spilled_told.clone()));
    }
    let recovered = match facts.recovered {
        Some(true) => "all was well again in time",
        Some(false) => "not all was well again in time",
        None => "nothing was seen",
    };
    all.push(check("recovered", facts.recovered, recovered.to_owned()));
    all
}
