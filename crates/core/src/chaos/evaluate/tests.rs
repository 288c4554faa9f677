use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::chaos::experiment::Experiment;
use crate::chaos::record::{Slice, Stopped, write_latency};
use crate::stats::LogHistogram;
use crate::time::Time;

/// A run of ten-second slices with a model that fails for all of the arm.
pub(super) fn run(slices: impl IntoIterator<Item = Slice>) -> Run {
    let experiment: Experiment = serde_json::from_str(
        r#"{"name":"model-down","hypothesis":"a fallback answers","route":"score","target":"primary",
            "fault":{"model_error":{}},"duration":"20m"}"#,
    )
    .unwrap();
    Run {
        id: "EXP-2026-0001".to_owned(),
        design: experiment.design(),
        experiment,
        plan: "plan".to_owned(),
        seed: 7,
        generation: 2,
        by: "ada".to_owned(),
        gameday: None,
        hold_s: None,
        phase: Phase::Recovering,
        started: Time::from_secs(0),
        injected: None,
        withdrawn: None,
        quiet: None,
        recovered: None,
        ended: None,
        stopped: None,
        journal: Vec::new(),
        slices: slices.into_iter().collect(),
        assessment: None,
    }
}

/// Ten seconds in which all of the experiment's arm met the fault and fell back to level 2.
pub(super) fn slice(requests: [u64; 2], unanswered: [u64; 2]) -> Slice {
    let answered = requests[1].saturating_sub(unanswered[1]);
    Slice {
        at: Time::from_secs(0),
        seconds: 10,
        phase: Phase::Injecting,
        requests,
        injected: requests[1],
        unanswered,
        levels: [[requests[0].saturating_sub(unanswered[0]), 0, 0, 0, 0], [0, 0, answered, 0, 0]],
        injected_levels: [0, 0, answered, 0, 0],
        latency: [latency(requests[0], 1), latency(requests[1], 1)],
        spared: 0,
        sent: [0, 0],
    }
}

/// From 1 to 100 ms, times `slow`.
fn latency(requests: u64, slow: u64) -> String {
    let mut histogram = LogHistogram::new();
    (0..requests.min(10_000)).for_each(|at| histogram.record(Duration::from_millis((at % 100 + 1) * slow)));
    write_latency(&histogram)
}

fn of(requests: u64, unanswered: [u64; 2], slow: u64) -> Run {
    let mut slice = slice([requests, requests], unanswered);
    slice.latency[1] = latency(requests, slow);
    let lead = Slice {
        phase: Phase::LeadIn,
        injected: 0,
        injected_levels: [0; 5],
        unanswered: [unanswered[0]; 2],
        levels: [slice.levels[0]; 2],
        latency: [slice.latency[0].clone(), slice.latency[0].clone()],
        ..slice.clone()
    };
    run(std::iter::repeat_n(lead, 12).chain(std::iter::repeat_n(slice, 120)))
}

fn verdict(run: &Run) -> Verdict {
    let assessment = evaluate(run, Some(true));
    for figure in [assessment.errors, assessment.p99].into_iter().flatten() {
        let Compared { control, experiment, effect, low, high, margin } = figure;
        assert!([control, experiment, effect, low, high, margin].iter().all(|value| value.is_finite()), "{figure:?}");
        assert!(low <= effect && effect <= high, "{figure:?}");
    }
    assessment.verdict
}

fn held(run: &Run, name: &str) -> Option<bool> {
    let assessment = evaluate(run, Some(true));
    assessment.checks.iter().find(|check| check.name == name).unwrap_or_else(|| panic!("{name}")).held
}

fn stopped(mut run: Run, reason: &'static str) -> Run {
    let (text, by) = (String::new(), "runner".to_owned());
    run.stopped = Some(Stopped { at: Time::from_secs(60), reason: reason.into(), text, by });
    run
}

#[test]
fn each_word_has_its_case() {
    assert_eq!(verdict(&of(200, [2, 2], 1)), Verdict::Tolerated);
    assert_eq!(verdict(&of(200, [2, 3], 1)), Verdict::Degraded, "0.5 points more, one tolerated");
    assert_eq!(verdict(&of(200, [2, 4], 1)), Verdict::Inconclusive, "exactly the margin");
    assert_eq!(verdict(&of(200, [2, 10], 1)), Verdict::Violated);
    assert_eq!(verdict(&of(200, [2, 2], 2)), Verdict::Degraded, "twice as slow, three times tolerated");
    assert_eq!(verdict(&of(200, [2, 2], 6)), Verdict::Violated);
    assert_eq!(verdict(&of(2, [0, 0], 1)), Verdict::Inconclusive, "no difference among few is no pass");
    assert_eq!(verdict(&of(0, [0, 0], 1)), Verdict::Inconclusive);
    assert_eq!(verdict(&run([])), Verdict::Inconclusive);
    assert_eq!(evaluate(&of(200, [2, 2], 1), Some(false)).verdict, Verdict::NotRecovered);
    assert_eq!(evaluate(&of(200, [2, 2], 1), None).verdict, Verdict::Tolerated);
}

