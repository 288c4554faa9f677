//! Measures of quality beside what scikit-learn, Evidently and NannyML return for the same data: see the notice beside the files.

#![expect(clippy::disallowed_methods, reason = "golden values are files")]

use std::fs;
use std::path::Path;

use mainstay_core::quality::Estimate;
use mainstay_core::quality::calibration::{Bins, Isotonic, Platt, ece, reliability};
use mainstay_core::quality::cbpe::{self, Calibrator, Validity};
use mainstay_core::quality::confusion::{Average, Binary, Classes};
use mainstay_core::quality::generation::{self, Comparison};
use mainstay_core::quality::ranking::{self, Gain, Query};
use mainstay_core::quality::regression::{self as numbers, Pair};
use mainstay_core::quality::scores::{self, Scored, several};
use mainstay_core::rng::Rng;
use serde_json::Value;

fn golden(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/quality").join(name);
    serde_json::from_str(&fs::read_to_string(path).expect("a golden file")).expect("JSON")
}

fn list(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|number| number.as_f64().expect("a number")).collect()
}

fn near(what: &str, ours: f64, theirs: &Value, tolerance: f64) {
    let theirs = theirs.as_f64().unwrap_or_else(|| panic!("{what}: no golden number"));
    assert!((ours - theirs).abs() <= tolerance * theirs.abs().max(1e-3), "{what}: {ours} for {theirs}");
}

fn value(estimate: Option<Estimate>) -> f64 {
    let estimate = estimate.expect("a measure");
    assert!(estimate.interval.low <= estimate.value && estimate.value <= estimate.interval.high, "{estimate:?}");
    estimate.value
}

fn scored(set: &Value) -> Vec<Scored> {
    list(&set["y_score"]).into_iter().zip(list(&set["y_true"])).map(|(score, truth)| (score, truth == 1.0)).collect()
}

#[test]
fn binary_measures_are_those_of_scikit_learn() {
    let all = golden("metrics.json");
    for name in ["breast_cancer_lr", "synthetic_calibrated"] {
        let (set, expected) = (&all[name], &all[name]["expected"]);
        let scored = scored(set);
        let threshold = set["threshold"].as_f64().expect("a threshold");
        let decisions = Binary::of(scored.iter().map(|(score, truth)| (*truth, *score >= threshold)));
        for (cell, ours) in [("tp", decisions.tp), ("fp", decisions.fp), ("fn", decisions.fn_), ("tn", decisions.tn)] {
            near(cell, ours, &expected["confusion"][cell], 0.0);
        }
        let area = scores::auc(&scored);
        for (measure, ours) in [
            ("accuracy", value(decisions.accuracy())),
            ("balanced_accuracy", value(decisions.balanced_accuracy())),
            ("precision", value(decisions.precision())),
            ("recall", value(decisions.recall())),
            ("f1", value(decisions.f1())),
            ("fbeta2", value(decisions.f_beta(2.0))),
            ("mcc", value(decisions.mcc())),
            ("kappa", value(decisions.kappa())),
            ("roc_auc", value(area)),
            ("average_precision", value(scores::average_precision(&scored))),
            ("log_loss", value(scores::log_loss(&scored))),
            ("brier", value(scores::brier(&scored))),
            ("ks_separation", scores::ks_separation(&scored).expect("both classes")),
            ("own.ece_width10", value(ece(&scored, Bins::Width(10)))),
            ("own.ece_width15", value(ece(&scored, Bins::Width(15)))),
            ("own.ece_mass10", value(ece(&scored, Bins::Mass(10)))),
        ] {
            near(&format!("{name} {measure}"), ours, &expected[measure], 1e-10);
        }
        let area = area.expect("both classes");
        let error = (area.interval.high - area.value) / mainstay_core::stats::Z_95;
        let (positives, negatives) = (decisions.tp + decisions.fn_, decisions.tn + decisions.fp);
        if area.interval.high < 1.0 {
            near("DeLong", error, &expected["own.auc_se_delong"], 1e-10);
        }
        let hanley = scores::hanley_mcneil(area.value, positives, negatives);
        near("Hanley and McNeil", hanley, &expected["own.auc_se_hanley_mcneil"], 1e-10);
        let bins = reliability(&scored, Bins::Width(10)).into_iter().filter(|bin| bin.count > 0.0);
        let (came, said): (Vec<f64>, Vec<f64>) = bins.map(|bin| (bin.came / bin.count, bin.said / bin.count)).unzip();
        for (key, ours) in [("frac_pos", came), ("mean_pred", said)] {
            let theirs = list(&expected["calibration_curve_uniform10"][key]);
            assert_eq!(ours.len(), theirs.len());
            assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 1e-12), "{key}");
        }
    }
}

