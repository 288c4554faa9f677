//! Distances between samples against SciPy, Evidently, NannyML and the project's formulas in NumPy.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::collections::{BTreeMap, BTreeSet};

use mainstay_core::drift::bins::Bins;
use mainstay_core::drift::sample::{self, Moments};
use mainstay_core::drift::{embedding, evidently, kolmogorov, nannyml, shares};
use serde::Deserialize;
use serde_json::Value;

const PAIRS: &str = include_str!("golden/drift/pairs.json");
const EMBEDDING: &str = include_str!("golden/drift/embedding.json");

#[derive(Deserialize)]
struct Pair {
    kind: String,
    #[serde(rename = "ref")]
    reference: Vec<Value>,
    cur: Vec<Value>,
    expected: BTreeMap<String, f64>,
}

fn numbers(values: &[Value]) -> Vec<f64> {
    let mut numbers: Vec<f64> = values.iter().map(|value| value.as_f64().unwrap()).collect();
    numbers.sort_unstable_by(f64::total_cmp);
    numbers
}

#[expect(clippy::many_single_char_names, reason = "named as in the formulas")]
fn numeric(pair: &Pair) -> BTreeMap<&'static str, f64> {
    let (a, b) = (numbers(&pair.reference), numbers(&pair.cur));
    let (of_a, of_b) = (Moments::of(&a), Moments::of(&b));
    let deciles = Bins::of(&a, 10, false);
    let (p, q) = (shares::shares(&deciles.count(&a)), shares::shares(&deciles.count(&b)));
    let atoms = Bins::of(&a, 10, true);
    let with_atoms = (shares::shares(&atoms.count(&a)), shares::shares(&atoms.count(&b)));
    let ks = kolmogorov::test(&a, &b).unwrap();
    let wasserstein = sample::wasserstein(&a, &b);
    let (n, m) = (a.len() as f64, b.len() as f64);
    let (left, right) = evidently::counts(&a, &b);
    let mut seen = BTreeMap::from([
        ("own.psi", shares::psi(&p, &q)),
        ("own.psi_atoms", shares::psi(&with_atoms.0, &with_atoms.1)),
        ("own.js_distance_base2", shares::jensen_shannon(&p, &q)),
        ("own.linf", shares::l_infinity(&p, &q)),
        ("own.hellinger", shares::hellinger(&p, &q)),
        ("own.std_effect", (of_b.mean - of_a.mean) / (of_a.squares / (n - 1.0)).sqrt()),
        ("scipy.ks_auto", ks.distance),
        ("scipy.ks_auto_p", ks.p_value),
        ("scipy.ks_asymp", ks.distance),
        ("scipy.ks_asymp_p", kolmogorov::tail((n * m / (n + m)).round_ties_even() as u64, ks.distance)),
        ("scipy.wasserstein", wasserstein),
        ("evidently.psi", evidently::psi(&left, &right)),
        ("evidently.jensenshannon", evidently::jensen_shannon(&left, &right)),
        ("evidently.hellinger", evidently::hellinger(&a, &b)),
        ("evidently.ks_p", ks.p_value),
        ("evidently.wasserstein", sample::normalised(wasserstein, &of_a)),
        ("nannyml.jensen_shannon", nannyml::jensen_shannon(&a, &b)),
        ("nannyml.hellinger", nannyml::hellinger(&a, &b)),
        ("nannyml.kolmogorov_smirnov", ks.distance),
        ("nannyml.wasserstein", wasserstein),
    ]);
    if let Some((t, p_value)) = sample::welch(&of_a, &of_b) {
        // SciPy subtracts the other way round.
        seen.extend([("scipy.welch", -t), ("scipy.welch_p", p_value)]);
    }
    seen
}

