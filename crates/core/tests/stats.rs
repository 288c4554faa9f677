//! Laws, corrections and detectors against SciPy, statsmodels and river, and their rates of false alarms against what they promise.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::collections::BTreeMap;

use mainstay_core::drift::kolmogorov;
use mainstay_core::rng::Rng;
use mainstay_core::stats::multiple::{Correction, correct};
use mainstay_core::stats::proportion::{self, Pair};
use mainstay_core::stats::sequential::{Betting, Conformal, Evidence, Form, MeanSequence, radius};
use mainstay_core::stats::streams::{Adwin, Mode, PageHinkley};
use mainstay_core::stats::{Interval, Z_95, binomial, law};
use serde::Deserialize;
use serde_json::Value;

const LAWS: &str = include_str!("golden/stats/laws.json");
const STREAMS: &str = include_str!("golden/stats/streams.json");
const SEQUENTIAL: &str = include_str!("golden/stats/sequential.json");

fn close(seen: f64, wanted: f64, tolerance: f64) -> bool {
    (seen - wanted).abs() <= tolerance * wanted.abs().max(1e-300)
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[test]
fn tails_are_those_of_scipy() {
    let golden: Value = serde_json::from_str(LAWS).unwrap();
    let mut checked = 0;
    for (name, rows) in golden["pvalue_functions"].as_object().unwrap() {
        for row in rows.as_array().unwrap() {
            let row = numbers(row);
            let seen = match name.as_str() {
                "kstwobign.sf" => law::kolmogorov_above(row[0]),
                "kstwo.sf(n=50)" => kolmogorov::tail(50, row[0]),
                "chi2.sf" => law::chi_square_above(row[0], row[1]),
                "norm.sf" => law::normal_above(row[0]),
                "t.sf" => law::student_above(row[0], row[1]),
                "binom.sf" => binomial::at_least(row[0] as u64 + 1, row[1] as u64, row[2]),
                other => panic!("{other}"),
            };
            let wanted = row[row.len() - 1];
            assert!(close(seen, wanted, 1e-8), "{name} {row:?}: {seen}");
            checked += 1;
        }
    }
    assert_eq!(checked, 32);
    assert!(close(law::normal_quantile_above(0.025), Z_95, 1e-12));
    assert!(close(law::student_quantile_above(0.025, 10.0), 2.228_138_851_964_938_5, 1e-10));
}

#[test]
fn intervals_of_shares_are_those_of_statsmodels() {
    let golden: Value = serde_json::from_str(LAWS).unwrap();
    let same = |what: &str, seen: Interval, wanted: &Value| {
        let wanted = numbers(wanted);
        let fine = |a: f64, b: f64| (a - b).abs() <= 1e-10 * b.abs().max(1e-6);
        assert!(fine(seen.low, wanted[0]) && fine(seen.high, wanted[1]), "{what}: {seen:?} for {wanted:?}");
    };
    for case in golden["binomial_ci"].as_array().unwrap() {
        let (hits, n) = (case["k"].as_u64().unwrap(), case["n"].as_u64().unwrap());
        same("wilson", proportion::wilson(hits as f64 / n as f64, n as f64, Z_95), &case["wilson"]);
        same("beta", proportion::clopper_pearson(hits, n, 0.05), &case["beta"]);
        same("jeffreys", proportion::jeffreys(hits, n, 0.05), &case["jeffreys"]);
        same("agresti_coull", proportion::agresti_coull(hits, n, 0.05), &case["agresti_coull"]);
        same("normal", proportion::normal(hits, n, 0.05), &case["normal"]);
    }
    for case in golden["two_proportions"].as_array().unwrap() {
        let count = |key: &str| case[key].as_u64().unwrap();
        let pair = Pair { first: (count("k1"), count("n1")), second: (count("k2"), count("n2")) };
        let (z, p_value) = pair.test().unwrap();
        let wanted = numbers(&case["ztest"]);
        assert!(close(z, wanted[0], 1e-10) && close(p_value, wanted[1], 1e-8), "{z} {p_value}");
        same("newcombe", pair.newcombe(0.05).unwrap(), &case["newcombe"]);
        same("score", pair.score(0.05).unwrap(), &case["score"]);
    }
    assert_eq!(Pair { first: (0, 0), second: (1, 2) }.difference(), None);
    assert_eq!(Pair { first: (5, 5), second: (2, 2) }.test(), None);
}

#[test]
fn corrections_are_those_of_statsmodels() {
    let golden: Value = serde_json::from_str(LAWS).unwrap();
    let cases = &golden["multiple_testing"];
    let p_values = numbers(&cases["p"]);
    for (name, how) in [
        ("bonferroni", Correction::Bonferroni),
        ("holm", Correction::Holm),
        ("holm-sidak", Correction::HolmSidak),
        ("hommel", Correction::Hommel),
        ("simes-hochberg", Correction::Hochberg),
        ("fdr_bh", Correction::BenjaminiHochberg),
        ("fdr_by", Correction::BenjaminiYekutieli),
    ] {
        let seen = correct(&p_values, how);
        for (at, (a, b)) in seen.iter().zip(numbers(&cases[name]["adjusted"])).enumerate() {
            assert!(close(*a, b, 1e-10), "{name}: {a} for {b}");
            assert_eq!(*a <= 0.05, cases[name]["reject"][at].as_bool().unwrap(), "{name}");
        }
    }
    for (name, how) in [("bh", Correction::BenjaminiHochberg), ("by", Correction::BenjaminiYekutieli)] {
        let wanted = numbers(&cases[format!("scipy.false_discovery_control[{name}]")]);
        assert!(correct(&p_values, how).iter().zip(wanted).all(|(a, b)| close(*a, b, 1e-10)), "{name}");
    }
}

#[derive(Deserialize)]
struct Stream {
    x: Vec<f64>,
    river: BTreeMap<String, Value>,
}

fn alarms(x: &[f64], mut push: impl FnMut(f64) -> bool) -> Vec<usize> {
    x.iter().enumerate().filter(|(_, value)| push(**value)).map(|(at, _)| at).collect()
}

#[test]
fn detectors_alarm_where_those_of_river_do() {
    let golden: BTreeMap<String, Stream> = serde_json::from_str(STREAMS).unwrap();
    assert_eq!(golden.len(), 10);
    for (name, stream) in &golden {
        for (detector, expected) in &stream.river {
            let wanted: Vec<usize> = numbers(&expected["drift_at"]).iter().map(|at| *at as usize).collect();
            let seen = match detector.as_str() {
                "ADWIN()" | "ADWIN(delta=.01,clock=1)" => {
                    let mut adwin = if detector == "ADWIN()" { Adwin::new(0.002, 32) } else { Adwin::new(0.01, 1) };
                    let mut widths = Vec::new();
                    let seen = alarms(&stream.x, |value| {
                        let alarm = adwin.push(value);
                        widths.extend(alarm.then(|| adwin.width()));
                        alarm
                    });
                    assert_eq!(widths, numbers(&expected["width_after"]), "{name} {detector}");
                    let figure = |key: &str| expected[key].as_f64().unwrap();
                    assert_eq!(adwin.width(), figure("final_width"), "{name} {detector}");
                    assert!(close(adwin.mean(), figure("final_estimation"), 1e-10), "{name} {detector}");
                    assert!(close(adwin.squares(), figure("final_variance_sum"), 1e-10), "{name} {detector}");
                    seen
                }
                "PageHinkley()" => {
                    let mut test = PageHinkley::default();
                    alarms(&stream.x, |value| test.push(value))
                }
                "PageHinkley(threshold=10,delta=.05)" => {
                    let mut test = PageHinkley::new(10.0, 0.05, 0.9999, Mode::Both);
                    alarms(&stream.x, |value| test.push(value))
                }
                "PageHinkley(alpha=1,mode=up,threshold=20)" => {
                    let mut test = PageHinkley::new(20.0, 0.005, 1.0, Mode::Up);
                    alarms(&stream.x, |value| test.push(value))
                }
                other => panic!("{other}"),
            };
            assert_eq!(seen, wanted, "{name} {detector}");
        }
    }
}

#[test]
fn a_falling_mean_is_found_where_falls_are_looked_for() {
    let fall = |at: usize| if at < 1_000 { 0.7 } else { 0.2 };
    let first = |mode| {
        let mut test = PageHinkley::new(10.0, 0.005, 0.9999, mode);
        (0..2_000).position(|at| test.push(fall(at)))
    };
    assert!(first(Mode::Down).is_some_and(|at| at > 1_000));
    assert_eq!(first(Mode::Up), None);
}

#[test]
fn what_is_no_number_changes_nothing() {
    let (mut adwin, mut page, mut betting) =
        (Adwin::new(0.002, 32), PageHinkley::default(), Betting::new(0.1, 100.0, Form::Sum));
    for value in [f64::NAN, f64::INFINITY] {
        assert!(!adwin.push(value) && !page.push(value));
    }
    let before = betting.clone();
    betting.push(f64::NAN);
    assert_eq!((adwin.width(), &betting), (0.0, &before));
}

#[test]
fn evidence_is_that_of_the_formulas() {
    let golden: Value = serde_json::from_str(SEQUENTIAL).unwrap();
    let streams: BTreeMap<String, Stream> = serde_json::from_str(STREAMS).unwrap();
    let case = &golden["e_SR_betting_bernoulli_err_up"];
    for (form, rows, first) in [(Form::Sum, "SR", "first_alarm_SR"), (Form::Most, "CUSUM", "first_alarm_CUSUM")] {
        let mut detector = Betting::new(case["m0"].as_f64().unwrap(), case["c"].as_f64().unwrap(), form);
        let seen: Vec<Evidence> = streams["bernoulli_err_up"].x.iter().map(|value| detector.push(*value)).collect();
        for row in case[rows].as_array().unwrap() {
            let row = numbers(row);
            let value = seen[row[0] as usize].value;
            assert!(close(value, row[1], 1e-10), "{rows} {row:?}: {value}");
        }
        let alarm = seen.iter().position(Evidence::alarms);
        assert_eq!(alarm.map(|at| at as u64), case[first].as_u64());
    }
    let case = &golden["conformal_SR_norm_step"];
    let (x, u) = (numbers(&golden["norm_step"]), numbers(&golden["u"]));
    let mut detector = Conformal::new(&x[..1_000], 32, case["c"].as_f64().unwrap()).unwrap();
    let mut with_edges = Conformal::with_edges(numbers(&case["edges"]), case["c"].as_f64().unwrap());
    x[500..1_000].iter().for_each(|value| with_edges.count(*value));
    let seen: Vec<Evidence> = x[1_000..].iter().zip(&u).map(|(value, u)| detector.push(*value, *u)).collect();
    let same: Vec<Evidence> = x[1_000..].iter().zip(&u).map(|(value, u)| with_edges.push(*value, *u)).collect();
    assert_eq!(seen, same);
    for row in case["SR"].as_array().unwrap() {
        let row = numbers(row);
        assert!(close(seen[row[0] as usize].value, row[1], 1e-10), "{row:?}");
    }
    let alarm = seen.iter().position(Evidence::alarms);
    assert_eq!(alarm.map(|at| at as u64), case["first_alarm_stream_index"].as_u64());
}

#[test]
fn intervals_at_all_times_are_those_of_the_formulas() {
    let golden: Value = serde_json::from_str(SEQUENTIAL).unwrap();
    let streams: BTreeMap<String, Stream> = serde_json::from_str(STREAMS).unwrap();
    let mut sequence = MeanSequence::new(0.05);
    let rows = golden["predictable_plugin_empirical_bernstein_CS"]["values"].as_array().unwrap();
    let rows: BTreeMap<usize, Vec<f64>> = rows.iter().map(numbers).map(|row| (row[0] as usize, row)).collect();
    for (at, value) in streams["bernoulli_err_null"].x.iter().enumerate() {
        sequence.push(*value);
        let Some(row) = rows.get(&(at + 1)) else { continue };
        let ((centre, margin), Interval { low, high }) = (sequence.centre().unwrap(), sequence.interval());
        for (seen, wanted) in [centre, margin, low, high].iter().zip(&row[1..]) {
            assert!((seen - wanted).abs() <= 1e-10 * wanted.abs().max(1e-12), "{row:?}: {seen}");
        }
    }
    for row in golden["robbins_normal_mixture_radius"].as_array().unwrap() {
        let row = numbers(row);
        assert!(close(radius(row[0], 1.0, 0.05, 0.1), row[1], 1e-10), "{row:?}");
    }
}

/// Runs until an alarm; the mean number of values, its standard error, and the share of alarms within a fifth of the stated length.
fn run_lengths(c: f64, mut run: impl FnMut(&mut Rng) -> usize) -> (f64, f64, f64) {
    let mut rng = Rng::new(20_260_301);
    let lengths: Vec<f64> = (0..300).map(|_| run(&mut rng) as f64).collect();
    let n = lengths.len() as f64;
    let mean = lengths.iter().sum::<f64>() / n;
    let squares: f64 = lengths.iter().map(|length| (length - mean).powi(2)).sum();
    let early = lengths.iter().filter(|length| **length <= c / 5.0).count() as f64 / n;
    (mean, (squares / (n - 1.0) / n).sqrt(), early)
}

fn keeps(name: &str, c: f64, run: impl FnMut(&mut Rng) -> usize) {
    let (mean, error, early) = run_lengths(c, run);
    println!("{name}: {mean:.0} values until a false alarm (standard error {error:.0}), stated {c}; early {early:.3}");
    assert!(mean + 3.0 * error >= c, "{name}: {mean} for {c}");
    // The chance of an alarm within c / 5 values is at most a fifth; three standard errors of 300 runs are 0.07.
    assert!(early <= 0.2 + 0.07, "{name}: {early}");
}

#[test]
fn false_alarms_are_no_more_frequent_than_stated() {
    let c = 1_000.0;
    let until =
        |mut step: Box<dyn FnMut(&mut Rng) -> bool>, rng: &mut Rng| (1..10_000_000).find(|_| step(rng)).unwrap();
    for form in [Form::Sum, Form::Most] {
        keeps(&format!("betting {form:?}"), c, |rng| {
            let mut detector = Betting::new(0.05, c, form);
            until(Box::new(move |rng| detector.push(f64::from(rng.unit() < 0.05)).alarms()), rng)
        });
    }
    keeps("conformal", c, |rng| {
        let reference: Vec<f64> = (0..1_000).map(|_| rng.unit()).collect();
        let mut detector = Conformal::new(&reference, 32, c).unwrap();
        until(Box::new(move |rng| detector.push(rng.unit(), rng.unit()).alarms()), rng)
    });
    keeps("conformal with ties", c, |rng| {
        let value = |rng: &mut Rng| (rng.unit() * 4.0).floor();
        let reference: Vec<f64> = (0..400).map(|_| value(rng)).collect();
        let mut detector = Conformal::new(&reference, 32, c).unwrap();
        until(Box::new(move |rng| detector.push(value(rng), rng.unit()).alarms()), rng)
    });
    keeps("three that see the same", c, |rng| {
        let mut detectors = [0.05, 0.05, 0.1].map(|bound| Betting::new(bound, c, Form::Sum));
        until(
            Box::new(move |rng| {
                let value = f64::from(rng.unit() < 0.05);
                let seen = detectors.each_mut().map(|detector| detector.push(value));
                Evidence::together(&seen).unwrap().alarms()
            }),
            rng,
        )
    });
}

#[test]
fn a_bound_from_few_labels_keeps_the_stated_length_where_their_share_does_not() {
    let c = 1_000.0;
    let run = |rng: &mut Rng, honest: bool| {
        let hits = (0..60).filter(|_| rng.unit() < 0.05).count() as u64;
        let mut detector = if honest {
            Betting::against(hits, 60, c, Form::Sum)
        } else {
            Betting::new(hits as f64 / 60.0, c, Form::Sum)
        };
        (1..20_000).find(|_| detector.push(f64::from(rng.unit() < 0.05)).alarms()).unwrap_or(20_000)
    };
    let (_, _, honest) = run_lengths(c, |rng| run(rng, true));
    let (_, _, share) = run_lengths(c, |rng| run(rng, false));
    assert!(honest <= 0.05 && share > 0.2, "{honest} {share}");
}

#[test]
fn changes_are_found_soon() {
    let mut rng = Rng::new(5);
    let mut delays = [Vec::new(), Vec::new()];
    for _ in 0..100 {
        let mut betting = Betting::new(0.05, 5_000.0, Form::Sum);
        delays[0].push((0..5_000).find(|_| betting.push(f64::from(rng.unit() < 0.1)).alarms()).unwrap_or(5_000));
        let reference: Vec<f64> = (0..1_000).map(|_| rng.unit()).collect();
        let mut conformal = Conformal::new(&reference, 32, 5_000.0).unwrap();
        // Half a deviation of the uniform law.
        let alarm = |_: &usize| conformal.push(rng.unit() + 0.144, rng.unit()).alarms();
        delays[1].push((0..5_000).find(alarm).unwrap_or(5_000));
    }
    for delays in &mut delays {
        delays.sort_unstable();
    }
    assert!(delays[0][50] < 400 && delays[1][50] < 150, "{} {}", delays[0][50], delays[1][50]);
}