#[test]
fn measures_of_several_classes_are_those_of_scikit_learn() {
    let all = golden("metrics.json");
    let (set, expected) = (&all["wine_mc"], &all["wine_mc"]["expected"]);
    let rows: Vec<(Vec<f64>, usize)> = set["proba"]
        .as_array()
        .expect("rows")
        .iter()
        .map(list)
        .zip(list(&set["y_true"]).into_iter().map(|class| class as usize))
        .collect();
    let said = |shares: &[f64]| (0..3).max_by(|a, b| shares[*a].total_cmp(&shares[*b])).expect("classes");
    let decisions = Classes::of(3, rows.iter().map(|(shares, truth)| (*truth, said(shares))));
    let averages = [("macro", Average::Macro), ("micro", Average::Micro), ("weighted", Average::Weighted)];
    for (name, average) in averages {
        near(name, value(decisions.precision(average)), &expected[format!("precision_{name}")], 1e-10);
        near(name, value(decisions.recall(average)), &expected[format!("recall_{name}")], 1e-10);
        near(name, value(decisions.f1(average)), &expected[format!("f1_{name}")], 1e-10);
    }
    for (measure, ours) in [
        ("accuracy", value(decisions.accuracy())),
        ("log_loss", value(several::log_loss(&rows))),
        ("top2_accuracy", value(several::top_k(&rows, 2))),
        ("roc_auc_ovr_macro", several::auc_one_vs_rest(&rows, 3).expect("all classes")),
        ("roc_auc_ovo_macro", several::auc_one_vs_one(&rows, 3).expect("all classes")),
        ("own.brier_multi_sum", value(several::brier(&rows))),
    ] {
        near(measure, ours, &expected[measure], 1e-10);
    }
    assert_eq!(
        serde_json::json!(
            decisions.cells.iter().map(|r| r.iter().map(|c| *c as u64).collect()).collect::<Vec<Vec<_>>>()
        ),
        expected["confusion"]
    );
}

#[test]
fn measures_of_numbers_are_those_of_scikit_learn() {
    let all = golden("metrics.json");
    let (set, expected) = (&all["diabetes_ridge"], &all["diabetes_ridge"]["expected"]);
    let pairs: Vec<Pair> = list(&set["y_true"]).into_iter().zip(list(&set["y_pred"])).collect();
    let half = |estimate: Option<Estimate>| {
        let estimate = estimate.expect("a measure");
        (estimate.interval.high - estimate.value) / mainstay_core::stats::law::student_quantile_above(0.025, 220.0)
    };
    for (measure, ours) in [
        ("mae", value(numbers::mae(&pairs))),
        ("mse", value(numbers::mse(&pairs))),
        ("rmse", value(numbers::rmse(&pairs))),
        ("mape", value(numbers::mape(&pairs))),
        ("medae", value(numbers::medae(&pairs))),
        ("r2", value(numbers::r2(&pairs))),
        ("max_error", numbers::max_error(&pairs).expect("pairs")),
        ("explained_variance", numbers::explained_variance(&pairs).expect("a spread")),
        ("pinball_0.9", value(numbers::pinball(&pairs, 0.9))),
        ("own.bias", value(numbers::bias(&pairs))),
        ("own.smape", value(numbers::smape(&pairs))),
        ("own.wape", value(numbers::wape(&pairs))),
        ("rmsle", value(numbers::rmsle(&pairs))),
        ("own.mae_se", half(numbers::mae(&pairs))),
        ("own.rmse_se_delta", half(numbers::rmse(&pairs))),
    ] {
        near(measure, ours, &expected[measure], 1e-10);
    }
}

fn queries(golden: &Value, scores: &str) -> Vec<Query> {
    let rows = |key: &str| golden[key].as_array().expect("rows").iter().map(list).collect::<Vec<_>>();
    let both = rows("relevance").into_iter().zip(rows(scores));
    both.map(|(relevance, scores)| Query { relevance, scores }).collect()
}