#[test]
fn wrong_doses_and_arms_make_a_run_invalid() {
    let mut none = of(200, [2, 10], 1);
    none.slices.iter_mut().for_each(|slice| slice.injected = 0);
    assert_eq!(verdict(&none), Verdict::Invalid);
    let mut uneven = of(200, [2, 2], 1);
    uneven.slices.iter_mut().for_each(|slice| slice.requests[0] += 20);
    assert_eq!(verdict(&uneven), Verdict::Invalid);
    let mut unlike = of(200, [2, 10], 1);
    unlike.slices.iter_mut().for_each(|slice| slice.unanswered = [2, 20]);
    assert_eq!((verdict(&unlike), held(&unlike, "alike_before")), (Verdict::Invalid, Some(false)));
}

#[test]
fn a_stopped_run_is_still_judged() {
    let mut harmful = of(40, [0, 40], 1);
    harmful.slices.truncate(12 + 5);
    assert_eq!(verdict(&stopped(harmful.clone(), "errors")), Verdict::Violated, "all of the arm for 50 s");
    assert_eq!(verdict(&stopped(harmful.clone(), "halt")), Verdict::Aborted);
    harmful.slices.truncate(12 + 1);
    assert_eq!(verdict(&stopped(harmful, "guard")), Verdict::Violated);
    let harmless = stopped(of(200, [2, 2], 1), "burn_rate");
    let assessment = evaluate(&harmless, Some(true));
    assert_eq!(assessment.verdict, Verdict::Aborted);
    assert!(assessment.errors.is_some() && assessment.p99.is_some() && !assessment.checks.is_empty());
    let early = evaluate(&stopped(of(200, [2, 4], 1), "asked"), None).errors.unwrap();
    let whole = evaluate(&of(200, [2, 4], 1), None).errors.unwrap();
    assert!(early.low < whole.low && early.high > whole.high, "who stops when he likes needs more");
}

#[test]
fn the_missions_checks_and_the_expected_level() {
    let mut run = of(200, [1, 1], 2);
    run.experiment.expect.level = Some(2);
    for name in ["error_rate", "fallback", "p99", "expected_level", "alike_before", "recovered"] {
        assert_eq!(held(&run, name), Some(true), "{name}");
    }
    run.experiment.expect.level = Some(1);
    assert_eq!(held(&run, "expected_level"), Some(false));
    let failing = of(200, [0, 200], 4);
    for name in ["error_rate", "fallback", "p99"] {
        assert_eq!(held(&failing, name), Some(false), "{name}");
    }
    let empty = super::tests::run([]);
    for name in ["error_rate", "fallback", "p99", "alike_before", "control_untouched"] {
        assert_eq!(held(&empty, name), None, "{name}");
    }
}

#[test]
fn a_fault_that_reaches_the_control_is_seen() {
    let mut run = of(200, [2, 2], 1);
    assert_eq!(held(&run, "control_untouched"), Some(true));
    for slice in run.slices.iter_mut().filter(|slice| slice.phase == Phase::Injecting) {
        slice.levels[0] = [0, 0, 198, 0, 0];
    }
    assert_eq!((held(&run, "control_untouched"), verdict(&run)), (Some(false), Verdict::Tolerated));
    for slice in run.slices.iter_mut().filter(|slice| slice.phase == Phase::Injecting) {
        slice.unanswered = [60, 60];
    }
    assert_eq!(verdict(&run), Verdict::Inconclusive, "as bad as a control that is bad is not tolerated");
}

