use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::event::parse_time;
use crate::rng::Rng;

const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;
const START: &str = "2026-03-02T00:00:00Z";

fn start() -> Time {
    parse_time(START).unwrap()
}

fn at(seconds: u64) -> Time {
    start() + std::time::Duration::from_secs(seconds)
}

/// Clocks in seconds after the window's start.
fn incident(id: &str, kind: &str, severity: &str, status: &str, onset: u64, detected: u64) -> Incident {
    let written = |seconds| crate::event::format_time(at(seconds));
    let value = json!({
        "id": id, "type": kind, "title": id, "severity": severity, "status": status,
        "onset": written(onset), "detected": written(detected), "routes": ["score"],
    });
    serde_json::from_value(value).unwrap()
}

fn ended(mut it: Incident, acknowledged: u64, mitigated: u64, resolved: u64) -> Incident {
    it.acknowledged = Some(at(acknowledged));
    it.mitigated = Some(at(mitigated));
    it.resolved = Some(at(resolved));
    it
}

fn history() -> Vec<Incident> {
    let (day, later) = (24 * HOUR, 60 * HOUR);
    let first = incident("A", "model_degradation", "sev1", "post_mortem", 0, 10 * MINUTE);
    let mut first = ended(first, 12 * MINUTE, 30 * MINUTE, HOUR);
    first.review.root_cause = "A schema changed.".to_owned();
    let second = incident("B", "feature_pipeline", "sev2", "resolved", day, day + 20 * MINUTE);
    let mut second = ended(second, day + 30 * MINUTE, day + 50 * MINUTE, day + 2 * HOUR);
    second.review.root_cause = " a schema\nchanged. ".to_owned();
    // It was opened again: it has not ended.
    let mut third = incident("C", "model_degradation", "sev2", "investigating", later, later);
    third.resolved = Some(at(later + HOUR));
    third.routes.push("chat".to_owned());
    let none = ended(incident("D", "safety", "sev1", "cancelled", 0, 0), 1, 2, 3);
    let part = ended(incident("E", "model_degradation", "sev3", "merged", 0, 0), 1, 2, 3);
    let before = parse_time("2026-03-01T23:59:59Z").unwrap();
    let mut outside = ended(incident("F", "model_degradation", "sev1", "resolved", 0, 0), 1, 2, 3);
    outside.detected = before;
    outside.onset = before;
    let end = incident("G", "model_degradation", "sev1", "detected", 0, 14 * day);
    vec![first, second, third, none, part, outside, end]
}

fn page(incident: &str, person: &str, seconds: u64, night: bool) -> Paged {
    Paged { incident: incident.to_owned(), person: person.to_owned(), at: at(seconds), night }
}

fn of(incidents: &[Incident], pages: &[Paged]) -> Metrics {
    measure(incidents, pages, start(), at(14 * 24 * HOUR), 7)
}

fn figures(spread: Spread) -> (u64, Option<f64>, Option<f64>, Option<f64>) {
    (spread.n, spread.median_s, spread.p90_s, spread.mean_s)
}

fn near(seen: (u64, Option<f64>, Option<f64>, Option<f64>), n: u64, median: f64, p90: f64, mean: f64) {
    assert_eq!(seen.0, n);
    for (seen, wanted) in [(seen.1, median), (seen.2, p90), (seen.3, mean)] {
        assert!((seen.unwrap() - wanted).abs() < 1e-6, "{seen:?} for {wanted}");
    }
}

#[test]
fn all_that_was_found_in_the_window_is_counted() {
    let seen = of(&history(), &[]);
    assert_eq!((seen.total, seen.counted), (5, 3));
    let by_type: Vec<_> = seen.by_type.iter().map(|(kind, n)| (kind.as_str(), *n)).collect();
    assert_eq!(by_type, [("feature_pipeline", 1), ("model_degradation", 3), ("safety", 1)]);
    assert_eq!(seen.by_severity, BTreeMap::from([("sev1", 2), ("sev2", 2), ("sev3", 1), ("sev4", 0)]));
    assert_eq!(seen.by_status.values().sum::<u64>(), 5);
    assert_eq!((seen.by_status["cancelled"], seen.by_status["merged"], seen.by_status["mitigating"]), (1, 1, 0));
}