#[test]
fn measures_of_rankings_are_those_of_scikit_learn_and_evidently() {
    let golden = golden("ranking.json");
    let (queries, expected) = (queries(&golden, "scores"), &golden["expected"]);
    let mean = |queries: &[Query], of: &dyn Fn(&Query) -> f64| value(ranking::mean(queries, of));
    for (measure, ours) in [
        ("sklearn.ndcg@1", mean(&queries, &|q| q.ndcg(Some(1), Gain::Linear))),
        ("sklearn.ndcg@3", mean(&queries, &|q| q.ndcg(Some(3), Gain::Linear))),
        ("sklearn.ndcg@5", mean(&queries, &|q| q.ndcg(Some(5), Gain::Linear))),
        // No scores are equal here: whether ties are looked at is all one.
        ("sklearn.ndcg@5_ignore_ties", mean(&queries, &|q| q.ndcg(Some(5), Gain::Linear))),
        ("sklearn.ndcg@None", mean(&queries, &|q| q.ndcg(None, Gain::Linear))),
        ("sklearn.dcg@3", mean(&queries, &|q| q.dcg(Some(3), Gain::Linear))),
        ("sklearn.dcg@None", mean(&queries, &|q| q.dcg(None, Gain::Linear))),
        ("own.map_rel>=2", mean(&queries, &|q| q.average_precision(2.0))),
        ("own.mrr_rel>=2", mean(&queries, &|q| q.reciprocal_rank(2.0))),
        ("own.hit@3", mean(&queries, &|q| f64::from(u8::from(q.hit(3, 2.0))))),
        ("own.precision@3", mean(&queries, &|q| q.precision(3, 2.0))),
        ("own.recall@3", mean(&queries, &|q| q.recall(3, 2.0))),
        ("own.ndcg@5_exp_gain", mean(&queries, &|q| q.ndcg(Some(5), Gain::Exponential))),
    ] {
        near(measure, ours, &expected[measure], 1e-10);
    }
    let each = list(&expected["sklearn.mean_average_precision_score_per_query"]);
    for (query, theirs) in queries.iter().zip(&each) {
        assert!((query.average_precision(2.0) - theirs).abs() < 1e-10, "{query:?}: {theirs}");
    }
    // Evidently returns all k up to ten; its gain knows relevant and not relevant alone.
    for (k, at) in (1..=10).zip(0..) {
        let evidently = |metric: &str| &golden["evidently"][metric][at];
        near("hit", mean(&queries, &|q| f64::from(u8::from(q.hit(k, 2.0)))), evidently("HitRateKMetric"), 1e-10);
        near("precision", mean(&queries, &|q| q.precision(k, 2.0)), evidently("PrecisionTopKMetric"), 1e-10);
        near("recall", mean(&queries, &|q| q.recall(k, 2.0)), evidently("RecallTopKMetric"), 1e-10);
        let within = |q: &Query| if q.hit(k, 2.0) { q.reciprocal_rank(2.0) } else { 0.0 };
        near("mrr", mean(&queries, &within), evidently("MRRKMetric"), 1e-10);
    }
}

/// All orders of places below `n`.
fn orders(n: usize) -> Vec<Vec<usize>> {
    let Some(last) = n.checked_sub(1) else { return vec![Vec::new()] };
    let with_last = |order: &Vec<usize>| {
        let of = |at: usize| [&order[..at], &[last], &order[at..]].concat();
        (0..=order.len()).map(of).collect::<Vec<_>>()
    };
    orders(last).iter().flat_map(with_last).collect()
}

#[test]
fn equal_scores_share_their_gain_as_if_every_order_of_them_were_as_likely() {
    let all = queries(&golden("ranking.json"), "scores_tied");
    let mut tied = 0;
    for query in all {
        // As many items as have orders that can be looked at one by one.
        let cut = Query { relevance: query.relevance[..6].to_vec(), scores: query.scores[..6].to_vec() };
        let falls = |order: &&Vec<usize>| order.windows(2).all(|pair| cut.scores[pair[0]] >= cut.scores[pair[1]]);
        let all = orders(6);
        let orders: Vec<_> = all.iter().filter(falls).collect();
        tied += usize::from(orders.len() > 1);
        for (k, gain) in [(1, Gain::Linear), (3, Gain::Linear), (3, Gain::Exponential), (6, Gain::Linear)] {
            let of = |order: &&Vec<usize>| {
                Query::shown(order.iter().map(|at| cut.relevance[*at]).collect()).dcg(Some(k), gain)
            };
            let mean = orders.iter().map(of).sum::<f64>() / orders.len() as f64;
            let ours = cut.dcg(Some(k), gain);
            assert!((ours - mean).abs() < 1e-12, "{k} {cut:?}: {ours} for {mean}");
        }
    }
    assert!(tied >= 20, "{tied} queries have ties");
}