#[test]
fn recommendations_are_of_what_failed() {
    let texts = |run: &Run| evaluate(run, Some(true)).recommendations.join("\n");
    assert_eq!(texts(&of(200, [1, 1], 1)), "");
    let failed = texts(&of(200, [0, 200], 1));
    assert!(failed.contains("`score`") && failed.contains("`primary`") && failed.contains("`ladder`"), "{failed}");
    let mut stale = of(200, [1, 1], 1);
    stale.experiment.fault = serde_json::from_str(r#"{"stale_features":{"age":"1d"}}"#).unwrap();
    for slice in &mut stale.slices {
        slice.levels[1] = [199, 0, 0, 0, 0];
        slice.injected_levels = [slice.injected, 0, 0, 0, 0];
    }
    assert!(texts(&stale).contains("max_age"), "{}", texts(&stale));
    let mut slow = of(200, [1, 1], 5);
    slow.experiment.fault = serde_json::from_str(r#"{"model_latency":{"fixed":"500ms"}}"#).unwrap();
    assert!(texts(&slow).contains("`timeout`") && texts(&slow).contains("slow_after"));
    assert!(texts(&of(2, [0, 0], 1)).contains("duration"));
}

#[test]
fn turns_are_compared_with_their_neighbours() {
    let turns = (0..120).map(|at| {
        let with = (at / 6) % 2 == 1;
        let mut slice = slice(if with { [0, 200] } else { [200, 0] }, if with { [0, 20] } else { [2, 0] });
        slice.injected = slice.requests[1];
        slice
    });
    let mut run = run(turns);
    (run.design, run.experiment.cohort.share) = (Design::Switchback, 1.0);
    let assessment = evaluate(&run, Some(true));
    assert_eq!((assessment.verdict, assessment.assignment), (Verdict::Violated, None));
    assert!((assessment.errors.unwrap().effect - 0.09).abs() < 1e-9);
}

#[test]
fn what_is_detectable_is_detected_four_times_in_five() {
    for (n, base) in [(2_000.0, 0.01), (10_000.0, 0.001), (500.0, 0.02)] {
        let increase = detectable(n, base);
        let mut rng = crate::rng::Rng::new(1);
        let runs = 1_000;
        let found = (0..runs).filter(|_| {
            let mut count = |p: f64| (0..n as u64).filter(|_| rng.unit() < p).count() as u64;
            let pair = crate::stats::proportion::Pair {
                first: (count(base + increase), n as u64),
                second: (count(base), n as u64),
            };
            pair.score(ALPHA).is_some_and(|interval| interval.low > 0.0)
        });
        let share = found.count() as f64 / f64::from(runs);
        assert!((0.72..0.9).contains(&share), "{n} {base}: {share}");
    }
    for odd in [(0.0, 0.01), (f64::NAN, 0.01), (10.0, f64::NAN), (1e12, 0.5), (1.0, 1.0)] {
        assert!((0.0..=1.0).contains(&detectable(odd.0, odd.1)), "{odd:?}");
    }
}

fn any_slice() -> impl Strategy<Value = Slice> {
    let count = || prop_oneof![Just(0_u64), 0..50_u64, 0..5_000_u64, Just(u64::MAX)];
    let phase = prop_oneof![Just(Phase::LeadIn), Just(Phase::Injecting), Just(Phase::Injecting), Just(Phase::Ended)];
    let counts = [count(), count(), count(), count(), count(), count(), count()];
    (phase, counts, 0..100_u32, 0..2_000_u64, prop::array::uniform5(count())).prop_map(
        |(phase, [a, b, c, d, injected, spared, sent], seconds, latencies, levels)| Slice {
            phase,
            seconds,
            injected,
            spared,
            sent: [sent, a],
            levels: [levels, levels],
            injected_levels: levels,
            latency: [latency(latencies, 1), if b == 0 { "no hex".to_owned() } else { latency(latencies / 2, 3) }],
            ..slice([a, b], [c, d])
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_run_makes_it_fail(
        slices in prop::collection::vec(any_slice(), 0..30),
        switchback in any::<bool>(),
        is_stopped in any::<bool>(),
        recovered in any::<Option<bool>>(),
        dose in 0.0..1.0_f64,
    ) {
        let mut run = run(slices);
        run.experiment.dose = dose;
        if switchback {
            run.design = Design::Switchback;
        }
        if is_stopped {
            run = stopped(run, "errors");
        }
        let assessment = evaluate(&run, recovered);
        prop_assert_eq!(recovered == Some(false), assessment.verdict == Verdict::NotRecovered);
        for figure in [assessment.errors, assessment.p99].into_iter().flatten() {
            prop_assert!(![figure.control, figure.effect, figure.low, figure.high].iter().any(|value| value.is_nan()));
        }
        prop_assert!(serde_json::to_string(&assessment).is_ok());
    }

    #[test]
    fn more_errors_never_turn_violated_into_tolerated(
        slices in prop::collection::vec((0..12_u64, 0..60_u64), 6..40),
        more in prop::collection::vec(0..100_u64, 40),
    ) {
        let with = |extra: &dyn Fn(usize) -> u64| {
            let of = |(at, (control, experiment)): (usize, &(u64, u64))| {
                slice([100, 100], [*control, (experiment + extra(at)).min(100)])
            };
            evaluate(&run(slices.iter().enumerate().map(of)), Some(true)).verdict
        };
        let (before, after) = (with(&|_| 0), with(&|at| more[at]));
        prop_assert!(before != Verdict::Violated || !matches!(after, Verdict::Tolerated | Verdict::Degraded));
    }
}