fn categorical(pair: &Pair) -> BTreeMap<&'static str, f64> {
    let keys: BTreeSet<&str> = pair.reference.iter().chain(&pair.cur).map(|value| value.as_str().unwrap()).collect();
    let count = |values: &[Value], key: &str| values.iter().filter(|value| value.as_str() == Some(key)).count() as u64;
    let a: Vec<u64> = keys.iter().map(|key| count(&pair.reference, key)).collect();
    let b: Vec<u64> = keys.iter().map(|key| count(&pair.cur, key)).collect();
    let (p, q) = (shares::shares(&a), shares::shares(&b));
    let (plain, yates) = (shares::chi_square(&a, &b, false).unwrap(), nannyml::chi_square(&a, &b).unwrap());
    BTreeMap::from([
        ("own.psi", shares::psi(&p, &q)),
        ("own.js_distance_base2", shares::jensen_shannon(&p, &q)),
        ("own.linf", shares::l_infinity(&p, &q)),
        ("own.hellinger", shares::hellinger(&p, &q)),
        ("scipy.chi2", plain.statistic),
        ("scipy.chi2_p", plain.p_value),
        ("scipy.chi2_yates", yates.statistic),
        ("scipy.chi2_yates_p", yates.p_value),
        ("scipy.cramers_v", plain.v),
        ("evidently.psi", evidently::psi(&a, &b)),
        ("evidently.jensenshannon", evidently::jensen_shannon(&a, &b)),
        ("evidently.hellinger", evidently::affinity(&a, &b)),
        ("nannyml.jensen_shannon", shares::jensen_shannon(&p, &q)),
        ("nannyml.hellinger", shares::hellinger(&p, &q)),
        ("nannyml.l_infinity", shares::l_infinity(&p, &q)),
        ("nannyml.chi2", yates.statistic),
        ("nannyml.chi2_p", yates.p_value),
    ])
}

#[test]
fn every_pair_is_reproduced_by_name() {
    let pairs: BTreeMap<String, Pair> = serde_json::from_str(PAIRS).unwrap();
    assert_eq!(pairs.len(), 18);
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for (name, pair) in &pairs {
        let seen = if pair.kind == "numerical" { numeric(pair) } else { categorical(pair) };
        for (key, &expected) in &pair.expected {
            let Some(&ours) = seen.get(key.as_str()) else {
                wrong.push(format!("{name} {key}: not computed"));
                continue;
            };
            let tolerance = if key.ends_with("_p") { 1e-8 } else { 1e-10 };
            // What is nought there may be a rounding error here.
            if (ours - expected).abs() > tolerance * expected.abs() && (ours - expected).abs() > 1e-15 {
                wrong.push(format!("{name} {key}: {ours} for {expected}"));
            }
            compared += 1;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(compared > 300, "{compared}");
}

#[test]
fn centroids_and_discrepancy_of_embeddings_are_reproduced() {
    let golden: Value = serde_json::from_str(EMBEDDING).unwrap();
    let vectors = |key: &str| serde_json::from_value::<Vec<Vec<f64>>>(golden[key].clone()).unwrap();
    let seen = embedding::compare(&vectors("ref"), &vectors("cur")).unwrap();
    for (key, ours) in [
        ("own.centroid_cosine_distance", seen.centroid_cosine),
        ("own.centroid_euclid", seen.centroid_euclid),
        ("own.median_heuristic_dist", seen.median),
        ("own.mmd2_unbiased", seen.mmd2),
        ("own.mmd2_biased", seen.mmd2_biased),
    ] {
        let expected = golden["expected"][key].as_f64().unwrap();
        assert!((ours / expected - 1.0).abs() < 1e-10, "{key}: {ours} for {expected}");
    }
}

#[test]
fn a_constant_that_moved_is_seen_by_its_atom() {
    let (a, b) = (vec![3.0; 200], vec![3.5; 150]);
    let bins = Bins::of(&a, 10, true);
    let psi = shares::psi(&shares::shares(&bins.count(&a)), &shares::shares(&bins.count(&b)));
    assert!(psi > 18.0, "{psi}");
}