#[test]
fn calibrations_are_those_of_scikit_learn() {
    let golden = golden("calibration.json");
    let scored = scored(&golden);
    let (fit, apply) = scored.split_at(400);
    let expected = &golden["expected"];
    let isotonic = Isotonic::fit(fit).expect("scores");
    for (key, ours) in [("X_thresholds", &isotonic.x), ("y_thresholds", &isotonic.y)] {
        let theirs = list(&expected["isotonic"][key]);
        assert!(ours.len() == theirs.len() && ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 1e-12), "{key}");
    }
    let out: Vec<Scored> = apply.iter().map(|(score, truth)| (isotonic.at(*score), *truth)).collect();
    let theirs = list(&expected["isotonic"]["out"]);
    assert!(out.iter().zip(&theirs).all(|((ours, _), theirs)| (ours - theirs).abs() < 1e-10));
    near("brier_iso", value(scores::brier(&out)), &expected["brier_iso"], 1e-10);
    near("brier_before", value(scores::brier(apply)), &expected["brier_before"], 1e-10);
    // Theirs is where an optimiser stopped, ours the optimum.
    let platt = Platt::fit(fit).expect("both classes");
    near("a", platt.a, &expected["platt_sigmoid"]["a"], 1e-5);
    near("b", platt.b, &expected["platt_sigmoid"]["b"], 1e-5);
    let out: Vec<Scored> = apply.iter().map(|(score, truth)| (platt.at(*score), *truth)).collect();
    near("brier_platt", value(scores::brier(&out)), &expected["brier_platt"], 1e-6);
}

#[test]
fn estimates_without_labels_are_those_of_nannyml() {
    let golden = golden("cbpe.json");
    let rows = |key: &str| -> Vec<(f64, bool, bool)> {
        let rows = golden[key].as_array().expect("rows").iter().map(list);
        rows.map(|row| (row[0], row[1] == 1.0, row[2] == 1.0)).collect()
    };
    let (reference, analysis) = (rows("reference"), rows("analysis"));
    let expected = &golden["expected"];
    let labelled: Vec<Scored> = reference.iter().map(|(score, _, truth)| (*score, *truth)).collect();
    let isotonic = Isotonic::fit(&labelled).expect("scores");
    for (key, ours) in [("isotonic_X_thresholds", &isotonic.x), ("isotonic_y_thresholds", &isotonic.y)] {
        let theirs = list(&expected[key]);
        assert!(ours.len() == theirs.len() && ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 1e-9), "{key}");
    }
    let calibrator = Calibrator::fit(&labelled);
    assert!(calibrator.is_fitted());
    for chunk in expected["chunks"].as_array().expect("chunks") {
        let of = if chunk["period"] == "reference" { &reference } else { &analysis };
        let at = |key: &str| chunk[key].as_u64().expect("a place") as usize;
        let rows = &of[at("start")..=at("end")];
        let said: Vec<(f64, bool)> = rows.iter().map(|(score, positive, _)| (*score, *positive)).collect();
        let decisions = cbpe::expected(&said, |score| calibrator.chance(score));
        let realised = Binary::of(rows.iter().map(|(_, positive, truth)| (*truth, *positive)));
        for (measure, estimated, realised) in [
            ("f1", decisions.f1(), realised.f1()),
            ("precision", decisions.precision(), realised.precision()),
            ("recall", decisions.recall(), realised.recall()),
            ("specificity", decisions.specificity(), realised.specificity()),
            ("accuracy", decisions.accuracy(), realised.accuracy()),
        ] {
            if chunk[measure].is_object() {
                near(measure, value(estimated), &chunk[measure]["value"], 1e-9);
                near(measure, value(realised), &chunk[measure]["realized"], 1e-9);
            }
        }
        // Theirs does not group tied scores, and rounds ranks to five digits.
        let area = cbpe::expected_auc(&said, |score| calibrator.chance(score)).expect("both classes");
        near("roc_auc", area, &chunk["roc_auc"]["value"], 2e-3);
    }
}

#[test]
fn an_estimate_that_labels_contradict_is_called_invalid() {
    let share = |hits: f64| Estimate::share(hits, 1_000.0, 1_000.0).expect("trials");
    let (high, low) = (share(900.0), share(600.0));
    assert_eq!(cbpe::compare(&high, None), Validity::Unknown);
    assert_eq!(cbpe::compare(&high, Estimate::share(10.0, 20.0, 20.0).as_ref()), Validity::Unknown);
    assert_eq!(cbpe::compare(&high, Some(&share(890.0))), Validity::Valid);
    assert_eq!(cbpe::compare(&high, Some(&low)), Validity::Invalid);
}