#[test]
fn times_are_between_the_clocks_that_are_named() {
    let seen = of(&history(), &[]);
    near(figures(seen.time_to_detect.overall), 3, 600.0, 1_080.0, 600.0);
    near(figures(seen.time_to_acknowledge.overall), 2, 360.0, 552.0, 360.0);
    near(figures(seen.time_to_mitigate.overall), 2, 2_400.0, 2_880.0, 2_400.0);
    near(figures(seen.time_to_resolve.overall), 2, 5_400.0, 6_840.0, 5_400.0);
    near(figures(seen.time_to_resolve.by_severity["sev1"]), 1, 3_600.0, 3_600.0, 3_600.0);
    assert_eq!(seen.time_to_resolve.by_severity["sev4"], Spread::default());
    assert_eq!((seen.time_to_detect.waiting, seen.time_to_resolve.waiting), (0, 1));
    assert!((seen.mttr_hours.unwrap() - 1.5).abs() < 1e-12);
    near(figures(seen.time_between.spread), 2, 108_000.0, 125_280.0, 108_000.0);

    let told = serde_json::to_value(&seen).unwrap();
    let clocks = |name: &str| (told[name]["from"].clone(), told[name]["to"].clone());
    assert_eq!(clocks("time_to_detect"), (json!("onset"), json!("detected")));
    assert_eq!(clocks("time_to_acknowledge"), (json!("detected"), json!("acknowledged")));
    assert_eq!(clocks("time_to_mitigate"), (json!("onset"), json!("mitigated")));
    assert_eq!(clocks("time_to_resolve"), (json!("onset"), json!("resolved")));
    assert_eq!(clocks("time_between"), (json!("onset"), json!("next_onset")));
    assert_eq!(told["from"], START);
    assert_eq!(told["time_to_detect"]["overall"]["enough"], false);
    assert_eq!(told["time_to_detect"]["overall"]["median_interval"], Value::Null);
}

#[test]
fn clocks_that_run_backwards_are_left_out_and_told() {
    let mut odd = incident("A", "safety", "sev1", "detected", 100, 200);
    odd.acknowledged = Some(at(150));
    let seen = of(&[odd], &[]).time_to_acknowledge;
    assert_eq!((seen.reversed, seen.waiting, seen.overall.n), (1, 0, 0));
}

#[test]
fn without_incidents_nothing_is_claimed() {
    let seen = of(&[], &[]);
    assert_eq!((seen.total, seen.mttr_hours), (0, None));
    assert_eq!(seen.time_to_resolve.overall, Spread::default());
    assert_eq!(seen.time_between.spread, Spread::default());
    assert_eq!(measure(&[], &[page("A", "ana", 0, true)], start(), start(), 1).paging, []);
}

#[test]
fn an_interval_comes_with_enough_incidents_and_by_the_seed_alone() {
    let mut incidents: Vec<_> = (0..ENOUGH as u64)
        .map(|i| incident(&format!("I{i}"), "safety", "sev1", "detected", i * HOUR, i * HOUR + 60 * (i + 1)))
        .collect();
    let enough = of(&incidents, &[]).time_to_detect.overall;
    assert!(enough.enough);
    let likely = enough.median_interval.unwrap();
    assert_eq!(likely.iterations, ITERATIONS);
    assert!(60.0 <= likely.low_s && likely.low_s < 330.0 && 330.0 < likely.high_s && likely.high_s <= 600.0);
    assert_eq!(enough.median_s, Some(330.0));
    let other = measure(&incidents, &[], start(), at(14 * 24 * HOUR), 8).time_to_detect.overall;
    assert_eq!((other.median_s, other.p90_s), (enough.median_s, enough.p90_s));
    incidents.pop();
    let fewer = of(&incidents, &[]).time_to_detect.overall;
    assert_eq!((fewer.enough, fewer.median_interval), (false, None));
}

#[test]
fn the_load_of_a_person_is_what_reached_them_in_the_window() {
    let fortnight = 14 * 24 * HOUR;
    let pages = [
        page("A", "ana", 0, true),
        page("A", "ana", 60, true),
        page("B", "ana", HOUR, false),
        page("B", "bo", HOUR, false),
        page("C", "bo", fortnight, true),
    ];
    let seen = of(&[], &pages).paging;
    let ana = Load { person: "ana".into(), pages: 3, pages_per_week: Some(1.5), nights: 2, incidents: 2 };
    let bo = Load { person: "bo".into(), pages: 1, pages_per_week: Some(0.5), nights: 0, incidents: 1 };
    assert_eq!(seen, [ana, bo]);
}

#[test]
fn what_came_twice_is_named() {
    let seen = of(&history(), &[]).repeats;
    let repeat = |route: Option<&str>| Repeat {
        kind: "model_degradation".into(),
        route: route.map(str::to_owned),
        times: 2,
        incidents: vec!["A".into(), "C".into()],
    };
    assert_eq!(seen.types, [repeat(None)]);
    assert_eq!(seen.routes, [repeat(Some("score"))]);
    let cause = SameCause { cause: "A schema changed.".into(), times: 2, incidents: vec!["A".into(), "B".into()] };
    assert_eq!(seen.causes, [cause]);
}

