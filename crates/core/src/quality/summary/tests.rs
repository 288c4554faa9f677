use proptest::prelude::*;

use super::classes::CLASSES_MAX;
use super::*;
use crate::quality::{calibration, scores};

const BINARY: Task = Task::Binary { threshold: 0.5 };

fn label(truth: f64, weight: f64) -> Label {
    Label { truth: Value::Number(truth), weight, age: Duration::from_secs(100) }
}

proptest! {
    #[test]
    fn parts_are_the_whole_and_what_is_taken_back_was_never_there(
        rows in prop::collection::vec((0.0..1.0_f64, any::<bool>(), 1..4_u8), 5..80),
        cut in 0_usize..80, back in 0_usize..5,
    ) {
        let tasks = [BINARY, Task::Regression, Task::Multiclass, Task::Generation, Task::Ranking];
        for task in tasks {
            let said = |score: f64| match task {
                Task::Multiclass => Value::word(if score < 0.4 { "a" } else { "b" }),
                _ => Value::Number(score),
            };
            let truth = |truth: bool| match task {
                Task::Multiclass => Value::word(if truth { "a" } else { "b" }),
                // Of zeros the relative error is so huge that what is taken back leaves its rounding.
                Task::Regression => Value::Number(if truth { 4.0 } else { 1.0 }),
                _ => Value::Number(f64::from(u8::from(truth)) * 4.0),
            };
            let of = |rows: &[(f64, bool, u8)]| {
                let mut all = Summary::default();
                for (score, came, weight) in rows {
                    all.predict(task, Some(&said(*score)));
                    let label = Label { truth: truth(*came), weight: f64::from(*weight), age: Duration::ZERO };
                    all.add(task, Some(&said(*score)), &label).unwrap();
                }
                all
            };
            let whole = of(&rows);
            let cut = cut.min(rows.len());
            let mut parts = of(&rows[..cut]);
            parts.merge(&of(&rows[cut..]));
            let mut fewer = whole.clone();
            for (score, came, weight) in &rows[..back] {
                let label = Label { truth: truth(*came), weight: f64::from(*weight), age: Duration::ZERO };
                fewer.take_back(task, Some(&said(*score)), &label);
            }
            let text = serde_json::to_string(&whole).unwrap();
            let read: Summary = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&read, &whole);
            let rest = of(&rows[back..]);
            for metric in task.metrics() {
                for (seen, wanted) in [(&parts, &whole), (&fewer, &rest)] {
                    let (seen, wanted) = (seen.metric(task, metric), wanted.metric(task, metric));
                    let near = |a: f64, b: f64| (a - b).abs() < 1e-6 || a == b || (a.is_nan() && b.is_nan());
                    let alike = match (seen, wanted) {
                        (Some(a), Some(b)) => near(a.value, b.value),
                        (None, None) => true,
                        // What is taken back leaves rounding where there was nothing.
                        (Some(a), None) => a.n < 1e-6 || a.interval.high - a.interval.low > 0.5,
                        (None, Some(_)) => false,
                    };
                    prop_assert!(alike, "{} {:?} {:?}", metric, seen, wanted);
                }
            }
        }
    }
}

#[test]
fn measures_of_binned_scores_are_near_those_of_the_scores() {
    let mut rng = crate::rng::Rng::new(4);
    let scored: Vec<(f64, bool)> = (0..5_000)
        .map(|_| rng.unit())
        .map(|s| (s, s))
        .collect::<Vec<_>>()
        .into_iter()
        .map(|(score, chance)| (score, rng.unit() < chance))
        .collect();
    let mut summary = Summary::default();
    for (score, truth) in &scored {
        summary.predict(BINARY, Some(&Value::Number(*score)));
        summary.add(BINARY, Some(&Value::Number(*score)), &label(f64::from(u8::from(*truth)), 1.0)).unwrap();
    }
    let near = |name: &str, exact: Option<Estimate>, tolerance: f64| {
        let (seen, exact) = (summary.metric(BINARY, name).unwrap(), exact.unwrap());
        assert!((seen.value - exact.value).abs() <= tolerance, "{name} {seen:?} {exact:?}");
    };
    near("auc", scores::auc(&scored), 1.0 / SCORE_BINS as f64);
    near("average_precision", scores::average_precision(&scored), 0.002);
    near("log_loss", scores::log_loss(&scored), 1e-9);
    near("brier", scores::brier(&scored), 1e-9);
    near("ece", calibration::ece(&scored, calibration::Bins::Width(10)), 1e-9);
    // Scores are chances here: what is expected without labels is what came.
    let expected = summary.expected(&cbpe::Calibrator::default()).precision().unwrap();
    assert!((expected.value - summary.metric(BINARY, "precision").unwrap().value).abs() < 0.02);
}