#[test]
fn measures_of_texts() {
    let near = |ours: f64, wanted: f64| assert!((ours - wanted).abs() < 1e-12, "{ours} {wanted}");
    near(value(generation::approval_rate(&[5.0, 4.0, 3.9, 1.0])), 0.5);
    let games = [Comparison::Win, Comparison::Tie, Comparison::Loss, Comparison::Win];
    near(value(generation::win_rate(&games)), 0.625);
    near(value(generation::judge_score(&[7.0, 8.0])), 7.5);
    near(value(generation::perplexity(&[(-2.0, 4.0), (-6.0, 4.0)])), 1.0_f64.exp());
    assert!(generation::perplexity(&[]).is_none() && generation::approval_rate(&[]).is_none());
}

type Measure = fn(&[Scored]) -> Option<Estimate>;

fn f1(scored: &[Scored]) -> Option<Estimate> {
    Binary::of(scored.iter().map(|(score, truth)| (*truth, *score >= 0.5))).f1()
}

fn mcc(scored: &[Scored]) -> Option<Estimate> {
    Binary::of(scored.iter().map(|(score, truth)| (*truth, *score >= 0.5))).mcc()
}

#[test]
fn intervals_hold_the_truth_about_as_often_as_they_say() {
    // Scores are the chances themselves: what is true of the law is known from many.
    let draw = |rng: &mut Rng, n: usize| -> Vec<Scored> {
        let one = |_| {
            let score = rng.unit();
            (score, rng.unit() < score)
        };
        (0..n).map(one).collect()
    };
    let mut rng = Rng::new(3);
    let measures: [(&str, Measure); 6] = [
        ("auc", scores::auc),
        ("ap", scores::average_precision),
        ("brier", scores::brier),
        ("log loss", scores::log_loss),
        ("f1", f1),
        ("mcc", mcc),
    ];
    let many = draw(&mut rng, 200_000);
    let truths = measures.map(|(_, of)| of(&many).expect("a measure").value);
    let mut held = [0; 6];
    for _ in 0..400 {
        let few = draw(&mut rng, 200);
        for (at, (_, of)) in measures.iter().enumerate() {
            let seen = of(&few).expect("a measure").interval;
            held[at] += usize::from(seen.low <= truths[at] && truths[at] <= seen.high);
        }
    }
    for ((name, _), held) in measures.iter().zip(held) {
        println!("{name}: {held} of 400");
        assert!(held >= 365, "{name}: {held} of 400 intervals hold");
    }
}

fn kappa(scored: &[Scored]) -> Option<Estimate> {
    Binary::of(scored.iter().map(|(score, truth)| (*truth, *score >= 0.5))).kappa()
}

fn macro_f1(scored: &[Scored]) -> Option<Estimate> {
    let decisions = scored.iter().map(|(score, truth)| (usize::from(*truth), usize::from(*score >= 0.5)));
    Classes::of(2, decisions).f1(Average::Macro)
}

#[test]
fn intervals_of_decisions_that_are_nearly_all_right_are_not_certain() {
    // One in 50 is wrong: of 40 decisions all are right about as often as not.
    let draw = |rng: &mut Rng, n: usize| -> Vec<Scored> {
        let one = |_| {
            let truth = rng.unit() < 0.5;
            let right = rng.unit() < 0.98;
            (if truth == right { 0.75 + rng.unit() / 5.0 } else { rng.unit() / 5.0 }, truth)
        };
        (0..n).map(one).collect()
    };
    let mut rng = Rng::new(5);
    let measures: [(&str, Measure); 4] = [("mcc", mcc), ("kappa", kappa), ("macro f1", macro_f1), ("auc", scores::auc)];
    let many = draw(&mut rng, 200_000);
    let truths = measures.map(|(_, of)| of(&many).expect("a measure").value);
    let mut held = [0; 4];
    for _ in 0..400 {
        let few = draw(&mut rng, 40);
        for (at, (name, of)) in measures.iter().enumerate() {
            let seen = of(&few).expect("a measure").interval;
            assert!(seen.high > seen.low, "{name}");
            held[at] += usize::from(seen.low <= truths[at] && truths[at] <= seen.high);
        }
    }
    for ((name, _), held) in measures.iter().zip(held) {
        println!("{name}: {held} of 400");
        assert!(held >= 365, "{name}: {held} of 400 intervals hold");
    }
    let won = generation::win_rate(&[Comparison::Win; 12]).expect("games");
    assert!(won.interval.low < 0.8 && won.interval.high >= 1.0, "{won:?}");
}