#[test]
fn an_item_is_overdue_from_the_day_after_its_own() {
    let mut it = incident("A", "safety", "sev1", "post_mortem", 0, 0);
    let item =
        |id: u32, due: Value, state: &str| json!({"id": id, "text": "t", "owner": "o", "due": due, "state": state});
    it.review.items = serde_json::from_value(json!([
        item(1, json!("2026-03-15"), "open"),
        item(2, json!("2026-03-16"), "open"),
        item(3, json!("2026-03-01"), "done"),
        item(4, json!("2026-02-28"), "open"),
        item(5, Value::Null, "open"),
        item(6, json!("soon"), "open"),
    ]))
    .unwrap();
    let seen = of(&[it.clone()], &[]).items;
    assert_eq!((seen.today.as_str(), seen.open, seen.undated), ("2026-03-16", 5, 2));
    let late = |seen: Vec<Overdue>| seen.iter().map(|it| (it.item, it.days)).collect::<Vec<_>>();
    assert_eq!(late(seen.overdue), [(4, 16), (1, 1)]);
    let tomorrow = parse_time("2026-03-17T23:59:59Z").unwrap();
    assert_eq!(late(overdue(&[it], tomorrow)), [(4, 17), (1, 2), (2, 1)]);
}

proptest! {
    #[test]
    fn the_order_does_not_matter_and_figures_keep_their_bounds(
        rows in prop::collection::vec((0_u64..400, 0_u64..50, 0_usize..4, 0_usize..7, 0_u64..90, any::<bool>()), 0..40),
        seed in any::<u64>(),
    ) {
        let kinds = ["a", "b", "c"];
        let incidents: Vec<Incident> = rows.iter().enumerate().map(|(i, &(onset, delay, severity, status, took, ended))| {
            let (severity, status) = (Severity::ALL[severity].as_str(), Status::ALL[status].as_str());
            let mut it = incident(&format!("I{i:02}"), kinds[i % 3], severity, status, onset * HOUR, onset * HOUR + delay);
            it.resolved = ended.then(|| at(onset * HOUR + took));
            it.acknowledged = Some(at(onset * HOUR + took));
            it.review.root_cause = ["", "x", "X "][i % 3].to_owned();
            it
        }).collect();
        let pages: Vec<Paged> = rows.iter().enumerate()
            .map(|(i, row)| page(&format!("I{i:02}"), kinds[i % 3], row.0 * HOUR, row.5)).collect();
        let seen = of(&incidents, &pages);

        let mut rng = Rng::new(seed);
        let (mut shuffled, mut turned) = (incidents, pages);
        for i in (1..shuffled.len()).rev() {
            let j = rng.below(i as u64 + 1) as usize;
            shuffled.swap(i, j);
            turned.swap(i, j);
        }
        prop_assert_eq!(&of(&shuffled, &turned), &seen);

        prop_assert_eq!(seen.by_type.values().sum::<u64>(), seen.total);
        prop_assert_eq!(seen.by_severity.values().sum::<u64>(), seen.total);
        prop_assert_eq!(seen.by_status.values().sum::<u64>(), seen.total);
        prop_assert!(seen.counted <= seen.total && seen.total <= rows.len() as u64);
        prop_assert_eq!(seen.time_between.spread.n, seen.counted.saturating_sub(1));
        for elapsed in [&seen.time_to_detect, &seen.time_to_acknowledge, &seen.time_to_mitigate, &seen.time_to_resolve] {
            prop_assert_eq!(elapsed.overall.n + elapsed.waiting + elapsed.reversed, seen.counted);
            prop_assert_eq!(elapsed.by_severity.values().map(|it| it.n).sum::<u64>(), elapsed.overall.n);
            for spread in elapsed.by_severity.values().chain([&elapsed.overall]) {
                prop_assert_eq!(spread.enough, spread.n >= ENOUGH as u64);
                prop_assert_eq!(spread.median_interval.is_some(), spread.enough);
                let (Some(median), Some(p90), Some(mean)) = (spread.median_s, spread.p90_s, spread.mean_s) else {
                    prop_assert_eq!(spread.n, 0);
                    continue;
                };
                prop_assert!(0.0 <= median && median <= p90 && p90 <= 90.0);
                prop_assert!((0.0..=90.0 + 1e-9).contains(&mean));
                if let Some(likely) = spread.median_interval {
                    prop_assert!(0.0 <= likely.low_s && likely.low_s <= likely.high_s && likely.high_s <= 90.0);
                }
            }
        }
        for load in &seen.paging {
            prop_assert!(load.nights <= load.pages && load.incidents <= load.pages);
        }
    }
}