#[test]
fn what_cannot_be_read_is_said_and_changes_nothing() {
    let mut summary = Summary::default();
    let word = Label { truth: Value::word("maybe"), ..label(0.0, 1.0) };
    assert_eq!(summary.add(BINARY, Some(&Value::Number(0.5)), &word), Err(Unreadable::Label));
    assert_eq!(summary.add(BINARY, None, &label(1.0, 1.0)), Err(Unreadable::Prediction));
    assert_eq!(summary, Summary::default());
    summary.add(BINARY, Some(&Value::word("true")), &Label { truth: Value::word("Yes"), ..word }).unwrap();
    assert_eq!(summary.decisions().tp, 1.0);
    assert_eq!(summary.ages[1], 1);
    assert!(summary.metric(BINARY, "happiness").is_none());
}

/// A summary of predictions and their labels.
fn of_pairs(task: Task, pairs: &[(f64, f64)]) -> Summary {
    let mut summary = Summary::default();
    for (said, truth) in pairs {
        summary.predict(task, Some(&Value::Number(*said)));
        summary.add(task, Some(&Value::Number(*said)), &label(*truth, 1.0)).unwrap();
    }
    summary
}

#[test]
fn a_number_without_a_finite_square_does_not_spoil_its_slice() {
    for (task, said, truth) in [
        (Task::Regression, 1e200, 1.0),
        (Task::Regression, 1.0, -1e200),
        (BINARY, 1e200, 1.0),
        (Task::Generation, 1.0, 1e300),
        (Task::Ranking, 1.0, 1e300),
    ] {
        let mut summary = of_pairs(task, &[(0.5, 1.0), (0.75, 2.0)]);
        let before = summary.clone();
        let huge = summary.add(task, Some(&Value::Number(said)), &label(truth, 1.0));
        assert!(huge.is_err(), "{task:?} {said} {truth}");
        assert_eq!(summary, before);
    }
    let mut summary = of_pairs(Task::Regression, &[(0.5, 1.0), (0.75, 2.0)]);
    for weight in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
        let refused = summary.add(Task::Regression, Some(&Value::Number(1.0)), &label(1.0, weight));
        assert_eq!(refused, Err(Unreadable::Weight), "{weight}");
    }
    // The largest that are taken rest and come back.
    summary.add(Task::Regression, Some(&Value::Number(LARGEST)), &label(0.0, HEAVIEST)).unwrap();
    let read: Summary = serde_json::from_slice(&serde_json::to_vec(&summary).unwrap()).unwrap();
    assert_eq!(read, summary);
}

#[test]
fn a_label_of_zero_that_is_corrected_leaves_no_trace_in_the_relative_error() {
    let pairs = [(1.0, 1.0), (3.0, 4.0), (2.5, 2.0)];
    let mut summary = of_pairs(Task::Regression, &pairs);
    let said = Value::Number(5.0);
    summary.predict(Task::Regression, Some(&said));
    summary.add(Task::Regression, Some(&said), &label(0.0, 1.0)).unwrap();
    summary.take_back(Task::Regression, Some(&said), &label(0.0, 1.0));
    let wanted = of_pairs(Task::Regression, &pairs);
    for name in Task::Regression.metrics() {
        let (seen, wanted) = (summary.metric(Task::Regression, name), wanted.metric(Task::Regression, name));
        let (seen, wanted) = (seen.unwrap(), wanted.unwrap());
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs().max(1.0);
        assert!(near(seen.value, wanted.value), "{name} {seen:?} {wanted:?}");
        assert!(near(seen.interval.high, wanted.interval.high), "{name} {seen:?} {wanted:?}");
    }
}

#[test]
fn spreads_far_from_zero_do_not_cancel() {
    let pairs: Vec<(f64, f64)> = (0..200).map(|n| f64::from(n * 7_919 % 200) / 100.0).map(|x| (x + 0.1, x)).collect();
    let far: Vec<(f64, f64)> = pairs.iter().map(|(said, truth)| (said + 1e8, truth + 1e8)).collect();
    let of = |pairs: &[(f64, f64)]| of_pairs(Task::Regression, pairs).metric(Task::Regression, "r2").unwrap().value;
    assert!((of(&pairs) - of(&far)).abs() < 1e-6, "{} {}", of(&pairs), of(&far));
}

#[test]
fn many_classes_are_told_apart_up_to_a_bound() {
    let (mut summary, mut joined) = (Summary::default(), Summary::default());
    for n in 0..3_000_u32 {
        let word = Value::word(&format!("class {}", n * 7_919 % 3_000));
        let label = Label { truth: word.clone(), ..label(0.0, 1.0) };
        summary.add(Task::Multiclass, Some(&word), &label).unwrap();
        let mut one = Summary::default();
        one.add(Task::Multiclass, Some(&word), &label).unwrap();
        joined.merge(&one);
    }
    for summary in [summary, joined] {
        assert!(
            summary.classes.confusion(1.0).cells.len() <= CLASSES_MAX + 1,
            "{}",
            summary.classes.confusion(1.0).cells.len()
        );
        assert_eq!(summary.metric(Task::Multiclass, "accuracy").unwrap().value, 1.0);
        assert!(summary.metric(Task::Multiclass, "f1").is_some());
    }
}
