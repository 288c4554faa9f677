//! Bounds of signals: beyond where all of the interval is, back where the value is.

use std::collections::BTreeMap;

use mainstay_core::event::EventKind;
use mainstay_core::plan::Bound;
use mainstay_core::quality::Estimate;
use mainstay_core::response::bound::{Crossed, MEASURES, Watch};
use mainstay_core::stats::Interval;
use proptest::prelude::*;

fn estimate(low: f64, value: f64, high: f64) -> Estimate {
    Estimate { value, interval: Interval { low, high }, n: 100.0 }
}

fn bounds(of: &[(&str, Bound)]) -> BTreeMap<String, Bound> {
    of.iter().map(|(name, bound)| ((*name).to_owned(), *bound)).collect()
}

fn watch(of: &[(&str, Bound)]) -> Watch {
    let mut watch = Watch::default();
    watch.set_bounds(&bounds(of));
    watch
}

/// What is told of `x`: whether it is beyond, its value and the bound.
fn told(watch: &mut Watch, of: Option<Estimate>) -> Vec<(bool, f64, f64)> {
    let news = watch.judge(|name| of.filter(|_| name == "x"));
    let read = |kind| match kind {
        EventKind::SignalChanged { name, from, to, value, bound } => {
            assert_eq!(name, "x");
            assert!(matches!((&*from, &*to), ("within", "beyond") | ("beyond", "within")), "{from} {to}");
            (to == "beyond", value, bound)
        }
        other => panic!("{other:?}"),
    };
    news.into_iter().map(read).collect()
}

#[test]
fn a_name_goes_beyond_with_all_of_its_interval_and_comes_back_with_its_value() {
    let mut watch = watch(&[("x", Bound::Above(0.5))]);
    for (of, wanted) in [
        (Some(estimate(0.45, 0.6, 0.7)), vec![]),
        (Some(estimate(0.5, 0.6, 0.7)), vec![]),
        (Some(estimate(0.51, 0.6, 0.7)), vec![(true, 0.6, 0.5)]),
        (Some(estimate(0.51, 0.6, 0.7)), vec![]),
        (Some(estimate(0.3, 0.55, 0.7)), vec![]),
        (None, vec![]),
        (Some(estimate(0.3, 0.5, 0.7)), vec![(false, 0.5, 0.5)]),
        (Some(estimate(0.3, 0.55, 0.7)), vec![]),
        (None, vec![]),
        (Some(estimate(f64::NEG_INFINITY, 9.0, f64::INFINITY)), vec![]),
    ] {
        assert_eq!(told(&mut watch, of), wanted, "{of:?}");
    }
}

#[test]
fn a_name_without_a_bound_is_within() {
    let mut watch = watch(&[("x", Bound::Below(0.1))]);
    assert_eq!(told(&mut watch, Some(estimate(0.0, 0.02, 0.09))), [(true, 0.02, 0.1)]);
    watch.set_bounds(&BTreeMap::new());
    // Nothing is known of it by now: it ends with what was known.
    assert_eq!(told(&mut watch, None), [(false, 0.02, 0.1)]);
    assert_eq!(told(&mut watch, Some(estimate(0.0, 0.02, 0.09))), []);
}

#[test]
fn another_bound_is_another_question() {
    let mut watch = watch(&[("x", Bound::Above(0.5))]);
    let of = Some(estimate(0.6, 0.7, 0.8));
    assert_eq!(told(&mut watch, of), [(true, 0.7, 0.5)]);
    watch.set_bounds(&bounds(&[("x", Bound::Above(0.65))]));
    assert_eq!(told(&mut watch, of), [], "it is not back");
    watch.set_bounds(&bounds(&[("x", Bound::Above(0.75))]));
    assert_eq!(told(&mut watch, of), [(false, 0.7, 0.75)]);
    watch.set_bounds(&bounds(&[("x", Bound::Below(0.9))]));
    assert_eq!(told(&mut watch, of), [(true, 0.7, 0.9)]);
}

#[test]
fn measures_have_bounds_that_a_config_replaces() {
    for (name, bound, (low, high)) in MEASURES {
        let (beyond, at) = match bound {
            Bound::Above(most) => (estimate(most + 0.01, most + 0.02, most + 0.03), most),
            Bound::Below(least) => (estimate(least - 0.03, least - 0.02, least - 0.01), least),
        };
        assert!((low..=high).contains(&at));
        let of = |asked: &str| (asked == name).then_some(beyond);
        let kind = EventKind::SignalChanged {
            name: name.to_owned(),
            from: "within".into(),
            to: "beyond".into(),
            value: beyond.value,
            bound: at,
        };
        assert_eq!(Watch::default().judge(of), [kind]);
        let wide = match bound {
            Bound::Above(_) => Bound::Above(high),
            Bound::Below(_) => Bound::Below(low),
        };
        assert_eq!(watch(&[(name, wide)]).judge(of), []);
        assert_eq!(watch(&[("x", Bound::Above(0.1))]).judge(of).len(), 1, "other bounds leave it");
    }
}

fn seen() -> impl Strategy<Value = Option<Estimate>> {
    let ends = (-2.0..2.0_f64, 0.0..1.0_f64, 0.0..1.0_f64);
    prop::option::of(ends.prop_map(|(value, below, above)| estimate(value - below, value, value + above)))
}

fn bound() -> impl Strategy<Value = Bound> {
    prop_oneof![(-1.0..1.0_f64).prop_map(Bound::Above), (-1.0..1.0_f64).prop_map(Bound::Below)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Restarts at any place change nothing of what is told, and what is told are the changes of a status that evidence moves.
    #[test]
    fn what_is_told_follows_the_evidence_across_restarts(
        steps in prop::collection::vec((seen(), any::<bool>(), prop::option::weighted(0.2, bound())), 1..40),
    ) {
        let mut bound = Bound::Above(0.0);
        let mut watch = watch(&[("x", bound)]);
        let mut is_beyond = false;
        for (of, restarts, other) in steps {
            if restarts {
                let rests = serde_json::to_string(watch.beyond()).unwrap();
                watch = Watch::default();
                watch.restore(serde_json::from_str::<BTreeMap<String, Crossed>>(&rests).unwrap());
            }
            bound = other.unwrap_or(bound);
            watch.set_bounds(&bounds(&[("x", bound)]));
            // Turned round, a bound from below is one from above.
            let (low, value, most) = match bound {
                Bound::Above(most) => (of.map(|of| of.interval.low), of.map(|of| of.value), most),
                Bound::Below(least) => (of.map(|of| -of.interval.high), of.map(|of| -of.value), -least),
            };
            let next = if is_beyond { value.is_none_or(|value| value > most) } else { low.is_some_and(|low| low > most) };
            let wanted: Vec<_> =
                of.filter(|_| next != is_beyond).map(|of| (next, of.value, bound.value())).into_iter().collect();
            prop_assert_eq!(told(&mut watch, of), wanted);
            prop_assert_eq!(watch.beyond().contains_key("x"), next);
            is_beyond = next;
        }
    }
}
